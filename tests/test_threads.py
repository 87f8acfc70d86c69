import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from itertools import count
from operator import add, attrgetter
from pathlib import Path
from threading import Barrier, Event, Thread

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  brings its own BLAS
from threadpoolctl import threadpool_info, threadpool_limits

import sklstm
from sklstm import LSTMRegressor, _blas, _threads
from sklstm._network.network import SequenceNetwork
from sklstm._threads import serial_map, with_single_blas_thread, with_workers


def blas_threads():
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


@pytest.fixture(autouse=True)
def two_blas_threads():
    """Start each test with two BLAS threads, on any machine."""
    _blas.controller.cache_clear()  # libraries may have been loaded since it was cached
    with threadpool_limits(limits=2, user_api="blas"):
        if set(blas_threads()) != {2}:
            pytest.skip("no BLAS whose threads can be set")
        yield
        assert set(blas_threads()) == {2}, "a limit was not removed"


def is_single():
    return set(blas_threads()) == {1}


def test_the_limit_is_set_and_removed():
    assert with_single_blas_thread(is_single)
    assert set(blas_threads()) == {2}


def test_arguments_and_results():
    assert with_single_blas_thread(divmod, 17, 5) == (3, 2)
    assert with_single_blas_thread(sorted, [1, 3, 2], reverse=True) == [3, 2, 1]


def test_calls_can_be_nested():
    def outer():
        return is_single(), with_single_blas_thread(is_single), is_single()

    for _ in range(2):
        assert with_single_blas_thread(outer) == (True, True, True)
        assert set(blas_threads()) == {2}


def test_every_thread_can_set_the_limit():
    """threadpoolctl 3.8 lets one thread limit OpenBLAS and silently ignores all others."""
    results = []

    def enter():
        results.append(with_single_blas_thread(is_single))
        results.append(set(blas_threads()) == {2})

    for _ in range(2):
        run_all([enter])
        enter()
    assert results == [True] * 8


def test_control_is_released_before_and_after_each_limit(monkeypatch):
    """As threadpoolctl 3.8 needs it, whatever version is installed."""
    calls = []

    class Library:
        num_threads = 2

        def clear_controlling_thread(self, force):
            calls.append("release")

        def set_num_threads(self, n_threads):
            calls.append(n_threads)

    class Controller:
        lib_controllers = (Library(),)

    monkeypatch.setattr(_threads, "controller", Controller)
    with_single_blas_thread(with_single_blas_thread, lambda: None)
    assert calls == ["release", 1, "release", "release", 2, "release"]


def test_the_limit_is_removed_after_an_error():
    with pytest.raises(ZeroDivisionError) as error:
        with_single_blas_thread(with_single_blas_thread, divmod, 1, 0)
    assert set(blas_threads()) == {2}
    assert error.tb is not None, "also while the traceback refers to all frames"


def test_overlapping_calls_remove_the_limit_once():
    first_entered, second_entered, first_left = Event(), Event(), Event()
    results = []

    def inside_first():
        first_entered.set()
        second_entered.wait(10)

    def inside_second():
        second_entered.set()
        first_left.wait(10)
        results.append(is_single())

    def first():
        with_single_blas_thread(inside_first)
        first_left.set()

    def second():
        first_entered.wait(10)
        with_single_blas_thread(inside_second)

    run_all([first, second])
    assert results == [True]
    assert set(blas_threads()) == {2}


def test_many_threads_at_the_same_time():
    barrier, results = Barrier(8), []

    def enter_and_leave():
        barrier.wait(10)
        for _ in range(50):
            results.append(with_single_blas_thread(is_single))

    def with_others():
        run_all([enter_and_leave] * 8)
        return is_single()

    assert with_single_blas_thread(with_others)
    run_all([enter_and_leave] * 8)
    assert len(results) == 800
    assert all(results)
    assert set(blas_threads()) == {2}


def run_all(functions):
    threads = [Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


# --- interrupts ---


class Interrupt:
    """Raises KeyboardInterrupt at one of the points where Python handles signals.

    These are the beginnings of functions, and the ends of calls of functions in C.
    """

    def __init__(self, point):
        self.point, self.n_points = point, 0

    def __call__(self, frame, event, argument):
        ours = frame.f_code.co_filename == _threads.__file__
        if ours and event in ("call", "c_return"):
            self.n_points += 1
            if self.n_points == self.point:
                raise KeyboardInterrupt

    def during(self, function, *arguments):
        sys.setprofile(self)
        try:
            return function(*arguments)
        finally:
            sys.setprofile(None)


def test_an_interrupt_at_any_point_removes_the_limit():
    for point in range(1, 1000):
        interrupt = Interrupt(point)
        try:
            interrupt.during(with_single_blas_thread, with_single_blas_thread, len, "")
        except KeyboardInterrupt:
            assert set(blas_threads()) == {2}, point
            assert with_single_blas_thread(is_single)
        else:
            break
        assert set(blas_threads()) == {2}, point
    assert 20 < point < 1000


def test_an_interrupt_at_any_point_does_not_affect_other_threads():
    """The first call is interrupted as it sets the limit; the second one must set it then."""
    entered, leave, results = Event(), Event(), []

    def stay():
        results.append(is_single())
        entered.set()
        leave.wait(10)

    for point in range(1, 20):
        with suppress(KeyboardInterrupt):
            Interrupt(point).during(with_single_blas_thread, len, "")
        assert with_single_blas_thread(is_single)
    other = Thread(target=with_single_blas_thread, args=[stay], daemon=True)
    other.start()
    assert entered.wait(10)
    for point in range(1, 60):
        with suppress(KeyboardInterrupt):
            Interrupt(point).during(with_single_blas_thread, len, "")
        assert is_single(), point
    leave.set()
    other.join(10)
    assert results == [True]
    assert set(blas_threads()) == {2}


SIGNALS = """
import signal
import numpy as np
from threadpoolctl import threadpool_limits
from sklstm import LSTMClassifier, set_config
from sklstm import _blas

def blas_threads():
    return {library.num_threads for library in _blas.controller().lib_controllers}

def interrupt(*_):
    raise KeyboardInterrupt

set_config(kernels="numpy")
X = np.random.default_rng(0).normal(size=(4, 3, 2))
model = LSTMClassifier(2, solver="lbfgs", max_iter=2, tol=1e3).fit(X, np.arange(4) % 2)
threadpool_limits(2, user_api="blas")
rng, n_interrupts = np.random.default_rng(0), 0
signal.signal(signal.SIGALRM, interrupt)
while n_interrupts < 300:
    try:
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-4, 2e-3))
        while True:
            model.predict(X)
    except KeyboardInterrupt:
        n_interrupts += 1
        assert blas_threads() == {2}, n_interrupts
print("limits removed", n_interrupts)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that send signals")
def test_signals_in_a_loop_of_predictions():
    assert run_script(SIGNALS) == "limits removed 300\n"


def run_script(script):
    command, environment = [sys.executable, "-W", "ignore", "-c", script], os.environ
    environment = environment | {"PYTHONPATH": str(Path(sklstm.__file__).parents[1])}
    environment |= {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- forks ---

FORKS = """
import os, signal, threading, time
import numpy as np
from threadpoolctl import threadpool_info
from sklstm import LSTMClassifier, LSTMRegressor, set_config
from sklstm._network.kernels import load_lock
from sklstm._threads import with_single_blas_thread
from sklstm.streaming import SequenceStream

def blas_threads():
    return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}

set_config(kernels="numpy")
X = np.random.default_rng(0).normal(size=(40, 5, 2))
model = LSTMRegressor(150, solver="lbfgs", max_iter=2, tol=1e3).fit(X, X[:, 0, 0])
stream = SequenceStream(model, n_streams=40)
assert stream._limits_blas
before = blas_threads()

def load():
    with load_lock.lock:
        time.sleep(0.01)

def repeat(function, *arguments):
    while True:
        function(*arguments)

CALLS = [
    (model.predict, X), (stream.step, X[:, 0]), (load,), (with_single_blas_thread, time.sleep, 10)
]
for call in CALLS:
    threading.Thread(target=repeat, args=call, daemon=True).start()
for k in range(10):
    time.sleep(0.01 * (k % 3))
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends a process that waits for a lock
        ok = blas_threads() == before
        SequenceStream(model, n_streams=40).step(X[:, 0])
        model.predict(X)
        load()
        os._exit(0 if ok and blas_threads() == before else 3)
    assert os.waitpid(child, 0)[1] == 0, k
print("done", flush=True)
os._exit(0)
"""
has_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


@has_fork
def test_forks_beside_threads_that_predict_and_load_kernels():
    assert run_script(FORKS) == "done\n"


FORK_INSIDE = """
import os
from threadpoolctl import threadpool_info
from sklstm._threads import with_single_blas_thread

def blas_threads():
    return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}

before, seen = blas_threads(), []

def fork():
    seen.append(os.fork())
    seen.append(blas_threads())
    seen.append(with_single_blas_thread(blas_threads))

with_single_blas_thread(fork)
child, *others = seen
if child == 0:
    os._exit(others != [before, {1}] or blas_threads() != before)
assert others == [{1}, {1}]
assert blas_threads() == before
assert os.waitpid(child, 0)[1] == 0
print("done")
"""


@has_fork
def test_a_fork_within_a_call():
    assert run_script(FORK_INSIDE) == "done\n"


# --- workers ---


by_jobs = pytest.mark.parametrize("n_jobs", [None, 1, 2, 3, -1])


@by_jobs
def test_results_are_in_order_and_blas_uses_one_thread(n_jobs):
    def work(k):
        time.sleep(0.001 * (5 - k % 5))
        return k * k, is_single()

    results = with_workers(n_jobs, lambda parallel_map: list(parallel_map(work, range(12))))
    assert results == [(k * k, True) for k in range(12)]
    assert set(blas_threads()) == {2}


@pytest.mark.parametrize("n_jobs", [None, 1, 2, 3])
def test_the_number_of_workers(n_jobs):
    assert with_workers(n_jobs, attrgetter("n_workers")) == (n_jobs or 1)
    assert serial_map.n_workers == 1


def test_all_cores(monkeypatch):
    monkeypatch.setattr(_threads, "effective_n_jobs", lambda n_jobs: 3 if n_jobs == -1 else n_jobs)
    assert with_workers(-1, attrgetter("n_workers")) == 3


def test_several_iterables_end_with_the_shortest():
    def check(parallel_map):
        assert list(parallel_map(pow, count(), [2, 3, 2])) == [0, 1, 4]
        assert list(parallel_map(pow, [3], [2])) == [9]
        assert list(parallel_map(pow, [], [])) == []

    for n_jobs in (1, 2):
        with_workers(n_jobs, check)


def test_workers_use_the_error_state_of_the_calling_thread():
    barrier = Barrier(2)

    def overflow(x):
        barrier.wait(10)
        return np.exp(x)

    def check(parallel_map):
        with np.errstate(over="ignore"):
            assert list(parallel_map(overflow, np.full(2, 1e4))) == [np.inf, np.inf]
        with np.errstate(over="raise"), pytest.raises(FloatingPointError):
            list(parallel_map(overflow, np.array([1.0, 1e4])))

    with_workers(2, check)


def test_workers_run_at_the_same_time():
    barrier = Barrier(3)  # released only if three threads wait at the same time
    call = partial(barrier.wait, 10)
    found = with_workers(3, lambda parallel_map: list(parallel_map(lambda _: call(), range(3))))
    assert sorted(found) == [0, 1, 2]


@by_jobs
def test_the_first_error_in_order_is_raised(n_jobs):
    def fail(k):
        if k == 2:
            time.sleep(0.02)  # a later item fails first
        if k >= 2:
            raise ValueError(f"item {k}")
        return k

    with pytest.raises(ValueError, match="item 2"):
        with_workers(n_jobs, lambda parallel_map: list(parallel_map(fail, range(5))))
    assert set(blas_threads()) == {2}


def test_no_call_continues_after_an_error():
    started, ended = Event(), []

    def work(k):
        if k == 0:
            assert started.wait(10)
            raise ValueError("the first")
        started.set()
        time.sleep(0.05)
        ended.append(k)

    def check(parallel_map):
        with pytest.raises(ValueError, match="the first"):
            list(parallel_map(work, range(4)))
        assert ended == [3], "the call in progress ends, and no other one starts"

    with_workers(2, check)


def test_workers_can_be_nested():
    def inner(k):
        return with_workers(2, lambda parallel_map: sum(parallel_map(partial(add, k), range(3))))

    assert with_workers(2, lambda parallel_map: list(parallel_map(inner, range(3)))) == [3, 6, 9]


def test_zero_jobs_are_refused():
    with pytest.raises(ValueError, match="n_jobs == 0"):
        with_workers(0, len)
    assert set(blas_threads()) == {2}


def test_initial_weights_are_computed_by_one_thread_of_blas(rng, monkeypatch):
    """Several threads would round differently, and need more time for small matrices."""
    initialize, n_threads = SequenceNetwork.initialize, []

    def recorded(*arguments):
        n_threads.extend(blas_threads())
        return initialize(*arguments)

    monkeypatch.setattr(SequenceNetwork, "initialize", recorded)
    X = rng.normal(size=(8, 3, 1))
    with threadpool_limits(2, user_api="blas"):
        LSTMRegressor(2, max_iter=1).fit(X, X[:, 0, 0])
    assert set(n_threads) == {1}
