"""Pooling over time: from the hidden states of a sequence to one vector for the output layer.

States are added step by step. So a batch may be given at once, in segments, or as a stream.

Shapes: ``n`` sequences, ``P`` packed rows, ``W`` the width of the layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklstm._network.hidden import HiddenStates

Array = NDArray[np.floating]
Steps = NDArray[np.intp]

POOLINGS = ("last", "mean", "max", "mean_max")

#: Steps with the same number of sequences are pooled together: at most this number of elements at
#: once, and only if there are at least MIN_STEPS of them.
MAX_ELEMENTS = 2**20
MIN_STEPS = 8

_ALL = slice(None)


class Batch(Protocol):
    """The attributes of a packed batch that pooling uses."""

    @property
    def batch_sizes(self) -> Steps: ...  # (n_steps,), number of sequences at each step


class Pooled(NamedTuple):
    """The sum and the maximum of all steps so far; None if the pooling does not use them."""

    total: Array | None  # (n, W)
    maximum: Array | None  # (n, W)
    argmax: Steps | None  # (n, W): the time step of the maximum

    def part(self, rows: slice = _ALL, columns: slice = _ALL) -> Pooled:
        """Return views of some of the sequences and units."""
        return Pooled(
            None if self.total is None else self.total[rows, columns],
            None if self.maximum is None else self.maximum[rows, columns],
            None if self.argmax is None else self.argmax[rows, columns],
        )


def width(kind: str, hidden: int) -> int:
    """Return the number of values that the pooling makes of ``hidden`` units."""
    return 2 * hidden if kind == "mean_max" else hidden


def needs_steps(kind: str) -> bool:
    """Return whether the pooling uses the hidden states of all steps."""
    return kind != "last"


def initial(kind: str, n: int, width: int, dtype: DTypeLike, need_argmax: bool = True) -> Pooled:
    """Return the sum and the maximum of no steps; the backward pass needs ``argmax``."""
    has_mean, has_max = "mean" in kind, "max" in kind
    return Pooled(
        np.zeros((n, width), dtype) if has_mean else None,
        np.full((n, width), -np.inf, dtype) if has_max else None,
        np.zeros((n, width), np.intp) if has_max and need_argmax else None,
    )


def add(pooled: Pooled, steps: Array, batch: Batch, first: int = 0, reverse: bool = False) -> None:
    """Add the states (P, W) of a batch that begins at time step ``first``.

    With ``reverse``, batches are added from the last to the first. The first one of equal maxima
    counts in either order.
    """
    groups = list(_equal_steps(batch.batch_sizes, steps.shape[1]))
    for step, row, n_steps, size in reversed(groups) if reverse else groups:
        states = steps[row : row + n_steps * size].reshape(n_steps, size, -1)
        active = pooled.part(slice(size))
        if active.total is not None:
            active.total[...] += states[0] if n_steps == 1 else states.sum(axis=0)
        if active.maximum is not None:
            _add_maximum(active, active.maximum, states, first + step, reverse)


def _add_maximum(pooled: Pooled, maximum: Array, states: Array, first: int, reverse: bool) -> None:
    """Update maximum and argmax with the states (n_steps, n, W) from time step ``first`` on."""
    n_steps = len(states)
    peak = states[0] if n_steps == 1 else states.max(axis=0)
    if pooled.argmax is not None:
        is_new = (np.greater_equal if reverse else np.greater)(peak, maximum)
        argmax = first + (0 if n_steps == 1 else _first_steps(states, peak))
        np.copyto(pooled.argmax, argmax, where=is_new)
    np.maximum(maximum, peak, out=maximum)


def _equal_steps(batch_sizes: Steps, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield neighbouring steps with the same number of sequences.

    First step, first packed row, number of steps, number of sequences.
    """
    row = 0
    bounds = [0, *(np.flatnonzero(np.diff(batch_sizes)) + 1).tolist(), len(batch_sizes)]
    for begin, end in pairwise(bounds):
        size = int(batch_sizes[begin])
        max_steps = max(1, MAX_ELEMENTS // (size * width)) if end - begin >= MIN_STEPS else 1
        for step in range(begin, end, max_steps):
            n_steps = min(max_steps, end - step)
            yield step, row, n_steps, size
            row += n_steps * size


def _first_steps(states: Array, peak: Array) -> Steps:
    """Return the first of the steps (T, n, W) that has the value ``peak`` (n, W); 0 for NaN."""
    positions = np.flatnonzero(states == peak)[::-1]  # the first step is written last
    steps = positions // peak.size
    first = np.zeros(peak.shape, np.intp)
    first.reshape(-1)[positions - steps * peak.size] = steps
    return first


def finish(kind: str, pooled: Pooled, last: Array | None, lengths: Steps) -> Array:
    """Return one row per sequence, (n, W) or, for "mean_max", (n, 2 W)."""
    if kind == "last":
        assert last is not None
        return last
    parts = [] if pooled.maximum is None else [pooled.maximum]
    if pooled.total is not None:
        parts.insert(0, pooled.total / lengths[:, None].astype(pooled.total.dtype))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def backward(
    kind: str, dy: Array, pooled: Pooled, batch: Batch, lengths: Steps, first: int = 0
) -> HiddenStates:
    """Return the gradient at the hidden states of a batch that begins at time step ``first``.

    ``dy`` and ``lengths`` have one row for each sequence, longest first. Some of them may
    have no step in the batch.
    """
    if kind == "last":
        return HiddenStates(None, dy)
    n_rows = int(batch.batch_sizes.sum())
    if pooled.total is None:
        steps = np.zeros((n_rows, dy.shape[1]), dy.dtype)
    else:
        mean = dy[:, : pooled.total.shape[1]] / lengths[:, None].astype(dy.dtype)
        steps = np.empty((n_rows, mean.shape[1]), dy.dtype)
        for _, row, n_steps, size in _equal_steps(batch.batch_sizes, mean.shape[1]):
            steps[row : row + n_steps * size].reshape(n_steps, size, -1)[...] = mean[:size]
    if pooled.argmax is not None:
        _add_at_argmax(steps, dy[:, -steps.shape[1] :], pooled.argmax, batch, first)
    return HiddenStates(steps, None)


def _add_at_argmax(steps: Array, dy: Array, argmax: Steps, batch: Batch, first: int) -> None:
    """Add the gradient of each maximum at its time step, if the batch has that step."""
    starts = np.cumsum(batch.batch_sizes) - batch.batch_sizes
    if first > 0 or argmax.max() >= len(starts):  # a segment
        in_batch = (argmax >= first) & (argmax < first + len(starts))
        argmax, dy = np.where(in_batch, argmax - first, 0), np.where(in_batch, dy, 0)
    width = argmax.shape[1]
    positions = starts[argmax]  # of the step, then of the sequence and of the unit
    positions += np.arange(len(argmax))[:, None]
    positions *= width
    positions += np.arange(width)
    steps.reshape(-1)[positions] += dy
