"""The order in which one direction of a layer visits the steps of a packed batch.

A packed batch holds its steps one after the other, step t with the ``batch_sizes[t]`` sequences
that still run, longest first. States live in *slots*: ``n`` rows before the first step, then one
row for each packed row. Forward in time, step t reads the slot before its own and writes its own;
backward in time, it reads its own and writes the one before. So the state of a sequence that ends
or joins in the middle needs no copy, and both directions share one picture::

    slots:   | before |  step 0  |  step 1 | step 2 |
    forward:  start -->          -->       -->        final rows: each sequence's own last slot
    reverse:  final <--          <--       <--        start rows: each sequence's own last slot
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = slice | NDArray[np.intp]


class Walk:
    """Where each visited step lies among packed rows and slots.

    Parameters
    ----------
    batch_sizes : ndarray of shape (n_steps,)
        Sequences that run at each step, never rising.
    reverse : bool
        Visit the steps from the last to the first.
    """

    def __init__(self, batch_sizes: NDArray[np.intp], reverse: bool) -> None:
        n, n_steps = int(batch_sizes[0]), len(batch_sizes)
        self.n_sequences = n
        self.even = bool(batch_sizes[-1] == n)
        if self.even:
            starts = before = np.arange(0, n * n_steps, n)
            own = starts + n
            self.n_packed = n * n_steps
        else:
            ends = np.cumsum(batch_sizes)
            starts = ends - batch_sizes
            own = starts + n
            before = np.concatenate([[0], own[:-1]])
            self.n_packed = int(ends[-1])
        self.n_slots = n + self.n_packed
        source, target = before, own
        self.inputs: Rows = self._rows(batch_sizes, before)
        self.outputs: Rows = slice(n, self.n_slots)
        self.start: Rows = slice(0, n)
        self.final: Rows = self._last_slots(batch_sizes, own)
        if reverse:
            source, target = target, source
            self.inputs, self.outputs = self.outputs, self.inputs
            self.start, self.final = self.final, self.start
        #: (rows that run, first packed row, first slot read, first slot written) of each step
        self.table = np.empty((n_steps, 4), np.int64)
        visited = self.table[::-1] if reverse else self.table
        for k, column in enumerate((batch_sizes, starts, source, target)):
            visited[:, k] = column

    def _rows(self, batch_sizes: NDArray[np.intp], first: NDArray[np.intp]) -> Rows:
        """The slots of each step from ``first`` on, in packed order."""
        if self.even:
            return slice(0, self.n_packed)
        starts = np.cumsum(batch_sizes) - batch_sizes
        return np.arange(self.n_packed) + np.repeat(first - starts, batch_sizes)

    def _last_slots(self, batch_sizes: NDArray[np.intp], own: NDArray[np.intp]) -> Rows:
        """The slot of each sequence's own last step."""
        if self.even:
            return slice(self.n_packed, self.n_slots)
        rows = np.arange(self.n_sequences)
        lengths = np.searchsorted(-batch_sizes, -rows, side="left")
        return own[lengths - 1] + rows
