"""Dropout with one mask per sequence, the same at each step (Gal & Ghahramani 2016)."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklstm._network.hidden import HiddenStates

Array = NDArray[np.floating]


def draw_mask(
    rng: np.random.RandomState, shape: tuple[int, int], rate: float, dtype: DTypeLike
) -> Array:
    """Return a mask of zeros, with probability ``rate``, and 1 / (1 - rate), so its mean is one."""
    kept = rng.random_sample(shape) >= rate
    return np.divide(kept, 1.0 - rate, dtype=dtype)


def apply(hidden: HiddenStates, mask: Array, row_of: NDArray[np.intp]) -> HiddenStates:
    """Multiply hidden states, or gradients at them, by the mask.

    ``mask`` has shape (n_sequences, width), and ``row_of`` (n_packed,) names the sequence of each
    packed row. A mask is the same at each step and not negative, so sum and maximum of the products
    are the products of sum and maximum.
    """
    steps = None if hidden.steps is None else hidden.steps * mask[row_of]
    last = None if hidden.last is None else hidden.last * mask
    return HiddenStates(steps, last, None if hidden.pooled is None else hidden.pooled.times(mask))
