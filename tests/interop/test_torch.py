"""Weights to and from PyTorch: the same predictions there and here."""

import numpy as np
import pytest
from data import SMALL, cut, problem
from sklearn.base import clone
from torch_networks import Network, outputs, torch

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.interop.torch import from_state_dict, to_state_dict

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LAYERS = {"one layer": (4,), "stacked": (3, 5), "three layers": (4, 2, 3)}
directions = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
every_pooling = pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean_max"])


def names(sizes):
    return [f"lstm_{k}" for k in range(len(sizes))]


def load(network, state_dict):
    network.load_state_dict({name: torch.from_numpy(x) for name, x in state_dict.items()})
    return network.to(torch.float64)


def assert_equal(found, expected, scale=1.0):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * scale)


@directions
@every_pooling
@pytest.mark.parametrize("layers", LAYERS)
def test_both_ways(layers, pooling, bidirectional, rng, seed):
    sizes = LAYERS[layers]
    X, y = problem(rng, n_classes=3)
    X = cut(X, rng)
    clf = LSTMClassifier(
        sizes, pooling=pooling, bidirectional=bidirectional, max_iter=3, random_state=seed
    ).fit(X, y)
    state_dict = to_state_dict(clf, lstm=names(sizes))
    network = load(Network(2, sizes, 3, bidirectional=bidirectional, pooling=pooling), state_dict)
    assert_equal(outputs(network, X), clf.decision_function(X))
    again = from_state_dict(network.state_dict(), LSTMClassifier(pooling=pooling),
                            lstm=names(sizes))  # fmt: skip
    assert_equal(again.predict_proba(X), clf.predict_proba(X))
    assert again.hidden_layer_sizes == sizes
    assert again.bidirectional is bidirectional


@directions
def test_several_layers_of_one_module(bidirectional, rng, seed):
    X, _ = problem(rng)
    lstm = torch.nn.LSTM(2, 4, num_layers=3, bidirectional=bidirectional, batch_first=True)
    linear = torch.nn.Linear(4 * (1 + bidirectional), 1)
    modules = torch.nn.ModuleDict({"lstm": lstm, "linear": linear})
    estimator = LSTMRegressor(pooling="last", warm_start=True, random_state=seed, max_iter=3)
    reg = from_state_dict(modules.state_dict(), estimator)
    with torch.inference_mode():
        _, (h, _) = lstm(torch.from_numpy(X.astype(np.float32)))
        last = torch.cat(list(h[-1 - bidirectional :]), dim=-1)
        expected = linear(last).numpy()[:, 0]
    assert_equal(reg.predict(X.astype(np.float32)), expected)
    assert {a.dtype for a in reg.parameters_.values()} == {np.dtype(np.float32)}
    state_dict = to_state_dict(reg)
    assert state_dict.keys() == modules.state_dict().keys()
    assert_equal(from_state_dict(state_dict, estimator).predict(X), reg.predict(X))
    lstm_alone = {k.removeprefix("lstm."): v for k, v in state_dict.items()}
    again = from_state_dict(lstm_alone, estimator, lstm="")
    assert_equal(again.predict(X), reg.predict(X))
    assert to_state_dict(reg, lstm="").keys() >= lstm.state_dict().keys()


@directions
@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_tokens_and_predictions_for_each_step(kind, bidirectional, rng, seed):
    X = [rng.integers(0, 7, size=length) for length in rng.integers(1, 9, size=20)]
    values = {"vocabulary_size": 7, "embedding_size": 3, "return_sequences": True}
    estimator = {"labels": LSTMClassifier, "numbers": LSTMRegressor}[kind](
        **values, bidirectional=bidirectional, hidden_layer_sizes=4, max_iter=3, random_state=seed
    )
    y = [rng.integers(0, 3, size=len(x)) + (kind == "numbers") * 0.5 for x in X]
    model = clone(estimator).fit(X, y)
    network = Network(
        3, (4,), 3 if kind == "labels" else 1, bidirectional=bidirectional, pooling=None,
        vocabulary_size=7,
    )  # fmt: skip
    state_dict = to_state_dict(model, lstm=["lstm_0"])
    load(network, state_dict)
    again = from_state_dict(state_dict, estimator, lstm="lstm_0")
    method = "decision_function" if kind == "labels" else "predict"
    for found, restored, expected in zip(
        outputs(network, X), getattr(again, method)(X), getattr(model, method)(X), strict=True
    ):
        assert_equal(found.reshape(expected.shape), expected)
        assert_equal(restored, expected)


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (1e4, 10.0), (-1e-3, 1e-5)])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_numbers_in_their_units(n_outputs, mean, scale, rng, seed):
    X, _ = problem(rng)
    y = mean + scale * rng.normal(size=(24, n_outputs) if n_outputs > 1 else 24)
    reg = LSTMRegressor(**SMALL, random_state=seed).fit(X, y)
    state_dict = to_state_dict(reg)
    network = Network(2, (4,), n_outputs, bidirectional=False, pooling="mean_max")
    load(network, {k.replace("lstm.", "lstm_0."): v for k, v in state_dict.items()})
    expected = reg.predict(X)
    assert_equal(np.reshape(outputs(network, X), expected.shape), expected, abs(mean) + scale)
    again = from_state_dict(state_dict, LSTMRegressor())
    assert_equal(again.predict(X), expected, abs(mean) + scale)


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (100.0, 1.0), (-1e-4, 1e-5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_in_their_units(dtype, mean, scale, rng, seed):
    X, y = problem(rng)
    X = mean + scale * X
    clf = LSTMClassifier(**SMALL, dtype=dtype, random_state=seed).fit(X, y)
    again = from_state_dict(to_state_dict(clf), LSTMClassifier())
    relative = max(1.0, abs(mean) / scale)
    np.testing.assert_allclose(
        again.decision_function(X), clf.decision_function(X), rtol=0, atol=1e-5 * relative
    )


def test_counts_are_logarithms(rng, seed):
    X, _ = problem(rng)
    reg = LSTMRegressor(**SMALL, loss="poisson", random_state=seed).fit(X, rng.poisson(7.0, 24))
    network = Network(2, (4,), 1, bidirectional=False, pooling="mean_max")
    load(network, to_state_dict(reg, lstm=["lstm_0"]))
    assert_equal(np.exp(outputs(network, X))[:, 0], reg.predict(X))
    again = from_state_dict(to_state_dict(reg), LSTMRegressor(loss="poisson"))
    assert_equal(again.predict(X), reg.predict(X))


SEVERAL = {
    "quantiles": {"loss": "quantile", "quantile": [0.1, 0.5, 0.8]},
    "deviations": {"loss": "gaussian"},
}


@pytest.mark.parametrize("shape", [(), (2,)])
@pytest.mark.parametrize("kind", SEVERAL)
def test_several_outputs_for_each_target(kind, shape, rng, seed):
    X, _ = problem(rng)
    y = 100 + 10 * rng.normal(size=(24, *shape))
    reg = LSTMRegressor(**SMALL, **SEVERAL[kind], random_state=seed).fit(X, y)
    again = from_state_dict(to_state_dict(reg), LSTMRegressor(**SEVERAL[kind]))
    assert_equal(again.predict(X), reg.predict(X), 100)
    if kind == "deviations":
        _, expected = reg.predict(X, return_std=True)
        assert_equal(again.predict(X, return_std=True)[1], expected, 10)
    with pytest.raises(ValueError, match="output layer: expected a multiple of"):
        from_state_dict(
            to_state_dict(reg),
            LSTMRegressor(loss="quantile", quantile=[0.1] + [0.5 + 0.01 * k for k in range(16)]),
        )


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_two_classes_have_one_output_or_two(n_outputs, rng):
    X, _ = problem(rng)
    network = Network(2, (4,), n_outputs, bidirectional=False, pooling="max").to(torch.float64)
    clf = from_state_dict(
        network.state_dict(), LSTMClassifier(pooling="max"), classes=["no", "yes"], lstm="lstm_0"
    )
    raw = np.array(outputs(network, X))
    logits = raw[:, 0] if n_outputs == 1 else raw[:, 1] - raw[:, 0]
    np.testing.assert_allclose(clf.decision_function(X), logits)
    assert clf.predict(X).tolist() == ["yes" if logit > 0 else "no" for logit in logits]


def test_labels_of_their_own(rng):
    X, _ = problem(rng)
    network = Network(2, (4,), 2, bidirectional=False, pooling="max").to(torch.float64)
    clf = from_state_dict(
        network.state_dict(), LSTMClassifier(pooling="max"), multilabel=True, lstm="lstm_0"
    )
    assert (clf.predict(X) == (np.array(outputs(network, X)) > 0)).all()


def test_without_biases(rng):
    lstm, linear = torch.nn.LSTM(2, 3, bias=False), torch.nn.Linear(3, 1, bias=False)
    state_dict = torch.nn.ModuleDict({"lstm": lstm, "linear": linear}).state_dict()
    reg = from_state_dict(state_dict, LSTMRegressor(pooling="last"))
    assert not reg.parameters_["lstm_0.bias"].any()
    assert not reg.parameters_["dense.bias"].any()


def test_parameters_that_are_part_of_a_graph():
    modules = torch.nn.ModuleDict({"lstm": torch.nn.LSTM(2, 3), "linear": torch.nn.Linear(3, 1)})
    reg = from_state_dict(dict(modules.named_parameters()), LSTMRegressor(pooling="last"))
    assert np.isfinite(reg.predict(np.ones((2, 4, 2)))).all()
