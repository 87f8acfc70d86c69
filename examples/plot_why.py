"""
Why this class
==============

A classifier is asked what its predictions depend on: which channels, which part of the time, and,
for one sequence, which inputs. The sequences are recordings with three channels. A fault is a short
burst in the channel "vibration"; the other two do not matter.
"""

# %%
# Data
# ----
# The recordings have 40 to 60 steps. The burst is in the first half.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from sklstm import LSTMClassifier
from sklstm.inspection import integrated_gradients
from sklstm.plotting import AttributionsDisplay, PermutationImportanceDisplay

CHANNELS = ["temperature", "vibration", "current"]


def record(has_fault, rng):
    n_steps = rng.integers(40, 61)
    values = rng.normal(size=(n_steps, 3))
    values[:, 0] += np.sin(np.arange(n_steps) / 6)
    if has_fault:
        start = rng.integers(3, 15)
        values[start : start + 5, 1] += 2.5 * (-1.0) ** np.arange(5)
    return pd.DataFrame(values, columns=CHANNELS)


rng = np.random.default_rng(0)
y = np.array(["normal", "fault"])[rng.integers(0, 2, size=500)]
X = [record(label == "fault", rng) for label in y]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=200, random_state=0)
clf = LSTMClassifier(16, max_iter=25, random_state=0).fit(X_train, y_train)
print(f"test accuracy {clf.score(X_test, y_test):.3f}")

# %%
# Which channels, and when
# ------------------------
# The score falls if the values of the important channel are exchanged between the test sequences.
# It falls for parts of the time at which a burst may occur.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
options = {"random_state": 0, "score_name": "accuracy"}
PermutationImportanceDisplay.from_estimator(clf, X_test, y_test, ax=left, **options)
PermutationImportanceDisplay.from_estimator(
    clf, X_test, y_test, by="segment", n_segments=8, ax=right, **options
)
plt.show()

# %%
# Why this sequence
# -----------------
# Integrated gradients attribute the logit of "fault" to single inputs. The burst has most of the
# sum. It is the difference between the logits of the sequence and of the baseline, which is the
# mean of each channel.
k = int(np.flatnonzero((y_test == "fault") & (clf.predict(X_test) == "fault"))[0])
AttributionsDisplay.from_estimator(clf, X_test[k], target="fault")
plt.show()

[attributions] = integrated_gradients(clf, [X_test[k]], target="fault")
for name, total in zip(CHANNELS, attributions.sum(axis=0), strict=True):
    print(f"{name:<12}{total:6.2f}")
print(f"{'sum':<12}{attributions.sum():6.2f}")
