"""Measure how time depends on the size of the data and on workers, and the growth of memory."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import kernels
import numpy as np
import targets
from joblib.externals.loky import get_reusable_executor
from sklearn.model_selection import GridSearchCV
from timing import Turns, interleaved

from sklstm import LSTMClassifier

SAMPLES = [500, 1000, 2000, 4000, 8000]
STEPS = [25, 50, 100, 200, 400]
CHANNELS, HIDDEN = 4, 32
ROUNDS = 3
#: Epochs of each fit of the grid search. With 8 epochs the search took two seconds, a quarter of
#: them for distributing the work.
EPOCHS = 24
CANDIDATES = {"learning_rate_init": [0.001, 0.002, 0.005, 0.01], "hidden_layer_sizes": [32, 48]}
HERE = Path(__file__).parent


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure exponents of epoch times, times of a grid search, and memory over 200 fits."""
    turns = Turns.of(options)
    with kernels.using(options.kernels[0]):
        found = {
            "samples": _growth("samples", SAMPLES, lambda n: _data(n, 50), turns),
            "steps": _growth("steps", STEPS, lambda n: _data(500, n), turns),
        }
    found["grid_search"] = _grid_search(options.kernels[0], options)
    return found | {"fits": _memory(options.kernels[0])}


def _data(samples: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, steps, CHANNELS), dtype=np.float32)
    return x, (x[..., 0].mean(axis=1) > 0).astype(int)


def _classifier(**parameters: Any) -> LSTMClassifier:
    """Return a classifier that always trains for all epochs."""
    settings = {"tol": 0.0, "n_iter_no_change": np.inf, "random_state": 0}
    return LSTMClassifier(HIDDEN, **settings | parameters)


def _growth(
    what: str,
    sizes: list[int],
    make: Callable[[int], tuple[np.ndarray, np.ndarray]],
    turns: Turns,
) -> dict[str, Any]:
    """Measure the time of an epoch for each size, and fit an exponent to the medians."""
    data = {size: make(size) for size in sizes}
    calls = {f"sklstm, {size} {what}": partial(_fit, *data[size]) for size in sizes}
    found = interleaved(calls, turns)
    seconds = [found["seconds"][name] for name in calls]
    return found | {"exponent": targets.exponent(sizes, seconds)}


def _fit(x: np.ndarray, y: np.ndarray) -> None:
    """Train for one epoch."""
    with warnings.catch_warnings(action="ignore"):
        _classifier(max_iter=1).fit(x, y)


def _grid_search(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure with one worker and with two; the workers are started before the measurement."""
    x, y = _data(600, 50)
    turns = replace(
        Turns.of(options, threads=2),
        repeats=options.repeats or ROUNDS,
        patience=6 * options.patience,
    )
    calls = {
        f"sklstm, {workers}": partial(_search, x, y, n_jobs)
        for n_jobs, workers in ((1, "one worker"), (2, "two workers"))
    }
    with _environment(SKLSTM_KERNELS=name):  # also for the workers
        found = interleaved(calls, turns)
        get_reusable_executor().shutdown(wait=True)
    return found


def _search(x: np.ndarray, y: np.ndarray, n_jobs: int) -> None:
    search = GridSearchCV(
        _classifier(max_iter=EPOCHS), CANDIDATES, cv=3, n_jobs=n_jobs, refit=False
    )
    with warnings.catch_warnings(action="ignore"):
        search.fit(x, y)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _memory(name: str) -> dict[str, Any]:
    """Measure in a separate process, which loads no other library."""
    environment = os.environ | kernels.import_path() | {"SKLSTM_KERNELS": name}
    command = [sys.executable, str(HERE / "many_fits.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
