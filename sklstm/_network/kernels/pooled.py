"""Sum and maximum of the hidden states of each sequence, and their gradients.

States are added step by step. So a batch may be given at once, in segments, or as a stream.

Shapes: ``n`` sequences, ``P`` packed rows, ``W`` the width of the layer. ``batch_sizes`` (n_steps,)
is the number of sequences at each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Steps = NDArray[np.intp]

#: Steps with the same number of sequences are pooled together: at most this number of elements at
#: once, and only if there are at least MIN_STEPS of them.
MAX_ELEMENTS = 2**20
MIN_STEPS = 8

#: Elements in the memory of ``pooled_memory``.
MEMORY_SIZE = 2**16

_ALL = slice(None)


class Pooled(NamedTuple):
    """The sum and the maximum of all steps so far, or gradients at them; None if not needed."""

    total: Array | None  # (n, W)
    maximum: Array | None  # (n, W)
    argmax: Steps | None = None  # (n, W): the time step of the maximum

    def part(self, rows: slice = _ALL, columns: slice = _ALL) -> Pooled:
        """Return views of some of the sequences and units."""
        return Pooled(
            None if self.total is None else self.total[rows, columns],
            None if self.maximum is None else self.maximum[rows, columns],
            None if self.argmax is None else self.argmax[rows, columns],
        )

    @property
    def is_empty(self) -> bool:
        """Whether neither the sum nor the maximum is needed."""
        return self.total is None and self.maximum is None

    def times(self, factor: Array) -> Pooled:
        """Return the sum and the maximum of the states times a factor (n, W) >= 0."""
        return Pooled(
            None if self.total is None else self.total * factor,
            None if self.maximum is None else self.maximum * factor,
            self.argmax,
        )


def add_steps(
    pooled: Pooled, steps: Array, batch_sizes: Steps, first: int = 0, reverse: bool = False
) -> None:
    """Add the states (P, W) of steps that begin with time step ``first``.

    With ``reverse``, steps are added from the last to the first. The first one of equal maxima
    counts in either order.
    """
    groups = list(_equal_steps(batch_sizes, steps.shape[1]))
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


def pooled_memory(pooled: Pooled, n_steps: int, like: Array) -> Iterator[Array]:
    """Yield memory for the hidden states of each step (n, W), and add them to ``pooled``.

    Many steps are added at once, while they are in the cache; ``add_steps`` needs all of them in
    memory. The first row has the sum of the steps before, so that all steps are added one by one
    (NumPy adds a single value per step in another order).
    """
    total, maximum, _ = pooled
    n_at_once = max(1, min(n_steps, MEMORY_SIZE // like.size))
    block = np.empty((1 + n_at_once, *like.shape), like.dtype)
    for first in range(0, n_steps, n_at_once):
        states = block[1 : 1 + min(n_at_once, n_steps - first)]
        yield from states
        if total is not None:
            block[0] = total
            np.add.reduce(block[: 1 + len(states)], axis=0, out=total)
        if maximum is not None:
            np.maximum(maximum, np.maximum.reduce(states, axis=0), out=maximum)


def gradient_at_steps(
    gradient: Pooled, argmax: Steps | None, batch_sizes: Steps, first: int = 0
) -> Array:
    """Return the gradient (P, W) at the states of steps that begin with time step ``first``.

    ``gradient`` are the gradients at the sum and at the maximum, and ``argmax`` (n, W) is the time
    step of the maximum. Some of the sequences may have none of these steps.
    """
    n_rows = int(batch_sizes.sum())
    if gradient.total is None:
        assert gradient.maximum is not None
        steps = np.zeros((n_rows, gradient.maximum.shape[1]), gradient.maximum.dtype)
    else:
        width = gradient.total.shape[1]
        steps = np.empty((n_rows, width), gradient.total.dtype)
        for _, row, n_steps, size in _equal_steps(batch_sizes, width):
            at_once = steps[row : row + n_steps * size].reshape(n_steps, size, -1)
            at_once[...] = gradient.total[:size]
    if gradient.maximum is not None:
        assert argmax is not None
        _add_at_argmax(steps, gradient.maximum, argmax, batch_sizes, first)
    return steps


def _add_at_argmax(steps: Array, dy: Array, argmax: Steps, batch_sizes: Steps, first: int) -> None:
    """Add the gradient of each maximum at its time step, if that is one of the steps."""
    starts = np.cumsum(batch_sizes) - batch_sizes
    if first > 0 or argmax.max() >= len(starts):  # a segment
        in_batch = (argmax >= first) & (argmax < first + len(starts))
        argmax, dy = np.where(in_batch, argmax - first, 0), np.where(in_batch, dy, 0)
    width = argmax.shape[1]
    positions = starts[argmax]  # of the step, then of the sequence and of the unit
    positions += np.arange(len(argmax))[:, None]
    positions *= width
    positions += np.arange(width)
    steps.reshape(-1)[positions] += dy
