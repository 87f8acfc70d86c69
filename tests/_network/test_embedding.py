import numpy as np
import pytest
from numerics import LOSSES, assert_close, assert_gradient

from sklstm._network import embedding
from sklstm._network.network import SequenceNetwork
from sklstm._training.objective import Objective
from sklstm._training.samples import Samples
from sklstm.sequences import Sequences

VOCABULARY, SIZE = 7, 3


def draw(rng, n=20):
    return {"embedding.weight": rng.normal(size=(VOCABULARY, SIZE))}, rng.integers(0, 5, (n, 1))


def test_forward_is_the_product_with_one_hot_rows(rng):
    params, tokens = draw(rng)
    one_hot = np.eye(VOCABULARY)[tokens[:, 0]]
    np.testing.assert_array_equal(
        embedding.forward(params, tokens), one_hot @ params["embedding.weight"]
    )


def test_backward_adds_the_product_with_one_hot_rows(rng):
    params, tokens = draw(rng)
    dy = rng.normal(size=(len(tokens), SIZE))
    grad = {name: np.ones_like(view) for name, view in params.items()}
    embedding.backward(tokens, dy, grad)
    expected = 1 + np.eye(VOCABULARY)[tokens[:, 0]].T @ dy
    assert_close(grad["embedding.weight"], expected, 1e-14)
    np.testing.assert_array_equal(grad["embedding.weight"][5:], 1)  # these tokens do not occur


def test_initial_vectors_have_unit_variance(seed):
    params = {"embedding.weight": np.empty((1000, 20))}
    embedding.initialize(params, np.random.RandomState(seed))
    assert abs(params["embedding.weight"].std() - 1) < 0.05


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean_max", None])
def test_gradient_of_the_network_against_differences(pooling, bidirectional, rng):
    lengths = np.array([3, 1, 6, 2])
    tokens = Sequences(rng.integers(0, VOCABULARY, (12, 1)), lengths, "list")
    case, rows = LOSSES["squared"], 12 if pooling is None else 4
    network = SequenceNetwork(
        SIZE,
        (4, 2),
        case.n_outputs,
        bidirectional=bidirectional,
        pooling=pooling,
        vocabulary_size=VOCABULARY,
    )
    samples = Samples(tokens, case.draw(rng, rows), rng.uniform(0.5, 2, rows), pooling is None)
    objective = Objective(network, case.loss, samples, alpha=0.3)
    parameters = rng.normal(0, 0.5, network.layout.size)
    assert_gradient(
        lambda changed: objective(changed)[0],
        parameters,
        objective(parameters)[1],
        rng,
        network.layout.slices.values(),
    )


def test_the_embedding_is_last_in_the_layout():
    network = SequenceNetwork(SIZE, (4,), 2, vocabulary_size=VOCABULARY)
    assert list(network.layout.shapes)[-1] == "embedding.weight"
    assert network.layout.shapes["embedding.weight"] == (VOCABULARY, SIZE)
    assert network.layout.shapes["lstm_0.weight_ih"] == (SIZE, 16)
