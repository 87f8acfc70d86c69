import numpy as np
import pytest

from sklstm._network.kernels.slots import SlotLayout


def batch_sizes_of(lengths):
    return np.array([np.sum(np.array(lengths) > t) for t in range(max(lengths))])


def indices(rows, n_slots):
    return np.arange(n_slots)[rows].tolist()


def test_three_sequences_forward():
    """Lengths 3, 2, 1; slots 0-2 are before the first step, the steps are at 3-5, 6-7 and 8."""
    layout = SlotLayout(np.array([3, 2, 1]), reverse=False)
    assert (layout.n_sequences, layout.n_packed, layout.n_slots) == (3, 6, 9)
    assert not layout.equal_lengths
    assert layout.table.tolist() == [[3, 0, 0, 3], [2, 3, 3, 6], [1, 5, 6, 8]]
    assert indices(layout.initial, 9) == [0, 1, 2]
    assert indices(layout.final, 9) == [8, 7, 5]
    assert indices(layout.inputs, 9) == [0, 1, 2, 3, 4, 6]
    assert indices(layout.outputs, 9) == [3, 4, 5, 6, 7, 8]


def test_three_sequences_in_reverse():
    layout = SlotLayout(np.array([3, 2, 1]), reverse=True)
    assert layout.table.tolist() == [[1, 5, 8, 6], [2, 3, 6, 3], [3, 0, 3, 0]]
    assert indices(layout.initial, 9) == [8, 7, 5]
    assert indices(layout.final, 9) == [0, 1, 2]
    assert indices(layout.inputs, 9) == [3, 4, 5, 6, 7, 8]
    assert indices(layout.outputs, 9) == [0, 1, 2, 3, 4, 6]


@pytest.mark.parametrize("reverse", [False, True])
def test_slices_for_equal_lengths(reverse):
    layout = SlotLayout(np.array([2, 2, 2]), reverse)
    assert layout.equal_lengths
    for rows in (layout.initial, layout.final, layout.inputs, layout.outputs):
        assert isinstance(rows, slice)


def check_layout(lengths, reverse):
    """Compare with slots that are assigned to one sequence and step at a time."""
    layout = SlotLayout(batch_sizes_of(lengths), reverse)
    n = len(lengths)
    cells = [(t, k) for t in range(lengths[0]) for k in range(n) if t < lengths[k]]
    slot = {(-1, k): k for k in range(n)} | {cell: n + p for p, cell in enumerate(cells)}
    before = [slot[t - 1, k] for t, k in cells]
    own = [slot[cell] for cell in cells]
    first, last = list(range(n)), [slot[length - 1, k] for k, length in enumerate(lengths)]
    read, written, initial, final = before, own, first, last
    if reverse:
        read, written, initial, final = own, before, last, first
    assert (layout.n_sequences, layout.n_packed, layout.n_slots) == (n, len(cells), n + len(cells))
    assert layout.equal_lengths == (len(set(lengths)) == 1)
    found = (layout.inputs, layout.outputs, layout.initial, layout.final)
    expected = [read, written, initial, final]
    assert [indices(rows, layout.n_slots) for rows in found] == expected
    times = range(lengths[0])[:: -1 if reverse else 1]
    rows_of_steps = [[p for p, (t, _) in enumerate(cells) if t == time] for time in times]
    table = [[len(p), p[0], read[p[0]], written[p[0]]] for p in rows_of_steps]
    assert layout.table.tolist() == table


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "lengths", [[1], [5], [1, 1, 1], [4, 4], [4, 4, 1], [5, 1], [6, 6, 3, 3, 3, 1]]
)
def test_layout_of_chosen_lengths(lengths, reverse):
    check_layout(lengths, reverse)


@pytest.mark.parametrize("reverse", [False, True])
def test_layout_of_random_lengths(reverse, rng):
    for _ in range(50):
        lengths = rng.integers(1, 9, rng.integers(1, 12))
        check_layout(sorted(lengths.tolist(), reverse=True), reverse)
