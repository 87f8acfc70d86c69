"""A parallel ``map`` over threads, with BLAS limited to one thread.

The products of a step are too small for BLAS threads to be faster. BLAS threads would also change
results, because a sum that is split differently rounds differently. ``threadpoolctl`` limits BLAS
for the whole process, so the guard counts how many blocks of code use it at the same time: the
first one sets the limit, and the last one restores it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from itertools import starmap
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from joblib import effective_n_jobs
from threadpoolctl import ThreadpoolController

R = TypeVar("R")


class _BlasGuard:
    """Limit BLAS to one thread while at least one block of code is inside."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_inside = 0
        self._limiter: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                _release_control()
                self._limiter = _controller().limit(limits=1)
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                _release_control()
                self._limiter.restore_original_limits()
                self._limiter = None
                _release_control()

    def __reduce__(self) -> str:
        return "single_blas_thread"


single_blas_thread = _BlasGuard()


@cache
def _controller() -> ThreadpoolController:
    """Return the controller of BLAS.

    It is cached: finding the loaded libraries takes milliseconds, setting a limit does not.
    """
    return ThreadpoolController().select(user_api="blas")


def _release_control() -> None:
    """Let any thread set limits.

    Since version 3.8, threadpoolctl ignores limits from all threads but the first that set one. The
    lock and the counter of the guard already prevent the conflicts that this rule is made for.
    """
    for library in _controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


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


@contextmanager
def workers(n_jobs: int | None) -> Iterator[ParallelMap]:
    """Yield a parallel map with ``n_jobs`` workers, as joblib counts them."""
    n_workers = effective_n_jobs(n_jobs)
    with single_blas_thread:
        if n_workers == 1:
            yield serial_map
            return
        with ThreadPoolExecutor(n_workers - 1) as pool:
            yield ParallelMap(n_workers, pool)


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
