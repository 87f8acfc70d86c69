"""Memory for what a pass over a batch keeps, which the pass over the next batch takes again.

The system has to map fresh memory and to clear it, which can take as long as the pass itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Arrays begin where a line of the processor's cache does.
LINE_BYTES = 64


class Arena:
    """One block of memory, dealt out from its beginning until it is taken again as a whole."""

    def __init__(self) -> None:
        self._block = np.empty(0, np.uint8)
        self._taken = 0
        self._lock = Lock()

    @property
    def n_bytes(self) -> int:
        """What it holds, or will after the next restart."""
        return max(len(self._block), self._taken)

    def restart(self) -> None:
        """Nobody reads what has been dealt out: begin anew, in a block that would have sufficed."""
        if self._taken > len(self._block):
            self._block = np.empty(0, np.uint8)  # never hold both
            block = np.empty(self._taken + LINE_BYTES, np.uint8)
            begin = -block.ctypes.data % LINE_BYTES
            self._block = block[begin : begin + self._taken]
        self._taken = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """As ``np.empty``, and that itself where the block is used up."""
        size = prod(shape) * dtype.itemsize
        with self._lock:  # both directions of a layer may be at work
            begin = self._taken
            self._taken += -(-size // LINE_BYTES) * LINE_BYTES
        if begin + size > len(self._block):
            return np.empty(shape, dtype)
        return self._block[begin : begin + size].view(dtype).reshape(shape)


class Arenas:
    """One for each thread at work; those that would hold more than ``most_bytes`` in all are left.

    Whoever finds none has to begin with an empty one, which is as if there were none.
    """

    def __init__(self, most_bytes: float) -> None:
        self._most_bytes = most_bytes
        self._all: list[Arena] = []
        self._idle: list[Arena] = []
        self._lock = Lock()

    @contextmanager
    def one(self) -> Iterator[None]:
        """What ``empty`` gives within comes from that used last: the processor's caches have it."""
        with self._lock:
            if not self._idle:
                self._idle.append(Arena())
                self._all.append(self._idle[-1])
            arena = self._idle.pop()
        try:
            with taken_from(arena):
                yield
        finally:
            with self._lock:
                if sum(known.n_bytes for known in self._all) <= self._most_bytes:
                    self._idle.append(arena)
                else:
                    self._all.remove(arena)

    def clear(self) -> None:
        """Give back those that are idle."""
        with self._lock:
            self._all = [arena for arena in self._all if arena not in self._idle]
            self._idle = []


_in_use: ContextVar[Arena | None] = ContextVar("arena", default=None)


@contextmanager
def taken_from(arena: Arena) -> Iterator[None]:
    """What ``empty`` gives within comes from here, and may be used until the arena's next use."""
    arena.restart()
    token = _in_use.set(arena)
    try:
        yield
    finally:
        _in_use.reset(token)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """As ``np.empty``, from the arena in use if there is one."""
    arena = _in_use.get()
    return np.empty(shape, dtype) if arena is None else arena.empty(shape, dtype)
