"""Scaling of windows and targets, compared with scaling by hand."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from data import SMALL, assert_same_fit, cut, fingerprint, padded, problem
from numerics import assert_close
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklstm import LSTMRegressor
from sklstm.preprocessing import SequenceScaler, SlidingWindow, WindowScaledRegressor
from sklstm.preprocessing._window_scaling import LEAST_SCALE
from sklstm.sequences import make_windows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CENTERS = {
    "mean": lambda x: x.mean(axis=0),
    "last": lambda x: x[-1],
    None: lambda x: np.zeros(x.shape[1]),
}
SCALES = {
    "std": lambda x: x.std(axis=0),
    "mean_abs": lambda x: np.abs(x).mean(axis=0),
    None: lambda x: np.ones(x.shape[1]),
}


def series(rng, n=60):
    """Two channels whose level and scale change."""
    level = 100 + np.cumsum(rng.normal(size=(n, 2)), axis=0)
    return level * [1, -7] + rng.normal(size=(n, 2)) * np.linspace(1, 9, n)[:, None]


def by_hand(X, center="mean", scale="std"):
    """Center and scale (n, D) of windows in a list or an array."""
    found = np.stack([[CENTERS[center](x), SCALES[scale](x)] for x in X]).transpose(1, 0, 2)
    least = LEAST_SCALE * found[1].mean(axis=0)
    return found[0], np.maximum(found[1], least)


def lstm(seed, **options):
    return LSTMRegressor(**SMALL | options, random_state=seed)


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("target", [None, 0, 1, [1], [1, 0]], ids=str)
def test_fit_and_predict_as_by_hand(center, scale, horizon, target, rng, seed):
    X, y, *_ = make_windows(series(rng), 6, horizon, target=target)
    centers, scales = by_hand(X, center, scale)
    columns = slice(None) if target is None else target
    shape = [len(X), *(1,) * (y.ndim - centers[:, columns].ndim), *centers[:, columns].shape[1:]]
    center_y, scale_y = (part[:, columns].reshape(shape) for part in (centers, scales))
    X_scaled = (X - centers[:, None]) / scales[:, None]
    model = WindowScaledRegressor(lstm(seed), center=center, scale=scale, target=target)
    if y.shape[1:] == (1,):
        with pytest.warns(DataConversionWarning):
            model.fit(X, y)
        y, center_y, scale_y = y[:, 0], center_y[:, 0], scale_y[:, 0]
    else:
        model.fit(X, y)
    plain = lstm(seed).fit(X_scaled, (y - center_y) / scale_y)
    expected = plain.predict(X_scaled) * scale_y + center_y
    found = model.predict(X)
    assert found.shape == y.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    rows = [part.reshape(len(y), -1) for part in (y, found)]
    assert model.score(X, y) == pytest.approx(r2_score(*rows))


def test_a_linear_model_continues_a_line_of_any_level_exactly(rng):
    """Windows of lines are alike once they are scaled, so that one pair of lines is enough."""
    slopes, levels = rng.uniform(1, 5, (2, 30)) * [[1], [1000]]
    X = levels[:, None] + slopes[:, None] * np.arange(8)
    y = levels[:, None] + slopes[:, None] * np.arange(8, 11)
    reg = WindowScaledRegressor(LinearRegression()).fit(X[:2], y[:2])
    np.testing.assert_allclose(reg.predict(X), y, rtol=1e-10)


@pytest.mark.parametrize("form", ["2d", "frame", "list", "padded", "list of frames", "rows"])
def test_forms_of_windows(form, rng, seed):
    X = (
        problem(rng)[0]
        if form in ("list", "padded", "list of frames")
        else problem(rng)[0][:, :, :1]
    )
    lists = cut(X, rng, shortest=2) if form in ("list", "padded", "list of frames") else list(X)
    given = {
        "2d": lambda: X[:, :, 0],
        "frame": lambda: pd.DataFrame(X[:, :, 0]),
        "list": lambda: lists,
        "padded": lambda: padded(lists),
        "list of frames": lambda: [pd.DataFrame(x, columns=["a", "b"]) for x in lists],
        "rows": lambda: [x[:, 0] for x in lists],
    }[form]()
    y = rng.normal(100, 1, len(lists))
    model = WindowScaledRegressor(lstm(seed), target=0).fit(given, y)
    centers, scales = by_hand(lists)
    scaled = [(x - c) / s for x, c, s in zip(lists, centers, scales, strict=True)]
    plain = lstm(seed).fit(scaled, (y - centers[:, 0]) / scales[:, 0])
    expected = plain.predict(scaled) * scales[:, 0] + centers[:, 0]
    np.testing.assert_allclose(model.predict(given), expected, rtol=1e-6)
    assert model.n_features_in_ == (6 if form in ("2d", "frame") else scaled[0].shape[1])
    assert ("feature_names_in_" in vars(model)) == (form == "list of frames")


@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
def test_quantiles_and_deviations(shape, rng, seed):
    X, y = make_windows(series(rng)[:, 0], 6, *shape)
    levels = [0.1, 0.5, 0.9]
    model = WindowScaledRegressor(lstm(seed, loss="quantile", quantile=levels)).fit(X, y)
    predicted = model.predict(X)
    assert predicted.shape == (*y.shape, 3)
    assert (np.diff(predicted, axis=-1) >= 0).all()
    assert model.score(X, y) == r2_score(y, predicted[..., 1])
    model = WindowScaledRegressor(make_pipeline(SequenceScaler(), lstm(seed, loss="gaussian")))
    mean, deviation = model.fit(X, y).predict(X, return_std=True)
    centers, scales = (part[:, 0] for part in by_hand(X))
    inner = model.regressor_.predict((X - centers[:, None, None]) / scales[:, None, None],
                                     return_std=True)  # fmt: skip
    units = (len(X), *(1,) * len(shape))
    assert_close(mean, inner[0] * scales.reshape(units) + centers.reshape(units), 1e-9)
    assert_close(deviation, inner[1] * scales.reshape(units), 1e-9)


def test_weights_count_as_repetition(rng, seed):
    X, y = make_windows(series(rng)[:, 0], 6)
    weights = 2 ** rng.integers(0, 2, len(X))
    weighted = WindowScaledRegressor(lstm(seed, batch_size=1000)).fit(X, y, weights)
    rows = np.repeat(np.arange(len(X)), weights)
    twice = WindowScaledRegressor(lstm(seed, batch_size=1000)).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.least_scale_, twice.least_scale_, rtol=1e-12)
    assert_same_fit(weighted.regressor_, twice.regressor_)


def test_windows_of_weight_zero_are_left_out(rng, seed):
    X, y = make_windows(series(rng)[:, 0], 6)
    weights = rng.permutation(np.arange(len(X)) % 3).astype(float)
    X = np.where((weights > 0)[:, None, None], X, 1e6 * X)
    kept = weights > 0
    one = WindowScaledRegressor(lstm(seed)).fit(X, y, weights)
    other = WindowScaledRegressor(lstm(seed)).fit(X[kept], y[kept], weights[kept])
    np.testing.assert_allclose(one.least_scale_, other.least_scale_, rtol=1e-12)
    assert_same_fit(one.regressor_, other.regressor_)


def test_validation_windows_are_scaled(rng, seed):
    X, y = make_windows(series(rng)[:, 0], 6, 2)
    model = WindowScaledRegressor(lstm(seed)).fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:])
    centers, scales = (part[:, :, None] for part in by_hand(X[:30]))
    held = by_hand(X[30:])
    X_val = (X[30:] - held[0][:, None]) / held[1][:, None]
    expected = lstm(seed).fit(
        (X[:30] - centers) / scales, (y[:30] - centers[:, 0]) / scales[:, 0],
        X_val=X_val, y_val=(y[30:] - held[0]) / held[1],
    )  # fmt: skip
    found = model.regressor_.validation_scores_
    assert found == pytest.approx(expected.validation_scores_, rel=1e-6)
    with pytest.raises(ValueError, match=r"Validation data \(X_val, y_val\): Found input"):
        model.fit(X, y, X_val=X, y_val=y[1:])


def test_constant_windows_are_scaled_by_the_least_scale(rng, seed):
    X = np.concatenate([rng.normal(size=(20, 6, 1)), np.full((5, 6, 1), 3.0)])
    y = np.concatenate([rng.normal(size=20), np.full(5, 3.5)])
    model = WindowScaledRegressor(LinearRegression()).fit(X[:, :, 0], y)
    assert model.least_scale_ == pytest.approx(LEAST_SCALE * X.std(axis=1).mean())
    at_zero = model.regressor_.predict(np.zeros((1, 6)))
    expected = 1e5 + at_zero * model.least_scale_
    np.testing.assert_allclose(model.predict(np.full((1, 6), 1e5)), expected, rtol=1e-12)
    constant = WindowScaledRegressor(lstm(seed)).fit(X[20:], y[20:])
    assert constant.least_scale_.tolist() == [0.0]
    np.testing.assert_allclose(constant.predict(X[20:]), 3.5, atol=0.2)


@pytest.mark.parametrize("power", [600, 1000, -600, -1000])
def test_windows_of_any_unit(power, rng, seed):
    """A power of two changes only the unit; the network never sees it."""
    X, y = make_windows(series(rng)[:, 0] / 1024, 6, 2)
    expected = WindowScaledRegressor(lstm(seed)).fit(X, y).predict(X)
    model = WindowScaledRegressor(lstm(seed)).fit(np.ldexp(X, power), np.ldexp(y, power))
    np.testing.assert_allclose(np.ldexp(model.predict(np.ldexp(X, power)), -power), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision(dtype, rng, seed):
    X, y = (part.astype(dtype) for part in make_windows(series(rng)[:, 0], 6))
    model = WindowScaledRegressor(lstm(seed)).fit(X, y)
    assert model.predict(X).dtype == dtype
    assert model.regressor_.parameters_["dense.bias"].dtype == dtype


def test_partial_fit_updates_the_least_scale(rng, seed):
    X, y = make_windows(series(rng)[:, 0], 6)
    model, expected = WindowScaledRegressor(lstm(seed)), WindowScaledRegressor(lstm(seed))
    for rows in (slice(0, 3), slice(3, 20), slice(20, None)):
        model.partial_fit(X[rows], y[rows])
    assert model.regressor_.n_iter_ == 3
    np.testing.assert_allclose(model.least_scale_, expected.fit(X, y).least_scale_, rtol=1e-12)
    assert not hasattr(WindowScaledRegressor(lstm(seed, solver="lbfgs")), "partial_fit")
    assert not hasattr(WindowScaledRegressor(LinearRegression()), "partial_fit")


def test_a_failed_call_changes_nothing(rng, seed):
    X, y = make_windows(series(rng), 6, 2)
    model = WindowScaledRegressor(lstm(seed))
    for wrong in (y[:, :, :1], y[1:], np.full_like(y, np.nan)):
        with pytest.raises(ValueError, match=r"y: expected|inconsistent numbers|y contains NaN"):
            model.fit(X, wrong)
        assert not hasattr(model, "regressor_")
        with pytest.raises(NotFittedError):
            model.predict(X)
    model.fit(X, y)
    before = fingerprint(model)
    for call in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="y"):
            call(X, np.full_like(y, np.inf))
        assert fingerprint(model) == before


def test_saved_models(rng, seed):
    X, y = make_windows(series(rng), 6, 2)
    model = WindowScaledRegressor(lstm(seed), center="last").fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(
        loaded.partial_fit(X, y).predict(X), model.partial_fit(X, y).predict(X)
    )
    assert not hasattr(clone(loaded), "regressor_")


def test_in_searches_and_pipelines(rng, seed):
    X, y = make_windows(series(rng), 6, 2)
    inner = make_pipeline(SlidingWindow(2, 2), lstm(seed))
    model = WindowScaledRegressor(inner)
    grid = {"center": ["mean", "last"], "regressor__lstmregressor__alpha": [1e-4, 1e-2]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(X).shape == y.shape
    assert np.isfinite(cross_val_score(model, X, y, cv=2)).all()


def test_metadata_routing(rng, seed):
    X, y = make_windows(series(rng), 6, 2)
    weights = rng.uniform(0.5, 2, len(X))
    expected = WindowScaledRegressor(lstm(seed)).fit(X[:20], y[:20], weights[:20])
    with sklearn.config_context(enable_metadata_routing=True):
        inner = lstm(seed).set_fit_request(sample_weight=True)
        inner = inner.set_score_request(sample_weight=True)
        outer = WindowScaledRegressor(inner)
        outer.set_score_request(sample_weight=True)  # the scorer of scikit-learn 1.7 needs it
        scores = cross_val_score(
            outer, X, y, cv=[(np.arange(20), np.arange(20, len(X)))],
            params={"sample_weight": weights},
        )  # fmt: skip
    assert scores == pytest.approx([expected.score(X[20:], y[20:], weights[20:])])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 2}, "target: expected channels, 0 to 1, got 2"),
        ({"target": [0, -1]}, r"target: expected channels, 0 to 1, got \[0, -1\]"),
        ({"target": [0]}, r"y: expected 1 channels in its last axis, for target=\[0\]"),
        ({"center": "median"}, "The 'center' parameter"),
        ({"scale": 2.0}, "The 'scale' parameter"),
        ({"regressor": "lstm"}, "The 'regressor' parameter"),
    ],
    ids=str,
)
def test_malformed_parameters(options, message, rng, seed):
    X, y = make_windows(series(rng), 6, 2)
    with pytest.raises(ValueError, match=message):
        WindowScaledRegressor(**{"regressor": lstm(seed)} | options).fit(X, y)


@parametrize_with_checks(
    [
        WindowScaledRegressor(LinearRegression()),
        WindowScaledRegressor(
            LSTMRegressor(2, max_iter=5, random_state=0), center="last", scale="mean_abs"
        ),
    ]
)
def test_sklearn_checks(estimator, check):
    check(estimator)
