"""How time grows with the data and shrinks with workers, and whether memory stays."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kernels
import numpy as np
import targets
from sklearn.model_selection import GridSearchCV
from timing import CLOCKS, Clock, median, summarised

from sklstm import LSTMClassifier

SAMPLES = [500, 1000, 2000, 4000, 8000]
STEPS = [25, 50, 100, 200, 400]
CHANNELS, HIDDEN = 4, 32
ROUNDS = 3
CANDIDATES = {"learning_rate_init": [0.001, 0.002, 0.005, 0.01], "hidden_layer_sizes": [32, 48]}
HERE = Path(__file__).parent


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Exponents of time an epoch, times of a grid search, memory over 200 fits."""
    rounds, clock = options.repeats or ROUNDS, CLOCKS[options.clock]
    with kernels.using(options.kernels[0]):
        found = {
            "samples": _growth(SAMPLES, lambda n: _data(n, 50), rounds, clock),
            "steps": _growth(STEPS, lambda n: _data(500, n), rounds, clock),
        }
    found["grid_search"] = _grid_search(options.kernels[0], rounds)
    return found | {"fits": _memory(options.kernels[0])}


def _data(samples: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, steps, CHANNELS), dtype=np.float32)
    return x, (x[..., 0].mean(axis=1) > 0).astype(int)


def _classifier(**parameters: Any) -> LSTMClassifier:
    """Runs all of its epochs."""
    settings = {"tol": 0.0, "n_iter_no_change": np.inf, "random_state": 0}
    return LSTMClassifier(HIDDEN, **settings | parameters)


def _growth(
    sizes: list[int],
    make: Callable[[int], tuple[np.ndarray, np.ndarray]],
    rounds: int,
    clock: Clock,
) -> dict[str, Any]:
    """Seconds an epoch by size, in rounds over all sizes, and the exponent that fits them."""
    times: dict[int, list[float]] = {size: [] for size in sizes}
    data = {size: make(size) for size in sizes}
    for _ in range(rounds + 1):
        for size in sizes:
            times[size].append(_epoch_seconds(*data[size], clock))
    medians = [median(of_size[1:]) for of_size in times.values()]  # without the warm-up
    return {
        "sizes": sizes,
        "times": medians,
        "exponent": targets.exponent(sizes, medians),
    } | summarised({"sklstm": times[sizes[-1]][1:]})


def _epoch_seconds(x: np.ndarray, y: np.ndarray, clock: Clock) -> float:
    classifier = _classifier(max_iter=1)
    start = clock()
    with warnings.catch_warnings(action="ignore"):
        classifier.fit(x, y)
    return clock() - start


def _grid_search(name: str, rounds: int) -> dict[str, Any]:
    """A search with one worker and with two, in turn; the workers are there when the clock runs."""
    x, y = _data(600, 50)
    before = os.environ.get("SKLSTM_KERNELS")
    os.environ["SKLSTM_KERNELS"] = name  # reaches the workers too
    try:
        times: dict[str, list[float]] = {"sklstm, one worker": [], "sklstm, two workers": []}
        for turn in range(rounds + 1):
            for n_jobs, of in enumerate(times.values(), start=1):
                seconds = _search_seconds(x, y, n_jobs)
                if turn > 0:
                    of.append(seconds)
    finally:
        if before is None:
            del os.environ["SKLSTM_KERNELS"]
        else:
            os.environ["SKLSTM_KERNELS"] = before
    return summarised(times)


def _search_seconds(x: np.ndarray, y: np.ndarray, n_jobs: int) -> float:
    search = GridSearchCV(_classifier(max_iter=8), CANDIDATES, cv=3, n_jobs=n_jobs, refit=False)
    start = time.perf_counter()
    with warnings.catch_warnings(action="ignore"):
        search.fit(x, y)
    return time.perf_counter() - start


def _memory(name: str) -> dict[str, Any]:
    """Of a process of its own, which loads no rival."""
    environment = os.environ | kernels.import_path() | {"SKLSTM_KERNELS": name}
    command = [sys.executable, str(HERE / "many_fits.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
