"""Pipelines with transformers of sklstm, and of scikit-learn on tables."""

import sys

import numpy as np
import pytest
from data import SMALL, cut, problem
from onnx_models import assert_equal, assert_same_classifier, feed, run, session, single
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    PolynomialFeatures,
    StandardScaler,
)

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.interop.onnx import to_onnx
from sklstm.preprocessing import (
    RandomConvolutions,
    SequenceDifferences,
    SequenceImputer,
    SequenceScaler,
    SlidingWindow,
    StepTransformer,
    TokenEncoder,
    ToSequences,
    WindowScaledRegressor,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

STEPS = {
    "standard": [SequenceScaler()],
    "minmax": [SequenceScaler("minmax", feature_range=(-1, 2))],
    "robust": [SequenceScaler("robust")],
    "standard of each": [SequenceScaler(per_sequence=True)],
    "minmax of each": [SequenceScaler("minmax", per_sequence=True, feature_range=(-1, 2))],
    "differences": [SequenceDifferences()],
    "differences alone": [SequenceDifferences(append=False)],
    "convolutions": [RandomConvolutions(5, 2, random_state=0)],
    "convolutions beside": [RandomConvolutions(3, 4, append=True, random_state=0)],
    "windows": [SlidingWindow(3, 2)],
    "windows at the end": [SlidingWindow(3, 2, align="end")],
    "windows of one step": [SlidingWindow()],
    "several": [
        SequenceImputer(), SequenceDifferences(), SequenceScaler(),
        SlidingWindow(2, 1, align="end"), SequenceScaler(per_sequence=True),
    ],
}  # fmt: skip
FORMS = {
    "2d": lambda X, rng: X[:, :, 0],
    "3d": lambda X, rng: X,
    "list": lambda X, rng: cut(X, rng, shortest=3),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("steps", STEPS)
def test_transformers(steps, form, rng, seed):
    X, y = problem(rng, n_timesteps=8)
    X = single(FORMS[form](100 + 10 * X, rng))
    model = make_pipeline(*STEPS[steps], LSTMClassifier(**SMALL, random_state=seed)).fit(X, y)
    assert_same_classifier(run(to_onnx(model), X), model, X)


@pytest.mark.parametrize("add_indicator", [False, True])
@pytest.mark.parametrize("strategy", ["mean", "constant"])
@pytest.mark.parametrize("form", FORMS)
def test_imputer(form, strategy, add_indicator, rng, seed):
    X, y = problem(rng)
    X[rng.random(X.shape) < 0.2] = np.nan
    X[:, :3] = 1.0  # no step of all NaN at the end of an array
    X[:, -1] = 2.0
    X = single(FORMS[form](X, rng))
    imputer = SequenceImputer(strategy, fill_value=3.0, add_indicator=add_indicator)
    model = make_pipeline(imputer, LSTMRegressor(**SMALL, random_state=seed)).fit(X, y)
    assert_equal(run(to_onnx(model), X)["variable"], model.predict(X))


@pytest.mark.parametrize("form", ["2d", "list"])
def test_a_channel_that_is_constant(form, rng, seed):
    X, y = problem(rng)
    X[:, :, -1] = 0.1
    X = X[:, :, 1] if form == "2d" else single(cut(X, rng))
    for scaler in (SequenceScaler(per_sequence=True), SequenceScaler("minmax", per_sequence=True)):
        model = make_pipeline(scaler, LSTMRegressor(**SMALL, random_state=seed)).fit(X, y)
        assert_equal(run(to_onnx(model), X)["variable"], model.predict(X))


@pytest.mark.parametrize("append", [False, True])
def test_convolutions_of_large_levels(append, rng, seed):
    """Levels are subtracted in double precision."""
    X, y = problem(rng, n_timesteps=40)
    X = single(cut(X + 1e5, rng))
    convolutions = RandomConvolutions(6, 3, append=append, random_state=seed)
    model = make_pipeline(convolutions, LSTMRegressor(**SMALL, random_state=seed)).fit(X, y)
    assert_equal(run(to_onnx(model), X)["variable"], model.predict(X))


@pytest.mark.parametrize("form", ["2d", "list"])
def test_rows_of_tables_as_sequences(form, rng, seed):
    X, y = problem(rng, n_timesteps=12, n_features=1)
    X = single(X[:, :, 0] if form == "2d" else [x[: 3 * rng.integers(1, 5)] for x in X])
    model = make_pipeline(ToSequences(3), LSTMRegressor(**SMALL, random_state=seed)).fit(X, y)
    assert_equal(run(to_onnx(model), X)["variable"], model.predict(X))


def test_a_prediction_for_each_step(rng, seed):
    X, _ = problem(rng)
    X = single(cut(X, rng))
    y = [rng.normal(size=len(x)) for x in X]
    reg = LSTMRegressor(**SMALL, return_sequences=True, random_state=seed)
    model = make_pipeline(SequenceScaler(), SequenceDifferences(), reg).fit(X, y)
    found = run(to_onnx(model), X)["variable"]
    for row, expected in zip(found, model.predict(X), strict=True):
        assert_equal(row[: len(expected)], expected)
        assert np.isnan(row[len(expected) :]).all()


def test_differences_without_sparse_channels(rng, seed):
    X, y = problem(rng, n_timesteps=8)
    X[:, :, 0] = np.maximum(X[:, :, 0] - 1, 0)
    X = single(cut(X, rng))
    step = SequenceDifferences(skip_sparse=True)
    model = make_pipeline(step, LSTMClassifier(**SMALL, random_state=seed)).fit(X, y)
    assert model[0].sparse_channels_.tolist() == [True, False]
    assert_same_classifier(run(to_onnx(model), X), model, X)


def test_passthrough_and_nested_pipelines(rng, seed):
    X, y = problem(rng)
    inner = make_pipeline(SequenceScaler(), "passthrough")
    steps = [("skipped", None), ("inner", inner), ("model", LSTMClassifier(**SMALL))]
    model = Pipeline(steps).fit(X, y)
    assert_same_classifier(run(to_onnx(model), single(X)), model, single(X))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (SequenceScaler("robust", per_sequence=True), 'SequenceScaler with method="robust"'),
        (SequenceImputer("forward"), 'SequenceImputer with strategy="forward"'),
        (SequenceImputer("linear"), 'SequenceImputer with strategy="linear"'),
    ],
)
def test_steps_that_are_refused(step, message, rng):
    X, y = problem(rng)
    model = make_pipeline(step, LSTMRegressor(**SMALL)).fit(X, y)
    with pytest.raises(ValueError, match=f"{message}.* cannot be converted to ONNX"):
        to_onnx(model)


# --- windows and targets that are scaled together ---

TARGETS = {
    "one": (0, ()),
    "horizon of one": (1, (3,)),
    "all channels": (None, (2,)),
    "horizon": (None, (3, 2)),
    "some channels": ([1], (3, 1)),
}


@pytest.mark.parametrize("center", ["mean", "last", None])
@pytest.mark.parametrize("scale", ["std", "mean_abs", None])
@pytest.mark.parametrize("targets", TARGETS)
def test_windows_scaled_with_their_targets(targets, scale, center, rng, seed):
    target, shape = TARGETS[targets]
    X = 50 + 10 * problem(rng)[0] + 100 * rng.random((24, 1, 2))
    X[:3, :, 1] = 7.0  # constant windows
    X, y = single(cut(X, rng)), 100 + 10 * rng.normal(size=(24, *shape))
    inner = make_pipeline(SequenceDifferences(), LSTMRegressor(**SMALL, random_state=seed))
    model = WindowScaledRegressor(inner, center=center, scale=scale, target=target).fit(X, y)
    assert_equal(run(to_onnx(model), X)["variable"], model.predict(X), scale=100)


@pytest.mark.parametrize("center", ["mean", "last"])
@pytest.mark.parametrize("settings", [{}, {"loss": "quantile", "quantile": [0.1, 0.5]}])
def test_scaled_rows_of_a_table(settings, center, rng, seed):
    X = single(100 + 10 * rng.normal(size=(24, 6)))
    reg = LSTMRegressor(**SMALL, **settings, random_state=seed)
    model = make_pipeline(SequenceScaler(), WindowScaledRegressor(reg, center=center))
    model.fit(X, 100 + rng.normal(size=(24, 3)))
    assert_equal(run(to_onnx(model), X)["variable"], model.predict(X), scale=100)


def test_standard_deviations_of_scaled_windows(rng, seed):
    X, y = single(100 + 10 * rng.normal(size=(24, 6))), 100 + rng.normal(size=24)
    reg = LSTMRegressor(**SMALL, loss="gaussian", random_state=seed)
    model = WindowScaledRegressor(reg).fit(X, y)
    mean, deviation = model.predict(X, return_std=True)
    results = run(to_onnx(model), X)
    assert_equal(results["variable"], mean, scale=100)
    assert_equal(results["variable_std"], deviation, scale=10)


# --- steps of scikit-learn ---


@pytest.fixture
def skl2onnx():
    return pytest.importorskip("skl2onnx")


TABLE_STEPS = {
    "scaler": [StandardScaler()],
    "imputer": [SimpleImputer(), MinMaxScaler()],
    "mixed": [StandardScaler(), SequenceDifferences(), SequenceScaler()],
    "mixed, table": [SequenceScaler(), StandardScaler(), SequenceDifferences(append=False)],
    "reshaped": [StandardScaler(), ToSequences(2)],
}


@pytest.mark.parametrize("steps", TABLE_STEPS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_steps_of_scikit_learn(skl2onnx, steps, bidirectional, rng, seed):
    X, y = problem(rng, n_classes=3)
    X, y = single(100 + 10 * X[:, :, 0]), np.array(["a", "b", "c"])[y]
    clf = LSTMClassifier(**SMALL, bidirectional=bidirectional, random_state=seed)
    model = make_pipeline(*TABLE_STEPS[steps], clf).fit(X, y)
    assert_same_classifier(run(to_onnx(model), X), model, X)


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_a_regressor_after_steps_of_scikit_learn(skl2onnx, shape, rng, seed):
    X = single(problem(rng)[0][:, :, 0])
    y = rng.normal(size=(24, *shape))
    model = make_pipeline(StandardScaler(), LSTMRegressor(**SMALL, random_state=seed)).fit(X, y)
    loaded = session(to_onnx(model))
    assert loaded.get_outputs()[0].shape == [None, *y.shape[1:]]
    assert_equal(loaded.run(["variable"], {"X": X})[0], model.predict(X))


def test_a_search_over_pipelines(skl2onnx, rng, seed):
    X, y = problem(rng)
    X = single(X[:, :, 0])
    model = make_pipeline(StandardScaler(), LSTMClassifier(**SMALL, random_state=seed))
    search = GridSearchCV(model, {"lstmclassifier__pooling": ["last", "max"]}, cv=2).fit(X, y)
    assert_same_classifier(run(to_onnx(search), X), search, X)


STEP_TRANSFORMERS = {
    "scaler": StandardScaler(),
    "components": PCA(2),
    "union": make_union(StandardScaler(), MinMaxScaler()),
    "pipeline": make_pipeline(StandardScaler(), PCA(1)),
    "bins": KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", STEP_TRANSFORMERS)
def test_transformers_of_steps(skl2onnx, kind, form, rng, seed):
    X, y = problem(rng, n_timesteps=8)
    X = single(FORMS[form](10 * X, rng))
    inner = PCA(1) if form == "2d" and kind == "components" else STEP_TRANSFORMERS[kind]
    steps = [SequenceScaler(), StepTransformer(inner), SequenceDifferences()]
    model = make_pipeline(*steps, LSTMClassifier(**SMALL, random_state=seed)).fit(X, y)
    assert_same_classifier(run(to_onnx(model), X), model, X)


@pytest.mark.parametrize("per_step", [False, True])
def test_a_transformer_of_steps_alone(skl2onnx, per_step, rng, seed):
    X, y = problem(rng)
    X = single(cut(X, rng))
    y = [rng.normal(size=len(x)) for x in X] if per_step else y
    reg = LSTMRegressor(**SMALL, return_sequences=per_step, random_state=seed)
    model = make_pipeline(StepTransformer(PolynomialFeatures(2)), reg).fit(X, y)
    found = run(to_onnx(model), X)["variable"]
    for row, expected in zip(found, model.predict(X), strict=True):
        assert_equal(row[: len(expected)] if per_step else row, expected)


def test_skl2onnx_converts_pipelines(skl2onnx, rng, seed):
    X, y = problem(rng, n_classes=3)
    X = single(X[:, :, 0])
    model = make_pipeline(StandardScaler(), SequenceDifferences(), LSTMClassifier(**SMALL))
    model.fit(X, y)
    proto = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
    label, probability = session(proto).run(None, {"X": X})
    found = {"output_label": label, "output_probability": probability}
    assert_same_classifier(found, model, X)


def test_skl2onnx_makes_dictionaries_of_probabilities(skl2onnx, rng, seed):
    X, y = problem(rng)
    X, y = single(X[:, :, 0]), np.array(["no", "yes"])[y]
    clf = LSTMClassifier(**SMALL, random_state=seed).fit(X, y)
    results = session(skl2onnx.to_onnx(clf, X[:1])).run(None, {"X": X})
    assert results[0].tolist() == clf.predict(X).tolist()
    found = [[row["no"], row["yes"]] for row in results[1]]
    assert_equal(found, clf.predict_proba(X))


def test_skl2onnx_converts_a_regressor_to_a_column(skl2onnx, rng, seed):
    X = single(problem(rng)[0][:, :, 0])
    reg = LSTMRegressor(**SMALL, random_state=seed).fit(X, rng.normal(size=24))
    found = session(skl2onnx.to_onnx(reg, X[:1])).run(None, {"X": X})[0]
    assert_equal(found, reg.predict(X)[:, None])


@pytest.mark.parametrize("per_step", [False, True])
def test_skl2onnx_converts_ragged_sequences(skl2onnx, per_step, rng, seed):
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    X, y = problem(rng)
    X = single(cut(X, rng, shortest=2))
    if per_step:
        y = [rng.integers(0, 2, len(x)) for x in X]
    clf = LSTMClassifier(**SMALL, return_sequences=per_step, random_state=seed)
    model = make_pipeline(SequenceScaler(), SlidingWindow(1), clf).fit(X, y)
    types = [
        ("X", FloatTensorType([None, None, 2])),
        ("lengths", Int64TensorType([None])),
    ]
    proto = skl2onnx.to_onnx(model, initial_types=types, options={"zipmap": False})
    label, probability = session(proto).run(None, feed(X))
    if not per_step:
        found = {"output_label": label, "output_probability": probability}
        assert_same_classifier(found, model, X)
        return
    for row, expected in zip(probability, model.predict_proba(X), strict=True):
        assert_equal(row[: len(expected)], expected)


def test_skl2onnx_must_be_installed(rng, monkeypatch):
    X, y = problem(rng)
    model = make_pipeline(StandardScaler(), LSTMRegressor(**SMALL)).fit(X[:, :, 0], y)
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match="pip install skl2onnx"):
        to_onnx(model)


def test_texts_cannot_be_converted(skl2onnx, rng):
    texts, y = ["a b a", "b b", "a"] * 4, rng.normal(size=12)
    model = make_pipeline(TokenEncoder(), LSTMRegressor(**SMALL, vocabulary_size=3)).fit(texts, y)
    with pytest.raises(ValueError, match="TokenEncoder cannot be converted to ONNX"):
        to_onnx(model)
