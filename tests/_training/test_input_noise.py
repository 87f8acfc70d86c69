"""Noise of the inputs: a batch with noise equals one whose values contain the noise."""

from dataclasses import replace

import numpy as np
import pytest
import sklearn
from _training.problems import draw_parameters, draw_samples, make_network
from numerics import assert_close, draw_sequences

from sklstm._network import costs
from sklstm._network.losses import CategoricalCrossEntropy
from sklstm._threads import serial_map, with_workers
from sklstm._training import objective as objectives
from sklstm._training.objective import NoiseLevels, Objective
from sklstm.sequences._scaling import Scaling

LEVELS, FACTORS = np.array([0.5, 2.0]), np.array([0.4, 0.2])
KINDS = {
    "added": NoiseLevels(LEVELS, 0 * LEVELS),
    "factors": NoiseLevels(0 * LEVELS, FACTORS),
    "both": NoiseLevels(LEVELS, FACTORS),
}
BOTH = KINDS["both"]
by_dtype = pytest.mark.parametrize("dtype", ["f4", "f8"])


def noisy(samples, network, noise=BOTH, parallel_map=serial_map):
    return Objective(network, CategoricalCrossEntropy(), samples, 0.3, parallel_map, noise=noise)


def with_these_draws(samples, indices, draws):
    """The samples with the noise of a batch in the values, after scaling."""
    sequences = samples.sequences
    added, factors = draws.noise
    dtype = (factors if added is None else added).dtype
    values = sequences.values.astype(dtype)
    if sequences.scaling is not None:
        values = sequences.scaling.apply(sequences.values, dtype)
    rows = sequences.rows(indices)
    if factors is not None:
        values[rows] *= np.repeat(factors, sequences.lengths[indices], axis=0)
    if added is not None:
        values[rows] += added
    return replace(samples, sequences=replace(sequences, values=values, scaling=None))


@by_dtype
@pytest.mark.parametrize("n", [1, 7, 300])
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_value_and_gradient(kind, scaled, per_step, n, dtype, rng, seed):
    network = make_network(pooling=None if per_step else "mean_max")
    samples, parameters = draw_samples(rng, n + 5, dtype, per_step), draw_parameters(rng, network)
    parameters = parameters.astype(dtype)
    if scaled:
        values = samples.sequences.values
        scaling = Scaling.of(values, np.ones(len(values)))
        samples = replace(samples, sequences=replace(samples.sequences, scaling=scaling))
    batch = rng.permutation(n + 5)[:n]
    objective = noisy(samples, network, KINDS[kind])
    found = objective(parameters, batch, np.random.RandomState(seed))
    draws = objective.draw(np.random.RandomState(seed), batch, parameters.dtype)
    expected = noisy(with_these_draws(samples, batch, draws), network, None)(parameters, batch)
    assert found[0] == pytest.approx(expected[0], rel=1e-12 if dtype == "f8" else 1e-6)
    assert_close(found[1], expected[1], 1e-12 if dtype == "f8" else 1e-5)
    without = noisy(samples, network, None)(parameters, batch)
    if n > 1:
        assert np.abs(found[1] - without[1]).max() > 1e-3 * np.abs(found[1]).max()


def test_noise_has_its_standard_deviations(rng, seed):
    samples = draw_samples(rng, 5000)
    objective = noisy(samples, make_network())
    draws = objective.draw(np.random.RandomState(seed), np.arange(5000), np.dtype("f8"))
    added, factors = draws.noise
    assert len(added) == samples.sequences.lengths.sum()
    assert len(factors) == 5000
    for found, scale in ((added, LEVELS), (factors - 1, FACTORS)):
        n = len(found)
        np.testing.assert_allclose(found.mean(axis=0) / scale, 0, atol=5 / np.sqrt(n))
        np.testing.assert_allclose(found.std(axis=0), scale, rtol=5 / np.sqrt(2 * n))
        assert abs(np.corrcoef(found.T)[0, 1]) < 5 / np.sqrt(n)


def test_each_batch_has_new_noise_and_a_prediction_has_none(rng, seed):
    network, samples = make_network(), draw_samples(rng, 9)
    parameters, random = draw_parameters(rng, network), np.random.RandomState(seed)
    objective = noisy(samples, network)
    assert objective(parameters, None, random)[0] != objective(parameters, None, random)[0]
    plain = noisy(samples, network, None)
    assert objective(parameters)[0] == plain(parameters)[0]
    assert objective.mean_loss(parameters) == plain.mean_loss(parameters)


def test_the_noise_does_not_depend_on_shards_and_threads(rng, seed, threads_pay, monkeypatch):
    network, samples = make_network(), draw_samples(rng, 61)
    parameters = draw_parameters(rng, network)

    def evaluate(n_jobs):
        return with_workers(
            n_jobs,
            lambda parallel_map: noisy(samples, network, BOTH, parallel_map)(
                parameters, None, np.random.RandomState(seed)
            ),
        )

    whole = evaluate(1)
    monkeypatch.setattr(costs, "SHARD_SEQUENCES", 4)
    monkeypatch.setattr(costs.kernels, "min_rows", lambda work: 2)
    assert len(costs.shards(network, samples.sequences.lengths)) > 5
    first, second = evaluate(1), evaluate(2)
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])
    assert first[0] == pytest.approx(whole[0], rel=1e-12)
    assert_close(first[1], whole[1], 1e-12)


def test_segments_have_the_same_noise(rng, seed, monkeypatch):
    network = make_network()
    samples = draw_samples(rng, 6)
    samples = replace(samples, sequences=draw_sequences(rng, [300, 20, 170, 1, 300, 44]))
    parameters = draw_parameters(rng, network)
    whole = noisy(samples, network)(parameters, None, np.random.RandomState(seed))
    used = []
    monkeypatch.setattr(
        objectives.segments,
        "forward",
        lambda *args, forward=objectives.segments.forward: used.append(args) or forward(*args),
    )
    with sklearn.config_context(working_memory=0.25):
        cut = noisy(samples, network)(parameters, None, np.random.RandomState(seed))
    assert used
    assert cut[0] == pytest.approx(whole[0], rel=1e-12)
    assert_close(cut[1], whole[1], 1e-10)
