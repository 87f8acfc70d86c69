import numpy as np
import pytest
import sklearn
from data import SMALL, padded
from numerics import naive_lstm
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor, config_context
from sklstm._network.kernels.weights import Weights
from sklstm.inspection import lstm_states
from sklstm.preprocessing import SequenceScaler

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

NAMES = ["hidden_states", "cell_states", "input_gates", "forget_gates", "output_gates"]
NAMES += ["candidates"]
NETWORKS = {
    "one": {"hidden_layer_sizes": 5},
    "stacked": {"hidden_layer_sizes": (4, 3), "pooling": "last"},
    "both ways": {"hidden_layer_sizes": (4, 3), "bidirectional": True},
    "per step": {"hidden_layer_sizes": (4, 3), "bidirectional": True, "return_sequences": True},
}


def ragged(rng, n=7, longest=9):
    return [rng.normal(3, 2, size=(length, 2)) for length in rng.integers(1, longest, n)]


def fitted(X, rng, **options):
    y = [rng.normal(size=len(x)) for x in X] if "return_sequences" in options else np.arange(len(X))
    return LSTMRegressor(**{"max_iter": 3, "random_state": 0, **options}).fit(X, y)


def naive_states(parameters, x, layer):
    """Return all quantities of a layer for one sequence, by the equations of a textbook."""
    for k in range(layer + 1):
        names = [f"lstm_{k}", f"lstm_{k}_reverse"]
        found = [_direction(parameters, x, name) for name in names if f"{name}.bias" in parameters]
        found = [np.concatenate(parts, axis=1) for parts in zip(*found, strict=True)]
        x = found[0]
    return dict(zip(NAMES, found, strict=True))


def _direction(parameters, x, name):
    weights = Weights(*(parameters[f"{name}.{k}"] for k in ("weight_ih", "weight_hh", "bias")))
    zero, order = np.zeros(len(weights.hh)), -1 if "reverse" in name else 1
    h, c, steps = naive_lstm(x[::order], weights, zero, zero, np.ones(len(zero)))
    gates = [np.array([step.gates[k] for step in steps]) for k in range(4)]
    return [array[::order] for array in (h, c, *gates)]


def assert_same(states, expected):
    assert list(states) == NAMES
    for name in NAMES:
        for found, other in zip(states[name], expected, strict=True):
            np.testing.assert_allclose(found, other[name], rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("kernels", ["numpy", "auto"])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_states_are_those_of_the_equations(network, kernels, rng):
    X = ragged(rng)
    model = fitted(X, rng, **NETWORKS[network])
    n_layers = model.n_layers_
    for layer in range(n_layers):
        expected = [naive_states(model.parameters_, x, layer) for x in X]
        with config_context(kernels=kernels):
            assert_same(lstm_states(model, X, layer=layer), expected)
            assert_same(lstm_states(model, X, layer=layer - n_layers), expected)


@pytest.mark.parametrize("network", NETWORKS)
def test_segments_give_the_same_states(network, rng):
    X = [*ragged(rng, longest=200), rng.normal(size=(400, 2))]
    model = fitted(X, rng, **NETWORKS[network])
    for layer in range(model.n_layers_):
        with sklearn.config_context(working_memory=0.05):
            found = lstm_states(model, X, layer=layer)
        assert_same(found, [naive_states(model.parameters_, x, layer) for x in X])


def test_every_form_of_the_input(rng):
    X = ragged(rng)
    model = fitted(X, rng, **NETWORKS["both ways"])
    expected = lstm_states(model, X)
    found = lstm_states(model, padded(X, extra=2))
    for name in NAMES:
        np.testing.assert_allclose(found[name], padded(expected[name], extra=2), rtol=1e-12)
    np.testing.assert_allclose(model.hidden_states(X)[2], expected.hidden_states[2], rtol=1e-12)
    table = rng.normal(size=(5, 6))
    model = LSTMRegressor(**SMALL).fit(table, np.arange(5))
    assert lstm_states(model, table).cell_states.shape == (5, 6, 4)
    single = lstm_states(fitted([x.astype("f4") for x in X], rng), X)
    assert {array.dtype for array in single.input_gates} == {np.dtype("f4")}


def test_tokens(rng):
    X = [rng.integers(0, 6, size=length) for length in (3, 1, 7)]
    model = LSTMRegressor((4, 3), vocabulary_size=6, embedding_size=2, max_iter=3).fit(
        X, np.arange(3)
    )
    vectors = [model.parameters_["embedding.weight"][x] for x in X]
    assert_same(lstm_states(model, X), [naive_states(model.parameters_, x, 1) for x in vectors])


def test_a_pipeline_and_a_chain_of_pipelines(rng):
    X = ragged(rng)
    pipeline = make_pipeline(SequenceScaler(), LSTMRegressor(**SMALL)).fit(X, np.arange(len(X)))
    expected = lstm_states(pipeline[-1], SequenceScaler().fit_transform(X))
    for model in (pipeline, make_pipeline(pipeline)):
        found = lstm_states(model, X)
        np.testing.assert_array_equal(found.forget_gates[1], expected.forget_gates[1])


def test_wrong_arguments(rng):
    X, y = ragged(rng), np.arange(7) % 2
    model = LSTMClassifier((4, 3), max_iter=2).fit(X, y)
    for layer in (2, -3):
        with pytest.raises(
            ValueError, match=rf"layer: expected an index from -2 to 1.*got {layer}"
        ):
            lstm_states(model, X, layer=layer)
    with pytest.raises(TypeError, match=r"estimator: expected a fitted LSTM.*got SequenceScaler"):
        lstm_states(SequenceScaler().fit(X), X)
    with pytest.raises(TypeError, match="got GridSearchCV"):
        lstm_states(GridSearchCV(model, {}), X)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        lstm_states(LSTMClassifier(), X)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        lstm_states(make_pipeline(SequenceScaler(), LSTMClassifier()), X)
    X[3][0, 1] = np.nan
    with pytest.raises(ValueError, match="NaN at sample 3, time step 0, feature 1"):
        lstm_states(model, X)
