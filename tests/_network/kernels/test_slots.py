import numpy as np
import pytest

from sklstm._network.kernels.slots import Walk


def batch_sizes_of(lengths):
    return np.array([np.sum(np.array(lengths) > t) for t in range(max(lengths))])


def indices(rows, n_slots):
    return np.arange(n_slots)[rows].tolist()


def test_three_sequences_forward():
    """Lengths 3, 2, 1; slots 0-2 before the first step, then steps at 3-5, 6-7 and 8."""
    walk = Walk(np.array([3, 2, 1]), reverse=False)
    assert (walk.n_sequences, walk.n_packed, walk.n_slots, walk.even) == (3, 6, 9, False)
    assert walk.table.tolist() == [[3, 0, 0, 3], [2, 3, 3, 6], [1, 5, 6, 8]]
    assert indices(walk.start, 9) == [0, 1, 2]
    assert indices(walk.final, 9) == [8, 7, 5]
    assert indices(walk.inputs, 9) == [0, 1, 2, 3, 4, 6]
    assert indices(walk.outputs, 9) == [3, 4, 5, 6, 7, 8]


def test_three_sequences_in_reverse():
    walk = Walk(np.array([3, 2, 1]), reverse=True)
    assert walk.table.tolist() == [[1, 5, 8, 6], [2, 3, 6, 3], [3, 0, 3, 0]]
    assert indices(walk.start, 9) == [8, 7, 5]
    assert indices(walk.final, 9) == [0, 1, 2]
    assert indices(walk.inputs, 9) == [3, 4, 5, 6, 7, 8]
    assert indices(walk.outputs, 9) == [0, 1, 2, 3, 4, 6]


@pytest.mark.parametrize("reverse", [False, True])
def test_equal_lengths_are_walked_in_slices(reverse):
    walk = Walk(np.array([2, 2, 2]), reverse)
    assert walk.even
    for rows in (walk.start, walk.final, walk.inputs, walk.outputs):
        assert isinstance(rows, slice)


def check(lengths, reverse):
    """One sequence and one step at a time, by the picture in the module's docstring."""
    walk = Walk(batch_sizes_of(lengths), reverse)
    n = len(lengths)
    cells = [(t, k) for t in range(lengths[0]) for k in range(n) if t < lengths[k]]
    slot = {(-1, k): k for k in range(n)} | {cell: n + p for p, cell in enumerate(cells)}
    before = [slot[t - 1, k] for t, k in cells]
    own = [slot[cell] for cell in cells]
    first, last = list(range(n)), [slot[length - 1, k] for k, length in enumerate(lengths)]
    read, written, start, final = before, own, first, last
    if reverse:
        read, written, start, final = own, before, last, first
    assert (walk.n_sequences, walk.n_packed, walk.n_slots) == (n, len(cells), n + len(cells))
    assert walk.even == (len(set(lengths)) == 1)
    found = (walk.inputs, walk.outputs, walk.start, walk.final)
    assert [indices(rows, walk.n_slots) for rows in found] == [read, written, start, final]
    times = range(lengths[0])[:: -1 if reverse else 1]
    visited = [[p for p, (t, _) in enumerate(cells) if t == time] for time in times]
    table = [[len(p), p[0], read[p[0]], written[p[0]]] for p in visited]
    assert walk.table.tolist() == table


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "lengths", [[1], [5], [1, 1, 1], [4, 4], [4, 4, 1], [5, 1], [6, 6, 3, 3, 3, 1]]
)
def test_chosen_lengths_against_the_picture(lengths, reverse):
    check(lengths, reverse)


@pytest.mark.parametrize("reverse", [False, True])
def test_random_lengths_against_the_picture(reverse, rng):
    for _ in range(50):
        lengths = rng.integers(1, 9, rng.integers(1, 12))
        check(sorted(lengths.tolist(), reverse=True), reverse)
