"""LSTMClassifier: labels of every kind, weights, probabilities."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from data import (
    SMALL,
    assert_same_fit,
    central_differences,
    cut,
    padded,
    problem,
)
from scipy.sparse import coo_array, csc_matrix, csr_array
from scipy.special import expit, softmax
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from sklstm import LSTMClassifier

# Most fits here are stopped after a few epochs.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

WORDS = np.array(["no", "yes", "perhaps"])


def several_labels(rng, n=24, n_labels=3):
    """Sequences, and zeros and ones; the k-th label is the sign of the k-th channel."""
    Y = rng.permuted(np.tile(np.arange(n) % 2, (n_labels, 1)), axis=1).T
    return rng.normal(size=(n, 6, n_labels)) + 1.5 * (2 * Y - 1)[:, None, :], Y


def fit(X, y, seed, sample_weight=None, **parameters):
    return LSTMClassifier(**SMALL | parameters, random_state=seed).fit(X, y, sample_weight)


# Labels


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_it_learns_classes(n_classes, solver, rng, seed):
    X, y = problem(rng, n=120, n_classes=n_classes)
    clf = fit(cut(X, rng, shortest=4), y, seed, solver=solver, max_iter=60)
    X, y = problem(rng, n=600, n_classes=n_classes)  # a small standard error of the score
    assert clf.score(cut(X, rng, shortest=4), y) > 0.8
    assert clf.n_outputs_ == (1 if n_classes == 2 else 3)
    assert clf.out_activation_ == ("logistic" if n_classes == 2 else "softmax")


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_it_learns_several_labels(solver, rng, seed):
    X, Y = several_labels(rng, n=60)
    clf = fit(X, Y, seed, solver=solver, max_iter=80, hidden_layer_sizes=8)
    X, Y = several_labels(rng, n=60)
    assert (clf.predict(X) == Y).mean() > 0.9
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.n_outputs_ == 3
    assert clf.out_activation_ == "logistic"


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: WORDS[y],
        lambda y: WORDS[y].astype(object),
        lambda y: WORDS[y].tolist(),
        lambda y: pd.Series(WORDS[y]),
        lambda y: pd.Series(WORDS[y], dtype="string", index=range(30, 54)),
        lambda y: pd.Series(WORDS[y], dtype="category"),
        lambda y: pl.Series(WORDS[y].tolist()),
        lambda y: pl.Series(WORDS[y].tolist(), dtype=pl.Categorical),
    ],
    ids=[
        "NumPy", "object", "list", "pandas", "pandas string", "pandas category", "polars",
        "polars category",
    ],
)  # fmt: skip
@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_that_are_words(convert, n_classes, rng, seed):
    X, y = problem(rng, n_classes=n_classes)
    labels = convert(y)
    clf = fit(X, labels, seed)
    assert clf.classes_.tolist() == sorted(WORDS[:n_classes])
    codes = np.searchsorted(clf.classes_.astype(str), WORDS[y])
    expected = fit(X, codes, seed)
    assert_same_fit(expected, clf)
    assert clf.predict(X).tolist() == clf.classes_[expected.predict(X)].tolist()
    assert clf.score(X, labels) == expected.score(X, codes)


@pytest.mark.parametrize(
    "labels",
    [np.array([False, True]), np.array([-1, 1]), np.array([7, 3], np.int8), np.array([2.0, 0.5])],
    ids=["bool", "signs", "int8", "float"],
)
def test_labels_that_are_numbers(labels, rng, seed):
    X, y = problem(rng)
    if labels.dtype.kind == "f":
        with pytest.raises(ValueError, match="Unknown label type: continuous"):
            fit(X, labels[y], seed)
        return
    clf = fit(X, labels[y], seed)
    np.testing.assert_array_equal(clf.classes_, np.sort(labels))
    assert clf.classes_.dtype == labels.dtype
    assert clf.predict(X).dtype == labels.dtype
    assert set(clf.predict(X)) <= set(labels)


def test_a_column_of_labels(rng, seed):
    from sklearn.exceptions import DataConversionWarning

    X, y = problem(rng)
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        clf = fit(X, y[:, None], seed)
    assert_same_fit(fit(X, y, seed), clf)
    assert clf.predict(X).shape == (24,)


@pytest.mark.parametrize(
    "convert",
    [csr_array, csc_matrix, coo_array, np.ndarray.tolist, pd.DataFrame, lambda Y: Y == 1],
    ids=["CSR", "CSC", "COO", "nested lists", "pandas", "bool"],
)
def test_forms_of_several_labels(convert, rng, seed):
    X, Y = several_labels(rng)
    expected, clf = fit(X, Y, seed), fit(X, convert(Y), seed)
    assert_same_fit(expected, clf)
    np.testing.assert_array_equal(clf.predict(X), expected.predict(X))
    assert clf.score(X, Y) == expected.score(X, Y)


def test_one_class(rng, seed):
    X, _ = problem(rng)
    with pytest.raises(ValueError, match=r"at least two classes in y, got 1 class: \['no'\]"):
        fit(X, ["no"] * 24, seed)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda y: y + 0.5, "Unknown label type: continuous"),
        (lambda y: np.c_[y, y + 1], "several labels a sample.*one classifier for each column"),
        (lambda y: np.where(y == 0, np.nan, y), "y contains NaN"),
        (lambda y: None, "requires y to be passed"),
        (lambda y: np.array([None, *y[1:]], dtype=object), "Unknown label type|y contains"),
    ],
    ids=["numbers", "several columns", "NaN", "None", "None within"],
)
def test_malformed_labels(wrong, message, rng, seed):
    X, y = problem(rng)
    with pytest.raises(ValueError, match=message):
        fit(X, wrong(y), seed)


def unknown_in_warm_start(X, y, wrong, seed):
    fit(X, y, seed, warm_start=True).fit(X, wrong)


def unknown_in_partial_fit(X, y, wrong, seed):
    fit(X, y, seed).partial_fit(X, wrong)


def unknown_in_first_partial_fit(X, y, wrong, seed):
    LSTMClassifier(**SMALL).partial_fit(X, wrong, classes=np.unique(y))


def unknown_in_y_val(X, y, wrong, seed):
    LSTMClassifier(**SMALL).fit(X, y, X_val=X, y_val=wrong)


@pytest.mark.parametrize(
    "way",
    [unknown_in_warm_start, unknown_in_partial_fit, unknown_in_first_partial_fit, unknown_in_y_val],
)
@pytest.mark.parametrize(
    ("labels", "wrong", "message"),
    [
        ([0, 1], 7, r"\[5\]: expected one of \[0, 1\], got .*7"),
        (["a", "c"], "b", r"\[5\]: expected one of \['a', 'c'\], got .*'b'"),
        (["a", "c"], "d", r"\[5\]: expected one of \['a', 'c'\], got .*'d'"),
        (["a", "c"], "abc", r"\[5\]: expected one of \['a', 'c'\], got .*'abc'"),
    ],
    ids=["number", "word between", "word after", "longer word"],
)
def test_an_unknown_label_is_named(way, labels, wrong, message, rng, seed):
    X, y = problem(rng)
    y = np.array(labels, dtype=object if isinstance(wrong, str) else None)[y]
    unknown = y.copy()
    unknown[5] = wrong
    where = r"Validation data \(X_val, y_val\): y" if way is unknown_in_y_val else "y"
    with pytest.raises(ValueError, match=f"^{where}{message}"):
        way(X, y, unknown, seed)


@pytest.mark.parametrize("way", [unknown_in_warm_start, unknown_in_partial_fit, unknown_in_y_val])
def test_labels_of_another_kind(way, rng, seed):
    X, y = problem(rng)
    with pytest.raises(ValueError, match=r"expected one of \[0, 1\]"):
        way(X, y, WORDS[y], seed)
    with pytest.raises(ValueError, match=r"expected one of \['no', 'yes'\]"):
        way(X, WORDS[y], y, seed)
    with pytest.raises(ValueError, match=r"expected labels of shape \(n_samples,\)"):
        way(X, y, np.c_[y, y, 1 - y], seed)
    with pytest.raises(ValueError, match=r"expected labels of shape \(n_samples, 2\)"):
        way(X, np.c_[y, 1 - y], np.c_[y, y, 1 - y], seed)


def test_a_warm_start_with_some_of_the_classes(rng, seed):
    X, y = problem(rng, n_classes=3)
    clf = fit(X, y, seed, warm_start=True)
    some = y < 2
    clf.fit(X[some], y[some])
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.predict_proba(X).shape == (24, 3)


# Weights


def test_weight_two_is_a_sample_given_twice(rng, seed):
    X, y = problem(rng, n_classes=3)
    weights = rng.integers(1, 4, size=24)
    X = cut(X, rng)
    repeated = [x for x, weight in zip(X, weights, strict=True) for _ in range(weight)]
    for parameters in ({"batch_size": 1000}, {"solver": "sgd", "batch_size": 1000},
                       {"solver": "lbfgs"}, {"class_weight": "balanced", "batch_size": 1000},
                       {"batch_size": 1000, "class_weight": {0: 3.0, 2: 0.5}}):  # fmt: skip
        weighted = fit(X, y, seed, weights, **parameters)
        twice = fit(repeated, np.repeat(y, weights), seed, **parameters)
        assert_same_fit(weighted, twice)
        assert weighted.loss_ == twice.loss_


def test_weight_two_is_a_sample_given_twice_for_several_labels(rng, seed):
    X, Y = several_labels(rng)
    weights = rng.integers(1, 4, size=24)
    for class_weight in (None, "balanced"):
        parameters = {"class_weight": class_weight, "batch_size": 1000}
        weighted = fit(X, Y, seed, weights, **parameters)
        twice = fit(
            np.repeat(X, weights, axis=0), np.repeat(Y, weights, axis=0), seed, **parameters
        )
        assert_same_fit(weighted, twice)


@pytest.mark.parametrize("batch_size", ["auto", 5])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_weight_zero_is_a_sample_left_out(batch_size, class_weight, rng, seed):
    X, y = problem(rng)
    weights = rng.permutation(np.arange(24) % 4).astype(float)
    kept = weights > 0
    parameters = {"batch_size": batch_size, "class_weight": class_weight}
    weighted = fit(X, y, seed, weights, **parameters)
    assert_same_fit(weighted, fit(X[kept], y[kept], seed, weights[kept], **parameters))


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_loss_is_a_weighted_mean_and_a_penalty(alpha, n_classes, rng, seed):
    X, y = problem(rng, n_classes=n_classes)
    weights = rng.uniform(0.5, 2, size=24)
    options = {"alpha": alpha, "label_smoothing": 0.0}
    before = fit(X, y, seed, weights, **options, max_iter=1)
    after = fit(X, y, seed, weights, **options, max_iter=2)
    squares = sum(
        (values**2).sum() for name, values in before._model.views.items() if "weight" in name
    )
    expected = log_loss(y, before.predict_proba(X), sample_weight=weights)
    expected += 0.5 * alpha * squares / weights.sum()
    assert after.loss_ == pytest.approx(expected, rel=1e-12)
    assert after.loss_curve_[0] == before.loss_
    assert after.best_loss_ == min(after.loss_curve_)


def test_class_weight_is_a_factor_on_weights(rng, seed):
    X, y = problem(rng, n_classes=3)
    labels, weights = WORDS[y], rng.uniform(0.5, 2, size=24)
    given = fit(X, labels, seed, weights, class_weight={"no": 2.0, "perhaps": 0.25})
    by_hand = fit(X, labels, seed, weights * np.array([2.0, 1, 0.25])[y])
    assert_same_fit(given, by_hand)


def test_balanced_classes(rng, seed):
    X, _ = problem(rng)
    y = rng.permutation(np.repeat([0, 1], [18, 6]))
    balanced = fit(X, y, seed, class_weight="balanced", max_iter=10)
    by_hand = fit(X, y, seed, compute_sample_weight("balanced", y), max_iter=10)
    np.testing.assert_allclose(balanced.decision_function(X), by_hand.decision_function(X))
    plain = fit(X, y, seed, max_iter=10)
    assert (balanced.decision_function(X) > plain.decision_function(X)).mean() > 0.5


def test_balance_counts_weights(rng, seed):
    X, y = problem(rng)
    weights = np.where(y == 1, 9.0, 1.0)
    options = {"alpha": 0.0, "label_smoothing": 0.0}  # both depend on the total weight
    balanced = fit(X, y, seed, weights, class_weight="balanced", **options)
    even = fit(X, y, seed, **options)
    np.testing.assert_allclose(balanced.predict_proba(X), even.predict_proba(X))


def test_class_weight_of_several_labels(rng, seed):
    X, Y = several_labels(rng, n_labels=2)
    given = fit(X, Y, seed, class_weight=[{1: 3.0}, {0: 0.5, 1: 2.0}])
    weights = np.array([1.0, 3.0])[Y[:, 0]] * np.array([0.5, 2.0])[Y[:, 1]]
    assert_same_fit(given, fit(X, Y, seed, weights))


def test_balanced_labels(rng, seed):
    X, Y = several_labels(rng, n_labels=2)
    Y[:10, 0] = 1
    balanced = fit(X, Y, seed, class_weight="balanced")
    by_hand = fit(X, Y, seed, compute_sample_weight("balanced", Y))
    np.testing.assert_allclose(balanced.predict_proba(X), by_hand.predict_proba(X))


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({0: "a"}, "class_weight: expected numbers, got {0: 'a'}"),
        ({0: 10**400}, "class_weight: expected numbers"),
        ({0: -1.0}, "class_weight: expected finite, non-negative factors"),
        ({0: np.nan}, "class_weight: expected finite, non-negative factors"),
        ([{0: 1.0}], "class_weight: expected a dict"),
        ("even", "'class_weight' parameter"),
    ],
)
def test_malformed_class_weight(class_weight, message, rng, seed):
    X, y = problem(rng)
    with pytest.raises(ValueError, match=message):
        fit(X, y, seed, class_weight=class_weight)


@pytest.mark.parametrize("class_weight", [{0: 1.0}, [{0: 1.0}], [{0: 1.0}, {0: 1.0}, {2: 1.0}]])
def test_malformed_class_weight_of_several_labels(class_weight, rng, seed):
    X, Y = several_labels(rng)
    with pytest.raises(ValueError, match="class_weight"):
        fit(X, Y, seed, class_weight=class_weight)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-1.0, r"sample_weight\[3\]: expected a finite weight, zero or more, got -1.0"),
        (np.nan, r"sample_weight\[3\]: .* got nan"),
        (np.inf, r"sample_weight\[3\]: .* got inf"),
        ("heavy", "could not convert string"),
    ],
)
def test_malformed_sample_weight(weight, message, rng, seed):
    X, y = problem(rng)
    with pytest.raises(ValueError, match=message):
        fit(X, y, seed, [1.0] * 3 + [weight] + [1.0] * 20)


@pytest.mark.parametrize("convert", [list, pd.Series, np.float32, np.int64])
def test_forms_of_sample_weight(convert, rng, seed):
    X, y = problem(rng)
    weights = rng.integers(1, 4, size=24)
    assert_same_fit(fit(X, y, seed, convert(weights)), fit(X, y, seed, weights.astype(float)))


# Probabilities


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_probabilities_of_classes(n_classes, rng, seed):
    X, y = problem(rng, n_classes=n_classes)
    clf = fit(X, y, seed)
    raw, proba = clf.decision_function(X), clf.predict_proba(X)
    assert raw.shape == ((24,) if n_classes == 2 else (24, n_classes))
    assert proba.shape == (24, n_classes)
    expected = np.c_[expit(-raw), expit(raw)] if n_classes == 2 else softmax(raw, axis=1)
    np.testing.assert_allclose(proba, expected, rtol=1e-12)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(clf.predict_log_proba(X), np.log(proba), rtol=1e-10)
    np.testing.assert_array_equal(clf.predict(X), proba.argmax(axis=1))


def test_probabilities_of_several_labels(rng, seed):
    X, Y = several_labels(rng)
    clf = fit(X, Y, seed)
    raw, proba = clf.decision_function(X), clf.predict_proba(X)
    assert raw.shape == proba.shape == (24, 3)
    np.testing.assert_allclose(proba, expit(raw), rtol=1e-12)
    np.testing.assert_allclose(clf.predict_log_proba(X), np.log(proba), rtol=1e-10)
    np.testing.assert_array_equal(clf.predict(X), proba > 0.5)


def test_one_label_in_a_column_of_zeros_and_ones_is_not_binary(rng, seed):
    X, y = problem(rng)
    clf = fit(X, csr_array(np.c_[y, 1 - y]), seed)
    assert clf.decision_function(X).shape == (24, 2)


def overconfident(X, y, seed, dtype):
    """A classifier whose probabilities round to zero and one."""
    clf = fit(X, y, seed, dtype=dtype, max_iter=20)
    weights = clf._model.views["dense.weight"]
    weights *= 1000
    assert np.abs(clf.decision_function(X)).max() > 40
    return clf


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_of_labels_are_between_zero_and_one(dtype, rng, seed):
    X, Y = several_labels(rng)
    clf = overconfident(X, Y, seed, dtype)
    proba = clf.predict_proba(X)
    assert (proba > 0).all()
    assert (proba < 1).all()
    raw = clf.decision_function(X).astype(np.float64)
    log_proba = clf.predict_log_proba(X)
    assert np.isfinite(log_proba).all()
    np.testing.assert_allclose(log_proba, -np.logaddexp(0, -raw), rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_log_probabilities_where_probabilities_round(dtype, n_classes, rng, seed):
    X, y = problem(rng, n_classes=n_classes)
    clf = overconfident(X, y, seed, dtype)
    raw = clf.decision_function(X).astype(np.float64)
    raw = np.c_[0 * raw, raw] if n_classes == 2 else raw
    log_proba = clf.predict_log_proba(X)
    assert np.isfinite(log_proba).all()
    expected = raw - np.logaddexp.reduce(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(log_proba, expected, rtol=1e-6, atol=1e-6)
    assert np.isfinite(clf.predict_proba(X)).all()


# Derivatives at the inputs


def logit(clf, column):
    def of(X):
        raw = clf.decision_function(X)
        return raw if raw.ndim == 1 else raw[:, column]

    return of


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean_max"])
@pytest.mark.parametrize("layers", [(3,), (3, 2)])
def test_input_gradients_are_derivatives(bidirectional, pooling, layers, rng, seed):
    X = cut(problem(rng)[0], rng)[:6]
    clf = fit(X, [0, 1, 2, 0, 1, 2], seed, hidden_layer_sizes=layers, bidirectional=bidirectional,
              pooling=pooling, max_iter=1)  # fmt: skip
    found = clf.input_gradients(X, target=1)
    expected = central_differences(logit(clf, 1), X)
    assert [g.shape for g in found] == [x.shape for x in X]
    np.testing.assert_allclose(
        np.concatenate(found), np.concatenate(expected), rtol=1e-6, atol=1e-8
    )


def test_input_gradients_of_every_form(rng, seed):
    X, y = problem(rng)
    X = cut(X, rng)
    clf = fit(X, y, seed)
    expected = clf.input_gradients(X)
    np.testing.assert_allclose(
        clf.input_gradients(padded(X, extra=2)), padded(expected, extra=2), rtol=1e-12, atol=1e-15
    )
    table = rng.normal(size=(24, 5))
    clf = fit(table, y, seed)
    found = clf.input_gradients(table)
    assert found.shape == table.shape
    differences = central_differences(logit(clf, 0), list(table[:3]))
    np.testing.assert_allclose(found[:3], differences, rtol=1e-6, atol=1e-8)


def test_the_target_of_input_gradients(rng, seed):
    X, y = problem(rng)
    clf = fit(X, WORDS[y], seed)
    up = clf.input_gradients(X, target="yes")
    np.testing.assert_array_equal(clf.input_gradients(X), up)
    np.testing.assert_array_equal(clf.input_gradients(X, target="no"), -up)
    X, y = problem(rng, n_classes=3)
    clf = fit(X, WORDS[y], seed)
    by_class = {label: clf.input_gradients(X, target=label) for label in clf.classes_}
    expected = [by_class[label][k] for k, label in enumerate(clf.predict(X))]
    np.testing.assert_array_equal(clf.input_gradients(X), expected)
    with pytest.raises(ValueError, match=r"target: expected one of \['no', .*got 'never'"):
        clf.input_gradients(X, target="never")


def test_input_gradients_of_several_labels(rng, seed):
    X, Y = several_labels(rng)
    clf = fit(X, Y, seed)
    found = clf.input_gradients(X[:3], target=2)
    differences = central_differences(logit(clf, 2), list(X[:3]))
    np.testing.assert_allclose(found, differences, rtol=1e-6, atol=1e-8)
    with pytest.raises(ValueError, match=r"target: expected one of \[0, 1, 2\]"):
        clf.input_gradients(X, target=3)
