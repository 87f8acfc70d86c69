"""Estimators inside other libraries; each test runs where its library is installed."""

import numpy as np
import pandas as pd
import pytest
from data import SMALL, cut, objects, problem
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.sequences import from_channels_first, to_channels_first

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # The libraries warn of each other and of what they will change.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def sine(n=80):
    """A series with a period of eight steps, indexed by days."""
    values = np.sin(np.arange(n) * np.pi / 4)
    return pd.Series(values, pd.date_range("2024-01-01", periods=n, freq="D"), name="y")


def small(seed, **settings):
    return LSTMRegressor(8, max_iter=60, random_state=seed, **settings)


def recursive(model, series, n_lags, n_steps, newest_first=False):
    """Forecasts of a fitted model, each of which is a lag of the next one."""
    known = list(series.to_numpy())
    for _ in range(n_steps):
        lags = np.array(known[-n_lags:])[None]
        known.append(float(model.predict(lags[:, ::-1] if newest_first else lags)[0]))
    return known[len(series) :]


# --- forecasting ---


@pytest.mark.parametrize("strategy", ["recursive", "direct"])
def test_sktime_reduces_forecasting_to_regression(strategy, seed):
    compose = pytest.importorskip("sktime.forecasting.compose")
    series = sine()
    forecaster = compose.make_reduction(small(seed), window_length=16, strategy=strategy)
    found = forecaster.fit(series[:-8], fh=np.arange(1, 9)).predict()
    assert found.index.equals(series[-8:].index)
    assert abs(found - series[-8:]).mean() < 0.5
    if strategy == "recursive":
        windows = np.lib.stride_tricks.sliding_window_view(series.to_numpy()[:-8], 17)
        model = small(seed).fit(windows[:, :-1], windows[:, -1])
        expected = recursive(model, series[:-8], 16, 8)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_skforecast_forecasts_recursively(seed):
    forecasters = pytest.importorskip("skforecast.recursive")
    series = sine()
    forecaster = forecasters.ForecasterRecursive(estimator=small(seed), lags=16)
    forecaster.fit(y=series[:-8])
    found = forecaster.predict(steps=8)
    assert found.index.equals(series[-8:].index)
    # skforecast's first column is the newest lag.
    windows = np.lib.stride_tricks.sliding_window_view(series.to_numpy()[:-8], 17)
    model = small(seed).fit(windows[:, :-1][:, ::-1], windows[:, -1])
    expected = recursive(model, series[:-8], 16, 8, newest_first=True)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_skforecast_with_lags_in_the_order_of_time(seed):
    forecasters = pytest.importorskip("skforecast.recursive")
    series = sine()
    in_order = FunctionTransformer(lambda X: np.asarray(X)[:, ::-1])
    forecaster = forecasters.ForecasterRecursive(
        estimator=make_pipeline(in_order, small(seed)), lags=16
    )
    forecaster.fit(y=series[:-8])
    assert abs(forecaster.predict(steps=8) - series[-8:]).mean() < 0.5


# --- collections of series ---


def test_aeon_has_channels_first(rng, seed):
    collection = pytest.importorskip("aeon.transformations.collection")
    X, y = problem(rng, n=40, n_features=3)
    channels_first = to_channels_first(X)
    normalized = collection.Normalizer().fit_transform(channels_first)
    assert normalized.shape == (40, 3, 6)
    clf = LSTMClassifier(8, max_iter=30, random_state=seed)
    model = make_pipeline(FunctionTransformer(from_channels_first), clf).fit(channels_first, y)
    np.testing.assert_array_equal(model.predict(channels_first), clone(clf).fit(X, y).predict(X))
    assert model.score(channels_first, y) > 0.6


def test_transformers_of_aeon_in_a_pipeline_of_scikit_learn(rng, seed):
    pipelines = pytest.importorskip("aeon.pipeline")
    collection = pytest.importorskip("aeon.transformations.collection")
    X, y = problem(rng, n=40, n_features=3)
    X = to_channels_first(X)
    steps = (
        collection.Normalizer(),
        FunctionTransformer(from_channels_first),
        LSTMClassifier(**SMALL, random_state=seed),
    )
    with pytest.raises(ValueError, match="cannot handle these characteristics"):
        pipelines.make_pipeline(*steps).fit(X, y)  # it asks for an estimator of aeon
    model = make_pipeline(*steps).fit(X, y)
    normalized = from_channels_first(clone(steps[0]).fit_transform(X))
    expected = clone(steps[-1]).fit(normalized, y).predict(normalized)
    np.testing.assert_array_equal(model.predict(X), expected)


# --- search ---


def test_optuna_prunes_by_partial_fit(rng, seed):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    X, y = problem(rng, n=60)
    X = cut(X, rng)
    X_val, y_val, X, y = X[:20], y[:20], X[20:], y[20:]

    def objective(trial):
        rate = trial.suggest_float("learning_rate_init", 1e-9, 1e-1, log=True)
        clf = LSTMClassifier(6, learning_rate_init=rate, random_state=seed)
        for epoch in range(12):
            clf.partial_fit(X, y, classes=[0, 1])
            trial.report(clf.score(X_val, y_val), epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return clf.score(X_val, y_val)

    sampler = optuna.samplers.RandomSampler(seed=seed % 2**31)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.enqueue_trial({"learning_rate_init": 0.05})
    study.enqueue_trial({"learning_rate_init": 0.04})
    study.enqueue_trial({"learning_rate_init": 1e-9})
    study.optimize(objective, n_trials=6)
    assert study.best_value > 0.6
    assert len(study.trials) == 6


# --- samples ---


def test_imbalanced_learn_resamples_tables(rng, seed):
    pipeline = pytest.importorskip("imblearn.pipeline")
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    X, y = problem(rng, n=60)
    table, y = X[:, :, 0], (np.arange(60) < 12).astype(int)
    clf = LSTMClassifier(**SMALL, random_state=seed)
    sampler = over_sampling.SMOTE(random_state=seed)
    model = pipeline.make_pipeline(sampler, clf).fit(table, y)
    expected = clone(clf).fit(*clone(sampler).fit_resample(table, y))
    np.testing.assert_array_equal(model.predict_proba(table), expected.predict_proba(table))


def test_imbalanced_learn_resamples_sequences_by_their_numbers(rng, seed):
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    X, _ = problem(rng, n=60)
    sequences, y = cut(X, rng), (np.arange(60) < 12).astype(int)
    sampler = over_sampling.RandomOverSampler(random_state=seed)
    with pytest.raises(ValueError, match="Found array with dim 3"):
        sampler.fit_resample(X, y)
    numbers, labels = sampler.fit_resample(np.arange(60)[:, None], y)
    assert np.bincount(labels).tolist() == [48, 48]
    chosen = [sequences[k] for k in numbers[:, 0]]
    clf = LSTMClassifier(**SMALL, random_state=seed).fit(chosen, labels)
    assert clf.predict(sequences).shape == (60,)


def test_cleanlab_finds_wrong_labels_of_ragged_sequences(rng, seed):
    cleanlab = pytest.importorskip("cleanlab.filter")
    y = rng.permutation(np.arange(90) % 3)
    X = [rng.normal(3.0 * (k - 1), 0.3, size=(length, 2)) for k, length in
         zip(y, rng.integers(3, 9, 90), strict=True)]  # fmt: skip
    wrong = rng.choice(90, 3, replace=False)
    labels = y.copy()
    labels[wrong] = (y[wrong] + 1) % 3
    clf = LSTMClassifier(8, max_iter=40, random_state=seed)
    probabilities = cross_val_predict(
        clf, X, labels, cv=StratifiedKFold(3, shuffle=True, random_state=seed),
        method="predict_proba",
    )  # fmt: skip
    found = cleanlab.find_label_issues(labels, probabilities, filter_by="predicted_neq_given")
    assert set(wrong) <= set(np.flatnonzero(found))
    assert found.sum() < 10


# --- conformal prediction ---


def test_mapie_predicts_intervals(rng, seed):
    mapie = pytest.importorskip("mapie.regression")
    X = rng.normal(size=(240, 6))
    y = X.mean(axis=1) + rng.normal(0, 0.1, size=240)
    reg = LSTMRegressor(8, max_iter=30, random_state=seed).fit(X[:80], y[:80])
    conformal = mapie.SplitConformalRegressor(reg, confidence_level=0.8, prefit=True)
    conformal.conformalize(X[80:160], y[80:160])
    predicted, intervals = conformal.predict_interval(X[160:])
    np.testing.assert_allclose(predicted, reg.predict(X[160:]))
    inside = (intervals[:, 0, 0] <= y[160:]) & (y[160:] <= intervals[:, 1, 0])
    assert inside.mean() > 0.5


@pytest.mark.parametrize("form", ["table", "list"])
def test_crepes_predicts_intervals(form, rng, seed):
    crepes = pytest.importorskip("crepes")
    X = rng.normal(size=(240, 6, 1))
    y = X.mean(axis=(1, 2)) + rng.normal(0, 0.1, size=240)
    X = X[:, :, 0] if form == "table" else cut(X, rng)
    model = crepes.WrapRegressor(LSTMRegressor(8, max_iter=30, random_state=seed))
    model.fit(X[:80], y[:80])
    model.calibrate(X[80:160], y[80:160])
    low, high = model.predict_int(X[160:], confidence=0.8).T
    assert ((low <= y[160:]) & (y[160:] <= high)).mean() > 0.5


# --- explanations ---


def test_shap_explains_tables(rng, seed):
    shap = pytest.importorskip("shap")
    X = rng.normal(size=(60, 4))
    reg = LSTMRegressor(8, max_iter=40, random_state=seed).fit(X, X @ [3.0, 0.0, 0.0, 1.0])
    explainer = shap.KernelExplainer(reg.predict, X[:20])
    values = explainer.shap_values(X[20:24], silent=True)
    found = values.sum(axis=1) + explainer.expected_value
    np.testing.assert_allclose(found, reg.predict(X[20:24]), atol=1e-6)


def test_gradients_explain_sequences(rng, seed):
    """Integrated gradients: they add up to the difference to a baseline."""
    X, _ = problem(rng, n=60)
    X = cut(X, rng, shortest=3)
    reg = LSTMRegressor(8, pooling="mean", max_iter=40, random_state=seed)
    reg.fit(X, [x.mean() for x in X])
    baseline = [np.zeros_like(x) for x in X[:5]]
    shares = (np.arange(1000) + 0.5) / 1000
    paths = [reg.input_gradients([share * x for x in X[:5]]) for share in shares]
    values = [x * np.mean([path[k] for path in paths], axis=0) for k, x in enumerate(X[:5])]
    found = [value.sum() for value in values]
    np.testing.assert_allclose(found, reg.predict(X[:5]) - reg.predict(baseline), atol=1e-4)


def test_object_arrays_work_where_lists_do_not(rng, seed):
    """A list is converted to an object array by libraries that index X with an array."""
    X, y = problem(rng)
    X = cut(X, rng)
    clf = LSTMClassifier(**SMALL, random_state=seed).fit(X, y)
    assert accuracy_score(clf.predict(X), clf.predict(objects(X))) == 1
