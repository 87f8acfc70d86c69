"""The three kinds of targets, each between what users give and what the network learns.

A kind is made from the targets of the first fit. It encodes targets as rows of numbers, weighs
them, scales them for the loss, and turns raw predictions back into predictions.

Shapes: ``n`` rows (samples, or time steps), ``K`` raw predictions of a row.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.class_weights import class_factors, label_factors
from sklstm._estimators.target_checks import check_labels, check_numbers
from sklstm._network.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Huber,
    Loss,
    MultilabelCrossEntropy,
    Poisson,
    Quantile,
    SquaredError,
)

Array = NDArray[np.floating]


class Targets(Protocol):
    """What an estimator asks of the kind of its targets."""

    kind: ClassVar[str]

    @property
    def n_outputs(self) -> int:
        """Raw predictions of a row, K."""

    @property
    def loss(self) -> Loss:
        """The loss for targets of this kind."""

    @property
    def attributes(self) -> dict[str, Any]:
        """Public attributes of the fitted estimator that say what the targets are."""

    def with_settings(self, settings: Any) -> Self:
        """The same kind, with the parameters that the estimator has now."""

    def encode(self, y: Any) -> NDArray[Any]:
        """Checked targets as numbers, one row each."""

    def weigh(self, rows: NDArray[Any], weights: Array) -> Array:
        """Sample weights times the weights of classes."""

    def fit(self, rows: NDArray[Any], weights: Array) -> Self:
        """The same kind, with the mean and scale of the training targets."""

    def scale(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Encoded targets in the shape and units of the loss."""

    def decode(self, raw: Array) -> NDArray[Any]:
        """Predictions from raw predictions (n, K)."""

    def gradient(self, raw: Array, target: Any) -> Array:
        """Derivative of the prediction that ``target`` names by the raw predictions (n, K)."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values to save; `from_dict` restores the targets."""


@dataclass(frozen=True, eq=False)
class ClassTargets:
    """One of two or more classes: a single logit for two classes, else one logit for each."""

    kind: ClassVar[str] = "class"
    classes: NDArray[Any]
    class_weight: Any = None

    @classmethod
    def of(cls, labels: NDArray[Any], class_weight: Any) -> ClassTargets:
        """The classes among these labels."""
        classes = np.unique(labels)
        if len(classes) < 2:
            raise ValueError(f"expected at least two classes in y, got 1 class: {classes.tolist()}")
        return cls(classes, class_weight)

    @property
    def n_outputs(self) -> int:
        return 1 if len(self.classes) == 2 else len(self.classes)

    @property
    def loss(self) -> BinaryCrossEntropy | CategoricalCrossEntropy:
        return BinaryCrossEntropy() if self.n_outputs == 1 else CategoricalCrossEntropy()

    @property
    def attributes(self) -> dict[str, Any]:
        return {"classes_": self.classes}

    def with_settings(self, settings: Any) -> ClassTargets:
        return replace(self, class_weight=settings.class_weight)

    def encode(self, y: Any) -> NDArray[np.intp]:
        """Positions in ``classes`` (n,)."""
        y, multilabel = check_labels(y)
        if multilabel:
            raise ValueError(f"y: expected labels of shape (n_samples,), got {y.shape}")
        codes = np.searchsorted(self.classes, y).clip(max=len(self.classes) - 1)
        unknown = self.classes[codes].astype(object) != y.astype(object)  # of any two types
        if unknown.any():
            k = int(np.argmax(unknown))
            got = y[k : k + 1].tolist()[0]
            raise ValueError(f"y[{k}]: expected one of {self.classes.tolist()}, got {got!r}")
        return codes

    def weigh(self, rows: NDArray[Any], weights: Array) -> Array:
        if self.class_weight is None:
            return weights
        return weights * class_factors(self.class_weight, rows, weights, self.classes)

    def fit(self, rows: NDArray[Any], weights: Array) -> ClassTargets:
        return self

    def scale(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows[:, None].astype(float) if self.n_outputs == 1 else rows

    def decode(self, raw: Array) -> NDArray[Any]:
        codes = (raw[:, 0] > 0).astype(np.intp) if self.n_outputs == 1 else raw.argmax(axis=1)
        return self.classes[codes]

    def logits(self, raw: Array) -> Array:
        """What `decision_function` returns."""
        return raw[:, 0] if self.n_outputs == 1 else raw

    def gradient(self, raw: Array, target: Any) -> Array:
        unit = np.eye(self.n_outputs, dtype=raw.dtype)
        if target is None:
            return unit[raw.argmax(axis=1)]
        code = _position(target, self.classes)
        if self.n_outputs == 1:
            return np.full_like(raw, 1 if code == 1 else -1)
        return unit[np.full(len(raw), code)]

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, eq=False)
class LabelTargets:
    """Several labels of a sample, each zero or one, with a logit for each."""

    kind: ClassVar[str] = "label"
    n_outputs: int
    class_weight: Any = None

    @property
    def loss(self) -> MultilabelCrossEntropy:
        return MultilabelCrossEntropy()

    @property
    def classes(self) -> NDArray[np.intp]:
        return np.arange(self.n_outputs)

    @property
    def attributes(self) -> dict[str, Any]:
        return {"classes_": self.classes}

    def with_settings(self, settings: Any) -> LabelTargets:
        return replace(self, class_weight=settings.class_weight)

    def encode(self, y: Any) -> NDArray[np.float64]:
        """Zeros and ones (n, K)."""
        y, multilabel = check_labels(y)
        if not multilabel or y.shape[1] != self.n_outputs:
            expected = f"(n_samples, {self.n_outputs})"
            raise ValueError(f"y: expected labels of shape {expected}, got {y.shape}")
        return y.astype(np.float64)

    def weigh(self, rows: NDArray[Any], weights: Array) -> Array:
        if self.class_weight is None:
            return weights
        return weights * label_factors(self.class_weight, rows, weights)

    def fit(self, rows: NDArray[Any], weights: Array) -> LabelTargets:
        return self

    def scale(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows

    def decode(self, raw: Array) -> NDArray[np.int64]:
        return (raw > 0).astype(np.int64)

    def logits(self, raw: Array) -> Array:
        """What `decision_function` returns."""
        return raw

    def gradient(self, raw: Array, target: Any) -> Array:
        unit = np.eye(self.n_outputs, dtype=raw.dtype)
        if target is None:
            return unit[raw.argmax(axis=1)]
        return unit[np.full(len(raw), _position(target, self.classes))]

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, eq=False)
class NumberTargets:
    """One or several numbers, each standardised by itself.

    The network learns ``(y - mean) / scale``. A scale of zero marks a constant target, of which
    every prediction is the mean. Predictions have the given ``dtype``; ``one_column`` tells
    whether they are (n,) rather than (n, K).
    """

    kind: ClassVar[str] = "number"
    n_outputs: int
    one_column: bool
    dtype: str
    loss_name: str
    huber_delta: float
    quantile: float
    mean: NDArray[np.float64] | None = None  # (K,)
    deviation: NDArray[np.float64] | None = None  # (K,)

    @classmethod
    def of(cls, y: Any, dtype: np.dtype[Any], settings: Any) -> NumberTargets:
        """As many outputs as ``y`` (n,) or (n, K) has columns."""
        y = check_numbers(y)
        one_column = y.ndim == 1
        n_outputs = 1 if one_column else y.shape[1]
        return cls(
            n_outputs, one_column, dtype.name, settings.loss, settings.huber_delta,
            settings.quantile,
        )  # fmt: skip

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
        return replace(
            self,
            loss_name=settings.loss,
            huber_delta=settings.huber_delta,
            quantile=settings.quantile,
        )

    def encode(self, y: Any) -> NDArray[np.float64]:
        """Finite numbers (n, K)."""
        y = check_numbers(y)
        if (y.ndim == 1) != self.one_column or (y.ndim == 2 and y.shape[1] != self.n_outputs):
            expected = "(n_samples,)" if self.one_column else f"(n_samples, {self.n_outputs})"
            raise ValueError(f"y: expected targets of shape {expected}, got {y.shape}")
        y = y[:, None] if self.one_column else y
        if self.loss_name == "poisson" and (y < 0).any():
            k = int(np.argmax((y < 0).any(axis=1)))
            raise ValueError(f'y[{k}]: expected zero or more with loss="poisson", got {y[k].min()}')
        return y

    def weigh(self, rows: NDArray[Any], weights: Array) -> Array:
        return weights

    def fit(self, rows: Array, weights: Array) -> NumberTargets:
        """Weighted mean and standard deviation; of counts the mean alone, as the scale."""
        mean: NDArray[np.float64] = np.average(rows, axis=0, weights=weights)
        if self.loss_name == "poisson":
            deviation = np.where(mean > 0, mean, 1.0)
            return replace(self, mean=np.zeros_like(mean), deviation=deviation)
        deviation = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=weights))
        # The standard deviation of a constant target consists of rounding errors.
        constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        return replace(self, mean=mean, deviation=np.where(constant, 0.0, deviation))

    @property
    def units(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Standard deviation and mean of each output, once `fit` has learned them."""
        assert self.deviation is not None
        assert self.mean is not None
        return self.deviation, self.mean

    @property
    def is_affine(self) -> bool:
        """Whether predictions are ``raw * deviation + mean``."""
        return bool(self.loss.out_activation == "identity")

    def scale(self, rows: NDArray[Any]) -> NDArray[Any]:
        deviation, mean = self.units
        return (rows - mean) / np.where(deviation == 0, 1.0, deviation)

    def decode(self, raw: Array) -> NDArray[Any]:
        deviation, mean = self.units
        y = self.loss.predictions(raw) * deviation + mean
        return self.shaped(y.astype(self.dtype, copy=False))

    def shaped(self, predictions: NDArray[Any]) -> NDArray[Any]:
        """Predictions (n, K) in the shape of the targets."""
        return predictions[:, 0] if self.one_column else predictions

    def gradient(self, raw: Array, target: Any) -> Array:
        if target is None and self.n_outputs > 1:
            raise ValueError(f"target: expected an output, 0 to {self.n_outputs - 1}, got None")
        if target is not None and target not in range(self.n_outputs):
            raise ValueError(f"target: expected 0 to {self.n_outputs - 1}, got {target!r}")
        gradient = np.zeros_like(raw)
        gradient[:, target or 0] = 1
        derivative = 1.0 if self.is_affine else np.exp(raw)
        return (gradient * derivative * self.units[0]).astype(raw.dtype)

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


def from_dict(values: dict[str, Any]) -> Targets:
    """The targets that ``as_dict`` described."""
    kinds: dict[str, Any] = {
        kind.kind: kind for kind in (ClassTargets, LabelTargets, NumberTargets)
    }
    values = dict(values)
    targets: Targets = kinds[values.pop("kind")](**values)
    return targets


def _position(target: Any, classes: NDArray[Any]) -> int:
    """Where a class stands among all."""
    found = np.flatnonzero(classes == target)
    if len(found) == 0:
        raise ValueError(f"target: expected one of {classes.tolist()}, got {target!r}")
    return int(found[0])
