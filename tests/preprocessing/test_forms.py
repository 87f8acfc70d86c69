"""Tests of every transformer of numbers: forms, feature names, frames and errors."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from data import (
    FORMS,
    RAGGED_FORMS,
    cut,
    fingerprint,
    names,
    objects,
    padded,
    pandas_frames,
    polars_frames,
    problem,
    take,
)
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from sklstm.preprocessing import (
    RandomConvolutions,
    SequenceDifferences,
    SequenceImputer,
    SequenceScaler,
    SlidingWindow,
    ToSequences,
)

#: These return as many channels and time steps as they get.
SAME_SHAPE = {
    "standard": SequenceScaler(),
    "minmax": SequenceScaler("minmax", feature_range=(-2, 3)),
    "robust": SequenceScaler("robust", quantile_range=(10, 80)),
    "per sequence": SequenceScaler(per_sequence=True),
    "mean": SequenceImputer(),
    "constant": SequenceImputer("constant", fill_value=7),
    "forward": SequenceImputer("forward"),
    "linear": SequenceImputer("linear"),
    "differences only": SequenceDifferences(append=False),
}
#: These return a 3-D array for a 2-D array.
OTHERS = {
    "indicator": SequenceImputer(add_indicator=True),
    "differences": SequenceDifferences(),
    "convolutions": RandomConvolutions(2, 3, random_state=0),
    "windows": SlidingWindow(),
    "two channels": ToSequences(2),
}
TAKES_NAN = {"mean", "constant", "forward", "linear", "indicator", "two channels"}
same_shape = pytest.mark.parametrize("name", SAME_SHAPE)
every = pytest.mark.parametrize("name", [*SAME_SHAPE, *OTHERS])
every_form = pytest.mark.parametrize("form", FORMS)


def make(name):
    return clone({**SAME_SHAPE, **OTHERS}[name])


def with_missing(X, rng, share=0.2):
    """Sequences with NaN, but not in the last step, which would be padding."""
    parts = []
    for x in X:
        missing = rng.random(x.shape) < share
        missing[-1] = False
        parts.append(np.where(missing, x.dtype.type(np.nan), x))
    return parts


def data(form, rng, name):
    """X in one form, with NaN if the transformer accepts it."""
    X = FORMS[form](rng)
    if name == "two channels" and form == "list, univariate":
        X = [np.repeat(x, 2) for x in X]
    plain = isinstance(X, np.ndarray) and X.dtype != object
    if name in TAKES_NAN and (plain or form.startswith("list")):
        parts = with_missing([x[~np.isnan(x).all(axis=-1)] if x.ndim == 2 else x for x in X], rng)
        if form == "NaN-padded":
            return padded(parts)
        return np.stack(parts) if plain else parts
    return X


def parts_of(out):
    """The output of a transformer as a list of arrays without padding."""
    if isinstance(out, np.ndarray) and out.ndim == 3:
        return [x[: np.flatnonzero(~np.isnan(x).all(axis=1))[-1] + 1] for x in out]
    return list(out)


def assert_same(one, other):
    """Equal to the last bit, with equal forms."""
    assert type(one) is type(other)
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


# Forms


@same_shape
@every_form
def test_the_result_has_the_form_of_the_input(name, form, rng):
    X = data(form, rng, name)
    out = make(name).fit_transform(X)
    if hasattr(X, "columns"):
        X = X.to_numpy()
    if form == "nested lists":
        X = [np.array(x) for x in X]
    assert type(out) is type(X)
    for x, transformed in zip(X, out, strict=True):
        assert transformed.shape == x.shape
        assert transformed.dtype == np.float64


@every
@pytest.mark.parametrize("form", RAGGED_FORMS)
def test_all_forms_have_the_same_result(name, form, rng):
    ragged = cut(problem(rng)[0], rng)
    expected = make(name).fit_transform(ragged)
    out = make(name).fit_transform(RAGGED_FORMS[form](ragged))
    for found, part in zip(parts_of(out), expected, strict=True):
        np.testing.assert_array_equal(found, part)


@every
def test_padding_stays_nan(name, rng):
    ragged = cut(problem(rng)[0], rng)
    out = make(name).fit_transform(padded(ragged, extra=2))
    assert out.shape[:2] == (24, 8)
    for x, whole in zip(ragged, out, strict=True):
        assert np.isnan(whole[len(x) :]).all()
        assert np.isfinite(whole[: len(x)]).all()


@same_shape
def test_a_2d_array_equals_a_3d_array_with_one_channel(name, rng):
    X = data("2d", rng, name)
    X[:, -1] = 1.0  # not padding in a 3-D array
    table = make(name).fit_transform(X)
    np.testing.assert_array_equal(make(name).fit_transform(X[:, :, None])[:, :, 0], table)
    np.testing.assert_array_equal(np.stack(make(name).fit_transform(list(X))), table)


@every
@pytest.mark.parametrize("container", [list, tuple, objects])
def test_1d_elements_stay_1d(name, container, rng):
    series = [x[:, 0] for x in cut(problem(rng, n_features=1)[0], rng)]
    out = ToSequences().fit_transform if name == "two channels" else make(name).fit_transform
    transformed = out(container(series))
    assert isinstance(transformed, type(container(series)))
    for x, found in zip(series, transformed, strict=True):
        two = name in ("indicator", "differences", "convolutions")
        assert found.shape == ((len(x), 2) if two else x.shape)


@every
@every_form
def test_fit_transform_equals_fit_and_transform(name, form, rng):
    X = data(form, rng, name)
    transformer = make(name)
    expected = transformer.fit_transform(X)
    assert_same(transformer.transform(X), expected)
    assert_same(make(name).fit(X).transform(X), expected)


@every
@pytest.mark.parametrize("form", ["2d", "3d", "list", "object array", "NaN-padded"])
def test_samples_are_transformed_independently(name, form, rng):
    X = data(form, rng, name)
    transformer = make(name)
    expected = transformer.fit_transform(X)
    for batch in np.array_split(rng.permutation(24), 5):
        found = transformer.transform(take(X, batch))
        for a, b in zip(parts_of(found), parts_of(take(expected, batch)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@every
@pytest.mark.parametrize("form", ["2d", "3d", "list", "list, univariate", "NaN-padded"])
def test_float32_is_kept(name, form, rng):
    X = data(form, rng, name)
    single = [x.astype(np.float32) for x in X] if isinstance(X, list) else X.astype(np.float32)
    transformer = make(name).fit(X)
    for found, expected in zip(
        transformer.transform(single), transformer.transform(X), strict=True
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert {x.dtype for x in make(name).fit_transform(single)} == {np.dtype(np.float32)}


@every
@pytest.mark.parametrize("form", ["2d", "3d", "list", "list, univariate", "NaN-padded"])
@pytest.mark.parametrize("mapped", [False, True])
def test_the_input_may_be_read_only_and_is_not_changed(name, form, mapped, rng, tmp_path):
    X = data(form, rng, name)
    expected = make(name).fit_transform(take(X, np.arange(24)))

    def read_only(x, k):
        if mapped:
            np.save(tmp_path / f"{k}.npy", x)
            return np.load(tmp_path / f"{k}.npy", mmap_mode="r")
        x.setflags(write=False)
        return x

    X = [read_only(x, k) for k, x in enumerate(X)] if isinstance(X, list) else read_only(X, 0)
    before = joblib.hash(X)
    found = make(name).fit_transform(X)
    assert_same(found, expected)
    for x, out in zip(X, found, strict=True):
        assert not np.shares_memory(x, out)
        out[...] = 0
    assert joblib.hash(X) == before


@every
@pytest.mark.parametrize("form", ["2d", "3d", "list"])
@pytest.mark.parametrize("copy", [clone, lambda t: pickle.loads(pickle.dumps(t))])
def test_clones_and_pickles(name, form, copy, rng):
    X = data(form, rng, name)
    transformer = make(name).fit(X)
    copied = copy(transformer)
    assert copied.get_params() == transformer.get_params()
    if copy is clone:
        assert not hasattr(copied, "n_features_in_")
        copied.fit(X)
    assert_same(copied.transform(X), transformer.transform(X))
    assert fingerprint(copied) == fingerprint(transformer)


# Later input


@every
def test_later_input_may_have_other_lengths_and_forms(name, rng):
    X = data("3d", rng, name)
    longer = rng.normal(size=(3, 11, 2))
    transformer = make(name).fit(X)
    expected = transformer.transform(longer)
    assert expected.shape[:2] == (3, 11)
    for later in (list(longer), tuple(longer), objects(longer), padded(longer, extra=1)):
        for found, part in zip(parts_of(transformer.transform(later)), expected, strict=True):
            np.testing.assert_array_equal(found, part)


@same_shape
def test_a_2d_array_of_any_length_after_a_univariate_fit(name, rng):
    series = [x[:, 0] for x in cut(problem(rng, n_features=1)[0], rng)]
    transformer = make(name).fit(series)
    later = rng.normal(size=(4, 9))
    expected = transformer.transform(later[:, :, None])[:, :, 0]
    frame = pd.DataFrame(later, columns=names(9))
    for table in (later, later.tolist(), frame, pl.DataFrame(later, schema=names(9))):
        np.testing.assert_array_equal(transformer.transform(table), expected)


@every
@pytest.mark.parametrize(
    ("fitted_on", "later", "message"),
    [
        ("2d", lambda X: X[:, :4, 0], "X has 4 features, but .* is expecting 6 features"),
        ("2d", lambda X: X[:, :, :1], r"fitted on a 2-D array \(n_samples, 6\).* a 3-D array"),
        ("2d", lambda X: list(X[:, :4, 0]), "a list with 4 steps in sample 0"),
        ("2d", lambda X: list(X), "a list with 2 feature"),
        ("3d", lambda X: X[:, :, 0], "fitted on sequences with 2 features.*univariate"),
        ("3d", lambda X: X[:, :, :1], "X has 1 features, but .* is expecting 2"),
        ("list", lambda X: [*X[:3], X[3][:, :1]], r"X\[3\]: expected 2 feature"),
    ],
)
def test_later_input_of_the_wrong_form_is_an_error(name, fitted_on, later, message, rng):
    transformer = make(name).fit(FORMS[fitted_on](rng))
    with pytest.raises(ValueError, match=message):
        transformer.transform(later(problem(rng)[0]))


@same_shape
def test_a_list_of_rows_after_a_fit_on_a_2d_array(name, rng):
    X = data("2d", rng, name)
    transformer = make(name).fit(X)
    rows = transformer.transform(list(X))
    assert isinstance(rows, list)
    np.testing.assert_array_equal(np.stack(rows), transformer.transform(X))


# Malformed input

WRONG = {
    "an empty sequence": (np.zeros((0, 2)), r"X\[4\]: an empty sequence"),
    "other channels": (np.zeros((3, 3)), r"X\[4\]: expected 2 feature.*got 3"),
    "3-D": (np.zeros((1, 3, 2)), r"X\[4\]: expected shape .*\(1, 3, 2\)"),
    "a word": ("word", r"X\[4\]: expected numbers"),
    "infinity": (
        np.array([[1.0, 2], [3, -np.inf]]),
        "infinity at sample 4, time step 1, feature 1",
    ),
}


@every
@pytest.mark.parametrize("case", WRONG)
def test_error_messages_name_the_sample(name, case, rng):
    X = FORMS["list"](rng)
    transformer = make(name).fit(X)
    wrong, message = WRONG[case]
    X[4] = wrong
    for method in (transformer.transform, make(name).fit, make(name).fit_transform):
        with pytest.raises(ValueError, match=message):
            method(X)


@pytest.mark.parametrize("name", [name for name in [*SAME_SHAPE, *OTHERS] if name not in TAKES_NAN])
def test_nan_is_an_error(name, rng):
    X = FORMS["3d"](rng)
    X[4, 2, 1] = np.nan
    message = f"NaN at sample 4, time step 2, feature 1. {type(make(name)).__name__} expects"
    with pytest.raises(ValueError, match=message):
        make(name).fit(X)


@every
@pytest.mark.parametrize("form", ["2d", "3d"])
def test_infinity_is_an_error(name, form, rng):
    X = FORMS[form](rng)
    X[4, 2] = np.inf
    with pytest.raises(ValueError, match="infinity at sample 4, time step 2, feature 0"):
        make(name).fit(X)


@every
@pytest.mark.parametrize("wrong", [np.ones(3), np.ones((1, 2, 3, 4)), "word", None, {"a": 1}, 3])
def test_other_input_is_an_error(name, wrong):
    with pytest.raises((TypeError, ValueError)):
        make(name).fit(wrong)


@every
def test_a_failed_fit_changes_nothing(name, rng):
    X = FORMS["list"](rng)
    transformer = make(name).fit(X)
    before = fingerprint(transformer)
    frames = pandas_frames(FORMS["list"](rng))
    frames[5].columns = ["a", "b"]
    for wrong in ([*X[:5], X[5][:, :1]], frames, np.full((2, 3), np.inf)):
        with pytest.raises(ValueError, match="X"):
            transformer.fit(wrong)
        assert fingerprint(transformer) == before


@every
def test_not_fitted(name, rng):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        make(name).transform(FORMS["3d"](rng))
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        make(name).get_feature_names_out()


@pytest.mark.parametrize(
    ("transformer", "message"),
    [
        (SequenceScaler("l2"), "'method' parameter of SequenceScaler"),
        (SequenceScaler(per_sequence="yes"), "'per_sequence' parameter"),
        (SequenceScaler(feature_range=3), "'feature_range' parameter"),
        (SequenceScaler(feature_range=(1, 1)), r"feature_range: .* the lower first, got \(1, 1\)"),
        (SequenceScaler(feature_range=(0, np.inf)), "feature_range: expected two numbers"),
        (SequenceScaler(feature_range=(0, 1, 2)), "feature_range: expected two numbers"),
        (SequenceScaler(quantile_range=("a", "b")), "quantile_range: expected two numbers"),
        (SequenceScaler(quantile_range=(5, 101)), "quantile_range: expected .* from 0 to 100"),
        (SequenceImputer("median"), "'strategy' parameter"),
        (SequenceImputer(fill_value=np.nan), "'fill_value' parameter"),
        (SequenceImputer(add_indicator=None), "'add_indicator' parameter"),
        (SlidingWindow(0), "'width' parameter"),
        (SlidingWindow(2, 0), "'stride' parameter"),
        (SlidingWindow(align="middle"), "'align' parameter"),
        (ToSequences(0), "'n_features' parameter"),
        (ToSequences(1.5), "'n_features' parameter"),
    ],
    ids=str,
)
def test_parameters_are_checked(transformer, message, rng):
    X = FORMS["2d"](rng)
    for method in (transformer.fit, transformer.fit_transform):
        with pytest.raises(ValueError, match=message):
            method(X)
    assert not hasattr(transformer, "n_features_in_")


# Names and frames


@same_shape
@pytest.mark.parametrize("form", ["2d pandas", "2d polars", "pandas frames", "polars frames"])
def test_feature_names_of_frames(name, form, rng):
    X = FORMS[form](rng)
    transformer = make(name).fit(X)
    expected = names(6 if form.startswith("2d") else 2)
    assert transformer.n_features_in_ == len(expected)
    assert transformer.feature_names_in_.tolist() == expected
    assert transformer.get_feature_names_out().tolist() == expected
    other = pandas_frames(rng.normal(size=(2, 3, 2)))
    for frame in other:
        frame.columns = ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        transformer.transform(other[0] if form.startswith("2d") else other)


@pytest.mark.parametrize("Frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            SequenceDifferences(),
            ["a", "difference_a", "difference_a_2", "difference_difference_a"],
        ),
        (
            RandomConvolutions(1, append=True, random_state=0),
            ["a", "convolution0", "convolution0_2"],
        ),
    ],
)
def test_names_are_distinct(step, expected, Frame, rng):
    """Polars refuses frames whose names are equal."""
    X = [Frame({"a": rng.normal(size=n)}) for n in (4, 7)]
    steps = make_pipeline(clone(step), clone(step))
    name = "polars" if Frame is pl.DataFrame else "pandas"
    out = steps.set_output(transform=name).fit_transform(X)
    assert [list(frame.columns) for frame in out] == [expected, expected]


@every
def test_default_feature_names(name, rng):
    transformer = make(name).fit(FORMS["list"](rng))
    assert transformer.n_features_in_ == 2
    expected = {
        "indicator": ["x0", "x1", "missingindicator_x0", "missingindicator_x1"],
        "differences": ["x0", "x1", "difference_x0", "difference_x1"],
        "convolutions": ["convolution0", "convolution1"],
        "windows": ["t0_x0", "t0_x1"],
    }.get(name, ["x0", "x1"])
    assert transformer.get_feature_names_out().tolist() == expected
    named = [text.replace("x0", "a").replace("x1", "b") for text in expected]
    assert transformer.get_feature_names_out(["a", "b"]).tolist() == named
    with pytest.raises(ValueError, match="input_features should have length equal to"):
        transformer.get_feature_names_out(["a"])


LIBRARIES = {"pandas": (pd.DataFrame, pandas_frames), "polars": (pl.DataFrame, polars_frames)}


@every
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("everywhere", [False, True])
def test_set_output_returns_a_list_of_frames_for_a_list(name, library, everywhere, rng):
    Frame, frames = LIBRARIES[library]
    ragged = cut(problem(rng)[0], rng)
    expected = make(name).fit_transform(ragged)
    transformer = make(name)
    if not everywhere:
        transformer = clone(transformer.set_output(transform=library))
    with config_context(transform_output=library if everywhere else "default"):
        for X in (ragged, frames(ragged), padded(ragged)):
            out = transformer.fit_transform(X)
            if isinstance(X, np.ndarray):
                assert_same(parts_of(out), list(expected))
                continue
            assert isinstance(out, list)
            for found, part in zip(out, expected, strict=True):
                assert isinstance(found, Frame)
                assert list(found.columns) == transformer.get_feature_names_out().tolist()
                np.testing.assert_array_equal(found.to_numpy(), part)


@same_shape
def test_returned_frames_keep_their_index(name, rng):
    frames = pandas_frames(cut(problem(rng)[0], rng))
    for frame in frames:
        frame.index = pd.date_range("2020-02-02", periods=len(frame), freq="h")
    out = make(name).set_output(transform="pandas").fit_transform(frames)
    for before, after in zip(frames, out, strict=True):
        pd.testing.assert_index_equal(after.index, before.index)


def test_frames_of_windows_have_a_new_index(rng):
    frames = pandas_frames(cut(problem(rng)[0], rng, shortest=3))
    out = SlidingWindow(3).set_output(transform="pandas").fit_transform(frames)
    for before, after in zip(frames, out, strict=True):
        pd.testing.assert_index_equal(after.index, pd.RangeIndex(len(before) - 2))


@pytest.mark.parametrize("name", OTHERS)
def test_set_output_has_no_effect_on_3d_arrays(name, rng):
    X = pd.DataFrame(FORMS["2d"](rng))
    out = make(name).set_output(transform="pandas").fit_transform(X)
    assert_same(out, make(name).fit_transform(X))


@same_shape
def test_set_output_has_no_effect_on_columns_without_names(name, rng):
    """Fitted on sequences and called with a 2-D array, or vice versa."""
    X = rng.normal(size=(4, 5))
    expected = make(name).fit_transform(X)
    on_sequences = make(name).set_output(transform="pandas").fit(list(X))
    assert_same(on_sequences.transform(X), expected)
    on_table = make(name).set_output(transform="pandas").fit(X)
    assert_same(on_table.transform(list(X)), list(expected))


def test_feature_names_in_a_pipeline(rng):
    columns = [f"t{t}_{name}" for t in range(6) for name in ("flow", "heat")]
    X = pd.DataFrame(rng.normal(size=(5, 12)), columns=columns)
    pipeline = make_pipeline(
        ToSequences(2), SequenceImputer(add_indicator=True), SlidingWindow(2), SequenceScaler()
    )
    assert pipeline.fit_transform(X).shape == (5, 5, 8)
    channels = ["flow", "heat", "missingindicator_flow", "missingindicator_heat"]
    expected = [f"t{t}_{name}" for t in range(2) for name in channels]
    assert pipeline.get_feature_names_out().tolist() == expected
