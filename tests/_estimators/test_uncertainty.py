"""Several quantiles, and means with standard deviations."""

import pickle

import numpy as np
import pytest
from data import SMALL, central_differences, cut, padded, problem
from numerics import assert_close
from sklearn.metrics import mean_pinball_loss, r2_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.preprocessing import SequenceScaler
from sklstm.streaming import SequenceStream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LEVELS = [0.1, 0.45, 0.9]
QUANTILES = {"loss": "quantile", "quantile": LEVELS}
GAUSSIAN = {"loss": "gaussian"}
SHAPES = [(), (2,), (3, 2)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def fit(X, y, seed, sample_weight=None, **options):
    return LSTMRegressor(**SMALL | options, random_state=seed).fit(X, y, sample_weight)


def targets(rng, n, shape):
    return 1e3 + 50 * rng.gamma(2.0, 1.0, (n, *shape))


def noisy(rng, n=600):
    """Targets whose spread depends on the sequence: 0.2 or 2."""
    X = rng.normal(size=(n, 4, 1))
    spread = np.where(X.mean(axis=(1, 2)) > 0, 2.0, 0.2)
    return X, spread, X[:, 0, 0] + spread * rng.normal(size=n)


# --- quantiles ---


@every_shape
def test_quantiles_have_an_axis_and_never_cross(shape, rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), shape)
    reg = fit(X, y, seed, **QUANTILES)
    predicted = reg.predict(X)
    assert predicted.shape == (*y.shape, 3)
    assert (np.diff(predicted, axis=-1) >= 0).all()
    assert reg.n_outputs_ == y[0].size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e30])
def test_quantiles_never_cross_at_any_scale(dtype, scale, rng, seed):
    X, _ = problem(rng)
    y = (1e6 + targets(rng, len(X), ())) * scale
    predicted = fit(X, y.astype(dtype), seed, loss="quantile", quantile=[0.5, 0.5001]).predict(X)
    assert predicted.dtype == dtype
    assert (np.diff(predicted, axis=-1) >= 0).all()


def test_the_loss_is_the_pinball_loss_of_the_output_layer(rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), (2,))
    before = fit(X, y, seed, alpha=0.0, max_iter=1, **QUANTILES)
    after = fit(X, y, seed, alpha=0.0, max_iter=2, **QUANTILES)
    states, parameters = before.hidden_states(X), before.parameters_
    pooled = np.hstack([states.mean(axis=1), states.max(axis=1)])
    raw = pooled @ parameters["dense.weight"] + parameters["dense.bias"]
    raw, scaled = raw.reshape(len(X), 2, 3), (y - y.mean(axis=0)) / y.std(axis=0)
    predicted = np.sort(raw, axis=2) * y.std(axis=0)[:, None] + y.mean(axis=0)[:, None]
    np.testing.assert_allclose(predicted, before.predict(X), rtol=1e-10)
    expected = np.sum([
        mean_pinball_loss(scaled[:, k], raw[:, k, j], alpha=level)
        for k in (0, 1) for j, level in enumerate(LEVELS)
    ]) / 2  # fmt: skip
    assert after.loss_ == pytest.approx(expected / np.sqrt(3), rel=1e-10)


def test_each_quantile_covers_its_fraction(rng, seed):
    X, _, y = noisy(rng)
    reg = fit(X, y, seed, **QUANTILES, hidden_layer_sizes=8, max_iter=60)
    covered = (y[:, None] <= reg.predict(X)).mean(axis=0)
    np.testing.assert_allclose(covered, LEVELS, atol=0.06)


@every_shape
def test_the_score_is_that_of_the_quantile_nearest_to_the_median(shape, rng, seed):
    X, _ = problem(rng)
    y, weights = targets(rng, len(X), shape), rng.uniform(0.5, 2, len(X))
    reg = fit(X, y, seed, **QUANTILES)
    rows = [values.reshape(len(y), -1) for values in (y, reg.predict(X)[..., 1])]
    assert reg.score(X, y, weights) == pytest.approx(r2_score(*rows, sample_weight=weights))
    two = fit(X, y, seed, loss="quantile", quantile=[0.25, 0.75])
    rows = [values.reshape(len(y), -1) for values in (y, two.predict(X)[..., 0])]
    assert two.score(X, y) == pytest.approx(r2_score(*rows))
    assert np.isfinite(cross_val_score(reg, X, y, cv=2)).all()


def test_one_quantile_in_a_list(rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), ())
    listed = fit(X, y, seed, loss="quantile", quantile=[0.3])
    alone = fit(X, y, seed, loss="quantile", quantile=0.3)
    np.testing.assert_array_equal(listed.predict(X)[:, 0], alone.predict(X))


@pytest.mark.parametrize(
    "quantile", [[], [0.5, 0.1], [0.5, 0.5], [0.0, 0.5], [0.5, 1.0], [np.nan], [[0.1], [0.2, 0.3]],
                 ["low"], np.array(0.5)], ids=str,
)  # fmt: skip
def test_malformed_quantiles(quantile, rng, seed):
    X, _ = problem(rng)
    with pytest.raises(ValueError, match="quantile: expected a number, or numbers in ascending"):
        fit(X, X[:, 0, 0], seed, loss="quantile", quantile=quantile)


# --- standard deviations ---


@every_shape
def test_means_and_deviations_have_the_shape_of_the_targets(shape, rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), shape)
    reg = fit(X, y, seed, **GAUSSIAN)
    mean, deviation = reg.predict(X, return_std=True)
    assert mean.shape == deviation.shape == y.shape
    np.testing.assert_array_equal(mean, reg.predict(X))
    assert (deviation > 0).all()
    assert reg.n_outputs_ == y[0].size
    assert reg.score(X, y) == r2_score(y.reshape(len(y), -1), mean.reshape(len(y), -1))


def test_deviations_that_depend_on_the_sequence_are_learned(rng, seed):
    X, spread, y = noisy(rng, n=1000)
    reg = fit(X, y, seed, **GAUSSIAN, hidden_layer_sizes=16, max_iter=60)
    mean, deviation = reg.predict(X, return_std=True)
    for level in (0.2, 2.0):
        assert np.median(deviation[spread == level]) == pytest.approx(level, rel=0.35)
    assert (np.abs(y - mean) < deviation).mean() == pytest.approx(0.683, abs=0.06)


def test_the_loss_is_the_likelihood_in_standard_deviations(rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), ())
    before = fit(X, y, seed, alpha=0.0, max_iter=1, **GAUSSIAN)
    after = fit(X, y, seed, alpha=0.0, max_iter=2, **GAUSSIAN)
    mean, deviation = before.predict(X, return_std=True)
    variance = (deviation / y.std()) ** 2 + 1e-8
    expected = 0.5 * np.mean(np.log(variance) + ((y - mean) / y.std()) ** 2 / variance)
    assert after.loss_ == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_constant_target_has_no_deviation(solver, rng, seed):
    X, _ = problem(rng)
    reg = fit(X, np.full(len(X), 3.5), seed, **GAUSSIAN, solver=solver, max_iter=300)
    mean, deviation = reg.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, 3.5)
    np.testing.assert_array_equal(deviation, 0)


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("beside", [False, True])
def test_a_constant_target_is_no_reason_to_warn(beside, rng, seed):
    X = rng.normal(size=(100, 5, 1))
    y = np.full((100, 1), 3.5)
    y = np.hstack([X[:, :, 0].mean(axis=1, keepdims=True), y]) if beside else y[:, 0]
    LSTMRegressor(8, **GAUSSIAN, random_state=seed).fit(X, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_deviations_have_the_precision_of_the_targets(dtype, rng, seed):
    X, _ = problem(rng)
    reg = fit(X.astype(np.float32), targets(rng, len(X), ()).astype(dtype), seed, **GAUSSIAN)
    assert [part.dtype for part in reg.predict(X, return_std=True)] == [dtype, dtype]


@pytest.mark.parametrize("form", ["list", "array", "padded"])
@pytest.mark.parametrize("k", [None, 2])
def test_every_step(form, k, rng, seed):
    X, _ = problem(rng)
    X = cut(X, rng) if form != "array" else list(X)
    y = [x[:, 0] if k is None else np.column_stack([x[:, 0], 100 * x[:, 1]]) for x in X]
    shaped = {"list": list, "array": np.stack, "padded": padded}[form]
    X_in = shaped(X)
    y_in = padded([steps.reshape(len(steps), -1) for steps in y]) if form == "padded" else shaped(y)
    if form == "padded" and k is None:
        y_in = y_in[:, :, 0]
    gaussian = fit(X_in, y_in, seed, **GAUSSIAN, return_sequences=True)
    quantiles = fit(X_in, y_in, seed, **QUANTILES, return_sequences=True)
    mean, deviation = gaussian.predict(X_in, return_std=True)
    assert type(mean) is type(deviation) is type(y_in)
    for x, steps, m, d, q in zip(X, y, mean, deviation, quantiles.predict(X_in), strict=True):
        n = len(x)
        assert m[:n].shape == d[:n].shape == steps.shape
        assert q[:n].shape == (*steps.shape, 3)
        assert (d[:n] > 0).all()
        assert np.isnan(d[n:]).all()
    rows = [np.concatenate([m[: len(x)] for x, m in zip(X, part, strict=True)])
            for part in (y, quantiles.predict(X_in))]  # fmt: skip
    assert quantiles.score(X_in, y_in) == pytest.approx(r2_score(rows[0], rows[1][..., 1]))
    assert np.isfinite(gaussian.score(X_in, y_in))


@pytest.mark.parametrize("loss", ["squared_error", "quantile", "poisson"])
def test_other_losses_have_no_deviation(loss, rng, seed):
    X, _ = problem(rng)
    reg = fit(X, targets(rng, len(X), ()), seed, loss=loss)
    with pytest.raises(ValueError, match=f"return_std=True: expected .*, got loss='{loss}'"):
        reg.predict(X, return_std=True)
    stream = SequenceStream(reg)
    with pytest.raises(ValueError, match="return_std=True"):
        stream.step(X[0, 0], return_std=True)
    assert stream.n_steps.tolist() == [0]


def test_a_classifier_has_no_deviation(rng, seed):
    X, y = problem(rng)
    stream = SequenceStream(LSTMClassifier(**SMALL).fit(X, y))
    with pytest.raises(ValueError, match=r"return_std=True: .*got a LSTMClassifier"):
        stream.step(X[0, 0], return_std=True)


def test_a_pipeline_passes_return_std(rng, seed):
    X, _ = problem(rng)
    model = make_pipeline(SequenceScaler(), LSTMRegressor(**SMALL, **GAUSSIAN, random_state=seed))
    mean, deviation = model.fit(X, X[:, 0, 0]).predict(X, return_std=True)
    assert mean.shape == deviation.shape == (len(X),)


# --- both ---


@every_shape
@pytest.mark.parametrize("options", [QUANTILES, GAUSSIAN], ids=["quantiles", "gaussian"])
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_streams(options, shape, per_step, dtype, rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), (X.shape[1], *shape) if per_step else shape)
    reg = fit(X, y, seed, **options, return_sequences=per_step, dtype=dtype)
    stream, with_std = SequenceStream(reg, n_streams=4), options is GAUSSIAN
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for t in range(X.shape[1]):
        arguments = {"return_std": True} if with_std else {}
        found = stream.step(X[:4, t], **arguments)
        expected = reg.predict(X[:4, : t + 1], **arguments)
        for one, other in zip(found, expected, strict=True) if with_std else [(found, expected)]:
            assert_close(one, other[:, -1] if per_step else other, tolerance)


@pytest.mark.parametrize("options", [QUANTILES, GAUSSIAN], ids=["quantiles", "gaussian"])
def test_early_stopping_and_validation(options, rng, seed):
    X, _ = problem(rng, n=60)
    y = targets(rng, len(X), (2,))
    reg = fit(X, y, seed, **options, early_stopping=True, max_iter=8)
    assert max(reg.validation_scores_) == reg.best_validation_score_
    other = LSTMRegressor(**SMALL, **options, random_state=seed).fit(X, y, X_val=X, y_val=y)
    assert np.isfinite(other.validation_scores_).all()


@pytest.mark.parametrize("options", [QUANTILES, GAUSSIAN], ids=["quantiles", "gaussian"])
def test_saved_models_continue(options, rng, seed):
    X, _ = problem(rng)
    y = targets(rng, len(X), (2,))
    reg = fit(X, y, seed, **options)
    loaded = pickle.loads(pickle.dumps(reg))
    np.testing.assert_array_equal(loaded.predict(X), reg.predict(X))
    expected = reg.partial_fit(X, y).predict(X)
    np.testing.assert_array_equal(loaded.partial_fit(X, y).predict(X), expected)


@pytest.mark.parametrize("target", [(0, 2), (1, 0), 4])
def test_input_gradients_of_a_quantile(target, rng, seed):
    X, _ = problem(rng)
    reg = fit(X, targets(rng, len(X), (2,)), seed, **QUANTILES)
    place = target if isinstance(target, tuple) else divmod(target, 3)
    expected = central_differences(lambda x: reg.predict(x)[(slice(None), *place)], list(X[:3]))
    found = reg.input_gradients(X[:3], target)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(found).max())
    with pytest.raises(ValueError, match="target: expected an output, 0 to 5, got None"):
        reg.input_gradients(X)


@pytest.mark.parametrize("options", [QUANTILES, GAUSSIAN], ids=["quantiles", "gaussian"])
def test_any_number_of_threads_gives_the_same_bits(options, threads_pay, rng, seed):
    X, _ = problem(rng, n=200)
    y = targets(rng, len(X), (2,))
    one, two = (fit(X, y, seed, **options, n_jobs=n_jobs) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
