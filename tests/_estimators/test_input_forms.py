"""The ideas of scikit-learn's checks on every form that X may have."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from data import (
    FORMS,
    RAGGED_FORMS,
    SMALL,
    assert_same_fit,
    cut,
    fingerprint,
    names,
    nested,
    objects,
    outputs,
    padded,
    pandas_frames,
    polars_frames,
    problem,
    take,
)
from scipy.sparse import csr_matrix
from sklearn.exceptions import NotFittedError

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm._estimators import reading

# A few epochs are enough for these tests.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [LSTMClassifier, LSTMRegressor]
both = pytest.mark.parametrize("Estimator", ESTIMATORS)
every_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def y(rng):
    return rng.permutation(np.arange(24) % 2)


@pytest.fixture
def ragged(rng):
    return cut(problem(rng)[0], rng)


def as_float32(X):
    """X in single precision, in the same form."""
    if isinstance(X, list):
        return [as_float32(x) for x in X]
    if isinstance(X, pl.DataFrame):
        return X.cast(pl.Float32)
    if isinstance(X, np.ndarray) and X.dtype.kind == "O":
        return objects([as_float32(x) for x in X])
    return X.astype(np.float32)


# The same data gives the same fit


@both
@every_form
def test_fitting_twice_gives_the_same(Estimator, form, rng, y, seed):
    X = FORMS[form](rng)
    estimator = Estimator(**SMALL, random_state=seed)
    first = outputs(estimator.fit(X, y), X)
    second = outputs(estimator.fit(X, y), X)
    for method, values in first.items():
        np.testing.assert_array_equal(values, second[method], err_msg=method)


@both
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@every_form
def test_a_full_batch_fit_does_not_depend_on_the_order(Estimator, solver, form, rng, y, seed):
    X, order = FORMS[form](rng), rng.permutation(len(y))
    targets = y if Estimator is LSTMClassifier else rng.normal(size=len(y))
    one = Estimator(**SMALL, solver=solver, random_state=seed).fit(X, targets)
    other = Estimator(**SMALL, solver=solver, random_state=seed).fit(take(X, order), targets[order])
    assert_same_fit(one, other)
    assert one.loss_ == other.loss_


@both
@every_form
def test_predictions_follow_a_permutation(Estimator, form, rng, y, seed):
    X, order = FORMS[form](rng), rng.permutation(len(y))
    estimator = Estimator(**SMALL, random_state=seed).fit(X, y)
    expected, permuted = outputs(estimator, X), outputs(estimator, take(X, order))
    for method, values in expected.items():
        np.testing.assert_allclose(permuted[method], values[order], rtol=1e-12, atol=1e-12)


@both
@every_form
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_a_prediction_does_not_depend_on_the_batch(Estimator, form, dtype, tolerance, rng, y, seed):
    X = FORMS[form](rng)
    targets = y if Estimator is LSTMClassifier else rng.normal(size=len(y))
    estimator = Estimator(**SMALL, dtype=dtype, random_state=seed).fit(X, targets)
    whole = outputs(estimator, X)
    batches = [[k] for k in range(24)], np.array_split(rng.permutation(24), 3)
    for batch in [indices for cutting in batches for indices in cutting]:
        for method, values in outputs(estimator, take(X, batch)).items():
            np.testing.assert_allclose(
                values, whole[method][batch], rtol=tolerance, atol=tolerance, err_msg=method
            )


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean_max"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("form", RAGGED_FORMS)
def test_ragged_forms_of_one_data_set_give_one_fit(form, bidirectional, pooling, ragged, y, seed):
    def fit(X):
        clf = LSTMClassifier(
            **SMALL, bidirectional=bidirectional, pooling=pooling, random_state=seed
        )
        return clf.fit(X, y)

    expected, X = fit(ragged), RAGGED_FORMS[form](ragged)
    other = fit(X)
    assert_same_fit(expected, other)
    assert other.n_features_in_ == 2
    np.testing.assert_array_equal(other.predict_proba(X), expected.predict_proba(ragged))


@both
@pytest.mark.parametrize(
    "convert",
    [
        list,
        tuple,
        objects,
        nested,
        pandas_frames,
        lambda X: X.astype(object),
        lambda X: padded(X, extra=2),
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: X.astype(">f8"),
    ],
    ids=[
        "list", "tuple", "object array", "nested lists", "frames", "3-D object array", "padded",
        "Fortran order", "strided", "big-endian",
    ],
)  # fmt: skip
def test_equally_long_sequences_in_another_form(Estimator, convert, rng, seed):
    X, y = problem(rng)
    expected = Estimator(**SMALL, random_state=seed).fit(X, y)
    other = Estimator(**SMALL, random_state=seed).fit(convert(X), y)
    assert_same_fit(expected, other)
    np.testing.assert_array_equal(other.predict(convert(X)), expected.predict(X))


@both
@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist,
        lambda X: tuple(map(tuple, X.tolist())),
        np.asfortranarray,
        lambda X: X.astype(np.int64),
        lambda X: X.astype(object),
        pd.DataFrame,
        lambda X: pd.DataFrame(X).astype("Float64"),
        lambda X: pl.DataFrame(X, schema=names(6)),
    ],
    ids=[
        "nested lists", "nested tuples", "Fortran order", "integers", "object array", "pandas",
        "pandas nullable", "polars",
    ],
)  # fmt: skip
def test_a_table_in_another_form(Estimator, convert, rng, y, seed):
    X = rng.integers(-9, 9, size=(24, 6)).astype(np.float64)
    expected = Estimator(**SMALL, random_state=seed).fit(X, y)
    other = Estimator(**SMALL, random_state=seed).fit(convert(X), y)
    assert_same_fit(expected, other)
    np.testing.assert_array_equal(other.predict(convert(X)), expected.predict(X))


def test_a_table_is_the_same_series_with_one_channel(rng, y, seed):
    X = FORMS["2d"](rng)
    fits = [
        LSTMClassifier(**SMALL, random_state=seed).fit(form, y)
        for form in (X, X[:, :, None], list(X), list(X[:, :, None]))
    ]
    assert [clf.n_features_in_ for clf in fits] == [6, 1, 1, 1]
    for clf in fits[1:]:
        assert_same_fit(fits[0], clf)


def test_a_list_of_arrays_is_a_list_of_sequences_and_nested_numbers_are_a_table(rng, y, seed):
    X = FORMS["2d"](rng)
    assert LSTMClassifier(**SMALL).fit(list(X), y).n_features_in_ == 1
    assert LSTMClassifier(**SMALL).fit(X.tolist(), y).n_features_in_ == 6


# Dtypes and layouts of the input


@both
@pytest.mark.parametrize("form", [form for form in FORMS if form != "nested lists"])
def test_float32_stays(Estimator, form, rng, y, seed):
    X = as_float32(FORMS[form](rng))
    y = y if Estimator is LSTMClassifier else y.astype(np.float32)
    estimator = Estimator(**SMALL, random_state=seed).fit(X, y)
    assert {values.dtype for values in estimator.parameters_.values()} == {np.dtype(np.float32)}
    assert estimator.hidden_states(X)[0].dtype == np.float32
    said = outputs(estimator, X)
    if Estimator is LSTMClassifier:
        assert said.pop("predict").dtype == y.dtype
    assert {values.dtype for values in said.values()} == {np.dtype(np.float32)}


@both
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_float32_stays_with_every_solver(Estimator, solver, rng, y):
    X = FORMS["3d"](rng).astype(np.float32)
    estimator = Estimator(**SMALL, solver=solver).fit(X, y)
    assert estimator.parameters_["dense.weight"].dtype == np.float32


@both
@pytest.mark.parametrize("given", ["float32", "float64", np.float32, np.float64])
@pytest.mark.parametrize("of_X", [np.float32, np.float64, np.int16])
def test_the_dtype_parameter_sets_the_dtype_and_later_input_is_cast(Estimator, given, of_X, rng, y):
    X = (10 * FORMS["3d"](rng)).astype(of_X)
    estimator = Estimator(**SMALL, dtype=given).fit(X, y)
    assert estimator.parameters_["dense.weight"].dtype == np.dtype(given)
    for later in (np.float32, np.float64):
        assert estimator.hidden_states(X.astype(later)).dtype == np.dtype(given)


def read_only(X):
    for x in X if isinstance(X, list) else [X]:
        x.setflags(write=False)
    return X


def on_disk(X, folder):
    """Memory-mapped, read-only."""

    def mapped(x, name):
        np.save(folder / name, x)
        return np.load(folder / name, mmap_mode="r")

    if isinstance(X, list):
        return [mapped(x, f"{k}.npy") for k, x in enumerate(X)]
    return mapped(X, "X.npy")


@both
@pytest.mark.parametrize("form", ["2d", "3d", "NaN-padded", "list", "list, univariate"])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_read_only_and_memory_mapped_input(Estimator, form, mapped, dtype, rng, y, seed, tmp_path):
    X = FORMS[form](rng)
    X = as_float32(X) if dtype == np.float32 else X
    y = y.astype(np.int64)
    expected = Estimator(**SMALL, random_state=seed).fit(X, y)
    locked = on_disk(X, tmp_path) if mapped else read_only(take(X, range(24)))
    y.setflags(write=False)
    weights = np.ones(24)
    weights.setflags(write=False)
    estimator = Estimator(**SMALL, random_state=seed).fit(locked, y, weights)
    assert_same_fit(expected, estimator)
    np.testing.assert_array_equal(estimator.predict(locked), expected.predict(X))
    estimator.hidden_states(locked)
    estimator.input_gradients(locked)


@both
@pytest.mark.parametrize("form", ["2d", "3d", "NaN-padded", "list", "object array"])
def test_input_is_not_changed(Estimator, form, rng, y, seed):
    X = FORMS[form](rng)
    before = fingerprint_of_data(X)
    estimator = Estimator(**SMALL, random_state=seed).fit(X, y)
    estimator.predict(X)
    estimator.input_gradients(X)
    assert fingerprint_of_data(X) == before


def fingerprint_of_data(X):
    return [x.tobytes() for x in X]


# How later input is read


@both
@pytest.mark.parametrize("form", ["3d", "list", "object array", "NaN-padded"])
def test_later_sequences_may_have_other_lengths(Estimator, form, rng, y, ragged, seed):
    estimator = Estimator(**SMALL, random_state=seed).fit(FORMS[form](rng), y)
    longer = rng.normal(size=(3, 11, 2))
    expected = estimator.predict(longer)
    for later in (list(longer), objects(longer), padded(longer, extra=1)):
        np.testing.assert_array_equal(estimator.predict(later), expected)
    assert estimator.predict(longer[:, :1]).shape == (3,)


@both
@pytest.mark.parametrize("form", ["list, univariate", "3d", "nested lists"])
@pytest.mark.parametrize(
    "table",
    [
        np.asarray,
        np.ndarray.tolist,
        pd.DataFrame,
        lambda X: pd.DataFrame(X, columns=names(X.shape[1])),
        lambda X: pl.DataFrame(X, schema=names(X.shape[1])),
    ],
    ids=["array", "nested lists", "pandas", "pandas with names", "polars"],
)
@pytest.mark.parametrize("n_timesteps", [1, 6, 9])
def test_a_model_of_univariate_series_reads_a_table_of_any_length(
    Estimator, form, table, n_timesteps, rng, y, seed
):
    series = [x[:, 0] for x in cut(problem(rng, n_features=1)[0], rng)]
    X = {
        "list, univariate": series,
        "3d": padded([x[:, None] for x in series]),
        "nested lists": nested(series),
    }[form]
    estimator = Estimator(**SMALL, random_state=seed).fit(X, y)
    later = rng.normal(size=(4, n_timesteps))
    expected = estimator.predict(later[:, :, None])
    np.testing.assert_array_equal(estimator.predict(table(later)), expected)


@both
@pytest.mark.parametrize(
    "rows",
    [list, tuple, objects, lambda X: list(X[:, :, None]), lambda X: list(map(pd.Series, X))],
    ids=["list", "tuple", "object array", "list of columns", "list of pandas Series"],
)
def test_a_model_of_a_table_reads_a_list_of_its_rows(Estimator, rows, rng, y, seed):
    X = FORMS["2d"](rng)
    estimator = Estimator(**SMALL, random_state=seed).fit(X, y)
    assert estimator.n_features_in_ == 6
    np.testing.assert_array_equal(estimator.predict(rows(X)), estimator.predict(X))


@both
@pytest.mark.parametrize(
    ("later", "message"),
    [
        (lambda X: X[:, :5], "X has 5 features, but .* is expecting 6 features"),
        (lambda X: X[:, :, None], r"fitted on a 2-D array \(n_samples, 6\).* got a 3-D array"),
        (lambda X: [X[0], X[1], X[2][:4]], r"fitted on a 2-D array.*a list with 4 steps in sample"),
        (lambda X: list(X[:, :5]), "fitted on a 2-D array .* a list with 5 steps in sample 0"),
        (lambda X: [np.c_[x, x] for x in X], "fitted on a 2-D array .* 2 feature.* a step"),
    ],
    ids=["columns", "3-D", "ragged", "shorter rows", "channels"],
)
def test_a_model_of_a_table_keeps_its_columns(Estimator, later, message, rng, y):
    X = FORMS["2d"](rng)
    estimator = Estimator(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match=message):
        estimator.predict(later(X))


@both
@pytest.mark.parametrize(
    ("later", "message"),
    [
        (lambda X: X[:, :, 0], "fitted on sequences with 2 features.*univariate"),
        (lambda X: X[:, :, :1], "1 features, but .* expecting 2"),
        (lambda X: list(X[:, :, :1]), "1 features, but .* expecting 2"),
        (lambda X: [*X[:3], X[3][:, :1]], r"X\[3\]: expected 2 feature"),
    ],
    ids=["2-D", "3-D", "list", "one of a list"],
)
def test_a_model_of_several_channels_keeps_them(Estimator, later, message, rng):
    X, y = problem(rng)
    estimator = Estimator(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match=message):
        estimator.predict(later(X))


# Long lists are predicted part by part


@both
@pytest.mark.parametrize("convert", [list, tuple, objects, nested, pandas_frames])
@pytest.mark.parametrize("part", [1, 5, 23])
def test_prediction_in_parts(Estimator, convert, part, ragged, y, seed, monkeypatch):
    X = convert(ragged)
    estimator = Estimator(**SMALL, random_state=seed).fit(X, y)
    said, states = outputs(estimator, X), estimator.hidden_states(X)
    gradients = estimator.input_gradients(X)
    monkeypatch.setattr(reading, "PART_SEQUENCES", part)
    for method, values in outputs(estimator, X).items():
        np.testing.assert_allclose(values, said[method], rtol=1e-12, atol=1e-12, err_msg=method)
    for whole, parts in ((states, estimator.hidden_states), (gradients, estimator.input_gradients)):
        again = parts(X)
        assert [x.shape for x in again] == [x.shape for x in whole]
        np.testing.assert_allclose(
            np.concatenate(again), np.concatenate(whole), rtol=1e-12, atol=1e-12
        )


def test_an_error_in_a_later_part_names_the_sample(ragged, y, monkeypatch):
    clf = LSTMClassifier(**SMALL).fit(ragged, y)
    monkeypatch.setattr(reading, "PART_SEQUENCES", 5)
    for wrong, message in (
        (np.full((3, 2), np.nan), "NaN at sample 13, time step 0"),
        (np.zeros((0, 2)), r"X\[13\]: an empty sequence"),
        (np.zeros((3, 2, 1)), r"X\[13\]: expected shape"),
        (np.zeros((3, 3)), r"X\[13\]: expected 2 feature"),
        ("word", r"X\[13\]: expected numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            clf.predict([*ragged[:13], wrong, *ragged[14:]])


# Names


@both
@pytest.mark.parametrize("frames", [pandas_frames, polars_frames])
def test_names_of_channels(Estimator, frames, ragged, y):
    estimator = Estimator(**SMALL).fit(frames(ragged), y)
    assert estimator.feature_names_in_.tolist() == names(2)
    assert estimator.n_features_in_ == 2
    estimator.predict(frames(ragged))
    turned = [x[x.columns[::-1]] for x in frames(ragged)]
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.predict(turned)
    with pytest.raises(ValueError, match=r"X\[4\]: expected the columns .* as in X\[0\]"):
        estimator.fit([*frames(ragged)[:4], *turned[4:]], y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        estimator.predict(ragged)


@both
@pytest.mark.parametrize("form", ["2d pandas", "2d polars"])
def test_names_of_columns(Estimator, form, rng, y):
    X = FORMS[form](rng)
    estimator = Estimator(**SMALL).fit(X, y)
    assert estimator.feature_names_in_.tolist() == names(6)
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.predict(X[X.columns[::-1]])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        estimator.predict(X.to_numpy())


@both
@pytest.mark.parametrize("form", ["2d", "3d", "list", "NaN-padded", "nested lists"])
def test_no_feature_names_without_column_names(Estimator, form, rng, y):
    assert not hasattr(Estimator(**SMALL).fit(FORMS[form](rng), y), "feature_names_in_")


def test_a_new_fit_forgets_the_names(rng, y, ragged):
    clf = LSTMClassifier(**SMALL).fit(pandas_frames(ragged), y).fit(ragged, y)
    assert not hasattr(clf, "feature_names_in_")


# Malformed input


def spoilt(form, value):
    """A function that puts ``value`` into sample 4, step 2 of X."""

    def spoil(X):
        x = X[4].copy()
        x[(2, 1) if x.ndim == 2 else 2] = value
        if form == "list":
            return [*X[:4], x, *X[5:]]
        return np.concatenate([X[:4], x[None], X[5:]])

    return spoil


def gap(X):
    X = X.copy()
    X[4, 2] = np.nan
    return X


def put(value):
    """A function that makes ``value`` sample 4 of a list."""
    return lambda X: [*X[:4], value, *X[5:]]


MALFORMED = {
    "NaN in 2-D": ("2d", spoilt("2d", np.nan), "NaN at sample 4, time step 2"),
    "infinity in 2-D": ("2d", spoilt("2d", -np.inf), "infinity at sample 4, time step 2"),
    "NaN in 3-D": ("3d", spoilt("3d", np.nan), "NaN at sample 4, time step 2, feature 1"),
    "infinity in 3-D": ("3d", spoilt("3d", np.inf), "infinity at sample 4, time step 2, feature 1"),
    "a gap in 3-D": ("3d", gap, "NaN at sample 4, time step 2, feature 0"),
    "only padding": (
        "3d",
        lambda X: np.where(np.arange(len(X))[:, None, None] == 4, np.nan, X),
        r"X\[4\]: expected at least one time step",
    ),
    "NaN in a list": ("list", spoilt("list", np.nan), "NaN at sample 4, time step 2, feature 1"),
    "NaN padding in a list": (
        "list",
        put(np.array([[1.0, 2], [np.nan, np.nan]])),
        "NaN at sample 4, time step 1, feature 0",
    ),
    "infinity in a list": ("list", spoilt("list", np.inf), "infinity at sample 4, time step 2"),
    "an empty sequence": ("list", put(np.zeros((0, 2))), r"X\[4\]: an empty sequence"),
    "more channels": ("list", put(np.zeros((3, 3))), r"X\[4\]: expected 2 feature.*got 3"),
    "no channels": ("list", put(np.zeros((3, 0))), r"X\[4\]: expected shape .*\(3, 0\)"),
    "a list with 3-D": ("list", put(np.zeros((1, 3, 2))), r"X\[4\]: expected shape .*\(1, 3, 2\)"),
    "a list with a number": ("list", put(3.0), r"X\[4\]: expected shape"),
    "a list with None": ("list", put(None), r"X\[4\]: expected"),
    "a list with words": ("list", put(["a", "b"]), r"X\[4\]: expected numbers"),
    "a list with ragged rows": ("list", put([[1, 2], [3]]), r"X\[4\]: expected numbers"),
    "a list with complex": ("list", put(np.ones((2, 2)) * 1j), r"X\[4\]: .*Complex"),
    "a 1-D array": ("2d", lambda X: X[:, 0], "Expected 2D array, got 1D array"),
    "a 4-D array": ("3d", lambda X: X[None], r"expected a 2-D array .* 3-D array .*\(1, 24, 6, 2"),
    "no samples": ("3d", lambda X: X[:0], r"0 sample\(s\)"),
    "no steps": ("3d", lambda X: X[:, :0], r"0 time step\(s\)"),
    "no features": ("3d", lambda X: X[:, :, :0], r"0 feature\(s\)"),
    "complex": ("3d", lambda X: X * 1j, "Complex data not supported"),
    "words": ("2d", lambda X: X.astype(str).astype(object) + "a", "could not convert string"),
}


def well_formed(rng):
    X = problem(rng)[0]
    return {"2d": X[:, :, 0], "3d": X, "list": cut(X, rng, shortest=3)}


@both
@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_input_in_fit(Estimator, case, rng, y):
    form, spoil, message = MALFORMED[case]
    with pytest.raises(ValueError, match=message):
        Estimator(**SMALL).fit(spoil(well_formed(rng)[form]), y)


@both
@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_input_in_predict(Estimator, case, rng, y):
    form, spoil, message = MALFORMED[case]
    X = well_formed(rng)[form]
    estimator = Estimator(**SMALL).fit(X, y)
    for method in (estimator.predict, estimator.hidden_states, estimator.input_gradients):
        with pytest.raises(ValueError, match=message):
            method(spoil(X))


@both
@pytest.mark.parametrize("wrong", [csr_matrix(np.eye(24)), {"a": 1}, 3, "word", None])
def test_other_objects_than_sequences_are_refused(Estimator, wrong, y):
    with pytest.raises((TypeError, ValueError)):
        Estimator(**SMALL).fit(wrong, y)


@both
def test_numbers_too_large_for_single_precision(Estimator, rng):
    X, y = problem(rng)
    X[7, 3, 1] = 1e300
    with pytest.raises(ValueError, match=r"X\[7\], step 3: 1e\+300 is too large for dtype=float32"):
        Estimator(**SMALL, dtype="float32", scale_inputs=False).fit(X, y)


@both
@pytest.mark.parametrize(
    "method", ["predict", "hidden_states", "input_gradients", "score", "parameters_"]
)
def test_not_fitted(Estimator, method, rng):
    X, y = problem(rng)
    arguments = (X, y) if method == "score" else (X,)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(Estimator(), method)(*arguments)


@both
@pytest.mark.parametrize("form", ["3d", "list"])
def test_targets_and_weights_of_another_length(Estimator, form, rng, y):
    X = FORMS[form](rng)
    with pytest.raises(ValueError, match=re.escape("[24, 23]")):
        Estimator(**SMALL).fit(X, y[:23])
    with pytest.raises(ValueError, match=r"sample_weight\.shape == \(23,\), expected \(24,\)"):
        Estimator(**SMALL).fit(X, y, np.ones(23))


# A fit that fails changes nothing


class Disturbed(Exception):
    """What the callback below raises."""


class Disturber:
    """A callback that raises at the end of a task."""

    def __init__(self, task):
        self.task = task

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == self.task:
            raise Disturbed


DIVERGING = {"solver": "sgd", "learning_rate_init": 1e200, "max_grad_norm": None}

#: Parameters, changes to X, y and sample_weight, and what the error says.
FAILURES = {
    "X with NaN": ({}, spoilt("3d", np.nan), None, None, "NaN at sample 4"),
    "X in another form, ragged": (
        {},
        lambda X: [*X[:5], X[5][:, :1], *X[6:]],
        None,
        None,
        r"X\[5\]",
    ),
    "frames with other names": (
        {},
        lambda X: [pd.DataFrame(x, columns=["a", f"b{k}"]) for k, x in enumerate(X)],
        None,
        None,
        r"X\[1\]",
    ),
    "y too short": ({}, None, lambda y: y[:-1], None, r"\[24, 23\]"),
    "y with NaN": ({}, None, lambda y: np.where(y == y[0], np.nan, y), None, "y contains NaN"),
    "negative weights": ({}, None, None, -np.ones(24), r"sample_weight\[0\]"),
    "weights that are all zero": ({}, None, None, np.zeros(24), "all weights are zero"),
    "parameter": ({"pooling": "median"}, None, None, None, "'pooling' parameter"),
    "layers": ({"hidden_layer_sizes": (4, 0)}, None, None, None, "hidden_layer_sizes"),
    "divergence": (DIVERGING, None, None, None, "diverged at update step 2"),
    "n_jobs": ({"n_jobs": 0}, None, None, None, "n_jobs"),
}


@both
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_fit_changes_no_attribute(Estimator, warm_start, failure, rng, seed):
    parameters, spoil_X, spoil_y, weights, message = FAILURES[failure]
    X, y = problem(rng)
    estimator = Estimator(**SMALL, warm_start=warm_start, random_state=seed).fit(X, y)
    expected = outputs(estimator, X)
    before = fingerprint(estimator.set_params(**parameters))
    with pytest.raises(ValueError, match=message):
        estimator.fit(spoil_X(X) if spoil_X else X, spoil_y(y) if spoil_y else y, weights)
    assert fingerprint(estimator) == before
    estimator.set_params(n_jobs=None)
    for method, values in outputs(estimator, X).items():
        np.testing.assert_array_equal(values, expected[method])


#: One epoch does not diverge, and scikit-learn checks no parameters in a later partial_fit.
NOT_IN_PARTIAL_FIT = {"divergence", "parameter"}


@both
@pytest.mark.parametrize("failure", [name for name in FAILURES if name not in NOT_IN_PARTIAL_FIT])
def test_a_failed_partial_fit_changes_no_attribute(Estimator, failure, rng, seed):
    parameters, spoil_X, spoil_y, weights, message = FAILURES[failure]
    X, y = problem(rng)
    classes = [[0, 1]] if Estimator is LSTMClassifier else []
    estimator = Estimator(**SMALL, random_state=seed).partial_fit(X, y, *classes)
    before = fingerprint(estimator.set_params(**parameters))
    with pytest.raises(ValueError, match=message):
        estimator.partial_fit(
            spoil_X(X) if spoil_X else X, spoil_y(y) if spoil_y else y, sample_weight=weights
        )
    assert fingerprint(estimator) == before


@both
def test_a_failed_first_fit_leaves_it_unfitted(Estimator, rng, seed):
    X, y = problem(rng)
    estimator = Estimator(**SMALL | DIVERGING, random_state=seed)
    before = fingerprint(estimator)
    with pytest.raises(ValueError, match="diverged"):
        estimator.fit(X, y)
    assert fingerprint(estimator) == before
    with pytest.raises(NotFittedError):
        estimator.predict(X)


@both
@pytest.mark.parametrize("task", ["epoch", "fit"])
def test_a_callback_that_raises_an_error_changes_nothing(Estimator, task, rng, seed):
    pytest.importorskip("sklearn.callback", reason="scikit-learn >= 1.9")
    X, y = problem(rng)
    estimator = Estimator(**SMALL, random_state=seed).fit(X, y).set_callbacks(Disturber(task))
    before = fingerprint(estimator)
    with pytest.raises(Disturbed):
        estimator.fit(X, 1 - y)
    assert fingerprint(estimator) == before


# States and gradients come in the form of the input


@both
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("form", ["2d", "3d", "list", "object array", "nested lists"])
def test_hidden_states_of_every_form(Estimator, bidirectional, form, rng, y, seed):
    X = FORMS[form](rng)
    estimator = Estimator(
        hidden_layer_sizes=(3, 4), max_iter=1, bidirectional=bidirectional, random_state=seed
    ).fit(X, y)
    states = estimator.hidden_states(X)
    assert isinstance(states, list) == (form not in ("2d", "3d"))
    width = 8 if bidirectional else 4
    for x, state in zip(X, states, strict=True):
        assert state.shape == (len(x), width)
        assert (np.abs(state) < 1).all()


@pytest.mark.parametrize("method", ["hidden_states", "input_gradients"])
def test_steps_of_padding_are_nan(method, ragged, y, seed):
    clf = LSTMClassifier(**SMALL, random_state=seed).fit(ragged, y)
    whole = getattr(clf, method)(padded(ragged, extra=1))
    parts = getattr(clf, method)(ragged)
    np.testing.assert_allclose(whole, padded(parts, extra=1), rtol=1e-12, atol=1e-12)


def test_the_last_hidden_state_is_the_input_of_the_output_layer(ragged, y, seed):
    clf = LSTMClassifier(**SMALL, pooling="last", random_state=seed).fit(ragged, y)
    last = np.stack([states[-1] for states in clf.hidden_states(ragged)])
    weight, bias = clf.parameters_["dense.weight"], clf.parameters_["dense.bias"]
    np.testing.assert_allclose((last @ weight + bias)[:, 0], clf.decision_function(ragged))


@both
@pytest.mark.parametrize(
    ("fitted_on", "given"),
    [
        (fitted_on, given)
        for fitted_on in ("2d", "3d", "list")
        for given in ("2d", "3d", "series", "columns")
        if (fitted_on, given) != ("2d", "3d")  # a model of a table refuses 3-D arrays
    ],
)
def test_input_gradients_have_the_shape_of_the_input(Estimator, fitted_on, given, rng, y, seed):
    X = FORMS["2d"](rng)
    forms = {
        "2d": X,
        "3d": X[:, :, None],
        "list": list(X),
        "series": list(X),
        "columns": list(X[:, :, None]),
    }
    estimator = Estimator(**SMALL, random_state=seed).fit(forms[fitted_on], y)
    gradients = estimator.input_gradients(forms[given])
    assert isinstance(gradients, list) == isinstance(forms[given], list)
    assert [g.shape for g in gradients] == [x.shape for x in forms[given]]
