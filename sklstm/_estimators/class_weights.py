"""What `class_weight` multiplies the weight of each sample by.

Shapes: ``n`` samples, ``K`` labels a sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


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
