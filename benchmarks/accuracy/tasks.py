"""Compare LSTM networks with simple baselines: room occupancy, surnames and forecasts.

    python benchmarks/accuracy/tasks.py DATA_FOLDER
    python benchmarks/accuracy/tasks.py DATA_FOLDER --tasks occupancy sunspots airline --seeds 3

Parameters were chosen on the training part of each task: by leaving out one day (occupancy), on a
fifth of the training names, and by forecasts within the first three fifths of a series.
`docs/accuracy_tasks.rst` describes the choices. "single" is one network, with mean and standard
deviation over the seeds; "average" is the average of the networks of all seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import Memory
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.preprocessing import SlidingWindow, TokenEncoder, WindowScaledRegressor
from sklstm.sequences import WindowTimeSeriesSplit, make_windows

Array = NDArray[Any]
Measures = dict[str, float]


class Row(NamedTuple):
    """The measures of a model, once for each seed."""

    task: str
    model: str
    measures: list[Measures]


# Occupancy ------------------------------------------------------------------------------------

SPANS = ("datatraining", "datatest", "datatest2")
LENGTH, STRIDE, UNKNOWN = 240, 120, 60  # minutes


class Span(NamedTuple):
    minutes: Array  # light and CO2 of each minute
    inputs: Array  # light, its change in a minute, and the change of CO2 in ten minutes
    y: Array
    days: Array


def read_span(path: Path) -> Span:
    with path.open(encoding="utf-8") as file:
        rows = [row[-7:] for row in csv.reader(file)][1:]  # the header lacks a column
    days = np.array([row[0][:10] for row in rows])
    light, co2, y = np.array([[row[3], row[4], row[6]] for row in rows], dtype=float).T
    inputs = np.column_stack([light, change(light, 1), change(co2, 10)])
    return Span(np.column_stack([light, co2]), inputs, y.astype(int), days)


def change(x: Array, lag: int) -> Array:
    return x - np.concatenate([np.full(lag, x[0]), x[:-lag]])


def occupancy(folder: Path, seeds: range) -> list[Row]:
    train, *tests = (read_span(folder / "occupancy" / f"{name}.csv") for name in SPANS)
    X, y = _pieces(train)
    networks = [
        LSTMClassifier(
            16, return_sequences=True, alpha=1.0, batch_size=16, max_iter=40, dtype="float32",
            random_state=seed,
        ).fit(X, y)
        for seed in seeds
    ]  # fmt: skip
    minutes = make_pipeline(StandardScaler(), LogisticRegression()).fit(train.minutes, train.y)
    light = make_pipeline(StandardScaler(), LogisticRegression())
    light.fit(train.minutes[:, :1], train.y)
    rows = []
    for name, test in zip(SPANS[1:], tests, strict=True):
        each = [_probabilities(net, test) for net in networks]
        average = np.mean(each, axis=0)
        baseline = minutes.predict_proba(test.minutes)[:, 1]
        lamp = light.predict_proba(test.minutes[:, :1])[:, 1]
        found = {
            "logistic regression": [baseline],
            "logistic regression, light": [lamp],
            "LSTM, single": each,
            "LSTM, average": [average],
            "average of LSTM and regression": [(average + baseline) / 2],
        }
        for model, probabilities in found.items():
            rows.append(Row(name, model, [_binary(test.y, p) for p in probabilities]))
    return rows


def _pieces(span: Span) -> tuple[list[Array], list[Array]]:
    """Cut each day into sequences; the labels of the first hour are missing, except at midnight."""
    X, labels = [], []
    for day in np.unique(span.days):
        minutes = np.flatnonzero(span.days == day)
        for start in range(0, len(minutes) - UNKNOWN, STRIDE):
            piece = minutes[start : start + LENGTH]
            X.append(span.inputs[piece])
            labels.append(span.y[piece].astype(float))
            if start > 0:
                labels[-1][:UNKNOWN] = np.nan
    return X, labels


def _probabilities(network: Any, span: Span) -> Array:
    """Predict each day as one sequence, as in the cross-validation."""
    X = [span.inputs[span.days == day] for day in np.unique(span.days)]
    return np.concatenate([proba[:, 1] for proba in network.predict_proba(X)])


def _binary(y: Array, p: Array) -> Measures:
    predicted = p > 0.5
    return {
        "accuracy": 100 * accuracy_score(y, predicted),
        "balanced": 100 * balanced_accuracy_score(y, predicted),
        "log loss": log_loss(y, p),
    }


# Names ----------------------------------------------------------------------------------------


def names(folder: Path, seeds: range, cache: Path | None = None) -> list[Row]:
    probabilities_of = Memory(cache, verbose=0).cache(name_probabilities)
    _, y, _, y_test = read_names(folder)
    classes, counts = np.unique(y, return_counts=True)
    each = [probabilities_of(folder, "LSTM", True, seed) for seed in seeds]
    found = {
        "n-grams": [probabilities_of(folder, "n-grams", False)],
        "n-grams, weights": [probabilities_of(folder, "n-grams", True)],
        "LSTM, weights, single": each,
        "LSTM, weights, average": [np.mean(each, axis=0)],
    }
    return [
        Row("names", model, [_many_classes(y_test, p, classes, counts) for p in probabilities])
        for model, probabilities in found.items()
    ]


def read_names(folder: Path) -> tuple[list[str], Array, list[str], Array]:
    """Return training names, their languages, and the same for the test."""
    with (folder / "names.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    train, test = ([row for row in rows if row["split"] == split] for split in ("train", "test"))
    X, X_test = ([row["name"] for row in part] for part in (train, test))
    y, y_test = (np.array([row["class"] for row in part]) for part in (train, test))
    return X, y, X_test, y_test


def name_probabilities(folder: Path, model: str, weighted: bool, seed: int = 0) -> Array:
    """Train on all training names, and return probabilities of the test names.

    The weight of a class is the square root of its weight in class_weight="balanced".
    """
    X, y, X_test, _ = read_names(folder)
    classes, counts = np.unique(y, return_counts=True)
    weights = dict(zip(classes, np.sqrt(counts.mean() / counts), strict=True)) if weighted else None
    if model == "n-grams":
        ngrams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
        pipeline = make_pipeline(
            ngrams, LogisticRegression(C=10, max_iter=1000, class_weight=weights)
        )
    else:
        lstm = LSTMClassifier(
            64, bidirectional=True, vocabulary_size=100, dropout=0.5, batch_size=64,
            dtype="float32", class_weight=weights, random_state=seed,
        )  # fmt: skip
        tokens = TokenEncoder(analyzer="char", min_frequency=2, max_tokens=100)
        pipeline = make_pipeline(tokens, lstm)
    return pipeline.fit(X, y).predict_proba(X_test)


def _many_classes(y: Array, p: Array, classes: Array, counts: Array) -> Measures:
    """Measures of the largest probability, and of the largest one relative to the frequency."""
    likely, relative = (classes[score.argmax(axis=1)] for score in (p, p / counts))
    return {
        "accuracy": 100 * accuracy_score(y, likely),
        "balanced": 100 * balanced_accuracy_score(y, likely),
        "relative": 100 * balanced_accuracy_score(y, relative),
        "log loss": log_loss(y, p, labels=classes),
    }


# Forecasts ------------------------------------------------------------------------------------


class Series(NamedTuple):
    """A series and how it is forecast."""

    values: Array  # transformed
    undo: Callable[[Array], Array]
    width: int
    horizon: int
    stride: int
    test_size: int
    n_splits: int


class SeasonalDifferences(RegressorMixin, BaseEstimator):
    """Predict the changes from one season before, from such changes."""

    def __init__(self, regressor: Any, season: int = 12) -> None:
        self.regressor = regressor
        self.season = season

    def fit(self, X: Array, y: Array) -> SeasonalDifferences:
        self.regressor_ = clone(self.regressor).fit(self._changes(X), y - self._before(X))
        return self

    def predict(self, X: Array) -> Array:
        return self.regressor_.predict(self._changes(X)) + self._before(X)

    def _changes(self, X: Array) -> Array:
        return X[:, self.season :] - X[:, : -self.season]

    def _before(self, X: Array) -> Array:
        return X[:, -self.season :, 0]


def ridge() -> Any:
    flat = FunctionTransformer(lambda X: X.reshape(len(X), -1))
    return make_pipeline(flat, RidgeCV(np.logspace(-3, 3, 13)))


def network(seed: int, **options: Any) -> Any:
    lstm = LSTMRegressor(
        32, pooling="last", loss="absolute_error", alpha=1.0, dtype="float32", random_state=seed,
        **options,
    )  # fmt: skip
    return make_pipeline(SlidingWindow(12, 12), lstm)  # a step is a year


def scaled(regressor: Any) -> Any:
    return WindowScaledRegressor(regressor, center=None, scale="mean_abs")


def sunspots(folder: Path, seeds: range) -> list[Row]:
    path = folder / "monthly-sunspots.csv"
    values = np.loadtxt(path, delimiter=",", skiprows=1, usecols=1)
    series = Series(np.sqrt(values), lambda z: z.clip(0) ** 2, 132, 24, 3, len(values) // 10, 4)
    makes = {
        "ridge": lambda seed: ridge(),
        "ridge, scaled": lambda seed: scaled(ridge()),
        "LSTM, scaled, all epochs": lambda seed: scaled(network(seed)),
        "LSTM, scaled": lambda seed: scaled(network(seed, max_iter=10)),
        "LSTM": lambda seed: network(seed, max_iter=10),
    }
    return _forecast_rows("sunspots", series, makes, seeds)


def airline(folder: Path, seeds: range) -> list[Row]:
    with (folder / "airline-passengers.csv").open(encoding="utf-8") as file:
        values = np.array([float(row[1]) for row in list(csv.reader(file))[1:]])
    series = Series(np.log(values), np.exp, 24, 12, 1, 20, 3)
    makes = {
        "ridge": lambda seed: ridge(),
        "ridge, seasonal": lambda seed: SeasonalDifferences(ridge()),
        "LSTM, seasonal": lambda seed: SeasonalDifferences(network(seed)),
    }
    return _forecast_rows("airline", series, makes, seeds)


def _forecast_rows(
    task: str, series: Series, makes: dict[str, Callable[[int], Any]], seeds: range
) -> list[Row]:
    X, y, index = make_windows(
        series.values, series.width, series.horizon, series.stride, return_index=True
    )
    splitter = WindowTimeSeriesSplit(series.n_splits, horizon=series.horizon,
                                     test_size=series.test_size)  # fmt: skip
    splits = list(splitter.split(X, y, groups=index))
    observed = [y[test] for _, test in splits]
    rows = []
    for model, make in makes.items():
        is_network = model.startswith("LSTM")
        each = [
            [make(seed).fit(X[past], y[past]).predict(X[test]) for past, test in splits]
            for seed in (seeds if is_network else range(1))
        ]
        measures = [_forecast_errors(series, observed, parts) for parts in each]
        rows.append(Row(task, f"{model}, single" if is_network else model, measures))
        if is_network:
            average = [np.mean(parts, axis=0) for parts in zip(*each, strict=True)]
            errors = _forecast_errors(series, observed, average)
            rows.append(Row(task, f"{model}, average", [errors]))
    return rows


def _forecast_errors(series: Series, observed: list[Array], found: list[Array]) -> Measures:
    """Errors in the units of the series, over all origins and for each refit."""
    pairs = [(series.undo(y), series.undo(p)) for y, p in zip(observed, found, strict=True)]
    residuals = [y - p for y, p in pairs]
    errors = np.concatenate(residuals)
    measures = {"RMSE": np.sqrt(np.mean(errors**2)), "MAE": np.mean(np.abs(errors))}
    return measures | {f"MAE {k}": np.mean(np.abs(part)) for k, part in enumerate(residuals, 1)}


# Report ---------------------------------------------------------------------------------------

TASKS: dict[str, Callable[..., list[Row]]] = {
    "occupancy": occupancy,
    "names": names,
    "sunspots": sunspots,
    "airline": airline,
}


def show(rows: list[Row]) -> None:
    for k, row in enumerate(rows):
        if k == 0 or row.task != rows[k - 1].task:
            print(f"\n{row.task:<32}" + "".join(f"{name:>16}" for name in row.measures[0]))
        cells = [_cell([m[name] for m in row.measures], name) for name in row.measures[0]]
        print(f"{row.model:<32}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


def _cell(values: list[float], measure: str) -> str:
    digits = 4 if measure == "log loss" else 2
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values):.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="LSTM networks beside simple baselines.")
    parser.add_argument("folder", type=Path, help="the folder of docs/examples_data.rst")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ...; default 5")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="a folder that keeps predictions of the names")
    parser.add_argument("--json", type=Path, help="also write the measures to this file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    rows: list[Row] = []
    for task in arguments.tasks:
        options = {"cache": arguments.cache} if task == "names" else {}
        found = TASKS[task](arguments.folder, seeds, **options)
        show(found)
        rows += found
    if arguments.json:
        content = [row._asdict() for row in rows]
        arguments.json.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
