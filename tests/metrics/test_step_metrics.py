"""Metrics and scorers of per-step targets, against scikit-learn's on steps flattened by hand."""

import copy
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    LeaveOneOut,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklstm import LSTMClassifier, metrics

LABELS = {
    "two numbers": np.array([0, 1]),
    "two strings": np.array(["off", "on"]),
    "three strings": np.array(["noun", "verb", "x"]),
    "objects": np.array(["noun", "verb", "x"], dtype=object),
}
CLASSIFICATION = {
    "accuracy": {},
    "balanced_accuracy": {},
    "f1_macro": {"average": "macro"},
    "f1_micro": {"average": "micro"},
    "f1_weighted": {"average": "weighted"},
}
REGRESSION = ["r2", "mean_squared_error", "mean_absolute_error"]


def draw_lengths(rng, n=12, shortest=3):
    return rng.integers(shortest, shortest + 6, size=n)


def draw_labels(rng, lengths, classes):
    """Labels of each step; every class occurs in every sequence."""
    labels = [rng.choice(classes, size=length) for length in lengths]
    for steps in labels:
        steps[rng.permutation(len(steps))[: len(classes)]] = classes
    return labels


def draw_features(rng, labels, classes):
    """One feature that tells the label, with noise."""
    codes = [np.searchsorted(classes.astype(str), y.astype(str)) for y in labels]
    return [c[:, None] + rng.normal(scale=0.6, size=(len(c), 1)) for c in codes]


def draw_probabilities(rng, lengths, n_classes):
    drawn = [rng.uniform(0.05, 1, size=(length, n_classes)) for length in lengths]
    return [p / p.sum(axis=1, keepdims=True) for p in drawn]


def objects(parts):
    array = np.empty(len(parts), dtype=object)
    array[:] = parts
    return array


def step_weights(rng, lengths):
    """Some steps count twice, some half."""
    return [rng.choice([0.5, 1, 2], size=length) for length in lengths]


FORMS = {
    "list": list,
    "tuple": tuple,
    "object array": objects,
    "nested lists": lambda parts: [part.tolist() for part in parts],
    "pandas series": lambda parts: [pd.Series(part) for part in parts],
}


def metric_of(name):
    """A function here, its namesake in scikit-learn and their options."""
    if name.startswith("f1"):
        return metrics.f1_score, sklearn.metrics.f1_score, CLASSIFICATION[name]
    full = name if name.endswith(("error", "loss")) else f"{name}_score"
    return getattr(metrics, full), getattr(sklearn.metrics, full), {}


# --- functions ---


@pytest.mark.parametrize("weighted", ["none", "sequences", "steps"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_label_metrics_are_those_of_the_flat_steps(name, labels, form, weighted, rng):
    lengths, classes = draw_lengths(rng), LABELS[labels]
    y_true, y_pred = draw_labels(rng, lengths, classes), draw_labels(rng, lengths, classes)
    weight, flat_weight = weights_of(weighted, rng, lengths)
    metric, reference, options = metric_of(name)
    found = metric(FORMS[form](y_true), FORMS[form](y_pred), sample_weight=weight, **options)
    expected = reference(
        np.concatenate(y_true), np.concatenate(y_pred), sample_weight=flat_weight, **options
    )
    assert found == pytest.approx(expected, rel=1e-12)
    assert found < 1


def weights_of(kind, rng, lengths):
    """Weights as they are passed, and one for each of the flat steps."""
    if kind == "none":
        return None, None
    if kind == "sequences":
        weight = rng.uniform(0.5, 2, size=len(lengths))
        return weight, np.repeat(weight, lengths)
    weight = step_weights(rng, lengths)
    return weight, np.concatenate(weight)


@pytest.mark.parametrize("weighted", ["none", "sequences", "steps"])
@pytest.mark.parametrize("n_outputs", [None, 1, 3])
@pytest.mark.parametrize("name", REGRESSION)
def test_errors_are_those_of_the_flat_steps(name, n_outputs, weighted, rng):
    lengths = draw_lengths(rng)
    shapes = [(k,) if n_outputs is None else (k, n_outputs) for k in lengths]
    y_true, y_pred = ([rng.normal(size=shape) for shape in shapes] for _ in range(2))
    weight, flat_weight = weights_of(weighted, rng, lengths)
    metric, reference, _ = metric_of(name)
    flat = np.concatenate(y_true), np.concatenate(y_pred)
    for options in ({}, {"multioutput": "raw_values"}):
        found = metric(y_true, y_pred, sample_weight=weight, **options)
        expected = reference(*flat, sample_weight=flat_weight, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("weighted", ["none", "sequences", "steps"])
@pytest.mark.parametrize("labels", LABELS)
def test_log_loss_is_that_of_the_flat_steps(labels, weighted, rng):
    lengths, classes = draw_lengths(rng), LABELS[labels]
    y_true = draw_labels(rng, lengths, classes)
    proba = draw_probabilities(rng, lengths, len(classes))
    weight, flat_weight = weights_of(weighted, rng, lengths)
    found = metrics.log_loss(y_true, proba, sample_weight=weight)
    chosen = np.concatenate(proba)[np.concatenate(y_true)[:, None] == classes]
    assert found == pytest.approx(np.average(-np.log(chosen), weights=flat_weight), rel=1e-12)


def test_log_loss_takes_the_labels_of_the_columns():
    y_true, proba = [["b"], ["b", "b"]], [[[0.5, 0.25, 0.25]], [[0.25, 0.25, 0.5]] * 2]
    found = metrics.log_loss(y_true, proba, labels=["a", "b", "c"])
    assert found == pytest.approx(np.log(4), rel=1e-12)


def test_arrays_and_lists_of_the_same_steps_are_scored_alike(rng):
    y_true, y_pred = rng.integers(3, size=(2, 8, 30))
    expected = sklearn.metrics.accuracy_score(y_true.ravel(), y_pred.ravel())
    for true in (y_true, list(y_true), pd.DataFrame(y_true)):
        for predicted in (y_pred, objects(list(y_pred))):
            assert metrics.accuracy_score(true, predicted) == pytest.approx(expected, rel=1e-12)
    y_true, y_pred = rng.normal(size=(2, 8, 30, 2))
    expected = ((y_true - y_pred) ** 2).mean()
    assert metrics.mean_squared_error(y_true, list(y_pred)) == pytest.approx(expected, rel=1e-12)


# --- padding ---


def pad(parts, n_timesteps, filling):
    """One array out of sequences, filled up where they end."""
    kind = float if isinstance(filling, int | float) else object
    array = np.full((len(parts), n_timesteps, *np.shape(parts[0])[1:]), filling, kind)
    for k, part in enumerate(parts):
        array[k, : len(part)] = part
    return array


@pytest.mark.parametrize("true_as", ["array", "list"])
@pytest.mark.parametrize("labels", ["two numbers", "three strings"])
def test_predictions_say_where_padding_begins(labels, true_as, rng):
    classes, lengths = LABELS[labels], draw_lengths(rng)
    true, predicted, weight = (draw_labels(rng, lengths, classes) for _ in range(3))
    weight = [rng.uniform(1, 2, len(part)) for part in weight]
    expected = metrics.accuracy_score(true, predicted, sample_weight=weight)
    filling = None if classes.dtype.kind == "U" else float("nan")
    y_pred = pad(predicted, 12, filling)
    y_true = pad(true, 12, classes[0].item()) if true_as == "array" else true
    if true_as == "array":
        y_true = y_true.astype(classes.dtype)
    for given in (weight, pad(weight, 12, 1.0)):
        found = metrics.accuracy_score(y_true, y_pred, sample_weight=given)
        assert found == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match=r"y_pred\[1\]: expected .* step"):
        metrics.accuracy_score([*y_true[:1], y_true[1][:2], *y_true[2:]], y_pred)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "f1_macro"])
def test_padded_arrays_are_scored_in_each_fold_like_lists(scoring, rng):
    classes, lengths = np.array([0, 1]), draw_lengths(rng)
    y = draw_labels(rng, lengths, classes)
    X = draw_features(rng, y, classes)
    model = LSTMClassifier(2, return_sequences=True, max_iter=5, tol=10, n_iter_no_change=1)
    model.set_params(random_state=0)
    scorer = metrics.get_scorer(scoring)
    expected = cross_val_score(model, X, y, scoring=scorer, cv=2, error_score="raise")
    padded = pad(X, 12, np.nan), pad(y, 12, 0).astype(int)
    found = cross_val_score(model, *padded, scoring=scorer, cv=2, error_score="raise")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


# --- flattening and weights ---


def test_flattening_lays_the_steps_of_sequences_one_below_the_other(rng):
    lengths = draw_lengths(rng, n=rng.integers(1, 10), shortest=1)
    y_true = [rng.integers(9, size=k) for k in lengths]
    y_pred = [rng.normal(size=(k, 4)) for k in lengths]
    weight = [rng.choice([0, 1, 3], size=k) for k in lengths]
    weight[0][0] = 1
    true, predicted, flat_weight = metrics.flatten_steps(y_true, y_pred, weight)
    triples = [
        (y_true[i][t], y_pred[i][t].tolist(), weight[i][t])
        for i, length in enumerate(lengths)
        for t in range(length)
        if weight[i][t] > 0
    ]
    found = zip(true, predicted.tolist(), flat_weight, strict=True)
    assert list(found) == triples
    assert metrics.flatten_steps(y_true, y_pred)[2] is None
    assert len(metrics.flatten_steps(y_true, y_pred)[0]) == lengths.sum()


@pytest.mark.parametrize("weight", [[[1, 1, 0], [1, 0]], [[2, 2, 0], [2, 0]]])
def test_steps_of_weight_zero_are_left_out_whatever_their_targets(weight):
    y_true, y_pred = [["a", "b", "rare"], ["a", "never"]], [["a", "b", "a"], ["b", "c"]]
    kept = [["a", "b"], ["a"]], [["a", "b"], ["b"]]
    for name, options in CLASSIFICATION.items():
        metric = metric_of(name)[0]
        found = metric(y_true, y_pred, sample_weight=weight, **options)
        assert found == pytest.approx(metric(*kept, **options), rel=1e-12)
    y_true, y_pred = [[1.0, 2.0, np.nan], [4.0, 5.0]], [[1.0, 1.0, 7.0], [4.5, np.inf]]
    found = metrics.mean_absolute_error(y_true, y_pred, sample_weight=weight)
    assert found == pytest.approx(0.5, rel=1e-12)


def test_a_sequence_of_weight_zero_is_left_out():
    y_true, y_pred = [[1.0, 2.0], [np.nan]], [[2.0, 2.0], [0.0]]
    assert metrics.mean_squared_error(y_true, y_pred, sample_weight=[3, 0]) == 0.5


def test_a_weight_of_two_is_a_step_given_twice(rng):
    y_true, y_pred = rng.normal(size=(2, 5, 4))
    weight = rng.integers(1, 3, size=(5, 4))
    twice = [np.repeat(y, w) for y, w in zip(y_true, weight, strict=True)]
    twice_pred = [np.repeat(y, w) for y, w in zip(y_pred, weight, strict=True)]
    for name in REGRESSION:
        metric = metric_of(name)[0]
        found = metric(y_true, y_pred, sample_weight=weight)
        assert found == pytest.approx(metric(twice, twice_pred), rel=1e-9)


ERRORS = [
    ({"y_pred": [[1, 1], [1, 1]]}, "y_pred[1]: expected 3 step(s) as in y_true[1], got 2"),
    ({"y_pred": [[1, 1]]}, "y_pred: expected 2, one for each sequence in y_true, got 1"),
    ({"y_true": [1, 0]}, "y_true[0]: expected one sequence, of shape"),
    ({"y_true": 1}, "y_true: expected an array or a list of arrays, one a sequence, got int"),
    ({"y_true": [[1, 0], []]}, "y_true[1]: expected at least one time step"),
    ({"y_true": []}, "y_true: expected at least one sequence, got none"),
    (
        {"y_pred": [np.ones((2, 2)), np.ones((3, 3))]},
        "y_pred[1]: expected 2 feature(s) as in y_pred[0], got 3 feature(s)",
    ),
    ({"sample_weight": [1, 1, 1]}, "sample_weight: expected 2, one for each sequence in y_true"),
    ({"sample_weight": 2}, "sample_weight: expected an array or a list, got 2"),
    (
        {"sample_weight": [[1, 1], [1, 1]]},
        "sample_weight[1]: expected 3 step(s) as in y_true[1], got 2",
    ),
    (
        {"sample_weight": [[1, 1], [1, 1, -1]]},
        "sample_weight[1]: expected finite weights, zero or more, got -1.0 at step 2",
    ),
    ({"sample_weight": [1, np.nan]}, "sample_weight[1]: expected finite weights"),
    ({"sample_weight": [0, 0]}, "sample_weight: expected a step with a weight above zero"),
    ({"sample_weight": ["a", "b"]}, "sample_weight: expected numbers, got dtype"),
    (
        {"sample_weight": [np.ones((2, 1)), np.ones((3, 1))]},
        "sample_weight[0]: expected one weight a step, got shape (2, 1)",
    ),
]


@pytest.mark.parametrize(("change", "message"), ERRORS)
def test_errors_name_the_sequence(change, message):
    arguments = {"y_true": [[1, 0], [0, 0, 1]], "y_pred": [[1, 0], [0, 0, 1]]} | change
    with pytest.raises(ValueError, match=re.escape(message)):
        metrics.accuracy_score(**arguments)


# --- scorers ---


class StepClassifier(ClassifierMixin, BaseEstimator):
    """Labels each step by the nearest of the classes' (weighted) means of its first feature."""

    def __init__(self, sharpness=1.0):
        self.sharpness = sharpness

    def fit(self, X, y, sample_weight=None):
        flat_y = np.concatenate(list(y))
        weight = np.concatenate(
            [np.ones(len(s)) for s in y] if sample_weight is None else list(sample_weight)
        )
        values = np.concatenate(list(X))[:, 0]
        self.classes_ = np.unique(flat_y[weight > 0])
        self.means_ = np.array(
            [np.average(values[flat_y == c], weights=weight[flat_y == c]) for c in self.classes_]
        )
        return self

    def predict_proba(self, X):
        raw = [np.exp(-self.sharpness * (x - self.means_) ** 2) for x in X]
        proba = [p / p.sum(axis=-1, keepdims=True) for p in raw]
        return np.array(proba) if isinstance(X, np.ndarray) else proba

    def predict(self, X):
        labels = [self.classes_[p.argmax(axis=-1)] for p in self.predict_proba(X)]
        return np.array(labels) if isinstance(X, np.ndarray) else labels


class StepRegressor(RegressorMixin, BaseEstimator):
    """A straight line through the first feature of each step."""

    def fit(self, X, y):
        self.line_ = np.polyfit(np.concatenate(list(X))[:, 0], np.concatenate(list(y)), 1)
        return self

    def predict(self, X):
        values = [np.polyval(self.line_, x[:, 0]) for x in X]
        return np.array(values) if isinstance(X, np.ndarray) else values


def classification(rng, labels="three strings", form="list", n=12):
    classes = LABELS[labels]
    lengths = np.full(n, 9) if form == "array" else draw_lengths(rng, n, shortest=4)
    y = draw_labels(rng, lengths, classes)
    X = draw_features(rng, y, classes)
    return (np.array(X), np.array(y)) if form == "array" else (X, y)


def regression(rng, form="list", n=12):
    lengths = np.full(n, 9) if form == "array" else draw_lengths(rng, n, shortest=4)
    X = [rng.normal(size=(k, 1)) for k in lengths]
    y = [x[:, 0] + rng.normal(size=len(x)) for x in X]
    return (np.array(X), np.array(y)) if form == "array" else (X, y)


def by_hand(estimator, X, y, cv, method, score):
    """The score of each fold, with the steps flattened here."""
    scores = []
    for train, test in cv.split(X):
        fitted = clone(estimator).fit([X[k] for k in train], [y[k] for k in train])
        predicted = getattr(fitted, method)([X[k] for k in test])
        flat_y = np.concatenate([y[k] for k in test])
        scores.append(score(fitted, flat_y, np.concatenate(predicted)))
    return scores


@pytest.mark.parametrize("form", ["list", "array"])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_label_scorers_score_each_fold(name, labels, form, rng):
    X, y = classification(rng, labels, form)
    _, reference, options = metric_of(name)
    found = cross_val_score(
        StepClassifier(), X, y, cv=KFold(3), scoring=metrics.get_scorer(name), error_score="raise"
    )
    expected = by_hand(
        StepClassifier(), X, y, KFold(3), "predict", lambda _, t, p: reference(t, p, **options)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("form", ["list", "array"])
@pytest.mark.parametrize("name", REGRESSION)
def test_error_scorers_score_each_fold(name, form, rng):
    X, y = regression(rng, form)
    reference, sign = metric_of(name)[1], 1 if name == "r2" else -1
    scorer = metrics.get_scorer(name if name == "r2" else f"neg_{name}")
    found = cross_val_score(StepRegressor(), X, y, cv=3, scoring=scorer, error_score="raise")
    expected = by_hand(
        StepRegressor(), X, y, KFold(3), "predict", lambda _, t, p: sign * reference(t, p)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("form", ["list", "array"])
@pytest.mark.parametrize("labels", LABELS)
def test_the_log_loss_scorer_sees_every_class(labels, form, rng):
    X, y = classification(rng, labels, form)
    scorer = metrics.get_scorer("neg_log_loss")
    found = cross_val_score(
        StepClassifier(), X, y, cv=KFold(4), scoring=scorer, error_score="raise"
    )

    def reference(fitted, true, proba):
        return np.log(proba[true[:, None] == fitted.classes_]).mean()

    expected = by_hand(StepClassifier(), X, y, KFold(4), "predict_proba", reference)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("labels", ["two strings", "three strings"])
def test_a_class_may_be_missing_from_the_fold_that_is_scored(labels, rng):
    X, y = classification(rng, labels)
    y[3][:] = LABELS[labels][1]
    scores = cross_val_score(
        make_pipeline(FunctionTransformer(), StepClassifier()),
        X,
        y,
        cv=LeaveOneOut(),
        scoring=metrics.get_scorer("neg_log_loss"),
        error_score="raise",
    )
    others = [k for k in range(len(X)) if k != 3]
    fitted = StepClassifier().fit([X[k] for k in others], [y[k] for k in others])
    expected = np.log(fitted.predict_proba(X[3:4])[0][:, 1]).mean()
    assert scores[3] == pytest.approx(expected, rel=1e-12)


def test_the_f1_scorer_is_of_label_one_or_of_the_one_that_is_named(rng):
    X, y = classification(rng, "two numbers")
    fitted = StepClassifier().fit(X, y)
    true, predicted = np.concatenate(y), np.concatenate(fitted.predict(X))
    expected = sklearn.metrics.f1_score(true, predicted)
    assert metrics.get_scorer("f1")(fitted, X, y) == pytest.approx(expected, rel=1e-12)
    names = np.array(["off", "on"])
    texts = [names[steps] for steps in y]
    fitted = StepClassifier().fit(X, texts)
    for metric in (sklearn.metrics.f1_score, metrics.f1_score):
        scorer = metrics.make_scorer(metric, pos_label="off")
        expected = sklearn.metrics.f1_score(1 - true, 1 - predicted)
        assert scorer(fitted, X, texts) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("labels", ["two strings", "three strings"])
def test_a_grid_search_takes_several_scorers(labels, rng):
    X, y = classification(rng, labels)
    names = ["accuracy", "f1_macro", "neg_log_loss"]
    search = GridSearchCV(
        StepClassifier(),
        {"sharpness": [0.01, 1.4]},
        scoring={name: metrics.get_scorer(name) for name in names},
        refit="neg_log_loss",
        cv=KFold(3),
        error_score="raise",
    ).fit(X, y)
    assert search.score(X, y) == pytest.approx(
        -metrics.log_loss(y, search.predict_proba(X)), rel=1e-12
    )
    for name in names:
        for k, sharpness in enumerate([0.01, 1.4]):
            alone = cross_val_score(
                StepClassifier(sharpness), X, y, cv=KFold(3), scoring=metrics.get_scorer(name)
            )
            found = search.cv_results_[f"mean_test_{name}"][k]
            assert found == pytest.approx(alone.mean(), rel=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "neg_log_loss"])
def test_weights_of_a_call_reach_the_metric(name, rng):
    X, y = classification(rng)
    fitted = StepClassifier().fit(X, y)
    weight = [rng.uniform(0.1, 2, size=len(steps)) for steps in y]
    found = metrics.get_scorer(name)(fitted, X, y, sample_weight=weight)
    if name == "accuracy":
        expected = metrics.accuracy_score(y, fitted.predict(X), sample_weight=weight)
    else:
        expected = -metrics.log_loss(y, fitted.predict_proba(X), sample_weight=weight)
    assert found == pytest.approx(expected, rel=1e-12)
    assert found != pytest.approx(metrics.get_scorer(name)(fitted, X, y), rel=1e-9)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", ["accuracy", "neg_log_loss"])
def test_weights_are_routed_to_fit_and_score(name, several, rng):
    X, y = classification(rng)
    weight = step_weights(rng, [len(steps) for steps in y])
    weight[0][1:] = 0
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = StepClassifier().set_fit_request(sample_weight=True)
        scorer = metrics.get_scorer(name).set_score_request(sample_weight=True)
        scores = cross_validate(
            estimator,
            X,
            y,
            cv=KFold(3),
            scoring={"score": scorer} if several else scorer,
            params={"sample_weight": weight},
            error_score="raise",
        )["test_score"]
        search = GridSearchCV(
            estimator, {"sharpness": [1.0]}, scoring=scorer, cv=KFold(3), error_score="raise"
        ).fit(X, y, sample_weight=weight)
    expected = []
    for train, test in KFold(3).split(X):
        parts = [[[part[k] for k in ks] for part in (X, y, weight)] for ks in (train, test)]
        fitted = StepClassifier().fit(*parts[0])
        *data, part_weight = parts[1]
        expected.append(metrics.get_scorer(name)(fitted, *data, sample_weight=part_weight))
    np.testing.assert_allclose(scores, expected, rtol=1e-12)
    assert search.best_score_ == pytest.approx(np.mean(expected), rel=1e-12)


def test_weights_that_nobody_asked_for_are_refused(rng):
    name = "neg_log_loss"  # the others are left to what scikit-learn does
    X, y = classification(rng)
    weight = step_weights(rng, [len(steps) for steps in y])
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(UnsetMetadataPassedError),
    ):
        cross_validate(
            StepClassifier().set_fit_request(sample_weight=True),
            X,
            y,
            cv=KFold(3),
            scoring=metrics.get_scorer(name),
            params={"sample_weight": weight},
        )
    with pytest.raises(RuntimeError, match="enable_metadata_routing"):
        metrics.get_scorer(name).set_score_request(sample_weight=True)


def test_any_metric_makes_a_scorer(rng):
    X, y = classification(rng)
    fitted = StepClassifier().fit(X, y)
    true, predicted = np.concatenate(y), np.concatenate(fitted.predict(X))
    kappa = metrics.make_scorer(sklearn.metrics.cohen_kappa_score)
    expected = sklearn.metrics.cohen_kappa_score(true, predicted)
    assert kappa(fitted, X, y) == pytest.approx(expected, rel=1e-12)
    surprise = metrics.make_scorer(
        mean_surprise, response_method="predict_log_proba", greater_is_better=False
    )
    fitted.predict_log_proba = lambda X: [np.log(p) for p in fitted.predict_proba(X)]
    expected = np.concatenate(fitted.predict_log_proba(X)).mean()
    assert surprise(fitted, X, y) == pytest.approx(expected, rel=1e-12)


def mean_surprise(y_true, y_pred):
    """Knows neither weights nor labels."""
    assert len(y_true) == len(y_pred)
    return -y_pred.mean()


def test_leaving_steps_out_needs_no_metric_that_knows_weights():
    def share(y_true, y_pred):
        return np.mean(y_true == y_pred)

    class Echo(BaseEstimator):
        def predict(self, X):
            return X

    scorer, y = metrics.make_scorer(share), [["a", "b"], ["c"]]
    found = scorer(Echo(), [["a", "a"], ["a"]], y, sample_weight=[[1, 1], [0]])
    assert found == 0.5
    with pytest.raises(TypeError, match="sample_weight"):
        scorer(Echo(), y, y, sample_weight=[[1, 2], [0]])


@pytest.mark.parametrize("name", metrics.get_scorer_names())
def test_scorers_are_named_as_in_scikit_learn_and_can_be_copied(name, rng):
    assert name in sklearn.metrics.get_scorer_names()
    scorer = metrics.get_scorer(name)
    assert scorer is not metrics.get_scorer(name)  # a request on one is not one on all
    is_error = name == "r2" or name.endswith("error")
    X, y = regression(rng) if is_error else classification(rng, "two numbers")
    fitted = (StepRegressor() if is_error else StepClassifier()).fit(X, y)
    for other in (pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer)):
        assert other(fitted, X, y) == scorer(fitted, X, y)
        assert repr(other) == repr(scorer)
    assert (scorer(fitted, X, y) < 0) == name.startswith("neg_")


def test_an_unknown_scorer_is_an_error():
    with pytest.raises(ValueError, match=re.escape("name: expected one of ['accuracy', ")):
        metrics.get_scorer("acuracy")
