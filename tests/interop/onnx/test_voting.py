"""Ensembles that vote, and searches over parameters."""

import numpy as np
import pytest
from data import SMALL, cut, problem
from onnx_models import assert_equal, assert_same_classifier, run, single
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier, VotingClassifier, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklstm import LSTMClassifier, LSTMRegressor, sequence_pipeline
from sklstm.interop.onnx import to_onnx
from sklstm.preprocessing import (
    SequenceDifferences,
    SequenceScaler,
    SlidingWindow,
    WindowScaledRegressor,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FORMS = {
    "2d": lambda X, rng: X[:, :, 0],
    "3d": lambda X, rng: X,
    "list": lambda X, rng: cut(X, rng, shortest=3),
}
LABELS = {
    "binary": np.array([3, 7]),
    "three": np.arange(3),
    "strings": np.array(["a", "b", "c"]),
    "booleans": np.array([False, True]),
}


def members(estimator, seed):
    """Members that differ in their steps and their random state."""
    first, second, third = (clone(estimator).set_params(random_state=seed + k) for k in range(3))
    return [
        ("alone", first),
        ("steps", make_pipeline(SequenceDifferences(), SlidingWindow(2), second)),
        ("scaled", make_pipeline(SequenceScaler(), third.set_params(bidirectional=True))),
    ]


@pytest.mark.parametrize("weights", [None, [1, 0, 2.5]])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("form", FORMS)
def test_averages_of_probabilities(form, labels, weights, rng, seed):
    classes = LABELS[labels]
    X, codes = problem(rng, n_classes=len(classes))
    X = single(FORMS[form](X, rng))
    voters = members(LSTMClassifier(**SMALL), seed)
    model = VotingClassifier(voters, voting="soft", weights=weights).fit(X, classes[codes])
    assert_same_classifier(run(to_onnx(model), X), model, X)


@pytest.mark.parametrize("weights", [None, [1, 0, 2.5]])
@pytest.mark.parametrize("form", FORMS)
def test_averages_of_numbers(form, weights, rng, seed):
    X, _ = problem(rng)
    X, y = single(FORMS[form](X, rng)), 100 + 10 * rng.normal(size=24)
    voters = members(LSTMRegressor(**SMALL), seed)
    model = VotingRegressor(voters, weights=weights).fit(X, y)
    assert_equal(run(to_onnx(model), X)["variable"], model.predict(X), scale=100)


def test_ensembles_in_pipelines_and_in_ensembles(rng, seed):
    X, y = problem(rng)
    X = single(cut(X, rng, shortest=3))
    inner = VotingClassifier(members(LSTMClassifier(**SMALL), seed), voting="soft")
    outer = VotingClassifier(
        [("inner", inner), ("other", LSTMClassifier(**SMALL))], voting="soft", weights=[2, 1]
    )
    model = make_pipeline(SequenceScaler(), outer).fit(X, y)
    assert_same_classifier(run(to_onnx(model), X), model, X)


def test_members_that_are_dropped(rng, seed):
    X, y = problem(rng)
    X = single(cut(X, rng, shortest=3))
    model = VotingClassifier(
        members(LSTMClassifier(**SMALL), seed), voting="soft", weights=[3, 100, 1]
    )
    model.set_params(steps="drop").fit(X, y)
    assert_same_classifier(run(to_onnx(model), X), model, X)


def test_an_average_of_losses_whose_outputs_differ(rng, seed):
    """The standard deviations of one member are no part of the average."""
    X, y = single(cut(problem(rng)[0], rng)), rng.poisson(3.0, size=24).astype(float)
    voters = [
        (loss, LSTMRegressor(**SMALL, loss=loss, random_state=seed))
        for loss in ("gaussian", "poisson", "absolute_error")
    ]
    model = VotingRegressor(voters).fit(X, y)
    results = run(to_onnx(model), X)
    assert list(results) == ["variable"]
    assert_equal(results["variable"], model.predict(X))


def test_an_average_of_scaled_windows(rng, seed):
    X, y = single(100 + 10 * rng.normal(size=(24, 6))), 100 + rng.normal(size=24)
    average = VotingRegressor(members(LSTMRegressor(**SMALL), seed))
    model = WindowScaledRegressor(average).fit(X, y)
    assert_equal(run(to_onnx(model), X)["variable"], model.predict(X), scale=100)
    model = VotingRegressor([("one", WindowScaledRegressor(LSTMRegressor(**SMALL)))]).fit(X, y)
    assert_equal(run(to_onnx(model), X)["variable"], model.predict(X), scale=100)


def test_only_what_the_results_need_is_part_of_the_model(rng, seed):
    X, y = problem(rng)
    voters = members(LSTMClassifier(**SMALL), seed)
    graph = to_onnx(VotingClassifier(voters, voting="soft").fit(X, y)).graph
    used = {name for node in graph.node for name in node.input}
    used |= {output.name for output in graph.output}
    for node in graph.node:
        assert used.intersection(node.output)
    assert {constant.name for constant in graph.initializer} <= used
    assert sum(node.op_type == "ArgMax" for node in graph.node) == 1


def test_votes_that_are_counted_are_refused(rng):
    X, y = problem(rng)
    model = VotingClassifier([("one", LSTMClassifier(**SMALL))]).fit(X, y)
    with pytest.raises(ValueError, match=r"voting='hard' cannot be converted .* voting=\"soft\""):
        to_onnx(model)


def test_an_average_of_several_numbers_is_refused(rng):
    X, y = problem(rng)
    reg = LSTMRegressor(**SMALL, loss="quantile", quantile=[0.1, 0.9])
    model = VotingRegressor([("one", reg)]).fit(X, y)
    with pytest.raises(ValueError, match=r"VotingRegressor cannot .* one number for each sample"):
        to_onnx(model)


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_pipelines_for_sequences(form, n_members, rng, seed):
    X, y = problem(rng, n_classes=3)
    X, y = single(FORMS[form](X, rng)), np.array(["a", "b", "c"])[y]
    options = {"n_members": n_members, "random_state": seed}
    clf = sequence_pipeline(LSTMClassifier(**SMALL, bidirectional=True), **options).fit(X, y)
    assert_same_classifier(run(to_onnx(clf), X), clf, X)
    numbers = rng.normal(size=24)
    reg = sequence_pipeline(LSTMRegressor(**SMALL), **options).fit(X, numbers)
    assert_equal(run(to_onnx(reg), X)["variable"], reg.predict(X))


@pytest.mark.parametrize("n_members", [1, 2])
def test_pipelines_for_tokens(n_members, rng, seed):
    X = [rng.integers(0, 7, size=n) for n in rng.integers(1, 6, size=24)]
    clf = LSTMClassifier(**SMALL, vocabulary_size=7)
    model = sequence_pipeline(clf, n_members=n_members, random_state=seed).fit(X, np.arange(24) % 2)
    assert_same_classifier(run(to_onnx(model), X), model, X)


# --- with skl2onnx ---


@pytest.mark.parametrize("labels", LABELS)
def test_probabilities_of_scikit_learn_in_the_average(labels, rng, seed):
    pytest.importorskip("skl2onnx")
    classes = LABELS[labels]
    X, codes = problem(rng, n_classes=len(classes))
    X = single(X[:, :, 0])
    clf = make_pipeline(StandardScaler(), LSTMClassifier(**SMALL, random_state=seed))
    voters = [("linear", LogisticRegression()), ("network", clf)]
    for chosen in (voters, voters[::-1]):
        model = VotingClassifier(chosen, voting="soft", flatten_transform=False)
        model.fit(X, classes[codes])
        assert_same_classifier(run(to_onnx(model), X), model, X)


def test_numbers_of_scikit_learn_in_the_average(rng, seed):
    pytest.importorskip("skl2onnx")
    X = single(problem(rng)[0][:, :, 0])
    reg = make_pipeline(StandardScaler(), LSTMRegressor(**SMALL, random_state=seed))
    model = VotingRegressor([("one", reg)]).fit(X, rng.normal(size=24))
    assert_equal(run(to_onnx(model), X)["variable"], model.predict(X))


# --- searches ---


def test_a_search_stands_for_its_best_estimator(rng, seed):
    X, y = problem(rng)
    X = single(cut(X, rng))
    model = make_pipeline(SequenceScaler(), LSTMClassifier(**SMALL, random_state=seed))
    search = GridSearchCV(model, {"lstmclassifier__pooling": ["last", "max"]}, cv=2).fit(X, y)
    assert_same_classifier(run(to_onnx(search), X), search, X)
    voting = VotingClassifier([("search", search), ("model", model)], voting="soft").fit(X, y)
    assert_same_classifier(run(to_onnx(voting), X), voting, X)


# --- errors ---


@pytest.mark.parametrize(
    "model",
    [
        LSTMClassifier(),
        make_pipeline(SequenceScaler(), LSTMClassifier()),
        VotingClassifier([("one", LSTMClassifier())], voting="soft"),
        GridSearchCV(LSTMClassifier(), {}),
        make_pipeline(SequenceScaler(), GridSearchCV(LSTMClassifier(), {})),
        WindowScaledRegressor(LSTMRegressor()),
    ],
)
def test_models_that_are_not_fitted(model):
    with pytest.raises(NotFittedError, match="is not fitted"):
        to_onnx(model)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (LSTMClassifier, "the class LSTMClassifier"),
        (LogisticRegression(), "LogisticRegression"),
        (make_pipeline(StandardScaler()), "Pipeline that ends with StandardScaler"),
        (3, "int"),
    ],
)
def test_models_that_do_not_end_with_ours(model, found):
    with pytest.raises(TypeError, match=f"expected a fitted LSTMClassifier .* got {found}$"):
        to_onnx(model)


def test_other_ensembles_are_refused(rng):
    X, y = problem(rng)
    model = BaggingClassifier(LSTMClassifier(**SMALL), n_estimators=2).fit(X[:, :, 0], y)
    with pytest.raises(TypeError, match=r"got BaggingClassifier$"):
        to_onnx(model)
