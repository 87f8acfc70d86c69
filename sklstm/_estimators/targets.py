"""Targets between what users give and what the network learns.

Shapes: ``n`` samples, ``K`` outputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

Array = NDArray[np.floating]


class TargetScaler(NamedTuple):
    """Affine map of each regression target by itself: (y - mean) / scale."""

    mean: NDArray[np.float64]  # (K,)
    scale: NDArray[np.float64]  # (K,)

    @classmethod
    def fit(cls, y: Array, weight: Array, *, centre: bool) -> TargetScaler:
        """Weighted mean and standard deviation; without ``centre``, the mean alone is the scale."""
        mean: NDArray[np.float64] = np.average(y, axis=0, weights=weight)
        if not centre:
            return cls(np.zeros_like(mean), np.where(mean > 0, mean, 1.0))
        scale = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weight))
        # A constant target has a standard deviation of rounding errors, not of anything to learn;
        # a scale of zero makes every prediction its mean.
        constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        return cls(mean, np.where(constant, 0.0, scale))

    def transform(self, y: Array) -> Array:
        return (y - self.mean) / np.where(self.scale == 0, 1.0, self.scale)

    def inverse_transform(self, y: Array) -> NDArray[np.float64]:
        return y * self.scale + self.mean


def _balanced(codes: NDArray[np.intp], n_classes: int, weight: Array) -> NDArray[np.float64]:
    """For each class, the factor that gives all classes that occur the same total weight."""
    totals = np.bincount(codes, weights=weight, minlength=n_classes)
    occurring = np.count_nonzero(totals)
    with np.errstate(divide="ignore"):
        return np.where(totals > 0, weight.sum() / (occurring * totals), 0.0)


def _given(class_weight: dict[Any, float], classes: NDArray[Any]) -> NDArray[np.float64]:
    """The factors of a dict, one where it is silent; a label that is no class is an error."""
    unknown = set(class_weight) - set(classes.tolist())
    if unknown:
        raise ValueError(
            f"class_weight names the label(s) {sorted(unknown, key=str)}, which do not occur in y; "
            f"expected a subset of {classes.tolist()}"
        )
    factors = np.array([class_weight.get(label, 1.0) for label in classes.tolist()], dtype=float)
    if not (np.isfinite(factors).all() and (factors >= 0).all()):
        raise ValueError(f"class_weight: expected finite, non-negative factors, got {class_weight}")
    return factors


def class_factors(
    class_weight: Any, codes: NDArray[np.intp], weights: Array, classes: NDArray[Any]
) -> Array:
    """What ``class_weight``, a dict or "balanced", multiplies the weight of each sample by."""
    if isinstance(class_weight, str):
        return _balanced(codes, len(classes), weights)[codes]
    if not isinstance(class_weight, dict):
        raise ValueError(f'class_weight: expected a dict or "balanced", got {class_weight!r}')
    return _given(class_weight, classes)[codes]


def label_factors(class_weight: Any, targets: NDArray[Any], weights: Array) -> Array:
    """The same for several labels a sample (n, K): the product over the columns' factors."""
    n_labels = targets.shape[1]
    columns = ["balanced"] * n_labels if class_weight == "balanced" else class_weight
    if not isinstance(columns, list) or len(columns) != n_labels:
        raise ValueError(
            'class_weight: expected "balanced" or a list with a dict for each of the '
            f"{n_labels} labels, got {class_weight!r}"
        )
    codes = targets.astype(np.intp)
    factors = [
        class_factors(column, codes[:, k], weights, np.array([0, 1]))
        for k, column in enumerate(columns)
    ]
    return np.asarray(np.prod(factors, axis=0))


def check_labels(y: Any) -> tuple[NDArray[Any], bool]:
    """Labels (n,), or (n, K) zeros and ones; and which of the two."""
    y = check_array(
        y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y", ensure_min_samples=0
    )
    kind = type_of_target(y, input_name="y")
    if kind == "multiclass-multioutput":
        raise ValueError(
            f"y: expected labels (n_samples,) or zeros and ones (n_samples, n_labels), got several "
            f"labels a sample, shape {y.shape}: fit one classifier for each column"
        )
    check_classification_targets(y)
    if kind == "multilabel-indicator":
        return (y.toarray() if issparse(y) else y), True
    return column_or_1d(y, warn=True), False


def encode_labels(y: Any, classes: NDArray[Any], n_labels: int | None) -> NDArray[Any]:
    """Positions in ``classes`` (n,), or zeros and ones (n, n_labels) as floats."""
    y, multilabel = check_labels(y)
    if multilabel != (n_labels is not None) or (multilabel and y.shape[1] != n_labels):
        expected = "(n_samples,)" if n_labels is None else f"(n_samples, {n_labels})"
        raise ValueError(f"y: expected labels of shape {expected}, got {y.shape}")
    if multilabel:
        return y.astype(np.float64)
    codes = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    unknown = classes[codes].astype(object) != y.astype(object)  # of any two types
    if unknown.any():
        k = int(np.argmax(unknown))
        got = y[k : k + 1].tolist()[0]
        raise ValueError(f"y[{k}]: expected one of {classes.tolist()}, got {got!r}")
    return codes


def check_numbers(y: Any) -> NDArray[np.float64]:
    """Finite targets (n,) or (n, K)."""
    y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y", ensure_min_samples=0)
    if y.ndim == 0 or (y.ndim == 2 and y.shape[1] == 0):
        raise ValueError(f"y: expected shape (n_samples,) or (n_samples, n_outputs), got {y.shape}")
    return column_or_1d(y, warn=True) if y.ndim == 1 or y.shape[1] == 1 else y
