"""
Forecasting sunspots
====================

The number of sunspots rises and falls in cycles of about eleven years with different heights and
lengths. This example uses the last eleven years to forecast the next two years, month by month. An
LSTM is compared with the value of eleven years ago, the last value, and a linear autoregression.

With the folder of :doc:`/examples_data`, the series is the real one, 1749 to 1983::

    python examples/plot_sunspots.py DATA_FOLDER

Otherwise a similar series is generated.
"""

# %%
# The series
# ----------
# The noise increases with the number of sunspots, so both models use the square root of the number.
# Unlike a linear model, a network cannot predict values that are higher than all values in the
# training data. ``WindowScaledRegressor`` therefore divides its inputs and targets by the mean of
# each window, and multiplies its predictions by it.
import sys
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline

from sklstm import LSTMRegressor
from sklstm.preprocessing import SequenceScaler, SlidingWindow, WindowScaledRegressor
from sklstm.sequences import make_windows

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else None
CYCLE, HORIZON = 132, 24  # months


def generate_series(n_cycles, rng):
    """Generate cycles that rise faster than they fall; higher cycles are shorter."""
    cycles = []
    for height in rng.uniform(50, 150, size=n_cycles):
        length = int(CYCLE + (100 - height) / 4 + rng.normal(0, 6))
        phase = np.linspace(0, 1, length, endpoint=False) ** 0.8
        cycles.append(height * np.sin(np.pi * phase) ** 2)
    level = np.concatenate(cycles) + 3
    return (level + rng.normal(0, 1.5, len(level)) * np.sqrt(level)).clip(0)


if FOLDER is not None:
    path = FOLDER / "monthly-sunspots.csv"
    series = np.loadtxt(path, delimiter=",", skiprows=1, usecols=1)
else:
    series = generate_series(21, np.random.default_rng(0))
print(f"data: {'real' if FOLDER else 'generated'}, {len(series)} months")

# %%
# Splits
# ------
# The test set is the last fifth of the series, and the validation set the fifth before it. A window
# belongs to the past if all its targets do, and to the future if none do. Other windows are
# dropped.
X, y, index = make_windows(series, CYCLE, HORIZON, return_index=True)
first = index[:, 1] + CYCLE  # the first month that is forecast


def split(start, end):
    """Return windows with targets before ``start``, and with targets from ``start`` to ``end``."""
    past, future = first + HORIZON <= start, (first >= start) & (first + HORIZON <= end)
    return X[past], y[past], X[future], y[future]


def error(y_true, y_pred):
    return np.sqrt(np.mean((y_true - y_pred) ** 2))


def linear_forecast(X_past, y_past, X_future):
    model = RidgeCV(np.logspace(-2, 5, 15)).fit(np.sqrt(X_past[:, :, 0]), np.sqrt(y_past))
    return model.predict(np.sqrt(X_future[:, :, 0])).clip(0) ** 2


def lstm_forecast(X_past, y_past, X_future, n_seeds=5, **options):
    """Average networks with several seeds; one step is a year."""
    forecasts = []
    for seed in range(n_seeds):
        lstm = LSTMRegressor(32, pooling="last", max_iter=10, random_state=seed, **options)
        steps = make_pipeline(SequenceScaler(), SlidingWindow(12, 12), lstm)
        model = WindowScaledRegressor(steps, center=None, scale="mean_abs")
        model.fit(np.sqrt(X_past), np.sqrt(y_past))
        forecasts.append(model.predict(np.sqrt(X_future)).clip(0) ** 2)
    return np.mean(forecasts, axis=0)


# %%
# Model selection
# ---------------
# The training data have few cycles, and the cycles are different, so the penalty must be strong.
X_past, y_past, X_future, y_future = split(int(0.6 * len(series)), int(0.8 * len(series)))
errors = {}
for alpha, dropout in product([1.0, 3.0, 10.0], [0.0, 0.3]):
    forecast = lstm_forecast(X_past, y_past, X_future, alpha=alpha, dropout=dropout)
    errors[alpha, dropout] = error(y_future, forecast)
    print(f"{alpha=}, {dropout=}: validation RMSE {errors[alpha, dropout]:.2f}")
alpha, dropout = min(errors, key=errors.get)

# %%
# Test
# ----
# The error is the root mean squared error in sunspots, for all horizons and for three of them.
X_past, y_past, X_future, y_future = split(int(0.8 * len(series)), len(series))
linear = linear_forecast(X_past, y_past, X_future)
lstm = lstm_forecast(X_past, y_past, X_future, alpha=alpha, dropout=dropout)
forecasts = {
    "last value": np.repeat(X_future[:, -1], HORIZON, axis=1),
    "eleven years ago": X_future[:, :HORIZON, 0],
    "linear autoregression": linear,
    "LSTM": lstm,
    "mean of the two": (linear + lstm) / 2,
}
print(f"{'test RMSE':22} {'all':>6}", *(f"{month:>3} mo." for month in (1, 12, 24)))
for name, forecast in forecasts.items():
    parts = [y_future[:, k] - forecast[:, k] for k in (0, 11, 23)]
    each = [np.sqrt(np.mean(part**2)) for part in parts]
    print(f"{name:22} {error(y_future, forecast):6.2f}", *(f"{value:7.2f}" for value in each))

# %%
# Forecast of one year
# --------------------
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("matplotlib is not installed: no plot")
else:
    months = first[first >= int(0.8 * len(series))] + 11
    figure, axis = plt.subplots(figsize=(9, 4), layout="constrained")
    axis.plot(months, y_future[:, 11], color="black", linewidth=0.7, label="observed")
    colours = {"eleven years ago": "#CCCCCC", "linear autoregression": "#E69F00", "LSTM": "#0072B2"}
    for name, colour in colours.items():
        order = 1 if name == "eleven years ago" else 2.5  # its noise is below the other curves
        axis.plot(months, forecasts[name][:, 11], color=colour, zorder=order, label=name)
    axis.set(xlabel="month of the series", ylabel="sunspots", title="forecast 12 months ahead")
    axis.legend()
    plt.show()
