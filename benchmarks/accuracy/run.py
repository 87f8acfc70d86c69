"""Measure the accuracy of models on official splits with several seeds.

    python benchmarks/accuracy/run.py DATA_FOLDER
    python benchmarks/accuracy/run.py DATA_FOLDER --pipeline
    python benchmarks/accuracy/run.py DATA_FOLDER --pipeline --members 10
    python benchmarks/accuracy/run.py DATA_FOLDER --sets GunPoint Libras
    python benchmarks/accuracy/run.py DATA_FOLDER --scaler
    python benchmarks/accuracy/run.py DATA_FOLDER --channels moved --unscaled

The folder contains data sets as described in sets.py: .npz or .ts files. The output also shows the
published results in the folder's README.md. ``--json FILE`` adds the scores and times to a file;
docs/accuracy.rst is made from docs/measurements/accuracy.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sets import DataSet, read_figures, read_sets
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import root_mean_squared_error
from sklearn.pipeline import make_pipeline

import sklstm
from sklstm import LSTMClassifier, LSTMRegressor, sequence_pipeline
from sklstm.preprocessing import SequenceScaler

Make = Callable[[Any, int], Any]


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    folder = Path(__file__).parent
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout.strip()


#: When the run begins: the files may change before it ends.
COMMIT = _commit()


class Result(NamedTuple):
    """Scores on the test split, one for each seed: accuracy in percent, or RMSE."""

    data: DataSet
    scores: list[float]
    seconds: list[float]

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores))


def defaults(lstm: Any, seed: int) -> Any:
    """Return an estimator with default parameters."""
    return lstm(random_state=seed)


def with_scaler(lstm: Any, seed: int) -> Any:
    """Return the same with a scaler in front."""
    return make_pipeline(SequenceScaler(), lstm(random_state=seed))


def unscaled(lstm: Any, seed: int) -> Any:
    """Return an estimator that does not scale its inputs."""
    return lstm(random_state=seed, scale_inputs=False)


def pipeline(lstm: Any, seed: int, n_members: int = 1) -> Any:
    """Return a pipeline, or an ensemble of pipelines."""
    kind = "regressor" if lstm is LSTMRegressor else "classifier"
    return sequence_pipeline(kind, n_members=n_members, random_state=seed)


#: Kind of the model -> function that makes it, and description.
KINDS: dict[str, tuple[Make, str]] = {
    "defaults": (defaults, "the estimator alone, the default"),
    "pipeline": (pipeline, "sequence_pipeline"),
    "scaler": (with_scaler, "with a SequenceScaler in front"),
    "unscaled": (unscaled, "with scale_inputs=False"),
}


def moved(data: DataSet, channels: str) -> DataSet:
    """Return the data with all channels shifted, scaled or both, each by another amount."""
    n_channels = np.asarray(data.train.X[0]).shape[-1]
    rng = np.random.default_rng(0)
    scale, shift = 10.0 ** rng.uniform(-4, 4, n_channels), 10.0 ** rng.uniform(0, 4, n_channels)
    scale = scale if channels in ("scaled", "moved") else np.ones(n_channels)
    shift = shift if channels in ("shifted", "moved") else np.zeros(n_channels)

    def move(X: Any) -> Any:
        change = [(np.asarray(x, float) + shift) * scale for x in X]
        return np.stack(change) if isinstance(X, np.ndarray) else change

    train, test = (part._replace(X=move(part.X)) for part in (data.train, data.test))
    return data._replace(train=train, test=test)


def evaluate(data: DataSet, make: Make, seeds: Iterable[int]) -> Result:
    """Fit on the training split and score the test split, once for each seed."""
    scores, seconds = [], []
    for seed in seeds:
        model = make(LSTMRegressor if data.is_regression else LSTMClassifier, seed)
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(*data.train)
        seconds.append(time.process_time() - start)
        scores.append(_score(data, model.predict(data.test.X)))
    return Result(data, scores, seconds)


def _score(data: DataSet, predicted: Any) -> float:
    if data.is_regression:
        return float(root_mean_squared_error(data.test.y, predicted))
    return float(100 * np.mean(predicted == data.test.y))


def show(results: Iterable[Result], figures: dict[str, dict[str, float]], digits: int) -> None:
    """Print a line for each result, then the mean over the data sets."""
    seen, columns = [], None
    for result in results:
        published = figures.get(result.data.name, {})
        if columns is None:
            columns = list(published)
            print(_line("set", "mean", "std", "min", "max", "fit/s", columns))
        spread = [result.mean, np.std(result.scores), min(result.scores), max(result.scores)]
        cells = [f"{value:.{digits}f}" for value in spread] + [f"{np.mean(result.seconds):.1f}"]
        beside = [str(published.get(column, "")) for column in columns]
        print(_line(result.data.name, *cells, beside), flush=True)
        seen.append(result)
    if seen and not seen[0].data.is_regression:
        _show_mean(seen, figures, columns or [])


def _show_mean(results: list[Result], figures: dict[str, dict[str, float]], columns: Any) -> None:
    by_seed = np.mean([result.scores for result in results], axis=0)
    cells = [f"{v:.2f}" for v in (by_seed.mean(), by_seed.std(), by_seed.min(), by_seed.max())]
    seconds = f"{np.mean([result.seconds for result in results]):.1f}"
    known = [[figures[r.data.name].get(c, np.nan) for r in results] for c in columns]
    beside = [f"{np.mean(column):.1f}" for column in known]
    print(_line(f"mean over {len(results)} sets", *cells, seconds, beside), flush=True)


def _line(name: str, *cells: Any) -> str:
    *numbers, published = cells
    return (
        f"{name:<18}" + "".join(f"{c:>9}" for c in numbers) + "".join(f"{c:>17}" for c in published)
    )


def save(path: Path, label: str, results: list[Result], figures: dict[str, Any]) -> None:
    """Add the results of a kind of model to a file."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    run = found.setdefault("runs", {}).setdefault(label, {})
    for result in results:
        name = result.data.name
        found.setdefault("published", {})[name] = figures.get(name, {})
        found.setdefault("regressions", {})[name] = result.data.is_regression
        run[name] = {
            "scores": [round(score, 5) for score in result.scores],
            "seconds": [round(seconds, 2) for seconds in result.seconds],
            "commit": COMMIT,
            "date": datetime.now(UTC).date().isoformat(),
        }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Accuracy on the official splits of a folder.")
    parser.add_argument("folder", type=Path, help="NAME.npz files and a README.md with tables")
    kind = parser.add_mutually_exclusive_group()
    for name, (_, description) in KINDS.items():
        kind.add_argument(
            f"--{name}", dest="kind", action="store_const", const=name, help=description
        )
    parser.set_defaults(kind="defaults")
    parser.add_argument(
        "--channels", choices=["raw", "shifted", "scaled", "moved"], default="raw",
        help="change the offsets of the channels, their scales, or both",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ...; default 5")
    parser.add_argument("--members", type=int, default=1, help="of --pipeline; default 1")
    parser.add_argument("--sets", nargs="+", help="only these")
    parser.add_argument("--json", type=Path, help="add scores and times to this file")
    arguments = parser.parse_args()
    if arguments.members > 1 and arguments.kind != "pipeline":
        parser.error("--members needs --pipeline")
    return arguments


def kind_of(arguments: argparse.Namespace) -> tuple[Make, str]:
    """Return the function that makes the models, and their name."""
    make, label = KINDS[arguments.kind][0], arguments.kind
    if arguments.members > 1:
        make = partial(pipeline, n_members=arguments.members)
        label += f" of {arguments.members}"
    return make, label if arguments.channels == "raw" else f"{label}, {arguments.channels} channels"


def main() -> None:
    arguments = parse()
    figures = read_figures(arguments.folder)
    sets = read_sets(arguments.folder, arguments.sets)
    if arguments.channels != "raw":
        sets = [moved(data, arguments.channels) for data in sets]
    make, label = kind_of(arguments)
    print(f"sklstm {sklstm.__version__}, {label}; CPU time of fits")
    results: list[Result] = []

    def measured(is_regression: bool) -> Iterable[Result]:
        for data in sets:
            if data.is_regression == is_regression:
                results.append(evaluate(data, make, range(arguments.seeds)))
                yield results[-1]

    titles = {False: "accuracy in percent", True: "root mean squared error"}
    for is_regression, title in titles.items():
        if any(data.is_regression == is_regression for data in sets):
            print(f"\nTest split, {title}, {arguments.seeds} seed(s); right: published")
            show(measured(is_regression), figures, digits=4 if is_regression else 1)
    if arguments.json:
        save(arguments.json, label, results, figures)


if __name__ == "__main__":
    main()
