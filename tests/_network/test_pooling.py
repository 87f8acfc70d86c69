import numpy as np
import pytest
from numerics import RAGGED, assert_close, assert_gradient, draw_sequences

from sklstm._network import pooling
from sklstm._network.kernels import pooled as pooled_steps
from sklstm._network.kernels.pooled import Pooled, add_steps, gradient_at_steps
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
    monkeypatch.setattr(pooled_steps, "MIN_STEPS", min_steps)
    monkeypatch.setattr(pooled_steps, "MAX_ELEMENTS", max_elements)


def draw_steps(rng, lengths=RAGGED, dtype=np.float64):
    batch = draw_sequences(rng, lengths, 1).pack()
    return rng.standard_normal((len(batch.values), WIDTH)).astype(dtype), batch


def pool(kind, steps, batch):
    """Return the input of the output layer, and the time steps of the maxima."""
    pooled = pooling.initial(kind, len(batch), steps.shape[1], steps.dtype, need_argmax=True)
    add_steps(pooled, steps, batch.batch_sizes)
    return pooling.finish(kind, pooled, None, batch.lengths), pooled.argmax


def gradient_of(kind, dy, argmax, batch):
    """Return the gradient at each step."""
    hidden = pooling.backward(kind, dy, batch.lengths)
    assert hidden.steps is None
    assert hidden.last is None
    return gradient_at_steps(hidden.pooled, argmax, batch.batch_sizes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths", [RAGGED, (4, 4), (1,)])
@pytest.mark.parametrize("kind", PLAIN)
def test_pooling_equals_numpy_for_each_sequence(kind, lengths, dtype, rng):
    steps, batch = draw_steps(rng, lengths, dtype)
    actual, _ = pool(kind, steps, batch)
    sequences = np.split(batch.unpack(steps), np.cumsum(lengths)[:-1])
    assert actual.shape == (len(lengths), pooling.width(kind, WIDTH))
    tolerance = 1e-6 if dtype == np.float32 else 1e-15
    assert_close(batch.restore(actual), np.stack([*map(PLAIN[kind], sequences)]), tolerance)


def test_last_returns_the_final_states(rng):
    last, lengths = rng.standard_normal((4, WIDTH)), np.arange(4, 0, -1)
    pooled = pooling.initial("last", 4, WIDTH, last.dtype, need_argmax=True)
    assert pooled == (None, None, None)
    np.testing.assert_array_equal(pooling.finish("last", pooled, last, lengths), last)
    gradient = pooling.backward("last", last, lengths)
    assert gradient.steps is None
    assert gradient.pooled is None
    np.testing.assert_array_equal(gradient.last, last)
    assert [pooling.needs_steps(kind) for kind in POOLINGS] == [False, True, True, True]


@pytest.mark.parametrize("kind", PLAIN)
def test_gradient_against_differences(kind, rng):
    steps, batch = draw_steps(rng)
    actual, argmax = pool(kind, steps, batch)
    at_result = rng.standard_normal(actual.shape)
    gradient = gradient_of(kind, at_result, argmax, batch)

    def value(steps):
        return np.vdot(pool(kind, steps, batch)[0], at_result)

    assert_gradient(value, steps, gradient, rng, batch.blocks)


@pytest.mark.parametrize("kind", ["max", "mean_max"])
def test_the_first_of_equal_maxima_receives_the_gradient(kind, rng):
    batch = draw_sequences(rng, (4, 2), 1).pack()
    values = np.array([[1.0, 5.0, 2.0, 5.0], [7.0, 7.0, np.nan, np.nan]])
    steps = values[batch.row_of, batch.step_of][:, None]
    actual, argmax = pool(kind, steps, batch)
    np.testing.assert_array_equal(actual[:, -1], [5, 7])
    at_result = np.zeros_like(actual)
    at_result[:, -1] = [10.0, 20.0]
    gradient = gradient_of(kind, at_result, argmax, batch)
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
    expected, argmax = pool(kind, steps, batch)
    dy = rng.standard_normal(expected.shape)
    gradient = gradient_of(kind, dy, argmax, batch)

    pooled = pooling.initial(kind, 3, WIDTH, steps.dtype, need_argmax=True)
    segments = split(packing, 3)
    for part, first in segments[::-1] if reverse else segments:
        rows = batch.blocks[first].start + np.arange(len(part.values))
        add_steps(pooled, steps[rows], part.batch_sizes, first, reverse)
    assert_close(pooling.finish(kind, pooled, None, packing.lengths), expected, 1e-15)
    for part, first in segments:
        rows = batch.blocks[first].start + np.arange(len(part.values))
        active = slice(len(part))
        at_pooled = pooling.backward(kind, dy[active], packing.lengths[active]).pooled
        argmax = pooled.part(active).argmax
        actual = gradient_at_steps(at_pooled, argmax, part.batch_sizes, first)
        np.testing.assert_array_equal(actual, gradient[rows])


@pytest.mark.parametrize("kind", PLAIN)
def test_a_factor_may_be_applied_after_pooling(kind, rng):
    steps, batch = draw_steps(rng)
    factor = rng.integers(0, 3, (len(batch), WIDTH)) / 2.0
    expected, _ = pool(kind, steps * factor[batch.row_of], batch)
    pooled = pooling.initial(kind, len(batch), WIDTH, steps.dtype)
    add_steps(pooled, steps, batch.batch_sizes)
    actual = pooling.finish(kind, pooled.times(factor), None, batch.lengths)
    assert_close(actual, expected, 1e-15)
    assert Pooled(None, None).times(factor) == (None, None, None)
