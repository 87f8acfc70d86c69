"""The targets as data, and functions that compare measurements with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class OnGrid(NamedTuple):
    """Minimum ratios of a rival's time to ours: geometric mean over the grid, and each shape."""

    kind: str
    kernels: str
    rival: str
    mean: float
    worst: float
    goal: float | None = None


GRID = [
    OnGrid("training", "compiled", "torch", mean=1.8, worst=1.2, goal=2.0),
    OnGrid("inference", "compiled", "torch", mean=1.3, worst=1.0, goal=1.5),
    OnGrid("inference", "compiled", "onnxruntime", mean=0.9, worst=0.75, goal=1.1),
    OnGrid("training", "numpy", "torch", mean=1.0, worst=0.7),
]

#: Minimum ratios of a rival's time to the time of a streamed step with the compiled kernels.
STREAMED = {"torch": 5.0, "onnxruntime": 2.0}

#: Minimum ratios of a rival's time to ours, for a whole fit with either kernel set.
WHOLE_FIT = {"torch": 2.0, "skorch": 3.0}

#: Minimum ratios of PyTorch's time to ours for whole calls, by call and kernels: mean and worst.
CALLS = {
    ("fit", "compiled"): (2.2, 1.7),
    ("predict_proba", "compiled"): (1.3, 1.0),
    ("fit", "numpy"): (1.2, 0.9),
    ("predict_proba", "numpy"): (0.9, 0.6),
}

#: Minimum ratio of PyTorch's time to ours, for the probabilities of one sequence.
MIN_LATENCY = 1.0
#: Maximum time of a streamed step from a list or a float64 array, relative to a float32 array.
MAX_CONVERTED_STEP = 2.0

#: Maximum time of a process with an empty cache, relative to one that uses PyTorch.
MAX_COLD = 0.8

#: Minimum time of the matrix products alone, as a fraction of a training step (compiled kernels).
MIN_SHARE = 0.8

MAX_EXPONENT = 1.05
MIN_GRID_SEARCH = 1.8
#: Time with n_jobs=2 divided by time with n_jobs=1, for every batch.
MAX_SECOND_JOB = 1.05
#: Maximum growth of memory over 200 fits, relative to its start; allocators may keep as much.
MAX_GROWTH = 0.02
MAX_RAGGED = 0.65
MAX_IMPORT_SECONDS = 0.015


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the p of seconds ~ sizes**p, by least squares on logarithms."""
    slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
    return float(slope)


def ratios(rows: Mapping[str, Any], rival: str, ours: str) -> dict[str, float]:
    """Return the rival's time divided by ours, for each shape that both were measured on."""
    times = {shape: row["seconds"] for shape, row in rows.items()}
    both = {shape: t for shape, t in times.items() if rival in t and ours in t}
    return {shape: t[rival] / t[ours] for shape, t in both.items()}


def usable(measured: Mapping[str, Any]) -> bool:
    """Whether times are valid: with several threads, no other program may use the cores."""
    return measured.get("quiet", True) or measured.get("threads", 1) == 1


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def at_least(value: float, least: float) -> str:
    return f"{value:.2f} (at least {least:g}): {verdict(value >= least)}"


def at_most(value: float, most: float) -> str:
    return f"{value:.2f} (at most {most:g}): {verdict(value <= most)}"


def is_judged(line: str) -> bool:
    """Whether a line of a report compares a measurement with its target."""
    return any(f": {verdict(reached)}" in line for reached in (True, False))
