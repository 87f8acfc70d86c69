"""The parameter label_smoothing of LSTMClassifier."""

import numpy as np
import pytest
from data import SMALL, assert_same_fit, problem
from sklearn.metrics import log_loss

from sklstm import LSTMClassifier, LSTMRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fit(X, y, seed, sample_weight=None, **options):
    return LSTMClassifier(**SMALL | options, random_state=seed).fit(X, y, sample_weight)


def constant_inputs(y):
    """Sequences that say nothing, so that the network learns the shares of the classes."""
    return np.ones((len(y), 3, 1))


def learned_shares(y, sample_weight=None, **options):
    X = constant_inputs(y)
    settings = {"solver": "lbfgs", "alpha": 0.0, "tol": 1e-9, "max_iter": 500, **options}
    clf = LSTMClassifier(3, scale_inputs=False, random_state=0, **settings)
    return clf.fit(X, y, sample_weight).predict_proba(X[:1])[0]


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("shares", [(0.75, 0.25), (0.5, 0.3, 0.2), (1.0, 0.0)])
def test_probabilities_are_the_smoothed_shares(shares, solver):
    n, smoothing = 40, 0.3
    y = np.repeat(np.arange(len(shares)), [round(share * n) for share in shares])
    weights = np.ones(n)
    if shares[1] == 0:  # a class of weight zero
        y, weights = np.append(y, 1), np.append(weights, 0.0)
    options = {"lbfgs": {}, "adam": {"max_iter": 300, "batch_size": len(y)}}[solver]
    found = learned_shares(y, weights, label_smoothing=smoothing, solver=solver, **options)
    expected = np.array(shares) * (1 - smoothing) + smoothing / len(shares)
    np.testing.assert_allclose(found, expected, atol={"lbfgs": 1e-6, "adam": 1e-2}[solver])


@pytest.mark.parametrize(("total", "share"), [(1.0, 0.2), (20.0, 0.2), (100.0, 0.1), (1e4, 1e-3)])
def test_auto_depends_on_the_total_weight(total, share):
    y = np.repeat([0, 1], [30, 10])
    found = learned_shares(y, np.full(40, total / 40))
    np.testing.assert_allclose(found[1], 0.25 * (1 - share) + share / 2, atol=1e-6)


def test_of_several_labels_each_is_smoothed():
    Y = np.repeat([[1, 0], [0, 0]], [10, 30], axis=0)
    X = constant_inputs(Y)
    clf = LSTMClassifier(
        3, solver="lbfgs", alpha=0.0, tol=1e-9, max_iter=500, label_smoothing=0.4, random_state=0,
        scale_inputs=False,
    ).fit(X, Y)  # fmt: skip
    np.testing.assert_allclose(clf.predict_proba(X[:1])[0], [0.25 * 0.6 + 0.2, 0.2], atol=1e-6)


def test_of_steps_the_known_ones_count(seed):
    """90 steps of 3 sequences: the share is a ninth."""
    X, y = np.ones((3, 40, 1)), np.zeros((3, 40))
    y[:, 20:] = 1
    y[:, 30:] = np.nan
    options = {"return_sequences": True, "max_iter": 2, "alpha": 0.0}
    auto = fit(X, y, seed, **options)
    assert_same_fit(auto, fit(X, y, seed, **options, label_smoothing=10 / 90))


def test_partial_fit_counts_all_calls(rng, seed):
    X, y = problem(rng, n=60)
    auto, by_hand = (LSTMClassifier(**SMALL, random_state=seed) for _ in range(2))
    for share in (10 / 60, 10 / 120, 10 / 180):
        auto.partial_fit(X, y, classes=[0, 1])
        by_hand.set_params(label_smoothing=share).partial_fit(X, y, classes=[0, 1])
    assert_same_fit(auto, by_hand)


def test_a_weight_of_two_counts_twice(rng, seed):
    X, y = problem(rng, n=30)
    options = {"solver": "lbfgs", "dtype": "float64"}
    weighted = fit(X, y, seed, np.full(30, 2.0), **options)
    repeated = fit(np.concatenate([X, X]), np.concatenate([y, y]), seed, **options)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-6)


def test_the_training_loss_is_smoothed_and_that_of_validation_is_not(rng, seed):
    X, y = problem(rng, n=40)
    options = {"alpha": 0.0, "label_smoothing": 0.2, "batch_size": 40}
    settings = SMALL | options | {"random_state": seed}
    before = LSTMClassifier(**settings | {"max_iter": 1}).fit(X, y, X_val=X, y_val=y)
    after = LSTMClassifier(**settings | {"max_iter": 2}).fit(X, y, X_val=X, y_val=y)
    p = before.predict_proba(X)
    own, other = log_loss(y, p), log_loss(1 - y, p)
    assert after.loss_ == pytest.approx(0.9 * own + 0.1 * other, rel=1e-9)
    assert before.validation_scores_[0] == pytest.approx(-own, rel=1e-9)


def test_small_samples_get_less_extreme_probabilities(rng, seed):
    X, y = problem(rng, n=30)
    smoothed = fit(X, y, seed, max_iter=100).predict_proba(X)
    plain = fit(X, y, seed, max_iter=100, label_smoothing=0.0).predict_proba(X)
    assert plain.max() > smoothed.max() > 0.5
    assert (plain.argmax(axis=1) == smoothed.argmax(axis=1)).mean() > 0.8


def test_samples_of_weight_zero_do_not_count(rng, seed):
    X, y = problem(rng, n=60)
    weights = np.repeat([1.0, 0.0], 30)
    options = {"solver": "lbfgs", "dtype": "float64"}
    zero, without = fit(X, y, seed, weights, **options), fit(X[:30], y[:30], seed, **options)
    np.testing.assert_allclose(zero.predict_proba(X), without.predict_proba(X), rtol=1e-6)


def test_samples_that_are_held_out_do_not_count(rng, seed):
    """48 of 60 samples remain: the share is a fifth."""
    X, y = problem(rng, n=60)
    options = {"early_stopping": True, "validation_fraction": 0.2}
    assert_same_fit(fit(X, y, seed, **options), fit(X, y, seed, **options, label_smoothing=0.2))
    options["validation_fraction"] = 0.1
    auto, by_hand = fit(X, y, seed, **options), fit(X, y, seed, **options, label_smoothing=10 / 54)
    assert_same_fit(auto, by_hand)


def test_a_last_class_of_weight_zero_gives_no_warning(recwarn):
    y = np.repeat([0, 1, 2], 20)
    clf = LSTMClassifier(3, solver="lbfgs", alpha=0.0, max_iter=500, random_state=0)
    clf.fit(constant_inputs(y), y, (y < 2).astype(float))
    assert not [w for w in recwarn if "constant prediction" in str(w.message)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_of_numpy_are_those_of_python(dtype, rng, seed):
    X, y = problem(rng, n_classes=3)
    plain = fit(X, y, seed, dtype=dtype, label_smoothing=0.1)
    assert_same_fit(plain, fit(X, y, seed, dtype=dtype, label_smoothing=np.float64(0.1)))


@pytest.mark.parametrize("value", [-0.1, 1.0, "much", None])
def test_other_values_are_refused(value, rng, seed):
    X, y = problem(rng)
    with pytest.raises(ValueError, match="The 'label_smoothing' parameter of LSTMClassifier must"):
        fit(X, y, seed, label_smoothing=value)


def test_a_regressor_has_no_labels():
    assert "label_smoothing" not in LSTMRegressor().get_params()
