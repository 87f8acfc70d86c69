"""Measure the speed of sklstm and of other libraries; docs/performance.rst has the results.

python benchmarks/speed.py [--parts grid stream] [--threads 1] [--data FOLDER] [--json out.json]
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import calls
import cold
import grid
import import_time
import jobs
import kernels
import latency
import limit
import quiet
import ragged
import report
import rivals
import scale
import stream
import vocabulary
import whole_fit
from problem import GRID, Shape
from timing import CLOCKS

#: For each part, the function that measures it and the function that formats its results.
PARTS: dict[str, tuple[Callable[[argparse.Namespace], Any], Callable[[Any], list[str]]]] = {
    "grid": (grid.measure, report.grid_lines),
    "jobs": (jobs.measure, report.jobs_lines),
    "stream": (stream.measure, report.stream_lines),
    "limit": (limit.measure, report.limit_lines),
    "fit": (whole_fit.measure, report.fit_lines),
    "cold": (cold.measure, report.cold_lines),
    "latency": (latency.measure, report.latency_lines),
    "calls": (calls.measure, report.calls_lines),
    "vocabulary": (vocabulary.measure, report.vocabulary_lines),
    "scale": (scale.measure, report.scale_lines),
    "ragged": (ragged.measure, report.ragged_lines),
    "import": (import_time.measure, report.import_lines),
}

OURS = ["sklstm", "numpy", "scipy", "scikit-learn", "llvmlite"]
THEIRS = ["torch", "onnxruntime", "skorch", "keras", "jax", "sktime"]


def main() -> None:
    options = parse()
    options.rivals, missing = rivals.available(options.rivals)
    found: dict[str, Any] = {"environment": report.environment(options, versions()), "others": {}}
    print(report.header(found["environment"]), *missing, sep="\n")
    for part in options.parts:
        measure, lines = PARTS[part]
        others = quiet.Others()
        found[part] = measure(options)
        share = found["others"][part] = others.share()
        print(*lines(found[part]), sep="\n")
        print(f"({part}: other programs used {share:.0%} of the machine)\n", flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--shapes", nargs="+", type=Shape.parse, default=GRID, metavar="BATCH,STEPS,INPUTS,HIDDEN"
    )
    cores = [n for n in (1, 2) if n <= (os.cpu_count() or 1)]
    parser.add_argument("--threads", nargs="+", type=int, default=cores, help="for the grid")
    here = kernels.available()
    parser.add_argument("--kernels", nargs="+", choices=here, default=here)
    known = list(rivals.MODULES)
    parser.add_argument("--rivals", nargs="*", choices=known, default=known)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each group of measurements")
    parser.add_argument("--repeats", type=int, help="number of rounds, instead of --seconds")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds to wait for low load")
    clocks = "cpu: for measurements with one thread on a busy machine"
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help=clocks)
    parser.add_argument("--data", type=Path, help="folder with JapaneseVowels.npz, for whole fits")
    parser.add_argument("--json", type=Path, help="write all results to this file")
    return parser.parse_args()


def versions() -> dict[str, str]:
    """Return the versions of the installed packages."""
    found = {}
    for package in OURS + THEIRS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
