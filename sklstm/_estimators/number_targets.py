"""Targets that are numbers, each of them standardised by itself.

Shapes: ``n`` rows (samples, or time steps), ``K`` targets of a row.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.target_checks import Name, check_numbers, name_of_row, shape_of_targets
from sklstm._network.losses import (
    AbsoluteError,
    Huber,
    Poisson,
    Quantile,
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


@dataclass(frozen=True, eq=False)
class NumberTargets:
    """Numbers of any ``shape`` for each row, each standardised by itself.

    The network learns ``(y - mean) / scale``. A scale of zero marks a constant target, which every
    prediction equals. Predictions have the shape (n, *shape) and the given ``dtype``.
    """

    kind: ClassVar[str] = "number"
    shape: tuple[int, ...]
    dtype: str
    loss_name: str
    huber_delta: float
    quantile: float
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
            quantile=settings.quantile,
        )

    @property
    def n_outputs(self) -> int:
        return prod(self.shape)

    @property
    def loss(self) -> Any:
        if self.loss_name == "huber":
            return Huber(self.huber_delta)
        if self.loss_name == "quantile":
            return Quantile(self.quantile)
        plain = {"squared_error": SquaredError, "absolute_error": AbsoluteError, "poisson": Poisson}
        return plain[self.loss_name]()

    @property
    def attributes(self) -> dict[str, Any]:
        return {}

    def with_settings(self, settings: Any) -> NumberTargets:
        if (settings.loss == "poisson") != (self.loss_name == "poisson"):
            raise ValueError(
                f"loss: expected one with the link of {self.loss_name!r}, with which the network "
                f"was fitted, got {settings.loss!r}; set warm_start=False or clone the estimator "
                "to begin anew"
            )
        return replace(
            self,
            loss_name=settings.loss,
            huber_delta=settings.huber_delta,
            quantile=settings.quantile,
        )

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
        return bool(self.loss.out_activation == "identity")

    def scale(self, rows: NDArray[Any]) -> NDArray[Any]:
        scale, mean = self.units
        return standardize(rows, mean, scale / 2)

    def decode(self, raw: Array) -> NDArray[Any]:
        scale, mean = self.units
        predictions = self.loss.predictions(raw.astype(np.float64, copy=False))
        y = unstandardize(predictions, mean, scale / 2)
        return self.shaped(y.astype(self.dtype, copy=False))

    def shaped(self, predictions: NDArray[Any]) -> NDArray[Any]:
        """Predictions (n, K) in the shape of the targets."""
        return predictions.reshape(-1, *self.shape)

    def gradient(self, raw: Array, target: Any) -> Array:
        output = self._output(target)
        gradient = np.zeros_like(raw)
        gradient[:, output] = 1 if self.is_affine else np.exp(raw[:, output])
        return gradient

    def gradient_unit(self, target: Any) -> float:
        return float(self.units[0][self._output(target)])

    @property
    def gradient_dtype(self) -> str:
        return self.dtype

    def _output(self, target: Any) -> int:
        """The output that ``target`` names, a number or its place in the shape of the targets."""
        last = self.n_outputs - 1
        if target is None and last > 0:
            raise ValueError(f"target: expected an output, 0 to {last}, got None")
        if isinstance(target, tuple):
            if len(target) != len(self.shape) or target not in np.ndindex(self.shape):
                raise ValueError(f"target: expected a place in shape {self.shape}, got {target!r}")
            return int(np.ravel_multi_index(target, self.shape)) if self.shape else 0
        known = np.isscalar(target) and target in range(last + 1)
        if target is not None and not known:
            raise ValueError(f"target: expected 0 to {last}, got {target!r}")
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
    (scale, mean), (new_scale, new_mean) = earlier.units, later.units
    if later.is_affine:
        divisor = np.where(new_scale == 0, 1.0, new_scale)
        weight *= scale / divisor
        bias *= scale / divisor
        bias += (mean - new_mean) / divisor
    else:
        bias += np.log(scale / new_scale)
