"""The three kinds of targets, each between what users give and what the network learns.

A kind is made from the targets of the first fit. It encodes targets as rows of numbers, weighs
them, scales them for the loss, and turns raw predictions back into predictions.

Shapes: ``n`` rows (samples, or time steps), ``K`` raw predictions of a row.
"""

from __future__ import annotations

from collections.abc import Callable
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
#: From the number of a row of the targets to its name in errors.
Name = Callable[[int], str]


def name_of_row(row: int) -> str:
    """The name of a target in errors."""
    return f"y[{row}]"


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
        codes = np.searchsorted(self.classes, y).clip(max=len(self.classes) - 1)
        unknown = self.classes[codes].astype(object) != y.astype(object)  # of any two types
        if unknown.any():
            k = int(np.argmax(unknown))
            got = y[k : k + 1].tolist()[0]
            raise ValueError(f"{name(k)}: expected one of {self.classes.tolist()}, got {got!r}")
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


@dataclass(frozen=True, eq=False)
class NumberTargets:
    """One or several numbers, each standardised by itself.

    The network learns ``(y - mean) / scale``. A scale of zero marks a constant target, which every
    prediction equals. Predictions have the given ``dtype``; ``one_column`` tells whether they are
    (n,) rather than (n, K).
    """

    kind: ClassVar[str] = "number"
    n_outputs: int
    one_column: bool
    dtype: str
    loss_name: str
    huber_delta: float
    quantile: float
    weight_seen: float = 0.0
    mean_seen: NDArray[np.float64] | None = None  # (K,)
    deviation_seen: NDArray[np.float64] | None = None  # (K,)

    @classmethod
    def of(cls, y: Any, settings: Any) -> NumberTargets:
        """As many outputs as ``y`` (n,) or (n, K) has columns; predictions of its precision."""
        single = str(getattr(y, "dtype", "")) in ("float32", "float16")
        y = check_numbers(y)
        one_column = y.ndim == 1
        return cls(
            n_outputs=1 if one_column else y.shape[1],
            one_column=one_column,
            dtype="float32" if single else "float64",
            loss_name=settings.loss,
            huber_delta=settings.huber_delta,
            quantile=settings.quantile,
        )

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
        if (y.ndim == 1) != self.one_column or (y.ndim == 2 and y.shape[1] != self.n_outputs):
            expected = "(n_samples,)" if self.one_column else f"(n_samples, {self.n_outputs})"
            raise ValueError(f"y: expected targets of shape {expected}, got {y.shape}")
        y = y[:, None] if self.one_column else y
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
        return predictions[:, 0] if self.one_column else predictions

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
        """Return the index of the output that ``target`` names."""
        if target is None and self.n_outputs > 1:
            raise ValueError(f"target: expected an output, 0 to {self.n_outputs - 1}, got None")
        if target is not None and target not in range(self.n_outputs):
            raise ValueError(f"target: expected 0 to {self.n_outputs - 1}, got {target!r}")
        return int(target or 0)

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


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
