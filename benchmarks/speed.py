"""Measure the speed of sklstm and of other libraries; docs/performance.rst has the results.

python benchmarks/speed.py [--parts grid stream] [--threads 1] [--data FOLDER] [--json out.json]
python benchmarks/speed.py --update docs/measurements/speed.json
"""

from __future__ import annotations

import argparse
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
import log
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

#: For each part, the function that measures it; it also prints a table, if the part has one.
PARTS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "grid": grid.measure,
    "jobs": jobs.measure,
    "stream": stream.measure,
    "limit": limit.measure,
    "fit": whole_fit.measure,
    "cold": cold.measure,
    "latency": latency.measure,
    "calls": calls.measure,
    "vocabulary": vocabulary.measure,
    "scale": scale.measure,
    "ragged": ragged.measure,
    "import": import_time.measure,
}

OURS = ["sklstm", "numpy", "scipy", "scikit-learn", "llvmlite"]
THEIRS = ["torch", "onnxruntime", "skorch", "keras", "jax", "sktime"]


def main() -> None:
    options = parse()
    options.rivals, missing = rivals.available(options.rivals)
    environment = report.environment(options, versions())
    found: dict[str, Any] = {"environment": environment, "environments": {}, "others": {}}
    print(report.header(environment), *missing, sep="\n")
    for part in options.parts:
        others = quiet.Others()
        found[part] = PARTS[part](options)
        found["environments"][part] = environment
        found["others"][part] = others.share()
        print(*log.SUMMARIES[part](found[part]), sep="\n")
        print(report.others_line(part, found["others"][part]), flush=True)
        if options.json:
            log.write(found, options.json)
        if options.update:
            log.write(log.updated(log.read(options.update), found), options.update)


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
    parser.add_argument("--json", type=Path, help="write the results to this file")
    update = "replace the measured parts in this file, which has been written with --json"
    parser.add_argument("--update", type=Path, help=update)
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
