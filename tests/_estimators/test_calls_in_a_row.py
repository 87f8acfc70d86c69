"""Calls of fit and partial_fit one after another, with settings changed in between."""

import pickle
from itertools import product

import numpy as np
import pytest
from data import SMALL, assert_same_fit, cut, fingerprint, outputs, parameter_vector, problem
from numerics import assert_close

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm._training.objective import Objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

both = pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])


@pytest.fixture
def data(rng):
    return problem(rng, n=50)


def fit(estimator, data, **arguments):
    return estimator.set_params(warm_start=False).fit(*data, **arguments)


def warm_fit(estimator, data, **arguments):
    return estimator.set_params(warm_start=True).fit(*data, **arguments)


def partial_fit(estimator, data, **arguments):
    classes = {"classes": [0, 1]} if isinstance(estimator, LSTMClassifier) else {}
    return estimator.partial_fit(*data, **classes, **arguments)


CALLS = {"fit": fit, "warm fit": warm_fit, "partial_fit": partial_fit}

#: Settings before the first and before the second call.
CHANGES = {
    "nothing": ({}, {}),
    **{
        f"{one} to {two}": ({"solver": one}, {"solver": two})
        for one, two in product(("adam", "sgd", "lbfgs"), repeat=2)
    },
    "early stopping on": ({}, {"early_stopping": True}),
    "early stopping off": ({"early_stopping": True}, {"early_stopping": False}),
    "n_jobs": ({"n_jobs": 1}, {"n_jobs": 2}),
    "to float32": ({"dtype": "float64"}, {"dtype": "float32"}),
    "to float64": ({"dtype": "float32"}, {"dtype": "float64"}),
    "dropout": ({}, {"dropout": 0.3, "recurrent_dropout": 0.3}),
    "rate": ({}, {"learning_rate": "adaptive", "learning_rate_init": 0.003}),
    "batch size": ({"batch_size": 7}, {"batch_size": 1000}),
    "pooling": ({"pooling": "mean"}, {"pooling": "last"}),
}
CLASSIFIER_CHANGES = {
    "class weights": ({}, {"class_weight": {1: 5.0}}),
    "balance": ({}, {"class_weight": "balanced"}),
}
LEVELS = {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]}
GAUSSIAN = {"loss": "gaussian"}
REGRESSOR_CHANGES = {
    "levels": (LEVELS, {"quantile": [0.2, 0.5, 0.8]}),
    "fewer levels": (LEVELS, {"quantile": [0.2, 0.8]}),
    "to levels": ({}, LEVELS),
    "gaussian": (GAUSSIAN, {"alpha": 0.1}),
    "gaussian to lbfgs": (GAUSSIAN, {"solver": "lbfgs"}),
    "levels from lbfgs": (LEVELS | {"solver": "lbfgs"}, {"solver": "adam"}),
    "to gaussian": ({}, GAUSSIAN),
    "from gaussian": (GAUSSIAN, LEVELS | {"quantile": [0.1, 0.9]}),
    "loss": ({}, {"loss": "huber"}),
    "from a log link": ({"loss": "poisson"}, {"loss": "squared_error"}),
    "to a log link": ({}, {"loss": "poisson"}),
}
#: What a second call refuses if the settings before it have changed like this.
LINKS = {
    "from a log link": "loss: expected one with the link of 'poisson'",
    "to a log link": "loss: expected one with the link of 'squared_error'",
    "fewer levels": r"'quantile' with quantile=\[0.1, 0.5, 0.9\], .*, got .*\[0.2, 0.8\]",
    "to levels": r"link of 'squared_error', .*, got 'quantile' with quantile=\[0.1, 0.5, 0.9\]",
    "to gaussian": "loss: expected one with the link of 'squared_error', .*, got 'gaussian'",
    "from gaussian": "loss: expected one with the link of 'gaussian', .*, got 'quantile' with",
}
REFUSED = {
    "warm fit": LINKS,
    "partial_fit": LINKS
    | {
        "early stopping on": "partial_fit does not support early_stopping=True",
        "balance": "cannot balance their classes",
    },
}
CELLS = [
    (Estimator, first, second, change)
    for Estimator, changes in (
        (LSTMClassifier, CHANGES | CLASSIFIER_CHANGES),
        (LSTMRegressor, CHANGES | REGRESSOR_CHANGES),
    )
    for first, second, change in product(CALLS, CALLS, changes)
]


def settings_of(Estimator, change):
    return (CHANGES | CLASSIFIER_CHANGES | REGRESSOR_CHANGES)[change]


def impossible(call, settings):
    """Whether the first call itself cannot be made with these settings."""
    no_batches = settings.get("solver") == "lbfgs" or settings.get("early_stopping")
    return call == "partial_fit" and bool(no_batches)


@pytest.mark.parametrize(("Estimator", "first", "second", "change"), CELLS)
def test_two_calls(Estimator, first, second, change, data, seed):
    """Each pair works, and leaves what belongs together, or is refused with a reason."""
    before, after = settings_of(Estimator, change)
    if impossible(first, before):
        pytest.skip("the first call is impossible")
    estimator = Estimator(**SMALL | {"max_iter": 2}, random_state=seed, **before)
    CALLS[first](estimator, data)
    n_epochs, n_updates = estimator.n_iter_, estimator.t_
    estimator.set_params(**after, warm_start=second == "warm fit")
    if after.get("solver") == "lbfgs" and second == "partial_fit":
        assert not hasattr(estimator, "partial_fit")
        return
    state = fingerprint(estimator)
    message = REFUSED.get(second, {}).get(change)
    if message is not None:
        with pytest.raises(ValueError, match=message):
            CALLS[second](estimator, data)
        assert fingerprint(estimator) == state
        return
    CALLS[second](estimator, data)
    assert np.isfinite(estimator.predict(data[0])).all()
    assert np.isfinite(parameter_vector(estimator)).all()
    assert estimator.n_iter_ == len(estimator.loss_curve_)
    assert estimator.best_loss_ == min(estimator.loss_curve_)
    if second == "fit":
        fresh = Estimator(**SMALL | {"max_iter": 2}, random_state=seed, **before | after)
        assert_same_fit(fresh.fit(*data), estimator)
    else:
        assert estimator.n_iter_ > n_epochs
        assert estimator.t_ > n_updates
    if "dtype" in after:
        assert estimator.parameters_["dense.bias"].dtype == after["dtype"]


@pytest.mark.parametrize("second", ["warm fit", "partial_fit"])
@pytest.mark.parametrize(
    "change",
    [{"hidden_layer_sizes": 5}, {"hidden_layer_sizes": (4, 4)}, {"bidirectional": True},
     {"pooling": "max"}],
    ids=str,
)  # fmt: skip
def test_another_network_is_refused(second, change, data, seed):
    clf = LSTMClassifier(**SMALL, random_state=seed).fit(*data).set_params(**change)
    before = outputs(clf, data[0])
    with pytest.raises(ValueError, match="parameters that change its shape"):
        CALLS[second](clf, data)
    for method, values in outputs(clf, data[0]).items():
        np.testing.assert_array_equal(values, before[method])


@pytest.mark.parametrize("second", ["warm fit", "partial_fit"])
@pytest.mark.parametrize(
    ("change", "name"), [({"return_sequences": True}, "return_sequences"),
                         ({"vocabulary_size": 9}, "vocabulary_size")],
)  # fmt: skip
def test_another_kind_of_data_is_refused(second, change, name, data, seed):
    clf = LSTMClassifier(**SMALL, random_state=seed).fit(*data).set_params(**change)
    with pytest.raises(ValueError, match=f"{name} cannot change"):
        CALLS[second](clf, data)


@both
def test_validation_samples_in_the_second_call_alone(Estimator, data, rng, seed):
    estimator = Estimator(**SMALL, random_state=seed).fit(*data)
    assert estimator.best_iteration_ is None
    X_val, y_val = problem(rng)
    warm_fit(estimator, data, X_val=X_val, y_val=y_val)
    assert estimator.n_iter_ == 6
    assert len(estimator.validation_scores_) == 3
    warm_fit(estimator, data)
    assert len(estimator.validation_scores_) == 3
    assert estimator.best_validation_score_ is None


# --- counters ---


def test_updates_are_counted_over_solvers(data, seed):
    clf = LSTMClassifier(**SMALL, batch_size=10, warm_start=True, random_state=seed).fit(*data)
    assert clf.t_ == 15
    clf.set_params(solver="lbfgs").fit(*data)
    assert clf.t_ == 18
    clf.set_params(solver="adam").fit(*data)
    assert clf.t_ == 33
    clf.partial_fit(*data)
    assert clf.t_ == 38


def test_the_bias_correction_of_adam_starts_with_its_moments(data, seed):
    """After L-BFGS, the first updates of Adam have the size of the learning rate again."""
    rate = 1e-3
    settings = {"learning_rate": "constant", "learning_rate_init": rate, "batch_size": 1000}
    clf = LSTMClassifier(**SMALL | {"max_iter": 200}, **settings, random_state=seed).fit(*data)
    clf.set_params(warm_start=True, solver="lbfgs", max_iter=1).fit(*data)
    before = parameter_vector(clf)
    clf.set_params(solver="adam").fit(*data)
    largest = np.abs(parameter_vector(clf) - before).max()
    assert rate * 0.5 < largest < rate * 1.5


@pytest.mark.parametrize("early_stopping", [True, False])
def test_the_best_iteration_is_that_of_the_best_score(early_stopping, data, rng, seed):
    X_val, y_val = problem(rng)
    clf = LSTMClassifier(
        **SMALL | {"max_iter": 8}, early_stopping=early_stopping, random_state=seed
    ).fit(*data, X_val=X_val, y_val=y_val)
    scores = clf.validation_scores_
    assert scores[clf.best_iteration_ - 1] == clf.best_validation_score_ == max(scores)
    clf.set_params(warm_start=True, learning_rate_init=1.0).fit(*data, X_val=X_val, y_val=y_val)
    assert clf.best_iteration_ >= 8
    if early_stopping and clf.best_iteration_ > 8:
        assert scores != clf.validation_scores_


# --- the learning rate of partial_fit ---


@both
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_after_a_fit_does_not_raise_the_loss(Estimator, solver, data, seed):
    estimator = Estimator(4, solver=solver, random_state=seed).fit(*data)
    mean_loss = estimator.loss_
    for _ in range(3):
        estimator.partial_fit(*data)
    assert estimator.loss_ <= mean_loss * 1.01


@both
def test_partial_fit_continues_at_a_hundredth_of_the_initial_rate(Estimator, data, seed):
    after_fit = Estimator(**SMALL, random_state=seed).fit(*data)
    by_hand = pickle.loads(pickle.dumps(after_fit))
    after_fit.partial_fit(*data)
    by_hand._model.state.rate_factor = 1.0
    by_hand.set_params(learning_rate_init=1e-4).partial_fit(*data)
    assert_same_fit(after_fit, by_hand)


def test_partial_fit_continues_at_the_adapted_rate(data, seed):
    settings = {"learning_rate": "adaptive", "tol": 1e3, "n_iter_no_change": 1, "max_iter": 6}
    clf = LSTMClassifier(3, **settings, random_state=seed).fit(*data)
    assert clf._model.state.rate_factor == pytest.approx(1 / 25)


# --- units of the targets ---


def test_partial_fit_learns_from_one_sample_at_a_time(rng, seed):
    X = rng.normal(size=(120, 6, 2))
    y = 1e3 + 50 * X[:, :, 0].mean(axis=1)
    reg = LSTMRegressor(8, learning_rate_init=0.01, random_state=seed)
    for _ in range(8):
        for k in rng.permutation(len(X)):
            reg.partial_fit(X[k : k + 1], y[k : k + 1])
    assert reg.score(X, y) > 0.7
    _, mean = reg._model.form.targets.units
    assert mean == pytest.approx(y.mean())


@pytest.mark.parametrize("second", ["warm fit", "partial_fit"])
@pytest.mark.parametrize("loss", [{}, {"loss": "poisson"}, {"loss": "gaussian"}, LEVELS], ids=str)
def test_new_units_do_not_change_predictions(second, loss, rng, seed, monkeypatch):
    """Without an update in between, predictions are the same before and after."""
    X, _ = problem(rng)
    y = rng.gamma(2.0, 3.0, (len(X), 2))
    reg = LSTMRegressor(4, **loss, max_iter=3, random_state=seed).fit(X, y)
    with_std = {"return_std": True} if loss == GAUSSIAN else {}
    before = np.stack([reg.predict(X, **with_std)])
    zero = Objective.__call__

    def no_gradient(self, parameters, *arguments):
        value, gradient, n = zero(self, parameters, *arguments)
        return value, 0 * gradient, n

    monkeypatch.setattr(Objective, "__call__", no_gradient)
    reg.set_params(learning_rate_init=1e-300, momentum=0.0, solver="sgd", alpha=0.0)
    CALLS[second](reg, (X, 100 + 7 * y))
    assert_close(np.stack([reg.predict(X, **with_std)]), before, 1e-10)
    assert (reg._model.form.targets.units[0] > 5).all()


@pytest.mark.parametrize("second", ["warm fit", "partial_fit"])
@pytest.mark.parametrize("loss", [{}, {"loss": "gaussian"}, LEVELS], ids=str)
def test_a_constant_target_in_the_first_call(second, loss, rng, seed):
    X, _ = problem(rng, n=60)
    y = X[:, :, 0].mean(axis=1)
    # Means far from the data make the first deviations large, so that means move slowly.
    reg = LSTMRegressor(8, **loss, random_state=seed, max_iter=400 if loss == GAUSSIAN else 60)
    CALLS[second](reg, (X, np.full(60, 3.0)))
    np.testing.assert_array_equal(reg.predict(X), 3.0)
    for _ in range(60 if second == "partial_fit" else 1):
        CALLS[second](reg, (X, y))
    assert reg.score(X, y) > 0.7


# --- failures ---


@pytest.mark.parametrize("warm_start", [True, False])
def test_a_failed_fit_changes_nothing(warm_start, data, seed):
    state = np.random.RandomState(seed)
    clf = LSTMClassifier(**SMALL, warm_start=warm_start, random_state=state).fit(*data)
    before, drawn = fingerprint(clf), clf._model.state.rng.get_state(legacy=False)
    with pytest.raises(ValueError, match="Training diverged"):
        clf.set_params(learning_rate_init=1e300, max_grad_norm=None).fit(*data)
    clf.set_params(learning_rate_init="auto", max_grad_norm=1.0)
    after = clf._model.state.rng.get_state(legacy=False)
    np.testing.assert_array_equal(after["state"]["key"], drawn["state"]["key"])
    assert after["state"]["pos"] == drawn["state"]["pos"]
    if warm_start:
        assert fingerprint(clf) == before


def test_ragged_data_after_arrays(data, rng, seed):
    clf = LSTMClassifier(**SMALL, random_state=seed).fit(*data)
    X, y = data
    assert clf.partial_fit(cut(X, rng), y).n_iter_ == 4


def test_a_warm_fit_that_fails_after_an_epoch_changes_nothing(data, seed, monkeypatch):
    clf = LSTMClassifier(**SMALL, warm_start=True, random_state=seed).fit(*data)
    before, evaluate, calls = fingerprint(clf), Objective.__call__, []

    def fails(self, *arguments):
        calls.append(1)
        if len(calls) == 5:  # an epoch has two batches
            raise RuntimeError("stop")
        return evaluate(self, *arguments)

    monkeypatch.setattr(Objective, "__call__", fails)
    with pytest.raises(RuntimeError, match="stop"):
        clf.fit(*data)
    assert fingerprint(clf) == before
