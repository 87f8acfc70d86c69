"""Compare intervals: of several quantiles, of normal distributions, and conformal ones.

    python benchmarks/accuracy/intervals.py DATA_FOLDER
    python benchmarks/accuracy/intervals.py DATA_FOLDER --sets Tecator sunspots --alpha 1e-4

Besides the regression sets of the folder, there are windows of the monthly sunspots and of the room
sensors, whose test set is the end of the series; they are scaled by WindowScaledRegressor with
center="last". The last quarter of the training samples (a random
one of the sets) calibrates conformal intervals and is not trained on. All intervals should contain
80 percent of the targets.

The first line of a set compares the mean pinball loss of one network for three quantiles with that
of three networks: means over the seeds, and the mean difference of a seed with its standard error.
The table shows the fraction of the test targets inside the intervals, and the mean width in
standard deviations of the test targets. The conformal intervals, by crepes, are those of the means
of the same Gaussian network; the normalised ones are proportional to its standard deviations.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sets import read_sets
from sklearn.exceptions import ConvergenceWarning

from sklstm import LSTMRegressor
from sklstm.preprocessing import SequenceScaler, WindowScaledRegressor
from sklstm.sequences import make_windows

Array = NDArray[Any]
LEVELS = [0.1, 0.5, 0.9]
INSIDE = LEVELS[-1] - LEVELS[0]


class Problem(NamedTuple):
    name: str
    X: Array
    y: Array
    X_test: Array
    y_test: Array
    target: Any = None  # the channels of y, if the samples are windows of a series
    ordered: bool = True  # whether the samples have the order of time


def problems(folder: Path) -> Iterator[Problem]:
    for data in read_sets(folder):
        if data.is_regression:
            yield Problem(data.name, *data.train, *data.test, ordered=False)
    sunspots = np.sqrt(
        np.loadtxt(folder / "monthly-sunspots.csv", delimiter=",", skiprows=1, usecols=1)
    )
    yield _windows("sunspots", sunspots, width=36, horizon=6, stride=3)
    with (folder / "occupancy" / "datatraining.csv").open() as file:
        rows = [row[2:7] for row in csv.reader(file)][1:]
    sensors = np.array(rows, dtype=float)[::5]  # each five minutes
    yield _windows("sensors", sensors, width=12, horizon=6, stride=1, target=[0, 3])


def _windows(name: str, series: Array, **options: Any) -> Problem:
    X, y = make_windows(series, **options)
    n_train = int(0.7 * len(X))
    first = n_train + -(-options["horizon"] // options["stride"])  # their targets do not overlap
    target = options.get("target")
    return Problem(name, X[:n_train], y[:n_train], X[first:], y[first:], target)


class Result(NamedTuple):
    single: float
    joint: float
    coverage: dict[str, float]
    width: dict[str, float]


def measure(problem: Problem, seed: int, alpha: float) -> Result:
    rng = np.random.default_rng(seed)
    n = len(problem.X)
    order = np.arange(n) if problem.ordered else rng.permutation(n)
    fit, calibration = order[: 3 * n // 4], order[3 * n // 4 :]
    scaler = SequenceScaler().fit(problem.X[fit])
    scaled = (lambda X: X) if problem.ordered else scaler.transform
    X, y = scaled(problem.X[fit]), problem.y[fit]
    X_test, y_test = scaled(problem.X_test), _columns(problem.y_test)

    def model(**options: Any) -> Any:
        lstm = LSTMRegressor(random_state=seed, dtype="float32", alpha=alpha, **options)
        if problem.ordered:
            lstm = WindowScaledRegressor(lstm, center="last", target=problem.target)
        return lstm.fit(X, y)

    each = [_columns(model(loss="quantile", quantile=level).predict(X_test)) for level in LEVELS]
    joint = model(loss="quantile", quantile=LEVELS).predict(X_test)
    joint = np.moveaxis(joint, -1, 0).reshape(len(LEVELS), *y_test.shape)
    gaussian = model(loss="gaussian")
    mean, deviation = map(_columns, gaussian.predict(X_test, return_std=True))
    X_held = scaled(problem.X[calibration])
    mean_held, deviation_held = map(_columns, gaussian.predict(X_held, return_std=True))
    residuals = _columns(problem.y[calibration]) - mean_held
    spread = norm.ppf(LEVELS[-1]) * deviation
    intervals = {
        "quantiles": (joint[0], joint[-1]),
        "gaussian": (mean - spread, mean + spread),
        "conformal": _conformal(residuals, mean),
        "normalised": _conformal(residuals, mean, deviation_held, deviation),
    }
    unit = y_test.std(axis=0)
    return Result(
        np.mean([_pinball(y_test, each[k], q, unit) for k, q in enumerate(LEVELS)]),
        np.mean([_pinball(y_test, joint[k], q, unit) for k, q in enumerate(LEVELS)]),
        {k: np.mean((low <= y_test) & (y_test <= high)) for k, (low, high) in intervals.items()},
        {k: np.mean((high - low) / unit) for k, (low, high) in intervals.items()},
    )


def _columns(y: Array) -> Array:
    return y.reshape(len(y), -1).astype(float)


def _pinball(y: Array, predicted: Array, level: float, unit: Array) -> float:
    residual = (y - predicted) / unit
    return float(np.mean(np.maximum(level * residual, (level - 1) * residual)))


def _conformal(
    residuals: Array, mean: Array, sigmas: Array | None = None, sigmas_test: Array | None = None
) -> tuple[Array, Array]:
    """The intervals of each column by split conformal prediction."""
    from crepes import ConformalRegressor

    columns = []
    for k in range(residuals.shape[1]):
        fitted, tested = (None if s is None else s[:, k] for s in (sigmas, sigmas_test))
        regressor = ConformalRegressor().fit(residuals=residuals[:, k], sigmas=fitted)
        columns.append(regressor.predict_int(mean[:, k], sigmas=tested, confidence=INSIDE))
    low, high = np.moveaxis(np.stack(columns, axis=1), -1, 0)
    return low, high


def _paired(results: list[Result]) -> str:
    """The mean difference of a seed in percent, and its standard error."""
    percent = np.array([100 * (result.joint / result.single - 1) for result in results])
    if len(percent) == 1:
        return f"{percent[0]:+.1f}"
    return f"{percent.mean():+.1f} +- {percent.std(ddof=1) / np.sqrt(len(percent)):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare intervals on real data.")
    parser.add_argument("folder", type=Path, help="NAME.npz files and a README.md with tables")
    parser.add_argument("--sets", nargs="+", help="only these")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--alpha", type=float, default=1.0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    for problem in problems(arguments.folder):
        if arguments.sets and problem.name not in arguments.sets:
            continue
        results = [measure(problem, seed, arguments.alpha) for seed in range(arguments.seeds)]
        single, joint = (np.mean([r[k] for r in results]) for k in (0, 1))
        print(f"{problem.name}: {len(problem.X)} training samples, {len(problem.X_test)} tested")
        print(f"  pinball loss: three networks {single:.4f}, one {joint:.4f}: ", end="")
        print(f"{100 * (joint / single - 1):+.1f} percent; by seed {_paired(results)}")
        for kind in results[0].coverage:
            coverage = np.mean([r.coverage[kind] for r in results])
            width = np.mean([r.width[kind] for r in results])
            print(
                f"  {kind:12} inside {100 * coverage:5.1f} percent, width {width:.2f}", flush=True
            )


if __name__ == "__main__":
    main()
