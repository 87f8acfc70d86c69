"""Memory that is reused from one batch to the next.

The operating system has to map and clear fresh memory, which can take as long as the forward and
backward pass themselves. An *arena* is a buffer that is kept between batches: within ``use_arena``,
the function ``empty`` takes arrays from it one after the other. Before the next batch the whole
buffer becomes free again.
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

#: Arrays begin at multiples of the size of a cache line.
LINE_BYTES = 64


class Arena:
    """A buffer from which arrays are allocated in sequence, and which is freed as a whole."""

    def __init__(self) -> None:
        self._buffer = np.empty(0, np.uint8)
        self._used = 0
        self._lock = Lock()

    @property
    def n_bytes(self) -> int:
        """Size of the buffer, at least what it will be after the next ``reset``."""
        return max(len(self._buffer), self._used)

    def reset(self) -> None:
        """Free all arrays, and enlarge the buffer if it was too small for them.

        Arrays from before the reset must not be used any more.
        """
        if self._used > len(self._buffer):
            self._buffer = np.empty(0, np.uint8)  # free the old buffer first
            buffer = np.empty(self._used + LINE_BYTES, np.uint8)
            begin = -buffer.ctypes.data % LINE_BYTES
            self._buffer = buffer[begin : begin + self._used]
        self._used = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an uninitialised array, from fresh memory if the buffer is too small."""
        size = prod(shape) * dtype.itemsize
        with self._lock:  # two threads may compute the two directions of a layer
            begin = self._used
            self._used += -(-size // LINE_BYTES) * LINE_BYTES
        if begin + size > len(self._buffer):
            return np.empty(shape, dtype)
        return np.ndarray(shape, dtype, self._buffer, begin)


class ArenaPool:
    """Arenas for threads that work at the same time, with a limit on their total memory.

    An arena that is returned while all arenas together hold more than ``max_bytes`` is dropped.
    """

    def __init__(self, max_bytes: float) -> None:
        self._max_bytes = max_bytes
        self._all: list[Arena] = []
        self._idle: list[Arena] = []
        self._lock = Lock()

    @contextmanager
    def borrow(self) -> Iterator[None]:
        """Use an idle arena, or a new one, for the arrays that ``empty`` returns inside."""
        with self._lock:
            if not self._idle:
                self._idle.append(Arena())
                self._all.append(self._idle[-1])
            arena = self._idle.pop()  # the last one used: it may still be in the processor's cache
        token = _current.set(arena)
        try:
            arena.reset()
            yield
        finally:
            _current.reset(token)
            with self._lock:
                if sum(known.n_bytes for known in self._all) <= self._max_bytes:
                    self._idle.append(arena)
                else:
                    self._all.remove(arena)

    def clear(self) -> None:
        """Drop all idle arenas."""
        with self._lock:
            self._all = [arena for arena in self._all if arena not in self._idle]
            self._idle = []


_current: ContextVar[Arena | None] = ContextVar("arena", default=None)


@contextmanager
def use_arena(arena: Arena) -> Iterator[None]:
    """Take the arrays that ``empty`` returns inside from ``arena``, which is reset first."""
    arena.reset()
    token = _current.set(arena)
    try:
        yield
    finally:
        _current.reset(token)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an uninitialised array, from the current arena if there is one."""
    arena = _current.get()
    return np.empty(shape, dtype) if arena is None else arena.empty(shape, dtype)
