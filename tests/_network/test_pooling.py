import numpy as np
import pytest
from numerics import RAGGED, assert_close, assert_gradient, draw_sequences

from sklstm._network import pooling
from sklstm._network.hidden import HiddenStates
from sklstm._network.pooling import POOLINGS

WIDTH = 3
PLAIN = {
    "mean": lambda steps: steps.mean(axis=0),
    "max": lambda steps: steps.max(axis=0),
    "mean_max": lambda steps: np.concatenate([steps.mean(axis=0), steps.max(axis=0)]),
}


@pytest.fixture(autouse=True, params=[(1, 2**20), (1, 12), (8, 2**20)], ids=str)
def steps_at_a_time(request, monkeypatch):
    """Pool all equal steps at once, a few at once, or one at a time."""
    min_steps, max_elements = request.param
    monkeypatch.setattr(pooling, "MIN_STEPS", min_steps)
    monkeypatch.setattr(pooling, "MAX_ELEMENTS", max_elements)


def draw_hidden(rng, lengths=RAGGED, dtype=np.float64):
    batch = draw_sequences(rng, lengths, 1).pack()
    steps = rng.standard_normal((len(batch.values), WIDTH)).astype(dtype)
    return HiddenStates(steps, rng.standard_normal((len(lengths), WIDTH)).astype(dtype)), batch


def pool(kind, hidden, batch):
    """Return the input of the output layer, and the cache for the backward pass."""
    n, dtype = len(batch), (hidden.last if hidden.steps is None else hidden.steps).dtype
    width = 1 if hidden.steps is None else hidden.steps.shape[1]
    pooled = pooling.initial(kind, n, width, dtype)
    if hidden.steps is not None:
        pooling.add(pooled, hidden.steps, batch)
    return pooling.finish(kind, pooled, hidden.last, batch.lengths), pooled


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths", [RAGGED, (4, 4), (1,)])
@pytest.mark.parametrize("kind", PLAIN)
def test_pooling_equals_numpy_for_each_sequence(kind, lengths, dtype, rng):
    hidden, batch = draw_hidden(rng, lengths, dtype)
    actual, _ = pool(kind, hidden, batch)
    sequences = np.split(batch.unpack(hidden.steps), np.cumsum(lengths)[:-1])
    assert actual.shape == (len(lengths), pooling.width(kind, WIDTH))
    tolerance = 1e-6 if dtype == np.float32 else 1e-15
    assert_close(batch.restore(actual), np.stack([*map(PLAIN[kind], sequences)]), tolerance)


def test_last_returns_the_final_states(rng):
    hidden, batch = draw_hidden(rng)
    actual, pooled = pool("last", HiddenStates(None, hidden.last), batch)
    np.testing.assert_array_equal(actual, hidden.last)
    gradient = pooling.backward("last", actual, pooled, batch, batch.lengths)
    assert gradient.steps is None
    np.testing.assert_array_equal(gradient.last, actual)
    assert [pooling.needs_steps(kind) for kind in POOLINGS] == [False, True, True, True]


@pytest.mark.parametrize("kind", PLAIN)
def test_gradient_against_differences(kind, rng):
    hidden, batch = draw_hidden(rng)
    actual, pooled = pool(kind, hidden, batch)
    at_result = rng.standard_normal(actual.shape)
    gradient = pooling.backward(kind, at_result, pooled, batch, batch.lengths)
    assert gradient.last is None

    def value(steps):
        return np.vdot(pool(kind, HiddenStates(steps, None), batch)[0], at_result)

    assert_gradient(value, hidden.steps, gradient.steps, rng, batch.blocks)


@pytest.mark.parametrize("kind", ["max", "mean_max"])
def test_the_first_of_equal_maxima_receives_the_gradient(kind, rng):
    batch = draw_sequences(rng, (4, 2), 1).pack()
    values = np.array([[1.0, 5.0, 2.0, 5.0], [7.0, 7.0, np.nan, np.nan]])
    steps = values[batch.row_of, batch.step_of][:, None]
    actual, pooled = pool(kind, HiddenStates(steps, None), batch)
    np.testing.assert_array_equal(actual[:, -1], [5, 7])
    at_result = np.zeros_like(actual)
    at_result[:, -1] = [10.0, 20.0]
    gradient = pooling.backward(kind, at_result, pooled, batch, batch.lengths).steps
    np.testing.assert_array_equal(batch.unpack(gradient)[:, 0], [0, 10, 0, 0, 20, 0])


def split(packing, at):
    """Return two segments of a batch, each with its first step."""
    return [(packing.segment(0, at), 0), (packing.segment(at), at)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", PLAIN)
def test_segments_give_the_same_as_the_whole_batch(kind, reverse, rng):
    packing = draw_sequences(rng, (5, 4, 2), 1).packing()
    batch = packing.segment()
    steps = rng.integers(0, 2, (len(batch.values), WIDTH)).astype(float)  # many equal maxima
    expected, whole = pool(kind, HiddenStates(steps, None), batch)
    dy = rng.standard_normal(expected.shape)
    gradient = pooling.backward(kind, dy, whole, batch, batch.lengths).steps

    pooled = pooling.initial(kind, 3, WIDTH, steps.dtype)
    segments = split(packing, 3)
    for part, first in segments[::-1] if reverse else segments:
        rows = batch.blocks[first].start + np.arange(len(part.values))
        pooling.add(pooled, steps[rows], part, first, reverse)
    assert_close(pooling.finish(kind, pooled, None, packing.lengths), expected, 1e-15)
    for part, first in segments:
        rows = batch.blocks[first].start + np.arange(len(part.values))
        n = len(part)
        of_part = pooled.part(slice(n))
        actual = pooling.backward(kind, dy[:n], of_part, part, packing.lengths[:n], first)
        np.testing.assert_array_equal(actual.steps, gradient[rows])
