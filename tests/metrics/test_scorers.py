"""Scorers of per-step predictions in scikit-learn's searches and validations."""

import copy
import pickle
import re

import numpy as np
import pytest
import sklearn.metrics
from per_step import (
    CLASSIFICATION,
    LABELS,
    REGRESSION,
    draw_features,
    draw_labels,
    draw_lengths,
    metric_of,
    pad,
    step_weights,
)
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

from sklstm import LSTMClassifier, LSTMRegressor, metrics


class StepClassifier(ClassifierMixin, BaseEstimator):
    """Predict the class whose (weighted) mean of the first feature is nearest, at each step."""

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
    """Linear regression on the first feature of each step."""

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
    """The score of each fold, with the steps stacked here."""
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
def test_classification_scorers_score_each_fold(name, labels, form, rng):
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
def test_regression_scorers_score_each_fold(name, form, rng):
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
def test_the_log_loss_scorer_uses_all_classes(labels, form, rng):
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
def test_a_class_may_be_absent_from_the_scored_fold(labels, rng):
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


def test_the_positive_label_of_f1_is_one_unless_named(rng):
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
def test_sample_weight_is_passed_to_the_metric(name, rng):
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
def test_sample_weight_is_routed_to_fit_and_score(name, several, rng):
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


def test_sample_weight_without_a_request_is_an_error(rng):
    name = "neg_log_loss"  # scikit-learn tests its own scorers
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


def test_scorers_of_other_metrics(rng):
    X, y = classification(rng)
    fitted = StepClassifier().fit(X, y)
    true, predicted = np.concatenate(y), np.concatenate(fitted.predict(X))
    kappa = metrics.make_scorer(sklearn.metrics.cohen_kappa_score)
    expected = sklearn.metrics.cohen_kappa_score(true, predicted)
    assert kappa(fitted, X, y) == pytest.approx(expected, rel=1e-12)
    scorer = metrics.make_scorer(
        mean_negative_log_probability, response_method="predict_log_proba", greater_is_better=False
    )
    fitted.predict_log_proba = lambda X: [np.log(p) for p in fitted.predict_proba(X)]
    expected = np.concatenate(fitted.predict_log_proba(X)).mean()
    assert scorer(fitted, X, y) == pytest.approx(expected, rel=1e-12)


def mean_negative_log_probability(y_true, y_pred):
    """A metric without weights and labels."""
    assert len(y_true) == len(y_pred)
    return -y_pred.mean()


def test_zero_weights_do_not_need_a_metric_with_weights():
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
def test_scorers_have_the_names_of_scikit_learn_and_can_be_copied(name, rng):
    assert name in sklearn.metrics.get_scorer_names()
    scorer = metrics.get_scorer(name)
    assert scorer is not metrics.get_scorer(name)  # so that a request changes only one of them
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


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "f1_macro"])
def test_padded_arrays_and_lists_have_the_same_scores(scoring, rng):
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


class Diverging(StepRegressor):
    """Predict the targets, which are the first feature, exactly, or NaN in the later steps."""

    def __init__(self, diverges=False):
        self.diverges = diverges

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        values = [x[:, 0] + 0.1 for x in X]
        if self.diverges:
            values = [np.where(np.arange(len(x)) < 4, x[:, 0], np.nan) for x in X]
        return np.array(values) if isinstance(X, np.ndarray) else values


@pytest.mark.parametrize("form", ["list", "array"])
@pytest.mark.parametrize("name", ["r2", "neg_mean_squared_error", "neg_mean_absolute_error"])
@pytest.mark.filterwarnings("ignore:Scoring failed:UserWarning")
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite:UserWarning")
def test_a_diverged_candidate_does_not_win_a_search(name, form, rng):
    lengths = np.full(12, 9) if form == "array" else draw_lengths(rng, 12, shortest=5)
    X = [rng.normal(size=(k, 1)) for k in lengths]
    y = [x[:, 0] for x in X]
    if form == "array":
        X, y = np.array(X), np.array(y)
    search = GridSearchCV(
        Diverging(), {"diverges": [True, False]}, scoring=metrics.get_scorer(name), cv=3,
        error_score=np.nan,
    ).fit(X, y)  # fmt: skip
    assert search.best_params_ == {"diverges": False}
    assert np.isnan(search.cv_results_["mean_test_score"][0])


@pytest.mark.parametrize("scoring", ["r2", "neg_mean_squared_error"])
def test_padded_arrays_and_lists_of_numbers_have_the_same_scores(scoring, rng):
    X, y = regression(rng)
    y[1][2] = y[5][0] = np.nan
    model = LSTMRegressor(2, return_sequences=True, max_iter=5, tol=10, n_iter_no_change=1)
    model.set_params(random_state=0)
    scorer = metrics.get_scorer(scoring)
    expected = cross_val_score(model, X, y, scoring=scorer, cv=2, error_score="raise")
    padded = pad(X, 12, np.nan), pad(y, 12, np.nan)
    found = cross_val_score(model, *padded, scoring=scorer, cv=2, error_score="raise")
    np.testing.assert_allclose(found, expected, rtol=1e-9)
