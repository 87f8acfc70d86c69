"""Neighbouring steps taken together: in runs of so many rows, in blocks of equally many sequences.

The way back goes through the steps in runs, so that the gradients at the gates of one run stay in
the processor's cache until the product over all its rows has read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels.slots import Rows, Walk

Array = NDArray[np.floating]
Table = NDArray[np.int64]  # see ``Walk.table``


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


class Block(NamedTuple):
    """Neighbouring steps of ``size`` sequences: first row and slots of each, as in the table."""

    size: int
    rows: list[int]
    sources: list[int]
    targets: list[int]
    even: bool  # whether their slots lie one behind the other, as rows always do

    @property
    def extent(self) -> slice:
        """The packed rows of all steps."""
        return slice(min(self.rows[0], self.rows[-1]), max(self.rows[0], self.rows[-1]) + self.size)

    def steps(self, array: Array, *shape: int) -> Array:
        """What ``array`` has for the rows of each step, in their order, each in this shape."""
        return self.in_order(array[self.extent].reshape(-1, *shape))

    def in_order(self, steps: Array) -> Array:
        """Steps that lie by time, in the order of the block."""
        return steps if self.rows[0] <= self.rows[-1] else steps[::-1]

    def cut(self, array: Array, firsts: list[int]) -> list[Array]:
        """``size`` rows of ``array`` from each of ``firsts`` on; all at once, where that can be."""
        if not self.even:
            return [array[first : first + self.size] for first in firsts]
        low, high = sorted((firsts[0], firsts[-1]))
        steps = array[low : high + self.size].reshape(-1, self.size, *array.shape[1:])
        return list(self.in_order(steps))


def blocks(table: Table, even: bool) -> Iterator[Block]:
    """The steps of ``table``, in its order; ``even`` where all have as many sequences."""
    sizes = table[:, 0]
    cuts = [] if even else (np.flatnonzero(np.diff(sizes)) + 1).tolist()
    for first, last in zip([0, *cuts], [*cuts, len(table)], strict=True):
        rows, sources, targets = table[first:last, 1:].T.tolist()
        yield Block(int(sizes[first]), rows, sources, targets, even)


def select(array: Array, slots: Rows, rows: slice, first: int) -> Array:
    """The slots of packed ``rows``, out of an array that begins with slot ``first``."""
    if isinstance(slots, slice):
        offset = slots.start - first
        return array[rows.start + offset : rows.stop + offset]
    return array[slots[rows] - first]
