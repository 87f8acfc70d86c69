"""The warning of a fit that ends above the loss of a constant prediction."""

import re
import warnings

import numpy as np
import pytest
from data import SMALL, problem
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from sklstm import LSTMClassifier, LSTMRegressor

MESSAGE = (
    r"Training ended with a loss of (\S+), which is more than 1 percent above that of a constant "
    r"prediction, (\S+): the network has not learned from its inputs. Try a smaller "
    r"learning_rate_init \(it is (\S+)\), more epochs \(max_iter\), or a smaller alpha"
)
both = pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])


def messages(model, *data, **given):
    """The warnings of a fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*data, **given)
    assert all(warning.category is ConvergenceWarning for warning in caught)
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


@both
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "sgd"}])
def test_a_rate_that_is_much_too_large(Estimator, options, rng, seed):
    X, y = problem(rng, n=70)
    y = rng.permutation(y)  # nothing can be learned by accident
    model = Estimator(8, learning_rate_init=1e5, max_iter=20, random_state=seed, **options)
    (message,) = messages(model, X, y)
    loss, constant, rate = re.fullmatch(MESSAGE + r"\.", message).groups()
    assert float(loss) > 1.01 * float(constant)
    assert float(rate) == 1e5
    if not options:
        expected = 0.5 if Estimator is LSTMRegressor else log_loss(y, np.full(len(y), y.mean()))
        assert float(constant) == pytest.approx(expected, rel=1e-3)
    if Estimator is LSTMClassifier and not options:
        log_proba = model.predict_log_proba(X)[np.arange(70), y]
        assert float(loss) == pytest.approx(-log_proba.mean(), rel=1e-2)


@both
def test_the_scale_of_inputs_is_named_if_they_are_not_scaled(Estimator, rng, seed):
    X, y = problem(rng, n=70)
    options = {"learning_rate_init": 1e5, "max_iter": 20, "scale_inputs": False}
    (message,) = messages(Estimator(8, random_state=seed, **options), X, rng.permutation(y))
    assert re.fullmatch(MESSAGE + r", or scale_inputs=True\.", message)


@both
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_fit_that_learns_does_not_warn(Estimator, solver, rng, seed):
    X, y = problem(rng, n=70)
    assert not any(
        re.match(MESSAGE, message)
        for message in messages(Estimator(8, solver=solver, random_state=seed), X, y)
    )


@both
@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}])
def test_with_dropout_there_is_no_warning(Estimator, options, rng, seed):
    X, y = problem(rng, n=70)
    model = Estimator(8, learning_rate_init=1e5, max_iter=20, random_state=seed, **options)
    assert messages(model, X, y) == []


def test_partial_fit_does_not_warn(rng, seed):
    X, y = problem(rng, n=70)
    reg = LSTMRegressor(8, learning_rate_init=1e3, random_state=seed)
    for _ in range(3):
        reg.partial_fit(X, y)
    assert reg.loss_ > 1


def test_the_loss_that_counts_is_that_of_the_final_parameters(rng, seed):
    """The mean over the updates of an epoch may be far larger."""
    X, y = problem(rng, n=600)
    options = {"batch_size": 2, "max_iter": 1, "learning_rate_init": 0.02, "random_state": seed}
    reg = LSTMRegressor(4, **options).fit(X, y)
    state = reg._model.state
    assert messages(reg, X, y) == []
    assert np.mean((reg.predict(X) - y) ** 2) / y.var() < 1
    assert len(state.epochs) == 1


@pytest.mark.parametrize("y", [np.full(30, 7.0), np.zeros(30)])
def test_constant_targets_do_not_warn(y, rng, seed):
    X, _ = problem(rng, n=30)
    for loss in ("squared_error", "absolute_error", "huber"):
        reg = LSTMRegressor(**SMALL, loss=loss, random_state=seed)
        assert messages(reg, X, y) == []


def test_weights_and_steps_count(rng, seed):
    X, _ = problem(rng, n=40)
    tags = [np.where(rng.random(len(x)) < 0.9, "a", "b") for x in X]
    weights = [np.where(tag == "a", 1.0, 9.0) for tag in tags]
    model = LSTMClassifier(
        4, learning_rate_init=1e3, max_iter=5, return_sequences=True, random_state=seed
    )
    (message,) = messages(model, X, tags, weights)
    assert float(re.match(MESSAGE, message)[2]) == pytest.approx(np.log(2), rel=0.1)
