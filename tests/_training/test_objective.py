"""The objective: its value, and the effect of weights, batches, shards and threads.

Its gradient is checked in tests/_network/test_network.py.
"""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
import sklearn
from _training.problems import draw_parameters, draw_samples, make_network, with_weights
from numerics import assert_close, draw_sequences

from sklstm import config_context
from sklstm._network import costs
from sklstm._network.losses import CategoricalCrossEntropy, SquaredError
from sklstm._network.network import SequenceNetwork
from sklstm._threads import serial_map, with_workers
from sklstm._training.objective import Objective
from sklstm._training.prediction import raw_predictions
from sklstm._training.samples import Samples, Totals

RATES = {"dropout": 0.3, "recurrent_dropout": 0.3}


def evaluate(network, samples, parameters, *args, alpha=0.3, parallel_map=serial_map):
    return Objective(network, CategoricalCrossEntropy(), samples, alpha, parallel_map)(
        parameters, *args
    )


def assert_same(actual, expected, tolerance=1e-12):
    """Compare value and gradient of a batch."""
    assert actual[0] == pytest.approx(expected[0], rel=tolerance)
    assert_close(actual[1], expected[1], tolerance)


# --- value and gradient ---


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize("whole", [True, False], ids=["all", "batch"])
def test_the_value_equals_its_definition(whole, alpha, rng):
    """sum w_i loss_i / (W m / n) over m of n samples + alpha / (2 W) |weights|^2."""
    network, samples = make_network(), draw_samples(rng, 12)
    parameters = draw_parameters(rng, network)
    batch = np.arange(12) if whole else rng.permutation(12)[:5]
    raw = raw_predictions(network, parameters, samples.sequences, serial_map)
    log_p = raw - np.log(np.exp(raw).sum(axis=1, keepdims=True))
    losses = -log_p[batch, samples.targets[batch]]
    params = network.layout.views(parameters)
    squares = sum((view**2).sum() for name, view in params.items() if not name.endswith("bias"))
    total = samples.weights.sum()
    expected = losses @ samples.weights[batch] / (total * len(batch) / 12)
    expected += alpha / (2 * total) * squares
    value, _, n = evaluate(network, samples, parameters, None if whole else batch, alpha=alpha)
    assert value == pytest.approx(expected, rel=1e-12)
    assert n == len(batch)


def test_biases_have_no_penalty(rng):
    network, samples = make_network(), draw_samples(rng, 5)
    parameters = draw_parameters(rng, network)
    with_penalty = evaluate(network, samples, parameters, alpha=2.0)[1]
    without = evaluate(network, samples, parameters, alpha=0.0)[1]
    difference = network.layout.views(with_penalty - without)
    strength = 2.0 / samples.weights.sum()
    for name, view in network.layout.views(parameters).items():
        expected = 0 * view if name.endswith("bias") else strength * view
        np.testing.assert_allclose(difference[name], expected, rtol=1e-10, atol=1e-13)


def test_mean_loss_has_neither_penalty_nor_dropout(rng):
    network, samples = make_network(**RATES), draw_samples(rng, 300)
    parameters = draw_parameters(rng, network)
    objective = Objective(network, CategoricalCrossEntropy(), samples, alpha=3.0)
    expected, _, _ = evaluate(make_network(), samples, parameters, alpha=0.0)
    assert objective.mean_loss(parameters) == pytest.approx(expected, rel=1e-12)


def test_without_a_generator_there_is_no_dropout(rng, seed):
    samples, network = draw_samples(rng, 9), make_network(**RATES)
    parameters = draw_parameters(rng, network)
    expected = evaluate(make_network(), samples, parameters)
    assert_same(evaluate(network, samples, parameters), expected, 1e-15)
    first, second, other = (
        evaluate(network, samples, parameters, None, np.random.RandomState(s))[0]
        for s in (seed, seed, seed + 1)
    )
    assert first == second != other != expected[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_has_the_dtype_of_the_parameters(dtype, rng, seed):
    network, samples = make_network(**RATES), draw_samples(rng, 200, dtype)
    parameters = draw_parameters(rng, network, dtype)
    before = parameters.copy()
    value, gradient, _ = evaluate(network, samples, parameters, None, np.random.RandomState(seed))
    assert isinstance(value, float)
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(parameters, before)


def test_float32_is_close_to_float64(rng, seed):
    network, samples = make_network(**RATES), draw_samples(rng, 200, np.float32)
    parameters = draw_parameters(rng, network, np.float32)
    actual, expected = (
        evaluate(
            network,
            samples.astype(np.dtype(dtype)),
            parameters.astype(dtype),
            None,
            np.random.RandomState(seed),
        )
        for dtype in (np.float32, np.float64)
    )
    assert actual[0] == pytest.approx(expected[0], rel=1e-5)
    assert_close(actual[1].astype(np.float64), expected[1], 1e-5)


# --- weights ---


@pytest.mark.parametrize("n", [10, 150], ids=["one shard", "several"])
def test_a_weight_of_two_is_a_sample_given_twice(n, rng):
    network, samples = make_network(), draw_samples(rng, n)
    parameters, factors = draw_parameters(rng, network), rng.integers(1, 4, n)
    repeated = samples.take(np.repeat(np.arange(n), factors))
    weighted = with_weights(samples, samples.weights * factors)
    actual, expected = (evaluate(network, each, parameters) for each in (weighted, repeated))
    assert_same(actual, expected)


@pytest.mark.parametrize("n", [10, 150], ids=["one shard", "several"])
def test_a_weight_of_zero_is_a_sample_left_out(n, rng):
    network, samples = make_network(), draw_samples(rng, n)
    parameters, kept = draw_parameters(rng, network), np.sort(rng.permutation(n)[: 2 * n // 3])
    weights = np.zeros(n)
    weights[kept] = samples.weights[kept]
    actual = evaluate(network, with_weights(samples, weights), parameters)
    assert_same(actual, evaluate(network, samples.take(kept), parameters))


def test_the_scale_of_weights_changes_only_the_penalty(rng):
    network, samples = make_network(), draw_samples(rng, 10)
    parameters = draw_parameters(rng, network)
    value, gradient, _ = evaluate(network, samples, parameters, alpha=0.0)
    scaled = with_weights(samples, 1e6 * samples.weights)
    found_value, found_gradient, _ = evaluate(network, scaled, parameters, alpha=0.0)
    assert found_value == pytest.approx(value, rel=1e-12)
    assert_close(found_gradient, gradient, 1e-12)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("per_step", [False, True])
def test_batches_estimate_the_objective_without_bias(per_step, merged, rng):
    """The mean over all batches of one size, each as likely, is the value of all samples."""
    network = make_network(pooling=None if per_step else "last")
    samples = draw_samples(rng, 7, per_step=per_step)
    weights = 10.0 ** rng.uniform(-2, 2, len(samples.weights))
    samples = with_weights(samples, weights)
    if merged:
        samples = samples.take(np.array([0, 1, 2, 3, 4, 0, 1])).merged()
    parameters = draw_parameters(rng, network)
    expected = evaluate(network, samples, parameters)
    given = np.repeat(np.arange(len(samples)), samples.counts) if merged else np.arange(7)
    single = [evaluate(network, samples, parameters, np.array([k])) for k in given]
    if merged:  # a merged sample alone counts as all of its equals
        counts = samples.counts[given]
        assert [n for *_, n in single] == counts.tolist()
    mean = np.mean([value for value, *_ in single]), np.mean([g for _, g, _ in single], axis=0)
    assert_same(mean, expected)
    pairs = list(combinations(range(len(samples)), 2))
    if not merged:
        batches = [evaluate(network, samples, parameters, np.array(pair)) for pair in pairs]
        mean = (
            np.mean([value for value, *_ in batches]),
            np.mean([g for _, g, _ in batches], axis=0),
        )
        assert_same(mean, expected)


def test_totals_of_earlier_samples_count(rng):
    network, samples = make_network(), draw_samples(rng, 6)
    parameters = draw_parameters(rng, network)
    objective = Objective(network, CategoricalCrossEntropy(), samples, 0.3, totals=Totals(50.0, 10))
    value, _, n = objective(parameters)
    weight, plain = samples.weights.sum(), evaluate(network, samples, parameters, alpha=0.0)
    penalty = evaluate(network, samples, parameters, alpha=0.3)[0] - plain[0]
    assert value == pytest.approx(plain[0] * weight / (50 * 6 / 10) + penalty * weight / 50)
    assert n == 6


# --- shards and threads ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_batch", [50, 128, 333])
def test_the_number_of_threads_changes_no_bit(n_batch, dtype, threads_pay, rng, seed):
    """A batch of 50 is a single shard, whose directions are computed at the same time."""
    network, samples = make_network(**RATES), draw_samples(rng, 400, dtype)
    parameters, batch = draw_parameters(rng, network, dtype), rng.permutation(400)[:n_batch]

    def compute(parallel_map):
        masks_of = np.random.RandomState(seed)
        objective = Objective(network, CategoricalCrossEntropy(), samples, 0.3, parallel_map)
        return *objective(parameters, batch, masks_of), objective.mean_loss(parameters)

    results = []
    for n_threads in (1, 2, 3, 1):
        threads_pay.clear()
        threads_pay.several = n_threads > 1
        results.append(with_workers(n_threads, compute))
        assert (len(threads_pay) > 1) == (n_threads > 1)
    for value, gradient, weight, mean_loss in results[1:]:
        assert (value, weight, mean_loss) == (results[0][0], *results[0][2:])
        np.testing.assert_array_equal(gradient, results[0][1])


@pytest.mark.parametrize("shard_rows", [1, 7, 20, 64, 99])
def test_shards_sum_to_the_whole(shard_rows, rng, seed, monkeypatch):
    """The dropout masks are those of the whole batch."""
    network, samples = make_network(**RATES), draw_samples(rng, 100)
    parameters = draw_parameters(rng, network)
    results = []
    for rows in (1000, shard_rows):
        monkeypatch.setattr(costs, "SHARD_SEQUENCES", rows)
        masks_of = np.random.RandomState(seed)
        results.append(evaluate(network, samples, parameters, None, masks_of))
    assert_same(*results)


@pytest.mark.parametrize("n", [20, 140], ids=["one shard", "several"])
def test_masks_belong_to_samples(n, rng, monkeypatch):
    """A batch and its masks in another order give the same result."""
    network, samples = make_network(**RATES), draw_samples(rng, 150)
    parameters, batch = draw_parameters(rng, network), rng.permutation(150)[:n]
    masks = network.draw_masks(np.random.RandomState(3), n, np.float64)
    results = []
    for order in (np.arange(n), rng.permutation(n)):
        permuted = {name: mask[order] for name, mask in masks.items()}
        monkeypatch.setattr(network, "draw_masks", lambda *_, masks=permuted: masks)
        results.append(evaluate(network, samples, parameters, batch[order], object()))
    assert_same(*results)
    first, second = (
        evaluate(network, samples, parameters, indices, object())
        for indices in (batch, np.roll(batch, 1))
    )
    assert first[0] != pytest.approx(second[0], rel=1e-6), "the masks have an effect"


def test_an_error_in_a_shard_is_raised(threads_pay, rng):
    class Broken(SquaredError):
        def loss_gradient(self, y_true, raw, weight):
            raise ZeroDivisionError("from a shard")

    network, samples = make_network(), draw_samples(rng, 200)
    parameters = draw_parameters(rng, network)

    def compute(parallel_map):
        Objective(network, Broken(), samples, 0.0, parallel_map)(parameters)

    for n_threads in (1, 2):
        with pytest.raises(ZeroDivisionError, match="from a shard"):
            with_workers(n_threads, compute)


def test_a_batch_does_not_depend_on_the_batches_before(rng):
    network, samples = make_network(), draw_samples(rng, 300)
    parameters = draw_parameters(rng, network)
    objective = Objective(network, CategoricalCrossEntropy(), samples, 0.0)
    batches = [rng.permutation(300)[:n] for n in (40, 300, 150, 1)]
    for batch in [*batches, *batches[::-1]]:
        fresh = Objective(network, CategoricalCrossEntropy(), samples, 0.0)
        actual, alone = objective(parameters, batch), fresh(parameters, batch)
        assert actual[0] == alone[0]
        np.testing.assert_array_equal(actual[1], alone[1])


def test_merging_changes_neither_value_nor_gradient(rng):
    network, samples = make_network(), draw_samples(rng, 40)
    indices = rng.integers(0, 40, 100)
    repeated = samples.take(indices)
    merged, parameters = repeated.merged(), draw_parameters(rng, network)
    assert len(merged) == len(set(indices.tolist()))
    actual, expected = (evaluate(network, each, parameters) for each in (merged, repeated))
    assert_same(actual, expected)


# --- memory ---


def recorded_memory(monkeypatch, name):
    """The memory that each call of a function of `costs` is given."""
    found, function = [], getattr(costs, name)

    def recording(network, lengths, task, memory):
        found.append(memory)
        return function(network, lengths, task, memory)

    monkeypatch.setattr(costs, name, recording)
    return found


@pytest.mark.parametrize("n_threads", [1, 2])
def test_shards_share_the_memory_that_arenas_leave(n_threads, threads_pay, rng, monkeypatch):
    network, samples = make_network(), draw_samples(rng, 300)
    parameters, found = (
        draw_parameters(rng, network),
        recorded_memory(monkeypatch, "segment_length"),
    )

    def compute(parallel_map):
        with sklearn.config_context(working_memory=8):
            Objective(network, CategoricalCrossEntropy(), samples, 0.0, parallel_map)(parameters)

    with_workers(n_threads, compute)
    assert found == [pytest.approx(0.75 * 8 * 2**20 / 4)] * len(found)
    assert found


@pytest.mark.parametrize("n_threads", [1, 2])
def test_validation_leaves_memory_for_the_arenas_of_training(
    n_threads, threads_pay, rng, monkeypatch
):
    network, samples = make_network(), draw_samples(rng, 300)
    parameters = draw_parameters(rng, network)
    found = recorded_memory(monkeypatch, "fits_at_once")

    def compute(parallel_map):
        with sklearn.config_context(working_memory=8):
            objective = Objective(network, CategoricalCrossEntropy(), samples, 0.0, parallel_map)
            objective.mean_loss(parameters)

    with_workers(n_threads, compute)
    assert len(found) == 2
    assert found == [pytest.approx(0.75 * 8 * 2**20 / 2)] * 2  # for any number of threads


@pytest.mark.parametrize("per_step", [False, True])
def test_the_mean_loss_is_a_sum_over_chunks(per_step, rng):
    network = make_network(pooling=None if per_step else "mean_max")
    samples = draw_samples(rng, 600, per_step=per_step)
    parameters = draw_parameters(rng, network)
    raw = raw_predictions(network, parameters, samples.sequences, serial_map)
    loss = CategoricalCrossEntropy()
    expected, _ = loss.loss_gradient(samples.targets, raw, samples.weights)
    found = Objective(network, loss, samples, 0.0).mean_loss(parameters)
    assert found == pytest.approx(expected / samples.weights.sum(), rel=1e-12)


def test_segments_drop_the_memory_of_earlier_batches(rng):
    """Arenas and a batch in segments together must not exceed the working memory."""
    lengths = np.full(8, 40)
    lengths[0] = 3_000
    samples = Samples(draw_sequences(rng, lengths), rng.integers(0, 3, 8), np.ones(8))
    network = make_network()
    parameters = draw_parameters(rng, network)
    with sklearn.config_context(working_memory=2):
        objective = Objective(network, CategoricalCrossEntropy(), samples, 0.0)
        objective(parameters, np.arange(1, 3))
        objective(parameters, np.arange(1, 3))
        assert sum(arena.n_bytes for arena in objective._arenas._idle) > 1e4
        objective(parameters, np.arange(8))
    assert objective._arenas._idle == []


@pytest.mark.parametrize("memory", [8, 12])
def test_a_gradient_keeps_within_the_memory_that_arenas_leave(memory, rng):
    """The scratch memory of the NumPy kernels alone is 5 MiB."""
    network = SequenceNetwork(1, (64,), 1)
    samples = Samples(draw_sequences(rng, [2_000] * 4, 1), rng.standard_normal((4, 1)), np.ones(4))
    parameters = draw_parameters(rng, network)
    with config_context(kernels="numpy"), sklearn.config_context(working_memory=memory):
        objective = Objective(network, SquaredError(), samples, 0.0)
        tracemalloc.start()
        try:
            objective(parameters)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 0.75 * memory * 2**20
