"""From the hidden states of a sequence to one vector: what the read-out sees.

It is gathered step by step, so that a batch may come whole, in segments, or as a stream.

Shapes: ``n`` sequences, ``P`` packed rows, ``W`` the layer's width.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklstm._network.hidden import Hidden

Array = NDArray[np.floating]
Steps = NDArray[np.intp]

WHOLE = slice(None)

POOLINGS = ("last", "mean", "max", "mean_max")

#: Values of neighbouring steps that are taken in together: most, and the fewest steps that pay.
CHUNK_SIZE = 2**20
FEWEST_STEPS = 8


class Batch(Protocol):
    """What pooling asks of a packed batch."""

    @property
    def row_of(self) -> Steps: ...  # (P,), the sequence of each packed row
    @property
    def batch_sizes(self) -> Steps: ...  # the sequences that run at each step


class Pooled(NamedTuple):
    """What is pooled of the steps so far; None stands for "not asked for"."""

    total: Array | None  # (n, W)
    maximum: Array | None  # (n, W)
    winners: Steps | None  # (n, W): the time step that gave the maximum

    def part(self, rows: slice = WHOLE, columns: slice = WHOLE) -> Pooled:
        """Views of some of the sequences and units."""
        return Pooled(
            None if self.total is None else self.total[rows, columns],
            None if self.maximum is None else self.maximum[rows, columns],
            None if self.winners is None else self.winners[rows, columns],
        )


def width(kind: str, hidden: int) -> int:
    """How many values the read-out sees of ``hidden`` units."""
    return 2 * hidden if kind == "mean_max" else hidden


def needs_steps(kind: str) -> bool:
    return kind != "last"


def start(kind: str, n: int, width: int, dtype: DTypeLike, winners: bool = True) -> Pooled:
    """Nothing pooled yet; ``winners`` are for those who will go back."""
    has_mean, has_max = "mean" in kind, "max" in kind
    return Pooled(
        np.zeros((n, width), dtype) if has_mean else None,
        np.full((n, width), -np.inf, dtype) if has_max else None,
        np.zeros((n, width), np.intp) if has_max and winners else None,
    )


def add(pooled: Pooled, steps: Array, batch: Batch, first: int = 0, backward: bool = False) -> None:
    """Take in the states (P, W) of a batch that begins at time step ``first``.

    Of equal maxima the earliest wins, also where batches come ``backward``, from the last on.
    """
    chunks = list(_chunks(batch.batch_sizes, steps.shape[1]))
    for step, row, n_steps, size in chunks[::-1] if backward else chunks:
        states = steps[row : row + n_steps * size].reshape(n_steps, size, -1)
        pooled_here = pooled.part(slice(size))
        if pooled_here.total is not None:
            pooled_here.total[...] += states[0] if n_steps == 1 else states.sum(axis=0)
        if pooled_here.maximum is None:
            continue
        peak = states[0] if n_steps == 1 else states.max(axis=0)
        if pooled_here.winners is not None:
            beats = (np.greater_equal if backward else np.greater)(peak, pooled_here.maximum)
            winners = first + step + (0 if n_steps == 1 else _first_steps(states, peak))
            np.copyto(pooled_here.winners, winners, where=beats)
        np.maximum(pooled_here.maximum, peak, out=pooled_here.maximum)


def _chunks(batch_sizes: Steps, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Neighbouring steps of as many sequences: the first step and row, and how many of each."""
    row = 0
    cuts = [0, *(np.flatnonzero(np.diff(batch_sizes)) + 1).tolist(), len(batch_sizes)]
    for begin, end in pairwise(cuts):
        size = int(batch_sizes[begin])
        most = max(1, CHUNK_SIZE // (size * width)) if end - begin >= FEWEST_STEPS else 1
        for step in range(begin, end, most):
            n_steps = min(most, end - step)
            yield step, row, n_steps, size
            row += n_steps * size


def _first_steps(states: Array, peak: Array) -> Steps:
    """Where along the steps (T, n, W) the peak (n, W) stands first; 0 where that is NaN."""
    found = np.flatnonzero(states == peak)[::-1]  # of several, the first is written last
    steps = found // peak.size
    winners = np.zeros(peak.shape, np.intp)
    winners.reshape(-1)[found - steps * peak.size] = steps
    return winners


def finish(kind: str, pooled: Pooled, last: Array | None, lengths: Steps) -> Array:
    """One row a sequence, (n, W) or, for "mean_max", (n, 2 W)."""
    if kind == "last":
        assert last is not None
        return last
    parts = [] if pooled.maximum is None else [pooled.maximum]
    if pooled.total is not None:
        parts.insert(0, pooled.total / lengths[:, None].astype(pooled.total.dtype))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def backward(
    kind: str, dy: Array, pooled: Pooled, batch: Batch, lengths: Steps, first: int = 0
) -> Hidden:
    """The gradient at the hidden states of a batch that begins at time step ``first``.

    ``dy`` and ``lengths`` have a row for each sequence; those that have ended before are last.
    """
    if kind == "last":
        return Hidden(None, dy)
    if pooled.total is None:
        steps = np.zeros((len(batch.row_of), dy.shape[1]), dy.dtype)
    else:
        mean = dy[:, : pooled.total.shape[1]] / lengths[:, None].astype(dy.dtype)
        steps = mean[batch.row_of]
    if pooled.winners is not None:
        _add_at_winners(steps, dy[:, -steps.shape[1] :], pooled.winners, batch, first)
    return Hidden(steps, None)


def _add_at_winners(steps: Array, dy: Array, winners: Steps, batch: Batch, first: int) -> None:
    """Add each unit's gradient where its maximum stood, if that was in this batch."""
    starts = np.cumsum(batch.batch_sizes) - batch.batch_sizes
    sequences, units = np.arange(len(winners))[:, None], np.arange(winners.shape[1])
    won_here = (winners >= first) & (winners < first + len(starts))
    rows = starts[np.where(won_here, winners - first, 0)] + sequences
    steps[rows, units] += np.where(won_here, dy, 0)
