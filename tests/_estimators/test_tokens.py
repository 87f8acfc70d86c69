"""Estimators on integer tokens."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from data import assert_same_fit, fingerprint, objects
from numerics import assert_close
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.preprocessing import TokenEncoder

VOCABULARY = 9
QUICK = {
    "hidden_layer_sizes": 4,
    "vocabulary_size": VOCABULARY,
    "embedding_size": 3,
    "max_iter": 5,
    "random_state": 0,
}


def ragged(rng, n=30):
    """Sequences with token 1 or 2, which determines their class."""
    y = np.arange(n) % 2
    X = [rng.integers(3, VOCABULARY, rng.integers(1, 8)) for _ in range(n)]
    for x, label in zip(X, y, strict=True):
        x[rng.integers(len(x))] = 1 + label
    return X, y


def padded(X):
    array = np.full((len(X), max(map(len, X)), 1), np.nan)
    for k, x in enumerate(X):
        array[k, : len(x), 0] = x
    return array


FORMS = {
    "object array": objects,
    "int32": lambda X: [x.astype(np.int32) for x in X],
    "nested lists": lambda X: [x.tolist() for x in X],
    "columns": lambda X: [x[:, None] for x in X],
    "frames": lambda X: [pd.DataFrame({"token": x}) for x in X],
    "whole floats": lambda X: [x.astype(float) for x in X],
    "NaN-padded": padded,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_tokens_is_the_same(form, rng):
    X, y = ragged(rng)
    expected = LSTMClassifier(**QUICK).fit(X, y)
    found = LSTMClassifier(**QUICK).fit(FORMS[form](X), y)
    assert found.n_features_in_ == 1
    assert_same_fit(found, expected)
    np.testing.assert_array_equal(found.predict_proba(FORMS[form](X)), expected.predict_proba(X))


def test_nested_lists_are_sequences_although_their_lengths_are_equal():
    X, y = [[1, 2], [3, 4], [1, 1], [3, 3]], [0, 1, 0, 1]
    model = LSTMClassifier(**QUICK).fit(X, y)
    assert model.n_features_in_ == 1
    assert_same_fit(model, LSTMClassifier(**QUICK).fit([np.array(x) for x in X], y))
    assert model.predict([[1, 2, 3], [4]]).shape == (2,)
    assert model.predict([[1, 2, 3], [4, 1, 1]]).shape == (2,)
    assert model.hidden_states([[1, 2, 3], [4, 1, 1]])[0].shape[0] == 3
    model.partial_fit([[1], [2]], [0, 1])
    steps = LSTMClassifier(**QUICK, return_sequences=True).fit(X, X)
    assert [len(labels) for labels in steps.predict([[1, 2, 3], [4]])] == [3, 1]


def test_a_2d_integer_array_keeps_its_number_of_columns(rng):
    X = rng.integers(0, VOCABULARY, (30, 6))
    model = LSTMClassifier(**QUICK).fit(X, X[:, 0] % 2)
    assert model.n_features_in_ == 6
    assert_close(
        model.predict_proba(X),
        LSTMClassifier(**QUICK).fit(list(X), X[:, 0] % 2).predict_proba(list(X)),
        1e-12,
    )
    with pytest.raises(ValueError, match="expecting 6 features"):
        model.predict(X[:, :5])


def test_tokens_are_read_as_their_embeddings(rng):
    """A network over the looked-up vectors predicts the same."""
    X, y = ragged(rng)
    model = LSTMRegressor(**QUICK).fit(X, y)
    table = model.parameters_["embedding.weight"]
    assert table.shape == (VOCABULARY, 3)
    vectors = [table[x] for x in X]
    options = {**QUICK, "vocabulary_size": None, "scale_inputs": False}
    plain = LSTMRegressor(**options).fit(vectors, y)
    parameters = plain._model.state.parameters
    parameters[...] = model._model.state.parameters[: len(parameters)]
    assert_close(model.predict(X), plain.predict(vectors), 1e-13)
    slopes = zip(model.input_gradients(X), plain.input_gradients(vectors), strict=True)
    for found, expected in slopes:
        assert_close(found, expected, 1e-12)


def test_it_learns_which_token_matters(rng):
    X, y = ragged(rng, 200)
    options = {"hidden_layer_sizes": 16, "embedding_size": 8, "learning_rate_init": 0.02}
    model = LSTMClassifier(**{**QUICK, **options, "max_iter": 20}).fit(X, y)
    assert model.score(X, y) == 1
    unseen = ragged(rng, 200)
    assert model.score(*unseen) >= 0.9


@pytest.mark.parametrize("dtype", ["float32", "float64", None])
def test_tokens_leave_the_dtype_to_the_parameter(dtype, rng):
    X, y = ragged(rng)
    model = LSTMClassifier(**QUICK, dtype=dtype).fit(X, y)
    assert model.predict_proba(X).dtype == (dtype or "float64")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (VOCABULARY, r"X\[4\]: expected tokens from 0 to 8 \(vocabulary_size=9\), got 9 at step 2"),
        (-1, r"X\[4\]: expected tokens .* got -1 at step 2"),
        (1.5, r"X\[4\]: expected tokens .* got 1.5 at step 2"),
        (50_000_001, r"got 50000001 at step 2"),
    ],
)
@pytest.mark.parametrize("when", ["fit", "predict", "validate", "partial_fit"])
def test_a_token_outside_the_vocabulary_is_named_and_nothing_changes(when, bad, message, rng):
    X, y = ragged(rng)
    model = LSTMClassifier(**QUICK).fit(X, y)
    before = fingerprint(model)
    wrong = [np.asarray(x, float) for x in X]
    wrong[4] = np.array([1, 2, bad, bad])
    calls = {
        "fit": lambda: model.fit(wrong, y),
        "predict": lambda: model.predict(wrong),
        "validate": lambda: model.fit(X, y, X_val=wrong, y_val=y),
        "partial_fit": lambda: model.partial_fit(wrong, y),
    }
    with pytest.raises(ValueError, match=message):
        calls[when]()
    assert fingerprint(model) == before


def test_several_features_are_no_tokens(rng):
    with pytest.raises(
        ValueError, match="one integer for each step, got sequences with 2 features"
    ):
        LSTMClassifier(**QUICK).fit(np.zeros((4, 3, 2)), [0, 1, 0, 1])


@pytest.mark.parametrize("name", ["vocabulary_size", "embedding_size"])
def test_sizes_are_positive(name, rng):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        LSTMClassifier(**{**QUICK, name: 0}).fit(*ragged(rng))


def test_a_warm_start_keeps_the_vocabulary(rng):
    X, y = ragged(rng)
    model = LSTMClassifier(**QUICK, warm_start=True).fit(X, y)
    model.fit(X, y)
    with pytest.raises(ValueError, match="cannot change"):
        model.set_params(embedding_size=5).fit(X, y)


def test_words_in_a_pipeline(rng):
    words = np.array(["<unknown>", "yes", "no", "a", "b", "c", "d", "e", "f"], dtype=object)
    X, y = ragged(rng)
    texts = [" ".join(words[x]) for x in X]
    model = make_pipeline(TokenEncoder(max_tokens=VOCABULARY), LSTMClassifier(**QUICK))
    grid = {"lstmclassifier__embedding_size": [2, 3]}
    search = GridSearchCV(model, grid, cv=2, n_jobs=2).fit(texts, y)
    assert search.predict(["yes zzz", "no never seen"]).shape == (2,)
    assert cross_val_score(clone(model), texts, y, cv=3).shape == (3,)


def test_a_label_for_every_token(rng):
    X, _ = ragged(rng)
    y = [x % 2 for x in X]
    model = LSTMClassifier(**QUICK, return_sequences=True).fit(X, y)
    assert [part.shape for part in model.predict(X)] == [x.shape for x in X]


def test_tokens_are_never_one_hot_encoded(rng):
    """They would take 100 MB."""
    X = [rng.integers(0, 20_000, 20) for _ in range(32)]
    options = {**QUICK, "vocabulary_size": 20_000, "embedding_size": 2}
    tracemalloc.start()
    try:
        LSTMClassifier(**options).fit(X, np.arange(32) % 2)
        assert tracemalloc.get_traced_memory()[1] < 12e6
    finally:
        tracemalloc.stop()


# --- only the vectors of the tokens that occur change ---

RARE = {**QUICK, "vocabulary_size": 50, "batch_size": 8}


def vectors(model):
    return model.parameters_["embedding.weight"]


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_vectors_of_tokens_that_do_not_occur_keep_their_initial_values(solver, rng):
    X, y = ragged(rng)
    short = LSTMClassifier(**{**RARE, "max_iter": 1, "solver": solver}).fit(X, y)
    long = LSTMClassifier(**{**RARE, "solver": solver}).fit(X, y)
    occurs = np.isin(np.arange(50), np.concatenate(X))
    np.testing.assert_array_equal(vectors(short)[~occurs], vectors(long)[~occurs])
    assert (vectors(short)[occurs] != vectors(long)[occurs]).any(axis=1).all()


def test_the_penalty_of_lbfgs_includes_all_vectors(rng):
    """They are at zero at its minimum, also those of tokens that do not occur."""
    X, y = ragged(rng)
    settings = {"solver": "lbfgs", "max_iter": 100, "alpha": 100.0, "tol": 1e-6}
    model = LSTMClassifier(**{**RARE, **settings}).fit(X, y)
    assert np.abs(vectors(model)).max() < 1e-2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_and_warm_starts_keep_the_moments_of_all_vectors(solver, rng):
    X, y = ragged(rng)
    settings = {**RARE, "solver": solver, "learning_rate": "constant", "shuffle": False}
    once = LSTMClassifier(**settings | {"max_iter": 2}).fit(X, y)
    twice = LSTMClassifier(**settings | {"max_iter": 1}, warm_start=True).fit(X, y).fit(X, y)
    assert_same_fit(twice, once)
    partial = LSTMClassifier(**settings)
    for _ in range(2):
        partial.partial_fit(X, y, classes=[0, 1])
    # The weight of all samples seen divides the penalty, so only its share of the update differs.
    assert_close(vectors(partial), vectors(once), 1e-2)
    state, other = partial._model.state, twice._model.state
    assert [m.shape for m in state.moments] == [m.shape for m in other.moments]
