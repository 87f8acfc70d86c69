from threading import Barrier, Thread

import numpy as np
import pytest

from sklstm._network.kernels.arenas import LINE_BYTES, Arena, Arenas, empty, taken_from

FLOAT = np.dtype(np.float32)
SHAPES = [(3, 5), (7,), (2, 3, 4)]


def address(array):
    return array.__array_interface__["data"][0]


def take(arena):
    with taken_from(arena):
        return [empty(shape, FLOAT) for shape in SHAPES]


def test_the_second_pass_takes_the_memory_of_those_after_it():
    arena = Arena()
    first, second, third = take(arena), take(arena), take(arena)
    for arrays in (first, second, third):
        assert [(array.shape, array.dtype) for array in arrays] == [(s, FLOAT) for s in SHAPES]
        assert all(array.flags.c_contiguous and array.flags.writeable for array in arrays)
    assert [*map(address, second)] == [*map(address, third)]
    assert not {*map(address, first)} & {*map(address, second)}
    assert all(address(array) % LINE_BYTES == 0 for array in second)


def test_arrays_of_one_pass_do_not_overlap():
    arena = Arena()
    take(arena)
    with taken_from(arena):
        arrays = [empty(shape, FLOAT) for shape in SHAPES]
        more = empty((100,), FLOAT)  # beyond the block
        for k, array in enumerate([*arrays, more]):
            array[...] = k
    for k, array in enumerate([*arrays, more]):
        assert (array == k).all()
    with taken_from(arena):
        assert address(empty((150,), FLOAT)) % LINE_BYTES == 0


def test_without_an_arena_it_is_fresh_memory():
    arena = Arena()
    take(arena)
    inside = take(arena)[0]
    with pytest.raises(ZeroDivisionError), taken_from(arena):
        raise ZeroDivisionError
    outside = empty(SHAPES[0], FLOAT)
    assert not np.shares_memory(inside, outside)


def test_an_arena_belongs_to_the_thread_that_took_it():
    barrier, found = Barrier(2), {}

    def work(name, arena):
        with taken_from(arena):
            barrier.wait(10)
            array = empty((50,), FLOAT)
            array[...] = name
            barrier.wait(10)
            found[name] = array.copy()

    arenas = Arena(), Arena()
    for _ in range(2):  # the second time from their blocks
        threads = [Thread(target=work, args=pair) for pair in enumerate(arenas)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert all((found[name] == name).all() for name in (0, 1))


def held(arenas):
    return sum(arena.n_bytes for arena in arenas._all)


def test_arenas_are_taken_again_and_given_back():
    arenas = Arenas(most_bytes=1000)
    for _ in range(3):
        with arenas.one():
            empty((50,), FLOAT)
    assert len(arenas._all) == 1
    assert held(arenas) == 4 * LINE_BYTES
    with arenas.one():
        empty((300,), FLOAT)  # more than may be held
    assert held(arenas) == 0
    with pytest.raises(ZeroDivisionError), arenas.one():
        raise ZeroDivisionError
    assert len(arenas._idle) == 1
    arenas.clear()
    assert not arenas._all


def test_threads_that_work_at_once_have_an_arena_each():
    arenas, barrier, failures = Arenas(most_bytes=2**20), Barrier(4), []

    def work(name):
        for _ in range(200):
            with arenas.one():
                array = empty((64,), FLOAT)
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
    assert 1 <= len(arenas._all) <= 4
    assert len(arenas._idle) == len(arenas._all)
