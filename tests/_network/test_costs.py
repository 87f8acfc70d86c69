"""Costs: threads, shards, chunks, and the length of segments."""

import numpy as np
import pytest

from sklstm import config_context
from sklstm._network import costs
from sklstm._network.kernels import numpy_kernels
from sklstm._network.network import SequenceNetwork


def make_network():
    return SequenceNetwork(2, (4, 4), 3, bidirectional=True)


# --- threads ---


@pytest.mark.parametrize(
    ("lengths", "n_parts", "pays"),
    [
        ([10] * 6, 2, True),
        ([10] * 5, 1, False),
        ([10] * 6, 3, False),
        ([20] + [10] * 4, 1, True),
        ([20] + [10] * 4, 2, False),
    ],
)
def test_threads_need_enough_work_and_enough_rows_per_step(lengths, n_parts, pays, monkeypatch):
    network = SequenceNetwork(8, (64, 32), 3, bidirectional=True)
    weights = 2 * 4 * (64 * 73 + 32 * (128 + 32 + 1))
    assert network.weights_per_step == weights
    monkeypatch.setattr(numpy_kernels, "MIN_WORK", 60 * weights)
    monkeypatch.setattr(numpy_kernels, "MIN_VALUES", 32 * 3)
    with config_context(kernels="numpy"):
        assert costs.threads_pay(network, costs.Size.of(np.array(lengths)), n_parts) == pays


# --- shards and chunks ---


@pytest.mark.parametrize("least", [32, 64])
@pytest.mark.parametrize("n", [1, 63, 64, 127, 128, 200, 300])
def test_each_sequence_is_in_one_shard_and_shards_have_similar_work(n, least, rng, monkeypatch):
    monkeypatch.setattr(costs.kernels, "min_rows", lambda work: least)
    lengths = rng.integers(1, 50, n)
    shards = costs.shards(make_network(), lengths)
    assert len(shards) == 1 if n < 2 * least else len(shards) % 2 == 0
    assert sorted(np.concatenate(shards)) == list(range(n))
    sizes = [len(shard) for shard in shards]
    assert min(sizes) >= min(n, least, 48)
    steps = [lengths[shard].sum() for shard in shards]
    assert max(steps) - min(steps) <= 49, "at most one sequence"


@pytest.mark.parametrize("n", [1, 63, 64, 128, 256, 512, 513, 600, 1025])
def test_chunks_have_neighbouring_sequences(n, rng):
    chunks = costs.chunks(make_network(), costs.Size.of(rng.integers(1, 7, n)))
    assert max(map(len, chunks)) <= 256
    assert np.concatenate(chunks).tolist() == list(range(n))


@pytest.mark.parametrize("n", [1, 63, 64, 128, 256, 512, 513, 600, 1025])
def test_blas_has_threads_if_a_product_or_the_inputs_of_a_chunk_are_large(n):
    """For compiled kernels; the recurrence of NumPy's is computed by BLAS."""
    pytest.importorskip("llvmlite")
    network, size = SequenceNetwork(2, (5,), 9), costs.Size(n, 4, 4 * n)
    with config_context(kernels="compiled"):
        largest = max(map(len, costs.chunks(network, size)))
        for limit in (45 * largest - 1, 45 * largest):  # 5 units, 9 outputs
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(costs, "SINGLE_THREAD_SIZE", limit)
                expected = limit < 45 * largest
                assert costs.blas_has_threads(network, size, 4) == expected
                longer = size._replace(n_steps=23, n_rows=23 * n)  # 46 inputs of a sequence
                assert costs.blas_has_threads(network, longer, 4) == expected
                assert costs.blas_has_threads(network, longer, 8)
    with config_context(kernels="numpy"):
        assert costs.blas_has_threads(network, size, 4)


# --- memory ---


def test_memory_is_divided_among_shards_and_among_workers_with_a_chunk():
    assert costs.arena_memory(100.0) + 4 * costs.shard_memory(100.0, 4) == 100
    memory = [costs.chunk_memory(60.0, n_chunks, n_workers=3) for n_chunks in (1, 2, 3, 4)]
    assert memory == [60, 30, 20, 20]
    assert costs.chunk_memory(60.0, 4, n_workers=1) == 60


def segment_length(n_steps, memory, training=True):
    task = costs.Task(8, training)
    return costs.segment_length(make_network(), np.full(3, n_steps), task, memory)


@pytest.mark.parametrize("training", [False, True])
def test_steps_that_fit_into_memory_are_one_segment(training):
    assert segment_length(1000, 1e9, training) == 1000


def test_segments_are_longer_with_more_memory():
    shorter, longer = (segment_length(10_000, memory) for memory in (4e6, 8e6))
    assert 1 < shorter < longer < 10_000


def test_in_too_little_memory_segments_grow_with_the_square_root_of_the_length():
    lengths = [segment_length(n_steps, 1.0) for n_steps in (1_000, 100_000)]
    assert lengths[0] * 8 <= lengths[1] <= lengths[0] * 12


@pytest.mark.parametrize("training", [False, True])
def test_a_chunk_is_divided_until_segments_fit(training, rng):
    network, task = make_network(), costs.Task(8, training)
    lengths = rng.integers(1000, 1100, 30)
    chunk = np.arange(5, 25)
    n_parts = []
    for memory in (1e9, 4e5 if training else 1e5, 1.0):
        parts = costs.divide_chunk(network, chunk, lengths, task, memory)
        np.testing.assert_array_equal(np.concatenate(parts), chunk)
        n_parts.append(len(parts))
    assert n_parts[0] == 1 < n_parts[1] < n_parts[2] == 20


def test_steps_of_each_prediction_take_memory_for_the_outputs():
    pooled, per_step = (SequenceNetwork(2, (4,), 50, pooling=pooling) for pooling in ("last", None))
    lengths, task = np.full(3, 1000), costs.Task(8, training=False)
    outputs = costs.OUTPUT_ARRAYS * 3000 * 50 * 8
    for memory in (1e5, 1e6):
        expected = costs.segment_length(pooled, lengths, task, memory)
        assert costs.segment_length(per_step, lengths, task, memory + outputs) == expected


def test_gradients_at_the_inputs_take_memory():
    network, lengths = SequenceNetwork(100, (4,), 1), np.full(3, 10_000)
    without, with_inputs = (
        costs.segment_length(network, lengths, costs.Task(8, True, need_inputs), 2e7)
        for need_inputs in (False, True)
    )
    assert with_inputs < 0.8 * without


def test_segments_of_prediction_are_longer_than_those_of_training():
    assert segment_length(10_000, 2e6, training=False) > segment_length(10_000, 2e6)
