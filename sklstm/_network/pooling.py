"""From the hidden states of a sequence to one vector: what the read-out sees.

Shapes: ``n`` sequences, ``P`` packed rows, ``W`` the layer's width.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sklstm._network.hidden import Hidden

Array = NDArray[np.floating]

POOLINGS = ("last", "mean", "max", "mean_max")


class Batch(Protocol):
    """What pooling asks of a packed batch."""

    @property
    def lengths(self) -> NDArray[np.intp]: ...  # (n,), falling
    @property
    def row_of(self) -> NDArray[np.intp]: ...  # (P,), the sequence of each packed row
    @property
    def blocks(self) -> list[slice]: ...  # the packed rows of each step


class Cache(NamedTuple):
    winners: NDArray[np.intp] | None  # (n, W): the packed row that gave the maximum


def width(kind: str, hidden: int) -> int:
    """How many values the read-out sees of ``hidden`` units."""
    return 2 * hidden if kind == "mean_max" else hidden


def needs_steps(kind: str) -> bool:
    return kind != "last"


def forward(kind: str, hidden: Hidden, batch: Batch) -> tuple[Array, Cache]:
    """One row a sequence, (n, W) or, for "mean_max", (n, 2 W)."""
    if kind == "last":
        assert hidden.last is not None
        return hidden.last, Cache(None)
    assert hidden.steps is not None
    if kind == "mean":
        return _mean(hidden.steps, batch), Cache(None)
    maximum, winners = _max(hidden.steps, batch)
    if kind == "max":
        return maximum, Cache(winners)
    return np.concatenate([_mean(hidden.steps, batch), maximum], axis=1), Cache(winners)


def backward(kind: str, dy: Array, cache: Cache, batch: Batch) -> Hidden:
    """The gradient at the hidden states."""
    if kind == "last":
        return Hidden(None, dy)
    if kind == "mean":
        return Hidden(_spread_mean(dy, batch), None)
    winners = cache.winners
    assert winners is not None
    w = winners.shape[1]
    if kind == "max":
        steps = np.zeros((len(batch.row_of), w), dy.dtype)
    else:
        steps = _spread_mean(dy[:, :w], batch)
    steps[winners, np.arange(w)] += dy[:, -w:]
    return Hidden(steps, None)


def _mean(steps: Array, batch: Batch) -> Array:
    total = np.zeros((len(batch.lengths), steps.shape[1]), steps.dtype)
    for block in batch.blocks:
        total[: block.stop - block.start] += steps[block]
    return total / batch.lengths[:, None].astype(steps.dtype)


def _spread_mean(dy: Array, batch: Batch) -> Array:
    return (dy / batch.lengths[:, None].astype(dy.dtype))[batch.row_of]


def _max(steps: Array, batch: Batch) -> tuple[Array, NDArray[np.intp]]:
    """The maximum over time and the packed row it stands in; of equal ones, the first."""
    n = len(batch.lengths)
    maximum = steps[:n].copy()
    winners = np.repeat(np.arange(n)[:, None], steps.shape[1], axis=1)
    for block in batch.blocks[1:]:
        running = block.stop - block.start
        greater = steps[block] > maximum[:running]
        np.copyto(maximum[:running], steps[block], where=greater)
        np.copyto(winners[:running], np.arange(block.start, block.stop)[:, None], where=greater)
    return maximum, winners
