"""The weights of classes, which multiply the weights of samples.

Shapes: ``n`` samples, ``K`` labels of a sample, ``C`` classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def class_factors(
    class_weight: Any, codes: NDArray[np.intp], weights: Array, classes: NDArray[Any]
) -> Array:
    """The weight of each class (C,), from a dict or "balanced"; the samples decide the balance."""
    if isinstance(class_weight, str):
        return _balanced(codes, len(classes), weights)
    if not isinstance(class_weight, dict):
        raise ValueError(f'class_weight: expected a dict or "balanced", got {class_weight!r}')
    return _given(class_weight, classes)


def label_factors(class_weight: Any, targets: NDArray[Any], weights: Array) -> Array:
    """The weights of zero and one of each label (K, 2)."""
    n_labels = targets.shape[1]
    columns = ["balanced"] * n_labels if class_weight == "balanced" else class_weight
    if not isinstance(columns, list) or len(columns) != n_labels:
        raise ValueError(
            'class_weight: expected "balanced" or a list with a dict for each of the '
            f"{n_labels} labels, got {class_weight!r}"
        )
    for k, column in enumerate(columns):
        if isinstance(column, dict) and not set(column) <= {0, 1}:
            raise ValueError(f"class_weight[{k}]: expected the keys 0 and 1, got {column}")
    codes = targets.astype(np.intp)
    factors = [
        class_factors(column, codes[:, k], weights, np.array([0, 1]))
        for k, column in enumerate(columns)
    ]
    return np.stack(factors)


def _balanced(codes: NDArray[np.intp], n_classes: int, weight: Array) -> Array:
    """The factors that give all classes that occur the same total weight, and one to the others."""
    totals = np.bincount(codes, weights=weight, minlength=n_classes)
    occurring = totals > 0
    n_occurring = np.count_nonzero(occurring)
    factors = np.ones(n_classes)
    return np.divide(totals.sum(), n_occurring * totals, out=factors, where=occurring)


def _given(class_weight: dict[Any, Any], classes: NDArray[Any]) -> Array:
    """The factors of a dict; one for a class that it does not name."""
    try:
        given = {label: float(factor) for label, factor in class_weight.items()}
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"class_weight: expected numbers, got {class_weight}") from error
    if not all(0 <= factor < np.inf for factor in given.values()):
        raise ValueError(f"class_weight: expected finite, non-negative factors, got {class_weight}")
    return np.array([given.get(label, 1.0) for label in classes.tolist()])
