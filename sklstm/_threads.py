"""Work shared out over threads, with BLAS held at one thread inside.

BLAS threads would hurt here: the products of a step are small, and a sum split over another number
of threads rounds differently. ``threadpoolctl`` sets the limit for the whole process, so whoever
enters first sets it and whoever leaves last restores it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from itertools import starmap
from threading import Lock
from typing import Any, Protocol, TypeVar

from joblib import effective_n_jobs
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")


class Run(Protocol):
    """``map`` over threads: results in order, the first error raised."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]: ...


class _BlasGuard:
    """One BLAS thread while anybody is inside."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._limiter: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                _disown()
                self._limiter = _controller().limit(limits=1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _disown()
                self._limiter.restore_original_limits()
                self._limiter = None
                _disown()

    def __reduce__(self) -> str:
        return "single_blas_thread"


single_blas_thread = _BlasGuard()


@cache
def _controller() -> ThreadpoolController:
    """Made once: finding the loaded libraries takes milliseconds, setting a limit does not."""
    return ThreadpoolController().select(user_api="blas")


def _disown() -> None:
    """Let any thread set limits: from 3.8 on, threadpoolctl heeds only the first that did.

    The lock and the count of the guard do better what that is for.
    """
    for library in _controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


@contextmanager
def workers(n_jobs: int | None) -> Iterator[Run]:
    """A ``map`` over as many threads as ``n_jobs`` asks for, in joblib's sense of it.

    The thread that calls it is one of them, so that it has not to be woken.
    """
    n_threads = effective_n_jobs(n_jobs)
    with single_blas_thread:
        if n_threads == 1:
            yield map
            return
        with ThreadPoolExecutor(n_threads - 1) as pool:

            def run(function: Callable[..., R], *items: Iterable[Any]) -> Iterable[R]:
                parts = list(zip(*items, strict=False))
                if len(parts) < 2:
                    return starmap(function, parts)
                return _shared_out(pool, function, parts)

            yield run


def _shared_out(pool: Executor, function: Callable[..., R], parts: list[Any]) -> list[R]:
    """Results in order: the calling thread works from the first part on, the pool from the last."""
    context = copy_context()  # options of the calling thread hold in its workers
    futures: list[Future[R]] = []
    try:
        for part in reversed(parts[1:]):  # a context is entered once at a time
            futures.append(pool.submit(context.copy().run, function, *part))
        results = [function(*parts[0])]
        for part, future in zip(parts[1:], reversed(futures), strict=True):
            results.append(function(*part) if future.cancel() else future.result())
    except BaseException:
        for future in futures:
            future.cancel()
        wait(futures)  # nothing of a call that has failed goes on behind its back
        raise
    return results
