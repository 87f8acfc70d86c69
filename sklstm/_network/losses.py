"""Losses, each with its link function from raw predictions to predictions or probabilities.

Shapes: ``n`` rows, ``K`` outputs. ``loss_gradient(y_true, raw, weight)`` returns the sum of the
losses of all rows, weighted by ``weight`` (n,), and its gradient at ``raw``, which is (n, K) unless
the loss says that an output has several raw predictions. The loss of a
row is the mean over regression outputs, and the sum over labels. Sums are computed in double
precision for any dtype of ``raw``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Indices = NDArray[np.intp]


class Loss(Protocol):
    """A loss of one row, and its link function."""

    out_activation: ClassVar[str]

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        """Return the weighted sum of the losses, and its gradient at ``raw``."""


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), computed without overflow: no exponent is positive."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def log_sigmoid(x: Array) -> Array:
    """Return log(sigmoid(x)), accurate for large positive and negative x."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def log_softmax(x: Array) -> Array:
    """Return the logarithm of the softmax over the last axis; large values do not overflow."""
    shifted = x - np.maximum.reduce(x, axis=-1, keepdims=True)  # faster than the method
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis=-1, keepdims=True))


def softmax(x: Array) -> Array:
    """Return the softmax over the last axis; large values do not overflow."""
    e = np.exp(x - np.maximum.reduce(x, axis=-1, keepdims=True))
    return e / np.add.reduce(e, axis=-1, keepdims=True)


class _CrossEntropy:
    """A loss of labels, of which a share is spread evenly over all classes.

    This is label smoothing: Szegedy et al. 2016, section 7.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing

    def smoothed(self, shares: NDArray[Any], n_classes: int) -> Array:
        """Return the shares of classes after smoothing; ``shares`` are those before."""
        return shares * (1 - self.smoothing) + self.smoothing / n_classes


class BinaryCrossEntropy(_CrossEntropy):
    """Binary classification with one logit; ``y_true`` (n, 1) holds zeros and ones."""

    out_activation: ClassVar[str] = "logistic"

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        share = y_true if self.smoothing == 0 else self.smoothed(y_true, 2)  # of the label one
        size = np.abs(raw)
        e = np.exp(-size)  # of sigmoid and of both logarithms, which are written out for that
        of_likely = np.log1p(e)  # the loss of the label that is more likely
        one_is_likely = raw >= 0
        unlikely = np.abs(one_is_likely - share)  # the share of the other label
        if self.smoothing == 0:  # the product with an infinite size could be NaN
            losses = np.where(unlikely > 0, of_likely + size, of_likely)
        else:
            losses = of_likely + unlikely * size
        gradient = (np.where(one_is_likely, 1, e) / (1 + e) - share) * weight[:, None]
        losses = losses[:, 0] if losses.shape[1] == 1 else np.add.reduce(losses, axis=1)
        return _weighted_sum(losses, weight), gradient

    def probabilities(self, raw: Array) -> Array:
        """Return sigmoid(-raw) and sigmoid(raw)."""
        e = np.exp(-np.abs(raw))
        numerators = np.concatenate([np.where(raw <= 0, 1, e), np.where(raw >= 0, 1, e)], axis=1)
        return numerators / (1 + e)

    def log_probabilities(self, raw: Array) -> Array:
        return np.concatenate([log_sigmoid(-raw), log_sigmoid(raw)], axis=1)


class MultilabelCrossEntropy(BinaryCrossEntropy):
    """Multilabel classification, one logit per label; ``y_true`` (n, K) holds zeros and ones."""

    def probabilities(self, raw: Array) -> Array:
        """Return the probability of each label, clipped to the open interval (0, 1)."""
        one = raw.dtype.type(1)
        smallest, largest = np.finfo(raw.dtype).tiny, np.nextafter(one, raw.dtype.type(0))
        return np.clip(sigmoid(raw), smallest, largest)

    def log_probabilities(self, raw: Array) -> Array:
        return log_sigmoid(raw)


class CategoricalCrossEntropy(_CrossEntropy):
    """Multiclass classification, one logit per class; ``y_true`` (n,) holds class indices."""

    out_activation: ClassVar[str] = "softmax"

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        rows = np.arange(len(raw))
        log_p = log_softmax(raw)
        gradient = np.exp(log_p) - self.smoothing / raw.shape[1]
        gradient[rows, y_true] -= 1 - self.smoothing
        losses = -log_p[rows, y_true]
        if self.smoothing > 0:
            losses = (1 - self.smoothing) * losses - self.smoothing * log_p.mean(axis=1)
        return _weighted_sum(losses, weight), gradient * weight[:, None]

    def probabilities(self, raw: Array) -> Array:
        return softmax(raw)

    def log_probabilities(self, raw: Array) -> Array:
        return log_softmax(raw)


class _Regression:
    """A regression loss with one raw prediction for each output."""

    def outputs(self, n_outputs: int) -> Indices:
        """Return the output that each raw prediction belongs to."""
        return np.arange(n_outputs)

    def logarithms(self, n_outputs: int) -> NDArray[np.bool_]:
        """Return which raw predictions are logarithms of quantities in the unit of an output."""
        return np.zeros(len(self.outputs(n_outputs)), dtype=bool)


class _Identity(_Regression):
    """A regression loss with the identity as link function."""

    out_activation: ClassVar[str] = "identity"

    def predictions(self, raw: Array) -> Array:
        return raw


class SquaredError(_Identity):
    """Half the squared residual."""

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        residual = raw - y_true
        return _mean_over_outputs(0.5 * residual**2, residual, weight)


class AbsoluteError(_Identity):
    """The absolute residual; its derivative at zero is defined as zero."""

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        residual = raw - y_true
        return _mean_over_outputs(np.abs(residual), np.sign(residual), weight)


class Huber(_Identity):
    """Quadratic for residuals up to ``delta``, linear beyond: Huber 1964, eq. 3.7."""

    def __init__(self, delta: float) -> None:
        self.delta = delta

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        residual = raw - y_true
        derivative = np.clip(residual, -self.delta, self.delta)
        return _mean_over_outputs(derivative * (residual - 0.5 * derivative), derivative, weight)


class Quantile(_Identity):
    """The pinball loss: Koenker & Bassett 1978, eq. 1.1."""

    def __init__(self, quantile: float) -> None:
        self.quantile = quantile

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        residual = y_true - raw
        factor = np.where(residual > 0, self.quantile, self.quantile - 1).astype(raw.dtype)
        derivative = np.where(residual == 0, 0, -factor)
        return _mean_over_outputs(factor * residual, derivative, weight)


class Quantiles(_Regression):
    """The pinball losses of several quantiles, Q values in ascending order.

    It is their sum divided by the square root of Q. Beside the penalty, which counts each weight
    once, the sum would give the layers that the quantiles share Q times the loss of one quantile,
    and the mean would give the output layer of each a Q-th of it. This is halfway between them.

    ``raw`` (n, K * Q) has the quantiles of the first output first. Each of them is trained for its
    own quantile. Sorted, they do not cross, and their loss is at most that of the unsorted ones:
    Chernozhukov, Fernandez-Val & Galichon 2010, "Quantile and probability curves without crossing",
    Proposition 4.
    """

    out_activation: ClassVar[str] = "sort"

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = np.array(levels, dtype=np.float64)

    def outputs(self, n_outputs: int) -> Indices:
        return np.repeat(np.arange(n_outputs), len(self.levels))

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        residual = y_true[:, :, None] - self._by_output(raw)
        factor = np.where(residual > 0, self.levels, self.levels - 1) / np.sqrt(len(self.levels))
        factor = factor.astype(raw.dtype)
        derivative = np.where(residual == 0, 0, -factor)
        value, _ = _mean_over_outputs((factor * residual).sum(axis=2), raw, weight)
        output_weight = (weight / residual.shape[1])[:, None]
        return value, derivative.reshape(raw.shape) * output_weight

    def predictions(self, raw: Array) -> Array:
        """Return the quantiles of each output in ascending order."""
        return np.sort(self._by_output(raw), axis=2).reshape(raw.shape)

    def sources(self, raw: Array) -> Indices:
        """Return the raw prediction that each prediction is equal to, shape (n, K * Q)."""
        order = self._by_output(raw).argsort(axis=2, kind="stable")
        first = len(self.levels) * np.arange(order.shape[1])
        return (order + first[:, None]).reshape(raw.shape)

    def _by_output(self, raw: Array) -> Array:
        return raw.reshape(len(raw), -1, len(self.levels))


class Gaussian(_Identity):
    """Negative log-likelihood of a normal distribution, without the constant log(2 pi) / 2.

    ``raw`` (n, 2 K) holds the means of all outputs and then the logarithms of their standard
    deviations: Nix & Weigend 1994, eq. 4. A deviation of `NOISE` is added to that of the targets,
    so that the loss is bounded if a target is predicted exactly.
    """

    #: Standard deviation of noise that the likelihood adds to the (standardised) targets.
    NOISE: ClassVar[float] = 1e-4

    def outputs(self, n_outputs: int) -> Indices:
        return np.tile(np.arange(n_outputs), 2)

    def logarithms(self, n_outputs: int) -> NDArray[np.bool_]:
        return np.repeat([False, True], n_outputs)

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        mean, log_deviation = np.split(raw.astype(np.float64), 2, axis=1)
        log_variance = np.logaddexp(2 * log_deviation, 2 * np.log(self.NOISE))
        residual = mean - y_true
        by_mean = residual * np.exp(-log_variance)
        squares = residual * by_mean
        share = np.exp(2 * log_deviation - log_variance)  # of the variance, without the noise
        derivatives = np.concatenate([by_mean, share * (1 - squares)], axis=1)
        value, _ = _mean_over_outputs(0.5 * (log_variance + squares), mean, weight)
        output_weight = (weight / y_true.shape[1])[:, None]
        return value, (derivatives * output_weight).astype(raw.dtype, copy=False)

    def deviations(self, raw: Array) -> Array:
        """Return the standard deviation of each output, a finite number."""
        largest = np.log(np.finfo(raw.dtype).max)
        return np.exp(np.minimum(np.split(raw, 2, axis=1)[1], largest - 1))

    def predictions(self, raw: Array) -> Array:
        """Return the mean of each output."""
        return np.split(raw, 2, axis=1)[0]


class Poisson(_Regression):
    """Half the Poisson deviance of exp(raw), without the terms that depend on y alone."""

    out_activation: ClassVar[str] = "exp"

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        with np.errstate(over="ignore"):  # the solver raises an error for an infinite loss
            mean = np.exp(raw)
        return _mean_over_outputs(mean - y_true * raw, mean - y_true, weight)

    def logarithms(self, n_outputs: int) -> NDArray[np.bool_]:
        return np.ones(n_outputs, dtype=bool)

    def predictions(self, raw: Array) -> Array:
        return np.exp(raw)


def _weighted_sum(losses: Array, weight: Array) -> float:
    return float(np.dot(losses.astype(np.float64), weight.astype(np.float64)))


def _mean_over_outputs(losses: Array, derivatives: Array, weight: Array) -> tuple[float, Array]:
    """Return the mean over the outputs, summed over the rows with their weights."""
    output_weight = (weight / losses.shape[1])[:, None]
    return _weighted_sum(losses.mean(axis=1, dtype=np.float64), weight), derivatives * output_weight
