"""Memory that is reused from one batch to the next.

The operating system has to map and clear fresh memory, which can take as long as the forward and
backward pass themselves. An *arena* is a buffer that is kept between batches: within
``ArenaPool.borrow``, the function ``empty`` takes arrays from it one after the other. Before the
next batch the whole buffer becomes free again. Arrays begin at cache lines: compiled code is faster
if no vector crosses one.

To make arrays and views takes time, too. So an arena keeps those of a batch, and what ``made`` has
made of them, for the next batch of equal sizes. Only the elements of the arrays may be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextvars import ContextVar
from itertools import accumulate
from math import prod
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

#: Arrays begin at multiples of the size of a cache line.
LINE_BYTES = 64

#: How many groups of arrays, and what is made of them, an arena keeps for the next batch.
MAX_KEPT = 32

T = TypeVar("T")
Shape = tuple[int, ...]
Arrays = tuple[NDArray[Any], ...]
#: A function of arrays, and its other arguments.
Make = Callable[..., T]
Arguments = tuple[Hashable, ...]


class Arena:
    """A buffer from which arrays are allocated in sequence, and which is freed as a whole."""

    def __init__(self) -> None:
        self._buffer = np.empty(0, np.uint8)
        self._used = 0
        #: What was made, and the number of bytes that are used after it.
        self._kept: dict[Hashable, tuple[int, Any]] = {}
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
            self._kept = {}
            self._buffer = np.empty(0, np.uint8)  # free the old buffer first
            self._buffer = _fresh(self._used)
        self._used = 0

    def made(
        self, make: Make[T], arguments: Arguments, dtype: np.dtype[Any], shapes: tuple[Shape, ...]
    ) -> T:
        """Return what is made of arrays, which are in fresh memory if the buffer is too small.

        It is kept with the buffer: batches of equal sizes need the same arrays again.
        """
        with self._lock:  # two threads may compute the two directions of a layer
            key = self._used, make, arguments, dtype, shapes
            kept = self._kept.get(key)
            if kept is not None:
                self._used, made = kept
                return made
            sizes = _whole_lines(dtype, shapes)
            self._used += sum(sizes)
            if self._used > len(self._buffer):
                return make(_separate(sizes, dtype, shapes), *arguments)
            made = make(self._views(key[0], sizes, dtype, shapes), *arguments)
            if len(self._kept) == MAX_KEPT:
                del self._kept[next(iter(self._kept))]  # the oldest
            self._kept[key] = self._used, made
            return made

    def _views(
        self, begin: int, sizes: list[int], dtype: np.dtype[Any], shapes: tuple[Shape, ...]
    ) -> Arrays:
        """Return arrays of these sizes in bytes, one after the other."""
        ends = accumulate(sizes, initial=begin)
        pairs = zip(shapes, ends, strict=False)
        return tuple([np.ndarray(shape, dtype, self._buffer, at) for shape, at in pairs])


class ArenaPool:
    """Arenas for threads that work at the same time, with a limit on their total memory.

    An arena that is returned while all arenas together hold more than ``max_bytes`` is dropped.
    """

    def __init__(self, max_bytes: float) -> None:
        self._max_bytes = max_bytes
        self._all: list[Arena] = []
        self._idle: list[Arena] = []
        self._lock = Lock()

    def borrow(self) -> _Loan:
        """Use an idle arena, or a new one, for what ``empty`` and ``made`` return inside."""
        return _Loan(self)

    def take(self) -> Arena:
        """Return an idle arena, or a new one."""
        with self._lock:
            if self._idle:
                return self._idle.pop()  # the last one used: it may still be in the cache
            self._all.append(Arena())
            return self._all[-1]

    def give_back(self, arena: Arena) -> None:
        """Keep an idle arena, unless all arenas together are too large."""
        with self._lock:
            if sum([known.n_bytes for known in self._all]) <= self._max_bytes:
                self._idle.append(arena)
            else:
                self._all.remove(arena)

    def clear(self) -> None:
        """Drop all idle arenas."""
        with self._lock:
            self._all = [arena for arena in self._all if arena not in self._idle]
            self._idle = []


class _Loan:
    """The context of a borrowed arena; a generator would need more time for each batch."""

    def __init__(self, pool: ArenaPool) -> None:
        self._pool = pool

    def __enter__(self) -> None:
        self._arena = self._pool.take()
        self._token = _current.set(self._arena)
        try:
            self._arena.reset()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
        self._pool.give_back(self._arena)


_current: ContextVar[Arena | None] = ContextVar("arena", default=None)


def empty(dtype: np.dtype[Any], *shapes: Shape) -> Arrays:
    """Return uninitialised arrays, from the current arena if there is one."""
    return made(_unchanged, (), dtype, *shapes)


def made(make: Make[T], arguments: Arguments, dtype: np.dtype[Any], *shapes: Shape) -> T:
    """Return ``make(arrays, *arguments)`` for uninitialised arrays.

    In an arena, it is made once for many batches, and must not use the arena itself.
    """
    arena = _current.get()
    if arena is not None:
        return arena.made(make, arguments, dtype, shapes)
    return make(_separate(_whole_lines(dtype, shapes), dtype, shapes), *arguments)


def _unchanged(arrays: Arrays) -> Arrays:
    return arrays


def _whole_lines(dtype: np.dtype[Any], shapes: tuple[Shape, ...]) -> list[int]:
    """Return the number of bytes of each array, rounded up to whole cache lines."""
    return [-(-prod(shape) * dtype.itemsize // LINE_BYTES) * LINE_BYTES for shape in shapes]


def _separate(sizes: list[int], dtype: np.dtype[Any], shapes: tuple[Shape, ...]) -> Arrays:
    """Return arrays that do not share memory: each can be freed alone."""
    pairs = zip(shapes, sizes, strict=True)
    return tuple([np.ndarray(shape, dtype, _fresh(size)) for shape, size in pairs])


def _fresh(n_bytes: int) -> NDArray[np.uint8]:
    """Return a buffer that begins at a cache line."""
    buffer = np.empty(n_bytes + LINE_BYTES, np.uint8)
    begin = -buffer.ctypes.data % LINE_BYTES
    return buffer[begin : begin + n_bytes]
