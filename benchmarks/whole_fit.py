"""Measure whole fits to the same loss, each in a new process: imports, cached code, training.

All libraries use the same network, batch size, optimiser and learning rate. Their initial weights
differ, and therefore their numbers of epochs. Each round has a different seed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import kernels
import numpy as np
import quiet
import report
from fit_problem import FitProblem
from rivals import missing_libraries
from sklearn.datasets import load_digits
from timing import CLOCKS, Clock, median, summarised

LOSS = 0.01
ROUNDS = 3
HERE = Path(__file__).parent

#: Like ``timing.CLOCKS``, for child processes that have ended.
CHILDREN_CLOCKS: dict[str, Clock] = {
    "wall": time.perf_counter,
    "cpu": lambda: os.times().children_user + os.times().children_system,
}

#: The variables that set the number of threads of the libraries.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}


class Side(NamedTuple):
    name: str
    module: str
    libraries: list[str]
    environment: Mapping[str, str] = MappingProxyType({})


RIVALS = [
    Side("torch", "rivals.torch_fit", ["torch"]),
    Side("skorch", "rivals.skorch_fit", ["torch", "skorch"]),
    # The JAX backend was faster than PyTorch, by a factor of two on digits.
    Side("keras", "rivals.keras_fit", ["keras", "jax"], {"KERAS_BACKEND": "jax"}),
    Side("sktime", "rivals.sktime_fit", ["torch", "sktime"]),
]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return, for each data set, times of the processes, epochs, losses, and skipped libraries."""
    ours = [
        Side(f"sklstm {name}", "fit_ours", [], {"SKLSTM_KERNELS": name}) for name in options.kernels
    ]
    print(report.fit_title())
    found = {}
    for name, problem in _problems(options.data):
        found[name] = _measure(problem, [*ours, *RIVALS], options)
        for side in [*ours, *RIVALS]:
            print(report.fit_line(name, side.name, found[name]), flush=True)
    if options.data is None:
        print("JapaneseVowels is skipped: --data is not given")
    return found


def _problems(data: Path | None) -> Iterator[tuple[str, FitProblem]]:
    x, y = load_digits(return_X_y=True)
    rows = (x / 16).reshape(-1, 8, 8).astype(np.float32)
    yield "digits", FitProblem(rows, np.full(len(y), 8), y.astype(np.int64), LOSS, seed=0)
    if data is not None:
        yield "JapaneseVowels", _japanese_vowels(data / "JapaneseVowels.npz")


def _japanese_vowels(path: Path) -> FitProblem:
    """Read the training split, with standardised channels."""
    with np.load(path) as file:
        values, lengths, y = (file[f"train_{name}"] for name in ("values", "lengths", "y"))
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    x = np.zeros((len(lengths), lengths.max(), values.shape[1]), np.float32)
    x[np.arange(x.shape[1]) < lengths[:, None]] = values
    classes = np.unique(y, return_inverse=True)[1]
    return FitProblem(x, lengths.astype(np.int64), classes.astype(np.int64), LOSS, seed=0)


def _measure(problem: FitProblem, sides: list[Side], options: argparse.Namespace) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {}
    skipped = {side.name: why for side in sides if (why := missing_libraries(side.libraries))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "problem.npz")
        # The first round fills the caches of files and of compiled code.
        for seed in range(-1, options.repeats or ROUNDS):
            replace(problem, seed=max(seed, 0)).save(path)
            for side in [side for side in sides if side.name not in skipped]:
                run = _run(side, path, options)
                if "skipped" in run:
                    skipped[side.name] = run["skipped"]
                elif seed >= 0:
                    runs.setdefault(side.name, []).append(run)
    return _summarised(runs) | {"skipped": skipped}


def _run(side: Side, path: Path, options: argparse.Namespace) -> dict[str, Any]:
    environment = os.environ | ONE_THREAD | kernels.import_path() | dict(side.environment)
    clock_inside = CLOCKS[options.clock].__name__
    command = [sys.executable, str(HERE / "fit_side.py"), side.module, str(path), clock_inside]
    quiet.wait(1, time.perf_counter() + options.patience)
    clock = CHILDREN_CLOCKS[options.clock]
    start = clock()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = clock() - start
    if done.returncode:
        raise SystemExit(f"whole fit by {side.name} failed:\n{done.stderr}")
    return json.loads(done.stdout) | {"process": seconds}


def _summarised(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Summarise runs; ``seconds_an_epoch`` includes the compilation in the first epoch."""

    def medians(key: str) -> dict[str, float]:
        return {side: median([run[key] for run in of_side]) for side, of_side in runs.items()}

    found = summarised({side: [run["process"] for run in of] for side, of in runs.items()})
    largest = {side: max(run["loss"] for run in of) for side, of in runs.items()}
    per_epoch = {
        side: median([run["fit_seconds"] / run["epochs"] for run in of])
        for side, of in runs.items()
    }
    return found | {
        "epochs": medians("epochs"),
        "losses": largest,
        "import_seconds": medians("import_seconds"),
        "seconds_an_epoch": per_epoch,
    }
