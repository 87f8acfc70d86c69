"""The functions of benchmarks/accuracy/tasks.py, compared with results by hand."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.dummy import DummyRegressor

FOLDER = Path(__file__).parents[1] / "benchmarks" / "accuracy"


@pytest.fixture
def tasks(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("tasks")


def test_read_a_span_whose_header_lacks_a_column(tasks, tmp_path):
    path = tmp_path / "span.csv"
    lines = ['"date","Temperature","Humidity","Light","CO2","HumidityRatio","Occupancy"']
    light, co2 = np.arange(12) ** 2, 400 + 5 * np.arange(12)
    for k in range(12):
        lines.append(f'"{k}","2015-02-0{1 + k // 8} 10:{k:02}:00",20,30,{light[k]},{co2[k]},0.1,1')
    path.write_text("\n".join(lines))
    span = tasks.read_span(path)
    assert_array_equal(span.minutes, np.column_stack([light, co2]))
    assert_array_equal(span.inputs[:, 1], [0, *np.diff(light)])
    assert_array_equal(span.inputs[:, 2], [*(5 * np.arange(11)), 50])
    assert span.days.tolist() == 8 * ["2015-02-01"] + 4 * ["2015-02-02"]
    assert span.y.tolist() == 12 * [1]


@pytest.mark.parametrize("n_minutes", [1440, 185, 180, 400])
def test_each_minute_has_a_label_in_some_piece(tasks, n_minutes, rng):
    days = np.repeat(["a", "b"], n_minutes)
    numbers = np.arange(2.0 * n_minutes)
    y = rng.integers(2, size=len(days))
    span = tasks.Span(numbers[:, None], numbers[:, None], y, days)
    seen = []
    for x, labels in zip(*tasks._pieces(span), strict=True):
        minutes = x[:, 0].astype(int)
        known = np.isfinite(labels)
        assert len(set(days[minutes])) == 1
        assert len(minutes) <= tasks.LENGTH
        assert known.all() or np.flatnonzero(known)[0] == tasks.UNKNOWN
        assert_array_equal(labels[known], y[minutes[known]])
        seen.extend(minutes[known])
    assert set(seen) == set(range(2 * n_minutes))


def test_seasonal_differences_continue_a_line_with_a_season(tasks, rng):
    season = rng.normal(size=12)
    series = np.tile(season, 5) + 0.5 * np.arange(60)
    X, y = (
        np.stack([series[k : k + 24, None] for k in range(24)]),
        np.stack([series[k + 24 : k + 36] for k in range(24)]),
    )
    model = tasks.SeasonalDifferences(DummyRegressor()).fit(X[:1], y[:1])
    assert_allclose(model.predict(X), y)  # each value is 12 * 0.5 above that of a season before
    unchanged = DummyRegressor(strategy="constant", constant=np.zeros(12))
    model = tasks.SeasonalDifferences(unchanged).fit(X, y)
    assert_array_equal(model.predict(X), X[:, 12:, 0])


def test_measures_of_the_two_rules(tasks):
    classes, counts = np.array(["often", "rare"]), np.array([9, 1])
    p = np.array([[0.95, 0.05], [0.8, 0.2], [0.8, 0.2], [0.3, 0.7]])
    y = np.array(["often", "often", "rare", "rare"])
    found = tasks._many_classes(y, p, classes, counts)
    assert found["accuracy"] == found["balanced"] == 75  # the third is wrong
    assert found["relative"] == 75  # the second is wrong
    assert found["log loss"] == pytest.approx(-np.log([0.95, 0.8, 0.2, 0.7]).mean())


def test_forecast_errors_are_in_the_units_of_the_series(tasks):
    series = tasks.Series(np.zeros(1), np.square, 1, 1, 1, 1, 2)
    found = tasks._forecast_errors(
        series, [np.array([[2.0]]), np.array([[3.0]])], [np.array([[1.0]]), np.array([[2.0]])]
    )
    assert found == pytest.approx({"RMSE": np.sqrt(17), "MAE": 4, "MAE 1": 3, "MAE 2": 5})
