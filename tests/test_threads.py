import pickle
import time
from itertools import count
from threading import Barrier, Event, Thread

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  brings its own BLAS
from threadpoolctl import threadpool_info, threadpool_limits

from sklstm import _threads
from sklstm._threads import serial_map, single_blas_thread, workers


def blas_threads():
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


@pytest.fixture(autouse=True)
def two_blas_threads():
    """Start each test with two BLAS threads, on any machine."""
    _threads._controller.cache_clear()  # libraries may have been loaded since it was cached
    with threadpool_limits(limits=2, user_api="blas"):
        if set(blas_threads()) != {2}:
            pytest.skip("no BLAS whose threads can be set")
        yield
        assert set(blas_threads()) == {2}, "the guard left a limit behind"


def is_single():
    return set(blas_threads()) == {1}


def test_the_guard_sets_and_restores_the_limit():
    with single_blas_thread:
        assert is_single()
    assert set(blas_threads()) == {2}


def test_the_guard_can_be_nested():
    with single_blas_thread:
        with single_blas_thread:
            assert is_single()
        assert is_single()
    assert set(blas_threads()) == {2}
    with single_blas_thread:
        assert is_single()


def test_the_guard_works_in_every_thread():
    """threadpoolctl 3.8 lets one thread limit OpenBLAS and silently ignores all others."""
    results = []

    def enter():
        with single_blas_thread:
            results.append(is_single())
        results.append(set(blas_threads()) == {2})

    for _ in range(2):
        run_all([enter])
        enter()
    assert results == [True] * 8


def test_the_guard_releases_control_before_and_after_each_limit(monkeypatch):
    """As threadpoolctl 3.8 needs it, whatever version is installed."""
    calls = []

    class Library:
        def clear_controlling_thread(self, force):
            calls.append(("release", force))

    class Controller:
        lib_controllers = (Library(), object())  # the second one is of an earlier version

        def limit(self, limits):
            calls.append(("limit", limits))
            return self

        def restore_original_limits(self):
            calls.append("restore")

    monkeypatch.setattr(_threads, "_controller", Controller)
    with single_blas_thread, single_blas_thread:
        assert calls == [("release", True), ("limit", 1)]
    assert calls[2:] == [("release", True), "restore", ("release", True)]


def test_the_guard_restores_after_an_exception():
    with pytest.raises(ZeroDivisionError), single_blas_thread, single_blas_thread:
        raise ZeroDivisionError
    assert set(blas_threads()) == {2}


def test_overlapping_guards_restore_the_limit_once():
    first_entered, second_entered, first_left = Event(), Event(), Event()
    results = []

    def first():
        with single_blas_thread:
            first_entered.set()
            second_entered.wait(10)
        first_left.set()

    def second():
        first_entered.wait(10)
        with single_blas_thread:
            second_entered.set()
            first_left.wait(10)
            results.append(is_single())

    run_all([first, second])
    assert results == [True]
    assert set(blas_threads()) == {2}


def test_many_threads_can_use_the_guard():
    barrier, results = Barrier(8), []

    def enter_and_leave():
        barrier.wait(10)
        for _ in range(50):
            with single_blas_thread:
                results.append(single_blas_thread._n_inside >= 1)

    with single_blas_thread:
        run_all([enter_and_leave] * 8)
        assert is_single()
    run_all([enter_and_leave] * 8)
    assert len(results) == 800
    assert all(results)
    assert single_blas_thread._n_inside == 0
    assert set(blas_threads()) == {2}


def run_all(functions):
    threads = [Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_an_unpickled_guard_is_the_same_object():
    assert pickle.loads(pickle.dumps(single_blas_thread)) is single_blas_thread


by_jobs = pytest.mark.parametrize("n_jobs", [None, 1, 2, 3, -1])


@by_jobs
def test_results_are_in_order_and_blas_uses_one_thread(n_jobs):
    def work(k):
        time.sleep(0.001 * (5 - k % 5))
        return k * k, is_single()

    with workers(n_jobs) as parallel_map:
        results = list(parallel_map(work, range(12)))
        assert is_single()
    assert results == [(k * k, True) for k in range(12)]
    assert set(blas_threads()) == {2}


@pytest.mark.parametrize("n_jobs", [None, 1, 2, 3])
def test_the_number_of_workers(n_jobs):
    with workers(n_jobs) as parallel_map:
        assert parallel_map.n_workers == (n_jobs or 1)
    assert serial_map.n_workers == 1


def test_all_cores(monkeypatch):
    monkeypatch.setattr(_threads, "effective_n_jobs", lambda n_jobs: 3 if n_jobs == -1 else n_jobs)
    with workers(-1) as parallel_map:
        assert parallel_map.n_workers == 3


def test_several_iterables_end_with_the_shortest():
    for n_jobs in (1, 2):
        with workers(n_jobs) as parallel_map:
            assert list(parallel_map(pow, count(), [2, 3, 2])) == [0, 1, 4]
            assert list(parallel_map(pow, [3], [2])) == [9]
            assert list(parallel_map(pow, [], [])) == []


def test_workers_use_the_error_state_of_the_calling_thread():
    barrier = Barrier(2)

    def overflow(x):
        barrier.wait(10)
        return np.exp(x)

    with workers(2) as parallel_map:
        with np.errstate(over="ignore"):
            assert list(parallel_map(overflow, np.full(2, 1e4))) == [np.inf, np.inf]
        with np.errstate(over="raise"), pytest.raises(FloatingPointError):
            list(parallel_map(overflow, np.array([1.0, 1e4])))


def test_workers_run_at_the_same_time():
    barrier = Barrier(3)  # released only if three threads wait at the same time
    with workers(3) as parallel_map:
        assert sorted(parallel_map(lambda _: barrier.wait(10), range(3))) == [0, 1, 2]


@by_jobs
def test_the_first_error_in_order_is_raised(n_jobs):
    def fail(k):
        if k == 2:
            time.sleep(0.02)  # a later item fails first
        if k >= 2:
            raise ValueError(f"item {k}")
        return k

    with pytest.raises(ValueError, match="item 2"), workers(n_jobs) as parallel_map:
        list(parallel_map(fail, range(5)))
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

    with workers(2) as parallel_map:
        with pytest.raises(ValueError, match="the first"):
            list(parallel_map(work, range(4)))
        assert ended == [3], "the call in progress ends, and no other one starts"


def test_workers_can_be_nested():
    def inner(k):
        with workers(2) as parallel_map:
            return sum(parallel_map(lambda j: j + k, range(3)))

    with workers(2) as parallel_map:
        assert list(parallel_map(inner, range(3))) == [3, 6, 9]


def test_zero_jobs_are_refused():
    with pytest.raises(ValueError, match="n_jobs == 0"), workers(0):
        pass
    assert set(blas_threads()) == {2}
