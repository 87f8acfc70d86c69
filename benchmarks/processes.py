"""Count the forks that hang or stay at one BLAS thread, and the interrupts that leave BLAS limited.

Run ``python benchmarks/processes.py``. It needs a system with fork and timers, and llvmlite;
compiling in a loop makes it take some minutes.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from shutil import rmtree
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

import sklstm
from sklstm import LSTMRegressor
from sklstm._network.kernels.compiled import loading
from sklstm.streaming import SequenceStream

BLAS_THREADS = 2

#: Seconds after which a child counts as hanging.
PATIENCE = 60

X = np.random.default_rng(0).standard_normal((40, 8, 2))


def blas_threads() -> set[int]:
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


# --- forks ---


def fork(work: Callable[[], Any]) -> str:
    """Fork, do some work in the child, and return how it ended."""
    child = os.fork()
    if child == 0:
        _work_in_child(work)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return {0: "good", 1: "stayed at one thread"}.get(
                os.waitstatus_to_exitcode(status), "failed"
            )
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


def _work_in_child(work: Callable[[], Any]) -> None:
    """End the process with the code 0 if BLAS has all its threads before and after the work."""
    code = 2
    try:
        before = blas_threads()
        work()
        np.dot(np.ones((300, 300)), np.ones((300, 300)))
        code = int({*before, *blas_threads()} != {BLAS_THREADS})
    finally:
        os._exit(code)


def forks_beside(
    name: str, call: Callable[[], Any], n_forks: int, work: Callable[[], Any]
) -> Counter[str]:
    """Fork while another thread repeats the call."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            call()

    thread = threading.Thread(target=repeat)
    thread.start()
    ends: Counter[str] = Counter()
    rng = np.random.default_rng(1)
    for _ in range(n_forks):
        time.sleep(rng.uniform(0, 0.05))
        ends[fork(work)] += 1
    stop.set()
    thread.join()
    print(f"{n_forks} forks beside a thread that {name}: {dict(ends)}", flush=True)
    return ends


def compile_anew(name: str) -> Callable[[], None]:
    """Return a function that compiles a kernel, although it may have been compiled before."""
    folder = os.environ["SKLSTM_CACHE_DIR"]

    def compile_now() -> None:
        rmtree(folder, ignore_errors=True)
        loading._loaded.clear()
        loading.load(name, np.dtype(np.float32))

    return compile_now


def all_forks(n_forks: int) -> Counter[str]:
    n = n_forks // 5
    model = LSTMRegressor(150, solver="lbfgs", max_iter=2, tol=1e3).fit(X, X[:, 0, 0])
    ends: Counter[str] = Counter()
    for kernels in ("numpy", "compiled"):
        sklstm.set_config(kernels=kernels)
        stream = SequenceStream(model, n_streams=len(X))
        predict, step = partial(model.predict, X), partial(stream.step, X[:, 0])
        ends += forks_beside(f"predicts with {kernels}", predict, n, predict)
        ends += forks_beside(f"streams with {kernels}", step, n, predict)
    last = n_forks - 4 * n
    ends += forks_beside("compiles", compile_anew("pack"), last, compile_anew("pack"))
    return ends


# --- interrupts ---


class Interrupts:
    """Sends this process SIGINT at random times, as Ctrl-C does."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(2)
        signal.signal(signal.SIGALRM, signal.default_int_handler)

    def schedule(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._rng.uniform(2e-4, 6e-3))


def all_interrupts(n_interrupts: int) -> int:
    """Interrupt loops of predictions, and return how often BLAS stayed limited."""
    model = LSTMRegressor(3, solver="lbfgs", max_iter=2, tol=1e3).fit(X, X[:, 0, 0])
    interrupts, n_limited = Interrupts(), 0
    for k in range(n_interrupts):
        sklstm.set_config(kernels=("numpy", "compiled")[k % 2])
        model.n_jobs = 1 + k // 2 % 2
        try:
            interrupts.schedule()
            while True:
                model.predict(X)
        except KeyboardInterrupt:
            if blas_threads() != {BLAS_THREADS}:
                n_limited += 1
                threadpool_limits(BLAS_THREADS, user_api="blas")
    print(f"{n_interrupts} interrupts of predictions: BLAS stayed limited after {n_limited}")
    return n_limited


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forks", type=int, default=200)
    parser.add_argument("--interrupts", type=int, default=1000)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        sklstm.set_config(kernels="compiled")
        LSTMRegressor(3, max_iter=1, tol=1e3).fit(X, X[:, 0, 0]).predict(X)
        threadpool_limits(BLAS_THREADS, user_api="blas")
        n_limited = all_interrupts(options.interrupts)
        os.environ["SKLSTM_CACHE_DIR"] = os.path.join(folder, "cache")
        ends = all_forks(options.forks)
    print(f"all {sum(ends.values())} forks: {dict(ends)}")
    sys.exit(n_limited > 0 or set(ends) != {"good"})


if __name__ == "__main__":
    main()
