"""The pinball loss of one or several quantiles."""

import re

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from data import SMALL, cut, padded, problem
from sklearn.model_selection import GridSearchCV

from sklstm import LSTMRegressor
from sklstm.metrics import make_scorer, mean_pinball_loss

LEVELS = [0.1, 0.5, 0.8]
QUANTILES = {"loss": "quantile", "quantile": LEVELS}
SHAPES = [(), (2,), (3, 2), (2, 3, 2)]


def naive(y_true, y_pred, weights, levels=LEVELS):
    """Sample by sample, target by target, quantile by quantile."""
    total = 0.0
    for y, p, weight in zip(y_true, y_pred, weights, strict=True):
        losses = []
        for place in np.ndindex(np.shape(y)):
            for k, level in enumerate(levels):
                residual = y[place] - p[(*place, k)]
                losses.append(level * residual if residual > 0 else (level - 1) * residual)
        total += weight * np.mean(losses)
    return total / np.sum(weights)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_several_quantiles_of_targets_of_any_shape(shape, rng):
    y, predicted = rng.normal(size=(7, *shape)), rng.normal(size=(7, *shape, 3))
    weights = rng.uniform(0.5, 2, 7)
    found = mean_pinball_loss(y, predicted, quantile=LEVELS)
    assert found == pytest.approx(naive(y, predicted, np.ones(7)), rel=1e-12)
    found = mean_pinball_loss(y, predicted, quantile=LEVELS, sample_weight=weights)
    assert found == pytest.approx(naive(y, predicted, weights), rel=1e-12)
    lists = y.tolist(), predicted.tolist()
    assert mean_pinball_loss(*lists, quantile=LEVELS) == pytest.approx(
        naive(y, predicted, np.ones(7)), rel=1e-12
    )


@pytest.mark.parametrize("shape", [(), (2,)], ids=str)
def test_one_quantile_is_the_loss_of_scikit_learn(shape, rng):
    (y, predicted), weights = rng.normal(size=(2, 7, *shape)), rng.uniform(0.5, 2, 7)
    expected = sklearn.metrics.mean_pinball_loss(y, predicted, alpha=0.3, sample_weight=weights)
    found = mean_pinball_loss(y, predicted, quantile=0.3, sample_weight=weights)
    assert found == pytest.approx(expected, rel=1e-12)
    found = mean_pinball_loss(y, predicted[..., None], quantile=[0.3], sample_weight=weights)
    assert found == pytest.approx(expected, rel=1e-12)
    half = sklearn.metrics.mean_absolute_error(y, predicted) / 2
    assert mean_pinball_loss(y, predicted) == pytest.approx(half, rel=1e-12)
    frames = pd.DataFrame(y), pd.DataFrame(predicted)
    assert mean_pinball_loss(*frames) == pytest.approx(half, rel=1e-12)


@pytest.mark.parametrize("columns", [(), (2,)], ids=str)
def test_ragged_steps_with_missing_targets(columns, rng):
    lengths = [4, 1, 6]
    y = [rng.normal(size=(length, *columns)) for length in lengths]
    predicted = [rng.normal(size=(length, *columns, 3)) for length in lengths]
    weights = [rng.uniform(0.5, 2, length) for length in lengths]
    y[2][1] = np.nan
    weights[0][0] = 0
    known = [np.arange(4) > 0, np.array([True]), np.arange(6) != 1]
    rows = [
        np.concatenate([part[which] for part, which in zip(parts, known, strict=True)])
        for parts in (y, predicted, weights)
    ]
    expected = naive(*rows)
    options = {"quantile": LEVELS, "sample_weight": weights}
    assert mean_pinball_loss(y, predicted, **options) == pytest.approx(expected, rel=1e-12)
    array = np.full((3, 6, *columns, 3), np.nan)
    for k, part in enumerate(predicted):
        array[k, : len(part)] = part
    assert mean_pinball_loss(y, array, **options) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("per_step", [False, True])
def test_predictions_of_a_regressor(per_step, rng, seed):
    X, _ = problem(rng)
    X = cut(X, rng)
    y = [x.sum(axis=1) for x in X] if per_step else np.array([x.sum() for x in X])
    reg = LSTMRegressor(**SMALL, **QUANTILES, return_sequences=per_step, random_state=seed)
    predicted = reg.fit(X, y).predict(X)
    found = mean_pinball_loss(y, predicted, quantile=LEVELS)
    rows = (np.concatenate(y), np.concatenate(predicted)) if per_step else (y, predicted)
    assert found == pytest.approx(naive(*rows, np.ones(len(rows[0]))), rel=1e-9)
    if per_step:
        padding = reg.predict(padded(X))
        assert mean_pinball_loss(y, padding, quantile=LEVELS) == pytest.approx(found, rel=1e-9)


def test_a_scorer_in_a_search_and_for_early_stopping(rng, seed):
    X, _ = problem(rng)
    y = X.sum(axis=(1, 2))
    scorer = make_scorer(mean_pinball_loss, quantile=LEVELS, greater_is_better=False)
    reg = LSTMRegressor(
        **SMALL, **QUANTILES, random_state=seed, early_stopping=True, scoring=scorer
    )
    search = GridSearchCV(reg, {"alpha": [1e-4, 1.0]}, scoring=scorer, cv=2).fit(X, y)
    best = search.best_estimator_
    assert scorer(best, X, y) == -mean_pinball_loss(y, best.predict(X), quantile=LEVELS)
    assert (search.cv_results_["mean_test_score"] < 0).all()
    assert all(score < 0 for score in best.validation_scores_)


@pytest.mark.parametrize("quantile", [0, 1.0, -0.1, [], [0.5, 0.5], [0.9, 0.1], "x", None, [[0.5]]])
def test_wrong_quantiles(quantile):
    with pytest.raises(ValueError, match="quantile: expected a number, or numbers in ascending"):
        mean_pinball_loss([1.0], [1.0], quantile=quantile)


def test_predictions_that_do_not_match():
    y, steps = np.zeros(4), [np.zeros(2), np.zeros(3)]
    for true, predicted, quantile, message in [
        (y, np.zeros((4, 2)), LEVELS, "y_pred: expected shape (4, 3) for y_true of shape (4,) and"),
        (y, y, LEVELS, "quantile=[0.1, 0.5, 0.8], got (4,)"),
        (y, np.zeros((4, 3)), 0.5, "y_pred: expected shape (4,) for y_true of shape (4,) and"),
        (y, np.zeros((3, 3)), LEVELS, "got (3, 3)"),
        (steps, [np.zeros((2, 2)), np.zeros((3, 2))], LEVELS, "expected shape (3,) at each step"),
        (steps, [np.zeros((2, 3)), np.zeros((2, 3))], LEVELS, "y_pred"),
        (y, np.full((4, 3), np.nan), LEVELS, "y_pred"),
        (3.0, 4.0, 0.5, "y_true: expected at least one number in an array or list"),
        ([], [], 0.5, "y_true: expected at least one number in an array or list"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            mean_pinball_loss(true, predicted, quantile=quantile)
