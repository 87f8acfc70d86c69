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
from sklstm._estimators.number_targets import NumberTargets
from sklstm._estimators.target_checks import Name, check_labels, name_of_row
from sklstm._network.losses import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Loss,
    MultilabelCrossEntropy,
)

Array = NDArray[np.floating]
Weights = NDArray[np.float64]


class Targets(Protocol):
    """What an estimator asks of the kind of its targets."""

    kind: ClassVar[str]

    @property
    def n_outputs(self) -> int:
        """Targets of a row; of two classes one."""

    @property
    def n_raw(self) -> int:
        """Raw predictions of a row, K."""

    @property
    def loss(self) -> Loss:
        """The loss for targets of this kind."""

    @property
    def attributes(self) -> dict[str, Any]:
        """Public attributes of the fitted estimator that say what the targets are."""

    def with_settings(self, settings: Any) -> Self:
        """The same kind, with the parameters that the estimator has now."""

    def encode(self, y: Any, name: Name = name_of_row) -> NDArray[Any]:
        """Checked targets as numbers, one row each; ``name`` tells what errors call a row."""

    def fit_weights(self, rows: NDArray[Any], weights: Weights) -> Self:
        """The same kind, with the weights of classes among the training targets."""

    def weigh(self, rows: NDArray[Any], weights: Weights) -> Weights:
        """Sample weights times the weights of classes."""

    def fit_units(self, rows: NDArray[Any], weights: Weights) -> Self:
        """The same kind, with the mean and scale of the training targets."""

    def update_units(self, rows: NDArray[Any], weights: Weights) -> Self:
        """The same kind, with the mean and scale of these and all earlier targets."""

    def scale(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Encoded targets in the shape and units of the loss."""

    def decode(self, raw: Array) -> NDArray[Any]:
        """Predictions from raw predictions (n, K)."""

    def gradient(self, raw: Array, target: Any) -> Array:
        """Derivative of the prediction that ``target`` names by the raw predictions (n, K).

        It counts in the unit that `gradient_unit` returns.
        """

    def gradient_unit(self, target: Any) -> float:
        """Unit of `gradient`, which may be too large or too small for the network's dtype."""

    @property
    def gradient_dtype(self) -> str:
        """Least precision of gradients of the predictions."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values to save; `from_dict` restores the targets."""


@dataclass(frozen=True, eq=False)
class ClassTargets:
    """One of two or more classes: a single logit for two classes, else one logit for each."""

    kind: ClassVar[str] = "class"
    classes: NDArray[Any]
    class_weight: Any = None
    factors: NDArray[np.float64] | None = None  # weights of the classes

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
    def n_raw(self) -> int:
        return self.n_outputs

    @property
    def loss(self) -> BinaryCrossEntropy | CategoricalCrossEntropy:
        return BinaryCrossEntropy() if self.n_outputs == 1 else CategoricalCrossEntropy()

    @property
    def attributes(self) -> dict[str, Any]:
        return {"classes_": self.classes}

    def with_settings(self, settings: Any) -> ClassTargets:
        return replace(self, class_weight=settings.class_weight)

    def encode(self, y: Any, name: Name = name_of_row) -> NDArray[np.intp]:
        """Positions in ``classes`` (n,)."""
        y, multilabel = check_labels(y)
        if multilabel:
            raise ValueError(f"y: expected labels of shape (n_samples,), got {y.shape}")
        try:
            codes = np.searchsorted(self.classes, y).clip(max=len(self.classes) - 1)
        except TypeError as error:  # such as dates and numbers
            raise ValueError(
                f"y: expected labels among the classes {self.classes.tolist()}, got dtype {y.dtype}"
            ) from error
        found = self.classes[codes]
        if found.dtype != y.dtype or y.dtype.kind not in "iubU":  # of any two types
            found, y = found.astype(object), y.astype(object)
        unknown = found != y
        if unknown.any():
            k = int(np.argmax(unknown))
            got = y[k : k + 1].tolist()[0]
            raise ValueError(
                f"{name(k)}: expected one of {self.classes.tolist()}, got {got!r}; the first "
                "call of partial_fit needs all labels in classes"
            )
        return codes

    def fit_weights(self, rows: NDArray[Any], weights: Weights) -> ClassTargets:
        if self.class_weight is None:
            return replace(self, factors=None)
        factors = class_factors(self.class_weight, rows, weights, self.classes)
        return replace(self, factors=factors)

    def weigh(self, rows: NDArray[Any], weights: Weights) -> Weights:
        return weights if self.factors is None else weights * self.factors[rows]

    def fit_units(self, rows: NDArray[Any], weights: Weights) -> ClassTargets:
        return self

    def update_units(self, rows: NDArray[Any], weights: Weights) -> ClassTargets:
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

    def gradient_unit(self, target: Any) -> float:
        return 1.0

    @property
    def gradient_dtype(self) -> str:
        return "float32"

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, eq=False)
class LabelTargets:
    """Several labels of a sample, each zero or one, with a logit for each."""

    kind: ClassVar[str] = "label"
    n_outputs: int
    class_weight: Any = None
    factors: NDArray[np.float64] | None = None  # (K, 2), weights of zero and one of each label

    @property
    def n_raw(self) -> int:
        return self.n_outputs

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

    def encode(self, y: Any, name: Name = name_of_row) -> NDArray[np.float64]:
        """Zeros and ones (n, K)."""
        y, multilabel = check_labels(y)
        if not multilabel or y.shape[1] != self.n_outputs:
            expected = f"(n_samples, {self.n_outputs})"
            raise ValueError(f"y: expected labels of shape {expected}, got {y.shape}")
        return y.astype(np.float64)

    def fit_weights(self, rows: NDArray[Any], weights: Weights) -> LabelTargets:
        if self.class_weight is None:
            return replace(self, factors=None)
        return replace(self, factors=label_factors(self.class_weight, rows, weights))

    def weigh(self, rows: NDArray[Any], weights: Weights) -> Weights:
        if self.factors is None:
            return weights
        of_labels = self.factors[np.arange(self.n_outputs), rows.astype(np.intp)]
        return np.asarray(weights * np.prod(of_labels, axis=1))

    def fit_units(self, rows: NDArray[Any], weights: Weights) -> LabelTargets:
        return self

    def update_units(self, rows: NDArray[Any], weights: Weights) -> LabelTargets:
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

    def gradient_unit(self, target: Any) -> float:
        return 1.0

    @property
    def gradient_dtype(self) -> str:
        return "float32"

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


def from_dict(values: dict[str, Any]) -> Targets:
    """The targets that ``as_dict`` described."""
    kinds: dict[str, Any] = {kind.kind: kind for kind in (ClassTargets, LabelTargets)}
    values = dict(values)
    kind = values.pop("kind")
    if kind == NumberTargets.kind:
        return NumberTargets.from_dict(values)
    targets: Targets = kinds[kind](**values)
    return targets


def _position(target: Any, classes: NDArray[Any]) -> int:
    """Position of a class among all."""
    if not np.isscalar(target):
        raise ValueError(f"target: expected one of {classes.tolist()}, got {target!r}")
    found = np.flatnonzero(classes.astype(object) == target)
    if len(found) == 0:
        raise ValueError(f"target: expected one of {classes.tolist()}, got {target!r}")
    return int(found[0])
