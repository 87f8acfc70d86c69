"""Compare the times of L-BFGS and Adam to reach a given training loss on small data sets.

    python benchmarks/accuracy/lbfgs.py DATA_FOLDER
    python benchmarks/accuracy/lbfgs.py DATA_FOLDER --hidden 64 --sets Tecator Libras

All solvers minimise the same objective from the same initial weights, in turns. Adam runs with its
defaults and with a constant rate for up to 1000 epochs, and the faster of both is used. A ratio
above 1 means that L-BFGS was faster, "inf" that Adam did not reach the loss. Times are medians over
seeds.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sets import DataSet, read_sets
from sklearn.exceptions import ConvergenceWarning

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.preprocessing import SequenceScaler

SMALL = 500  # sequences
#: Fractions of the loss of a model that predicts the mean or the class frequencies.
LEVELS = (0.3, 0.1, 0.03, 0.01)
SOLVERS: dict[str, dict[str, Any]] = {
    "lbfgs": {"solver": "lbfgs", "tol": 1e-6, "max_iter": 500},
    "adam": {},
    "adam, constant": {
        "learning_rate": "constant", "learning_rate_init": 5e-3, "max_iter": 1000,
        "n_iter_no_change": 50,
    },
}  # fmt: skip


class Watch:
    """A callback of scikit-learn that records the time of the end of each epoch or iteration."""

    def setup(self, estimator: Any, context: Any) -> None:
        self.start = time.perf_counter()
        self.seconds: list[float] = []

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        if context.task_name == "epoch":
            self.seconds.append(time.perf_counter() - self.start)

    def teardown(self, estimator: Any, context: Any) -> None:
        pass


def seconds_to(data: DataSet, hidden: int, seed: int, settings: dict[str, Any]) -> list[float]:
    """Return the seconds until the training loss reaches each level, or infinity."""
    lstm = LSTMRegressor if data.is_regression else LSTMClassifier
    X = SequenceScaler().fit_transform(data.train.X)
    watch = Watch()
    if not data.is_regression:
        settings = settings | {"label_smoothing": 0.0}  # the loss of classes can become zero
    model = lstm(hidden, random_state=seed, **settings).set_callbacks(watch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, data.train.y)
    losses = np.array(model.loss_curve_) / _loss_without_training(data)
    reached = [np.flatnonzero(losses <= level) for level in LEVELS]
    return [watch.seconds[found[0]] if len(found) else np.inf for found in reached]


def _loss_without_training(data: DataSet) -> float:
    """Return the loss of a model that predicts the mean or the class frequencies."""
    if data.is_regression:
        return 0.5  # half the variance of standardised targets
    shares = np.unique(data.train.y, return_counts=True)[1] / len(data.train.y)
    return float(-(shares * np.log(shares)).sum())


def compare(data: DataSet, hidden: int, n_seeds: int) -> None:
    """Print a line with the ratio for each level, then the seconds of L-BFGS."""
    times: dict[str, list[list[float]]] = {name: [] for name in SOLVERS}
    for seed in range(n_seeds):
        for name in list(SOLVERS)[:: 1 if seed % 2 else -1]:
            times[name].append(seconds_to(data, hidden, seed, SOLVERS[name]))
    lbfgs, *adams = (np.median(found, axis=0) for found in times.values())
    adam = np.min(adams, axis=0)
    ratios = [a / b if np.isfinite(b) else np.nan for a, b in zip(adam, lbfgs, strict=True)]
    cells = [f"{ratio:>8.2f}" for ratio in ratios] + [f"{seconds:>8.2f}" for seconds in lbfgs]
    print(f"{data.name:<18}{len(data.train.y):>5}" + "".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare L-BFGS with Adam on small data sets.")
    parser.add_argument("folder", type=Path, help="NAME.npz files and a README.md with tables")
    parser.add_argument("--sets", nargs="+", help="only these")
    parser.add_argument("--hidden", type=int, default=16, help="units; default 16")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    levels = "".join(f"{level:>8g}" for level in LEVELS)
    print("Fraction of the loss of a constant model: seconds of Adam / L-BFGS; seconds of L-BFGS")
    print(f"{'set':<18}{'n':>5}{levels}{levels}")
    for data in read_sets(arguments.folder, arguments.sets):
        if len(data.train.y) < SMALL:
            compare(data, arguments.hidden, arguments.seeds)


if __name__ == "__main__":
    main()
