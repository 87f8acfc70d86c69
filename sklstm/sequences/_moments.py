"""Weighted mean and standard deviation of columns, of any finite scale.

Values are multiplied by a power of two first, so that squares neither overflow nor underflow. This
changes no digit of a result.

Shapes: ``S`` rows, ``K`` columns.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: A column is constant if its deviation is at most this fraction of its mean: rounding errors.
CONSTANT = 10 * np.finfo(np.float64).eps


class Moments(NamedTuple):
    """Total weight of the rows, and mean and standard deviation of each column (K,)."""

    weight: float
    mean: Array
    deviation: Array


def moments(values: NDArray[np.floating], weights: Array | None = None) -> Moments:
    """The moments of the rows of ``values`` (S, K), weighted by ``weights`` (S,)."""
    exponent = _exponent(np.abs(values).max(axis=0))
    scaled = np.ldexp(values.astype(np.float64, copy=False), -exponent)
    mean = np.average(scaled, axis=0, weights=weights)
    deviation = np.sqrt(np.average((scaled - mean) ** 2, axis=0, weights=weights))
    weight = float(len(values) if weights is None else weights.sum())
    return Moments(weight, np.ldexp(mean, exponent), np.ldexp(deviation, exponent))


def merge(one: Moments, other: Moments) -> Moments:
    """The moments of the rows of both."""
    weight = one.weight + other.weight
    share = other.weight / weight
    sizes = [np.abs(one.mean), np.abs(other.mean), one.deviation, other.deviation]
    exponent = _exponent(np.max(sizes, axis=0)) + 1
    mean_1, mean_2, deviation_1, deviation_2 = (
        np.ldexp(part, -exponent) for part in (one.mean, other.mean, one.deviation, other.deviation)
    )
    distance = mean_2 - mean_1
    within = deviation_1**2 * (1 - share) + deviation_2**2 * share
    deviation = np.sqrt(within + distance**2 * share * (1 - share))
    mean = mean_1 + distance * share
    return Moments(weight, np.ldexp(mean, exponent), np.ldexp(deviation, exponent))


def is_constant(mean: Array, deviation: Array) -> NDArray[np.bool_]:
    """Whether the deviation of a column consists of rounding errors."""
    return np.asarray(deviation <= CONSTANT * np.abs(mean))


def standardize(values: NDArray[np.floating], mean: Array, deviation: Array) -> Array:
    """``(values - mean) / deviation`` in float64; zero where the deviation is zero."""
    exponent = _exponent(np.maximum(np.abs(values).max(axis=0), np.abs(mean))) + 1
    distance = np.ldexp(values.astype(np.float64, copy=False), -exponent)
    distance -= np.ldexp(mean, -exponent)
    scaled = np.ldexp(deviation, -exponent)
    return np.divide(distance, scaled, out=np.zeros_like(distance), where=scaled != 0)


def _exponent(sizes: Array) -> NDArray[np.intc]:
    """The exponents of the smallest powers of two above these sizes."""
    return np.asarray(np.frexp(sizes)[1])
