"""Targets, predictions and weights for every time step, in every form."""

import numpy as np
import pandas as pd
import sklearn.metrics

from sklstm import metrics

LABELS = {
    "two numbers": np.array([0, 1]),
    "two strings": np.array(["off", "on"]),
    "three strings": np.array(["noun", "verb", "x"]),
    "objects": np.array(["noun", "verb", "x"], dtype=object),
}
CLASSIFICATION = {
    "accuracy": {},
    "balanced_accuracy": {},
    "f1_macro": {"average": "macro"},
    "f1_micro": {"average": "micro"},
    "f1_weighted": {"average": "weighted"},
}
REGRESSION = ["r2", "mean_squared_error", "mean_absolute_error"]


def draw_lengths(rng, n=12, shortest=3):
    return rng.integers(shortest, shortest + 6, size=n)


def draw_labels(rng, lengths, classes):
    """Labels of each step; every class occurs in every sequence."""
    labels = [rng.choice(classes, size=length) for length in lengths]
    for steps in labels:
        steps[rng.permutation(len(steps))[: len(classes)]] = classes
    return labels


def draw_features(rng, labels, classes):
    """One feature, the code of the label with noise."""
    codes = [np.searchsorted(classes.astype(str), y.astype(str)) for y in labels]
    return [c[:, None] + rng.normal(scale=0.6, size=(len(c), 1)) for c in codes]


def draw_probabilities(rng, lengths, n_classes):
    drawn = [rng.uniform(0.05, 1, size=(length, n_classes)) for length in lengths]
    return [p / p.sum(axis=1, keepdims=True) for p in drawn]


def objects(parts):
    array = np.empty(len(parts), dtype=object)
    array[:] = parts
    return array


def step_weights(rng, lengths):
    """Weights 0.5, 1 and 2."""
    return [rng.choice([0.5, 1, 2], size=length) for length in lengths]


FORMS = {
    "list": list,
    "tuple": tuple,
    "object array": objects,
    "nested lists": lambda parts: [part.tolist() for part in parts],
    "pandas series": lambda parts: [pd.Series(part) for part in parts],
}


def metric_of(name):
    """Our metric, the one of scikit-learn and the options of both."""
    if name.startswith("f1"):
        return metrics.f1_score, sklearn.metrics.f1_score, CLASSIFICATION[name]
    full = name if name.endswith(("error", "loss")) else f"{name}_score"
    return getattr(metrics, full), getattr(sklearn.metrics, full), {}


def pad(parts, n_timesteps, padding):
    """Sequences padded to one array."""
    kind = float if isinstance(padding, int | float) else object
    array = np.full((len(parts), n_timesteps, *np.shape(parts[0])[1:]), padding, kind)
    for k, part in enumerate(parts):
        array[k, : len(part)] = part
    return array
