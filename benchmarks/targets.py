"""What was promised, as data, and whether it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class OnGrid(NamedTuple):
    """Least ratios of a rival's time over ours: their geometric mean, and that of any shape."""

    kind: str
    kernels: str
    rival: str
    mean: float
    worst: float
    goal: float | None = None


GRID = [
    OnGrid("training", "numba", "torch", mean=1.8, worst=1.2, goal=2.0),
    OnGrid("inference", "numba", "torch", mean=1.3, worst=1.0, goal=1.5),
    OnGrid("inference", "numba", "onnxruntime", mean=0.9, worst=0.75, goal=1.1),
    OnGrid("training", "numpy", "torch", mean=1.0, worst=0.7),
]

#: Least ratios of a rival's time over that of a streamed step with the numba kernels.
STREAMED = {"torch": 5.0, "onnxruntime": 2.0}

#: Least ratios of a rival's time over ours, for a whole fit by either set of kernels.
WHOLE_FIT = {"torch": 2.0, "skorch": 3.0}

#: Least share of a training step's time (numba) that its matrix products alone would take.
LEAST_SHARE = 0.8

MOST_EXPONENT = 1.05
LEAST_GRID_SEARCH = 1.8
#: Times with n_jobs=2 over those with n_jobs=1, whatever the batch.
MOST_SECOND_JOB = 1.05
#: Of the memory at the start, what 200 fits may add: below it is what allocators keep.
MOST_GROWTH = 0.02
MOST_RAGGED = 0.65
MOST_IMPORT_SECONDS = 0.015


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The p of seconds ~ sizes**p, by least squares on logarithms."""
    slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
    return float(slope)


def ratios(rows: Mapping[str, Any], rival: str, ours: str) -> dict[str, float]:
    """For each shape that both took part in, the rival's time over ours."""
    times = {shape: row["seconds"] for shape, row in rows.items()}
    both = {shape: t for shape, t in times.items() if rival in t and ours in t}
    return {shape: t[rival] / t[ours] for shape, t in both.items()}


def usable(measured: Mapping[str, Any]) -> bool:
    """Threads that wait for each other while others have their cores give times of nothing."""
    return measured.get("quiet", True) or measured.get("threads", 1) == 1


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def at_least(value: float, least: float) -> str:
    return f"{value:.2f} (at least {least:g}): {verdict(value >= least)}"


def at_most(value: float, most: float) -> str:
    return f"{value:.2f} (at most {most:g}): {verdict(value <= most)}"
