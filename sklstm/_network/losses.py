"""Losses, each with the link that turns raw predictions into what users read.

Shapes: ``n`` rows, ``K`` outputs. Every loss has ``loss_gradient(y_true, raw, weight)``, which
returns the weighted sum of the rows' losses and its gradient at ``raw`` (n, K). What a row weighs
stands in ``weight`` (n,); several regression outputs share a row's loss by their mean, several
labels by their sum. Values are summed in double precision whatever the dtype of ``raw``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Loss(Protocol):
    """A pointwise loss and its link."""

    out_activation: ClassVar[str]

    def loss_gradient(
        self, y_true: NDArray[Any], raw: Array, weight: Array
    ) -> tuple[float, Array]: ...


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow: the exponent is never positive."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def log_sigmoid(x: Array) -> Array:
    """log(sigmoid(x)), exact in both tails."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def log_softmax(x: Array) -> Array:
    """Logarithm of the softmax over the last axis, each row shifted by its own maximum."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(x: Array) -> Array:
    """Softmax over the last axis, each row shifted by its own maximum."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class BinaryCrossEntropy:
    """One logit a row; ``y_true`` (n, 1) holds zeros and ones."""

    out_activation: ClassVar[str] = "logistic"

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        losses = np.where(y_true > 0, -log_sigmoid(raw), -log_sigmoid(-raw)).sum(axis=1)
        return _weighted_sum(losses, weight), (sigmoid(raw) - y_true) * weight[:, None]

    def probabilities(self, raw: Array) -> Array:
        return np.concatenate([sigmoid(-raw), sigmoid(raw)], axis=1)

    def log_probabilities(self, raw: Array) -> Array:
        return np.concatenate([log_sigmoid(-raw), log_sigmoid(raw)], axis=1)


class MultilabelCrossEntropy(BinaryCrossEntropy):
    """One logit a label; ``y_true`` (n, K) holds zeros and ones."""

    def probabilities(self, raw: Array) -> Array:
        """Probability of each label, kept inside (0, 1) where rounding would reach an end."""
        one = raw.dtype.type(1)
        least, most = np.finfo(raw.dtype).tiny, np.nextafter(one, raw.dtype.type(0))
        return np.clip(sigmoid(raw), least, most)

    def log_probabilities(self, raw: Array) -> Array:
        return log_sigmoid(raw)


class CategoricalCrossEntropy:
    """One logit a class; ``y_true`` (n,) holds the index of the class."""

    out_activation: ClassVar[str] = "softmax"

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        rows = np.arange(len(raw))
        log_p = log_softmax(raw)
        gradient = np.exp(log_p)
        gradient[rows, y_true] -= 1
        return _weighted_sum(-log_p[rows, y_true], weight), gradient * weight[:, None]

    def probabilities(self, raw: Array) -> Array:
        return softmax(raw)

    def log_probabilities(self, raw: Array) -> Array:
        return log_softmax(raw)


class _Identity:
    """Regression whose raw prediction is the prediction."""

    out_activation: ClassVar[str] = "identity"

    def predictions(self, raw: Array) -> Array:
        return raw


class SquaredError(_Identity):
    """Half the squared residual."""

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        residual = raw - y_true
        return _over_outputs(0.5 * residual**2, residual, weight)


class AbsoluteError(_Identity):
    """The size of the residual; at zero its slope is taken as zero."""

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        residual = raw - y_true
        return _over_outputs(np.abs(residual), np.sign(residual), weight)


class Huber(_Identity):
    """Squared within ``delta``, linear beyond: Huber 1964, eq. 3.7."""

    def __init__(self, delta: float) -> None:
        self.delta = delta

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        residual = raw - y_true
        slope = np.clip(residual, -self.delta, self.delta)
        return _over_outputs(slope * (residual - 0.5 * slope), slope, weight)


class Quantile(_Identity):
    """The pinball loss: Koenker & Bassett 1978, eq. 1.1."""

    def __init__(self, quantile: float) -> None:
        self.quantile = quantile

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        residual = y_true - raw
        slope = np.where(residual > 0, self.quantile, self.quantile - 1).astype(raw.dtype)
        return _over_outputs(slope * residual, np.where(residual == 0, 0, -slope), weight)


class Poisson:
    """Half the Poisson deviance of exp(raw), without the part that only y decides."""

    out_activation: ClassVar[str] = "exp"

    def loss_gradient(self, y_true: NDArray[Any], raw: Array, weight: Array) -> tuple[float, Array]:
        with np.errstate(over="ignore"):  # an infinite loss is reported by the solver
            mean = np.exp(raw)
        return _over_outputs(mean - y_true * raw, mean - y_true, weight)

    def predictions(self, raw: Array) -> Array:
        return np.exp(raw)


def _weighted_sum(losses: Array, weight: Array) -> float:
    return float(np.dot(losses.astype(np.float64), weight.astype(np.float64)))


def _over_outputs(losses: Array, slopes: Array, weight: Array) -> tuple[float, Array]:
    """Mean over a row's outputs, weighted sum over rows."""
    share = (weight / losses.shape[1])[:, None]
    return _weighted_sum(losses.mean(axis=1, dtype=np.float64), weight), slopes * share
