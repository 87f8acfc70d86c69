"""How many sequences of a packed batch have each time step."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: Shorter arrays of indices and equal batch sizes are kept for the next batch.
MANY = 10_000


def steps_and_rows(
    batch_sizes: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the time step and the sequence of each packed row."""
    steps = np.repeat(np.arange(len(batch_sizes)), batch_sizes)
    starts = np.cumsum(batch_sizes) - batch_sizes
    return steps, np.arange(len(steps)) - starts[steps]


def sizes_of_steps(lengths: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the number of sequences that have each time step; ``lengths`` must decrease."""
    longest = int(lengths[0])
    if longest == lengths[-1]:
        if longest < MANY:
            return _equal_batch_sizes(len(lengths), longest)
        return np.broadcast_to(np.intp(len(lengths)), longest)  # needs no memory, but is slower
    return np.searchsorted(-lengths, -np.arange(longest), side="left")


def first_integers(n: int) -> NDArray[np.intp]:
    """Return the integers from 0 to n - 1, the same read-only array for many small batches."""
    return _kept_integers(n) if n < MANY else np.arange(n)


@lru_cache(maxsize=16)
def _kept_integers(n: int) -> NDArray[np.intp]:
    integers = np.arange(n)
    integers.flags.writeable = False
    return integers


@lru_cache(maxsize=16)
def _equal_batch_sizes(n: int, n_steps: int) -> NDArray[np.intp]:
    """Return the same read-only array for many batches."""
    batch_sizes = np.full(n_steps, n)
    batch_sizes.flags.writeable = False
    return batch_sizes
