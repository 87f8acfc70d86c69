"""Solvers, schedules, stopping criteria, warm starts and reproducibility."""

import os
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
from data import (
    SMALL,
    assert_same_fit,
    cut,
    fingerprint,
    outputs,
    parameter_vector,
    problem,
)
from numerics import assert_close
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

import sklstm
from sklstm import LSTMClassifier, LSTMRegressor
from sklstm._training.objective import Objective

ESTIMATORS = [LSTMClassifier, LSTMRegressor]
both = pytest.mark.parametrize("Estimator", ESTIMATORS)
every_solver = pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])

#: Many tests here end training early on purpose.
unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def data(rng):
    """More samples than one batch."""
    return problem(rng, n=70)


def fit(Estimator, data, seed, *, given=None, **parameters):
    return Estimator(**SMALL | parameters, random_state=seed).fit(*data, **given or {})


def initial(Estimator, data, seed, **parameters):
    """As fitted, but with the parameters that training begins with: the rate is none."""
    return fit(Estimator, data, seed, max_iter=1, learning_rate_init=1e-300, **parameters)


def step(Estimator, data, seed, **parameters):
    """What one update of plain gradient descent at rate one adds to the parameters."""
    plain = {
        "solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False, "batch_size": 1000,
        "max_grad_norm": None, "scale_inputs": False,
    }  # fmt: skip
    parameters = plain | parameters
    start = initial(Estimator, data, seed, **parameters)
    end = fit(Estimator, data, seed, max_iter=1, learning_rate_init=1.0, **parameters)
    return {name: end.parameters_[name] - start.parameters_[name] for name in end.parameters_}


# Solvers


@unconverged
@both
@every_solver
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [4, (4,), [3, 4], np.array([4, 3])])
def test_every_solver_lowers_the_loss(Estimator, solver, bidirectional, layers, data, seed):
    estimator = fit(
        Estimator, data, seed, solver=solver, bidirectional=bidirectional,
        hidden_layer_sizes=layers, max_iter=15, tol=0.0,
    )  # fmt: skip
    assert len(estimator.loss_curve_) == estimator.n_iter_ == 15
    assert estimator.loss_ == estimator.loss_curve_[-1] < 0.95 * estimator.loss_curve_[0]
    assert estimator.best_loss_ == min(estimator.loss_curve_)
    assert estimator.n_layers_ == np.size(layers)
    assert estimator.t_ == (15 if solver == "lbfgs" else 45)


@unconverged
@every_solver
@pytest.mark.parametrize("dropout", ["dropout", "recurrent_dropout"])
def test_dropout_is_for_training_alone(solver, dropout, data, seed):
    X, _ = data
    dropped = fit(LSTMClassifier, data, seed, solver=solver, **{dropout: 0.5})
    plain = fit(LSTMClassifier, data, seed, solver=solver)
    assert np.abs(parameter_vector(dropped) - parameter_vector(plain)).max() > 1e-6
    np.testing.assert_array_equal(dropped.predict_proba(X), dropped.predict_proba(X))
    assert_same_fit(dropped, fit(LSTMClassifier, data, seed, solver=solver, **{dropout: 0.5}))


@unconverged
@pytest.mark.parametrize(
    "setting",
    [
        {"learning_rate_init": 0.03}, {"batch_size": 10}, {"shuffle": False},
        {"forget_bias": 0.0}, {"alpha": 10.0}, {"max_grad_norm": 0.01}, {"beta_1": 0.5},
        {"beta_2": 0.5}, {"epsilon": 0.1}, {"learning_rate": "constant"},
        {"solver": "sgd", "momentum": 0.5}, {"solver": "sgd", "nesterovs_momentum": False},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_has_an_effect(setting, data, seed):
    plain = fit(LSTMClassifier, data, seed, solver=setting.get("solver", "adam"))
    other = fit(LSTMClassifier, data, seed, **setting)
    assert np.abs(parameter_vector(plain) - parameter_vector(other)).max() > 1e-6


@unconverged
def test_the_number_of_batches_of_an_epoch(rng, seed):
    for n, batch_size, expected in (
        (32, "auto", 1), (33, "auto", 2), (64, "auto", 2), (65, "auto", 3),
        (10, 200, 1), (10, 3, 4), (10, 1, 10),
    ):  # fmt: skip
        clf = fit(LSTMClassifier, problem(rng, n=n), seed, max_iter=1, batch_size=batch_size)
        assert clf.t_ == expected


@both
@pytest.mark.parametrize("limit", [{"max_iter": 4}, {"max_fun": 6, "max_iter": 1000}])
def test_lbfgs_stops_at_its_limits(Estimator, limit, data, seed):
    with pytest.warns(ConvergenceWarning, match="before it converged.*LIMIT"):
        estimator = fit(Estimator, data, seed, solver="lbfgs", **limit)
    assert estimator.n_iter_ <= 6


def test_lbfgs_converges_without_a_warning(data, seed):
    clf = fit(LSTMClassifier, data, seed, solver="lbfgs", alpha=1000.0, max_iter=1000)
    assert clf.n_iter_ < 1000
    rerun = clf.set_params(warm_start=True).fit(*data)
    np.testing.assert_allclose(rerun.loss_, clf.loss_curve_[-1], rtol=1e-4)


# Penalty and clipping


@unconverged
@both
def test_the_penalty_shrinks_weights_and_no_biases(Estimator, data, seed):
    _, y = data
    start = initial(
        Estimator, data, seed, solver="sgd", batch_size=1000, scale_inputs=False
    ).parameters_
    plain, penalised = (step(Estimator, data, seed, alpha=alpha) for alpha in (0.0, 7.0))
    for name, values in start.items():
        pull = -7 / len(y) * values if "weight" in name else 0 * values
        np.testing.assert_allclose(
            penalised[name] - plain[name], pull, rtol=1e-9, atol=1e-12, err_msg=name
        )


@unconverged
@pytest.mark.parametrize("max_grad_norm", [1e-3, 1e-2])
def test_a_step_is_no_longer_than_the_clipped_gradient(max_grad_norm, data, seed):
    def length(**parameters):
        moved = step(LSTMClassifier, data, seed, **parameters)
        return np.sqrt(sum((values**2).sum() for values in moved.values()))

    assert length() > max_grad_norm
    assert length(max_grad_norm=max_grad_norm) == pytest.approx(max_grad_norm, rel=1e-9)
    assert length(max_grad_norm=1e6) == length()


# Schedules


def rates(text):
    return [float(rate) for rate in re.findall(r"learning rate (\S+),", text)]


@unconverged
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_constant_rate(solver, data, seed, capsys):
    fit(LSTMClassifier, data, seed, solver=solver, learning_rate="constant",
        learning_rate_init=0.02, verbose=True)  # fmt: skip
    assert rates(capsys.readouterr().out) == [0.02] * 3


@unconverged
@pytest.mark.parametrize(("solver", "rate"), [("adam", 1e-2), ("sgd", 0.1)])
def test_the_automatic_rate(solver, rate, data, seed, capsys):
    setting = {"solver": solver, "learning_rate": "constant"}
    automatic = fit(LSTMClassifier, data, seed, verbose=True, **setting)
    assert rates(capsys.readouterr().out) == [rate] * 3
    given = fit(LSTMClassifier, data, seed, learning_rate_init=rate, **setting)
    assert_same_fit(automatic, given)


@unconverged
def test_the_cosine_schedule(data, seed, capsys):
    fit(LSTMClassifier, data, seed, learning_rate="cosine", learning_rate_init=1.0, max_iter=10,
        verbose=True)  # fmt: skip
    found = rates(capsys.readouterr().out)
    last_updates = np.arange(3, 31, 3) - 1  # three batches an epoch
    expected = (1 + np.cos(np.pi * last_updates / 30)) / 2
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_the_adaptive_schedule(data, seed, capsys):
    # With this tol no epoch counts as progress, so that each second one is a plateau. Training ends
    # below a rate of 1e-6, and not with a warning.
    clf = fit(LSTMClassifier, data, seed, learning_rate="adaptive", learning_rate_init=1e-3,
              tol=100.0, n_iter_no_change=1, max_iter=100, verbose=True)  # fmt: skip
    found = rates(capsys.readouterr().out)
    assert found == sorted(found, reverse=True)
    steps = sorted(set(found), reverse=True)
    np.testing.assert_allclose(steps, 1e-3 / 5.0 ** np.arange(len(steps)), rtol=0.01)
    assert steps[-1] <= 1e-6 < steps[-2]
    assert clf.n_iter_ < 30


# Stopping criteria


@both
@every_solver
def test_training_that_ends_too_early_warns(Estimator, solver, data, seed):
    with pytest.warns(ConvergenceWarning, match="before it converged.*Increase max_iter") as caught:
        estimator = fit(Estimator, data, seed, solver=solver, learning_rate="constant", max_iter=2)
    assert estimator.n_iter_ == 2
    assert len([w for w in caught if "before it converged" in str(w.message)]) == 1


@both
def test_training_ends_when_the_loss_does_not_improve(Estimator, data, seed):
    estimator = fit(Estimator, data, seed, learning_rate="constant", tol=100.0,
                    n_iter_no_change=4, max_iter=50)  # fmt: skip
    assert estimator.n_iter_ == 6  # one improves, four are allowed, the sixth ends


def test_infinite_patience_trains_until_max_iter(data, seed):
    with pytest.warns(ConvergenceWarning):
        clf = fit(LSTMClassifier, data, seed, learning_rate="constant", tol=100.0,
                  n_iter_no_change=np.inf, max_iter=30)  # fmt: skip
    assert clf.n_iter_ == 30


@both
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_cosine_schedule_trains_until_max_iter(Estimator, solver, data, seed):
    estimator = fit(Estimator, data, seed, solver=solver, learning_rate="cosine", tol=100.0,
                    n_iter_no_change=1, max_iter=20)  # fmt: skip
    assert estimator.n_iter_ == 20  # and no warning, which would be an error here


@pytest.mark.parametrize(
    ("n", "batch_size", "expected"),
    [(24, "auto", 100), (24, 2, 84), (24, 1, 42), (128, 1, 20), (30, 30, 100)],
)
def test_the_automatic_number_of_epochs_depends_on_the_number_of_updates(
    n, batch_size, expected, rng, seed
):
    data = problem(rng, n=n, n_timesteps=1)
    clf = fit(LSTMClassifier, data, seed, hidden_layer_sizes=1, batch_size=batch_size,
              max_iter="auto")  # fmt: skip
    assert clf.n_iter_ == expected


def validation_loss(clf, X, y):
    return log_loss(y, clf.predict_proba(X))


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
@unconverged
def test_validation_samples(solver, early_stopping, data, rng, seed):
    X_val, y_val = problem(rng, n=20)
    y_val = np.where(rng.random(20) < 0.3, 1 - y_val, y_val)  # so that there is overfitting
    given = {"X_val": cut(X_val, rng), "y_val": y_val}
    clf = fit(LSTMClassifier, (list(data[0]), data[1]), seed, given=given, solver=solver,
              early_stopping=early_stopping, max_iter=30, n_iter_no_change=5)  # fmt: skip
    assert len(clf.validation_scores_) == clf.n_iter_
    assert clf.best_validation_score_ == max(clf.validation_scores_)
    expected = clf.best_validation_score_ if early_stopping else clf.validation_scores_[-1]
    assert -validation_loss(clf, *given.values()) == pytest.approx(expected, rel=1e-9)
    if not early_stopping:  # then they are only watched
        plain = fit(LSTMClassifier, (list(data[0]), data[1]), seed, solver=solver, max_iter=30,
                    n_iter_no_change=5)  # fmt: skip
        assert_same_fit(plain, clf)


def test_early_stopping_ends_training(data, rng, seed):
    X, y = data
    given = {"X_val": X, "y_val": 1 - y}  # what is learnt makes this only worse
    clf = fit(LSTMClassifier, data, seed, given=given, early_stopping=True, n_iter_no_change=3,
              max_iter=100)  # fmt: skip
    assert clf.n_iter_ < 100
    scores = np.array(clf.validation_scores_)
    assert clf.n_iter_ > scores.argmax() + 1
    assert -validation_loss(clf, X, 1 - y) == pytest.approx(scores.max(), rel=1e-9)


@unconverged
@both
@pytest.mark.parametrize("form", [np.asarray, list])
def test_early_stopping_on_a_random_fraction(Estimator, form, data, seed):
    X, y = data
    parameters = {"early_stopping": True, "validation_fraction": 0.25, "max_iter": 5}
    one = fit(Estimator, (form(X), y), seed, **parameters)
    assert len(one.validation_scores_) == one.n_iter_
    assert one.best_validation_score_ == max(one.validation_scores_)
    assert_same_fit(one, fit(Estimator, (form(X), y), seed, **parameters))
    # 53 of 70 samples are trained on, in two batches an epoch.
    assert one.t_ == 2 * one.n_iter_


@unconverged
@both
def test_the_best_validation_score_is_that_of_the_kept_parameters(Estimator, data, rng, seed):
    X, y = data
    given = {"X_val": X[:20], "y_val": y[:20]}
    estimator = fit(Estimator, data, seed, given=given, early_stopping=True, warm_start=True,
                    max_iter=20)  # fmt: skip
    best = outputs(estimator, X)
    score = estimator.best_validation_score_
    # Going on with steps that only do harm must not lose what was best.
    estimator.set_params(solver="sgd", learning_rate_init=50.0, max_grad_norm=1.0, max_iter=2)
    estimator.fit(X, 1 - y, **given)
    assert max(estimator.validation_scores_[20:]) < score
    assert estimator.best_validation_score_ == score
    for method, values in outputs(estimator, X).items():
        np.testing.assert_array_equal(values, best[method])


@unconverged
@both
def test_a_warm_start_holds_out_the_same_samples(Estimator, data, seed):
    estimator = fit(Estimator, data, seed, early_stopping=True, warm_start=True)
    score = estimator.best_validation_score_
    estimator.set_params(learning_rate_init=1e-300, max_iter=1).fit(*data)
    assert estimator.validation_scores_[-1] == pytest.approx(score, rel=1e-9)


@unconverged
def test_early_stopping_needs_validation_samples(data, seed):
    clf = fit(LSTMClassifier, data, seed)
    assert clf.validation_scores_ == []
    assert clf.best_validation_score_ is None


def test_x_val_without_y_val_is_refused(data, seed):
    for name in ("X_val", "y_val"):
        with pytest.raises(ValueError, match="X_val and y_val together"):
            fit(LSTMClassifier, data, seed, given={name: data[0]})


@pytest.mark.parametrize("wrong", ["channels", "NaN", "length"])
def test_errors_of_validation_samples_name_them(wrong, data, seed):
    X, y = data
    X_val = {"channels": X[:, :, :1], "NaN": X.copy(), "length": X[:-1]}[wrong]
    X_val[5, 2] = np.nan if wrong == "NaN" else 0
    with pytest.raises(ValueError, match=r"Validation data \(X_val, y_val\): .*(feature|sample)"):
        fit(LSTMClassifier, data, seed, given={"X_val": X_val, "y_val": y})


# Warm starts and partial_fit


#: Without what depends on the total weight of all calls.
PLAIN_LOSS = {
    LSTMClassifier: {"alpha": 0.0, "label_smoothing": 0.0}, LSTMRegressor: {"alpha": 0.0},
}  # fmt: skip


@unconverged
@both
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", ["auto", 1000])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_twice_five_epochs_are_ten(Estimator, solver, batch_size, dropout, data, seed):
    parameters = {"solver": solver, "batch_size": batch_size, "dropout": dropout,
                  "learning_rate": "constant"}  # fmt: skip
    ten = fit(Estimator, data, seed, max_iter=10, **parameters)
    five = fit(Estimator, data, seed, max_iter=5, warm_start=True, **parameters)
    five.fit(*data)
    assert_same_fit(ten, five)
    assert five.loss_curve_ == ten.loss_curve_
    assert (five.n_iter_, five.t_) == (ten.n_iter_, ten.t_)


@unconverged
@both
@pytest.mark.parametrize("first", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("second", ["adam", "sgd", "lbfgs"])
def test_a_warm_start_with_another_solver(Estimator, first, second, data, seed):
    estimator = fit(Estimator, data, seed, solver=first, max_iter=5, tol=0.0, warm_start=True)
    loss = estimator.loss_
    estimator.set_params(solver=second, max_iter=10).fit(*data)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 15
    assert estimator.loss_ < loss
    assert estimator.loss_curve_[5] < np.mean(estimator.loss_curve_[:2])


@unconverged
@both
@pytest.mark.parametrize(
    "change",
    [{"hidden_layer_sizes": 5}, {"hidden_layer_sizes": (4, 4)}, {"bidirectional": True}],
    ids=str,
)
@pytest.mark.parametrize("way", ["fit", "partial_fit"])
def test_a_warm_start_refuses_another_network(Estimator, change, way, data, seed):
    estimator = fit(Estimator, data, seed, warm_start=True).set_params(**change)
    before = fingerprint(estimator)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes, cannot change.*warm_start=False"):
        getattr(estimator, way)(*data)
    assert fingerprint(estimator) == before
    estimator.set_params(warm_start=False).fit(*data)


@unconverged
@both
def test_a_fit_without_warm_start_starts_again(Estimator, data, seed):
    estimator = fit(Estimator, data, seed)
    again = fit(Estimator, problem(np.random.default_rng(0), n=40, n_features=3), seed)
    assert_same_fit(estimator, again.fit(*data))
    assert again.n_iter_ == 3


@unconverged
@both
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", ["auto", 1000])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("scale_inputs", [False, True])
def test_each_partial_fit_is_an_epoch(
    Estimator, solver, batch_size, dropout, scale_inputs, data, seed
):
    parameters = {
        "solver": solver, "batch_size": batch_size, "dropout": dropout,
        "learning_rate": "constant", "scale_inputs": scale_inputs, **PLAIN_LOSS[Estimator],
    }  # fmt: skip
    fitted = fit(Estimator, data, seed, max_iter=4, **parameters)
    other = Estimator(**SMALL, **parameters, random_state=seed)
    classes = {"classes": [1, 0]} if Estimator is LSTMClassifier else {}
    other.partial_fit(*data, **classes)
    for _ in range(3):
        other.partial_fit(*data)
    # Each call merges mean and scale of inputs and targets with those so far, which rounds.
    tolerance = 0.0 if Estimator is LSTMClassifier and not scale_inputs else 1e-9
    assert_close(parameter_vector(other), parameter_vector(fitted), tolerance)
    assert_close(np.array(other.loss_curve_), np.array(fitted.loss_curve_), tolerance)
    assert (other.n_iter_, other.t_) == (4, fitted.t_)


@unconverged
@both
def test_partial_fit_continues_after_fit(Estimator, data, seed):
    constant = {"learning_rate": "constant", **PLAIN_LOSS[Estimator]}
    fitted = fit(Estimator, data, seed, max_iter=4, **constant)
    other = fit(Estimator, data, seed, max_iter=3, **constant).partial_fit(*data)
    assert_close(parameter_vector(other), parameter_vector(fitted), 1e-9)


@unconverged
@both
def test_partial_fit_keeps_the_rate(Estimator, data, seed):
    """There is no last epoch at which the rate could reach zero."""
    classes = {"classes": [1, 0]} if Estimator is LSTMClassifier else {}
    cosine, constant = (
        Estimator(**SMALL, learning_rate=rate, random_state=seed).partial_fit(*data, **classes)
        for rate in ("cosine", "constant")
    )
    assert_same_fit(cosine, constant)


def test_partial_fit_never_warns_nor_ends_early(data, seed):
    clf = LSTMClassifier(**SMALL, tol=100.0, n_iter_no_change=1, random_state=seed)
    for _ in range(6):
        clf.partial_fit(*data, classes=[0, 1])
    assert clf.n_iter_ == 6


def test_partial_fit_with_weights(data, seed):
    X, y = data
    weights = np.where(np.arange(70) % 2, 1.0, 0.0)
    one = LSTMClassifier(**SMALL, random_state=seed).partial_fit(X, y, [0, 1], weights)
    other = LSTMClassifier(**SMALL, random_state=seed).partial_fit(X[1::2], y[1::2], [0, 1])
    assert_same_fit(one, other)


def test_partial_fit_on_changing_data(data, rng, seed):
    X, y = data
    clf = LSTMClassifier(**SMALL, random_state=seed).partial_fit(list(X), y, classes=[0, 1, 2])
    assert clf.classes_.tolist() == [0, 1, 2]
    clf.partial_fit(rng.normal(size=(3, 20, 2)), [2, 2, 2])
    assert clf.t_ == 4
    with pytest.raises(ValueError, match=r"1 features, but .* expecting 2"):
        clf.partial_fit(rng.normal(size=(3, 20, 1)), [2, 2, 2])


@pytest.mark.parametrize("classes", [None, [0, 1, 2]])
def test_partial_fit_of_several_labels(classes, data, seed):
    X, y = data
    Y = np.c_[y, 1 - y, y]
    clf = LSTMClassifier(**SMALL, random_state=seed).partial_fit(X, Y, classes=classes)
    clf.partial_fit(X, Y, classes=classes)
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.predict(X).shape == Y.shape


@pytest.mark.parametrize(
    ("parameters", "arguments", "message"),
    [
        ({}, {}, "classes must be passed on the first call"),
        ({}, {"classes": [0]}, "at least two classes"),
        ({}, {"classes": [1, 2]}, r"y\[\d+\]: expected one of \[1, 2\]"),
        ({"early_stopping": True}, {"classes": [0, 1]}, "does not support early_stopping"),
        ({"class_weight": "balanced"}, {"classes": [0, 1]}, "cannot balance their classes"),
    ],
)
def test_what_partial_fit_refuses(parameters, arguments, message, data, seed):
    clf = LSTMClassifier(**SMALL, **parameters, random_state=seed)
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(*data, **arguments)
    assert not hasattr(clf, "classes_")


@pytest.mark.parametrize("other", [[0, 2], [0, 1, 2], ["a", "b"]])
def test_classes_cannot_change(other, data, seed):
    clf = LSTMClassifier(**SMALL, random_state=seed).partial_fit(*data, classes=[0, 1])
    clf.partial_fit(*data, classes=[1, 0])
    with pytest.raises(ValueError, match=r"classes: expected \[0 1\] as in the first call"):
        clf.partial_fit(*data, classes=other)


@both
def test_lbfgs_has_no_partial_fit(Estimator, data):
    estimator = Estimator(solver="lbfgs")
    assert not hasattr(estimator, "partial_fit")
    assert hasattr(Estimator(), "partial_fit")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'"):
        estimator.partial_fit(*data)


# Interrupts and divergence


def interrupt(monkeypatch, evaluation):
    """Let the user press Ctrl-C while the objective is evaluated for the so-manieth time."""
    evaluate, count = Objective.__call__, 0

    def interrupted(self, *args, **kwargs):
        nonlocal count
        count += 1
        if count == evaluation:
            raise KeyboardInterrupt
        return evaluate(self, *args, **kwargs)

    monkeypatch.setattr(Objective, "__call__", interrupted)


@both
@every_solver
def test_an_interrupt_keeps_what_was_learnt(Estimator, solver, data, seed, monkeypatch):
    parameters = {"solver": solver, "batch_size": 1000, "learning_rate": "constant"}
    with pytest.warns(ConvergenceWarning):
        expected = fit(Estimator, data, seed, max_iter=2, **parameters)
    # L-BFGS evaluates once before its first iteration, and maybe more often within one.
    interrupt(monkeypatch, 3 if solver != "lbfgs" else 4)
    with pytest.warns(UserWarning, match=r"interrupted after \d epochs.*are kept") as caught:
        estimator = fit(Estimator, data, seed, max_iter=50, **parameters)
    assert len(caught) == 1
    assert len(estimator.loss_curve_) == estimator.n_iter_
    if solver != "lbfgs":
        assert_same_fit(expected, estimator)
        assert estimator.n_iter_ == 2
    assert estimator.predict(data[0]).shape == (70,)


def test_an_interrupt_within_an_epoch(data, seed, monkeypatch):
    interrupt(monkeypatch, 6)  # the last of three batches in the second epoch
    with pytest.warns(UserWarning, match="interrupted after 1 epochs"):
        clf = fit(LSTMClassifier, data, seed, max_iter=50)
    assert (clf.n_iter_, clf.t_) == (1, 5)
    assert np.isfinite(clf.predict_proba(data[0])).all()
    monkeypatch.undo()
    clf.set_params(warm_start=True, max_iter=2).fit(*data)
    assert (clf.n_iter_, clf.t_) == (3, 11)


def test_an_interrupt_in_early_stopping_keeps_the_best(data, seed, monkeypatch):
    X, y = data
    interrupt(monkeypatch, 13)
    with pytest.warns(UserWarning, match="interrupted after 4 epochs"):
        clf = fit(LSTMClassifier, data, seed, max_iter=50, early_stopping=True,
                  given={"X_val": X, "y_val": 1 - y})  # fmt: skip
    expected = max(clf.validation_scores_)
    assert -validation_loss(clf, X, 1 - y) == pytest.approx(expected, rel=1e-9)


DIVERGING = [
    {"solver": "sgd", "learning_rate_init": 1e200, "max_grad_norm": None},
    {"solver": "sgd", "learning_rate_init": 1e200},
    {"solver": "adam", "learning_rate_init": 1e308, "max_grad_norm": None},
    {"solver": "sgd", "learning_rate_init": 1e30, "dtype": "float32"},
]


@both
@pytest.mark.parametrize("parameters", DIVERGING, ids=str)
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_the_error_of_a_diverging_loss_names_the_step_and_remedies(
    Estimator, parameters, n_jobs, rng, seed
):
    data = problem(rng, n=150)
    parameters = parameters | {"batch_size": 1000, "n_jobs": n_jobs, "max_iter": 20,
                               "learning_rate": "constant"}  # fmt: skip
    message = r"diverged at update step \d+ \(epoch \d+, batch 1 of 1, learning rate 1e\+\d+\)"
    with pytest.raises(ValueError, match=message + ".*Try a smaller learning_rate_init"):
        fit(Estimator, data, seed, **parameters)


def test_the_poisson_loss_diverges_too(data, seed):
    parameters = {"loss": "poisson", "solver": "sgd", "learning_rate_init": 1e4,
                  "max_grad_norm": None, "max_iter": 50}  # fmt: skip
    with pytest.raises(ValueError, match="diverged at update step"):
        fit(LSTMRegressor, data, seed, **parameters)


@unconverged
@both
def test_divergence_does_not_change_an_earlier_fit(Estimator, data, seed):
    estimator = fit(Estimator, data, seed)
    expected = outputs(estimator, data[0])
    before = fingerprint(estimator.set_params(**DIVERGING[0]))
    with pytest.raises(ValueError, match="diverged"):
        estimator.fit(*data)
    assert fingerprint(estimator) == before
    for method, values in outputs(estimator, data[0]).items():
        np.testing.assert_array_equal(values, expected[method])


# Reproducibility


@unconverged
@both
@every_solver
def test_a_seed_gives_the_same_fit(Estimator, solver, data, seed):
    parameters = {"solver": solver, "dropout": 0.2, "recurrent_dropout": 0.2}
    one, two = (fit(Estimator, data, seed, **parameters) for _ in range(2))
    assert_same_fit(one, two)
    other = fit(Estimator, data, (seed + 1) % 2**32, **parameters)
    assert np.abs(parameter_vector(one) - parameter_vector(other)).max() > 1e-3


@unconverged
@both
def test_kinds_of_random_state(Estimator, data, seed):
    unlike = [fit(Estimator, data, None) for _ in range(2)]
    assert np.abs(parameter_vector(unlike[0]) - parameter_vector(unlike[1])).max() > 1e-3
    state = np.random.RandomState(seed)
    first, second = (fit(Estimator, data, state) for _ in range(2))
    assert np.abs(parameter_vector(first) - parameter_vector(second)).max() > 1e-3
    assert_same_fit(first, fit(Estimator, data, np.random.RandomState(seed)))


@unconverged
def test_the_global_random_generator_is_not_used(data, seed):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    fit(LSTMClassifier, data, seed, dropout=0.2, early_stopping=True)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@unconverged
@both
@every_solver
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_number_of_threads_changes_no_bit(Estimator, solver, dtype, rng, seed):
    X, y = problem(rng, n=300, n_timesteps=4)
    X = cut(X, rng)
    parameters = {"solver": solver, "batch_size": 150, "dtype": dtype, "dropout": 0.1}
    one, two = (fit(Estimator, (X, y), seed, n_jobs=n, **parameters) for n in (1, 2))
    assert_same_fit(one, two)
    assert one.loss_curve_ == two.loss_curve_
    for method, values in outputs(one, X).items():
        np.testing.assert_array_equal(values, outputs(two, X)[method])


PROGRAM = """
    import sys, warnings
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklstm import LSTMClassifier, LSTMRegressor

    warnings.simplefilter("error")
    warnings.simplefilter("ignore", ConvergenceWarning)
    seed, n_jobs, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(length, 2)) for length in rng.integers(1, 8, size=150)]
    y = ["yes" if x.mean() > 0 else "no" for x in X]
    fitted = {}
    for solver in ("adam", "sgd", "lbfgs"):
        for name, Estimator, target in (("c", LSTMClassifier, y),
                                        ("r", LSTMRegressor, [x.mean() for x in X])):
            estimator = Estimator(4, max_iter=3, solver=solver, batch_size=140, dropout=0.1,
                                  n_jobs=n_jobs, random_state=seed).fit(X, target)
            for part, values in estimator.parameters_.items():
                fitted[f"{solver}.{name}.{part}"] = values
    np.savez(out, **fitted)
"""


def test_another_process_gives_the_same_bits(seed, tmp_path):
    found = []
    for n_jobs in (1, 2):
        out = tmp_path / f"{n_jobs}.npz"
        environment = os.environ | {
            "PYTHONHASHSEED": str(n_jobs),
            "PYTHONPATH": str(Path(sklstm.__file__).parents[1]),
        }
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(seed), str(n_jobs), str(out)],
            check=True,
            env=environment,
        )
        found.append(dict(np.load(out)))
    assert found[0].keys() == found[1].keys()
    assert len(found[0]) == 30
    for name, values in found[0].items():
        np.testing.assert_array_equal(values, found[1][name], err_msg=name)


# Verbosity


@unconverged
@every_solver
def test_verbose(solver, data, seed, capsys):
    fit(LSTMClassifier, data, seed, solver=solver, verbose=False)
    assert capsys.readouterr().out == ""
    clf = fit(LSTMClassifier, data, seed, solver=solver, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for k, line in enumerate(lines):
        assert line.startswith(f"epoch {k + 1}/3, loss {clf.loss_curve_[k]:.4g}")
        assert line.endswith(" s left")
    fit(LSTMClassifier, data, seed, solver=solver, verbose=2)
    found = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert found == ["epoch 2/3", "epoch 3/3"]


def test_verbose_counts_the_calls_of_partial_fit(data, seed, capsys):
    clf = LSTMClassifier(4, verbose=True, random_state=seed)
    for _ in range(3):
        clf.partial_fit(*data, classes=[0, 1, 2])
    found = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert found == ["epoch 1", "epoch 2", "epoch 3"]


@unconverged
@pytest.mark.parametrize("scoring", ["loss", "accuracy"])
def test_verbose_prints_the_validation(scoring, data, seed, capsys):
    clf = fit(LSTMClassifier, data, seed, early_stopping=True, scoring=scoring, verbose=True)
    found = re.findall(r"validation (\S+) (\S+),", capsys.readouterr().out)
    name, sign = ("loss", -1) if scoring == "loss" else ("score", 1)
    assert found == [(name, f"{sign * score:.4g}") for score in clf.validation_scores_]


def test_a_fit_that_converges_warns_of_nothing(data, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(LSTMClassifier, data, seed, tol=1.0, n_iter_no_change=1, max_iter=100)


def test_lbfgs_draws_the_same_masks_at_each_evaluation(data, seed, monkeypatch):
    """A line search needs the same function at every point."""
    evaluate, states = Objective.__call__, []

    def recorded(self, parameters, indices, rng):
        states.append(rng.get_state(legacy=False)["state"])
        return evaluate(self, parameters, indices, rng)

    monkeypatch.setattr(Objective, "__call__", recorded)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit(LSTMClassifier, data, seed, solver="lbfgs", dropout=0.3, max_iter=3)
    assert len(states) > 3
    for state in states:
        assert state["pos"] == states[0]["pos"]
        np.testing.assert_array_equal(state["key"], states[0]["key"])
