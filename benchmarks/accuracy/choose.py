"""Choose parameters by cross-validation on the training splits of all data sets.

    python benchmarks/accuracy/choose.py DATA_FOLDER
    python benchmarks/accuracy/choose.py DATA_FOLDER --candidates defaults bidirectional
    python benchmarks/accuracy/choose.py DATA_FOLDER --pipelines --repeats 3
    python benchmarks/accuracy/choose.py DATA_FOLDER --ensembles

The name of a candidate describes its difference from the defaults, or from the pipeline of
differences and a bidirectional network with dropout, or the members of an ensemble. The test splits
are not used. Candidates are compared by their mean accuracy over the data sets, and by the mean of
the differences from the first candidate, with its standard error over the data sets. Regressions
have the root mean squared error.
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
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm._network import initializers, lstm
from sklstm.preprocessing import RandomConvolutions, SequenceDifferences, SlidingWindow

#: Parameters of the estimators, except "input_gain", the gain of the initial input weights;
#: "differences", how many times they are computed; "convolutions", the parameters of
#: RandomConvolutions; "windows", their width and stride; and "members", what is different in those
#: of an ensemble.
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
    "labels not smoothed": {"label_smoothing": 0.0},
    "label smoothing 0.1": {"label_smoothing": 0.1},
}  # fmt: skip


PIPELINE = {"differences": 1, "bidirectional": True, "dropout": 0.3}
PIPELINES: dict[str, dict[str, Any]] = {
    "pipeline without noise": PIPELINE,
    "input noise 0.1": PIPELINE | {"input_noise": 0.1},
    "input noise 0.3": PIPELINE | {"input_noise": 0.3},
    "scale noise 0.2": PIPELINE | {"scale_noise": 0.2},
    "input noise 0.2, scale noise 0.1": PIPELINE | {"input_noise": 0.2, "scale_noise": 0.1},
    "input noise 0.2, scale noise 0.2": PIPELINE | {"input_noise": 0.2, "scale_noise": 0.2},
    "input noise 0.3, scale noise 0.1": PIPELINE | {"input_noise": 0.3, "scale_noise": 0.1},
}
NOISY = PIPELINES["input noise 0.2, scale noise 0.2"]
PIPELINES |= {
    "noise 0.2 and 0.2, no differences": NOISY | {"differences": 0},
    "noise 0.2 and 0.2, second differences": NOISY | {"differences": 2},
    "noise 0.2 and 0.2, windows of 3, stride 2": NOISY | {"windows": (3, 2)},
    "noise 0.2 and 0.2, windows of 6, stride 3": NOISY | {"windows": (6, 3)},
    "noise 0.2 and 0.2, dropout 0.5": NOISY | {"dropout": 0.5},
    "noise 0.2 and 0.2, no dropout": NOISY | {"dropout": 0.0},
    "noise 0.2 and 0.2, 128 units": NOISY | {"hidden_layer_sizes": 128},
    "noise 0.2 and 0.2, 150 epochs": NOISY | {"max_iter": 150},
    "noise 0.2 and 0.2, convolutions": NOISY | {"differences": 0, "convolutions": {}},
    "noise 0.2 and 0.2, convolutions appended": NOISY | {"convolutions": {"append": True}},
}

ONCE, TWICE, NEVER = {"differences": 1}, {"differences": 2}, {"differences": 0}
CONVOLUTIONS = NEVER | {"convolutions": {}}
ENSEMBLES: dict[str, dict[str, Any]] = {
    "differences once, twice and never": NOISY | {"members": [ONCE, TWICE, NEVER]},
    "... and convolutions": NOISY | {"members": [ONCE, TWICE, NEVER, CONVOLUTIONS]},
    "... twice": NOISY | {"members": [ONCE, TWICE, NEVER, CONVOLUTIONS, CONVOLUTIONS]},
    "once, twice, and two with convolutions": NOISY
    | {"members": [ONCE, CONVOLUTIONS, TWICE, CONVOLUTIONS]},
    "two with convolutions": NOISY | {"members": [CONVOLUTIONS] * 2},
}


class Outcome(NamedTuple):
    scores: list[float]  # of each data set: accuracy in percent, or root mean squared error
    seconds: float  # of a fit, CPU time


def cross_validate(candidate: dict[str, Any], sets: list[DataSet], repeats: int) -> Outcome:
    """Return the scores with three folds; each repeat has different folds and seeds."""
    scores, seconds = [], []
    for data in sets:
        y, found = data.train.y, []
        splitter = KFold if data.is_regression else StratifiedKFold
        for repeat in range(repeats):
            folds = splitter(3, shuffle=True, random_state=repeat)
            for fold, (train, test) in enumerate(folds.split(y, y)):
                start = time.process_time()
                model = _fit(candidate, data, train, 10 * repeat + fold)
                seconds.append(time.process_time() - start)
                predicted = model.predict(_take(data, test))
                found.append(
                    (predicted - y[test]) ** 2 if data.is_regression else predicted == y[test]
                )
        mean = float(np.concatenate(found).mean())
        scores.append(mean**0.5 if data.is_regression else 100 * mean)
    return Outcome(scores, float(np.mean(seconds)))


def _fit(candidate: dict[str, Any], data: DataSet, indices: Any, seed: int) -> Any:
    make = _ensemble if "members" in candidate else _pipeline
    model = make(candidate, data.is_regression, seed)
    with _initialised(candidate), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(_take(data, indices), data.train.y[indices])


def _pipeline(candidate: dict[str, Any], is_regression: bool, seed: int) -> Any:
    settings = dict(candidate)
    settings.pop("input_gain", None)
    steps: list[Any] = [SequenceDifferences() for _ in range(settings.pop("differences", 0))]
    if "convolutions" in settings:
        steps.append(RandomConvolutions(random_state=seed, **settings.pop("convolutions")))
    if "windows" in settings:
        steps.append(SlidingWindow(*settings.pop("windows")))
    make = LSTMRegressor if is_regression else LSTMClassifier
    if is_regression:
        settings.pop("label_smoothing", None)
    return make_pipeline(*steps, make(random_state=seed, dtype="float32", **settings))


def _ensemble(candidate: dict[str, Any], is_regression: bool, seed: int) -> Any:
    settings = dict(candidate)
    members = [
        (f"member_{k}", _pipeline(settings | member, is_regression, 100 * seed + k))
        for k, member in enumerate(settings.pop("members"))
    ]
    return VotingRegressor(members) if is_regression else VotingClassifier(members, voting="soft")


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


def show(name: str, found: Outcome, first: Outcome, sets: list[DataSet]) -> None:
    """Print a line: mean accuracy, difference from the first candidate, time, and all scores."""
    differences = [
        score - other
        for score, other, data in zip(found.scores, first.scores, sets, strict=True)
        if not data.is_regression
    ]
    mean = [s for s, data in zip(found.scores, sets, strict=True) if not data.is_regression]
    error = np.std(differences, ddof=1) / np.sqrt(len(differences)) if len(mean) > 1 else np.nan
    summary = f"{np.mean(mean):>7.2f}{np.mean(differences):>+7.2f} ±{error:5.2f}" if mean else ""
    cells = " ".join(f"{score:>16.4g}" for score in found.scores)
    print(f"{name:<44}{summary:>21}{found.seconds:>7.2f}  {cells}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Cross-validation of candidates.")
    parser.add_argument("folder", type=Path, help="data sets as in sets.py")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--pipelines", action="store_true", help="candidates for the pipeline")
    kind.add_argument("--ensembles", action="store_true", help="ensembles of pipelines")
    parser.add_argument("--candidates", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--sets", nargs="+", help="only these")
    arguments = parser.parse_args()

    sets = read_sets(arguments.folder, arguments.sets)
    others = PIPELINES if arguments.pipelines else CANDIDATES
    candidates = ENSEMBLES if arguments.ensembles else others
    names = arguments.candidates or list(candidates)
    if unknown := set(names) - set(candidates):
        parser.error(f"unknown candidates: {', '.join(sorted(unknown))}")
    header = " ".join(f"{data.name:>16}" for data in sets)
    print(f"{'candidate':<44}{'mean':>7}{'to first':>14}{'fit/s':>7}  {header}")
    first = None
    for name in names:
        found = cross_validate(candidates[name], sets, arguments.repeats)
        first = first or found
        show(name, found, first, sets)


if __name__ == "__main__":
    main()
