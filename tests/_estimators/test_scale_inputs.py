"""Inputs are standardised inside: statistics, equal fits, the folded network, and updates."""

import re

import numpy as np
import pytest
import sklearn
from data import SMALL, assert_same_fit, cut, padded, problem
from numerics import assert_close
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm._training import train
from sklstm.functional import lstm_forward
from sklstm.preprocessing import SequenceScaler
from sklstm.streaming import SequenceStream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

MEAN, SCALE = np.array([5e4, 0.0, -3.0]), np.array([1e4, 1e-6, 2.0])
DEEP = {"hidden_layer_sizes": (4, 3), "bidirectional": True}
both = pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])


def raw_problem(rng, n=30):
    """Ragged sequences with channels of very different means and scales, and classes."""
    X, y = problem(rng, n=n, n_features=3)
    return [x * SCALE + MEAN for x in cut(X, rng)], y


def statistics(X, step_weights=None):
    """Weighted mean and standard deviation of all steps, the plain way."""
    steps = np.concatenate(X)
    mean = np.average(steps, axis=0, weights=step_weights)
    return mean, np.sqrt(np.average((steps - mean) ** 2, axis=0, weights=step_weights))


def standardised(X, mean, scale):
    return [(x - mean) / scale for x in X]


# --- what is learned ---


@both
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", [{}, DEEP, {"solver": "lbfgs"}, {"batch_size": 7}])
def test_a_fit_equals_one_on_standardised_inputs(Estimator, options, weighted, rng, seed):
    X, y = raw_problem(rng)
    weights = rng.uniform(0.5, 2, len(X)) if weighted else np.ones(len(X))
    mean, scale = statistics(X, np.repeat(weights, [len(x) for x in X]))
    settings = SMALL | {"random_state": seed, "pooling": "mean"} | options
    model = Estimator(**settings).fit(X, y, weights)
    np.testing.assert_allclose(model.input_mean_, mean, 1e-10, 1e-10 * SCALE.max())
    np.testing.assert_allclose(model.input_scale_, scale, 1e-10)
    plain = Estimator(**settings, scale_inputs=False)
    plain.fit(standardised(X, mean, scale), y, weights)
    assert plain.input_mean_ is None
    assert plain.input_scale_ is None
    if options.get("solver") == "lbfgs":
        # Equal samples are sorted by their bytes, and sums are rounded in another order.
        assert_close(model.loss_curve_, plain.loss_curve_, 1e-6)
    else:
        assert_close(model.loss_curve_, plain.loss_curve_, 1e-8)
        assert_close(
            model._fitted_model().state.parameters, plain._fitted_model().state.parameters, 1e-7
        )


def test_a_step_weighs_as_itself_where_it_has_a_weight(rng):
    X, y = raw_problem(rng)
    labels = [np.full(len(x), k, float) for x, k in zip(X, y, strict=True)]
    weights = [rng.uniform(0.1, 2, len(x)) for x in X]
    weights[0][:] = 0
    labels[1][0], weights[1][0] = np.nan, 0.7  # an unknown step
    model = LSTMRegressor(**SMALL, return_sequences=True).fit(X, labels, weights)
    weights[1][0] = 0
    mean, scale = statistics(X, np.concatenate(weights))
    np.testing.assert_allclose(model.input_mean_, mean, 1e-10, 1e-12)
    np.testing.assert_allclose(model.input_scale_, scale, 1e-10)


def test_class_weights_and_held_out_samples_count(rng, seed):
    X, y = raw_problem(rng)
    options = SMALL | {"random_state": seed}
    weighted = LSTMClassifier(**options, class_weight={1: 3.0}).fit(X, y)
    mean, scale = statistics(X, np.repeat(np.where(y == 1, 3.0, 1.0), [len(x) for x in X]))
    np.testing.assert_allclose(weighted.input_mean_, mean, 1e-10, 1e-12)
    np.testing.assert_allclose(weighted.input_scale_, scale, 1e-10)
    X_val = [x + 100 for x in X]
    model = LSTMClassifier(**options).fit(X, y, X_val=X_val, y_val=y)
    np.testing.assert_allclose(model.input_mean_, statistics(X)[0], 1e-10, 1e-12)


def test_a_table_has_one_channel_and_padding_does_not_count(rng):
    X, y = problem(rng, n_features=1)
    table = LSTMRegressor(**SMALL).fit(X[:, :, 0], y)
    np.testing.assert_allclose(table.input_scale_, [X.std()])
    np.testing.assert_allclose(table.input_mean_, [X.mean()])
    X, y = raw_problem(rng)
    ragged, nan_padded = (LSTMRegressor(**SMALL, random_state=0) for _ in range(2))
    assert_same_fit(ragged.fit(X, y), nan_padded.fit(padded(X), y))
    np.testing.assert_array_equal(ragged.input_mean_, nan_padded.input_mean_)


def test_tokens_are_not_scaled(rng):
    X, y = [rng.integers(0, 5, 4) for _ in range(20)], np.arange(20) % 2
    options = SMALL | {"vocabulary_size": 5, "random_state": 0}
    scaled, plain = (LSTMClassifier(**options, scale_inputs=k).fit(X, y) for k in (True, False))
    assert scaled.input_mean_ is None
    assert_same_fit(scaled, plain)


@both
def test_a_constant_channel_changes_nothing(Estimator, rng, seed):
    X, y = raw_problem(rng)
    value = 7e5 * (1 + np.finfo(float).eps)
    with_constant = [np.insert(x, 1, value, axis=1) for x in X]
    model = Estimator(**SMALL, random_state=seed).fit(with_constant, y)
    assert model.input_scale_[1] == np.inf
    assert not model.parameters_["lstm_0.weight_ih"][1].any()
    changed = [np.insert(x, 1, rng.normal(size=len(x)), axis=1) for x in X]
    np.testing.assert_array_equal(model.predict(changed), model.predict(with_constant))
    gradients = model.input_gradients(changed, **({"target": 1} if y.max() > 1 else {}))
    assert not any(g[:, 1].any() for g in gradients)


@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_scale_and_offset_of_channels_do_not_matter(Estimator, dtype, rng, seed):
    X, y = problem(rng, n_features=2)
    # Where one batch holds all samples, they are sorted by their bytes.
    model = Estimator(**SMALL, random_state=seed, dtype=dtype, batch_size=7)
    expected = model.fit(X, y).predict(X)
    np.testing.assert_array_equal(model.fit(X * 2.0**40, y).predict(X * 2.0**40), expected)
    moved = 1e6 + X  # folded into float32 weights, such an offset would lose four more digits
    found, loss = model.fit(moved, y).predict(moved), model.loss_curve_
    if Estimator is LSTMRegressor:
        assert_close(found, expected, 1e-4 if dtype == "float32" else 1e-7)
    assert_close(loss, model.fit(X, y).loss_curve_, 1e-4 if dtype == "float32" else 1e-7)


def test_single_precision_keeps_the_digits_of_double_inputs(rng, seed):
    X, y = raw_problem(rng)
    X = [x + 1e10 * SCALE for x in X]
    single = LSTMRegressor(**SMALL, random_state=seed, dtype="float32").fit(X, y)
    double = LSTMRegressor(**SMALL, random_state=seed).fit(X, y)
    assert_close(single.predict(X), double.predict(X), 1e-4)


@both
def test_with_a_scaler_in_front_results_differ_by_rounding(Estimator, rng, seed):
    X, y = raw_problem(rng)
    model, plain = (
        make_pipeline(
            SequenceScaler(), Estimator(**SMALL, random_state=seed, scale_inputs=scale_inputs)
        ).fit(X, y)
        for scale_inputs in (True, False)
    )
    assert_close(model[-1].loss_curve_, plain[-1].loss_curve_, 1e-8)
    assert_close(model[-1].hidden_states(model[0].transform(X))[0],
                 plain[-1].hidden_states(model[0].transform(X))[0], 1e-7)  # fmt: skip


# --- weights and threads ---


def test_a_weight_of_two_is_a_sample_twice(rng, seed):
    X, y = raw_problem(rng)
    weights = rng.integers(1, 4, len(X))
    options = SMALL | {"random_state": seed, "batch_size": 1000}
    weighted = LSTMRegressor(**options).fit(X, y, weights)
    repeated = [x for x, k in zip(X, weights, strict=True) for _ in range(k)]
    order = rng.permutation(len(repeated))
    twice = LSTMRegressor(**options).fit([repeated[k] for k in order], np.repeat(y, weights)[order])
    assert_same_fit(weighted, twice)
    np.testing.assert_array_equal(weighted.input_mean_, twice.input_mean_)


def test_the_number_of_threads_changes_no_bit(rng, seed, threads_pay):
    X, y = raw_problem(rng, n=150)
    options = SMALL | {"random_state": seed, "batch_size": 150}
    one, two = (LSTMRegressor(**options, n_jobs=k).fit(X, y) for k in (1, 2))
    assert_same_fit(one, two)
    np.testing.assert_array_equal(one.predict(X), two.predict(X))


@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scaling_once_or_in_each_batch_gives_the_same_bits(
    Estimator, dtype, rng, seed, monkeypatch
):
    X, y = raw_problem(rng, n=70)
    options = SMALL | {"dtype": dtype, "random_state": seed}
    once = Estimator(**options).fit(X, y, X_val=X, y_val=y)
    monkeypatch.setattr(train, "SHARE_OF_SCALED_INPUTS", 0)
    in_batches = Estimator(**options).fit(X, y, X_val=X, y_val=y)
    assert_same_fit(once, in_batches)
    assert once.validation_scores_ == in_batches.validation_scores_


# --- the folded network ---


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4])
def test_parameters_are_those_of_the_network_for_raw_inputs(rng, dtype, offset):
    X, y = problem(rng, n_features=3)
    X = (X + offset) * SCALE
    options = SMALL | {"pooling": "last", "dtype": dtype, "random_state": 0}
    model = LSTMClassifier(**options).fit(X, y)
    parameters = {k: v.astype(np.float64) for k, v in model.parameters_.items()}
    of_layer = {k.removeprefix("lstm_0."): v for k, v in parameters.items()}
    h, *_ = lstm_forward(X.transpose(1, 0, 2), of_layer)
    found = (h[-1] @ of_layer["dense.weight"] + of_layer["dense.bias"])[:, 0]
    ratio = max(1.0, (np.abs(model.input_mean_) / model.input_scale_).max())
    error = np.abs(found - model.decision_function(X)).max()
    assert error <= ratio * (1e-6 if dtype == "float32" else 1e-12)


def test_both_directions_are_folded(rng, seed):
    X, y = raw_problem(rng)
    model = LSTMRegressor(**SMALL | DEEP, random_state=seed).fit(X, y)
    scale, parameters = model.input_scale_, model.parameters_
    plain = LSTMRegressor(**SMALL | DEEP, random_state=seed, scale_inputs=False)
    plain.fit(standardised(X, model.input_mean_, scale), y)
    for name in ("lstm_0", "lstm_0_reverse"):
        weight = plain.parameters_[f"{name}.weight_ih"]
        bias = plain.parameters_[f"{name}.bias"] - (model.input_mean_ / scale) @ weight
        assert_close(parameters[f"{name}.weight_ih"] * scale[:, None], weight, 1e-6)
        assert_close(parameters[f"{name}.bias"], bias, 1e-6)
    assert_close(parameters["lstm_1.weight_ih"], plain.parameters_["lstm_1.weight_ih"], 1e-6)


@pytest.mark.parametrize("scale_inputs", [True, False])
def test_parameters_are_a_read_only_copy(rng, scale_inputs):
    X, y = raw_problem(rng)
    model = LSTMRegressor(**SMALL, scale_inputs=scale_inputs).fit(X, y)
    for name, array in model.parameters_.items():
        assert not np.shares_memory(array, model._fitted_model().state.parameters)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        np.testing.assert_array_equal(array, model.parameters_[name])


# --- everything that predicts scales alike ---


@pytest.mark.parametrize("options", [{}, DEEP, {"dtype": "float32"}, {"pooling": "last"}])
@pytest.mark.parametrize("method", ["predict", "hidden_states", "input_gradients"])
def test_segments_scale_alike(options, method, rng, seed):
    X, y = raw_problem(rng, n=8)
    X = [rng.normal(size=(60, 3)) * SCALE + MEAN for _ in X]
    model = LSTMRegressor(**SMALL | {"pooling": "mean"} | options, random_state=seed).fit(X, y)
    at_once = getattr(model, method)(X)
    with sklearn.config_context(working_memory=0.01):
        in_segments = getattr(model, method)(X)
    tolerance = 1e-4 if options.get("dtype") == "float32" else 1e-9
    if method != "predict":
        at_once, in_segments = (np.concatenate(a) for a in (at_once, in_segments))
    if method == "input_gradients":
        at_once, in_segments = at_once * SCALE, in_segments * SCALE
    assert_close(in_segments, at_once, tolerance)


@pytest.mark.parametrize("options", [{}, DEEP, {"loss": "poisson"}])
def test_gradients_are_those_at_raw_inputs(options, rng, seed):
    X, y = raw_problem(rng)
    model = LSTMRegressor(**SMALL | options, random_state=seed, pooling="mean").fit(X, y)
    direction = [rng.normal(size=x.shape) * SCALE for x in X]
    step = 1e-4
    ahead, behind = (
        model.predict([x + k * step * d for x, d in zip(X, direction, strict=True)])
        for k in (1, -1)
    )
    gradients = model.input_gradients(X)
    found = [np.vdot(g, d) for g, d in zip(gradients, direction, strict=True)]
    np.testing.assert_allclose(found, (ahead - behind) / (2 * step), 1e-5, 1e-7)


@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", ["array", "float32 array", "list"])
def test_a_stream_scales_its_steps(Estimator, dtype, given, rng, seed):
    X, y = raw_problem(rng)
    X = [x.astype(np.float32).astype(np.float64) for x in X]
    model = Estimator(**SMALL, random_state=seed, dtype=dtype).fit(X, y)
    stream = SequenceStream(model)
    form = {"array": np.array, "float32 array": np.float32, "list": np.ndarray.tolist}[given]
    for x_t in X[1]:
        y_t = stream.step(form(x_t[np.newaxis]))
    if Estimator is LSTMRegressor:
        assert_close(y_t, model.predict(X[1:2]), 1e-5 if dtype == "float32" else 1e-12)
    else:
        assert y_t.tolist() == model.predict(X[1:2]).tolist()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_a_stream_refuses_what_is_too_large_after_scaling(value, rng):
    X, y = raw_problem(rng)
    X = [np.insert(x, 1, 3.0, axis=1) for x in X]
    model = LSTMRegressor(**SMALL, dtype="float32").fit(X, y)
    stream = SequenceStream(model, 2)
    stream.step([X[0][0], X[1][0]])
    before = stream.get_state()
    wrong = np.array([X[0][0], X[1][0]])
    wrong[1, 2] = value
    for given in (wrong, wrong.tolist()):
        with pytest.raises(ValueError, match=r"^X_t\[1\], step 1: "):
            stream.step(given)
    for name, array in stream.get_state().items():
        np.testing.assert_array_equal(array, before[name])


# --- partial_fit and warm_start ---

FROZEN = {"solver": "sgd", "learning_rate_init": 1e-30, "learning_rate": "constant", "alpha": 0.0}


@both
@pytest.mark.parametrize("options", [{}, DEEP])
def test_partial_fit_updates_the_scaling_and_keeps_the_function(Estimator, options, rng, seed):
    X, y = raw_problem(rng)
    later = [x * [3, 0.1, 1] + [1e4, 1e-5, 0] for x in X]
    classes = {"classes": [0, 1]} if Estimator is LSTMClassifier else {}
    model = Estimator(**SMALL | options | FROZEN, random_state=seed).partial_fit(X, y, **classes)
    method = "decision_function" if classes else "predict"
    before, mean = getattr(model, method)(later), model.input_mean_
    parameters = model.parameters_
    model.partial_fit(later, y, sample_weight=np.full(len(X), 2.0))
    assert not np.allclose(model.input_mean_, mean)
    weights = np.repeat([1.0, 2.0], sum(map(len, X)))
    expected_mean, expected_scale = statistics(X + later, weights)
    np.testing.assert_allclose(model.input_mean_, expected_mean, 1e-9, 1e-12)
    np.testing.assert_allclose(model.input_scale_, expected_scale, 1e-9)
    assert_close(getattr(model, method)(later), before, 1e-9)
    for name, array in model.parameters_.items():
        if name.startswith("lstm"):
            assert_close(array, parameters[name], 1e-7)


def test_a_first_call_with_a_constant_channel_does_not_fix_it(rng, seed):
    X, y = raw_problem(rng, n=120)
    model = LSTMClassifier(16, random_state=seed)
    model.partial_fit([X[0][:1]], y[:1], classes=[0, 1])
    assert np.isinf(model.input_scale_).all()
    before = model.decision_function(X)
    frozen = sklearn.clone(model)
    frozen.__setstate__(model.__getstate__())
    frozen.set_params(**FROZEN).partial_fit(X, y)
    assert_close(frozen.decision_function(X), before, 1e-9)
    for _ in range(60):
        model.partial_fit(X, y)
    np.testing.assert_allclose(model.input_scale_, statistics(X)[1], 0.05)
    assert model.score(X, y) > 0.85


@pytest.mark.parametrize("order", [(True, False), (False, True), (True, True)])
def test_warm_start_learns_the_scaling_anew_and_keeps_the_function(order, rng, seed):
    X, y = problem(rng, n_features=3)
    X, later = list(X), list(X * [3, 0.1, 1] + [2, 0, -1])
    options = SMALL | FROZEN | {"random_state": seed, "warm_start": True}
    model = LSTMClassifier(**options, scale_inputs=order[0]).fit(X, y)
    before = model.decision_function(X)
    model.set_params(scale_inputs=order[1]).fit(later, y)
    assert_close(model.decision_function(X), before, 1e-9)
    if order[1]:
        np.testing.assert_allclose(model.input_mean_, statistics(later)[0], 1e-9)
    else:
        assert model.input_mean_ is None


def test_a_channel_that_becomes_constant_keeps_its_weights(rng, seed):
    X, y = raw_problem(rng)
    model = LSTMClassifier(**SMALL | FROZEN, random_state=seed, warm_start=True).fit(X, y)
    later = [x * [1, 1, 0] for x in X]
    before = model.decision_function(later)
    model.fit(later, y)
    assert np.isinf(model.input_scale_[2])
    assert_close(model.decision_function(later), before, 1e-9)


# --- errors ---


def test_a_value_too_large_after_scaling_is_named(rng, seed):
    X, y = raw_problem(rng)
    labels = [np.full(len(x), float(k)) for x, k in zip(X, y, strict=True)]
    labels[7][:] = np.nan
    labels[7][0], weights = 0.0, [np.ones(len(x)) for x in X]
    X[7] = np.resize(X[7], (4, 3))
    labels[7], weights[7] = np.array([0, np.nan, np.nan, np.nan]), np.ones(4)
    X[7][2, 1] = -1e30  # at an unknown step, which does not count in the statistics
    labels[2][:] = np.nan
    model = LSTMRegressor(**SMALL, return_sequences=True, dtype="float32")
    message = (
        r"X[7], step 2: -1e+30 is too large for dtype=float32, expected at most 1.8e+19 standard "
        "deviations from the mean of the channel in the training data"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model.fit(X, labels)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model.partial_fit(X, labels)
    assert not hasattr(model, "input_mean_")
    good = [x for k, x in enumerate(X) if k != 7]
    good_labels = [x for k, x in enumerate(labels) if k != 7]
    with pytest.raises(ValueError, match=re.escape(f"(X_val, y_val): {message}")):
        model.fit(good, good_labels, X_val=X, y_val=labels)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model.fit(good, good_labels).predict(X)


def test_a_held_out_value_too_large_is_named(rng):
    X, y = raw_problem(rng)
    labels = [np.full(len(x), float(k)) for x, k in zip(X, y, strict=True)]
    model = LSTMRegressor(
        **SMALL, return_sequences=True, dtype="float32", early_stopping=True, random_state=0,
        validation_fraction=0.5,
    )  # fmt: skip
    for k in (3, 4, 5, 6):  # in one half or the other
        X[k] = np.resize(X[k], (2, 3))
        labels[k] = np.array([0, np.nan])
        X[k][1, 1] = 1e300
        with pytest.raises(ValueError, match=rf"^X\[{k}\], step 1: 1e\+300 is too large"):
            model.fit(X, labels)
        X[k][1, 1] = 0


@both
@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_channels_of_any_size_are_learned(Estimator, size, rng, seed):
    X, y = problem(rng, n_features=2)
    model = Estimator(**SMALL, random_state=seed, dtype="float32")
    expected = model.fit(X, y).loss_curve_
    assert_close(model.fit(X * size, y).loss_curve_, expected, 1e-4)
    assert np.isfinite(model.hidden_states(X * size)).all()
    found, plain = (model.fit(x, y).input_gradients(x) for x in (X * size, X))
    assert_close(found * size, plain.astype(np.float64), 1e-4)


def test_scale_inputs_must_be_a_boolean(rng):
    X, y = problem(rng)
    with pytest.raises(ValueError, match="The 'scale_inputs' parameter of LSTMClassifier must be"):
        LSTMClassifier(scale_inputs="yes").fit(X, y)


def test_a_state_of_before_does_not_scale(rng):
    X, y = problem(rng)
    model = LSTMClassifier(**SMALL, scale_inputs=False).fit(X, y)
    state = model.__getstate__()
    del state["scale_inputs"], state["model"]["form"]["scaling"]
    loaded = object.__new__(LSTMClassifier)
    loaded.__setstate__(state | {"format": 1})
    assert loaded.scale_inputs is False
    assert loaded.input_mean_ is None
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
