"""Choose defaults by cross-validation on the training splits of all data sets.

    python benchmarks/accuracy/choose.py DATA_FOLDER
    python benchmarks/accuracy/choose.py DATA_FOLDER --candidates defaults bidirectional

The name of a candidate describes its difference from the defaults. The test splits are not used.
Candidates are compared by their mean accuracy over the data sets.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from sets import DataSet, read_sets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier
from sklstm._network import initializers, lstm
from sklstm.preprocessing import SequenceScaler

#: Parameters of LSTMClassifier, except "input_gain", the gain of the initial input weights.
CANDIDATES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "constant rate 0.005, at most 200 epochs": {
        "learning_rate": "constant", "learning_rate_init": 0.005, "max_iter": 200,
    },
    "the same, 25 epochs of patience": {
        "learning_rate": "constant", "learning_rate_init": 0.005, "max_iter": 200,
        "n_iter_no_change": 25,
    },
    "adaptive rate, at most 400 epochs": {"learning_rate": "adaptive", "max_iter": 400},
    "rate 0.005": {"learning_rate_init": 0.005},
    "rate 0.02": {"learning_rate_init": 0.02},
    "50 epochs": {"max_iter": 50},
    "200 epochs": {"max_iter": 200},
    "batches of 16": {"batch_size": 16},
    "batches of 64": {"batch_size": 64},
    "inputs as Glorot and Bengio": {"input_gain": None},
    "input gain 1": {"input_gain": 1.0},
    "input gain 3": {"input_gain": 3.0},
    "forget bias 0": {"forget_bias": 0.0},
    "forget bias 2": {"forget_bias": 2.0},
    "gradients not clipped": {"max_grad_norm": None},
    "alpha 0.02": {"alpha": 0.02},
    "alpha 0.1": {"alpha": 0.1},
    "pooling last": {"pooling": "last"},
    "pooling mean": {"pooling": "mean"},
    "pooling max": {"pooling": "max"},
    "bidirectional": {"bidirectional": True},
    "32 units": {"hidden_layer_sizes": 32},
    "128 units": {"hidden_layer_sizes": 128},
    "dropout 0.3": {"dropout": 0.3},
}  # fmt: skip


class Outcome(NamedTuple):
    accuracy: list[float]  # of each data set, in percent
    seconds: float  # of a fit


def cross_validate(candidate: dict[str, Any], sets: list[DataSet], repeats: int) -> Outcome:
    """Return the accuracy with three folds; each repeat has different folds and seeds."""
    accuracy, seconds = [], []
    for data in sets:
        correct = []
        for repeat in range(repeats):
            folds = StratifiedKFold(3, shuffle=True, random_state=repeat)
            for fold, (train, test) in enumerate(folds.split(data.train.y, data.train.y)):
                start = time.perf_counter()
                model = _fit(candidate, _take(data, train), data.train.y[train], 10 * repeat + fold)
                seconds.append(time.perf_counter() - start)
                correct.append(model.predict(_take(data, test)) == data.train.y[test])
        accuracy.append(float(100 * np.concatenate(correct).mean()))
    return Outcome(accuracy, float(np.mean(seconds)))


def _fit(candidate: dict[str, Any], X: Any, y: Any, seed: int) -> Any:
    parameters = {k: v for k, v in candidate.items() if k != "input_gain"}
    classifier = LSTMClassifier(random_state=seed, dtype="float32", **parameters)
    with _initialised(candidate), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(SequenceScaler(), classifier).fit(X, y)


def _take(data: DataSet, indices: Any) -> Any:
    X = data.train.X
    return X[indices] if isinstance(X, np.ndarray) else [X[k] for k in indices]


@contextmanager
def _initialised(candidate: dict[str, Any]) -> Iterator[None]:
    if "input_gain" not in candidate:
        yield
    elif candidate["input_gain"] is None:
        with mock.patch.object(lstm, "input_uniform", initializers.glorot_uniform):
            yield
    else:
        with mock.patch.object(initializers, "INPUT_GAIN", candidate["input_gain"]):
            yield


def main() -> None:
    parser = argparse.ArgumentParser(description="Cross-validation of candidates for defaults.")
    parser.add_argument("folder", type=Path, help="NAME.npz files and a README.md with tables")
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, metavar="NAME")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--sets", nargs="+", help="only these")
    arguments = parser.parse_args()

    sets = [d for d in read_sets(arguments.folder, arguments.sets) if not d.is_regression]
    print(f"{'candidate':<42}{'mean':>7}{'fit/s':>7}  " + " ".join(f"{d.name:>16}" for d in sets))
    for name in arguments.candidates or CANDIDATES:
        found = cross_validate(CANDIDATES[name], sets, arguments.repeats)
        cells = " ".join(f"{accuracy:>16.1f}" for accuracy in found.accuracy)
        mean = np.mean(found.accuracy)
        print(f"{name:<42}{mean:>7.2f}{found.seconds:>7.2f}  {cells}", flush=True)


if __name__ == "__main__":
    main()
