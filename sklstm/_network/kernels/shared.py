"""What both kernels take, and how their way back goes through the steps in runs.

The gradients at the gates of one run stay in the processor's cache until the products over all its
rows have read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels.walk import Rows, Walk

Array = NDArray[np.floating]
Table = NDArray[np.int64]  # see ``Walk.table``


class Weights(NamedTuple):
    """Weights of one layer and direction: (D, 4H), (H, 4H) and (4H,)."""

    ih: Array
    hh: Array
    bias: Array


class ReadOut(NamedTuple):
    """An affine map of hidden states: (H, K) and (K,)."""

    weight: Array
    bias: Array


class Run(NamedTuple):
    """Neighbouring steps, from the last visited to the first: their rows, and the slots read."""

    table: Table
    rows: slice
    slots: slice


def runs(walk: Walk, most_rows: int) -> Iterator[Run]:
    """All steps from the last visited to the first, in runs of so many rows at most, or a step."""
    table = np.ascontiguousarray(walk.table[::-1])
    ends = np.cumsum(table[:, 0])
    first, done = 0, 0
    while first < len(table):
        last = int(np.searchsorted(ends, done + most_rows, side="right"))
        last = max(last, first + 1)
        part = table[first:last]
        yield Run(part, *_extent(part))
        first, done = last, int(ends[last - 1])


def _extent(table: Table) -> tuple[slice, slice]:
    """The packed rows and the slots read of neighbouring steps."""
    (size, row, slot, _), (last_size, last_row, last_slot, _) = table[[0, -1]].tolist()
    if last_row < row:
        return slice(last_row, row + size), slice(last_slot, slot + size)
    return slice(row, last_row + last_size), slice(slot, last_slot + last_size)


def select(array: Array, slots: Rows, rows: slice, first: int) -> Array:
    """The slots of packed ``rows``, out of an array that begins with slot ``first``."""
    if isinstance(slots, slice):
        offset = slots.start - first
        return array[rows.start + offset : rows.stop + offset]
    return array[slots[rows] - first]
