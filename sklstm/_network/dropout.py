"""Dropout with one mask a sequence, the same at each of its steps (Gal & Ghahramani 2016)."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklstm._network.hidden import Hidden

Array = NDArray[np.floating]


def draw_mask(
    rng: np.random.RandomState, shape: tuple[int, int], rate: float, dtype: DTypeLike
) -> Array:
    """Zero with probability ``rate``, else 1 / (1 - rate), so that the mean stays as it was."""
    kept = rng.random_sample(shape) >= rate
    return np.divide(kept, 1.0 - rate, dtype=dtype)


def apply(hidden: Hidden, mask: Array, row_of: NDArray[np.intp]) -> Hidden:
    """Multiply by the mask; as the map is linear, its own reverse.

    ``mask`` (n, width) has a row for each sequence, ``row_of`` (n_packed,) names the sequence of
    each packed row.
    """
    steps = None if hidden.steps is None else hidden.steps * mask[row_of]
    last = None if hidden.last is None else hidden.last * mask
    return Hidden(steps, last)
