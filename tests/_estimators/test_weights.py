"""Weights of samples, classes and steps: the right minimum for every solver and batch size.

The inputs are constant, so that the network can learn only the base rate of the classes. The right
answer is then the weighted share of the second class.
"""

import numpy as np
import pytest
from data import assert_same_fit, problem

from sklstm import LSTMClassifier, LSTMRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: Solver, batch size, and epochs that are enough to converge.
SETTINGS = [
    ("adam", "auto", 150), ("adam", 96, 400), ("adam", 8, 60), ("adam", 1, 15),
    ("sgd", "auto", 150), ("sgd", 8, 60), ("sgd", 1, 20),
    ("lbfgs", "auto", 200),
]  # fmt: skip
every_setting = pytest.mark.parametrize(("solver", "batch_size", "max_iter"), SETTINGS)

N, N_RARE = 96, 6
Y = np.repeat([0, 1], [N - N_RARE, N_RARE])
WEIGHTS = np.where(Y == 1, 100.0, 1.0)
RARE_SHARE = 100 * N_RARE / (100 * N_RARE + N - N_RARE)  # 0.870


def constant_inputs(n=N, n_timesteps=1):
    return np.ones((n, n_timesteps, 1))


def probability(solver, batch_size, max_iter, y=Y, sample_weight=None, **options):
    """The probability of the second class that is learned from constant inputs."""
    options = {"alpha": 0.0, "max_grad_norm": None, "random_state": 0, **options}
    options["label_smoothing"] = 0.0
    if solver == "sgd" and batch_size == 1:
        options["learning_rate_init"] = 0.01
    clf = LSTMClassifier(2, solver=solver, batch_size=batch_size, max_iter=max_iter, **options)
    X = constant_inputs(len(y))
    return clf.fit(X, y, sample_weight).predict_proba(X[:1])[0, 1]


@every_setting
def test_sample_weights(solver, batch_size, max_iter):
    found = probability(solver, batch_size, max_iter, sample_weight=WEIGHTS)
    assert found == pytest.approx(RARE_SHARE, abs=0.02)


@every_setting
def test_a_dict_of_class_weights(solver, batch_size, max_iter):
    found = probability(solver, batch_size, max_iter, class_weight={1: 100.0})
    assert found == pytest.approx(RARE_SHARE, abs=0.02)


@every_setting
def test_balanced_classes(solver, batch_size, max_iter):
    found = probability(solver, batch_size, max_iter, class_weight="balanced")
    assert found == pytest.approx(0.5, abs=0.02)


@every_setting
def test_a_sample_and_its_class_are_both_weighted(solver, batch_size, max_iter):
    weights = np.where(Y == 1, 10.0, 1.0)
    found = probability(solver, batch_size, max_iter, sample_weight=weights, class_weight={1: 10.0})
    assert found == pytest.approx(RARE_SHARE, abs=0.02)


@every_setting
def test_steps_of_ragged_sequences_weigh_alike(solver, batch_size, max_iter):
    """Of 16 sequences, each step counts once, whatever the length of its sequence."""
    lengths = np.where(np.arange(16) < 4, 50, 3)
    X = [np.ones((length, 1)) for length in lengths]
    y = [np.full(length, int(length == 50)) for length in lengths]
    expected = 4 * 50 / (4 * 50 + 12 * 3)
    options = {"alpha": 0.0, "max_grad_norm": None, "random_state": 0, "scale_inputs": False,
               "label_smoothing": 0.0}  # fmt: skip
    if solver == "sgd":
        options["learning_rate_init"] = 0.03
    max_iter = {1: 100, 8: 200}.get(batch_size, 300)
    clf = LSTMClassifier(
        2, return_sequences=True, solver=solver, batch_size=batch_size, max_iter=max_iter, **options
    ).fit(X, y)
    probabilities = np.concatenate(clf.predict_proba(X[:1]))[:, 1]
    # The state still changes in the first steps; the mean is what the objective decides.
    shares = np.concatenate(clf.predict_proba(X))[:, 1]
    assert shares.mean() == pytest.approx(expected, abs=0.02)
    assert probabilities[-1] > expected - 0.02


@pytest.mark.parametrize(("solver", "batch_size", "max_iter"), SETTINGS[:3] + SETTINGS[4:6])
def test_samples_are_weighted_before_clipping(solver, batch_size, max_iter):
    """At the default norm, batches of eight and more reach the minimum."""
    found = probability(solver, batch_size, 2 * max_iter, sample_weight=WEIGHTS, max_grad_norm=1.0)
    assert found == pytest.approx(RARE_SHARE, abs=0.02)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_partial_fit_weighs_calls(batch_size):
    """The mean over the last third of the calls: a constant rate does not converge."""
    clf = LSTMClassifier(2, alpha=0.0, max_grad_norm=None, random_state=0)
    X, rng, found = constant_inputs(), np.random.default_rng(0), []
    n_calls = 3000
    for call in range(n_calls):
        rows = rng.integers(0, N, batch_size)
        clf.partial_fit(X[rows], Y[rows], classes=[0, 1], sample_weight=WEIGHTS[rows])
        if call >= n_calls * 2 // 3:
            found.append(clf.predict_proba(X[:1])[0, 1])
    assert np.mean(found) == pytest.approx(RARE_SHARE, abs=0.03)


def test_the_penalty_of_partial_fit_is_divided_by_the_weight_seen():
    X, y = problem(np.random.default_rng(0))
    clf = LSTMClassifier(3, random_state=0)
    for n_calls in range(1, 4):
        clf.partial_fit(X, y, classes=[0, 1], sample_weight=np.full(len(y), 2.0))
        assert clf._model.state.weight_seen == n_calls * 2.0 * len(y)
        assert clf._model.state.n_seen == n_calls * len(y)


@every_setting
def test_a_sample_of_weight_zero_changes_no_bit(solver, batch_size, max_iter, rng, seed):
    X, y = problem(rng, n=50)
    settings = {"solver": solver, "batch_size": batch_size, "max_iter": 3, "random_state": seed}
    expected = LSTMClassifier(3, **settings).fit(X, y)
    places = np.sort(rng.integers(0, 51, 20))
    more = np.insert(X, places, rng.normal(size=(20, *X.shape[1:])), axis=0)
    labels = np.insert(y, places, rng.integers(0, 2, 20))
    weights = np.insert(np.ones(50), places, 0.0)
    assert_same_fit(expected, LSTMClassifier(3, **settings).fit(more, labels, weights))
    targets = np.insert(X[:, 0, 0], places, 1e6)
    assert_same_fit(
        LSTMRegressor(3, **settings).fit(X, X[:, 0, 0]),
        LSTMRegressor(3, **settings).fit(more, targets, weights),
    )


@pytest.mark.parametrize(("solver", "batch_size", "max_iter"), [s for s in SETTINGS if s[1] != 1])
def test_weights_and_repetition_have_one_minimum(solver, batch_size, max_iter):
    counts = np.where(Y == 1, 10, 1)
    weighted = probability(solver, batch_size, max_iter, sample_weight=counts)
    repeated = probability(solver, batch_size, max_iter, y=np.repeat(Y, counts))
    expected = 60 / 150
    assert weighted == pytest.approx(expected, abs=0.02)
    assert repeated == pytest.approx(expected, abs=0.02)


# --- class weights ---


def test_a_dict_may_name_labels_that_do_not_occur(rng, seed):
    X, y = problem(rng)
    plain = LSTMClassifier(3, class_weight={0: 2.0}, max_iter=3, random_state=seed)
    other = LSTMClassifier(3, class_weight={0: 2.0, 7: 5.0}, max_iter=3, random_state=seed)
    assert_same_fit(plain.fit(X, y), other.fit(X, y))


def test_balance_is_learned_from_the_training_samples(rng, seed):
    """X_val is weighed by the factors of the training samples, not by its own balance."""
    X, _ = problem(rng, n=40)
    y, y_val = np.repeat([0, 1], [30, 10]), np.repeat([0, 1], [10, 30])
    clf = LSTMClassifier(3, class_weight="balanced", max_iter=1, random_state=seed)
    clf.fit(X, y, X_val=X, y_val=y_val)
    weights = np.array([40 / 60, 40 / 20])[y_val]
    losses = -clf.predict_log_proba(X)[np.arange(40), y_val]
    assert clf.validation_scores_ == [pytest.approx(-np.average(losses, weights=weights))]


def test_balance_ignores_held_out_samples(rng, seed):
    X, y = problem(rng, n=60)
    clf = LSTMClassifier(3, class_weight="balanced", early_stopping=True, max_iter=2)
    clf.set_params(validation_fraction=0.5, random_state=seed).fit(X, np.where(y, 1, 0))
    factors = clf._model.form.targets.factors
    held_in = 30
    np.testing.assert_allclose(held_in / (2 * factors), 15, atol=1)


def test_classes_of_weight_zero_are_still_classes(rng, seed):
    X, y = problem(rng, n_classes=3)
    clf = LSTMClassifier(3, class_weight={2: 0.0}, max_iter=3, random_state=seed).fit(X, y)
    assert clf.classes_.tolist() == [0, 1, 2]


def test_classes_that_all_weigh_zero_are_refused(rng):
    X, y = problem(rng)
    with pytest.raises(ValueError, match="class_weight: expected a sample of weight above zero"):
        LSTMClassifier(3, class_weight={0: 0.0, 1: 0.0}).fit(X, y)


@pytest.mark.parametrize("weight", [1e308, 5e-324])
def test_a_total_weight_that_is_not_normal_is_refused(weight, rng):
    X, y = problem(rng)
    with pytest.raises(ValueError, match="sample_weight: expected a total that is a finite normal"):
        LSTMClassifier(3).fit(X, y, np.full(len(y), weight))


# --- unknown steps ---


def steps(rng, convert):
    """Ragged sequences with a target at each step, and the same with unknown ones."""
    X = [rng.normal(size=(length, 2)) for length in rng.integers(1, 8, 40)]
    y = [convert(x[:, 0] > 0) for x in X]
    known = [rng.random(len(x)) < 0.7 for x in X]
    known[0][0] = True
    return X, y, known


def replaced(y, known, filler):
    """The targets in object arrays, with a filler at unknown steps."""
    out = []
    for values, here in zip(y, known, strict=True):
        column = np.array(values.tolist(), dtype=object)
        column[~here] = filler
        out.append(column)
    return out


pandas = pytest.importorskip("pandas")
FILLERS = [None, np.nan, pandas.NA, "other", -100]


def words(positive):
    return np.where(positive, "up", "down")


@pytest.mark.parametrize("filler", FILLERS, ids=str)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_steps_of_weight_zero_may_have_any_label(filler, solver, rng, seed):
    X, y, known = steps(rng, words)
    weights = [here.astype(float) for here in known]
    settings = {"return_sequences": True, "solver": solver, "max_iter": 3, "random_state": seed}
    expected = LSTMClassifier(3, **settings).fit(X, y, weights)
    labels = replaced(y, known, filler)
    found = LSTMClassifier(3, **settings).fit(X, labels, weights)
    assert found.classes_.tolist() == ["down", "up"]
    assert_same_fit(expected, found)
    assert found.score(X, labels, weights) == expected.score(X, y, weights)


@pytest.mark.parametrize("filler", FILLERS[:3], ids=str)
def test_a_missing_label_is_an_unknown_step(filler, rng, seed):
    X, y, known = steps(rng, words)
    weights = [here.astype(float) for here in known]
    settings = {"return_sequences": True, "max_iter": 3, "random_state": seed}
    expected = LSTMClassifier(3, **settings).fit(X, y, weights)
    labels = replaced(y, known, filler)
    found = LSTMClassifier(3, **settings).fit(X, labels)
    assert_same_fit(expected, found)
    assert found.score(X, labels) == expected.score(X, y, weights)
    assert expected.fit(X, y, weights, X_val=X, y_val=labels).validation_scores_ != []


@pytest.mark.parametrize("filler", [None, np.nan, pandas.NA, np.inf, "text"], ids=str)
@pytest.mark.parametrize("weighted", [True, False])
def test_unknown_numbers(filler, weighted, rng, seed):
    X, y, known = steps(rng, lambda positive: positive * 3.0 - 1)
    weights = [here.astype(float) for here in known]
    settings = {"return_sequences": True, "max_iter": 3, "random_state": seed}
    expected = LSTMRegressor(3, **settings).fit(X, y, weights)
    targets = replaced(y, known, filler)
    if not weighted and str(filler) in ("inf", "text"):
        with pytest.raises(ValueError, match="y"):
            LSTMRegressor(3, **settings).fit(X, targets)
        return
    given = (weights,) if weighted else ()
    found = LSTMRegressor(3, **settings).fit(X, targets, *given)
    assert_same_fit(expected, found)
    assert found.score(X, targets, *given) == expected.score(X, y, weights)


def test_an_array_with_nan_targets(rng, seed):
    X = rng.normal(size=(12, 5, 2))
    y = X[:, :, 0].copy()
    y[rng.random(y.shape) < 0.3] = np.nan
    y[0] = np.nan  # a sequence of which nothing is known
    settings = {"return_sequences": True, "max_iter": 3, "random_state": seed}
    found = LSTMRegressor(3, **settings).fit(X, y)
    expected = LSTMRegressor(3, **settings).fit(X, np.nan_to_num(y), (~np.isnan(y)).astype(float))
    assert_same_fit(expected, found)
    assert np.isfinite(found.predict(X)).all()


def test_no_known_target_at_all(rng):
    X = rng.normal(size=(3, 5, 2))
    with pytest.raises(ValueError, match="y: expected a known target at a step"):
        LSTMRegressor(3, return_sequences=True).fit(X, np.full((3, 5), np.nan))


def test_a_missing_target_of_a_sequence_is_an_error(rng):
    X, y = problem(rng)
    with pytest.raises(ValueError, match=r"Input y contains NaN: y\[3\]"):
        LSTMRegressor(3).fit(X, np.where(np.arange(len(y)) == 3, np.nan, y))


def test_a_wrong_label_of_a_step_is_named(rng):
    X, y, _ = steps(rng, words)
    clf = LSTMClassifier(3, return_sequences=True, max_iter=1).fit(X, y)
    y[4][-1] = "else"[:4]
    with pytest.raises(ValueError, match=rf"y\[4\], step {len(y[4]) - 1}: expected one of"):
        clf.set_params(warm_start=True).fit(X, y)
