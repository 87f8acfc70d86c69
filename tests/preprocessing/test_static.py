"""AppendStatic against facts that are repeated by hand."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from data import SMALL, cut, fingerprint, objects, problem
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

from sklstm import LSTMClassifier
from sklstm.preprocessing import AppendStatic, SequenceScaler
from sklstm.sequences import to_nested_frame

FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
library = pytest.mark.parametrize("library", FRAMES)


@pytest.fixture
def ragged(rng):
    return cut(problem(rng, n_features=1)[0], rng)


def facts_of(n, rng):
    sites = np.array(["north", "south", "west"])[rng.permutation(n) % 3]
    return {"age": rng.integers(20, 90, n), "site": sites}


def frame_of(library, X, facts):
    """A frame with the sequences between two facts."""
    cells = [x[:, 0] if x.shape[1] == 1 else x for x in X]
    if library == "pandas":
        return pd.DataFrame({"age": facts["age"], "series": objects(cells), "site": facts["site"]})
    nested = [cell.tolist() for cell in cells]
    return pl.DataFrame({"age": facts["age"], "series": nested, "site": facts["site"]})


def encoder():
    return make_column_transformer((OneHotEncoder(), ["site"]), (StandardScaler(), ["age"]))


def by_hand(X, facts):
    """What the encoder gives, repeated at every step."""
    categories = np.unique(facts["site"])
    age = (facts["age"] - facts["age"].mean()) / facts["age"].std()
    one_hot = (facts["site"][:, None] == categories).astype(float)
    static = np.c_[one_hot, age]
    return [np.c_[x, np.tile(row, (len(x), 1))] for x, row in zip(X, static, strict=True)]


@library
@pytest.mark.parametrize("n_features", [1, 2])
def test_facts_are_repeated_at_every_step(library, n_features, rng):
    X = cut(problem(rng, n_features=n_features)[0], rng)
    facts = facts_of(24, rng)
    frame = frame_of(library, X, facts)
    append = AppendStatic(static=encoder())
    for out in (append.fit_transform(frame), append.transform(frame)):
        for found, expected in zip(out, by_hand(X, facts), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert append.n_features_in_ == 3
    assert append.feature_names_in_.tolist() == ["age", "series", "site"]
    series = ["series"] if n_features == 1 else ["series_0", "series_1"]
    static = [f"onehotencoder__site_{site}" for site in ("north", "south", "west")]
    names = [*series, *static, "standardscaler__age"]
    assert append.get_feature_names_out().tolist() == names
    part = frame[3:5]
    for found, expected in zip(append.transform(part), by_hand(X, facts)[3:5], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@library
def test_numbers_are_appended_as_they_are(library, ragged, rng):
    facts = facts_of(24, rng)
    frame = frame_of(library, ragged, facts)[["series", "age"]]
    append = AppendStatic().fit(frame)
    for found, x, age in zip(append.transform(frame), ragged, facts["age"], strict=True):
        np.testing.assert_array_equal(found, np.c_[x, np.full(len(x), age)])
    assert append.get_feature_names_out().tolist() == ["series", "age"]
    with pytest.raises(ValueError, match=r"X: the column 'site' is not numeric, so it needs"):
        AppendStatic().fit(frame_of(library, ragged, facts))


@library
def test_a_frame_without_facts(library, ragged, rng):
    frame = frame_of(library, ragged, facts_of(24, rng))[["series"]]
    for static in (None, OneHotEncoder()):
        append = AppendStatic(static=static)
        for found, x in zip(append.fit_transform(frame), ragged, strict=True):
            np.testing.assert_array_equal(found, x)
        assert append.get_feature_names_out().tolist() == ["series"]


@library
def test_several_columns_of_sequences(library, rng):
    X = cut(problem(rng, n_features=3)[0], rng)
    names = ["u", "v", "w"]
    frame = to_nested_frame(X, FRAMES[library], features=names)
    ages = rng.integers(20, 90, 24)
    column = pd.Series(ages) if library == "pandas" else pl.Series("age", ages)
    frame = frame.assign(age=column) if library == "pandas" else frame.with_columns(column)
    append = AppendStatic(["w", "u"]).set_params(static=None)
    with pytest.raises(ValueError, match=r"X: the column 'v' is not numeric, so it needs a transf"):
        append.fit(frame)
    out = append.set_params(sequence=names[::-1]).fit_transform(frame)
    for found, x, age in zip(out, X, ages, strict=True):
        np.testing.assert_array_equal(found, np.c_[x[:, ::-1], np.full(len(x), age)])
    assert append.get_feature_names_out().tolist() == [*names[::-1], "age"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_the_sequences_is_kept(dtype, ragged, rng):
    frame = frame_of("pandas", [x.astype(dtype) for x in ragged], facts_of(24, rng))
    assert {x.dtype for x in AppendStatic(static=encoder()).fit_transform(frame)} == {
        np.dtype(dtype)
    }


def test_missing_values_are_kept(ragged, rng):
    frame = frame_of("pandas", ragged, {"age": np.full(24, np.nan), "site": np.arange(24)})
    frame.at[3, "series"] = np.array([1.0, np.nan])
    out = AppendStatic().fit_transform(frame)
    np.testing.assert_array_equal(out[3], [[1, np.nan, 3], [np.nan, np.nan, 3]])


@library
def test_set_output(library, ragged, rng):
    facts = facts_of(24, rng)
    append = AppendStatic(static=encoder()).set_output(transform=library)
    frame = frame_of(library, ragged, facts)
    for out in (append.fit_transform(frame), append.transform(frame)):
        for found, expected in zip(out, by_hand(ragged, facts), strict=True):
            assert type(found) is FRAMES[library]
            assert list(found.columns) == append.get_feature_names_out().tolist()
            np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-12, atol=1e-12)


def test_returned_frames_keep_the_index_of_the_series():
    hours = pd.date_range("2020-02-02", periods=2, freq="h")
    both = pd.DataFrame({"u": [1.0, 2.0], "v": [3.0, 4.0]}, index=hours)
    for cell, names in ((pd.Series([1.0, 2.0], hours), ["series"]), (both, ["u", "v"])):
        frame = pd.DataFrame({"series": objects([cell]), "age": [30]})
        (out,) = AppendStatic().set_output(transform="pandas").fit_transform(frame)
        assert out.columns.tolist() == [*names, "age"]
        pd.testing.assert_index_equal(out.index, hours)


class Plain(BaseEstimator):
    """A transformer without names."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X.to_numpy()[:, :1]


def test_transformers_without_names(ragged, rng):
    frame = frame_of("pandas", ragged, facts_of(24, rng))
    append = AppendStatic(static=Plain()).fit(frame)
    assert append.get_feature_names_out().tolist() == ["series", "plain0"]
    expected = append.transform(frame)
    for one, other in zip(append.fit_transform(frame), expected, strict=True):
        np.testing.assert_array_equal(one, other)


# scikit-learn 1.9 deprecates random_state, which older versions need.
@pytest.mark.filterwarnings("ignore:`TargetEncoder.shuffle:FutureWarning")
def test_targets_are_passed_on(ragged, rng, seed):
    facts = facts_of(24, rng)
    y = np.r_[0, 1, rng.integers(2, size=22)]
    encoders = [TargetEncoder(cv=2, random_state=seed) for _ in range(2)]
    frame = frame_of("pandas", ragged, facts)[["series", "site"]]
    append = AppendStatic(static=encoders[0])
    trained = append.fit_transform(frame, y)
    expected = encoders[1].fit_transform(frame[["site"]], y)  # differs from fit and transform
    np.testing.assert_array_equal([x[0, 1] for x in trained], expected[:, 0])
    later = encoders[1].transform(frame[["site"]])
    np.testing.assert_array_equal([x[0, 1] for x in append.transform(frame)], later[:, 0])


# In pipelines


@library
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_pipeline_in_cross_validation(library, ragged, rng, seed):
    facts, y = facts_of(24, rng), np.arange(24) % 2
    frame = frame_of(library, ragged, facts)
    model = make_pipeline(
        AppendStatic(static=encoder()), SequenceScaler(), LSTMClassifier(**SMALL, random_state=seed)
    )
    assert cross_val_predict(model, frame, y, cv=3).shape == (24,)
    static = [encoder(), make_column_transformer((StandardScaler(), ["age"]))]
    search = GridSearchCV(
        model, {"appendstatic__static": static}, cv=2, error_score="raise", n_jobs=2
    ).fit(frame, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_[-1].n_features_in_ in (2, 5)
    assert search.predict(frame[:2]).shape == (2,)


@pytest.mark.parametrize("copy", [clone, lambda t: pickle.loads(pickle.dumps(t))])
def test_clones_and_pickles(copy, ragged, rng):
    frame = frame_of("pandas", ragged, facts_of(24, rng))
    append = AppendStatic(static=encoder()).fit(frame)
    copied = copy(append)
    if copy is clone:
        assert not hasattr(copied, "static_")
        copied.fit(frame)
    for one, other in zip(copied.transform(frame), append.transform(frame), strict=True):
        np.testing.assert_array_equal(one, other)


# Errors


def changed(frame, **columns):
    return frame.assign(**columns)


def test_malformed_frames(ragged, rng):
    frame = frame_of("pandas", ragged, facts_of(24, rng))
    append = AppendStatic(static=encoder()).fit(frame)
    before = fingerprint(append)
    cells = frame["series"]
    wrong = [
        (frame.to_numpy(), "X: expected a pandas or polars data frame, got ndarray"),
        (ragged, "X: expected a pandas or polars data frame, got list"),
        (frame[:0], "X: expected at least one row"),
        (frame.drop(columns="series"), "X: there is no column 'series', the columns are"),
        (changed(frame, series=1.0), r"X\['series'\]\[0\]: expected a series of numbers, got"),
        (changed(frame, series=[[], *cells[1:]]), r"X\['series'\]\[0\]: .* at least one time"),
        (changed(frame, series=[*cells[:4], ["x"], *cells[5:]]), r"X\['series'\]\[4\]: .*numb"),
        (changed(frame, series=[*cells[:4], [np.inf], *cells[5:]]), "infinity at sample 4"),
    ]
    for X, message in wrong:
        for method in (append.transform, append.fit, append.fit_transform):
            with pytest.raises(ValueError, match=message):
                method(X)
        assert fingerprint(append) == before
    two = changed(frame, series=[np.ones((2, 2))] * 24)
    with pytest.raises(ValueError, match=r"expected sequences of 1 channel\(s\) in 'series', got"):
        append.transform(two)
    for X in (frame.rename(columns={"age": "years"}), frame.assign(extra=1)):
        with pytest.raises(ValueError, match="feature names should match"):
            append.transform(X)
    with pytest.raises(ValueError, match="unknown categories"):
        append.transform(changed(frame, site="east"))


def test_transformers_of_facts_that_do_not_fit(ragged, rng):
    frame = frame_of("pandas", ragged, facts_of(24, rng))
    words = FunctionTransformer(feature_names_out="one-to-one")
    with pytest.raises(ValueError, match="static: expected a transformer to numbers, FunctionTr"):
        AppendStatic(static=words).fit(frame)
    shorter = FunctionTransformer(lambda X: X[["age"]].iloc[1:])
    with pytest.raises(ValueError, match=r"one row .* for each of the 24 rows, FunctionTrans"):
        AppendStatic(static=shorter).fit(frame)
    for wrong in ("onehot", LSTMClassifier(), OrdinalEncoder):
        with pytest.raises((TypeError, ValueError), match=r"static|class"):
            AppendStatic(static=wrong).fit(frame)
    with pytest.raises(NotFittedError):
        AppendStatic().transform(frame)
    with pytest.raises(NotFittedError):
        AppendStatic().get_feature_names_out()
