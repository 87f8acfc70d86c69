"""
Backtesting forecasts
=====================

A single test set says little about forecasts: one week is easy and the next one is not. A backtest
forecasts from many points in time, its origins, and trains each time on the past alone. This
example backtests an LSTM that predicts three quantiles of the next day, and three baselines: the
last value, the value of a week ago, and a linear autoregression.

The hourly demand is generated. With the folder of :doc:`/examples_data`, the series is the monthly
number of sunspots, whose period is about eleven years::

    python examples/plot_backtest.py DATA_FOLDER
"""

# %%
# The series
# ----------
# The level of the demand wanders, weekends are low, and so are holidays, which come without notice:
# on the next day the demand is as usual, unless that is a holiday too.
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline

from sklstm import LSTMRegressor
from sklstm.preprocessing import SlidingWindow, WindowScaledRegressor
from sklstm.sequences import WindowTimeSeriesSplit, make_windows

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else None


def generate_demand(n_weeks, rng):
    """Return one value for each hour."""
    hours = np.arange(24)
    working_day = 1 + np.exp(-((hours - 9) ** 2) / 8) + 1.4 * np.exp(-((hours - 19) ** 2) / 10)
    free_day = 0.9 + 0.5 * np.exp(-((hours - 13) ** 2) / 30)
    free = (np.arange(7 * n_weeks) % 7 > 4) | (rng.random(7 * n_weeks) < 0.08)
    level = 50 * np.exp(np.cumsum(rng.normal(0, 0.03, len(free))))
    days = level[:, None] * np.where(free[:, None], free_day, working_day)
    return (days * rng.normal(1, 0.03, days.shape)).ravel()


if FOLDER is None:
    series = generate_demand(60, np.random.default_rng(0))
    period, horizon, chunk, stride, unit = 168, 24, 24, 6, "hour"
    options, n_networks = {"alpha": 0.1}, 1
else:
    path = FOLDER / "monthly-sunspots.csv"
    series = np.sqrt(np.loadtxt(path, delimiter=",", skiprows=1, usecols=1))
    period, horizon, chunk, stride, unit = 132, 24, 12, 3, "month"
    options, n_networks = {"alpha": 1.0, "max_iter": 10}, 5

# %%
# Windows and origins
# -------------------
# The input of a forecast is one period. Each split of ``WindowTimeSeriesSplit`` tests on all
# windows of some time, and trains on those whose targets come before: no target that a model was
# trained on is part of a test. Four models are trained, and each one forecasts from many origins.
X, y, index = make_windows(series, period, horizon, stride, return_index=True)
splitter = WindowTimeSeriesSplit(n_splits=4, horizon=horizon, test_size=len(series) // 10)
splits = list(splitter.split(X, y, groups=index))
print(f"{len(series)} {unit}s, {sum(len(test) for _, test in splits)} origins")

# %%
# Models
# ------
# ``WindowScaledRegressor`` divides each window and its targets by the mean of the window, so that a
# model does not need to know the level. The network reads one day (of sunspots, one year) at each
# step. Its penalty and number of epochs were chosen by forecasts within the first three fifths of
# each series. The windows of the sunspots overlap and contain only twenty cycles, so that a long
# training fits them too closely: ten epochs are enough, and five networks are averaged.
quantiles = [0.1, 0.5, 0.9]


def lstm(seed):
    network = LSTMRegressor(
        32, pooling="last", loss="quantile", quantile=quantiles, dtype="float32",
        random_state=seed, **options,
    )  # fmt: skip
    model = make_pipeline(SlidingWindow(chunk, chunk), network)
    return WindowScaledRegressor(model, center=None, scale="mean_abs")


def linear():
    model = RidgeCV(np.logspace(-3, 3, 13))
    return WindowScaledRegressor(model, center=None, scale="mean_abs")


def forecast(train, test):
    """Return what each model forecasts: arrays (n_origins, horizon)."""
    rows = X[:, :, 0]
    networks = [lstm(seed).fit(X[train], y[train]) for seed in range(n_networks)]
    network = np.mean([fitted.predict(X[test]) for fitted in networks], axis=0)
    return {
        "last value": np.repeat(rows[test, -1:], horizon, axis=1),
        "one period ago": rows[test, :horizon],
        "linear": linear().fit(rows[train], y[train]).predict(rows[test]),
        "LSTM": network[:, :, 1],
        "lower": network[:, :, 0],
        "upper": network[:, :, 2],
    }


parts = [forecast(train, test) for train, test in splits]
forecasts = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
tested = np.concatenate([test for _, test in splits])
observed = y[tested]

# %%
# Errors
# ------
# The mean absolute error of each model, over all origins and for each quarter of them, relative to
# the forecast of one period ago.
models = ["last value", "one period ago", "linear", "LSTM"]
errors = {name: np.abs(observed - forecasts[name]) for name in models}
ends = np.cumsum([len(test) for _, test in splits])[:-1]
print(f"{'mean absolute error':20} {'all':>6}  relative, by split")
for name in models:
    pairs = zip(np.split(errors[name], ends), np.split(errors["one period ago"], ends), strict=True)
    relative = "".join(f"{own.mean() / seasonal.mean():7.2f}" for own, seasonal in pairs)
    print(f"{name:20} {errors[name].mean():6.2f} {relative}")
inside = (forecasts["lower"] <= observed) & (observed <= forecasts["upper"])
print(f"between the quantiles 0.1 and 0.9: {100 * inside.mean():.0f} percent of the values")

# %%
# Plots
# -----
# The error by the distance from the origin, and the forecasts of the last origins.
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("matplotlib is not installed: no plot")
else:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    ahead = np.arange(1, horizon + 1)
    colours = dict(zip(models, ["#999999", "#E69F00", "#009E73", "#0072B2"], strict=True))
    for name in models:
        left.plot(ahead, errors[name].mean(axis=0), color=colours[name], label=name)
    left.set(xlabel=f"{unit}s ahead", ylabel="mean absolute error", ylim=(0, None))
    left.set_xticks(range(0, horizon + 1, 6))
    left.legend()
    first = index[tested, 1] + period  # the first time that is forecast
    shown = np.flatnonzero((first[-1] - first) % horizon == 0)[-6:]  # one after the other
    start = first[shown[0]]
    right.plot(
        np.arange(start, len(series)), series[start:], color="black", linewidth=1, label="observed"
    )
    for row in shown:
        times = first[row] + np.arange(horizon)
        lower, upper = forecasts["lower"][row], forecasts["upper"][row]
        band = right.fill_between(times, lower, upper, color=colours["LSTM"], alpha=0.25)
        [median] = right.plot(times, forecasts["LSTM"][row], color=colours["LSTM"], linewidth=1)
    band.set_label("LSTM, 80 percent interval")
    median.set_label("LSTM, median")
    right.set(xlabel=f"{unit} of the series", ylabel="value")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize="small")
    plt.show()
