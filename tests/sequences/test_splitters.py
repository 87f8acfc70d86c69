"""Splits of windows by time and by series."""

import numpy as np
import pytest
import sklearn
from data import SMALL
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    TimeSeriesSplit,
    cross_val_predict,
    cross_val_score,
)

from sklstm import LSTMRegressor
from sklstm.sequences import WindowGroupKFold, WindowTimeSeriesSplit, make_windows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def steps_of(index, width, horizon):
    """The steps of the inputs and of the targets of windows, as sets of (series, step)."""
    inputs = {(k, s + i) for k, s in index.tolist() for i in range(width)}
    targets = {(k, s + width + i) for k, s in index.tolist() for i in range(horizon)}
    return inputs, targets


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("gap", [0, 2, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("n_series", [1, 3])
def test_training_windows_end_before_the_test_targets(horizon, gap, stride, n_series, rng):
    width = 5
    series = [rng.normal(size=60 - 7 * k) for k in range(n_series)]
    X, _, index = make_windows(series, width, horizon, stride, return_index=True)
    splitter = WindowTimeSeriesSplit(3, horizon=horizon, gap=gap)
    tested = []
    for train, test in splitter.split(X, groups=index):
        first = min(step for _, step in steps_of(index[test], width, horizon)[1])
        last = max(step for _, step in steps_of(index[train], width, horizon)[1])
        assert first - 2 * (stride - 1) <= last + 1 + gap <= first  # as late as possible
        if gap >= width:
            parts = [steps_of(index[rows], width, horizon) for rows in (train, test)]
            assert not (parts[0][0] | parts[0][1]) & (parts[1][0] | parts[1][1])
        tested.append(test)
    assert len(tested) == splitter.get_n_splits() == 3
    tested = np.concatenate(tested)
    assert len(np.unique(tested)) == len(tested)
    assert index[:, 1].max() in index[tested, 1]


def test_windows_of_one_step_of_one_series_are_split_as_scikit_learn_does(rng):
    X, _, index = make_windows(rng.normal(size=50), 4, return_index=True)
    for options in ({}, {"test_size": 6}, {"gap": 3}, {"max_train_size": 8}):
        found = WindowTimeSeriesSplit(4, **options).split(X, groups=index)
        expected = TimeSeriesSplit(4, **options).split(X)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])


def test_the_order_of_the_windows_does_not_matter(rng):
    X, _, index = make_windows([rng.normal(size=40)] * 2, 4, 2, return_index=True)
    order = rng.permutation(len(X))
    plain = WindowTimeSeriesSplit(3, horizon=2).split(X, groups=index)
    shuffled = WindowTimeSeriesSplit(3, horizon=2).split(X[order], groups=index[order])
    for one, other in zip(plain, shuffled, strict=True):
        for rows, others in zip(one, other, strict=True):
            np.testing.assert_array_equal(rows, np.sort(order[others]))


def test_one_split_holds_out_the_end():
    X, y, index = make_windows(np.arange(30.0), 4, 2, return_index=True)
    ((train, test),) = WindowTimeSeriesSplit(1, horizon=2, test_size=5).split(X, groups=index)
    assert y[test, 0].tolist() == [24, 25, 26, 27, 28]
    assert y[train].max() == 23


def test_series_are_never_in_both_sets(rng):
    series = [rng.normal(size=n) for n in (30, 20, 25, 22, 40)]
    X, _, index = make_windows(series, 4, return_index=True)
    splitter = WindowGroupKFold(5)
    seen = []
    for train, test in splitter.split(X, groups=index):
        assert not set(index[train, 0]) & set(index[test, 0])
        seen += np.unique(index[test, 0]).tolist()
    assert sorted(seen) == [0, 1, 2, 3, 4]
    for shuffle in (False, True):
        options = {"shuffle": shuffle, "random_state": 0 if shuffle else None}
        found = WindowGroupKFold(3, **options).split(X, groups=index)
        expected = GroupKFold(3, **options).split(X, groups=index[:, 0])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one[1], other[1])


SPLITTERS = [WindowTimeSeriesSplit(2, horizon=2), WindowGroupKFold(2)]
every_splitter = pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda s: type(s).__name__)


@pytest.fixture
def windows(rng):
    return make_windows([rng.normal(size=30), rng.normal(size=26)], 4, 2, return_index=True)


@every_splitter
@pytest.mark.parametrize("as_list", [False, True])
def test_in_cross_validation_and_search(splitter, as_list, windows, seed):
    X, y, index = windows
    X = list(X) if as_list else X
    reg = LSTMRegressor(**SMALL, random_state=seed)
    scores = cross_val_score(reg, X, y, groups=index, cv=splitter)
    search = GridSearchCV(reg, {"alpha": [1e-4]}, cv=splitter).fit(X, y, groups=index)
    np.testing.assert_array_equal(
        scores, [search.cv_results_[f"split{k}_test_score"][0] for k in (0, 1)]
    )
    for (train, test), score in zip(splitter.split(X, groups=index), scores, strict=True):
        fold = clone(reg).fit([X[k] for k in train] if as_list else X[train], y[train])
        assert fold.score([X[k] for k in test] if as_list else X[test], y[test]) == score


@every_splitter
def test_with_metadata_routing(splitter, windows, seed):
    X, y, index = windows
    reg = LSTMRegressor(**SMALL, random_state=seed)
    expected = cross_val_score(reg, X, y, groups=index, cv=splitter)
    with sklearn.config_context(enable_metadata_routing=True):
        reg.set_fit_request(groups=False)  # they are for the splitter
        found = cross_val_score(reg, X, y, params={"groups": index}, cv=splitter)
        search = GridSearchCV(reg, {"alpha": [1e-4]}, cv=splitter).fit(X, y, groups=index)
    np.testing.assert_array_equal(found, expected)
    assert search.best_score_ == pytest.approx(expected.mean())


@every_splitter
def test_early_stopping_holds_out_the_last_test_set(splitter, windows, seed):
    X, y, index = windows
    reg = LSTMRegressor(
        **SMALL | {"max_iter": 1}, early_stopping=True, validation_splitter=splitter,
        random_state=seed,
    ).fit(X, y, groups=index)  # fmt: skip
    *_, (train, test) = splitter.split(X, groups=index)
    np.testing.assert_allclose(reg._model.form.targets.mean_seen, y[train].mean(axis=0))
    residual = (reg.predict(X[test]) - y[test]) / y[train].std(axis=0)
    assert reg.validation_scores_ == pytest.approx([-(residual**2).mean() / 2])


def test_predictions_of_all_series(windows, seed):
    X, y, index = windows
    reg = LSTMRegressor(**SMALL, random_state=seed)
    assert cross_val_predict(reg, X, y, groups=index, cv=WindowGroupKFold(2)).shape == y.shape


@every_splitter
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda index: None, "got None"),
        (lambda index: index[:, 0], r"got shape \(46,\)"),
        (lambda index: index[:5], r"got shape \(5, 2\)"),
        (lambda index: index.astype(float), "dtype float64"),
    ],
    ids=["none", "column", "short", "floats"],
)
def test_groups_that_are_no_index(splitter, wrong, message, windows):
    X, _, index = windows
    with pytest.raises(ValueError, match=r"groups: expected the index .*\(46, 2\).*" + message):
        next(splitter.split(X, groups=wrong(index)))


@pytest.mark.parametrize(
    ("Splitter", "options"),
    [(WindowTimeSeriesSplit, {"n_splits": 0}), (WindowTimeSeriesSplit, {"horizon": 0}),
     (WindowTimeSeriesSplit, {"gap": -1}), (WindowTimeSeriesSplit, {"test_size": 0}),
     (WindowTimeSeriesSplit, {"max_train_size": 1.5}), (WindowGroupKFold, {"n_splits": 1})],
)  # fmt: skip
def test_malformed_parameters(Splitter, options, windows):
    X, _, index = windows
    with pytest.raises(ValueError, match=f"{next(iter(options))}: expected an integer"):
        next(Splitter(**options).split(X, groups=index))


@pytest.mark.parametrize("options", [{"n_splits": 40}, {"gap": 30}, {"test_size": 20}], ids=str)
def test_sets_that_would_be_empty(options, windows):
    X, _, index = windows
    with pytest.raises(ValueError, match="expected windows before and after step"):
        list(WindowTimeSeriesSplit(**options).split(X, groups=index))


def test_more_splits_than_series(windows):
    X, _, index = windows
    with pytest.raises(ValueError, match="n_splits: expected at most 2, the series"):
        next(WindowGroupKFold(3).split(X, groups=index))


def test_representation():
    assert repr(WindowGroupKFold(3)) == (
        "WindowGroupKFold(n_splits=3, shuffle=False, random_state=None)"
    )
