"""Targets between what users give and what the network learns.

Shapes: ``n`` samples, ``K`` outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class TargetScaler:
    """Affine map of each regression target by itself: (y - mean) / scale."""

    mean: NDArray[np.float64]  # (K,)
    scale: NDArray[np.float64]  # (K,)

    @classmethod
    def fit(cls, y: Array, weight: Array, *, centre: bool) -> TargetScaler:
        """Weighted mean and standard deviation; without ``centre``, the mean alone is the scale."""
        mean = np.average(y, axis=0, weights=weight)
        if not centre:
            return cls(np.zeros_like(mean), np.where(mean > 0, mean, 1.0))
        scale = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weight))
        # A constant target has a standard deviation of rounding errors, not of anything to learn.
        constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        return cls(mean, np.where(constant, 1.0, scale))

    def transform(self, y: Array) -> Array:
        return (y - self.mean) / self.scale

    def inverse_transform(self, y: Array) -> NDArray[np.float64]:
        return y * self.scale + self.mean


def balanced_weights(codes: NDArray[np.intp], n_classes: int, weight: Array) -> NDArray[np.float64]:
    """For each class, the factor that gives all classes that occur the same total weight."""
    totals = np.bincount(codes, weights=weight, minlength=n_classes)
    occurring = np.count_nonzero(totals)
    with np.errstate(divide="ignore"):
        return np.where(totals > 0, weight.sum() / (occurring * totals), 0.0)


def given_weights(class_weight: dict[Any, float], classes: NDArray) -> NDArray[np.float64]:
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
