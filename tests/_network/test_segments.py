"""Segments: the results are those of the whole batch computed at once."""

import numpy as np
import pytest
from numerics import assert_close, draw_sequences

from sklstm._network import segments
from sklstm._network.network import SequenceNetwork
from sklstm._network.pooling import POOLINGS
from sklstm.sequences import Sequences

LENGTHS = (9, 7, 7, 3, 1, 2, 12)
VOCABULARY = 6
DROPOUT = {"dropout": 0.3, "recurrent_dropout": 0.4}

by_depth = pytest.mark.parametrize("sizes", [(3,), (3, 2), (2, 3, 2)], ids=["one", "two", "three"])
by_width = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
by_pooling = pytest.mark.parametrize("pooling", [*POOLINGS, None])


def draw_packing(rng, tokens=False, lengths=LENGTHS):
    if not tokens:
        return draw_sequences(rng, lengths, 2).packing()
    values = rng.integers(0, VOCABULARY, (sum(lengths), 1))
    return Sequences(values, np.array(lengths), "list").packing(None, np.float64)


def make(rng, sizes=(3, 2), **options):
    network = SequenceNetwork(2, sizes, 3, **{"bidirectional": True, **options})
    return network, network.layout.views(rng.normal(0, 0.5, network.layout.size))


def gradient_of(network, backward):
    flat = np.zeros(network.layout.size)
    backward(network.layout.views(flat))
    return flat


@pytest.mark.parametrize("tokens", [False, True], ids=["numbers", "tokens"])
@pytest.mark.parametrize("rates", [{}, DROPOUT], ids=["plain", "dropout"])
@by_pooling
@by_width
@by_depth
def test_outputs_and_gradient_equal_those_of_the_whole_batch(
    sizes, bidirectional, pooling, rates, tokens, rng, seed
):
    vocabulary = VOCABULARY if tokens else None
    options = {"pooling": pooling, "bidirectional": bidirectional, "vocabulary_size": vocabulary}
    network, params = make(rng, sizes, **options, **rates)
    packing = draw_packing(rng, tokens)
    masks = network.draw_masks(np.random.RandomState(seed), len(packing), np.float64)
    raw, cache = network.forward(params, packing.segment(), masks)
    draw = rng.standard_normal(raw.shape)
    expected = gradient_of(network, lambda grad: network.backward(params, draw, cache, grad))
    for length in (1, 5, 11, 12):
        actual, forward_pass = segments.forward(network, params, packing, masks, length)
        assert_close(actual, raw, 1e-13)
        gradient = gradient_of(
            network, lambda grad, p=forward_pass: segments.backward(p, draw, grad)
        )
        assert_close(gradient, expected, 1e-12)


@by_pooling
@by_width
def test_predictions_equal_those_of_the_whole_batch(bidirectional, pooling, rng):
    network, params = make(rng, bidirectional=bidirectional, pooling=pooling, dropout=0.5)
    packing = draw_packing(rng)
    expected = network.predict(params, packing.segment())
    for length in (1, 4, 12):
        assert_close(segments.predict(network, params, packing, length), expected, 1e-13)


class Written:
    """A result with a row for each time step, and a function that writes to it."""

    def __init__(self, width):
        self.values = np.full((sum(LENGTHS), width), np.nan)

    def __call__(self, rows, values, columns=slice(None), add=False):
        if add:
            self.values[rows, columns] += values
        else:
            self.values[rows, columns] = values


@by_width
@by_depth
def test_hidden_states_equal_those_of_the_whole_batch(sizes, bidirectional, rng):
    network, params = make(rng, sizes, bidirectional=bidirectional)
    packing = draw_packing(rng)
    batch = packing.segment()
    expected = batch.unpack(network.hidden_states(params, batch).steps)
    for length in (1, 4, 12):
        write = Written(network.layers[-1].width)
        segments.hidden_states(network, params, packing, length, write)
        assert_close(write.values, expected, 1e-13)


@pytest.mark.parametrize("tokens", [False, True], ids=["numbers", "tokens"])
@by_pooling
@by_width
@by_depth
def test_input_gradients_equal_those_of_the_whole_batch(sizes, bidirectional, pooling, tokens, rng):
    vocabulary = VOCABULARY if tokens else None
    options = {"pooling": pooling, "bidirectional": bidirectional, "vocabulary_size": vocabulary}
    network, params = make(rng, sizes, **options)
    packing = draw_packing(rng, tokens)
    batch = packing.segment()
    raw, cache = network.forward(params, batch)
    draw = rng.standard_normal(raw.shape)
    grad = network.layout.views(np.zeros(network.layout.size))
    expected = network.backward(params, draw, cache, grad, need_inputs=True)
    alone = network.input_gradients(params, draw, cache)
    np.testing.assert_array_equal(alone, expected)
    for length in (1, 5, 11, 12):
        _, forward_pass = segments.forward(network, params, packing, {}, length)
        write = Written(network.n_inputs)
        segments.input_gradients(forward_pass, draw, write)
        assert_close(write.values, batch.unpack(expected), 1e-12)


def test_the_backward_pass_can_be_repeated(rng):
    network, params = make(rng, pooling="mean_max")
    raw, forward_pass = segments.forward(network, params, draw_packing(rng), {}, 4)
    draw = rng.standard_normal(raw.shape)
    first, second = (
        gradient_of(network, lambda grad: segments.backward(forward_pass, draw, grad))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
