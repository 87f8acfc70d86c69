"""The objective's sums: what weights, batches, shards and threads may and may not change.

That its gradient is right, tests/_network/test_network.py shows.
"""

import numpy as np
import pytest
from numerics import assert_close, draw_sequences

from sklstm import config_context
from sklstm._network.losses import CategoricalCrossEntropy, SquaredError
from sklstm._network.network import SequenceNetwork
from sklstm._threads import workers
from sklstm._training import objective as objective_module
from sklstm._training.objective import Objective, Samples, raw_predictions
from sklstm.sequences import Sequences

RATES = {"dropout": 0.3, "recurrent_dropout": 0.3}


def make_network(n_outputs=3, **options):
    options = {"bidirectional": True, "pooling": "mean_max", **options}
    return SequenceNetwork(2, (4, 3), n_outputs, **options)


def draw_samples(rng, n, dtype=np.float64):
    lengths = rng.integers(1, 7, n)
    weights = rng.uniform(0.5, 2, n)
    return Samples(draw_sequences(rng, lengths, dtype=dtype), rng.integers(0, 3, n), weights)


def draw_parameters(rng, network, dtype=np.float64):
    return rng.normal(0, 0.5, network.layout.size).astype(dtype)


def weighing(samples, weights):
    return Samples(samples.sequences, samples.targets, np.asarray(weights, dtype=float))


def evaluate(network, samples, parameters, *args, alpha=0.3, run=map):
    return Objective(network, CategoricalCrossEntropy(), samples, alpha, run)(parameters, *args)


def assert_same(found, expected, tolerance=1e-12):
    """Value, gradient and weight of a batch."""
    assert found[0] == pytest.approx(expected[0], rel=tolerance)
    assert_close(found[1], expected[1], tolerance)
    assert found[2] == pytest.approx(expected[2], rel=tolerance)


# --- what is computed ---


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize("whole", [True, False], ids=["all", "batch"])
def test_value_by_its_definition(whole, alpha, rng):
    """sum w_i loss_i / sum w_i over the batch + alpha / (2 W) |weights|^2 with W of all samples."""
    network, samples = make_network(), draw_samples(rng, 12)
    parameters = draw_parameters(rng, network)
    batch = np.arange(12) if whole else rng.permutation(12)[:5]
    raw = raw_predictions(network, parameters, samples.sequences, map)
    log_p = raw - np.log(np.exp(raw).sum(axis=1, keepdims=True))
    losses = -log_p[batch, samples.targets[batch]]
    params = network.layout.views(parameters)
    squares = sum((view**2).sum() for name, view in params.items() if not name.endswith("bias"))
    expected = np.average(losses, weights=samples.weights[batch])
    expected += alpha / (2 * samples.weights.sum()) * squares
    value, _, weight = evaluate(network, samples, parameters, None if whole else batch, alpha=alpha)
    assert value == pytest.approx(expected, rel=1e-12)
    assert weight == pytest.approx(samples.weights[batch].sum(), rel=1e-14)


def test_the_penalty_leaves_biases_alone(rng):
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


def test_without_a_generator_nothing_is_dropped(rng, seed):
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
def test_the_gradient_has_the_parameters_dtype_and_they_stay(dtype, rng, seed):
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
    found, expected = (
        evaluate(
            network,
            samples.astype(np.dtype(dtype)),
            parameters.astype(dtype),
            None,
            np.random.RandomState(seed),
        )
        for dtype in (np.float32, np.float64)
    )
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert_close(found[1].astype(np.float64), expected[1], 1e-5)


# --- weights ---


@pytest.mark.parametrize("n", [10, 150], ids=["one shard", "several"])
def test_a_weight_of_two_is_a_sample_given_twice(n, rng):
    network, samples = make_network(), draw_samples(rng, n)
    parameters, factors = draw_parameters(rng, network), rng.integers(1, 4, n)
    repeated = samples.take(np.repeat(np.arange(n), factors))
    weighted = weighing(samples, samples.weights * factors)
    found, expected = (evaluate(network, each, parameters) for each in (weighted, repeated))
    assert_same(found, expected)


@pytest.mark.parametrize("n", [10, 150], ids=["one shard", "several"])
def test_a_weight_of_zero_is_a_sample_left_out(n, rng):
    network, samples = make_network(), draw_samples(rng, n)
    parameters, kept = draw_parameters(rng, network), np.sort(rng.permutation(n)[: 2 * n // 3])
    weights = np.zeros(n)
    weights[kept] = samples.weights[kept]
    found = evaluate(network, weighing(samples, weights), parameters)
    assert_same(found, evaluate(network, samples.take(kept), parameters))


def test_the_scale_of_weights_matters_to_the_penalty_alone(rng):
    network, samples = make_network(), draw_samples(rng, 10)
    parameters = draw_parameters(rng, network)
    value, gradient, _ = evaluate(network, samples, parameters, alpha=0.0)
    heavy = weighing(samples, 1e6 * samples.weights)
    found_value, found_gradient, weight = evaluate(network, heavy, parameters, alpha=0.0)
    assert found_value == pytest.approx(value, rel=1e-12)
    assert_close(found_gradient, gradient, 1e-12)
    assert weight == pytest.approx(1e6 * samples.total_weight)


# --- shards and threads ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_batch", [50, 128, 333])
def test_the_number_of_threads_changes_no_bit(n_batch, dtype, threads_pay, rng, seed):
    """A batch of 50 is a single shard, whose directions are walked at once."""
    network, samples = make_network(**RATES), draw_samples(rng, 400, dtype)
    parameters, batch = draw_parameters(rng, network, dtype), rng.permutation(400)[:n_batch]
    results = []
    for n_threads in (1, 2, 3, 1):
        with workers(n_threads) as run:
            masks_of = np.random.RandomState(seed)
            objective = Objective(network, CategoricalCrossEntropy(), samples, 0.3, run)
            threads_pay.clear()
            threads_pay.several = n_threads > 1
            results.append(
                (*objective(parameters, batch, masks_of), objective.mean_loss(parameters))
            )
            assert (len(threads_pay) > 1) == (n_threads > 1)
    for value, gradient, weight, mean_loss in results[1:]:
        assert (value, weight, mean_loss) == (results[0][0], *results[0][2:])
        np.testing.assert_array_equal(gradient, results[0][1])


@pytest.mark.parametrize("shard_rows", [1, 7, 20, 64, 99])
def test_shards_sum_to_the_whole(shard_rows, rng, seed, monkeypatch):
    """The masks do not depend on the shards either: they are drawn for the batch before."""
    network, samples = make_network(**RATES), draw_samples(rng, 100)
    parameters = draw_parameters(rng, network)
    results = []
    for rows in (1000, shard_rows):
        monkeypatch.setattr(objective_module, "SHARD_ROWS", rows)
        masks_of = np.random.RandomState(seed)
        results.append(evaluate(network, samples, parameters, None, masks_of))
    assert_same(*results)


@pytest.mark.parametrize("least", [32, 64])
@pytest.mark.parametrize("n", [1, 63, 64, 127, 128, 200, 300])
def test_shards_take_every_row_once_and_have_like_work(n, least, rng, monkeypatch):
    monkeypatch.setattr(objective_module.kernels, "min_rows", lambda work: least)
    lengths = rng.integers(1, 50, n)
    shards = objective_module.shards_of(lengths, make_network())
    assert len(shards) == 1 if n < 2 * least else len(shards) % 2 == 0
    assert sorted(np.concatenate(shards)) == list(range(n))
    sizes = [len(shard) for shard in shards]
    assert min(sizes) >= min(n, least, 48)
    steps = [lengths[shard].sum() for shard in shards]
    assert max(steps) - min(steps) <= 49  # dealt out by length, they differ by one sequence


def test_masks_go_with_their_samples(rng, monkeypatch):
    """A batch in another order, its masks too, is the same batch."""
    network, samples = make_network(**RATES), draw_samples(rng, 150)
    parameters, batch = draw_parameters(rng, network), rng.permutation(150)[:140]
    masks = network.draw_masks(np.random.RandomState(3), 140, np.float64)
    results = []
    for order in (np.arange(140), rng.permutation(140)):
        permuted = {name: mask[order] for name, mask in masks.items()}
        monkeypatch.setattr(network, "draw_masks", lambda *_, masks=permuted: masks)
        results.append(evaluate(network, samples, parameters, batch[order], object()))
    assert_same(*results)
    first, second = (
        evaluate(network, samples, parameters, indices, object())
        for indices in (batch, np.roll(batch, 1))
    )
    assert first[0] != pytest.approx(second[0], rel=1e-6), "the masks do matter"


def test_a_shard_that_fails_raises(threads_pay, rng):
    class Broken(SquaredError):
        def loss_gradient(self, y_true, raw, weight):
            raise ZeroDivisionError("from a shard")

    network, samples = make_network(), draw_samples(rng, 200)
    parameters = draw_parameters(rng, network)
    for n_threads in (1, 2):
        with workers(n_threads) as run, pytest.raises(ZeroDivisionError, match="from a shard"):
            Objective(network, Broken(), samples, 0.0, run)(parameters)


def test_a_batch_leaves_nothing_in_the_memory_that_the_next_one_takes(rng):
    network, samples = make_network(), draw_samples(rng, 300)
    parameters = draw_parameters(rng, network)
    objective = Objective(network, CategoricalCrossEntropy(), samples, 0.0)
    batches = [rng.permutation(300)[:n] for n in (40, 300, 150, 1)]
    for batch in [*batches, *batches[::-1]]:
        fresh = Objective(network, CategoricalCrossEntropy(), samples, 0.0)
        found, alone = objective(parameters, batch), fresh(parameters, batch)
        assert found[0] == alone[0]
        np.testing.assert_array_equal(found[1], alone[1])


def test_threads_are_for_what_they_make_faster(monkeypatch):
    numpy_kernels = objective_module.kernels.numpy_kernels
    network = SequenceNetwork(8, (64, 32), 3, bidirectional=True)
    weights = 2 * 4 * (64 * 73 + 32 * (128 + 32 + 1))
    assert network.weights_a_step == weights
    monkeypatch.setattr(numpy_kernels, "MIN_WORK", 60 * weights)
    monkeypatch.setattr(numpy_kernels, "MIN_VALUES", 32 * 3)

    def run(function, *items):
        return map(function, *items)

    with config_context(kernels="numpy"):
        for lengths, n_parts, pays in (
            ([10] * 6, 2, True),
            ([10] * 5, 1, False),
            ([10] * 6, 3, False),
            ([20] + [10] * 4, 1, True),
            ([20] + [10] * 4, 2, False),
        ):
            found = objective_module.where_it_pays(run, network, np.array(lengths), n_parts)
            assert found is (run if pays else map), (lengths, n_parts)


# --- predictions ---


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("n", [1, 256, 513, 600])
def test_raw_predictions_keep_the_callers_order(n, n_threads, threads_pay, rng):
    network, samples = make_network(), draw_samples(rng, n)
    parameters = draw_parameters(rng, network)
    params = network.layout.views(parameters)
    with workers(n_threads) as run:
        found = raw_predictions(network, parameters, samples.sequences, run)
    some = np.unique(np.concatenate([[0, n - 1], rng.integers(0, n, 20)]))
    for k in some:
        alone = network.predict(params, samples.sequences.pack(np.array([k])))
        np.testing.assert_allclose(found[k : k + 1], alone, rtol=1e-12, atol=1e-13)
    chunks = objective_module.chunks_of(samples.sequences.lengths, network)
    assert max(map(len, chunks)) <= 256
    assert np.concatenate(chunks).tolist() == list(range(n))


# --- samples ---


def bits(samples):
    """All that a fit sees."""
    parts = samples.sequences.values, samples.sequences.lengths, samples.targets, samples.weights
    return [(part.dtype, part.shape, part.tobytes()) for part in parts]


def test_taken_samples_go_together(rng):
    samples, indices = draw_samples(rng, 8), np.array([5, 0, 5, 7])
    taken = samples.take(indices)
    assert len(taken) == 4
    assert taken.total_weight == samples.weights[indices].sum()
    np.testing.assert_array_equal(taken.targets, samples.targets[indices])
    for sequence, k in zip(taken.sequences, indices, strict=True):
        np.testing.assert_array_equal(sequence, list(samples.sequences)[k])


def test_a_dtype_is_that_of_values_and_targets_not_of_classes(rng):
    samples = draw_samples(rng, 4)
    classes = samples.astype(np.dtype(np.float32))
    numbers = Samples(samples.sequences, rng.standard_normal((4, 2)), samples.weights)
    numbers = numbers.astype(np.dtype(np.float32))
    assert classes.sequences.values.dtype == numbers.targets.dtype == np.float32
    assert classes.targets.dtype == samples.targets.dtype
    assert classes.weights.dtype == numbers.weights.dtype == np.float64


@pytest.mark.parametrize("targets", ["classes", "numbers"])
def test_what_means_the_same_merges_to_the_same_bits(targets, rng):
    samples, factors = draw_samples(rng, 30), rng.integers(1, 4, 30)
    if targets == "numbers":
        samples = Samples(samples.sequences, rng.standard_normal((30, 2)), samples.weights)
    samples = weighing(samples, np.ones(30))
    repeated = samples.take(np.repeat(np.arange(30), factors))
    expected = bits(weighing(samples, factors).merged())
    assert bits(repeated.merged()) == expected
    assert bits(repeated.take(rng.permutation(len(repeated))).merged()) == expected
    assert bits(weighing(samples, factors).take(rng.permutation(30)).merged()) == expected
    assert bits(repeated.merged().merged()) == expected


def test_equal_samples_merge_whatever_the_order_of_their_weights(rng):
    """(0.1 + 0.2) + 0.3 is not 0.1 + (0.2 + 0.3)."""
    samples = draw_samples(rng, 3)
    three = samples.take(np.repeat([0, 1, 2], 3))
    three = weighing(three, np.tile([0.1, 0.2, 0.3], 3))
    merged = {repr(bits(three.take(rng.permutation(9)).merged())) for _ in range(20)}
    assert len(merged) == 1


def test_only_equal_samples_merge():
    """Neither another target nor another length will do."""
    values = np.zeros((6, 2))
    sequences = Sequences(values, np.array([1, 2, 2, 1]), "list")
    samples = Samples(sequences, np.array([0, 0, 1, 0]), np.array([1.0, 2.0, 4.0, 8.0]))
    merged = samples.merged()
    found = {
        (int(length), int(target)): weight
        for length, target, weight in zip(
            merged.sequences.lengths, merged.targets, merged.weights, strict=True
        )
    }
    assert found == {(1, 0): 9, (2, 0): 2, (2, 1): 4}


def test_merging_changes_neither_value_nor_gradient(rng):
    network, samples = make_network(), draw_samples(rng, 40)
    indices = rng.integers(0, 40, 100)
    repeated = samples.take(indices)
    merged, parameters = repeated.merged(), draw_parameters(rng, network)
    assert len(merged) == len(set(indices.tolist()))
    found, expected = (evaluate(network, each, parameters) for each in (merged, repeated))
    assert_same(found, expected)
