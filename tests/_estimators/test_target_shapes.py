"""Targets of any shape: learned, predicted and scored as the flattened columns would be."""

import pickle

import numpy as np
import pytest
from data import SMALL, assert_same_fit, central_differences, cut, padded, problem
from numerics import assert_close
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from sklstm import LSTMRegressor, metrics
from sklstm.sequences import make_windows
from sklstm.streaming import SequenceStream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SHAPES = [(3,), (3, 2), (1, 1), (2, 1), (2, 1, 3)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_loss = pytest.mark.parametrize("loss", ["squared_error", "huber", "quantile", "poisson"])


def targets(rng, n, shape):
    """Positive targets whose columns have scales from 1e-4 to 1e6."""
    n_columns = int(np.prod(shape))
    columns = rng.gamma(4.0, 1.0, (n, n_columns)) * np.logspace(-4, 6, n_columns)
    return columns.reshape(n, *shape)


def fit(X, y, seed, sample_weight=None, **options):
    return LSTMRegressor(**SMALL | options, random_state=seed).fit(X, y, sample_weight)


@every_shape
@every_loss
def test_targets_of_any_shape_are_learned_as_columns(shape, loss, rng, seed):
    X, _ = problem(rng)
    y, weights = targets(rng, len(X), shape), rng.uniform(0.5, 2, len(X))
    reg = fit(X, y, seed, weights, loss=loss)
    columns = y.reshape(len(y), -1) if y[0].size > 1 else y.ravel()
    expected = fit(X, columns, seed, weights, loss=loss)
    assert_same_fit(expected, reg)
    assert reg.n_outputs_ == y[0].size
    assert reg.predict(X).shape == y.shape
    np.testing.assert_array_equal(reg.predict(X), expected.predict(X).reshape(y.shape))
    assert reg.score(X, y, weights) == expected.score(X, columns, weights)


@every_shape
def test_the_score_is_that_of_the_columns(shape, rng, seed):
    X, _ = problem(rng)
    y, weights = targets(rng, len(X), shape), rng.uniform(0.5, 2, len(X))
    reg = fit(X, y, seed)
    rows = y.reshape(len(y), -1), reg.predict(X).reshape(len(y), -1)
    assert reg.score(X, y, weights) == r2_score(*rows, sample_weight=weights)
    assert reg.score(X, y.tolist()) == r2_score(*rows)


def test_horizons_of_two_columns_are_forecast(rng, seed):
    time = np.arange(200)
    X, y = make_windows(np.column_stack([np.sin(time / 5), np.cos(time / 5)]), 20, horizon=3)
    y = y * [1.0, 50.0] + [0.0, 1e3]
    reg = fit(X, y, seed, hidden_layer_sizes=16, max_iter=60)
    assert y.shape == reg.predict(X).shape == (178, 3, 2)
    assert reg.score(X, y) > 0.9
    assert reg.n_outputs_ == 6


def test_targets_as_many_as_steps_are_a_horizon(rng, seed):
    """Without return_sequences, y (n, n_timesteps, k) is no target of each step."""
    X, _ = problem(rng)
    y = targets(rng, len(X), (X.shape[1], 2))
    reg = fit(X, y, seed)
    per_step = fit(X, y, seed, return_sequences=True)
    assert reg.predict(X).shape == per_step.predict(X).shape == y.shape
    assert (reg.n_outputs_, per_step.n_outputs_) == (12, 2)
    assert reg.predict(X[:, :3]).shape == y.shape
    assert per_step.predict(X[:, :3]).shape == (len(X), 3, 2)


def test_a_column_is_read_as_numbers(rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), (1,))
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        reg = fit(X, y, seed)
    assert_same_fit(fit(X, y[:, 0], seed), reg)
    assert reg.predict(X).shape == (len(X),)
    assert reg.score(X, y) == reg.score(X, y[:, 0])


@pytest.mark.parametrize("form", ["list", "array", "padded"])
def test_several_numbers_of_each_step_may_have_any_shape(form, rng, seed):
    X, _ = problem(rng)
    X = cut(X, rng) if form != "array" else list(X)
    y = [targets(rng, len(x), (2, 3)) for x in X]
    flat = [steps.reshape(len(steps), 6) for steps in y]
    given, rows = {
        "list": lambda: (y, flat),
        "array": lambda: (np.stack(y), np.stack(flat)),
        "padded": lambda: (
            padded(flat).reshape(len(X), -1, 2, 3),
            padded(flat),
        ),
    }[form]()
    X = {"list": list, "array": np.stack, "padded": padded}[form](X)
    reg, expected = (fit(X, steps, seed, return_sequences=True) for steps in (given, rows))
    assert_same_fit(expected, reg)
    for found, wanted in zip(reg.predict(X), expected.predict(X), strict=True):
        np.testing.assert_array_equal(found, wanted.reshape(found.shape))
    assert reg.score(X, given) == expected.score(X, rows)


@every_shape
def test_a_weight_of_two_is_a_sample_given_twice(shape, rng, seed):
    X, _ = problem(rng)
    y, weights = targets(rng, len(X), shape), 2 ** rng.integers(0, 2, len(X))
    weighted = fit(X, y, seed, weights, batch_size=1000)
    rows = np.repeat(np.arange(len(X)), weights)
    assert_same_fit(fit(X[rows], y[rows], seed, batch_size=1000), weighted)


@every_shape
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saved_models_and_precision(shape, dtype, rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), shape).astype(dtype)
    reg = fit(X, y, seed)
    loaded = pickle.loads(pickle.dumps(reg))
    assert loaded.predict(X).dtype == dtype
    np.testing.assert_array_equal(loaded.predict(X), reg.predict(X))
    assert_same_fit(reg.partial_fit(X, y), loaded.partial_fit(X, y))


@every_shape
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_streams(shape, loss, rng, seed):
    X, _ = problem(rng)
    reg = fit(X, targets(rng, len(X), shape), seed, loss=loss)
    stream = SequenceStream(reg, n_streams=5)
    for t in range(X.shape[1]):
        assert_close(stream.step(X[:5, t]), reg.predict(X[:5, : t + 1]), 1e-12)


@pytest.mark.parametrize("target", [4, (1, 1)])
def test_input_gradients_of_one_of_them(target, rng, seed):
    X, _ = problem(rng)
    reg = fit(X, targets(rng, len(X), (2, 3)), seed)
    expected = central_differences(lambda x: reg.predict(x)[:, 1, 1], list(X[:3]))
    found = reg.input_gradients(X[:3], target)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(found).max())


@pytest.mark.parametrize("target", [6, -1, (1,), (2, 0), (0, -1), "first"])
def test_an_output_that_does_not_exist_is_refused(target, rng, seed):
    X, _ = problem(rng)
    reg = fit(X, targets(rng, len(X), (2, 3)), seed)
    with pytest.raises(ValueError, match=r"target: expected .*, got"):
        reg.input_gradients(X, target)


def test_validation_samples_and_early_stopping(rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), (3, 2))
    assert fit(X, y, seed, early_stopping=True).validation_scores_
    reg = LSTMRegressor(**SMALL, random_state=seed).fit(X, y, X_val=X, y_val=y)
    assert len(reg.validation_scores_) == 3
    with pytest.raises(ValueError, match=r"expected targets of shape \(n_samples, 3, 2\)"):
        reg.fit(X, y, X_val=X, y_val=y[:, :2])


def test_cross_validation_with_every_kind_of_scorer(rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), (3, 2))
    reg = LSTMRegressor(**SMALL, random_state=seed)
    assert np.isfinite(cross_val_score(reg, X, y, cv=2)).all()
    search = GridSearchCV(
        reg, {"alpha": [0.1, 1.0]}, cv=2, scoring=metrics.get_scorer("neg_mean_absolute_error")
    ).fit(X, y)
    error = np.abs(search.predict(X) - y).mean(axis=(0, 1)).mean()
    assert -search.score(X, y) == pytest.approx(error)


@pytest.mark.parametrize("change", [{"warm_start": True}, {}], ids=["warm fit", "partial_fit"])
def test_another_shape_is_refused(change, rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), (3, 2))
    reg = fit(X, y, seed, **change)
    call = reg.fit if change else reg.partial_fit
    for other in (y[:, :2], y[:, :, 0], y.reshape(len(y), 6), y.reshape(len(y), 2, 3)):
        with pytest.raises(ValueError, match=r"expected targets of shape \(n_samples, 3, 2\), got"):
            call(X, other)
        with pytest.raises(ValueError, match=r"expected .*shape"):
            reg.score(X, other)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(np.nan, r"y contains NaN: y\[3\]\[1, 0\] is nan"),
     (np.inf, r"y contains infinity .*: y\[3\]\[1, 0\] is inf")],
)  # fmt: skip
def test_a_malformed_target_is_named(wrong, message, rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), (3, 2))
    y[3, 1, 0] = wrong
    with pytest.raises(ValueError, match=message):
        fit(X, y, seed)


def test_targets_without_numbers_are_refused(rng, seed):
    X, _ = problem(rng)
    with pytest.raises(ValueError, match=r"expected shape \(n_samples,\) or \(n_samples, \.\.\.\)"):
        fit(X, np.zeros((len(X), 3, 0)), seed)
