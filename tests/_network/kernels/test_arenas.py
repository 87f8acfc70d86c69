from threading import Barrier, Thread

import numpy as np
import pytest

from sklstm._network.kernels import arenas
from sklstm._network.kernels.arenas import LINE_BYTES, ArenaPool, empty, made

FLOAT = np.dtype(np.float32)
SHAPES = [(3, 5), (7,), (2, 3, 4)]


def address(array):
    return array.__array_interface__["data"][0]


def allocate(pool):
    with pool.borrow():
        return [empty(FLOAT, SHAPES[0])[0], *empty(FLOAT, *SHAPES[1:])]


def test_memory_is_reused_after_the_first_use():
    """The first use finds an empty buffer; the second has one of the size that was needed."""
    pool = ArenaPool(max_bytes=2**20)
    first, second, third = allocate(pool), allocate(pool), allocate(pool)
    for arrays in (first, second, third):
        assert [(array.shape, array.dtype) for array in arrays] == [(s, FLOAT) for s in SHAPES]
        assert all(array.flags.c_contiguous and array.flags.writeable for array in arrays)
    assert [*map(address, second)] == [*map(address, third)]
    assert not {*map(address, first)} & {*map(address, second)}
    assert all(address(array) % LINE_BYTES == 0 for array in first + second)


def test_arrays_of_equal_sizes_are_made_once():
    pool = ArenaPool(max_bytes=2**20)
    allocate(pool), allocate(pool)
    kept = allocate(pool)
    for _ in range(2 * arenas.MAX_KEPT):
        assert all(one is other for one, other in zip(allocate(pool), kept, strict=True))
    with pool.borrow():
        for n in range(1, 2 * arenas.MAX_KEPT):  # other groups of arrays take their place
            (array,) = empty(FLOAT, (n, 0))
            assert array.shape == (n, 0)
        empty(FLOAT, (1000,))
    assert len(pool._all[0]._kept) <= arenas.MAX_KEPT
    larger = allocate(pool)  # in another buffer
    assert not {*map(address, larger)} & {*map(address, kept)}


def test_what_is_made_of_arrays_depends_on_all_that_it_is_made_from():
    pool, calls = ArenaPool(max_bytes=2**20), []

    def double(arrays, name):
        calls.append(name)
        return name, arrays[0]

    def other(arrays, name):
        return other, name, arrays[0]

    with pool.borrow():
        empty(FLOAT, (1000,))
    for _ in range(3):
        with pool.borrow():
            assert made(double, ("a",), FLOAT, (4,))[0] == "a"
            assert made(double, ("a",), FLOAT, (4,))[1].shape == (4,)  # at another place
        with pool.borrow():
            assert made(double, ("b",), FLOAT, (4,))[0] == "b"
        with pool.borrow():
            assert made(other, ("a",), FLOAT, (4,))[0] is other
        with pool.borrow():
            assert made(double, ("a",), np.dtype(np.float64), (4,))[1].dtype == np.float64
        with pool.borrow():
            assert made(double, ("a",), FLOAT, (2, 2))[1].shape == (2, 2)
    assert calls == ["a", "a", "b", "a", "a"]
    assert made(double, ("c",), FLOAT, (4,))[0] == "c"  # without an arena


def test_arrays_do_not_overlap():
    pool = ArenaPool(max_bytes=2**20)
    allocate(pool)
    with pool.borrow():
        arrays = empty(FLOAT, *SHAPES)
        (more,) = empty(FLOAT, (100,))  # beyond the end of the buffer
        for k, array in enumerate([*arrays, more]):
            array[...] = k
    for k, array in enumerate([*arrays, more]):
        assert (array == k).all()
    with pool.borrow():
        assert address(empty(FLOAT, (150,))[0]) % LINE_BYTES == 0


def test_fresh_memory_outside_of_an_arena():
    pool = ArenaPool(max_bytes=2**20)
    allocate(pool)
    inside = allocate(pool)[0]
    with pytest.raises(ZeroDivisionError), pool.borrow():
        raise ZeroDivisionError
    outside = empty(FLOAT, *SHAPES)
    assert not any(np.shares_memory(inside, array) for array in outside)
    assert all(address(array) % LINE_BYTES == 0 for array in outside)


def test_each_thread_has_its_own_current_arena():
    barrier, found = Barrier(2), {}

    def work(name, pool):
        with pool.borrow():
            barrier.wait(10)
            (array,) = empty(FLOAT, (50,))
            array[...] = name
            barrier.wait(10)
            found[name] = array.copy()

    pools = ArenaPool(2**20), ArenaPool(2**20)
    for _ in range(2):  # the second time from the buffers
        threads = [Thread(target=work, args=pair) for pair in enumerate(pools)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert all((found[name] == name).all() for name in (0, 1))


def total_bytes(pool):
    return sum(arena.n_bytes for arena in pool._all)


def test_pool_reuses_arenas_and_drops_large_ones():
    pool = ArenaPool(max_bytes=1000)
    for _ in range(3):
        with pool.borrow():
            empty(FLOAT, (50,))
    assert len(pool._all) == 1
    assert total_bytes(pool) == 4 * LINE_BYTES
    with pool.borrow():
        empty(FLOAT, (300,))  # more than max_bytes
    assert total_bytes(pool) == 0
    with pytest.raises(ZeroDivisionError), pool.borrow():
        raise ZeroDivisionError
    assert len(pool._idle) == 1
    pool.clear()
    assert not pool._all


def test_an_arena_that_cannot_be_enlarged_is_given_back(monkeypatch):
    pool, before = ArenaPool(max_bytes=2**20), arenas._current.get()
    with pool.borrow():
        empty(FLOAT, (50,))

    def no_memory(n_bytes):
        raise MemoryError

    monkeypatch.setattr(arenas, "_fresh", no_memory)
    with pytest.raises(MemoryError), pool.borrow():
        pass
    monkeypatch.undo()
    assert len(pool._idle) == len(pool._all) == 1
    assert arenas._current.get() is before


def test_concurrent_threads_borrow_different_arenas():
    pool, barrier, failures = ArenaPool(max_bytes=2**20), Barrier(4), []

    def work(name):
        for _ in range(200):
            with pool.borrow():
                (array,) = empty(FLOAT, (64,))
                array[...] = name
                if not (array == name).all():
                    failures.append(name)
        barrier.wait(20)

    threads = [Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failures
    assert 1 <= len(pool._all) <= 4
    assert len(pool._idle) == len(pool._all)
