"""Streams of Pipelines, and masks: step by step as all at once."""

import pickle
from copy import deepcopy

import numpy as np
import pandas as pd
import polars as pl
import pytest
from data import problem
from numerics import assert_close
from saved_streams import WAYS, restored
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
)

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.preprocessing import (
    AppendStatic,
    SequenceDifferences,
    SequenceImputer,
    SequenceScaler,
    SlidingWindow,
    StepTransformer,
    TokenEncoder,
    ToSequences,
)
from sklstm.streaming import SequenceStream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK = {"hidden_layer_sizes": 4, "max_iter": 3, "random_state": 0}

#: Steps before the estimator.
STEPS = {
    "nothing": ["passthrough"],
    "standard": [SequenceScaler()],
    "minmax": [SequenceScaler("minmax", feature_range=(-2, 3))],
    "robust": [SequenceScaler("robust")],
    "differences": [SequenceDifferences()],
    "differences only": [SequenceDifferences(append=False)],
    "windows": [SlidingWindow(3)],
    "strides": [SlidingWindow(3, 2)],
    "wide strides": [SlidingWindow(2, 4)],
    "components": [StepTransformer(PCA(1))],
    "splines": [StepTransformer(SplineTransformer(4, extrapolation="linear"))],
    "union": [StepTransformer(FeatureUnion([("a", StandardScaler()), ("b", PCA(1))]))],
    "channels": [ToSequences(2)],
    "windows of windows": [SlidingWindow(2, 2), SequenceDifferences(), SlidingWindow(3)],
    "nested": [make_pipeline(SequenceDifferences(), SequenceScaler()), None, SlidingWindow(2)],
}
GAPS = {
    "mean": [SequenceImputer()],
    "constant": [SequenceImputer("constant", fill_value=-1)],
    "forward": [SequenceImputer("forward"), SequenceDifferences()],
    "indicator": [SequenceImputer("forward", add_indicator=True), SlidingWindow(2)],
    "mean indicator": [SequenceImputer(add_indicator=True)],
}
every = pytest.mark.parametrize("name", [*STEPS, *GAPS])


def pipeline(name, X, y, estimator=LSTMRegressor, **options):
    steps = deepcopy({**STEPS, **GAPS}[name])
    named = [(f"step{k}", step) for k, step in enumerate(steps)]
    return Pipeline([*named, ("lstm", estimator(**QUICK | options))]).fit(X, y)


def draw(rng, gaps, n=24, n_timesteps=11):
    X, y = problem(rng, n=n, n_timesteps=n_timesteps)
    X = list(100 * X + 7)
    if gaps:
        X = [np.where(rng.random(x.shape) < 0.3, np.nan, x) for x in X]
    return X, y


def predict(model, x, method="predict", per_step=False):
    """What the Pipeline predicts for one sequence; None before the first window."""
    try:
        (found,) = getattr(model, method)([x])
    except ValueError as error:
        if "expected at least width=" not in str(error):
            raise
        return None
    return found[-1] if per_step else found


def check(found, expected):
    """Compare the predictions of a step; an expected None is NaN, or None for a label."""
    for one, other in zip(found, expected, strict=True):
        if other is None:
            assert one is None or np.isnan(one).all()
        elif np.asarray(other).dtype.kind == "f":
            assert_close(np.asarray(one), np.asarray(other), 1e-12)
        else:
            np.testing.assert_array_equal(one, other)


def check_every_prefix(model, X, method="predict", step="step", per_step=False):
    stream = SequenceStream(model, len(X))
    for t in range(len(X[0])):
        found = getattr(stream, step)(np.stack([x[t] for x in X]))
        check(found, [predict(model, x[: t + 1], method, per_step) for x in X])
    np.testing.assert_array_equal(stream.n_steps, len(X[0]))


@every
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean_max"])
def test_a_regressor_on_every_prefix(name, pooling, rng):
    X, y = draw(rng, name in GAPS)
    model = pipeline(name, X, 100.0 * y, pooling=pooling)
    check_every_prefix(model, X[:4])


@pytest.mark.parametrize("name", ["standard", "strides", "windows of windows", "forward"])
def test_a_classifier_on_every_prefix(name, rng):
    X, y = draw(rng, name in GAPS)
    model = pipeline(name, X, np.array(["calm", "wild"])[y], LSTMClassifier)
    check_every_prefix(model, X[:4])
    check_every_prefix(model, X[:4], "predict_proba", "step_proba")


@pytest.mark.parametrize("estimator", [LSTMClassifier, LSTMRegressor])
@pytest.mark.parametrize("name", ["standard", "forward"])
def test_a_model_of_every_step(name, estimator, rng):
    X, _ = draw(rng, name in GAPS)
    y = [(np.nan_to_num(x[:, 0]) > 0).astype(int) for x in X]
    model = pipeline(name, X, y, estimator, return_sequences=True)
    check_every_prefix(model, X[:3], per_step=True)


def test_labels_before_the_first_window_are_none(rng):
    X, y = draw(rng, False)
    labels = np.array(["calm", "wild"])[y]
    stream = SequenceStream(pipeline("windows", X, labels, LSTMClassifier), 2)
    for _ in range(2):
        found = stream.step(np.zeros((2, 2)))
        assert found.dtype == object
        assert found.tolist() == [None, None]
    assert stream.step(np.zeros((2, 2))).dtype == labels.dtype
    stream.reset(0)
    assert stream.step(np.zeros((2, 2)))[0] is None
    assert np.isnan(stream.step_proba(np.zeros((2, 2)))[0]).all()


def test_standard_deviations_and_several_outputs(rng):
    X, y = draw(rng, False)
    targets = np.stack([y, -3.0 * y], axis=1)
    model = pipeline("windows", X, targets, loss="gaussian")
    stream = SequenceStream(model, 2)
    for t in range(5):
        found = stream.step(np.stack([x[t] for x in X[:2]]), return_std=True)
        if t < 2:
            assert all(part.shape == (2, 2) and np.isnan(part).all() for part in found)
        else:
            expected = model.predict([x[: t + 1] for x in X[:2]], return_std=True)
            for one, other in zip(found, expected, strict=True):
                assert_close(one, other, 1e-12)


@every
def test_float32(name, rng):
    X, y = draw(rng, name in GAPS)
    X = [x.astype(np.float32) for x in X]
    model = pipeline(name, X, 100.0 * y)
    stream = SequenceStream(model, 4)
    for t in range(8):
        found = stream.step(np.stack([x[t] for x in X[:4]]))
        for one, x in zip(found, X, strict=False):
            expected = predict(model, x[: t + 1])
            assert np.isnan(one) if expected is None else abs(one - expected) < 1e-3


def test_rows_of_a_table(rng):
    X = problem(rng, n_features=1)[0][:, :, 0]
    model = make_pipeline(
        SequenceDifferences(), StepTransformer(StandardScaler()), LSTMRegressor(**QUICK)
    ).fit(X, X.sum(axis=1))
    stream = SequenceStream(model, n_streams=3)
    for column in X[:3].T:
        found = stream.step(column)
    assert_close(found, model.predict(X[:3]), 1e-12)


def test_tokens(rng):
    words = ["ja", "nein", "da", "doch"]
    X = [[words[k] for k in rng.integers(4, size=6)] for _ in range(20)]
    model = make_pipeline(TokenEncoder(), LSTMClassifier(**QUICK, vocabulary_size=5))
    model.fit(X, [x[0] == "ja" for x in X])
    stream, single = SequenceStream(model, 3), SequenceStream(model)
    for t in range(6):
        found = stream.step_proba([x[t] for x in X[:3]])
        assert_close(found, model.predict_proba([x[: t + 1] for x in X[:3]]), 1e-12)
        assert_close(single.step_proba(X[0][t]), found[:1], 1e-12)
    stream.step(["new", "ja", "da"], mask=[True, False, True])
    with pytest.raises(ValueError, match="expected tokens that are strings, got int"):
        stream.step(["ja", 3, "da"])
    whole = make_pipeline(TokenEncoder(analyzer=str.split), model[-1])
    whole[0].fit([" ".join(x) for x in X])
    with pytest.raises(ValueError, match=r"'tokenencoder' \(TokenEncoder\) .* its analyzer is a"):
        SequenceStream(whole)


# --- masks ---


def stepwise(stream, X, masks, method="step"):
    """Predictions of each call, and the sequences that each stream has seen."""
    seen = [[] for _ in X]
    for mask in masks:
        rows = np.full((len(X), 2), np.inf)  # of streams without a step: not read
        for k in np.flatnonzero(mask):
            rows[k] = X[k][len(seen[k])]
            seen[k].append(rows[k])
        yield getattr(stream, method)(rows, mask=mask), seen


@every
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean_max"])
def test_a_mask_says_which_streams_have_a_step(name, pooling, rng):
    X, y = draw(rng, name in GAPS)
    model = pipeline(name, X, 100.0 * y, pooling=pooling)
    stream, masks = SequenceStream(model, 3), rng.random((11, 3)) < 0.6
    masks[4] = False
    for found, seen in stepwise(stream, X[:3], masks):
        check(found, [predict(model, np.array(x)) if x else None for x in seen])
        np.testing.assert_array_equal(stream.n_steps, [len(x) for x in seen])
    for t in range(3):  # all streams again
        found = stream.step(np.stack([X[k][5 + t] for k in range(3)]))
        prefixes = [np.array([*x, *X[k][5 : 6 + t]]) for k, x in enumerate(seen)]
        check(found, [predict(model, x) for x in prefixes])


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean_max"])
@pytest.mark.parametrize("sizes", [4, (4, 3)])
def test_a_mask_for_an_estimator_alone(pooling, sizes, rng):
    X, y = draw(rng, False)
    X = [x / 100 for x in X]
    options = {**QUICK, "pooling": pooling, "hidden_layer_sizes": sizes}
    model = LSTMRegressor(**options).fit(X, 1.0 * y)
    stream, masks = SequenceStream(model, 3), rng.random((9, 3)) < 0.5
    masks[0] = [False, True, False]
    for found, seen in stepwise(stream, X[:3], masks):
        check(found, [predict(model, np.array(x)) if x else None for x in seen])
        np.testing.assert_array_equal(stream.n_steps, [len(x) for x in seen])
    labels = LSTMClassifier(**options).fit(X, y)
    stream = SequenceStream(labels, 3)
    for found, seen in stepwise(stream, X[:3], masks, "step_proba"):
        check(found, [predict(labels, np.array(x), "predict_proba") if x else None for x in seen])


def test_ragged_sequences_of_real_data(data_folder):
    with np.load(data_folder / "JapaneseVowels.npz") as file:
        X = np.split(file["train_values"], np.cumsum(file["train_lengths"])[:-1])
        y = file["train_y"]
    model = make_pipeline(
        StepTransformer(PCA(6)), SequenceDifferences(), SequenceScaler(), LSTMClassifier(**QUICK)
    ).fit(X, y)
    lengths = np.array([len(x) for x in X])
    padded = np.full((len(X), lengths.max(), 12), np.nan)
    for x, row in zip(X, padded, strict=True):
        row[: len(x)] = x
    stream = SequenceStream(model, len(X))
    for t in range(lengths.max()):
        found = stream.step_proba(padded[:, t], mask=t < lengths)
    np.testing.assert_array_equal(stream.n_steps, lengths)
    assert_close(found, model.predict_proba(X), 1e-12)


@pytest.mark.parametrize("mask", [[True], [1, 0, 1], [[True, True, True]], "all", [None] * 3])
def test_malformed_masks(mask, rng):
    X, y = draw(rng, False)
    for model in (pipeline("standard", X, 1.0 * y), LSTMRegressor(**QUICK).fit(X, 1.0 * y)):
        stream = SequenceStream(model, 3)
        with pytest.raises(ValueError, match=r"mask: expected booleans of shape \(3,\)"):
            stream.step(np.zeros((3, 2)), mask=mask)
        np.testing.assert_array_equal(stream.n_steps, 0)


# --- static features ---


@pytest.fixture
def clinic(rng):
    """Sequences, facts and targets."""
    X, y = draw(rng, True)
    sites = np.array(["north", "south"])[rng.permutation(24) % 2]
    return X, {"age": rng.integers(20, 90, 24), "site": sites}, 1.0 * y


def clinic_model(Frame, X, facts, y):
    static = make_column_transformer((OneHotEncoder(), ["site"]), (StandardScaler(), ["age"]))
    frame = clinic_frame(Frame, X, facts)
    return make_pipeline(
        AppendStatic(static=static),
        SequenceImputer("forward"),
        StepTransformer(StandardScaler()),
        SlidingWindow(2),
        LSTMRegressor(**QUICK),
    ).fit(frame, y)


def clinic_frame(Frame, X, facts):
    if Frame is pd.DataFrame:
        return pd.DataFrame({"series": pd.Series(list(X)), **facts})
    return pl.DataFrame({"series": [x.tolist() for x in X], **facts})


def select(facts, which):
    return {name: values[which] for name, values in facts.items()}


@pytest.mark.parametrize("Frame", [pd.DataFrame, pl.DataFrame])
def test_facts_are_given_at_reset(Frame, clinic):
    X, facts, y = clinic
    model = clinic_model(Frame, X, facts, y)
    stream = SequenceStream(model, 3)
    stream.reset(static=Frame(select(facts, slice(3))))
    for t in range(6):
        found = stream.step(np.stack([x[t] for x in X[:3]]))
    expected = model.predict(clinic_frame(Frame, [x[:6] for x in X[:3]], select(facts, slice(3))))
    assert_close(found, expected, 1e-12)
    stream.reset([2, 0], static=Frame(select(facts, [8, 7])))
    np.testing.assert_array_equal(stream.n_steps, [0, 6, 0])
    for t in range(4):
        found = stream.step(np.stack([X[7][t], X[1][6 + t], X[8][t]]))
    sequences = [X[7][:4], X[1][:10], X[8][:4]]
    expected = model.predict(clinic_frame(Frame, sequences, select(facts, [7, 1, 8])))
    assert_close(found, expected, 1e-12)


def test_channels_by_name_beside_facts(rng):
    cells = [pd.DataFrame(x, columns=["u", "v"]) for x in rng.normal(size=(12, 5, 2))]
    frame = pd.DataFrame({"series": pd.Series(cells), "age": rng.integers(20, 90, 12)})
    model = make_pipeline(AppendStatic(), LSTMRegressor(**QUICK)).fit(frame, frame["age"])
    stream = SequenceStream(model, 2)
    stream.reset(static=frame[["age"]][:2])
    for t in range(5):
        rows = {name: [cell[name][t] for cell in cells[:2]] for name in ("v", "u")}
        found = stream.step(rows if t % 2 else pd.DataFrame(rows)[["u", "v"]])
    assert_close(found, model.predict(frame[:2]), 1e-12)
    with pytest.raises(ValueError, match=r"X_t: expected the features \['u', 'v'\] once each"):
        stream.step({"u": [1.0, 2.0]})


def test_streams_without_facts(clinic):
    X, facts, y = clinic
    model = clinic_model(pd.DataFrame, X, facts, y)
    stream = SequenceStream(model, 2)
    with pytest.raises(ValueError, match=r"stream\(s\) \[0, 1\]: the facts \['age', 'site'\] are"):
        stream.step(np.zeros((2, 2)))
    frame = pd.DataFrame(select(facts, slice(1)))
    stream.reset(1, static=frame)
    before = stream.get_state()
    assert np.isnan(stream.step(np.zeros((2, 2)), mask=[False, True])).all()
    with pytest.raises(ValueError, match=r"stream\(s\) \[0\]: the facts"):
        stream.step(np.zeros((2, 2)))
    wrong = [
        (None, "static: expected a data frame with the columns .* of the 2 stream"),
        (frame, "static: expected one row for each of the 2 stream.* got 1"),
        (frame.to_numpy(), "static: expected a pandas or polars data frame, got ndarray"),
        (pd.DataFrame({"age": [1, 2]}), "static: there is no column 'site'"),
        (pd.DataFrame({"age": [1, 2], "site": ["east", "west"]}), "unknown categories"),
    ]
    stream.set_state(before)
    for static, message in wrong:
        with pytest.raises(ValueError, match=message):
            stream.reset(static=static)
        assert_same_state(stream.get_state(), before)
    for other in (
        pipeline("forward", X, y),
        LSTMRegressor(**QUICK).fit(np.zeros((3, 2, 1)), y[:3]),
    ):
        with pytest.raises(ValueError, match="static: the estimator has no"):
            SequenceStream(other, 1).reset(static=frame)


# --- what X_t may be ---


FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


@pytest.mark.parametrize("library", FRAMES)
def test_columns_of_frames(library, rng):
    Frame, names = FRAMES[library], ["act", "pulse"]
    X = [
        Frame(
            {"act": np.array(["walk", "run"])[rng.integers(2, size=5)], "pulse": rng.normal(size=5)}
        )
        for _ in range(12)
    ]
    columns = make_column_transformer((OneHotEncoder(), ["act"]), (StandardScaler(), ["pulse"]))
    model = make_pipeline(StepTransformer(columns), LSTMRegressor(**QUICK))
    model.fit(X, rng.normal(size=12))
    frames, by_name, alone = (SequenceStream(model, n) for n in (3, 3, 1))
    for t in range(5):
        rows = {name: [x[name][t] for x in X[:3]] for name in names}
        found = frames.step(Frame(rows))
        assert_close(found, model.predict([x[: t + 1] for x in X[:3]]), 1e-12)
        assert_close(by_name.step({name: rows[name] for name in names[::-1]}), found, 1e-12)
        single = {name: rows[name][0] for name in names}
        assert_close(alone.step(pd.Series(single) if t else single), found[:1], 1e-12)
    rows["act"][1] = None
    assert frames.step(Frame(rows), mask=[True, False, True]).shape == (3,)
    with pytest.raises(ValueError, match=r"X_t\[1\], step 5, steptransformer: .*unknown categ"):
        frames.step(Frame(rows))
    with pytest.raises(ValueError, match=r"X_t: expected the columns \['act', 'pulse'\], got"):
        frames.step(Frame(rows)[["pulse", "act"]])
    with pytest.raises(ValueError, match=r"X_t: expected the features \['act', 'pulse'\] once"):
        frames.step({"act": ["run"]})
    with pytest.raises(ValueError, match=r"X_t: expected shape \(3, 2\)"):
        frames.step(Frame(rows)[:2])


@pytest.mark.parametrize("library", FRAMES)
def test_columns_of_earlier_steps(library, clinic):
    """Frames within a Pipeline: what was fitted on frames selects columns by name."""
    X, facts, y = clinic
    Frame, frame = FRAMES[library], clinic_frame(FRAMES[library], X, facts)
    static = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["site"]),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    columns = make_column_transformer((StandardScaler(), ["series_1", "age"]))
    model = make_pipeline(
        AppendStatic(static=static),
        SequenceImputer("forward"),
        StepTransformer(columns),
        LSTMRegressor(**QUICK),
    )
    model.set_output(transform=library).fit(frame, y)
    stream = SequenceStream(model, 2)
    stream.reset(static=Frame(select(facts, slice(2))))
    for t in range(4):
        found = stream.step(np.stack([x[t] for x in X[:2]]))
    expected = model.predict(clinic_frame(Frame, [x[:4] for x in X[:2]], select(facts, slice(2))))
    assert_close(found, expected, 1e-12)


def test_names_and_shapes(rng):
    X, y = draw(rng, False)
    frames = [pd.DataFrame(x, columns=["u", "v"]) for x in X]
    model = pipeline("differences", frames, 1.0 * y)
    stream, other = SequenceStream(model), SequenceStream(model)
    expected = stream.step([[1.0, 2.0]])
    assert_close(other.step({"v": 2.0, "u": 1.0}), expected, 1e-12)
    assert_close(SequenceStream(model).step([1.0, 2.0]), expected, 1e-12)
    before = stream.get_state()
    for shape in ((), (3,), (2, 2), (1, 3)):
        with pytest.raises(ValueError, match=r"X_t: expected shape \(1, 2\)"):
            stream.step(np.zeros(shape))
    with pytest.raises(ValueError, match=r"X_t: .*feature names"):
        stream.step(pd.DataFrame({"v": [1.0], "u": [2.0]}))
    with pytest.raises(ValueError, match="fitted without f"):
        SequenceStream(pipeline("components", X, 1.0 * y)).step({"u": 1.0, "v": 2.0})
    assert_same_state(stream.get_state(), before)


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_a_value_that_is_not_accepted_changes_nothing(name, bad, rng):
    X, y = draw(rng, name in GAPS)
    model = pipeline(name, X, 1.0 * y)
    stream = SequenceStream(model, 3)
    for t in range(5):
        stream.step(np.stack([x[t] for x in X[:3]]))
    stream.reset(1)
    before = stream.get_state()
    rows = np.stack([x[5] for x in X[:3]])
    rows[1, 0] = bad
    windows = "windows" in name or "strides" in name or name in ("nested", "indicator")
    windows |= name == "differences only"  # the first difference is 0
    if np.isnan(bad) and name in GAPS:
        assert stream.step(rows).shape == (3,)
    elif bad < 1e300 and windows:
        return  # the estimator sees the value later
    else:
        with pytest.raises(ValueError, match=r"X_t\[1\], step 0|X_t, step0"):
            stream.step(rows)
        assert_same_state(stream.get_state(), before)
    stream.step(rows, mask=[True, False, True])


# --- state ---


def assert_same_state(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


@every
@pytest.mark.parametrize("way", WAYS)
def test_a_stream_continues_from_a_saved_state(name, way, rng, tmp_path):
    X, y = draw(rng, name in GAPS)
    model = pipeline(name, X, 1.0 * y)
    stream = SequenceStream(model, 2)
    steps = [np.stack([x[t] for x in X[:2]]) for t in range(11)]
    for x_t in steps[:5]:
        stream.step(x_t)
    stream.reset(1)
    other = restored(stream, model, way, tmp_path)
    np.testing.assert_array_equal(other.n_steps, [5, 0])
    for x_t in steps[5:]:
        np.testing.assert_array_equal(other.step(x_t), stream.step(x_t))


def test_facts_are_part_of_the_state(clinic):
    X, facts, y = clinic
    model = clinic_model(pd.DataFrame, X, facts, y)
    stream = SequenceStream(model, 2)
    stream.reset(static=pd.DataFrame(select(facts, slice(2))))
    other = pickle.loads(pickle.dumps(stream))
    for t in range(4):
        x_t = np.stack([x[t] for x in X[:2]])
        np.testing.assert_array_equal(other.step(x_t), stream.step(x_t))


def test_impossible_states_are_refused_and_nothing_changed(rng):
    X, y = draw(rng, True)
    model = pipeline("indicator", X, 1.0 * y)
    stream = SequenceStream(model, 2)
    for t in range(3):
        stream.step(np.stack([x[t] for x in X[:2]]))
    before = stream.get_state()
    assert {"n_steps", "n_predicted", "step0.observed", "step1.window"} < before.keys()
    for name, value in [
        ("step0.observed", np.inf),
        ("step1.window", -np.inf),
        ("step1.n_steps", -1),
        ("n_predicted", 0.5),
        ("n_steps", np.nan),
        ("step0.observed", "x"),
    ]:
        bad = before[name].astype(np.result_type(before[name], np.asarray(value)))
        bad[(0,) * bad.ndim] = value
        with pytest.raises(ValueError, match=rf"state\['{name}'\]: expected .*, got"):
            stream.set_state({**before, name: bad})
        with pytest.raises(ValueError, match=rf"state\['{name}'\]: expected .* of shape"):
            stream.set_state({**before, name: before[name][:1]})
        assert_same_state(stream.get_state(), before)
    with pytest.raises(ValueError, match="state: expected the keys"):
        stream.set_state(SequenceStream(model[-1], 2).get_state())


def test_a_later_fit_does_not_change_the_stream(rng):
    X, y = draw(rng, False)
    for name in STEPS:
        model = pipeline(name, X, 1.0 * y)
        stream, untouched = SequenceStream(model, 2), SequenceStream(deepcopy(model), 2)
        model.fit([9 * x for x in X], -5.0 * y)
        for t in range(6):
            x_t = np.stack([x[t] for x in X[:2]])
            np.testing.assert_array_equal(stream.step(x_t), untouched.step(x_t))


# --- what cannot be streamed ---


REFUSED = [
    (SequenceScaler(per_sequence=True), ValueError, "per_sequence=True needs all time steps"),
    (SequenceImputer("linear"), ValueError, 'strategy="linear" needs later time steps'),
    (SlidingWindow(2, align="end"), ValueError, 'align="end" needs the last time step'),
    (FunctionTransformer(), TypeError, r"StepTransformer\(...\)"),
]


@pytest.mark.parametrize(("step", "error", "message"), REFUSED, ids=str)
@pytest.mark.parametrize("nested", [False, True])
def test_a_step_that_needs_whole_sequences_is_refused_by_name(step, error, message, nested, rng):
    X, y = draw(rng, False)
    inner = Pipeline([("odd", step)])
    model = Pipeline(
        [
            ("scaler", SequenceScaler()),
            ("inner", inner) if nested else ("odd", step),
            ("lstm", LSTMRegressor(**QUICK)),
        ]
    ).fit(X, 1.0 * y)
    name = "inner__odd" if nested else "odd"
    with pytest.raises(error, match=rf"the step '{name}' \({type(step).__name__}\) .*{message}"):
        SequenceStream(model)


def test_values_that_become_time_steps_are_refused(rng):
    X = rng.normal(size=(20, 8))
    model = make_pipeline(ToSequences(2), LSTMRegressor(**QUICK)).fit(X, X.sum(axis=1))
    with pytest.raises(ValueError, match=r"'tosequences' \(ToSequences\) .* several values"):
        SequenceStream(model)


def test_pipelines_that_cannot_be_streamed(rng):
    X, y = draw(rng, False)
    model = make_pipeline(SequenceScaler(), LSTMRegressor(**QUICK))
    with pytest.raises(NotFittedError):
        SequenceStream(model)
    model.fit(X, 1.0 * y)
    for last, got in ((StandardScaler(), "StandardScaler"), ("passthrough", "passthrough")):
        other = Pipeline([("scaler", SequenceScaler()), ("last", last)])
        with pytest.raises(TypeError, match=f"got a Pipeline that ends with {got}"):
            SequenceStream(other)
    with pytest.raises(ValueError, match="n_streams: expected a positive integer"):
        SequenceStream(model, 0)
    with pytest.raises(AttributeError, match="expected a classifier, got LSTMRegressor"):
        SequenceStream(model).step_proba([1.0, 2.0])
    bidirectional = pipeline("standard", X, 1.0 * y, bidirectional=True)
    with pytest.raises(ValueError, match="bidirectional LSTMRegressor needs the last time step"):
        SequenceStream(bidirectional)
