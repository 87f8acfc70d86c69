"""
Patients with facts and gaps
============================

Patients in a hospital are measured each hour. Stays have different lengths, measurements are
missing, and each patient has facts that do not change: age and ward. The task is to warn of
patients whose condition gets worse. The example goes from two tables to a fitted pipeline, and from
there to a stream that computes the risk of several patients each hour.

The data are simulated. To use your own, write them to a folder as described in
:doc:`/examples_data`::

    python examples/plot_patients.py DATA_FOLDER

The example needs pandas.
"""

# %%
# Two tables
# ----------
# One table has a row for each measured hour, and one has a row for each patient. In the simulation,
# what is normal depends on the facts: pulse rises with age, and oxygen is lower on the lung ward.
# A patient gets worse slowly, over the last 40 hours, and these may begin before the first
# measurement. Stable patients have short peaks.
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklstm import LSTMClassifier
from sklstm.preprocessing import AppendStatic, SequenceImputer
from sklstm.sequences import from_long_frame
from sklstm.streaming import SequenceStream

FOLDER = Path(sys.argv[1], "patients") if len(sys.argv) > 1 else None
VITALS = ["pulse", "oxygen"]


def simulate_stay(patient, rng):
    """One patient: a row of facts, and a frame of hourly measurements with gaps."""
    n_hours, worse = rng.integers(12, 49), rng.random() < 0.4
    age, ward = rng.integers(20, 90), rng.choice(["heart", "lung", "surgery"])
    hours = np.arange(n_hours)
    drift = worse * rng.uniform(0.4, 1.2) * np.clip(1 - (n_hours - hours) / 40, 0, None)
    peak = np.exp(-((hours - rng.uniform(0, n_hours + 4)) ** 2) / 4)
    strain = drift + (not worse) * peak
    noise = rng.normal(size=(n_hours, 2))
    frame = pd.DataFrame({"patient": patient, "hour": hours})
    frame["pulse"] = 55 + 0.5 * age + 16 * strain + 3 * noise[:, 0]
    frame["oxygen"] = 97 - 4 * (ward == "lung") - 4 * strain + noise[:, 1]
    frame[VITALS] = frame[VITALS].mask(rng.random((n_hours, 2)) < 0.3)
    return {"patient": patient, "age": age, "ward": ward, "worse": int(worse)}, frame


def simulate_hospital(n_patients, rng):
    facts, stays = zip(*(simulate_stay(k, rng) for k in range(n_patients)), strict=True)
    return pd.DataFrame(facts), pd.concat(stays, ignore_index=True)


given = FOLDER is not None and FOLDER.is_dir()
if given:
    patients = pd.read_csv(FOLDER / "patients.csv")
    measurements = pd.read_csv(FOLDER / "measurements.csv")
else:
    patients, measurements = simulate_hospital(400, np.random.default_rng(0))
print(f"data: {'from files' if given else 'simulated'}; {len(patients)} patients,", end=" ")
print(f"{len(measurements)} hours, {measurements[VITALS].isna().mean().mean():.0%} missing")

# %%
# From tables to sequences with facts
# -----------------------------------
# :func:`~sklstm.sequences.from_long_frame` converts the measurements to sequences. They become a
# column of the table of patients, so that every tool of scikit-learn that selects rows keeps the
# sequences and the facts together.
X, ids = from_long_frame(measurements, id="patient", time="hour", features=VITALS)
stays = pd.Series(X, index=ids, name="series")
data = patients.set_index("patient").join(stays, how="inner").reset_index(drop=True)
y = data.pop("worse")
print(data.assign(series=[f"array{x.shape}" for x in data["series"]]).head(3).to_string())

# %%
# The pipeline
# ------------
# :class:`~sklstm.preprocessing.AppendStatic` encodes the facts and repeats them at each hour, and
# :class:`~sklstm.preprocessing.SequenceImputer` fills gaps with the last measured value, which is
# also possible in a stream.
facts = make_column_transformer((OneHotEncoder(), ["ward"]), (StandardScaler(), ["age"]))
lstm = LSTMClassifier(16, pooling="last", alpha=0.1, max_iter=40, random_state=0)
model = make_pipeline(AppendStatic(static=facts), SequenceImputer("forward"), lstm)
without_facts = make_pipeline(AppendStatic(), SequenceImputer("forward"), lstm)

# %%
# Does the history help, and do the facts? The table for the logistic regression has the facts, and
# the last and the mean value of each measurement.
n_static = facts.fit_transform(data).shape[1]
filled = SequenceImputer("forward").fit_transform(list(data["series"]))
table = np.array([[*x[-1], *x.mean(axis=0)] for x in filled])
table = np.concatenate([facts.fit_transform(data), table], axis=1)
regression = make_pipeline(StandardScaler(), LogisticRegression())
folds = StratifiedKFold(4, shuffle=True, random_state=0)
for name, estimator, rows in (
    ("logistic regression, last and mean", regression, table),
    ("LSTM without facts", without_facts, data[["series"]]),
    ("LSTM with facts", model, data),
):
    risk = cross_val_predict(estimator, rows, y, cv=folds, method="predict_proba")[:, 1]
    print(f"{name}: cross-validated area under the ROC curve {roc_auc_score(y, risk):.3f}")

# %%
# The stream
# ----------
# The last patients arrive one after the other. They were not used to fit the model. A stream begins
# when a patient arrives, with the facts of the patient; from then on, it gets a row each hour. The
# mask tells which patients are measured at this hour.
test = slice(len(data) - 40, None)
model.fit(data[: test.start], y[: test.start])
chosen = data[test].groupby(y[test]).head(3).index
newcomers, arrivals = data.loc[chosen], 6 * np.arange(len(chosen))
stream = SequenceStream(model, n_streams=len(chosen))
lengths = np.array([len(x) for x in newcomers["series"]])
risks = np.full((max(arrivals + lengths), len(chosen)), np.nan)
for hour in range(len(risks)):
    for k in np.flatnonzero(arrivals == hour):
        stream.reset(k, static=newcomers.iloc[[k]])
    present = (hour >= arrivals) & (hour < arrivals + lengths)
    rows = np.full((len(chosen), len(VITALS)), np.nan)
    for k in np.flatnonzero(present):
        rows[k] = newcomers["series"].iloc[k][hour - arrivals[k]]
    risks[hour] = np.where(present, stream.step_proba(rows, mask=present)[:, 1], np.nan)

at_the_end = risks[arrivals + lengths - 1, np.arange(len(chosen))]
whole = model.predict_proba(newcomers)[:, 1]
print(f"largest difference between stream and whole sequences: {abs(at_the_end - whole).max():.0e}")

# %%
# Risk by hour
# ------------
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("matplotlib is not installed: no plot")
else:
    figure, axes = plt.subplots(2, sharex=True, figsize=(9, 5), layout="constrained")
    colours = {1: "#D55E00", 0: "#0072B2"}
    for k, worse in enumerate(y[chosen]):
        style = {"color": colours[worse], "alpha": 0.8}
        hours = arrivals[k] + np.arange(lengths[k])
        axes[0].plot(hours, newcomers["series"].iloc[k][:, 0], ".-", **style)
        axes[1].plot(hours, risks[hours, k], **style)
    axes[0].set_ylabel("pulse, beats per minute")
    axes[1].set(ylabel="risk", xlabel="hour", ylim=(0, 1))
    for label, worse in (("got worse", 1), ("stable", 0)):
        axes[1].plot([], [], color=colours[worse], label=label)
    axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    plt.show()
