"""
Forecasts with intervals
========================

One network forecasts the next 24 hours of a series whose noise depends on the time of the day, with
an interval for each hour: by quantiles, and by the standard deviation of a normal distribution.
"""

# %%
# Data
# ----
# The load of a power grid, generated: a daily pattern, and noise that is larger by day. A window
# has three days. The test windows begin after the last training target.
import matplotlib.pyplot as plt
import numpy as np

from sklstm import LSTMRegressor
from sklstm.plotting import ForecastDisplay
from sklstm.sequences import make_windows

rng = np.random.default_rng(0)
hours = np.arange(24 * 120)
daily = np.sin(2 * np.pi * (hours - 8) / 24)
noise = rng.normal(size=len(hours)) * np.where(daily > 0, 0.35, 0.08)
load = 10 + 2 * daily + noise

X, y = make_windows(load, 72, horizon=24)
train, test = slice(0, 2000), slice(2000 + 96, None)

# %%
# Two kinds of intervals
# ----------------------
quantiles = LSTMRegressor(
    24, loss="quantile", quantile=[0.05, 0.5, 0.95], max_iter=8, random_state=0
).fit(X[train], y[train])
gaussian = LSTMRegressor(24, loss="gaussian", max_iter=8, random_state=0)
gaussian.fit(X[train], y[train])

models = {"quantiles": quantiles, "normal distribution": gaussian}
figure, axes = plt.subplots(2, figsize=(9, 6), sharex=True, sharey=True, layout="constrained")
window, true = X[test][200], y[test][200]
for axis, (name, model) in zip(axes, models.items(), strict=True):
    ForecastDisplay.from_estimator(model, window, y_true=true, ax=axis)
    axis.set(ylabel="load", title=name)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))  # beside the curves
    axis.label_outer()
plt.show()

# %%
# Coverage
# --------
# An interval of 90 percent should contain 90 percent of the test values, and be wider by day, where
# the noise is larger.
low, _, high = np.moveaxis(quantiles.predict(X[test]), -1, 0)
mean, deviation = gaussian.predict(X[test], return_std=True)
ends = {
    "quantiles": (low, high),
    "normal distribution": (mean - 1.645 * deviation, mean + 1.645 * deviation),
}
by_day = daily[np.arange(len(X))[:, None] + 72 + np.arange(24)][test] > 0
for name, (lower, upper) in ends.items():
    inside = (lower <= y[test]) & (y[test] <= upper)
    width = upper - lower
    print(
        f"{name}: {inside.mean():.1%} inside, "
        f"width {width[by_day].mean():.2f} by day, {width[~by_day].mean():.2f} by night"
    )
