"""Raw predictions: order, chunks, and segments within the working memory."""

import os
from functools import partial

import numpy as np
import pytest
import sklearn
from _training.problems import draw_parameters, draw_samples, make_network
from numerics import draw_sequences

from sklstm._network import costs
from sklstm._threads import ParallelMap, with_workers
from sklstm._training.prediction import raw_predictions


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("n", [1, 256, 513, 600])
def test_predictions_have_the_order_of_the_sequences(n, n_jobs, threads_pay, rng):
    network, sequences = make_network(), draw_samples(rng, n).sequences
    parameters = draw_parameters(rng, network)
    params = network.layout.views(parameters)
    actual = with_workers(n_jobs, partial(raw_predictions, network, parameters, sequences))
    for k in np.unique(np.concatenate([[0, n - 1], rng.integers(0, n, 20)])):
        expected = network.predict(params, sequences.pack(np.array([k])))
        np.testing.assert_allclose(actual[k : k + 1], expected, rtol=1e-12, atol=1e-13)


@pytest.fixture
def segment_lengths(monkeypatch, threads_pay, rng):
    """A function that predicts in tight memory and returns the segment length of each chunk."""
    network = make_network()
    parameters = draw_parameters(rng, network)
    sequences = draw_sequences(rng, [400] * 140)
    lengths, segment_length = [], costs.segment_length

    def recording(*args, **kwargs):
        lengths.append(segment_length(*args, **kwargs))
        return lengths[-1]

    def predict(n_workers):
        lengths.clear()
        with sklearn.config_context(working_memory=2):
            raw_predictions(network, parameters, sequences, ParallelMap(n_workers))
        return list(lengths)

    monkeypatch.setattr(costs, "segment_length", recording)
    return predict


@pytest.mark.parametrize("n_workers", [1, 2])
def test_segments_do_not_depend_on_the_number_of_cores(n_workers, segment_lengths, monkeypatch):
    expected = segment_lengths(n_workers)
    assert len(expected) == 2, "two chunks"
    assert max(expected) < 400
    for n_cores in (1, 128):
        monkeypatch.setattr(os, "cpu_count", lambda n_cores=n_cores: n_cores)
        assert segment_lengths(n_workers) == expected


def test_workers_divide_the_working_memory(segment_lengths):
    one, two, three = map(segment_lengths, (1, 2, 3))
    assert all(a > b for a, b in zip(one, two, strict=True))
    assert three == two, "a third worker has no chunk"


def test_without_threads_one_chunk_has_the_whole_memory(segment_lengths, monkeypatch):
    monkeypatch.setattr(costs.kernels, "threads_pay", lambda *_: False)
    expected = segment_lengths(1)
    assert len(expected) == 1, "several chunks would only be of use to threads"
    assert segment_lengths(2) == expected
