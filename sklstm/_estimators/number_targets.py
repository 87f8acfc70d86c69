"""Targets that are numbers, each of them standardised by itself.

Shapes: ``n`` rows (samples, or time steps), ``K`` targets of a row.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import prod
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.target_checks import Name, check_numbers, name_of_row, shape_of_targets
from sklstm._network.losses import (
    AbsoluteError,
    Gaussian,
    Huber,
    Poisson,
    Quantile,
    Quantiles,
    SquaredError,
)
from sklstm.sequences._moments import (
    Moments,
    is_constant,
    merge,
    moments,
    standardize,
    unstandardize,
)

Array = NDArray[np.floating]
Weights = NDArray[np.float64]

#: Losses without a parameter.
PLAIN = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "gaussian": Gaussian,
    "poisson": Poisson,
}


@dataclass(frozen=True, eq=False)
class NumberTargets:
    """Numbers of any ``shape`` for each row, each standardised by itself.

    The network learns ``(y - mean) / scale``. A scale of zero marks a constant target, which every
    prediction equals. Predictions have the shape (n, *shape), or (n, *shape, Q) for a list of Q
    quantiles, and the given ``dtype``.
    """

    kind: ClassVar[str] = "number"
    shape: tuple[int, ...]
    dtype: str
    loss_name: str
    huber_delta: float
    quantile: Any
    weight_seen: float = 0.0
    mean_seen: NDArray[np.float64] | None = None  # (K,)
    deviation_seen: NDArray[np.float64] | None = None  # (K,)

    @classmethod
    def of(cls, y: Any, settings: Any) -> NumberTargets:
        """Targets of the shape and the precision of ``y`` (n, ...)."""
        single = str(getattr(y, "dtype", "")) in ("float32", "float16")
        return cls(
            shape=check_numbers(y).shape[1:],
            dtype="float32" if single else "float64",
            loss_name=settings.loss,
            huber_delta=settings.huber_delta,
            quantile=checked_quantile(settings.quantile),
        )

    @property
    def n_outputs(self) -> int:
        return prod(self.shape)

    @property
    def n_raw(self) -> int:
        return len(self.loss.outputs(self.n_outputs))

    @property
    def levels(self) -> list[float] | None:
        """The quantiles that a list names; None if there is one prediction for each target."""
        if self.loss_name == "quantile" and isinstance(self.quantile, list):
            return self.quantile
        return None

    @property
    def loss(self) -> Any:
        if self.loss_name == "huber":
            return Huber(self.huber_delta)
        if self.loss_name == "quantile":
            several = isinstance(self.quantile, list)
            return Quantiles(self.quantile) if several else Quantile(self.quantile)
        return PLAIN[self.loss_name]()

    @property
    def attributes(self) -> dict[str, Any]:
        return {}

    def with_settings(self, settings: Any) -> NumberTargets:
        later = replace(
            self,
            loss_name=settings.loss,
            huber_delta=settings.huber_delta,
            quantile=checked_quantile(settings.quantile),
        )
        if later._link != self._link:
            raise ValueError(
                f"loss: expected one with the link of {self._loss_in_words}, with which the "
                f"network was fitted, got {later._loss_in_words}; set warm_start=False or clone "
                "the estimator to begin anew"
            )
        return later

    @property
    def _link(self) -> tuple[Any, ...]:
        """What must stay the same while training continues."""
        n_levels = None if self.levels is None else len(self.levels)
        return self.loss.out_activation, self.loss_name == "gaussian", n_levels

    @property
    def _loss_in_words(self) -> str:
        levels = "" if self.levels is None else f" with quantile={self.levels}"
        return f"{self.loss_name!r}{levels}"

    def encode(self, y: Any, name: Name = name_of_row) -> NDArray[np.float64]:
        """Finite numbers (n, K)."""
        y = check_numbers(y, name)
        if y.shape[1:] != self.shape:
            expected = shape_of_targets(self.shape)
            raise ValueError(f"y: expected targets of shape {expected}, got {y.shape}")
        y = y.reshape(-1, self.n_outputs)
        if self.loss_name == "poisson" and (y < 0).any():
            k = int(np.argmax((y < 0).any(axis=1)))
            raise ValueError(
                f'{name(k)}: expected zero or more with loss="poisson", got {y[k].min()}'
            )
        return y

    def fit_weights(self, rows: NDArray[Any], weights: Weights) -> NumberTargets:
        return self

    def weigh(self, rows: NDArray[Any], weights: Weights) -> Weights:
        return weights

    def fit_units(self, rows: NDArray[Any], weights: Weights) -> NumberTargets:
        return self._with(moments(rows, weights))

    def update_units(self, rows: NDArray[Any], weights: Weights) -> NumberTargets:
        return self._with(merge(self._seen, moments(rows, weights)))

    def with_units(self, mean: Weights, deviation: Weights) -> NumberTargets:
        """The same kind, with a mean and deviation (K,) that are not those of samples."""
        return replace(self, weight_seen=0.0, mean_seen=mean, deviation_seen=deviation)

    def _with(self, seen: Moments) -> NumberTargets:
        weight, mean, deviation = seen
        total = float(np.max(weight))  # the same for all outputs
        return replace(self, weight_seen=total, mean_seen=mean, deviation_seen=deviation)

    @property
    def _seen(self) -> Moments:
        assert self.mean_seen is not None
        assert self.deviation_seen is not None
        return Moments(self.weight_seen, self.mean_seen, self.deviation_seen)

    @property
    def units(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and mean of each output; of counts the mean is the scale."""
        _, mean, deviation = self._seen
        if self.loss_name == "poisson":
            return np.where(mean > 0, mean, 1.0), np.zeros_like(mean)
        return np.where(is_constant(mean, deviation), 0.0, deviation), mean

    @property
    def is_affine(self) -> bool:
        """Whether predictions are ``raw * scale + mean``."""
        return self.n_raw == self.n_outputs and self.loss.out_activation == "identity"

    def scale(self, rows: NDArray[Any]) -> NDArray[Any]:
        scale, mean = self.units
        return standardize(rows, mean, scale / 2)

    def decode(self, raw: Array) -> NDArray[Any]:
        n_levels = len(self.levels or [0])
        scale, mean = (np.repeat(unit, n_levels) for unit in self.units)
        predictions = self.loss.predictions(raw.astype(np.float64, copy=False))
        y = unstandardize(predictions, mean, scale / 2)
        return self.shaped(y.astype(self.dtype, copy=False))

    def decode_point(self, raw: Array) -> NDArray[Any]:
        """Predictions (n, *shape); of several quantiles the one nearest to the median."""
        predictions = self.decode(raw)
        if self.levels is None:
            return predictions
        return predictions[..., int(np.argmin(np.abs(np.array(self.levels) - 0.5)))]

    def decode_with_deviation(self, raw: Array) -> NDArray[Any]:
        """Means and standard deviations (n, *shape, 2)."""
        deviation = self.loss.deviations(raw.astype(np.float64, copy=False))
        with np.errstate(over="ignore"):
            deviation = (deviation * self.units[0]).astype(self.dtype, copy=False)
        return np.stack([self.decode(raw), self.shaped(deviation)], axis=-1)

    def check_deviation(self) -> None:
        """Raise an error unless the loss has standard deviations."""
        if self.loss_name != "gaussian":
            raise ValueError(
                'return_std=True: expected a model fitted with loss="gaussian", got '
                f"loss={self.loss_name!r}"
            )

    @property
    def prediction_shape(self) -> tuple[int, ...]:
        """The shape of the prediction of one row."""
        return self.shape if self.levels is None else (*self.shape, len(self.levels))

    def shaped(self, predictions: NDArray[Any]) -> NDArray[Any]:
        """Predictions with one row for each of the raw ones, in the shape that users get."""
        return predictions.reshape(-1, *self.prediction_shape)

    def gradient(self, raw: Array, target: Any) -> Array:
        output = self._output(target)
        gradient = np.zeros_like(raw)
        if self.levels is not None:
            sources = self.loss.sources(raw)[:, output, None]
            np.put_along_axis(gradient, sources, 1, axis=1)
        else:
            log_link = self.loss.out_activation == "exp"
            gradient[:, output] = np.exp(raw[:, output]) if log_link else 1
        return gradient

    def outputs(self, raw: Array, target: Any) -> Array:
        """The prediction that `gradient` differentiates (n,), in the same unit and without mean."""
        predictions = self.loss.predictions(raw.astype(np.float64, copy=False))
        return np.asarray(predictions[:, self._output(target)])

    def gradient_unit(self, target: Any) -> float:
        return float(self.units[0][self._output(target) // len(self.levels or [0])])

    @property
    def gradient_dtype(self) -> str:
        return self.dtype

    def _output(self, target: Any) -> int:
        """The prediction that ``target`` names, a number or its place in their shape."""
        shape = self.prediction_shape
        last = prod(shape) - 1
        if target is None and last > 0:
            raise ValueError(f"target: expected an output, 0 to {last}, got None")
        if isinstance(target, tuple):
            if target not in np.ndindex(shape):
                raise ValueError(f"target: expected a place in shape {shape}, got {target!r}")
            return int(np.ravel_multi_index(target, shape)) if shape else 0
        known = np.isscalar(target) and target in range(last + 1)
        if target is not None and not known:
            raise ValueError(f"target: expected one output, 0 to {last}, got {target!r}")
        return int(target or 0)

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NumberTargets:
        """The targets that `as_dict` described."""
        return cls(**{**values, "shape": tuple(values["shape"])})


def rescale_output(
    earlier: NumberTargets, later: NumberTargets, weight: Array, bias: Array
) -> None:
    """Change the output layer in place, so that predictions in later units are as before.

    van Hasselt, Guez, Hessel, Mnih & Silver 2016, "Learning values across many orders of
    magnitude", Proposition 1.
    """
    loss, n_outputs = later.loss, later.n_outputs
    outputs, logarithms = loss.outputs(n_outputs), loss.logarithms(n_outputs)
    (scale, mean), (new_scale, new_mean) = earlier.units, later.units
    ratio = scale / np.where(new_scale == 0, 1.0, new_scale)
    shift = (mean - new_mean) / np.where(new_scale == 0, 1.0, new_scale)
    # The deviation of a target that was constant is not known: it begins at that of all targets.
    unknown = logarithms & (scale == 0)[outputs]
    constant = (new_scale == 0)[outputs]
    with np.errstate(divide="ignore"):
        log_ratio = np.where(unknown | constant, 0.0, np.log(ratio[outputs]))
    factor = np.where(logarithms, ~unknown, ratio[outputs])
    weight *= factor
    bias *= factor
    bias += np.where(logarithms, log_ratio, shift[outputs])


def checked_quantile(quantile: Any) -> float | list[float]:
    """A single quantile as it is, or a list of ascending ones."""
    if isinstance(quantile, Real):
        return float(quantile)
    try:
        levels = [float(level) for level in quantile]
    except (TypeError, ValueError):
        levels = []
    limits = [0.0, *levels, 1.0]
    if not levels or not all(one < other for one, other in pairwise(limits)):
        raise ValueError(
            "quantile: expected a number, or numbers in ascending order without repetitions, "
            f"all between 0 and 1, got {quantile!r}"
        )
    return levels
