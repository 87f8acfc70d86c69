"""Weighted mean and standard deviation of columns, of any finite scale.

Very large and very small values are multiplied by a power of two first, so that squares neither
overflow nor underflow. This changes no digit of a result.

Shapes: ``S`` rows, ``n`` segments of rows, ``K`` columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
#: Minimum and maximum of each column.
Extremes = tuple[NDArray[Any], NDArray[Any]]

#: A column is constant if its deviation is at most this fraction of its mean: rounding errors.
CONSTANT = 10 * np.finfo(np.float64).eps

#: Sums of squares of numbers with smaller exponents neither overflow nor underflow.
MODERATE_EXPONENT = 400

#: Approximate length of a row of repeated channels: NumPy is slow along a short last axis.
TILE_NUMBERS = 512


class Moments(NamedTuple):
    """Total weight of the known values, and mean and standard deviation of each column."""

    weight: Array | float
    mean: Array
    deviation: Array


def moments(
    values: NDArray[np.floating], weights: Array | None = None, extremes: Extremes | None = None
) -> Moments:
    """Return the moments of the rows of ``values`` (S, K), with shapes (K,).

    ``extremes`` are those of `column_extremes`, if they are known.
    """
    if extremes is not None:
        extremes = extremes[0][None], extremes[1][None]
    weight, mean, deviation = segment_moments(values, np.zeros(1, np.intp), weights, extremes)
    return Moments(np.asarray(weight)[0], mean[0], deviation[0])


def segment_moments(
    values: NDArray[np.floating],
    starts: Indices,
    weights: Array | None = None,
    extremes: Extremes | None = None,
) -> Moments:
    """Return the moments of each segment of the rows of ``values`` (S, K), with shapes (n, K).

    The segments begin at the rows ``starts`` (n,). A value is missing if it is NaN or if its row
    has weight zero in ``weights`` (S,). The moments of no values are NaN. ``extremes`` are those of
    `segment_extremes`, if they are known.

    Sums are taken relative to the middle between minimum and maximum. So the deviation of a
    constant is zero, its mean is exact, and no precision is lost if the mean is large.
    """
    if weights is not None:
        values = np.where(weights[:, None] > 0, values, np.nan)
    low, high = (k.astype(np.float64) for k in extremes or segment_extremes(values, starts))
    exponent = _exponent(np.maximum(-low, high))
    origin = _scaled(low, -exponent) / 2 + _scaled(high, -exponent) / 2
    sums = _SegmentSums(values, starts, weights)
    scaled = np.ldexp(values, -sums.repeat(exponent)) if exponent.any() else values
    distance = _subtract(scaled, sums.repeat(origin), np.empty(values.shape))
    mean = sums.average(distance)
    _subtract(distance, sums.repeat(mean), distance)
    deviation = np.sqrt(sums.average(np.square(distance, out=distance)))
    return Moments(sums.weight, np.ldexp(origin + mean, exponent), np.ldexp(deviation, exponent))


def _subtract(values: NDArray[np.floating], rows: NDArray[np.floating], out: Array) -> Array:
    """Write ``values`` (S, K) minus ``rows``, (S, K) or (1, K), to ``out`` and return it."""
    n_tiled = 0
    if len(rows) == 1:
        n = _n_tiled(rows.size)
        n_tiled = len(values) // n * n
        tiled, tiled_out = (array[:n_tiled].reshape(-1, n * rows.size) for array in (values, out))
        np.subtract(tiled, np.tile(rows, n), out=tiled_out, dtype=np.float64)
    np.subtract(values[n_tiled:], rows, out=out[n_tiled:], dtype=np.float64)
    return out


def segment_extremes(values: NDArray[Any], starts: Indices) -> Extremes:
    """Return the minimum and maximum (n, K) of each segment; NaN is a missing value."""
    if len(starts) == 1:
        low, high = column_extremes(values[starts[0] :])
        return low[None], high[None]
    low, high = (function.reduceat(values, starts, axis=0) for function in (np.fmin, np.fmax))
    return low, high


def column_extremes(values: NDArray[Any]) -> Extremes:
    """Return the minimum and maximum (K,) of each column; NaN is a missing value."""
    n_rows, width = values.shape
    n_tiled = _n_tiled(width)
    n_whole = n_rows // n_tiled * n_tiled
    if n_whole == 0:
        return np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    tiled, rest = values[:n_whole].reshape(-1, n_tiled * width), values[n_whole:]
    found = (
        np.concatenate([function.reduce(tiled, axis=0).reshape(n_tiled, width), rest])
        for function in (np.fmin, np.fmax)
    )
    low, high = found
    return np.fmin.reduce(low, axis=0), np.fmax.reduce(high, axis=0)


def _n_tiled(width: int) -> int:
    """Return how many rows of this width are processed as one."""
    return max(1, TILE_NUMBERS // width)


class _SegmentSums:
    """Weighted averages of the known values of segments; ``weight`` (n, K) is their weight."""

    def __init__(
        self, values: NDArray[np.floating], starts: Indices, weights: Array | None
    ) -> None:
        self._starts = starts
        self._lengths = np.diff(starts, append=len(values))
        missing = np.isnan(values)
        self._missing = missing if missing.any() else None
        self._weighted, shape = weights is not None, (len(starts), values.shape[1])
        if weights is None and self._missing is None:
            self.weight = self._total = np.broadcast_to(self._lengths[:, None] * 1.0, shape)
            return
        factors = np.ones(len(values)) if weights is None else weights
        exponent = _exponent(np.max(factors, keepdims=True))
        factors = _scaled(factors, -exponent)
        self._factors = factors[:, None] if self._missing is None else factors[:, None] * ~missing
        self._total = np.broadcast_to(np.add.reduceat(self._factors, starts, axis=0), shape)
        self.weight = np.ldexp(self._total, exponent)

    def repeat(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Repeat the row of each segment for all its rows; a single row is left to broadcast."""
        return rows if len(rows) == 1 else np.repeat(rows, self._lengths, axis=0)

    def average(self, values: Array) -> Array:
        """Return the weighted mean of each segment (n, K), NaN if no value is known.

        Missing values are replaced by zero.
        """
        if self._missing is not None:
            values[self._missing] = 0
        weighted = values * self._factors if self._weighted else values
        sums = np.add.reduceat(weighted, self._starts, axis=0)
        return np.divide(sums, self._total, out=np.full_like(sums, np.nan), where=self._total > 0)


def merge(one: Moments, other: Moments) -> Moments:
    """Return the moments of the rows of both."""
    weight = one.weight + other.weight
    share = other.weight / weight
    sizes = [np.abs(one.mean), np.abs(other.mean), one.deviation, other.deviation]
    exponent = _exponent(np.max(sizes, axis=0))
    mean_1, mean_2, deviation_1, deviation_2 = (
        _scaled(part, -exponent) for part in (one.mean, other.mean, one.deviation, other.deviation)
    )
    distance = mean_2 - mean_1
    within = deviation_1**2 * (1 - share) + deviation_2**2 * share
    deviation = np.sqrt(within + distance**2 * share * (1 - share))
    mean = mean_1 + distance * share
    return Moments(weight, np.ldexp(mean, exponent), np.ldexp(deviation, exponent))


def is_constant(mean: NDArray[np.floating], deviation: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether the deviation of a column consists of rounding errors."""
    return np.asarray(deviation <= CONSTANT * np.abs(mean))


def moderate(values: NDArray[Any], *others: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Multiply all arrays by the power of two that brings ``values`` near one.

    Only very large or very small floating-point numbers are changed.
    """
    if values.dtype.kind != "f":
        return values, *others
    exponent = -_exponent(np.abs(values).max(axis=0))
    return tuple(_scaled(array, exponent) for array in (values, *others))


def standardize(values: NDArray[np.floating], center: Array, half_scale: Array) -> Array:
    """Return ``(values - center) / (2 half_scale)`` in float64; zero where the scale is zero.

    With halves, the difference of two numbers does not overflow.
    """
    distance = np.multiply(values, 0.5, dtype=np.float64)
    distance -= center * 0.5
    scale = np.where(half_scale == 0, np.inf, half_scale)
    return np.divide(distance, scale, out=distance)


def unstandardize(values: NDArray[np.floating], center: Array, half_scale: Array) -> Array:
    """Return ``values * 2 half_scale + center`` in float64, the inverse of `standardize`."""
    half = np.multiply(values, half_scale, dtype=np.float64)
    half += center * 0.5
    return np.multiply(half, 2, out=half)


def _exponent(sizes: NDArray[np.floating]) -> NDArray[np.intc]:
    """Return the exponents of these sizes; zero where scaling is not needed."""
    exponent = np.frexp(sizes)[1]
    needed = np.isfinite(sizes) & (np.abs(exponent) > MODERATE_EXPONENT)
    return np.where(needed, exponent, 0)


def _scaled(values: NDArray[Any], exponent: NDArray[np.intc]) -> NDArray[Any]:
    """Return the values times two to the power of ``exponent``, copied only if that is not one."""
    return np.ldexp(values, exponent) if exponent.any() else values
