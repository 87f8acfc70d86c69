"""A lock for all that loads or compiles kernels, which a fork waits for.

A fork copies the locks of Python's imports and of LLVM in the state that they are in. If
another thread held one of them, the child would wait for it forever.
"""

from __future__ import annotations

import os
from threading import RLock

#: Read it from this module each time: a forked process replaces it.
lock = RLock()


def _acquire() -> None:
    lock.acquire()


def _release() -> None:
    lock.release()


def _renew() -> None:
    global lock
    lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_renew)
