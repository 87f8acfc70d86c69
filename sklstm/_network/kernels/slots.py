"""Where the states of a packed batch are stored: one slot for each sequence and step.

A packed batch stores its steps one after the other. Step t has ``batch_sizes[t]`` rows, one for
each sequence that is longer than t, longest sequence first. Hidden and cell states are stored in
*slots*: ``n`` slots before the first step, then one slot for each packed row.

In the forward direction, a step reads the slots of the step before it in time and writes its own.
In the reverse direction, it reads its own slots and writes those of the step before it in time. So
a sequence may be shorter than the batch without any copy of its states. For sequences of lengths
3, 2 and 1::

    slots       0 1 2         3 4 5      6 7        8
                before        step 0     step 1     step 2
    forward     initial  -->        -->        -->        final states in slots 8, 7, 5
    reverse     final    <--        <--        <--        initial states in slots 8, 7, 5
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Rows = slice | NDArray[np.intp]

#: Longer layouts are not kept, as they take much memory.
MAX_KEPT_STEPS = 4096


class SlotLayout:
    """The order of the steps in one direction, and the rows and slots of each step.

    Parameters
    ----------
    batch_sizes : ndarray of shape (n_steps,)
        Number of sequences at each step, non-increasing.
    reverse : bool
        Whether the steps are processed from the last to the first.

    Attributes
    ----------
    n_sequences, n_packed, n_slots : int
        Numbers of sequences, of packed rows and of slots.
    batch_sizes : ndarray of shape (n_steps,)
        Number of sequences at each step.
    equal_lengths : bool
        Whether all sequences have the same length. All index attributes are slices then.
    inputs, outputs : slice or ndarray of shape (n_packed,)
        The slots that are read and written for each packed row.
    initial, final : slice or ndarray of shape (n_sequences,)
        The slots of the initial and the final state of each sequence.
    table : ndarray of shape (n_steps, 4)
        For each step in the order of processing: number of sequences, first packed row, first slot
        that is read, first slot that is written.
    is_shared : bool
        Whether many batches have this layout, see ``slot_layout``.
    """

    def __init__(self, batch_sizes: NDArray[np.intp], reverse: bool) -> None:
        n, n_steps = int(batch_sizes[0]), len(batch_sizes)
        self.batch_sizes = batch_sizes
        self.n_sequences = n
        self.equal_lengths = bool(batch_sizes[-1] == n)
        if self.equal_lengths:
            first_rows = before = np.arange(0, n * n_steps, n)
            own = first_rows + n
            self.n_packed = n * n_steps
        else:
            ends = np.cumsum(batch_sizes)
            first_rows = ends - batch_sizes
            own = first_rows + n
            before = np.concatenate([[0], own[:-1]])
            self.n_packed = int(ends[-1])
        self.n_slots = n + self.n_packed
        source, target = before, own
        self.inputs: Rows = self._slots_of_rows(batch_sizes, before)
        self.outputs: Rows = slice(n, self.n_slots)
        self.initial: Rows = slice(0, n)
        self.final: Rows = self._last_slots(batch_sizes, own)
        if reverse:
            source, target = target, source
            self.inputs, self.outputs = self.outputs, self.inputs
            self.initial, self.final = self.final, self.initial
        self.table = np.empty((n_steps, 4), np.int64)
        by_time = self.table[::-1] if reverse else self.table
        for k, column in enumerate((batch_sizes, first_rows, source, target)):
            by_time[:, k] = column
        self.is_shared = False

    def _slots_of_rows(self, batch_sizes: NDArray[np.intp], first_slots: NDArray[np.intp]) -> Rows:
        """The slot of each packed row, given the first slot of each step."""
        if self.equal_lengths:
            return slice(0, self.n_packed)
        first_rows = np.cumsum(batch_sizes) - batch_sizes
        return np.arange(self.n_packed) + np.repeat(first_slots - first_rows, batch_sizes)

    def _last_slots(self, batch_sizes: NDArray[np.intp], own: NDArray[np.intp]) -> Rows:
        """The slot of the last step of each sequence."""
        if self.equal_lengths:
            return slice(self.n_packed, self.n_slots)
        rows = np.arange(self.n_sequences)
        lengths = np.searchsorted(-batch_sizes, -rows, side="left")
        return own[lengths - 1] + rows


def slot_layout(batch_sizes: NDArray[np.intp], reverse: bool) -> SlotLayout:
    """Return the layout; that of equal lengths is computed once for many batches."""
    n, n_steps = int(batch_sizes[0]), len(batch_sizes)
    if n_steps <= MAX_KEPT_STEPS and batch_sizes[-1] == n:
        return _equal_layout(n, n_steps, reverse)
    return SlotLayout(batch_sizes, reverse)


@lru_cache(maxsize=16)
def _equal_layout(n: int, n_steps: int, reverse: bool) -> SlotLayout:
    layout = SlotLayout(np.full(n_steps, n), reverse)
    layout.is_shared = True
    return layout
