"""The mean and scale of input channels, which are applied when a batch is packed.

Shapes: ``S`` steps of all sequences, ``P`` packed rows, ``D`` channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklstm.sequences._cached_property import cached_property
from sklstm.sequences._moments import (
    MODERATE_EXPONENT,
    TILE_NUMBERS,
    Extremes,
    Moments,
    column_extremes,
    is_constant,
    merge,
    moments,
)

Array = NDArray[np.float64]

#: Number of values in a block for which moments are computed; it fits into the processor's cache.
BLOCK_NUMBERS = 2**16

#: Larger total weights are replaced by this, so that their sum is finite.
LARGEST_WEIGHT = 2.0**980

#: Scales are at most this.
LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, eq=False)
class Scaling:
    """The moments of each channel of the training steps, and what follows from them.

    A channel that was constant so far, up to rounding errors, has an infinite scale: it becomes
    zero, whatever its value.

    Parameters
    ----------
    weight_seen : float
        Total weight of the steps.
    mean_seen, deviation_seen : ndarray of shape (D,)
        Weighted mean and standard deviation.
    low_seen, high_seen : ndarray of shape (D,) or None
        Minimum and maximum; None if they are not known.
    nonzero_seen : ndarray of shape (D,) or None
        Fraction of the weight that has values other than zero; None if it is not known. It is 1 for
        channels with values of both signs, where it is not used.
    """

    weight_seen: float
    mean_seen: Array
    deviation_seen: Array
    low_seen: Array | None = None
    high_seen: Array | None = None
    nonzero_seen: Array | None = None

    @classmethod
    def of(cls, values: NDArray[np.floating], weights: Array) -> Scaling:
        """The scaling of steps (S, D) with these weights (S,)."""
        equal = weights.min() == weights.max()
        with np.errstate(over="ignore"):
            blocks = list(_blocks(values, None if equal else weights))
            found = reduce(merge, [of_block for of_block, _ in blocks])
            if equal:
                found = found._replace(weight=found.weight * weights[0])
            low = np.min([low for _, (low, _) in blocks], axis=0).astype(np.float64)
            high = np.max([high for _, (_, high) in blocks], axis=0).astype(np.float64)
            nonzero = _nonzero_fraction(values, weights, _one_sided(low, high))
            return cls._from(found, low, high, nonzero)

    def merged(self, other: Scaling) -> Scaling:
        """The scaling of the steps of both."""
        low = high = None
        if self.low_seen is not None and other.low_seen is not None:
            low = np.minimum(self.low_seen, other.low_seen)
        if self.high_seen is not None and other.high_seen is not None:
            high = np.maximum(self.high_seen, other.high_seen)
        nonzero = None
        if self.nonzero_seen is not None and other.nonzero_seen is not None:
            share = other.weight_seen / (self.weight_seen + other.weight_seen)
            nonzero = (1 - share) * self.nonzero_seen + share * other.nonzero_seen
        return self._from(merge(self._moments, other._moments), low, high, nonzero)

    @classmethod
    def _from(
        cls, found: Moments, low: Array | None, high: Array | None, nonzero: Array | None
    ) -> Scaling:
        weight, mean, deviation = found
        weight_seen = min(float(np.max(weight)), LARGEST_WEIGHT)
        return cls(weight_seen, mean, deviation, low, high, nonzero)

    @property
    def _moments(self) -> Moments:
        return Moments(self.weight_seen, self.mean_seen, self.deviation_seen)

    def as_dict(self) -> dict[str, Any]:
        """Plain values to save; ``Scaling(**values)`` restores the scaling."""
        return asdict(self)

    @cached_property
    def keeps_zero(self) -> NDArray[np.bool_]:
        """Which channels are not centered, (D,).

        Those where zero is a bound of the values and the deviation is larger than the mean, as for
        rainfall or one-hot vectors: zeros remain zeros. The rule was chosen by cross-validation,
        see docs/accuracy.rst.
        """
        if self.low_seen is None or self.high_seen is None:
            return np.zeros(self.mean_seen.shape, np.bool_)
        is_small = np.abs(self.mean_seen) < self.deviation_seen
        return _one_sided(self.low_seen, self.high_seen) & is_small

    @property
    def mean(self) -> Array:
        """What is subtracted from each channel, (D,)."""
        return np.where(self.keeps_zero, 0.0, self.mean_seen)

    @cached_property
    def scale(self) -> Array:
        """What each channel is divided by, (D,).

        The deviation or, if the channel is not centered, the root mean square of the values other
        than zero. So one-hot vectors do not change.
        """
        constant = is_constant(self.mean_seen, self.deviation_seen)
        scale = np.where(constant, np.inf, self.deviation_seen)
        if self.nonzero_seen is None:
            return scale
        with np.errstate(over="ignore", invalid="ignore"):
            size = np.hypot(self.mean_seen, self.deviation_seen) / np.sqrt(self.nonzero_seen)
        return np.where(self.keeps_zero, np.minimum(size, LARGEST), scale)

    @property
    def is_wide(self) -> bool:
        """Whether gradients at the inputs may be too large or too small for float32."""
        finite = self.scale[np.isfinite(self.scale)]
        return bool(((finite > 1e30) | (finite < 1e-30)).any())

    def apply(self, values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
        """Return ``(values - mean) / scale``, computed in float64, in this dtype; (P, D)."""
        return self.take(values, np.arange(len(values)), dtype)

    def of_step(self, n: int, dtype: DTypeLike) -> Callable[[NDArray[np.floating]], NDArray[Any]]:
        """Return a function that does what `apply` does, faster for few values (n, D).

        It may return the same array in each call. Casts and broadcasting in ufuncs, and
        ``np.errstate``, take longer than the arithmetic, so it avoids them. Values whose results
        may not be finite are left to `apply`.
        """
        if self._is_extreme:
            return partial(self.apply, dtype=dtype)
        shape = (n, len(self.mean_seen))
        center, factor = (np.tile(array[: shape[1]], (n, 1)) for array in self._tiled[1:])
        wide, scaled = np.empty(shape), np.empty(shape, dtype)
        flat = wide.reshape(-1)
        with np.errstate(over="ignore", divide="ignore"):
            largest = np.finfo(dtype).max / 2 / factor - np.abs(center)
        bound = float(largest.min(initial=1e150))
        square = bound**2 if bound > 0 else -1.0

        def apply(values: NDArray[np.floating]) -> NDArray[Any]:
            wide[...] = values
            if not np.vdot(flat, flat) <= square:  # dot would warn
                return self.apply(values, dtype)
            np.subtract(wide, center, wide)
            np.multiply(wide, factor, wide)
            scaled[...] = wide
            return scaled

        return apply

    def take(self, values: NDArray[Any], rows: NDArray[np.intp], dtype: DTypeLike) -> NDArray[Any]:
        """Return the scaled values (P, D) of these rows of ``values`` (S, D)."""
        n_rows, n_channels = len(rows), values.shape[1]
        n_tiled = max(1, min(len(self._tiled[1]) // n_channels, n_rows))
        width = n_tiled * n_channels
        n_filled = -(-n_rows // n_tiled) * n_tiled
        taken = np.empty((n_filled, n_channels), values.dtype)
        taken[n_rows:] = 0
        values.take(rows, axis=0, out=taken[:n_rows], mode="clip")
        with np.errstate(over="ignore", invalid="ignore"):  # the network refuses such inputs
            scaled = self._scaled(taken.reshape(-1, width), width)
            return scaled.reshape(n_filled, n_channels)[:n_rows].astype(dtype, copy=False)

    def _scaled(self, values: NDArray[Any], width: int) -> Array:
        """Return scaled values (.., width) of whole steps; float64 values are overwritten."""
        exponent, center, factor = (array[:width] for array in self._tiled)
        if self._is_extreme:
            values = np.ldexp(values, -exponent, dtype=np.float64)
        out = values if values.dtype == np.float64 else None
        distance = np.subtract(values, center, out=out, dtype=np.float64)
        return np.multiply(distance, factor, out=distance)

    @cached_property
    def _is_extreme(self) -> bool:
        return bool(self._tiled[0].any())

    @cached_property
    def _tiled(self) -> tuple[NDArray[np.intc], Array, Array]:
        """Exponents, centers and factors: values are ``(x / 2**exponent - center) * factor``.

        Exponents are zero, unless a difference or a factor would overflow. Each is repeated.
        """
        scale = np.where(np.isinf(self.scale), 0.0, self.scale)
        mean = self.mean
        exponent = np.frexp(np.maximum(np.abs(mean), scale))[1]
        small = np.frexp(scale)[1] < -MODERATE_EXPONENT
        exponent = np.where(small | (np.abs(exponent) > MODERATE_EXPONENT), exponent, 0)
        center = np.ldexp(mean, -exponent)
        factor = 1 / np.ldexp(self.scale, -exponent)
        n_channels = len(scale)
        n = 1 if n_channels == 1 else max(1, TILE_NUMBERS // n_channels)
        return np.tile(exponent, n), np.tile(center, n), np.tile(factor, n)


def _one_sided(low: Array, high: Array) -> NDArray[np.bool_]:
    """Whether the values of a channel have no more than one sign."""
    return (low >= 0) | (high <= 0)


def _nonzero_fraction(
    values: NDArray[np.floating], weights: Array, channels: NDArray[np.bool_]
) -> Array:
    """The weighted fraction of the values (S, D) that are not zero; 1 for the other channels."""
    fraction = np.ones(len(channels))
    shares = weights / weights.max()
    for k in np.flatnonzero(channels):
        fraction[k] = np.average(values[:, k] != 0, weights=shares)
    return fraction


def _blocks(
    values: NDArray[np.floating], weights: Array | None
) -> Iterator[tuple[Moments, Extremes]]:
    """Moments and extremes of consecutive rows (S, D) whose weight is not zero."""
    size = max(1, BLOCK_NUMBERS // values.shape[1])
    for first in range(0, len(values), size):
        block = counted = values[first : first + size]
        of_block = None if weights is None else weights[first : first + size]
        if of_block is not None and not of_block.all():
            counted = block[of_block > 0]
        if len(counted) > 0:
            extremes = column_extremes(counted)
            weight, mean, deviation = moments(block, of_block, extremes)
            yield Moments(np.minimum(weight, LARGEST_WEIGHT), mean, deviation), extremes
