"""StepTransformer against the transformer on the stacked steps."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from data import (
    RAGGED_FORMS,
    SMALL,
    cut,
    fingerprint,
    names,
    objects,
    padded,
    pandas_frames,
    polars_frames,
    problem,
)
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.manifold import TSNE
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from sklstm import LSTMClassifier
from sklstm.preprocessing import SequenceScaler, StepTransformer

#: Transformers of numbers.
INNER = {
    "scaler": StandardScaler(),
    "components": PCA(1, svd_solver="full"),
    "splines": SplineTransformer(4, extrapolation="linear"),
    "union": FeatureUnion([("a", StandardScaler()), ("b", PCA(2, svd_solver="full"))]),
    "pipeline": make_pipeline(MinMaxScaler(), PCA(2, svd_solver="full")),
    "columns": ColumnTransformer([("a", MinMaxScaler(), [1])], remainder="passthrough"),
    "function": FunctionTransformer(np.tanh),
    "no change": FunctionTransformer(),
}
every = pytest.mark.parametrize("name", INNER)


def make(name):
    return StepTransformer(clone(INNER[name]))


def dense(rows):
    return rows.toarray() if hasattr(rows, "toarray") else np.asarray(rows)


@pytest.fixture
def ragged(rng):
    return cut(problem(rng)[0], rng)


@every
@pytest.mark.parametrize("form", RAGGED_FORMS)
def test_ragged_forms(name, form, ragged):
    inner = clone(INNER[name]).fit(np.concatenate(ragged))
    steps = make(name).fit(RAGGED_FORMS[form](ragged))
    for X in (ragged, ragged[::-1], ragged[:3]):
        given = RAGGED_FORMS[form](X)
        out = steps.transform(given)
        assert type(out) is (list if form in ("pandas frames", "polars frames") else type(given))
        for x, found in zip(X, out, strict=True):
            expected = inner.transform(x)
            np.testing.assert_allclose(found[: len(x)], expected, rtol=1e-12, atol=1e-12)
            assert np.isnan(found[len(x) :]).all()
    whole = make(name).fit_transform(RAGGED_FORMS[form](ragged))
    for x, found in zip(ragged, whole, strict=True):
        np.testing.assert_allclose(found[: len(x)], inner.transform(x), rtol=1e-9, atol=1e-9)


@every
def test_a_3d_array(name, rng):
    X = problem(rng)[0]
    inner = clone(INNER[name]).fit(X.reshape(-1, 2))
    out = make(name).fit(X).transform(X)
    np.testing.assert_allclose(out, inner.transform(X.reshape(-1, 2)).reshape(24, 6, -1), 1e-12)


TABLES = {
    "array": np.asarray,
    "nested lists": lambda X: X.tolist(),
    "pandas": lambda X: pd.DataFrame(X, columns=names(X.shape[1])),
    "polars": lambda X: pl.DataFrame(X, schema=names(X.shape[1])),
}


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("name", ["scaler", "components", "splines"])
def test_the_rows_of_a_2d_array_are_single_series(name, form, rng):
    X = problem(rng, n_features=1)[0][:, :, 0]
    expected = clone(INNER[name]).fit(X.reshape(-1, 1)).transform(X.reshape(-1, 1))
    steps = make(name).fit(TABLES[form](X))
    assert steps.n_features_in_ == 6
    out = steps.transform(TABLES[form](X))
    shape = (24, 6) if expected.shape[1] == 1 else (24, 6, expected.shape[1])
    assert type(out) is np.ndarray
    np.testing.assert_allclose(out, expected.reshape(shape), rtol=1e-12)
    with pytest.raises(ValueError, match=r"X has 5 features|feature names should match"):
        steps.transform(TABLES["nested lists" if form == "array" else form](X[:, :5]))


def test_1d_elements_stay_1d(ragged):
    series = [x[:, 0] for x in ragged]
    out = make("scaler").fit_transform(series)
    assert [x.shape for x in out] == [x.shape for x in series]
    back = make("components").fit(series).inverse_transform([x[:, None] for x in series])
    assert [x.shape for x in back] == [x.shape for x in series]


@pytest.mark.parametrize("container", [list, tuple, objects])
def test_the_container_of_the_sequences_is_kept(container, ragged):
    out = make("union").fit_transform(container(ragged))
    assert type(out) is type(container(ragged))


@pytest.mark.parametrize("name", ["scaler", "components", "no change"])
@pytest.mark.parametrize("form", ["2d", "3d", "list"])
def test_float32_is_kept_and_no_memory_is_shared(name, form, rng):
    X = problem(rng)[0].astype(np.float32)
    X = {"2d": X[:, :, 0], "3d": X, "list": [X[0]]}[form]
    out = make(name).fit_transform(X)
    assert np.asarray(out).dtype == np.float32
    assert not np.shares_memory(out[0], X[0])


# Categories and frames


WORDS = [["walk", "run", "walk"], ["rest"], ["run", "rest"]]


def word_forms():
    whole = np.full((3, 3, 1), None, dtype=object)
    for k, words in enumerate(WORDS):
        whole[k, : len(words), 0] = words
    return {
        "nested lists": WORDS,
        "arrays": [np.array(words) for words in WORDS],
        "columns": [np.array(words)[:, None] for words in WORDS],
        "objects": [np.array(words, dtype=object) for words in WORDS],
        "padded with None": whole,
        "pandas": [pd.DataFrame({"act": words}) for words in WORDS],
        "polars": [pl.DataFrame({"act": words}) for words in WORDS],
        "series": [pd.Series(words) for words in WORDS],
    }


@pytest.mark.parametrize("form", word_forms())
@pytest.mark.parametrize("sparse", [False, True])
def test_categories(form, sparse):
    X = word_forms()[form]
    encoder = StepTransformer(OneHotEncoder(sparse_output=sparse)).fit(X)
    out = encoder.transform(X)
    for words, found in zip(WORDS, out, strict=True):
        expected = [[word == "rest", word == "run", word == "walk"] for word in words]
        np.testing.assert_array_equal(found[: len(words)], np.array(expected, dtype=float))
        assert np.isnan(found[len(words) :]).all()
    prefix = "act" if form in ("pandas", "polars") else "x0"
    assert encoder.get_feature_names_out().tolist() == [
        f"{prefix}_{word}" for word in ("rest", "run", "walk")
    ]
    for words, found in zip(WORDS, encoder.inverse_transform(out), strict=True):
        assert np.ravel(found)[: len(words)].tolist() == words
        assert all(word is None for word in np.ravel(found)[len(words) :])


def test_a_table_of_words():
    X = np.array([["a", "b"], ["b", "b"]])
    np.testing.assert_array_equal(
        StepTransformer(OrdinalEncoder()).fit_transform(X), [[0.0, 1.0], [1.0, 1.0]]
    )
    encoder = StepTransformer(OneHotEncoder(drop="if_binary")).fit(X)
    assert encoder.inverse_transform(encoder.transform(X)).tolist() == X.tolist()


def test_integers_are_not_converted():
    encoder = StepTransformer(OneHotEncoder()).fit([np.array([3, 5]), np.array([5])])
    assert encoder.get_feature_names_out().tolist() == ["x0_3", "x0_5"]


MIXED = [
    {"act": ["walk", "run"], "pulse": [80.0, 120.0], "oxygen": [97.0, np.nan]},
    {"act": ["rest"], "pulse": [60.0], "oxygen": [99.0]},
]


@pytest.mark.parametrize("Frame", [pd.DataFrame, pl.DataFrame])
def test_columns_of_frames_by_name(Frame):
    X = [Frame(columns) for columns in MIXED]
    steps = StepTransformer(
        ColumnTransformer(
            [
                ("act", OneHotEncoder(), ["act"]),
                ("number", make_pipeline(SimpleImputer(), MinMaxScaler()), ["pulse", "oxygen"]),
            ],
            verbose_feature_names_out=False,
        )
    )
    out = steps.fit_transform(X)
    np.testing.assert_allclose(out[0], [[0, 0, 1, 1 / 3, 0], [0, 1, 0, 1, 0.5]])
    np.testing.assert_allclose(out[1], [[1, 0, 0, 0, 1]])
    expected = ["act_rest", "act_run", "act_walk", "pulse", "oxygen"]
    assert steps.get_feature_names_out().tolist() == expected
    assert steps.feature_names_in_.tolist() == ["act", "pulse", "oxygen"]
    with pytest.raises(ValueError, match=r"X\[1\]: expected the columns"):
        steps.transform([X[0], Frame({**MIXED[1], "act": ["rest"]})[["pulse", "act", "oxygen"]]])


def test_frames_of_two_libraries_are_an_error():
    X = [pd.DataFrame({"a": [1.0]}), pl.DataFrame({"a": [2.0]})]
    with pytest.raises(ValueError, match=r"X\[1\]: expected a frame of pandas .* got one of pol"):
        make("scaler").fit(X)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("name", ["scaler", "components", "union", "function"])
def test_set_output(name, library, ragged):
    frames = {"pandas": pandas_frames, "polars": polars_frames}[library](ragged)
    expected = make(name).fit(frames).transform(frames)
    steps = make(name).set_output(transform=library)
    for out in (steps.fit_transform(frames), steps.transform(frames)):
        for frame, part in zip(out, expected, strict=True):
            assert type(frame) is type(frames[0])
            assert list(frame.columns) == steps.get_feature_names_out().tolist()
            np.testing.assert_allclose(frame.to_numpy(), part, rtol=1e-9, atol=1e-9)


def test_set_output_of_a_table(rng):
    X = pd.DataFrame(rng.normal(size=(5, 4)), columns=names(4), index=[*"abcde"])
    out = make("scaler").set_output(transform="pandas").fit_transform(X)
    assert out.columns.tolist() == names(4)
    assert out.index.tolist() == [*"abcde"]


def test_names(ragged):
    assert make("components").fit(ragged).get_feature_names_out().tolist() == ["pca0"]
    scaler = make("scaler").fit(pandas_frames(ragged))
    assert scaler.get_feature_names_out().tolist() == names(2)
    function = make("function").fit(ragged)
    assert function.get_feature_names_out().tolist() == [f"functiontransformer{k}" for k in (0, 1)]
    table = StepTransformer(SplineTransformer(3)).fit(problem_table(ragged))
    assert table.get_feature_names_out().tolist() == [f"x0_sp_{k}" for k in range(5)]


def problem_table(ragged):
    return np.stack([x[:1, 0].repeat(3) + np.arange(3) for x in ragged])


# Targets and weights


class Recorder(TransformerMixin, BaseEstimator):
    """Keeps what `fit` is given."""

    def fit(self, X, y=None, sample_weight=None):
        self.X_, self.y_, self.sample_weight_ = X, y, sample_weight
        return self

    def transform(self, X):
        return X


def recorded(X, y=None, weights=None):
    return StepTransformer(Recorder()).fit(X, y, sample_weight=weights).transformer_


def test_targets_and_weights_of_sequences_are_repeated(ragged, rng):
    lengths = [len(x) for x in ragged]
    y, weights = rng.permutation(24), rng.uniform(size=24)
    for form in RAGGED_FORMS.values():
        inner = recorded(form(ragged), y, weights)
        np.testing.assert_array_equal(inner.y_, np.repeat(y, lengths))
        np.testing.assert_array_equal(inner.sample_weight_, np.repeat(weights, lengths))
    both = np.stack([y, -y], axis=1)
    np.testing.assert_array_equal(recorded(ragged, both).y_, np.repeat(both, lengths, axis=0))
    words = pd.Series([f"class {k}" for k in y])
    assert recorded(ragged, words).y_.tolist() == np.repeat(words, lengths).tolist()


def test_targets_and_weights_of_steps(ragged, rng):
    y = [rng.normal(size=len(x)) for x in ragged]
    inner = recorded(ragged, y, [abs(part) for part in y])
    np.testing.assert_array_equal(inner.y_, np.concatenate(y))
    np.testing.assert_array_equal(inner.sample_weight_, np.abs(inner.y_))
    X = problem(rng)[0]
    table = rng.integers(3, size=(24, 6))
    np.testing.assert_array_equal(recorded(X, table).y_, table.ravel())


def test_a_list_of_targets_of_several_outputs(rng):
    X = [rng.normal(size=(length, 2)) for length in (3, 4, 7, 2)]
    y = [rng.normal(size=5) for _ in X]
    expected = np.repeat(np.stack(y), [3, 4, 7, 2], axis=0)
    np.testing.assert_array_equal(recorded(X, y).y_, expected)
    with pytest.raises(ValueError, match="y"):
        recorded(X, [*y[:3], y[3][:4]])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        recorded(X, y[:3])


def test_steps_without_target_are_left_out(ragged, rng):
    y = [np.where(np.arange(len(x)) == 2, np.nan, 1.0 * np.arange(len(x))) for x in ragged]
    known = np.concatenate([np.arange(len(x)) != 2 for x in ragged])
    inner = recorded(ragged, y, np.ones(24))
    np.testing.assert_array_equal(inner.X_, np.concatenate(ragged)[known])
    np.testing.assert_array_equal(inner.y_, np.concatenate(y)[known])
    assert len(inner.sample_weight_) == known.sum()
    for form in (list, pandas_frames):
        out = StepTransformer(Recorder()).fit_transform(form(ragged), y)
        np.testing.assert_array_equal(np.concatenate(out), np.concatenate(ragged))


def test_a_supervised_transformer(ragged, rng):
    y = np.array([int(x[:, 0].mean() > 0) for x in ragged])
    y[:2] = 0, 1
    X = [np.c_[rng.normal(size=len(x)), x[:, 0] + 9 * k] for x, k in zip(ragged, y, strict=True)]
    select = StepTransformer(SelectKBest(f_classif, k=1))
    for found, x in zip(select.fit_transform(X, y), X, strict=True):
        np.testing.assert_array_equal(found, x[:, 1:])
    assert select.get_feature_names_out().tolist() == ["x1"]
    with pytest.raises((TypeError, ValueError), match="y"):
        select.fit(X)


def test_weights_are_those_of_the_transformer(ragged, rng):
    weights = rng.uniform(size=24)
    rows, repeated = np.concatenate(ragged), np.repeat(weights, [len(x) for x in ragged])
    expected = StandardScaler().fit(rows, sample_weight=repeated)
    pipeline = make_pipeline(make("scaler"), SequenceScaler())
    pipeline.fit(ragged, None, steptransformer__sample_weight=weights)
    np.testing.assert_allclose(pipeline[0].transformer_.mean_, expected.mean_)
    nested = StepTransformer(make_pipeline(StandardScaler(), PCA(1)))
    for method in (nested.fit, nested.fit_transform):
        method(ragged, standardscaler__sample_weight=weights)
        np.testing.assert_allclose(nested.transformer_[0].mean_, expected.mean_)
    with pytest.raises(TypeError, match=r"PCA.fit.* unexpected keyword argument 'sample_weight'"):
        make("components").fit(ragged, sample_weight=weights)
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(23,\), expected \(24,\)"):
        make("scaler").fit(ragged, sample_weight=weights[1:])


@pytest.mark.parametrize("transform", [False, True])
def test_metadata_routing(transform, ragged, rng):
    weights = rng.uniform(size=24)
    rows, repeated = np.concatenate(ragged), np.repeat(weights, [len(x) for x in ragged])
    expected = StandardScaler().fit(rows, sample_weight=repeated)
    with config_context(enable_metadata_routing=True):
        inner = StandardScaler().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(StepTransformer(inner), SequenceScaler())
        (pipeline.fit_transform if transform else pipeline.fit)(ragged, sample_weight=weights)
        np.testing.assert_allclose(pipeline[0].transformer_.mean_, expected.mean_)
        alone = StepTransformer(inner)
        (alone.fit_transform if transform else alone.fit)(ragged, sample_weight=weights)
        np.testing.assert_allclose(alone.transformer_.mean_, expected.mean_)
        with pytest.raises(ValueError, match=r"sample_weight.* not explicitly set as requested"):
            StepTransformer(StandardScaler()).fit(ragged, sample_weight=weights)


# Inverse


@pytest.mark.parametrize("name", ["scaler", "pipeline"])
@pytest.mark.parametrize("form", ["list", "tuple", "object array", "NaN-padded further"])
def test_inverse(name, form, ragged):
    X = RAGGED_FORMS[form](ragged)
    steps = make(name).fit(X)
    back = steps.inverse_transform(steps.transform(X))
    assert type(back) is type(X)
    for x, found in zip(X, back, strict=True):
        np.testing.assert_allclose(found, x, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match=r"X: expected 2 feature\(s\), got 1"):
        steps.inverse_transform([x[:, :1] for x in ragged])


def test_the_inverse_of_a_table_is_a_table(rng):
    X = rng.normal(size=(4, 5))
    scaler = make("scaler").fit(X)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(X)), X)
    bins = StepTransformer(KBinsDiscretizer(3, encode="onehot-dense", quantile_method="linear"))
    out = bins.fit_transform(X)
    assert out.shape == (4, 5, 3)
    assert bins.inverse_transform(out).shape == (4, 5)


def test_an_inverse_that_does_not_exist(ragged):
    steps = make("splines")
    assert not hasattr(steps, "inverse_transform")
    assert hasattr(make("scaler"), "inverse_transform")
    with pytest.raises(NotFittedError):
        make("scaler").inverse_transform(ragged)


# Errors


class Drops(TransformerMixin, BaseEstimator):
    """Drops a row."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[1:]


def test_a_transformer_that_changes_the_number_of_rows_is_refused(ragged):
    message = "transformer: expected one row .* for each of the {} time steps, Drops returned shape"
    with pytest.raises(ValueError, match=message.format(len(np.concatenate(ragged)))):
        StepTransformer(Drops()).fit_transform(ragged)
    steps = StepTransformer(Drops())
    with pytest.raises(ValueError, match=message.format(1)):
        steps.fit(ragged)
    assert not hasattr(steps, "transformer_")


@pytest.mark.parametrize("wrong", [None, "scaler", StandardScaler, TSNE(), LSTMClassifier()])
def test_the_parameter_is_checked(wrong, ragged):
    with pytest.raises((TypeError, ValueError), match=r"transformer|fit|class|instance"):
        StepTransformer(wrong).fit(ragged)


def test_parameters_of_the_transformer_are_checked(ragged):
    with pytest.raises(ValueError, match="'n_components' parameter of PCA"):
        StepTransformer(PCA("two")).fit(ragged)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("form", [list, pandas_frames, polars_frames, padded])
def test_errors_name_the_sample(value, form, ragged):
    steps = make("scaler").fit(form(ragged))
    X = [x.copy() for x in ragged]
    X[1][2, 1] = value
    if np.isnan(value):
        steps.set_params(transformer=SimpleImputer()).fit(form(X))
        assert np.isfinite(steps.transform(form(X))[1]).all()
        steps.set_params(transformer=PCA(1)).fit(form(ragged))
    with pytest.raises(ValueError, match=r"X\[1\], time step 2, feature 1: (nan|inf): Input X"):
        steps.transform(form(X))
    with pytest.raises(ValueError, match=r"X\[1\], time step 2, feature 1: (nan|inf): Input X"):
        clone(steps).fit(form(X))


WRONG = {
    "an empty sequence": (np.zeros((0, 2)), r"X\[4\]: an empty sequence"),
    "other channels": (np.zeros((3, 3)), r"X\[4\]: expected 2 feature.*got 3"),
    "3-D": (np.zeros((1, 3, 2)), r"X\[4\]: expected shape .*\(1, 3, 2\)"),
    "no features": (np.zeros((3, 0)), r"X\[4\]: expected shape .*\(3, 0\)"),
    "a word": ("word", r"X\[4\]: expected .* got 'word'"),
    "ragged rows": ([[1.0, 2.0], [3.0]], r"X\[4\]: expected an array of regular shape"),
}


@pytest.mark.parametrize("case", WRONG)
def test_malformed_sequences(case, ragged):
    wrong, message = WRONG[case]
    steps = make("scaler").fit(ragged)
    before = fingerprint(steps)
    ragged[4] = wrong
    for method in (steps.transform, steps.fit, steps.fit_transform, steps.inverse_transform):
        with pytest.raises(ValueError, match=message):
            method(ragged)
    assert fingerprint(steps) == before


@pytest.mark.parametrize(
    "wrong", [np.ones(3), np.ones((1, 2, 3, 4)), np.ones((2, 0, 1)), "word", None, {"a": 1}, []]
)
def test_other_input_is_an_error(wrong):
    with pytest.raises((TypeError, ValueError)):
        make("scaler").fit(wrong)
    with pytest.raises(ValueError, match=r"X\[1\]: expected at least one time step"):
        make("scaler").fit(np.array([[[1.0]], [[np.nan]]]))


# As a scikit-learn estimator


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("form", [list, padded, pandas_frames])
def test_a_search_over_the_parameters_of_the_transformer(form, rng, seed):
    X, y = problem(rng, n_features=3)
    X = form(cut(X, rng))
    pipeline = make_pipeline(
        StepTransformer(PCA(random_state=seed)), LSTMClassifier(**SMALL, random_state=seed)
    )
    grid = {"steptransformer__transformer__n_components": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise", n_jobs=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_params_["steptransformer__transformer__n_components"]
    assert search.best_estimator_[0].transformer_.n_components_ == best
    assert search.best_estimator_[1].n_features_in_ == best


@every
@pytest.mark.parametrize("copy", [clone, lambda t: pickle.loads(pickle.dumps(t))])
def test_clones_and_pickles(name, copy, ragged):
    steps = make(name).fit(ragged)
    copied = copy(steps)
    if copy is clone:
        assert not hasattr(copied, "transformer_")
        copied.fit(ragged)
    for found, expected in zip(copied.transform(ragged), steps.transform(ragged), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not hasattr(steps.transformer, "n_features_in_")


def test_tags():
    assert StepTransformer(SimpleImputer()).__sklearn_tags__().input_tags.allow_nan
    assert not StepTransformer(PCA()).__sklearn_tags__().input_tags.allow_nan
    assert StepTransformer(OneHotEncoder()).__sklearn_tags__().input_tags.categorical
    assert StepTransformer(TargetEncoder()).__sklearn_tags__().target_tags.required
    assert StepTransformer(PCA()).__sklearn_tags__().input_tags.three_d_array
