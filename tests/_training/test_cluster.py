"""The objective that a cluster computes has the bits of that of one process."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from threading import Barrier

import numpy as np
import pytest
from _training.problems import draw_parameters, draw_samples, make_network

from sklstm._network import costs
from sklstm._network.losses import CategoricalCrossEntropy
from sklstm._training import cluster
from sklstm._training import objective as objective_module
from sklstm._training.objective import NoiseLevels, Objective


class LocalCluster:
    """Workers in this process, which get pickled parts and parameters."""

    def __init__(self, n_threads):
        self.n_threads = n_threads
        self.kept = []

    def keep(self, parts):
        self.kept.append(KeptParts(parts))
        return self.kept[-1]


class KeptParts:
    def __init__(self, parts):
        self.parts = [pickle.dumps(part) for part in parts]
        self.n_calls = 0

    def map(self, function, *arguments):
        self.n_calls += 1
        sent = pickle.dumps(arguments)
        found = [function(pickle.loads(part), *pickle.loads(sent)) for part in self.parts]
        for _, gradient in chain.from_iterable(found):
            gradient.flags.writeable = False  # as Dask returns them
        return found

    def release(self):
        self.parts = []


@pytest.fixture
def small_shards(monkeypatch):
    """Divide batches into shards of about four sequences, and compute at most three at once."""
    monkeypatch.setattr(costs, "SHARD_SEQUENCES", 4)
    monkeypatch.setattr(costs.kernels, "min_rows", lambda work: 2)
    monkeypatch.setattr(objective_module, "SHARDS_AT_ONCE", 3)


def evaluations(objective, seed, all_parameters, n_threads):
    """Values and gradients at some parameters, in this process or in a cluster."""
    local = None if n_threads is None else LocalCluster(n_threads)
    token = cluster.current_cluster.set(local)
    try:
        with cluster.evaluation(objective, seed) as evaluate:
            found = [evaluate(parameters) for parameters in all_parameters]
    finally:
        cluster.current_cluster.reset(token)
    if local is not None:
        (kept,) = local.kept
        assert kept.n_calls == len(all_parameters)
        assert kept.parts == []
    return found


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize(
    ("rate", "noise"), [(0.0, None), (0.3, NoiseLevels(np.array([0.5, 2.0]), np.full(2, 0.4)))]
)
@pytest.mark.parametrize("n_threads", [1, 2, 3, 5, 50])
def test_same_bits(small_shards, n_threads, rate, noise, per_step, rng, seed):
    options = {"dropout": rate, "recurrent_dropout": rate}
    network = make_network(pooling=None if per_step else "mean_max", **options)
    samples = draw_samples(rng, 61, per_step=per_step)
    assert len(costs.shards(network, samples.sequences.lengths)) > 5
    objective = Objective(network, CategoricalCrossEntropy(), samples, 0.3, noise=noise)
    all_parameters = [draw_parameters(rng, network) for _ in range(3)]
    expected = evaluations(objective, seed, all_parameters, None)
    found = evaluations(objective, seed, all_parameters, n_threads)
    for (value, gradient), (other, other_gradient) in zip(found, expected, strict=True):
        assert value == other
        np.testing.assert_array_equal(gradient, other_gradient)


def test_several_threads_fit_at_the_same_time(small_shards, rng, seed):
    """Each fit keeps its own data on the workers of the block."""
    network, loss = make_network(), CategoricalCrossEntropy()
    objectives = [Objective(network, loss, draw_samples(rng, n), 0.3) for n in (61, 40, 25)]
    parameters = draw_parameters(rng, network)
    barrier, local = Barrier(len(objectives)), LocalCluster(2)

    def evaluate(objective):
        cluster.current_cluster.set(local)
        with cluster.evaluation(objective, seed) as value_and_gradient:
            barrier.wait(60)  # all threads keep parts now
            return value_and_gradient(parameters)

    with ThreadPoolExecutor(len(objectives)) as pool:
        results = list(pool.map(evaluate, objectives))
    for objective, (value, gradient) in zip(objectives, results, strict=True):
        expected, expected_gradient, _ = objective(parameters)
        assert value == expected
        np.testing.assert_array_equal(gradient, expected_gradient)


def test_the_order_of_additions_does_not_depend_on_how_many_shards_are_in_memory(
    small_shards, rng, monkeypatch
):
    network, samples = make_network(), draw_samples(rng, 61)
    objective = Objective(network, CategoricalCrossEntropy(), samples, 0.3)
    parameters = draw_parameters(rng, network)
    value, gradient, _ = objective(parameters)
    monkeypatch.setattr(objective_module, "SHARDS_AT_ONCE", 1000)
    other, other_gradient, _ = objective(parameters)
    assert value == other
    np.testing.assert_array_equal(gradient, other_gradient)


def test_the_sum_of_halves_is_the_sum(rng):
    gradients = rng.normal(size=(23, 5))
    results = [(float(k), gradient.copy()) for k, gradient in enumerate(gradients)]
    value, gradient = objective_module.sum_of_halves(results)
    assert value == 23 * 22 / 2
    np.testing.assert_allclose(gradient, gradients.sum(axis=0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n_shards", [1, 2, 7, 64, 1000, 15625])
@pytest.mark.parametrize("n_parts", [1, 2, 3, 10, 1000])
def test_parts_return_few_sums(n_shards, n_parts):
    bounds = [n_shards * k // n_parts for k in range(n_parts + 1)]
    found = [cluster.subtrees_within(*part, (0, n_shards)) for part in pairwise(bounds)]
    shards = [k for trees in found for tree in trees for k in range(*tree)]
    assert shards == list(range(n_shards))
    assert max(map(len, found)) <= 2 * max(1, np.log2(n_shards))
    if n_parts == 2 <= n_shards:
        assert list(map(len, found)) == [1, 1]
