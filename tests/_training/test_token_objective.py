"""The objective of tokens depends on the vectors of the tokens that occur, and on no others."""

from dataclasses import replace

import numpy as np
import pytest
from numerics import assert_close, draw_sequences

from sklstm._network.losses import CategoricalCrossEntropy
from sklstm._network.network import SequenceNetwork
from sklstm._threads import with_workers
from sklstm._training import token_objective
from sklstm._training.objective import Objective
from sklstm._training.samples import Samples
from sklstm._training.token_objective import TokenObjective, occurring

VOCABULARY, SIZE, N = 40, 3, 12


def draw(rng, pooling="mean_max", n=N, **options):
    network = SequenceNetwork(
        SIZE, (4, 2), 3, bidirectional=True, pooling=pooling, vocabulary_size=VOCABULARY, **options
    )
    sequences = draw_sequences(rng, rng.integers(1, 7, n), n_features=1)
    values = rng.integers(0, VOCABULARY, sequences.values.shape)
    sequences = replace(sequences, values=values)
    n_rows = len(values) if pooling is None else n
    samples = Samples(
        sequences, rng.integers(0, 3, n_rows), rng.uniform(0.5, 2, n_rows), pooling is None
    )
    parameters = rng.normal(0, 0.5, network.layout.size)
    return Objective(network, CategoricalCrossEntropy(), samples, alpha=0.3), parameters


def without_absent_tokens(objective, parameters, indices):
    """The same parameters, with zero as the vector of each token that the batch does not have."""
    sequences = objective.samples.sequences
    occurs = np.isin(np.arange(VOCABULARY), sequences.take(indices).values)
    reduced = parameters.copy()
    objective.network.layout.views(reduced)["embedding.weight"][~occurs] = 0
    return reduced


@pytest.mark.parametrize("whole", [True, False], ids=["all", "batch"])
@pytest.mark.parametrize("pooling", ["last", "mean_max", None])
def test_value_and_gradient_are_those_without_the_other_tokens(pooling, whole, rng):
    """So the penalty counts the tokens that occur alone."""
    objective, parameters = draw(rng, pooling)
    indices = None if whole else rng.permutation(N)[:4]
    value, (values, part, _), n = TokenObjective(objective)(parameters, indices, None)
    given = np.arange(N) if whole else indices
    reduced = without_absent_tokens(objective, parameters, given)
    expected, gradient, n_expected = objective(reduced, given)
    assert n == n_expected == len(given)
    assert value == pytest.approx(expected, rel=1e-12)
    found = np.zeros_like(gradient)
    part.put(found, values)
    assert_close(found, gradient, 1e-12)
    tokens = np.unique(objective.samples.sequences.take(given).values)
    np.testing.assert_array_equal(part.rows, tokens)


def test_a_batch_with_all_tokens_has_the_bits_of_the_whole_gradient(rng):
    objective, parameters = draw(rng)
    sequences = objective.samples.sequences
    values = np.concatenate([np.arange(VOCABULARY)] * 2)[:, None]
    sequences = replace(sequences, values=values, lengths=np.array([30, 7, 10, 33]))
    objective.samples = Samples(sequences, np.array([0, 1, 2, 0]), np.ones(4))
    value, (values, part, _), _ = TokenObjective(objective)(parameters, None, None)
    expected, gradient, _ = objective(parameters, None, None)
    np.testing.assert_array_equal(part.rows, np.arange(VOCABULARY))
    np.testing.assert_array_equal(values, gradient)
    assert value == expected


def test_dropout_masks_are_those_of_the_whole_network(rng, seed):
    objective, parameters = draw(rng, dropout=0.3, recurrent_dropout=0.3)
    indices = rng.permutation(N)[:5]
    value, (values, part, _), _ = TokenObjective(objective)(
        parameters, indices, np.random.RandomState(seed)
    )
    reduced = without_absent_tokens(objective, parameters, indices)
    expected, gradient, _ = objective(reduced, indices, np.random.RandomState(seed))
    assert value == pytest.approx(expected, rel=1e-12)
    assert_close(values, part.take(gradient), 1e-12)


def test_equal_sequences_that_were_merged_count_as_often_as_given(rng):
    objective, parameters = draw(rng)
    counts = rng.integers(1, 4, N)
    objective.samples = replace(objective.samples, counts=counts)
    assert TokenObjective(objective)(parameters, np.array([3, 5]), None)[2] == counts[[3, 5]].sum()
    assert TokenObjective(objective)(parameters, None, None)[2] == counts.sum()


def test_the_result_has_the_same_bits_for_any_number_of_threads(rng, threads_pay):
    objective, parameters = draw(rng, n=200)

    def evaluate(parallel_map):
        whole = Objective(objective.network, objective.loss, objective.samples, 0.3, parallel_map)
        return TokenObjective(whole)(parameters, None, None)

    value, (values, part, _), _ = with_workers(1, evaluate)
    threads_pay.clear()
    threads_pay.several = True
    other, (others, _, _), _ = with_workers(2, evaluate)
    assert len(threads_pay) == 2
    assert value == other
    np.testing.assert_array_equal(values, others)
    np.testing.assert_array_equal(values[: part.n_first] != 0, True)


@pytest.mark.parametrize("factor", [0, 10**9], ids=["by sorting", "by a table"])
def test_tokens_that_occur(factor, rng, monkeypatch):
    monkeypatch.setattr(token_objective, "TABLE_FACTOR", factor)
    tokens = rng.integers(0, VOCABULARY, 30)
    rows, positions = occurring(tokens, VOCABULARY)
    assert rows.tolist() == sorted(set(tokens.tolist()))
    np.testing.assert_array_equal(rows[positions], tokens)
    assert positions.shape == tokens.shape
