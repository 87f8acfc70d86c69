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
