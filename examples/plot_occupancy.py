"""
Room occupancy
==============

Sensors measure light and carbon dioxide in an office each minute. The task is to predict whether
the room is occupied. A logistic regression on single minutes works well if the lamps are on only
when people are present. If lamps are not switched off, or if daylight is sufficient, an LSTM on
several minutes can use the change of carbon dioxide.

With the folder of :doc:`/examples_data`, the data are real::

    python examples/plot_occupancy.py DATA_FOLDER

Otherwise they are simulated. The example needs pandas.
"""

# %%
# Data
# ----
# The data have three spans of time, one for training and two for the test. They are a long data
# frame with one row for each minute, which :func:`~sklstm.sequences.from_long_frame` converts to
# sequences.
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklstm import LSTMClassifier
from sklstm.preprocessing import SequenceScaler
from sklstm.sequences import from_long_frame, make_windows

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else None
SENSORS = ["Light", "CO2"]  # temperature and humidity follow the weather
SPANS = ["datatraining", "datatest", "datatest2"]


def read_room(folder):
    frames = {name: pd.read_csv(folder / f"{name}.csv", parse_dates=["date"]) for name in SPANS}
    return pd.concat(frames, names=["span"]).reset_index("span")


def simulate_room(n_days, start, rng):
    """Simulate air that changes slowly, and lamps that are sometimes not switched off."""
    minutes = np.arange(n_days * 1440)
    hour = minutes / 60 % 24
    changes = np.repeat(rng.random(len(minutes) // 30), 30)
    inside = (hour > 8) & (hour < 18) & (changes > 0.3)
    lamp = (hour > 8) & (hour < 18) & (inside | (np.repeat(changes[::120], 120) > 0.6))
    air = pd.DataFrame({"CO2": 400 + 700.0 * inside}).ewm(halflife=25).mean()
    room = air * (1 + rng.normal(0, 0.01, air.shape))
    daylight = 150 * np.sin(np.pi * (hour - 6) / 12).clip(0) * rng.uniform(0.5, 1, len(minutes))
    dates = pd.date_range(start, periods=len(minutes), freq="min")
    return room.assign(Light=daylight + 300 * lamp, date=dates, Occupancy=inside.astype(int))


if FOLDER is not None:
    room = read_room(FOLDER / "occupancy")
else:
    rng, starts = np.random.default_rng(0), ["2026-03-02", "2026-03-09", "2026-03-12"]
    frames = [simulate_room(n, start, rng) for n, start in zip((6, 2, 6), starts, strict=True)]
    room = pd.concat(dict(zip(SPANS, frames, strict=True)), names=["span"]).reset_index("span")
X, spans, y, times = from_long_frame(
    room, id="span", time="date", features=SENSORS, target="Occupancy", per_step=True,
    return_times=True,
)  # fmt: skip
print(f"data: {'real' if FOLDER else 'simulated'};", *(f"{len(x)} minutes" for x in X))

# %%
# Windows
# -------
# Each window consists of several minutes and has the label of its last minute. (The steps after the
# windows, which ``make_windows`` also returns, are for forecasts.) All models are evaluated on the
# same minutes.
LONGEST = 15


def windows(x, width):
    return make_windows(x[LONGEST - width :].astype(np.float32), width)[0]


labels = [part[LONGEST - 1 : -1] for part in y]
days = pd.DatetimeIndex(times[0][LONGEST - 1 : -1]).day_of_year

# %%
# Model selection
# ---------------
# The data have few days, and the days are different, so the network is small and has a penalty. The
# width of the windows and the penalty are chosen by cross-validation. All windows of a day are in
# the same fold.
errors = {}
for width, alpha in product([5, LONGEST], [1.0, 10.0]):
    lstm = LSTMClassifier(8, pooling="last", alpha=alpha, batch_size=64, max_iter=6, random_state=0)
    model = make_pipeline(SequenceScaler(), lstm)
    scores = cross_val_score(model, windows(X[0], width), labels[0], groups=days, cv=GroupKFold(4))
    errors[width, alpha] = 1 - scores.mean()
    print(f"{width} minutes, {alpha=}: cross-validated accuracy {scores.mean():.4f}")
width, alpha = min(errors, key=errors.get)

model.set_params(lstmclassifier__alpha=alpha).fit(windows(X[0], width), labels[0])
baseline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[0], y[0])

# %%
# Test
# ----
for k, span in enumerate(spans[1:], start=1):
    for name, predicted in (
        ("one minute, logistic regression", baseline.predict(X[k][LONGEST - 1 : -1])),
        (f"{width} minutes, LSTM", model.predict(windows(X[k], width))),
    ):
        accuracy = accuracy_score(labels[k], predicted)
        balanced = balanced_accuracy_score(labels[k], predicted)
        print(f"{span}: {name}: accuracy {accuracy:.4f}, balanced {balanced:.4f}")

# %%
# One day
# -------
try:
    import matplotlib.pyplot as plt
    from matplotlib.dates import ConciseDateFormatter
except ImportError:
    print("matplotlib is not installed: no plot")
else:
    day = slice(0, 1440)
    clock = times[1][LONGEST - 1 : -1][day]
    figure, axes = plt.subplots(3, sharex=True, figsize=(9, 5), layout="constrained")
    for axis, sensor, unit in zip(axes, SENSORS, ["lux", "ppm"], strict=False):
        axis.plot(clock, X[1][LONGEST - 1 : -1][day, SENSORS.index(sensor)], color="tab:gray")
        axis.set_ylabel(f"{sensor}, {unit}")
    axes[2].set_ylabel("probability")
    axes[2].fill_between(clock, labels[1][day], step="mid", alpha=0.3, label="occupied")
    axes[2].plot(
        clock, model.predict_proba(windows(X[1], width)[day])[:, 1], label="predicted by the LSTM"
    )
    axes[2].legend(loc="center left")
    axes[2].xaxis.set_major_formatter(ConciseDateFormatter(axes[2].xaxis.get_major_locator()))
    plt.show()
