"""Consecutive steps that the kernels process together.

A *run* is a part of the backward pass: consecutive steps with at most ``max_rows`` packed rows. The
gate gradients of a run stay in the processor's cache until the gradient of the weights has been
computed from them by one product.

``EqualSteps`` are consecutive steps with equally many sequences. Their arrays can be cut into
single steps before the loop over the steps, instead of once per step.

Both are made of rows of a table, see ``SlotLayout``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels.slots import Rows, SlotLayout

Array = NDArray[np.floating]
Table = NDArray[np.int64]  # (n_steps, 4), see ``SlotLayout.table``


class Run(NamedTuple):
    """Consecutive steps of the backward pass."""

    table: Table  # in the order of the backward pass
    rows: slice  # packed rows of all its steps
    slots: slice  # slots that its steps read in the forward pass, and those in between


def runs(layout: SlotLayout, max_rows: int) -> Iterator[Run]:
    """Yield all steps, in reverse order, in runs of at most ``max_rows`` rows or one step."""
    table = np.ascontiguousarray(layout.table[::-1])
    ends = np.cumsum(table[:, 0])
    first, n_rows = 0, 0
    while first < len(table):
        stop = int(np.searchsorted(ends, n_rows + max_rows, side="right"))
        stop = max(stop, first + 1)
        steps = table[first:stop]
        yield Run(steps, *_extent(steps))
        first, n_rows = stop, int(ends[stop - 1])


def _extent(table: Table) -> tuple[slice, slice]:
    """Return the packed rows and the slots read of consecutive steps."""
    (size, row, slot, _), (last_size, last_row, last_slot, _) = table[[0, -1]].tolist()
    if last_row < row:
        return slice(last_row, row + size), slice(last_slot, slot + size)
    return slice(row, last_row + last_size), slice(slot, last_slot + last_size)


class EqualSteps(NamedTuple):
    """Consecutive steps with ``size`` sequences each."""

    size: int
    rows: list[int]  # first packed row of each step
    sources: list[int]  # first slot that each step reads
    targets: list[int]  # first slot that each step writes
    contiguous: bool  # whether the slots of the steps are adjacent; packed rows always are

    @property
    def packed_rows(self) -> slice:
        """The packed rows of all steps."""
        return slice(min(self.rows[0], self.rows[-1]), max(self.rows[0], self.rows[-1]) + self.size)

    def by_step(self, packed: Array, *shape: int) -> Array:
        """Return a view (n_steps, *shape) of the packed rows, in the order of the steps."""
        return self._ordered(packed[self.packed_rows].reshape(len(self.rows), *shape))

    def split(self, array: Array, firsts: list[int]) -> list[Array]:
        """Return views of ``size`` rows, one for each step, that begin at ``firsts``."""
        if not self.contiguous:
            return [array[first : first + self.size] for first in firsts]
        low, high = sorted((firsts[0], firsts[-1]))
        views = array[low : high + self.size].reshape(-1, self.size, *array.shape[1:])
        return list(self._ordered(views))

    def _ordered(self, by_time: Array) -> Array:
        """Reverse the first axis if the steps are processed against the order of time."""
        return by_time if self.rows[0] <= self.rows[-1] else by_time[::-1]


def equal_steps(table: Table, equal_lengths: bool) -> Iterator[EqualSteps]:
    """Yield the steps of ``table``, in its order, grouped by their number of sequences."""
    sizes = table[:, 0]
    cuts = [] if equal_lengths else (np.flatnonzero(np.diff(sizes)) + 1).tolist()
    for first, stop in zip([0, *cuts], [*cuts, len(table)], strict=True):
        rows, sources, targets = table[first:stop, 1:].T.tolist()
        yield EqualSteps(int(sizes[first]), rows, sources, targets, equal_lengths)


def select_slots(array: Array, slots: Rows, rows: slice, first_slot: int) -> Array:
    """Return the slots of some packed rows, from an array whose first row is ``first_slot``."""
    if isinstance(slots, slice):
        offset = slots.start - first_slot
        return array[rows.start + offset : rows.stop + offset]
    return array[slots[rows] - first_slot]
