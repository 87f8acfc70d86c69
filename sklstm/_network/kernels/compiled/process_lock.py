"""A lock between processes: flock on Linux and macOS, msvcrt on Windows."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds between two attempts.
_INTERVAL = 0.01


def acquire(descriptor: int, seconds: float) -> bool:
    """Wait for the lock on an open file; return False after this time, or if locks do not work.

    Closing the file releases the lock, also at the end of the process.
    """
    try:
        attempt = _attempt()
        deadline = time.monotonic() + seconds
        while not attempt(descriptor):
            if time.monotonic() > deadline:
                return False
            time.sleep(_INTERVAL)
    except (ImportError, OSError):
        return False
    return True


def _attempt() -> Callable[[int], bool]:
    """Return a function that takes the lock and returns True, unless another process has it."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        lock, kind = msvcrt.locking, msvcrt.LK_NBLCK  # type: ignore[attr-defined]  # Windows
        return lambda descriptor: _succeeds(lambda: lock(descriptor, kind, 1))
    kind = fcntl.LOCK_EX | fcntl.LOCK_NB
    return lambda descriptor: _succeeds(lambda: fcntl.flock(descriptor, kind))


def _succeeds(lock: Callable[[], object]) -> bool:
    """Return False if another process has the lock; raise an OSError for any other reason."""
    try:
        lock()
    except (BlockingIOError, PermissionError):  # Windows reports that access is denied
        return False
    return True
