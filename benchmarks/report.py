"""What was measured where, as JSON and as a table."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
from threadpoolctl import threadpool_info

import sklstm

#: (kind, threads) -> the least geometric mean of torch's time over ours, with NumPy kernels.
LEAST_RATIO = {("training", 1): 0.85, ("inference", 1): 0.6}
MOST_RAGGED = 0.65
MOST_IMPORT_SECONDS = 0.015

#: Load of each core above which others take a good part of the machine.
BUSY = 0.6
WARNING = (
    "This machine is busy. On one thread, --clock cpu helps. On two, times mean nothing: threads"
    " that wait\nfor each other at every step wait for the other programs too.\n"
)

KINDS = ("training", "inference")


def environment(threads: int, clock: str, rivals: dict[str, str]) -> dict[str, Any]:
    versions = {
        "python": platform.python_version(),
        "sklstm": sklstm.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load": load(),
        "threads": threads,
        "clock": clock,
        "blas": blas_of_numpy(),
        "versions": versions | rivals,
    }


def cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load() -> float | None:
    """Programs that ran or wanted to, on average over the last minute, for each core."""
    if not hasattr(os, "getloadavg"):
        return None
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def blas_of_numpy() -> str:
    """Name, version and the kind of CPU that it has kernels for."""
    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    found.sort(key=lambda library: "numpy" not in library["filepath"])
    if not found:
        return "unknown"
    parts = (found[0].get(key) for key in ("internal_api", "version", "architecture"))
    return " ".join(str(part) for part in parts if part)


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Geometric mean of the ratios, and the shape with the lowest, for each kind."""
    found = {}
    for kind in KINDS:
        worst = min(rows, key=lambda row: row[kind]["ratio"])
        found[kind] = {
            "geometric_mean": geometric_mean([row[kind]["ratio"] for row in rows]),
            "worst_shape": worst["shape"],
            "worst_ratio": worst[kind]["ratio"],
        }
    return found


def header(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    busy = facts["load"] is not None and facts["load"] > BUSY
    return (
        f"{facts['date']}, {facts['cpu']}, {facts['cores']} cores, threads: {facts['threads']},"
        f" {facts['clock']} time\n"
        f"{versions}; BLAS of NumPy: {facts['blas']}\n" + busy * WARNING
    )


TITLES = (
    f"{'(batch, steps, inputs, hidden)':<30} {'training step, ms':^26}  {'inference, ms':^26}\n"
    f"{'':<30}" + f" {'sklstm':>8} {'torch':>8} {'ratio':>8} " * 2
)


def row_line(row: dict[str, Any]) -> str:
    cells = []
    for kind in KINDS:
        seconds = row[kind]["seconds"]
        cells.append(
            f" {seconds['sklstm'] * 1e3:8.3f} {seconds['torch'] * 1e3:8.3f}"
            f" {row[kind]['ratio']:8.2f} "
        )
    shape = "(" + ", ".join(map(str, row["shape"])) + ")"
    return f"{shape:<30}" + "".join(cells)


def summary_lines(found: dict[str, dict[str, Any]], threads: int, whole_grid: bool) -> str:
    lines = []
    for kind in KINDS:
        mean, worst = found[kind]["geometric_mean"], found[kind]["worst_ratio"]
        line = f"{kind}: geometric mean {mean:.2f}, worst {worst:.2f} at"
        line += f" {tuple(found[kind]['worst_shape'])}"
        least = LEAST_RATIO.get((kind, threads))
        if least is not None and whole_grid:
            line += f"; target of at least {least}: {verdict(mean >= least)}"
        lines.append(line)
    return "\n".join(lines)


def ragged_line(found: dict[str, Any]) -> str:
    seconds, ratio = found["seconds"], found["ratio"]
    return (
        f"ragged batch: {seconds['ragged'] * 1e3:.2f} ms, padded: {seconds['padded'] * 1e3:.2f} ms,"
        f" ratio {ratio:.2f} for {found['share_of_steps']:.2f} of the steps;"
        f" target of at most {MOST_RAGGED}: {verdict(ratio <= MOST_RAGGED)}"
    )


def import_line(found: dict[str, Any]) -> str:
    beyond = found["sklstm_beyond"]
    return (
        f"import sklstm: {beyond * 1e3:.1f} ms beyond sklearn.base's"
        f" {found['sklearn_base'] * 1e3:.0f} ms; target of at most"
        f" {MOST_IMPORT_SECONDS * 1e3:.0f} ms: {verdict(beyond <= MOST_IMPORT_SECONDS)}"
    )


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"
