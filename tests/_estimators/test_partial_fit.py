"""Training on files that a generator reads, a batch of ragged sequences at a time."""

import numpy as np
import pytest
from data import cut, parameter_vector, problem
from numerics import assert_close
from sklearn.exceptions import ConvergenceWarning

from sklstm import LSTMClassifier, LSTMRegressor

N_FILES = 6
EPOCHS = 25


def write_files(folder, X, y):
    """Ragged batches, each the concatenated sequences, their lengths and their targets."""
    for k, rows in enumerate(np.array_split(np.arange(len(X)), N_FILES)):
        lengths = [len(X[row]) for row in rows]
        values = np.concatenate([X[row] for row in rows])
        np.savez(folder / f"{k}.npz", values=values, lengths=lengths, y=y[rows])


def read_files(folder):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            ends = np.cumsum(file["lengths"])
            yield np.split(file["values"], ends[:-1]), file["y"]


def test_partial_fit_on_batches_equals_fit_on_the_same_batches(rng, tmp_path):
    X, y = problem(rng, n=60)
    X = cut(X, rng)
    write_files(tmp_path, X, y)
    # The scale of the inputs and the total weight would be those of the batches so far.
    options = {"hidden_layer_sizes": 4, "alpha": 0.0, "label_smoothing": 0.0, "random_state": 0,
               "scale_inputs": False}  # fmt: skip
    epochs = {"learning_rate": "constant", "shuffle": False, "batch_size": 10, "max_iter": 3}
    with pytest.warns(ConvergenceWarning):
        whole = LSTMClassifier(**options, **epochs).fit(X, y)
    parts = LSTMClassifier(**options)
    for _ in range(3):
        for X_part, y_part in read_files(tmp_path):
            parts.partial_fit(X_part, y_part, classes=[0, 1])
    assert parts.t_ == whole.t_ == 18
    assert_close(parameter_vector(parts), parameter_vector(whole), 1e-9)


@pytest.mark.parametrize("per_step", [False, True])
def test_a_classifier_reaches_what_fit_reaches(per_step, rng, tmp_path):
    X, y = problem(rng, n=120, n_timesteps=10)
    X = cut(X, rng, shortest=6)
    if per_step:
        y = objects_of(np.where(x[:, 0] > 0, "up", "down") for x in X)
        classes = ["down", "up"]
    else:
        classes = [0, 1]
    options = {"hidden_layer_sizes": 8, "return_sequences": per_step, "random_state": 0}
    whole = LSTMClassifier(**options, batch_size=20, max_iter=EPOCHS).fit(X, list(y))
    parts = LSTMClassifier(**options)
    for _ in range(EPOCHS):
        for rows in np.array_split(np.arange(len(X)), N_FILES):
            parts.partial_fit([X[k] for k in rows], [y[k] for k in rows], classes=classes)
    assert whole.score(X, list(y)) > 0.9
    assert parts.score(X, list(y)) > whole.score(X, list(y)) - 0.03


def objects_of(parts):
    parts = list(parts)
    array = np.empty(len(parts), dtype=object)
    for k, part in enumerate(parts):
        array[k] = part
    return array


def test_a_regressor_reaches_what_fit_reaches(rng, tmp_path):
    X = cut(problem(rng, n=120, n_timesteps=10)[0], rng, shortest=6)
    y = np.array([50 + 10 * x[:, 0].mean() for x in X])
    write_files(tmp_path, X, y)
    options = {"hidden_layer_sizes": 8, "random_state": 0}
    whole = LSTMRegressor(**options, batch_size=20, max_iter=2 * EPOCHS).fit(X, y)
    parts = LSTMRegressor(**options)
    for _ in range(2 * EPOCHS):
        for X_part, y_part in read_files(tmp_path):
            parts.partial_fit(X_part, y_part)
    assert whole.score(X, y) > 0.95
    assert parts.score(X, y) > whole.score(X, y) - 0.03
