"""A parallel ``map`` over threads, with BLAS limited to one thread.

The products of a step are too small for BLAS threads to be faster. BLAS threads would also change
results, because a sum that is split differently rounds differently. The limit holds for the whole
process, so it is set by the first of several calls at the same time, and removed by the last one.

Both functions take the code to execute as a function, and are no context managers: a
KeyboardInterrupt that is raised as a ``with`` block begins or ends can skip ``__exit__``, and the
limit would never be removed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from itertools import starmap
from threading import RLock
from typing import Any, ParamSpec, TypeVar

import numpy as np
from joblib import effective_n_jobs

from sklstm._blas import controller

P = ParamSpec("P")
R = TypeVar("R")


def with_single_blas_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call the function with BLAS limited to one thread."""
    call = object()
    try:
        _blas_limit.enter(call)
        return function(*args, **kwargs)
    finally:
        try:
            _blas_limit.leave(call)
        finally:  # a KeyboardInterrupt may have ended the first attempt
            _blas_limit.leave(call)


class _BlasLimit:
    """Limits BLAS to one thread while at least one call is inside.

    A KeyboardInterrupt may end each method at any line. The order of the lines makes sure that
    ``leave`` restores the limits of before in any case.
    """

    def __init__(self) -> None:
        # A signal handler may call this object while its thread holds the lock.
        self._lock = RLock()
        self._calls: set[object] = set()
        self._limits_before: list[tuple[Any, int]] | None = None
        self._is_set = False

    def enter(self, call: object) -> None:
        with self._lock:
            self._calls.add(call)
            if not self._is_set:
                self._set()

    def leave(self, call: object) -> None:
        """Do nothing if the call is not inside."""
        with self._lock:
            self._calls.discard(call)
            if not self._calls:
                self._restore()

    def before_fork(self) -> None:
        """Wait until no other thread changes a limit: the child would get a locked BLAS."""
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget all calls: the child has none of the other threads, and may leave this call."""
        self._lock = RLock()
        self._calls.clear()
        self._restore()

    def _set(self) -> None:
        libraries = controller().lib_controllers
        if self._limits_before is None:
            self._limits_before = [(library, library.num_threads) for library in libraries]
        _set_num_threads([(library, 1) for library in libraries])
        self._is_set = True

    def _restore(self) -> None:
        self._is_set = False
        if self._limits_before is not None:
            _set_num_threads(self._limits_before)
            self._limits_before = None


_blas_limit = _BlasLimit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_blas_limit.before_fork,
        after_in_parent=_blas_limit.after_fork_in_parent,
        after_in_child=_blas_limit.after_fork_in_child,
    )


def _set_num_threads(limits: list[tuple[Any, int]]) -> None:
    """Set the number of threads of each library, from any thread.

    Since version 3.8, threadpoolctl ignores limits from all threads but the first that set one. The
    lock above already prevents the conflicts that this rule is made for.
    """
    for library, n_threads in limits:
        clear = getattr(library, "clear_controlling_thread", _do_nothing)
        clear(force=True)
        library.set_num_threads(n_threads)
        clear(force=True)


def _do_nothing(force: bool) -> None:
    """Take the place of a method that older versions of threadpoolctl do not have."""


class ParallelMap:
    """A ``map`` over threads: results are in order, and the first error in order is raised.

    Parameters
    ----------
    n_workers : int
        Number of threads that work at the same time. The calling thread is one of them.
    pool : Executor or None
        The other threads; None if there are no others.
    """

    def __init__(self, n_workers: int = 1, pool: Executor | None = None) -> None:
        self.n_workers = n_workers
        self._pool = pool

    def __call__(self, function: Callable[..., R], /, *iterables: Iterable[Any]) -> Iterable[R]:
        if self._pool is None:
            return map(function, *iterables)
        calls = list(zip(*iterables, strict=False))
        if len(calls) < 2:
            return starmap(function, calls)
        return _call_in_parallel(self._pool, function, calls)


#: A parallel map with one worker, the calling thread.
serial_map = ParallelMap()


def with_workers(
    n_jobs: int | None, function: Callable[[ParallelMap], R], limit_blas: bool = True
) -> R:
    """Call the function with a parallel map that has ``n_jobs`` workers, as joblib counts them.

    With one worker, ``limit_blas=False`` says that BLAS would not use several threads anyway.
    """
    n_workers = effective_n_jobs(n_jobs)
    if n_workers == 1 and not limit_blas:
        return function(serial_map)
    return with_single_blas_thread(_call_with_workers, n_workers, function)


def _call_with_workers(n_workers: int, function: Callable[[ParallelMap], R]) -> R:
    if n_workers == 1:
        return function(serial_map)
    with ThreadPoolExecutor(n_workers - 1) as pool:
        return function(ParallelMap(n_workers, pool))


def _call_in_parallel(
    pool: Executor, function: Callable[..., R], calls: list[tuple[Any, ...]]
) -> list[R]:
    """Return the results in order.

    The calling thread takes the first calls, and the pool starts with the last ones. So the calling
    thread does not wait for another thread to start.
    """
    context = copy_context()  # options set in the calling thread are valid in its workers
    in_worker = _with_error_state(function)
    futures: list[Future[R]] = []
    try:
        for arguments in reversed(calls[1:]):  # each call needs its own copy of the context
            futures.append(pool.submit(context.copy().run, in_worker, *arguments))
        results = [function(*calls[0])]
        for arguments, future in zip(calls[1:], reversed(futures), strict=True):
            results.append(function(*arguments) if future.cancel() else future.result())
    except BaseException:
        for future in futures:
            future.cancel()
        wait(futures)  # no call may continue after the error has been raised
        raise
    return results


def _with_error_state(function: Callable[..., R]) -> Callable[..., R]:
    """Return the function with the ``np.errstate`` of this thread; NumPy 1 has one per thread."""
    error_state = np.geterr()

    def call(*arguments: Any) -> R:
        with np.errstate(**error_state):
            return function(*arguments)

    return call
