"""The parameters input_noise and scale_noise of the estimators."""

import numpy as np
import pytest
from data import SMALL, assert_same_fit, cut, problem

from sklstm import LSTMClassifier, LSTMRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
both = pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])
NOISY = SMALL | {"input_noise": 0.5, "scale_noise": 0.3}


def ragged(rng, n=40):
    X, y = problem(rng, n=n, n_features=3)
    return cut(X, rng), y


@both
@pytest.mark.parametrize("options", [{}, {"solver": "sgd"}, {"solver": "lbfgs"}, {"dropout": 0.3}])
def test_it_changes_the_fit_and_not_the_prediction(Estimator, options, rng, seed):
    X, y = ragged(rng)
    settings = NOISY | options | {"random_state": seed}
    noisy, again = Estimator(**settings).fit(X, y), Estimator(**settings).fit(X, y)
    assert_same_fit(noisy, again)
    np.testing.assert_array_equal(noisy.predict(X), noisy.predict(X))
    plain = Estimator(**settings | {"input_noise": 0.0, "scale_noise": 0.0}).fit(X, y)
    weights = (model.parameters_["lstm_0.weight_hh"] for model in (noisy, plain))
    assert not np.array_equal(*weights)


@both
def test_noise_is_in_units_of_the_scaled_inputs(Estimator, rng, seed):
    """Powers of two change no digit."""
    X, y = ragged(rng)
    model, other = (Estimator(**NOISY, random_state=seed) for _ in range(2))
    model.fit(X, y)
    other.fit([x * [2.0**20, 2.0**-20, 1] for x in X], y)
    assert model.loss_curve_ == other.loss_curve_


@both
def test_a_constant_channel_has_no_noise(Estimator, rng, seed):
    X, y = ragged(rng)
    with_constant = [np.column_stack([x, np.full(len(x), 7.0)]) for x in X]
    settings = NOISY | {"random_state": seed, "alpha": 0.0}
    fitted = Estimator(**settings).fit(with_constant, y)
    initial = Estimator(**settings | {"learning_rate_init": 1e-300}).fit(with_constant, y)
    weights, before = (_input_weights(model) for model in (fitted, initial))
    np.testing.assert_array_equal(weights[3], before[3])  # their gradients were zero
    assert (weights[:3] != before[:3]).all()


def test_rare_values_have_no_noise(rng, seed):
    """Rainfall and indicators: their zeros have a meaning."""
    X, y = ragged(rng)
    rare = [np.column_stack([np.maximum(x[:, 0] - 1, 0), x[:, 1] > 2]) for x in X]
    settings = SMALL | {"random_state": seed, "batch_size": len(X)}
    plain = LSTMRegressor(**settings).fit(rare, y)
    noisy = LSTMRegressor(**settings, input_noise=0.5, scale_noise=0.5).fit(rare, y)
    np.testing.assert_allclose(noisy.loss_curve_, plain.loss_curve_, 1e-9)
    assert not noisy.input_mean_.any()
    one_more = [np.column_stack([r, x[:, 2]]) for r, x in zip(rare, X, strict=True)]
    plain.fit(one_more, y)
    noisy.fit(one_more, y)
    assert abs(noisy.loss_curve_[0] / plain.loss_curve_[0] - 1) > 1e-6


def _input_weights(model):
    views = model._model.network.layout.views(model._model.state.parameters)
    return views["lstm_0.weight_ih"]


def test_tokens_are_not_changed(rng, seed):
    X = [rng.integers(0, 5, n) for n in rng.integers(2, 7, 40)]
    y = np.array([x[0] > 2 for x in X])
    settings = SMALL | {"vocabulary_size": 5, "random_state": seed}
    plain, noisy = (
        LSTMClassifier(**settings, input_noise=s, scale_noise=s).fit(X, y) for s in (0.0, 0.5)
    )
    assert_same_fit(plain, noisy)


@both
def test_any_number_of_threads(Estimator, rng, seed, threads_pay):
    X, y = problem(rng, n=300, n_features=3)
    options = {"batch_size": 300, "max_iter": 3, "random_state": seed}
    one, two = (Estimator(**NOISY | options, n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2))
    assert_same_fit(one, two)


@both
def test_partial_fit_and_warm_start(Estimator, rng, seed):
    X, y = ragged(rng)
    settings = NOISY | {"random_state": seed, "learning_rate": "constant", "max_iter": 2}
    classes = {"classes": np.unique(y)} if Estimator is LSTMClassifier else {}
    first, second = Estimator(**settings), Estimator(**settings)
    for _ in range(3):
        for model in (first, second):
            model.partial_fit(X, y, **classes)
    assert_same_fit(first, second)
    warm = Estimator(**settings, warm_start=True).fit(X, y).fit(X, y)
    whole = Estimator(**settings | {"max_iter": 4}).fit(X, y)
    np.testing.assert_allclose(warm.loss_curve_, whole.loss_curve_, 1e-12)


def test_early_stopping_watches_a_loss_without_noise(rng, seed):
    X, y = ragged(rng)
    model = LSTMRegressor(**NOISY | {"random_state": seed, "max_iter": 4}).set_params(
        early_stopping=True, n_iter_no_change=10
    )
    model.fit(X, y, X_val=X, y_val=y)
    targets = model._model.form.targets
    residuals = (model.predict(X) - y) / targets.deviation_seen
    assert model.best_validation_score_ == pytest.approx(-np.mean(residuals**2) / 2, rel=1e-6)


def test_it_is_a_regulariser(rng, seed):
    """With more noise, predictions change less with the inputs."""
    X = rng.normal(size=(60, 6, 2))
    y = X[:, :, 0].sum(axis=1)

    def sensitivity(noise):
        model = LSTMRegressor(16, input_noise=noise, max_iter=40, random_state=seed).fit(X, y)
        return np.abs(model.input_gradients(X)).mean()

    assert sensitivity(2.0) < 0.9 * sensitivity(0.0)


both_names = pytest.mark.parametrize("name", ["input_noise", "scale_noise"])


@both_names
@pytest.mark.parametrize("value", [-0.1, "much", None, np.nan])
def test_an_invalid_value(value, name, rng):
    X, y = ragged(rng)
    with pytest.raises(ValueError, match=f"The '{name}' parameter of LSTMClassifier must be"):
        LSTMClassifier(**{name: value}).fit(X, y)


@both_names
def test_too_much_noise_is_an_error_that_names_it(name, rng):
    X, y = ragged(rng)
    with pytest.raises(ValueError, match=rf"{name}=1e.200 is too large for dtype=float64"):
        LSTMClassifier(**{name: 1e200}, max_iter=1).fit(X, y)
