"""Samples that early stopping holds out or is given, their weights, and how they are scored."""

from math import ceil

import numpy as np
import pandas as pd
import pytest
import sklearn
from data import SMALL, assert_same_fit, cut, names, problem
from sklearn.base import clone
from sklearn.metrics import accuracy_score, get_scorer, log_loss, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupShuffleSplit,
    KFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.pipeline import Pipeline

from sklstm import LSTMClassifier, LSTMRegressor, metrics
from sklstm.preprocessing import SequenceScaler

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

both = pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])
STOPPING = SMALL | {"early_stopping": True, "learning_rate": "constant"}


class Recorder:
    """A scorer that keeps what it is given; its scores fall from the epoch ``best`` on."""

    def __init__(self, best=0):
        self.best, self.n_calls, self.weights = best, 0, "none"

    def __call__(self, estimator, X, y, **weights):
        self.n_calls += 1
        self.X, self.y, self.weights = X, y, weights.get("sample_weight", "none")
        self.prediction = estimator.predict(X)
        return -abs(self.n_calls - self.best)


def held_out(estimator, X, y, **given):
    """The targets of the samples that are held out; ``y`` must tell all samples apart."""
    recorder = Recorder()
    estimator.set_params(scoring=recorder).fit(X, y, **given)
    return np.asarray(recorder.y)


# --- which samples are held out ---


@pytest.mark.parametrize("seed", range(6))
def test_samples_at_random_have_the_shares_of_the_classes(seed):
    X, y = np.zeros((50, 3, 1)), np.repeat([0, 1], [40, 10])
    model = LSTMClassifier(**STOPPING, validation_fraction=0.2, random_state=seed)
    assert np.bincount(held_out(model, X, y)).tolist() == [8, 2]


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_the_last_fraction_is_held_out_in_the_order_given(fraction, rng):
    X, _ = problem(rng, n=30)
    y = rng.permutation(30) + 0.5
    model = LSTMRegressor(**STOPPING, validation_splitter="last", validation_fraction=fraction)
    n_held_out = ceil(30 * fraction)
    np.testing.assert_array_equal(held_out(model, X, y), y[-n_held_out:])
    kept = LSTMRegressor(**SMALL, learning_rate="constant").fit(X[:-n_held_out], y[:-n_held_out])
    np.testing.assert_array_equal(model.input_mean_, kept.input_mean_)


def test_the_last_split_of_a_splitter_is_used(rng):
    X, y = problem(rng, n=30)[0], np.arange(30.0)
    splitter = TimeSeriesSplit(4, gap=3)
    model = LSTMRegressor(**STOPPING, validation_splitter=splitter)
    *_, (kept, expected) = splitter.split(X)
    np.testing.assert_array_equal(held_out(model, X, y), y[expected])
    trained = LSTMRegressor(**SMALL).fit(X[kept], y[kept])
    np.testing.assert_array_equal(model.input_mean_, trained.input_mean_)


@pytest.mark.parametrize("weighted", [False, True])
def test_groups_are_not_divided(weighted, rng, seed):
    X, y = problem(rng, n=40)[0], np.arange(40.0)
    groups = np.array(list("abcdefgh"))[rng.integers(0, 8, 40)]
    weights = (rng.random(40) < 0.7).astype(float) if weighted else np.ones(40)
    splitter = GroupShuffleSplit(1, test_size=0.4)
    model = LSTMRegressor(**STOPPING, validation_splitter=splitter, random_state=seed)
    given = {"groups": groups, "sample_weight": weights}
    found = held_out(model, list(X), y, **given).astype(int)
    assert weights[found].all()
    used = np.flatnonzero(weights)
    assert set(groups[found]).isdisjoint(groups[np.setdiff1d(used, found)])
    assert set(found) == {k for k in used if groups[k] in set(groups[found])}
    np.testing.assert_array_equal(held_out(clone(model), list(X), y, **given), found)
    assert splitter.random_state is None


def test_a_splitter_sees_labels(rng, seed):
    X, y = problem(rng, n=40, n_classes=4)
    splitter = StratifiedShuffleSplit(1, test_size=0.2, random_state=seed)
    model = LSTMClassifier(**STOPPING, validation_splitter=splitter)
    labels = np.array(["a", "b", "c", "d"])[y]
    assert sorted(held_out(model, X, labels)) == sorted(2 * ["a", "b", "c", "d"])


def test_a_warm_start_holds_out_the_same_samples(rng):
    X, y = problem(rng, n=30)[0], np.arange(30.0)
    splitter = GroupShuffleSplit(1, test_size=0.3)
    model = LSTMRegressor(**STOPPING, warm_start=True, validation_splitter=splitter)
    given = {"groups": np.arange(30) // 3}
    first = held_out(model, X, y, **given)
    np.testing.assert_array_equal(held_out(model, X, y, **given), first)


def test_without_early_stopping_no_samples_are_held_out(rng, seed):
    X, y = problem(rng, n=30)
    plain = LSTMClassifier(**SMALL, random_state=seed)
    other = clone(plain).set_params(validation_splitter=TimeSeriesSplit(2), scoring="accuracy")
    assert_same_fit(plain.fit(X, y), other.fit(X, y, groups=y))
    assert other.validation_scores_ == []


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        ({"validation_splitter": "first"}, {}, "'validation_splitter' parameter of LSTMRegressor"),
        ({"validation_splitter": "last", "validation_fraction": 0.99}, {}, "leaves no sample to"),
        ({}, {"groups": np.zeros(30)}, "groups: expected None with validation_splitter='random'"),
        (
            {"validation_splitter": GroupShuffleSplit()}, {"groups": np.zeros(29)},
            r"groups: expected shape \(30,\), one for each sample, got \(29,\)",
        ),
        ({"validation_splitter": GroupShuffleSplit()}, {}, "'groups' parameter should not be None"),
        ({"scoring": "no such"}, {}, "no such"),
    ],
)  # fmt: skip
def test_what_cannot_be_divided_or_scored(options, given, message, rng):
    X, y = problem(rng, n=30)
    model = LSTMRegressor(**STOPPING, **options)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, **given)
    assert not hasattr(model, "input_mean_")


class Fixed:
    """A splitter with these splits."""

    def __init__(self, *splits):
        self.splits = splits

    def split(self, X, y=None, groups=None):
        return iter(self.splits)

    def get_n_splits(self, X=None, y=None, groups=None):
        return len(self.splits)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([], "expected at least one split, got none"),
        ([([0, 1], [])], "got 2 and 0, of which 0 are the same"),
        ([([], [0, 1])], "got 0 and 2, of which 0 are the same"),
        ([([0, 1, 2], [2, 1, 5])], "got 3 and 3, of which 2 are the same"),
    ],
)
def test_a_split_that_cannot_be_used(splits, message, rng):
    X, y = problem(rng, n=30)
    splits = [tuple(np.array(part, int) for part in split) for split in splits]
    model = LSTMClassifier(**STOPPING, validation_splitter=Fixed(*splits))
    with pytest.raises(ValueError, match=f"validation_splitter: .*{message}"):
        model.fit(X, y)


# --- scores ---

SCORERS = {
    "name": ("accuracy", lambda model, X, y: accuracy_score(y, model.predict(X))),
    "loss": ("neg_log_loss", lambda model, X, y: -log_loss(y, model.predict_proba(X))),
    "None": (None, lambda model, X, y: model.score(X, y)),
    "scorer": (get_scorer("f1"), get_scorer("f1")),
    "function": (lambda model, X, y: float(model.predict(X)[0]), lambda m, X, y: m.predict(X)[0]),
}


@pytest.mark.parametrize("name", SCORERS)
def test_the_score_is_that_of_the_estimator_after_each_epoch(name, rng, seed):
    X, y = problem(rng, n=60)
    X_val, y_val = problem(rng, n=20)
    scoring, expected = SCORERS[name]
    options = SMALL | {"learning_rate": "constant", "random_state": seed}
    model = LSTMClassifier(**options, scoring=scoring).fit(X, y, X_val=X_val, y_val=y_val)
    parts = [LSTMClassifier(**options | {"max_iter": k}).fit(X, y) for k in (1, 2, 3)]
    scores = [expected(part, X_val, y_val) for part in parts]
    np.testing.assert_allclose(model.validation_scores_, scores, 1e-9)
    assert_same_fit(model, parts[-1])


@both
def test_the_best_epoch_by_score_is_kept(Estimator, rng, seed):
    X, y = problem(rng, n=40)
    recorder = Recorder(best=2)
    options = STOPPING | {"max_iter": 4, "random_state": seed, "validation_splitter": "last"}
    model = Estimator(**options, scoring=recorder).fit(X, y)
    assert model.validation_scores_ == [-1, 0, -1, -2]
    assert model.best_iteration_ == 2
    assert model.best_validation_score_ == 0
    shorter = Estimator(**options | {"max_iter": 2}, scoring=Recorder(best=2)).fit(X, y)
    assert_same_fit(model, shorter)
    stopped = Estimator(**options | {"max_iter": 50, "n_iter_no_change": 3}, scoring=Recorder(2))
    assert stopped.fit(X, y).n_iter_ == 6


FORMS = {
    "table": lambda X: X[:, :, 0],
    "frame": lambda X: pd.DataFrame(X[:, :, 0], columns=names(X.shape[1])),
    "3-D": lambda X: X,
    "ragged": lambda X: [x[: 1 + k % 6] for k, x in enumerate(X)],
    "univariate": lambda X: [x[:, 0] for x in X],
    "frames": lambda X: [pd.DataFrame(x, columns=names(2)) for x in X],
}


@both
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options", [{}, {"scale_inputs": False, "dtype": "float32"}])
def test_held_out_samples_of_every_form_are_scored(Estimator, form, options, rng, seed):
    X, y = problem(rng, n=30)
    X, recorder = FORMS[form](X), Recorder(best=3)
    model = Estimator(**STOPPING, **options, random_state=seed, validation_splitter="last")
    model.set_params(scoring=recorder, validation_fraction=0.2).fit(X, y)
    part = X.iloc[-6:] if hasattr(X, "iloc") else X[-6:]
    np.testing.assert_array_equal(recorder.prediction, model.predict(part))
    np.testing.assert_array_equal(recorder.y, y[-6:])


def test_tokens_are_scored(rng):
    X, y = [rng.integers(0, 5, 4) for _ in range(20)], np.arange(20) % 2
    recorder = Recorder(best=3)
    model = LSTMClassifier(**STOPPING, vocabulary_size=5, validation_splitter="last")
    model.set_params(scoring=recorder).fit(X, y)
    np.testing.assert_array_equal(recorder.prediction, model.predict(X[-2:]))


@pytest.mark.parametrize("as_array", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_steps_are_scored_by_the_scorers_of_steps(as_array, weighted, rng, seed):
    X, _ = problem(rng, n=30)
    X = X if as_array else cut(X, rng)
    tags = [np.where(x[:, 0] > 0, "up", "down") for x in X]
    tags = np.array(tags) if as_array else tags
    weights = [rng.uniform(0.5, 2, len(x)) for x in X] if weighted else None
    options = STOPPING | {"max_iter": 1, "validation_splitter": "last", "random_state": seed}
    model = LSTMClassifier(**options, return_sequences=True, scoring="f1_macro")
    model.fit(X, tags, weights)
    scorer, held_out_weights = metrics.get_scorer("f1_macro"), weights and weights[-3:]
    expected = scorer(model, X[-3:], tags[-3:], sample_weight=held_out_weights)
    assert model.validation_scores_ == [pytest.approx(expected, rel=1e-9)]


def test_several_outputs_and_frames_of_targets_are_scored(rng, seed):
    X, y = problem(rng, n=30)
    Y = pd.DataFrame({"a": y + 0.5, "b": -y})
    options = STOPPING | {"max_iter": 1, "validation_splitter": "last", "random_state": seed}
    model = LSTMRegressor(**options, scoring="r2").fit(X, Y)
    expected = r2_score(Y.iloc[-3:], model.predict(X[-3:]))
    assert model.validation_scores_ == [pytest.approx(expected, rel=1e-9)]


@pytest.mark.parametrize("value", [np.nan, "high", None, np.inf])
def test_a_score_must_be_a_number(value, rng):
    X, y = problem(rng, n=30)
    model = LSTMClassifier(**STOPPING, scoring=lambda model, X, y: value)
    with pytest.raises(ValueError, match="scoring: expected a finite number from the scorer, got"):
        model.fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scores_have_the_same_bits_for_any_number_of_threads(solver, rng, seed, threads_pay):
    X, y = problem(rng, n=60)
    options = STOPPING | {"random_state": seed, "solver": solver, "scoring": "neg_log_loss"}
    one, two = (LSTMClassifier(**options, n_jobs=k).fit(X, y) for k in (1, 2))
    assert one.validation_scores_ == two.validation_scores_
    assert_same_fit(one, two)


# --- weights of validation samples ---


@pytest.mark.parametrize("scoring", ["loss", "accuracy"])
def test_a_validation_sample_of_weight_two_counts_twice(scoring, rng, seed):
    X, y = problem(rng, n=40)
    X_val, y_val = problem(rng, n=12)
    weights = rng.integers(0, 4, 12)
    weights[0] = 1
    model = LSTMClassifier(**STOPPING, random_state=seed, scoring=scoring)
    weighted = clone(model).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weights)
    repeated = model.fit(
        X, y, X_val=np.repeat(X_val, weights, axis=0), y_val=np.repeat(y_val, weights)
    )
    np.testing.assert_allclose(weighted.validation_scores_, repeated.validation_scores_, 1e-9)
    assert_same_fit(weighted, repeated)


def test_scorers_are_given_the_weights(rng):
    X, y = problem(rng, n=40)
    recorder, weights = Recorder(), rng.uniform(0.5, 2, 40)
    model = LSTMClassifier(**STOPPING, validation_splitter="last", scoring=recorder)
    model.fit(X, y, weights)
    np.testing.assert_array_equal(recorder.weights, weights[-4:])
    model.fit(X, y, weights, X_val=X[:7], y_val=y[:7])
    assert recorder.weights == "none"
    model.fit(X, y, X_val=X[:7], y_val=y[:7], sample_weight_val=weights[:7].tolist())
    assert recorder.weights == weights[:7].tolist()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["X_val"], "expected X_val and y_val together, got only X_val$"),
        (["y_val"], "expected X_val and y_val together, got only y_val$"),
        (["sample_weight_val"], "expected X_val and y_val together, got only sample_weight_val$"),
        (["y_val", "sample_weight_val"], "got only y_val and sample_weight_val$"),
    ],
)
def test_validation_data_without_a_part(given, message, rng):
    X, y = problem(rng)
    data = {"X_val": X, "y_val": y, "sample_weight_val": np.ones(24)}
    with pytest.raises(ValueError, match=message):
        LSTMClassifier(**SMALL).fit(X, y, **{name: data[name] for name in given})


@pytest.mark.parametrize("weights", [-np.ones(24), np.ones(23), np.zeros(24)])
def test_wrong_validation_weights_are_named(weights, rng):
    X, y = problem(rng)
    with pytest.raises(ValueError, match=r"^Validation data \(X_val, y_val\): sample_weight"):
        LSTMClassifier(**SMALL).fit(X, y, X_val=X, y_val=y, sample_weight_val=weights)


# --- within searches and pipelines ---


def test_a_search_holds_out_samples_of_each_fold(rng, seed):
    X, y = problem(rng, n=40)
    recorded = []

    def scorer(model, X, y):
        recorded.append(len(y))
        return accuracy_score(y, model.predict(X))

    model = LSTMClassifier(**STOPPING, random_state=seed, scoring=scorer, validation_fraction=0.2)
    grid = {"validation_splitter": ["random", "last", TimeSeriesSplit(2)]}
    search = GridSearchCV(model, grid, cv=KFold(2), error_score="raise").fit(list(X), y)
    assert search.n_features_in_ == 2
    assert {4, 6} < set(recorded) <= {4, 6, 8, 13}  # fifths and thirds of 20 in the folds, of 40


@pytest.mark.parametrize("routing", [False, True])
def test_groups_reach_the_splitter_within_a_search(routing, rng, seed):
    X, y = problem(rng, n=48)
    groups = np.arange(48) // 4
    model = LSTMClassifier(
        **STOPPING, random_state=seed, validation_splitter=GroupShuffleSplit(1, test_size=0.4)
    )
    with sklearn.config_context(enable_metadata_routing=routing):
        if routing:
            model.set_fit_request(groups=True)
        steps = Pipeline([("scale", SequenceScaler()), ("lstm", model)])
        search = GridSearchCV(steps, {"lstm__alpha": [0.0, 0.1]}, cv=KFold(2), error_score="raise")
        search.fit(X, y, **{"groups" if routing else "lstm__groups": groups})
    assert len(search.best_estimator_[-1].validation_scores_) == 3


def test_a_pipeline_transforms_the_validation_data(rng, seed):
    X, y = problem(rng, n=40)
    X_val, y_val = problem(rng, n=20)
    X, X_val = 1e3 * X + 7e4, 1e3 * X_val + 7e4
    with sklearn.config_context(enable_metadata_routing=True):
        model = LSTMClassifier(**STOPPING, random_state=seed, scale_inputs=False)
        model.set_fit_request(X_val=True, y_val=True)
        steps = [("scale", SequenceScaler()), ("lstm", model)]
        pipeline = Pipeline(steps, transform_input=["X_val"]).fit(X, y, X_val=X_val, y_val=y_val)
    scaler = SequenceScaler().fit(X)
    expected = clone(model).fit(scaler.transform(X), y, X_val=scaler.transform(X_val), y_val=y_val)
    assert pipeline[-1].validation_scores_ == expected.validation_scores_


@pytest.mark.parametrize("name", ["X_val", "y_val", "sample_weight_val", "groups"])
def test_metadata_can_be_requested(name):
    with sklearn.config_context(enable_metadata_routing=True):
        model = LSTMClassifier().set_fit_request(**{name: True})
        assert model.get_metadata_routing().fit.requests[name] is True
