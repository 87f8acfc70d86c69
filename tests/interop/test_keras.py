"""Weights to and from Keras: by its documented layout, and with Keras itself if it is installed."""

import os
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
from data import SMALL, cut, padded, problem
from sklearn.base import clone

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.interop.keras import from_weights, to_weights

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
directions = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
every_pooling = pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean_max"])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_of_keras(x, kernel, recurrent_kernel, bias):
    """Hidden states (T, H) of one sequence, by the documentation of `keras.layers.LSTM`."""
    h = c = np.zeros(len(recurrent_kernel))
    states = []
    for x_t in x:
        i, f, g, o = np.split(x_t @ kernel + h @ recurrent_kernel + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def network_of_keras(x, weights, n_directions):
    """The output for one sequence: LSTM layers, maximum over time, Dense."""
    *recurrent, kernel, bias = weights
    for k in range(0, len(recurrent), 3 * n_directions):
        parts = [lstm_of_keras(x, *recurrent[k : k + 3])]
        if n_directions == 2:
            parts.append(lstm_of_keras(x[::-1], *recurrent[k + 3 : k + 6])[::-1])
        x = np.concatenate(parts, axis=1)
    return x.max(axis=0) @ kernel + bias


@directions
@pytest.mark.parametrize("sizes", [(4,), (3, 3), (2, 4, 3)])
def test_the_documented_layout(sizes, bidirectional, rng, seed):
    X, y = problem(rng, n_features=3, n_classes=3)
    X = cut(X, rng)
    estimator = LSTMClassifier(
        sizes, bidirectional=bidirectional, pooling="max", max_iter=3, random_state=seed
    )
    clf = clone(estimator).fit(X, y)
    weights = to_weights(clf)
    found = [network_of_keras(x, weights, 1 + bidirectional) for x in X]
    np.testing.assert_allclose(found, clf.decision_function(X), rtol=1e-5, atol=1e-5)
    again = from_weights(weights, estimator)
    np.testing.assert_allclose(again.predict_proba(X), clf.predict_proba(X), atol=1e-6)
    assert again.hidden_layer_sizes == sizes


def test_tokens(rng, seed):
    X = [rng.integers(0, 7, size=length) for length in rng.integers(1, 9, size=20)]
    reg = LSTMRegressor(**SMALL, vocabulary_size=7, embedding_size=3, random_state=seed)
    reg.fit(X, rng.normal(size=20))
    again = from_weights(to_weights(reg), LSTMRegressor())
    assert (again.vocabulary_size, again.embedding_size) == (7, 3)
    np.testing.assert_allclose(again.predict(X), reg.predict(X), rtol=1e-5, atol=1e-5)


# --- with Keras ---


@pytest.fixture(scope="module")
def keras():
    """Keras with the backend PyTorch, unless another one is chosen."""
    if find_spec("keras") is None:
        pytest.skip("could not find keras")
    if "KERAS_BACKEND" not in os.environ:
        pytest.importorskip("torch")
        os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras and its backends warn of other packages
        import keras
    return keras


def keras_model(keras, sizes, n_outputs, *, bidirectional, pooling, n_inputs=2, embedding=None):
    """A functional model; it reads NaN-free padding of the value -9 as masked."""
    layers = keras.layers
    x = inputs = keras.Input((None, n_inputs) if embedding is None else (None,))
    if embedding is not None:
        x = layers.Embedding(*embedding)(x)
    elif pooling == "last":
        x = layers.Masking(mask_value=-9.0)(x)
    for k, size in enumerate(sizes):
        last = k == len(sizes) - 1 and pooling == "last"
        layer = layers.LSTM(size, return_sequences=not last)
        x = (layers.Bidirectional(layer) if bidirectional else layer)(x)
    pools = {"mean": layers.GlobalAveragePooling1D, "max": layers.GlobalMaxPooling1D}
    if pooling is not None and pooling != "last":
        parts = [pools[name]()(x) for name in pooling.split("_")]
        x = parts[0] if len(parts) == 1 else layers.Concatenate()(parts)
    return keras.Model(inputs, layers.Dense(n_outputs)(x))


@directions
@every_pooling
@pytest.mark.parametrize("sizes", [(4,), (3, 5)])
@pytest.mark.filterwarnings("ignore")  # of Keras and its backend
def test_both_ways(keras, sizes, pooling, bidirectional, rng, seed):
    X, y = problem(rng, n_classes=3)
    given = X = X.astype(np.float32)
    if pooling == "last":
        X = cut(X, rng)
        given = np.nan_to_num(padded(X), nan=-9.0)
    estimator = LSTMClassifier(
        sizes, bidirectional=bidirectional, pooling=pooling, max_iter=3, random_state=seed
    )
    clf = clone(estimator).fit(X, y)
    model = keras_model(keras, sizes, 3, bidirectional=bidirectional, pooling=pooling)
    untrained = from_weights(model.get_weights(), estimator)
    np.testing.assert_allclose(
        untrained.decision_function(X), model.predict(given, verbose=0), rtol=1e-5, atol=1e-5
    )
    model.set_weights(to_weights(clf))
    found = model.predict(given, verbose=0)
    np.testing.assert_allclose(found, clf.decision_function(X), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of Keras and its backend
def test_tokens_and_predictions_for_each_step(keras, rng, seed):
    X = rng.integers(0, 7, size=(12, 5, 1))
    reg = LSTMRegressor(
        **SMALL, vocabulary_size=7, embedding_size=3, return_sequences=True, random_state=seed
    ).fit(X, 100 + rng.normal(size=(12, 5)))
    model = keras_model(
        keras, (4,), 1, bidirectional=False, pooling=None, n_inputs=3, embedding=(7, 3)
    )
    model.set_weights(to_weights(reg))
    found = model.predict(X[:, :, 0], verbose=0)[:, :, 0]
    np.testing.assert_allclose(found, reg.predict(X), rtol=1e-5)
