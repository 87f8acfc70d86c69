"""LSTMRegressor: losses, scaling of targets, weights."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from data import SMALL, assert_same_fit, central_differences, cut, padded, parameter_vector
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_error,
)

from sklstm import LSTMRegressor
from sklstm.metrics import r2_score

# Most fits here are stopped after a few epochs.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LOSSES = ["squared_error", "absolute_error", "huber", "quantile", "poisson"]
LOSSES += ["quantiles", "gaussian"]  # several raw predictions of an output
LEVELS = [0.1, 0.5, 0.9]
every_loss = pytest.mark.parametrize("loss", LOSSES)


def numbers(rng, n=24):
    """Sequences (n, 6, 2), and a function of their mean, positive, about 3 +- 1."""
    X = rng.normal(size=(n, 6, 2)) + rng.normal(size=(n, 1, 1))
    return X, 3 + np.tanh(X.mean(axis=(1, 2)))


def point(reg, X):
    """What the regressor predicts; of several quantiles the one in the middle."""
    return reg.predict(X)[..., 1] if isinstance(reg.quantile, list) else reg.predict(X)


def fit(X, y, seed, sample_weight=None, **parameters):
    if parameters.get("loss") == "quantiles":
        parameters |= {"loss": "quantile", "quantile": LEVELS}
    return LSTMRegressor(**SMALL | parameters, random_state=seed).fit(X, y, sample_weight)


# What is learned


@every_loss
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_every_loss_is_learned(loss, solver, rng, seed):
    X, y = numbers(rng, n=160)
    reg = fit(cut(X, rng, shortest=5), y, seed, loss=loss, solver=solver, hidden_layer_sizes=8,
              max_iter=80)  # fmt: skip
    X, y = numbers(rng, n=80)
    assert reg.score(X, y) > 0.7
    links = {"poisson": "exp", "quantiles": "sort"}
    assert reg.out_activation_ == links.get(loss, "identity")
    assert reg.n_outputs_ == 1


@every_loss
def test_several_outputs_of_any_scale(loss, rng, seed):
    X, y = numbers(rng, n=80)
    Y = np.c_[y, 1e-5 * y, 1e6 * (6 - y)]
    reg = fit(X, Y, seed, loss=loss, max_iter=80)
    predicted = point(reg, X)
    assert predicted.shape == Y.shape
    assert reg.n_outputs_ == 3
    residual = ((predicted - Y) ** 2).mean(axis=0) / Y.var(axis=0)
    assert (residual < 0.3).all()


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_a_quantile_covers_its_fraction(quantile, rng, seed):
    X = rng.normal(size=(400, 3, 1))
    y = X.mean(axis=(1, 2)) + 10 * rng.exponential(size=400)
    reg = fit(X, y, seed, loss="quantile", quantile=quantile, max_iter=60)
    assert (y <= reg.predict(X)).mean() == pytest.approx(quantile, abs=0.08)


def test_absolute_error_is_least_at_the_median(rng, seed):
    X = rng.normal(size=(400, 3, 1))
    y = rng.exponential(size=400) ** 2  # mean 2, median 0.48
    reg = fit(X, y, seed, loss="absolute_error", max_iter=60)
    assert (y <= reg.predict(X)).mean() == pytest.approx(0.5, abs=0.08)
    assert fit(X, y, seed, max_iter=60).predict(X).mean() == pytest.approx(y.mean(), rel=0.25)


@pytest.mark.parametrize("robust", [{"loss": "huber", "huber_delta": 0.1},
                                    {"loss": "absolute_error"}])  # fmt: skip
def test_outliers(robust, rng, seed):
    X, y = numbers(rng, n=200)
    spoilt = y + np.where(rng.permutation(200) < 20, 30, 0)
    errors = [
        mean_absolute_error(y, fit(X, spoilt, seed, max_iter=40, **loss).predict(X))
        for loss in (robust, {})
    ]
    assert errors[0] < 0.5 * errors[1]


def test_a_wide_huber_loss_is_the_squared_error(rng, seed):
    X, y = numbers(rng)
    wide = fit(X, y, seed, loss="huber", huber_delta=1e6)
    np.testing.assert_allclose(wide.predict(X), fit(X, y, seed).predict(X), rtol=1e-10)


def test_huber_delta_counts_in_standard_deviations(rng, seed):
    X, y = numbers(rng)
    narrow = {"loss": "huber", "huber_delta": 0.3}
    one, other = fit(X, y, seed, **narrow), fit(X, 1024 * y, seed, **narrow)
    np.testing.assert_allclose(parameter_vector(other), parameter_vector(one), rtol=1e-9)
    assert np.abs(parameter_vector(one) - parameter_vector(fit(X, y, seed))).max() > 1e-6


def test_the_middle_quantile_is_half_the_absolute_error(rng, seed):
    X, y = numbers(rng)
    reg = fit(X, y, seed, loss="quantile", quantile=0.5, alpha=0.0, max_iter=1)
    other = fit(X, y, seed, loss="absolute_error", alpha=0.0, max_iter=1)
    assert reg.loss_ == pytest.approx(other.loss_ / 2, rel=1e-12)


def test_poisson_predicts_positive_means(rng, seed):
    X = rng.normal(size=(200, 5, 1))
    y = rng.poisson(np.exp(X.mean(axis=(1, 2))))
    reg = fit(X, y, seed, loss="poisson", solver="lbfgs", alpha=10.0, max_iter=300)
    predicted = reg.predict(X)
    assert (predicted > 0).all()
    # At a minimum the unpenalised bias makes means agree.
    assert predicted.mean() == pytest.approx(y.mean(), rel=0.02)
    assert mean_poisson_deviance(y, predicted) < mean_poisson_deviance(y, 0 * y + y.mean())


def test_poisson_counts_that_are_all_zero(rng, seed):
    X = rng.normal(size=(20, 5, 1))
    predicted = fit(X, np.zeros(20), seed, loss="poisson", max_iter=200).predict(X)
    assert ((predicted > 0) & (predicted < 0.5)).all()


@pytest.mark.parametrize(
    ("loss", "of"),
    [
        ({}, lambda y, p: mean_squared_error(y, p) / 2 / y.var()),
        ({"loss": "absolute_error"}, lambda y, p: mean_absolute_error(y, p) / y.std()),
        (
            {"loss": "quantile", "quantile": 0.8},
            lambda y, p: mean_pinball_loss(y, p, alpha=0.8) / y.std(),
        ),
        (
            {"loss": "poisson"},
            lambda y, p: ((p - y * np.log(p / y.mean())) / y.mean()).mean(),
        ),
    ],
    ids=["squared_error", "absolute_error", "quantile", "poisson"],
)  # fmt: skip
def test_the_loss_counts_in_standardised_units(loss, of, rng, seed):
    X, y = numbers(rng)
    before = fit(X, y, seed, alpha=0.0, max_iter=1, **loss)
    after = fit(X, y, seed, alpha=0.0, max_iter=2, **loss)
    assert after.loss_ == pytest.approx(of(y, before.predict(X)), rel=1e-12)


# Scaling of targets


@every_loss
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_units_of_targets_do_not_matter(loss, solver, rng, seed):
    X, y = numbers(rng)
    max_iter = 3 if solver == "lbfgs" else 10  # a line search can amplify rounding errors
    one = fit(X, y, seed, loss=loss, solver=solver, max_iter=max_iter)
    other = fit(X, 1e9 * y, seed, loss=loss, solver=solver, max_iter=max_iter)
    np.testing.assert_allclose(parameter_vector(other), parameter_vector(one), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(other.predict(X), 1e9 * one.predict(X), rtol=1e-7)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "poisson"])
def test_targets_far_from_zero(loss, rng, seed):
    X, y = numbers(rng, n=80)
    y = (y - y.mean()) / y.std()
    near = fit(X, y, seed, loss=loss, max_iter=20)
    far = fit(X, 1e4 + 1e3 * y, seed, loss=loss, max_iter=20)
    np.testing.assert_allclose((far.predict(X) - 1e4) / 1e3, near.predict(X), rtol=1e-7, atol=1e-7)
    assert far.score(X, 1e4 + 1e3 * y) == pytest.approx(near.score(X, y), rel=1e-7)


@every_loss
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_constant_target(loss, value, rng, seed):
    X, _ = numbers(rng)
    reg = fit(X, np.full(24, value), seed, loss=loss, solver="lbfgs", tol=1e-7, max_iter=300)
    np.testing.assert_allclose(reg.predict(X), value, rtol=0.05, atol=0.05)


@every_loss
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("power", [512, 664, 1000, -548, -664, -1000])
def test_a_power_of_two_changes_only_the_unit_of_the_targets(power, dtype, loss, rng, seed):
    """Near 1e154, 1e200, 1e301, 1e-165, 1e-200 and 1e-301.

    The order of the samples depends on the digits of the targets. That of large and of small
    targets is the order that they would have if their largest were between 0.5 and 1.
    """
    X, y = numbers(rng)
    X, y = X.astype(dtype), 0.75 * y / np.abs(y).max()
    expected = fit(X, y, seed, loss=loss)
    reg = fit(X, np.ldexp(y, power), seed, loss=loss)
    np.testing.assert_array_equal(np.ldexp(reg.predict(X), -power), expected.predict(X))
    assert reg.loss_curve_ == expected.loss_curve_


@every_loss
@pytest.mark.parametrize("unit", [1e154, 1e200, 1e-165, 1e-200])
def test_targets_of_any_unit_are_learnt(unit, loss, rng, seed):
    X, y = numbers(rng, n=80)
    predicted = point(fit(X, y * unit, seed, loss=loss, max_iter=80), X) / unit
    assert ((predicted - y) ** 2).mean() / y.var() < 0.3


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("power", [664, 1000, -664, -1000])
def test_the_score_has_no_unit(power, per_step, rng, seed):
    X, y = numbers(rng)
    y = 0.75 * (X.sum(axis=-1) if per_step else y)
    y /= 2 ** np.ceil(np.log2(np.abs(y).max()))
    one = fit(X, y, seed, return_sequences=per_step)
    other = fit(X, np.ldexp(y, power), seed, return_sequences=per_step)
    assert other.score(X, np.ldexp(y, power)) == pytest.approx(one.score(X, y), rel=1e-12)
    predictions = np.ldexp(one.predict(X), power)
    if per_step:
        found = r2_score(np.ldexp(y, power), predictions)
        assert found == pytest.approx(one.score(X, y), rel=1e-12)


def test_predictions_overflow_only_if_they_are_too_large(rng, seed):
    X, _ = numbers(rng)
    targets = fit(X, np.tile([1.7e308, -0.7e308], 12), seed)._model.form.targets
    decoded = targets.decode(np.array([[-1.5], [0.5]]))  # mean 0.5e308, deviation 1.2e308
    np.testing.assert_allclose(decoded, [-1.3e308, 1.1e308], rtol=1e-14)


@pytest.mark.parametrize("value", [1e300, -1.7e308, 1e-300])
@pytest.mark.parametrize("per_step", [False, True])
def test_a_constant_target_of_any_unit_is_predicted_exactly(per_step, value, rng, seed):
    X, weights = rng.normal(size=(20, 4, 1)), rng.uniform(0.1, 2, 20)
    y = np.full((20, 4) if per_step else 20, value)
    if per_step:
        y[3:, 2] = np.nan
    reg = fit(X, y, seed, weights, return_sequences=per_step)
    np.testing.assert_array_equal(reg.predict(X), np.full_like(y, value))


def test_a_constant_target_beside_another(rng, seed):
    X, y = numbers(rng, n=80)
    reg = fit(X, np.c_[y, np.full(80, 5.0)], seed, max_iter=80)
    predicted = reg.predict(X)
    assert ((predicted[:, 0] - y) ** 2).mean() < 0.3 * y.var()
    np.testing.assert_allclose(predicted[:, 1], 5, rtol=1e-12)


def test_one_sample(rng, seed):
    reg = fit(rng.normal(size=(1, 4, 2)), [3.0], seed, max_iter=200)
    assert reg.predict(rng.normal(size=(2, 3, 2))).shape == (2,)


@every_loss
@pytest.mark.parametrize("n_outputs", [None, 2])
def test_weight_two_is_a_sample_given_twice(loss, n_outputs, rng, seed):
    X, y = numbers(rng)
    X, y = cut(X, rng), (y if n_outputs is None else np.c_[y, y**2])
    weights = 2 ** rng.integers(0, 2, size=24)
    repeated = [x for x, weight in zip(X, weights, strict=True) for _ in range(weight)]
    for solver in ("adam", "sgd", "lbfgs"):
        parameters = {"solver": solver, "batch_size": 1000, "loss": loss}
        weighted = fit(X, y, seed, weights, **parameters)
        twice = fit(repeated, np.repeat(y, weights, axis=0), seed, **parameters)
        assert_same_fit(weighted, twice)
        np.testing.assert_array_equal(weighted.predict(X), twice.predict(X))


@pytest.mark.parametrize("batch_size", ["auto", 5])
def test_weight_zero_is_a_sample_left_out(batch_size, rng, seed):
    X, y = numbers(rng)
    weights = rng.permutation(np.arange(24) % 4).astype(float)
    kept = weights > 0
    spoilt = np.where(kept, y, 1e9)  # must not enter mean and scale
    weighted = fit(X, spoilt, seed, weights, batch_size=batch_size)
    expected = fit(X[kept], y[kept], seed, weights[kept], batch_size=batch_size)
    assert_same_fit(weighted, expected)
    np.testing.assert_array_equal(weighted.predict(X), expected.predict(X))


# Forms of y


@pytest.mark.parametrize(
    "convert",
    [
        list,
        pd.Series,
        pl.Series,
        lambda y: pd.Series(y).astype("Float64"),
        lambda y: y.astype(object),
    ],
    ids=["list", "pandas", "polars", "pandas nullable", "object"],
)
def test_forms_of_y(convert, rng, seed):
    X, y = numbers(rng)
    assert_same_fit(fit(X, y, seed), fit(X, convert(y), seed))


@pytest.mark.parametrize(
    "convert",
    [np.ndarray.tolist, pd.DataFrame, lambda Y: pl.DataFrame(Y, schema=["a", "b"])],
    ids=["nested lists", "pandas", "polars"],
)
def test_forms_of_several_outputs(convert, rng, seed):
    X, y = numbers(rng)
    Y = np.c_[y, -y]
    reg = fit(X, convert(Y), seed)
    assert_same_fit(fit(X, Y, seed), reg)
    assert reg.predict(X).shape == (24, 2)


def test_a_column_of_targets(rng, seed):
    X, y = numbers(rng)
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        reg = fit(X, y[:, None], seed)
    assert_same_fit(fit(X, y, seed), reg)
    assert reg.predict(X).shape == (24,)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_predictions_have_the_precision_of_the_targets(dtype, rng, seed):
    X, y = numbers(rng)
    expected = np.float32 if dtype in (np.float16, np.float32) else np.float64
    for inputs in (X, X.astype(np.float32)):
        assert fit(inputs, y.astype(dtype), seed).predict(X).dtype == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets_with_a_large_mean_are_not_rounded_with_the_inputs(dtype, rng, seed):
    """float32 has 24 bits, which is too few for seconds since 1970."""
    X, y = numbers(rng)
    X = X.astype(dtype)
    expected = fit(X, y, seed).predict(X)
    found = fit(X, 1.7e9 + y, seed).predict(X) - 1.7e9
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.std(y))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda y: np.where(y == y[3], np.nan, y), "y contains NaN"),
        (lambda y: np.where(y == y[3], np.inf, y), "y contains infinity"),
        (lambda y: y.astype(str).astype(object) + "a", "could not convert string"),
        (lambda y: np.zeros((24, 3, 0)), r"expected shape \(n_samples,\) or"),
        (lambda y: None, "requires y to be passed"),
        (lambda y: y[:20], r"\[24, 20\]"),
    ],
    ids=["NaN", "infinity", "words", "empty", "None", "short"],
)
def test_malformed_targets(wrong, message, rng, seed):
    X, y = numbers(rng)
    with pytest.raises(ValueError, match=message):
        fit(X, wrong(y), seed)


def test_poisson_refuses_negative_targets(rng, seed):
    X, y = numbers(rng)
    y[5] = -0.25
    with pytest.raises(ValueError, match=r'y\[5\]: .*zero or more with loss="poisson", got -0.25'):
        fit(X, y, seed, loss="poisson")
    with pytest.raises(ValueError, match=r"y\[5\]: .* got -0.25"):
        fit(X, np.c_[np.abs(y), y], seed, loss="poisson")


@pytest.mark.parametrize(
    "way",
    [
        lambda reg, X, first, second: reg.fit(X, second),
        lambda reg, X, first, second: reg.partial_fit(X, second),
        lambda reg, X, first, second: reg.fit(X, first, X_val=X, y_val=second),
    ],
    ids=["warm_start", "partial_fit", "y_val"],
)
def test_another_number_of_outputs(way, rng, seed):
    X, y = numbers(rng)
    for first, second, message in (
        (y, np.c_[y, y], r"expected targets of shape \(n_samples,\), got \(24, 2\)"),
        (np.c_[y, y], y, r"expected targets of shape \(n_samples, 2\), got \(24,\)"),
        (np.c_[y, y], np.c_[y, y, y], r"\(n_samples, 2\), got \(24, 3\)"),
    ):
        reg = fit(X, first, seed, warm_start=True)
        with pytest.raises(ValueError, match=message):
            way(reg, X, first, second)


@pytest.mark.parametrize(
    "parameters",
    [
        {"huber_delta": 0.0},
        {"quantile": 0.0},
        {"quantile": 1.0},
        {"quantile": "half"},
        {"loss": "deviance"},
    ],
)
def test_malformed_parameters(parameters, rng, seed):
    X, y = numbers(rng)
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        fit(X, y, seed, **parameters)


# Derivatives at the inputs


@every_loss
def test_input_gradients_are_in_units_of_the_targets(loss, rng, seed):
    X, y = numbers(rng)
    X = cut(X, rng)
    reg = fit(X, 1000 * y, seed, loss=loss)
    found = reg.input_gradients(X, 1 if loss == "quantiles" else None)
    expected = central_differences(lambda x: point(reg, x), X[:5])
    size = max(np.abs(x).max() for x in expected)
    np.testing.assert_allclose(
        np.concatenate(found[:5]), np.concatenate(expected), rtol=1e-5, atol=1e-6 * size
    )
    again = reg.input_gradients(padded(X), 1 if loss == "quantiles" else None)
    np.testing.assert_allclose(again, padded(found), rtol=1e-10)


@every_loss
@pytest.mark.parametrize("power", [1000, 120, -140, -1000])
def test_input_gradients_of_a_float32_model_in_any_unit(power, loss, rng, seed):
    X, y = numbers(rng)
    X, y = X.astype("f4"), 0.75 * y / np.abs(y).max()
    target = 1 if loss == "quantiles" else None
    reg = fit(X, y, seed, loss=loss)
    expected = reg.input_gradients(X, target)
    found = fit(X, np.ldexp(y, power), seed, loss=loss).input_gradients(X, target)
    assert found.dtype == expected.dtype == "f8"
    if loss == "quantiles":  # rounding decides which one is in the middle if two are equal
        differ = np.diff(reg.predict(X), axis=1).min(axis=1) > 1e-3
        assert differ.mean() > 0.5
        found, expected = found[differ], expected[differ]
    np.testing.assert_allclose(np.ldexp(found, -power), expected, rtol=1e-3, atol=1e-6)
    assert fit(X, y.astype("f4"), seed, loss=loss).input_gradients(X, target).dtype == "f4"


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_input_gradients_of_one_of_several_outputs(loss, rng, seed):
    X, y = numbers(rng)
    reg = fit(X, np.c_[y, 50 * y**2], seed, loss=loss)
    for target in (0, 1):
        found = reg.input_gradients(X[:3], target=target)
        expected = central_differences(lambda x, k=target: reg.predict(x)[:, k], list(X[:3]))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="target: expected an output, 0 to 1, got None"):
        reg.input_gradients(X)
    for target in (2, -1, "first"):
        with pytest.raises(ValueError, match="target: expected one output, 0 to 1, got"):
            reg.input_gradients(X, target=target)
