import pickle
import time
from threading import Barrier, Event, Thread

import pytest
import scipy.linalg  # noqa: F401  brings its own BLAS
from threadpoolctl import threadpool_info, threadpool_limits

from sklstm import _threads
from sklstm._threads import single_blas_thread, workers


def blas_threads():
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


@pytest.fixture(autouse=True)
def two_blas_threads():
    """A limit that the guard can be seen to lower, whatever the machine."""
    _threads._controller.cache_clear()  # it may be older than some of the libraries loaded now
    with threadpool_limits(limits=2, user_api="blas"):
        if set(blas_threads()) != {2}:
            pytest.skip("no BLAS whose threads can be set")
        yield
        assert set(blas_threads()) == {2}, "the guard left a limit behind"


def is_single():
    return set(blas_threads()) == {1}


def test_the_guard_sets_and_restores():
    with single_blas_thread:
        assert is_single()
    assert set(blas_threads()) == {2}


def test_the_guard_nests():
    with single_blas_thread:
        with single_blas_thread:
            assert is_single()
        assert is_single()
    assert set(blas_threads()) == {2}
    with single_blas_thread:
        assert is_single()


def test_the_guard_works_in_every_thread():
    """threadpoolctl 3.8 lets one thread limit OpenBLAS and silently ignores all others."""
    seen = []

    def enter():
        with single_blas_thread:
            seen.append(is_single())
        seen.append(set(blas_threads()) == {2})

    for _ in range(2):
        run_all([enter])
        enter()
    assert seen == [True] * 8


def test_the_guard_restores_after_an_exception():
    with pytest.raises(ZeroDivisionError), single_blas_thread, single_blas_thread:
        raise ZeroDivisionError
    assert set(blas_threads()) == {2}


def test_who_enters_first_need_not_leave_last():
    first_is_in, second_is_in, first_is_out = Event(), Event(), Event()
    seen = []

    def first():
        with single_blas_thread:
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    def second():
        first_is_in.wait(10)
        with single_blas_thread:
            second_is_in.set()
            first_is_out.wait(10)
            seen.append(is_single())

    run_all([first, second])
    assert seen == [True]
    assert set(blas_threads()) == {2}


def test_the_guard_from_many_threads():
    barrier, seen = Barrier(8), []

    def enter_and_leave():
        barrier.wait(10)
        for _ in range(50):
            with single_blas_thread:
                seen.append(single_blas_thread._inside >= 1)

    with single_blas_thread:
        run_all([enter_and_leave] * 8)
        assert is_single()
    run_all([enter_and_leave] * 8)
    assert len(seen) == 800
    assert all(seen)
    assert single_blas_thread._inside == 0
    assert set(blas_threads()) == {2}


def run_all(functions):
    threads = [Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_the_guard_is_one_in_a_pickle_too():
    assert pickle.loads(pickle.dumps(single_blas_thread)) is single_blas_thread


by_jobs = pytest.mark.parametrize("n_jobs", [None, 1, 2, 3, -1])


@by_jobs
def test_workers_keep_the_order_and_hold_blas_to_one_thread(n_jobs):
    def work(k):
        time.sleep(0.001 * (5 - k % 5))
        return k * k, is_single()

    with workers(n_jobs) as run:
        results = list(run(work, range(12)))
        assert is_single()
    assert results == [(k * k, True) for k in range(12)]
    assert set(blas_threads()) == {2}


def test_workers_work_at_the_same_time():
    barrier = Barrier(3)  # passed only if three wait there together
    with workers(3) as run:
        assert sorted(run(lambda _: barrier.wait(10), range(3))) == [0, 1, 2]


@by_jobs
def test_the_first_error_in_order_is_raised(n_jobs):
    def fail(k):
        if k == 2:
            time.sleep(0.02)  # the later one fails sooner
        if k >= 2:
            raise ValueError(f"item {k}")
        return k

    with pytest.raises(ValueError, match="item 2"), workers(n_jobs) as run:
        list(run(fail, range(5)))
    assert set(blas_threads()) == {2}


def test_nothing_goes_on_after_an_error():
    going, ended = Event(), []

    def work(k):
        if k == 0:
            assert going.wait(10)
            raise ValueError("the first")
        going.set()
        time.sleep(0.05)
        ended.append(k)

    with workers(2) as run:
        with pytest.raises(ValueError, match="the first"):
            list(run(work, range(4)))
        assert ended == [3], "what had begun has ended, and no more was begun"


def test_workers_nest():
    def inner(k):
        with workers(2) as run:
            return sum(run(lambda j: j + k, range(3)))

    with workers(2) as run:
        assert list(run(inner, range(3))) == [3, 6, 9]


def test_no_workers_is_an_error():
    with pytest.raises(ValueError, match="n_jobs == 0"), workers(0):
        pass
    assert set(blas_threads()) == {2}
