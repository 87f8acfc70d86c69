"""Arrays that are as they should be are read by a fast path, which changes no result or message."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from data import problem

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm._network import costs
from sklstm.sequences import _input_form, _reading

SETTINGS = {"hidden_layer_sizes": 3, "max_iter": 1, "random_state": 0}


class Derived(np.ndarray):
    """A subclass of arrays, which is no plain array."""


def with_value(X, value, place=(1, 2)):
    X = X.copy()
    X[place] = value
    return X


def padded(X):
    X = X.copy()
    X[1, 3:] = np.nan
    return X


#: From a plain array of floats, (n, n_timesteps) or (n, n_timesteps, 2), to another input.
INPUTS = {
    "as in fit": lambda X: X,
    "one sample": lambda X: X[:1],
    "other length": lambda X: X[:, :4],
    "longer": lambda X: np.concatenate([X, X], axis=1),
    "NaN": lambda X: with_value(X, np.nan),
    "NaN in one feature": lambda X: with_value(X, np.nan, (1, 2, -1)[: X.ndim]),
    "infinity": lambda X: with_value(X, np.inf),
    "two infinities": lambda X: with_value(with_value(X, np.inf), -np.inf, (0, 0)),
    "NaN at the end": padded,
    "only NaN": lambda X: with_value(X, np.nan, 1),
    "overflow of the sum": lambda X: np.full_like(X, np.finfo(X.dtype).max / 4),
    "too large in float32": lambda X: with_value(X.astype(np.float64), 1e30),
    "infinite in float32": lambda X: with_value(X.astype(np.float64), 1e200),
    "other floats": lambda X: X.astype(np.float32 if X.dtype == np.float64 else np.float64),
    "half precision": lambda X: X.astype(np.float16),
    "extended precision": lambda X: X.astype(np.longdouble),
    "other byte order": lambda X: X.astype(X.dtype.newbyteorder()),
    "integers": lambda X: X.astype(int),
    "booleans": lambda X: X > 0,
    "complex": lambda X: X.astype(complex),
    "objects": lambda X: X.astype(object),
    "strings": lambda X: X.astype(str),
    "dates": lambda X: X.astype("datetime64[s]"),
    "columns first": np.asfortranarray,
    "every second step": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": lambda X: X[::-1],
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "subclass": lambda X: X.view(Derived),
    "masked": np.ma.masked_array,
    "nested lists": lambda X: X.tolist(),
    "list of arrays": list,
    "tuple of arrays": tuple,
    "frame": lambda X: pd.DataFrame(X.reshape(len(X), -1)),
    "frame with names": lambda X: pd.DataFrame(
        X.reshape(len(X), -1), columns=[f"t{k}" for k in range(X[0].size)]
    ),
    "frame with other names": lambda X: pd.DataFrame(
        X.reshape(len(X), -1), columns=[f"u{k}" for k in range(X[0].size)]
    ),
    "frames": lambda X: [pd.DataFrame(x.reshape(len(x), -1), columns=None) for x in X],
    "sparse": lambda X: scipy.sparse.csr_matrix(X.reshape(len(X), -1)),
    "no samples": lambda X: X[:0],
    "no steps": lambda X: X[:, :0],
    "no features": lambda X: X[..., :0],
    "other features": lambda X: np.repeat(X, 2, axis=-1),
    "one feature": lambda X: X[..., :1],
    "one axis less": lambda X: X[..., 0],
    "one axis more": lambda X: X[..., None],
    "two axes more": lambda X: X[..., None, None],
    "one sequence": lambda X: X[0],
    "a number": lambda X: X.flat[0],
    "nothing": lambda X: None,
    "a text": lambda X: "text",
    "a generator": iter,
}

NAMES = [f"t{k}" for k in range(6)]

#: Fitted models: their training data from an array (24, 6, 2), and their parameters.
MODELS = {
    "3d": (lambda X: X, {}),
    "3d, float32": (lambda X: X.astype(np.float32), {}),
    "3d, to float32": (lambda X: X, {"dtype": "float32"}),
    "list": (list, {}),
    "one feature": (lambda X: X[:, :, :1], {}),
    "table": (lambda X: X[:, :, 0], {}),
    "table with names": (lambda X: pd.DataFrame(X[:, :, 0], columns=NAMES), {}),
    "frames with names": (lambda X: [pd.DataFrame(x, columns=["a", "b"]) for x in X], {}),
    "tokens": (lambda X: np.abs(X[:, :, 0]).astype(int) % 9, {"vocabulary_size": 9}),
    "each step": (lambda X: X, {"return_sequences": True}),
    "two jobs": (lambda X: X, {"n_jobs": 2}),
    "all jobs": (lambda X: X, {"n_jobs": -1}),
}


def outcome(call):
    """Return the result of a call, or its error; and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            result = type(error), str(error)
    return result, [(warning.category, str(warning.message)) for warning in caught]


def outcomes(predict, X):
    """Return the outcome of a prediction for each input that is made of X."""
    return {kind: outcome(lambda make=make: predict(make(X))) for kind, make in INPUTS.items()}


def without_fast_paths(monkeypatch):
    """Read all input by way of check_array and validate_data, and predict by way of workers."""
    monkeypatch.setattr(_reading, "FLOAT_DTYPES", ())
    monkeypatch.setattr(_input_form, "FLOAT_DTYPES", ())
    monkeypatch.setattr(_input_form.InputForm, "_has_columns", lambda self, sequences: False)
    monkeypatch.setattr(costs, "blas_has_threads", lambda *_: True)


def fitted(name, rng, estimator=LSTMClassifier):
    of_data, settings = MODELS[name]
    X, y = problem(rng)
    X = of_data(X)
    if settings.get("return_sequences"):
        y = np.repeat(y[:, None], X.shape[1], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator(**SETTINGS, **settings).fit(X, y)


def plain(name, rng):
    X = problem(rng)[0].astype(np.float32 if name == "3d, float32" else np.float64)
    if name == "tokens":
        return np.floor(np.abs(X[:, :, 0])) % 9
    return X[:, :, 0].copy() if "table" in name else X


def assert_same(found, expected):
    (result, messages), (expected_result, expected_messages) = found, expected
    assert messages == expected_messages
    if isinstance(expected_result, tuple):
        assert result == expected_result
        return
    assert type(result) is type(expected_result)
    for one, other in zip(result, expected_result, strict=True):
        assert np.asarray(one).dtype == np.asarray(other).dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", MODELS)
def test_the_fast_path_gives_the_same_results_errors_and_warnings(name, rng, monkeypatch):
    model, X = fitted(name, rng), plain(name, rng)
    for method in ("predict", "predict_proba", "decision_function"):
        found = outcomes(getattr(model, method), X)
        with monkeypatch.context() as patch:
            without_fast_paths(patch)
            expected = outcomes(getattr(model, method), X)
        for kind in INPUTS:
            try:
                assert_same(found[kind], expected[kind])
            except AssertionError as error:
                raise AssertionError(f"{name}, {kind}: {error}") from error


@pytest.mark.parametrize("name", ["3d", "table", "table with names"])
@pytest.mark.parametrize("kind", INPUTS)
def test_fit_gives_the_same_errors_and_warnings(kind, name, rng, monkeypatch):
    X, (_, y) = plain(name, rng), problem(rng)
    X = INPUTS[kind](X)
    y = y[: (X.shape or (24,))[0] if hasattr(X, "shape") else 24]

    def fit():
        return LSTMClassifier(**SETTINGS).fit(X, y)

    found, messages = outcome(fit)
    without_fast_paths(monkeypatch)
    expected, expected_messages = outcome(fit)
    assert messages == expected_messages
    if isinstance(expected, tuple):
        assert found == expected
    else:
        for key, values in expected.parameters_.items():
            np.testing.assert_array_equal(found.parameters_[key], values)


def test_a_usual_array_is_not_checked_by_scikit_learn(rng, monkeypatch):
    def forbidden(*arguments, **settings):
        raise AssertionError("the fast path was not used")

    model, table = fitted("3d", rng), fitted("table", rng)
    X = problem(rng)[0]
    for module, function in ((_reading, "check_array"), (_input_form, "validate_data")):
        monkeypatch.setattr(module, function, forbidden)
    assert model.predict(X).shape == table.predict(X[:, :, 0].copy()).shape == (24,)
    with pytest.raises(AssertionError, match="fast path"):
        model.predict(X[..., :1])


@pytest.mark.parametrize("n_jobs", [0, None, 1, 2, -1, "two"])
def test_the_number_of_jobs_is_checked_as_before(n_jobs, rng, monkeypatch):
    model, X = fitted("3d", rng), problem(rng)[0]
    model.set_params(n_jobs=n_jobs)
    found = outcome(lambda: model.predict(X))
    without_fast_paths(monkeypatch)
    assert_same(found, outcome(lambda: model.predict(X)))


class Negative(LSTMClassifier):
    """An estimator with a default that is not allowed."""

    def __init__(self, hidden_layer_sizes=3, *, alpha=-1.0, max_iter=1):
        super().__init__(hidden_layer_sizes, alpha=alpha, max_iter=max_iter)


def test_defaults_of_a_subclass_are_checked(rng):
    """Parameters at their defaults are not checked in each fit, unless a default is wrong."""
    X, y = problem(rng)
    with pytest.raises(ValueError, match="'alpha' parameter of Negative"):
        Negative().fit(X, y > 0)
    with pytest.raises(ValueError, match="'max_iter' parameter of LSTMClassifier"):
        LSTMClassifier(max_iter=-1).fit(X, y > 0)
    with warnings.catch_warnings(action="ignore"):
        assert Negative(alpha=1.0).fit(X, y > 0).n_iter_ == 1


class Logged(LSTMClassifier):
    """An estimator whose ``__new__`` has other parameters than its ``__init__``."""

    def __new__(cls, *arguments, **settings):
        return super().__new__(cls)


def test_parameters_are_those_of_init(rng):
    X, y = problem(rng)
    with pytest.raises(ValueError, match="'alpha' parameter of Logged"):
        Logged(3, alpha=-1.0).fit(X, y > 0)
    with warnings.catch_warnings(action="ignore"):
        assert Logged(3, max_iter=1).fit(X, y > 0).n_iter_ == 1


def test_small_predictions_do_not_exceed_the_working_memory(rng):
    """They use segments, as large ones do."""
    with warnings.catch_warnings(action="ignore"):
        model = LSTMRegressor(**SETTINGS).fit(*problem(rng))
    X = rng.normal(size=(1, 3000, 2))
    expected = model.predict(X)
    with sklearn.config_context(working_memory=0.2):
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-10)


def test_an_unfitted_estimator_is_named():
    with pytest.raises(sklearn.exceptions.NotFittedError, match="LSTMClassifier instance"):
        LSTMClassifier().predict(np.zeros((1, 2, 2)))
