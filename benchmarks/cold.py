"""Measure a process that imports, fits and predicts, with and without compiled code on disk.

It fits 100 sequences of 20 steps with 16 units in float32, for two epochs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import kernels
import quiet
from rivals import missing_libraries
from timing import summarised
from whole_fit import CHILDREN_CLOCKS, ONE_THREAD

ROUNDS = 5
HERE = Path(__file__).parent


class Side(NamedTuple):
    name: str
    script: str
    kernels: str = "auto"
    empty_cache: bool = False


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return, for each clock, the times of the processes; the first round is not counted."""
    sides = [Side(f"sklstm {name}", "cold_ours.py", name) for name in options.kernels]
    if "compiled" in options.kernels:
        sides.insert(0, Side("sklstm compiled, empty cache", "cold_ours.py", "compiled", True))
    if "torch" in options.rivals and not missing_libraries(["torch"]):
        sides.append(Side("torch", "rivals/torch_cold.py"))
    times: dict[str, dict[str, list[float]]] = {clock: {} for clock in CHILDREN_CLOCKS}
    with tempfile.TemporaryDirectory() as filled:
        for k in range(-1, options.repeats or ROUNDS):
            for side in sides:
                quiet.wait(1, time.perf_counter() + options.patience)
                for clock, seconds in _run(side, filled).items():
                    if k >= 0:
                        times[clock].setdefault(side.name, []).append(seconds)
    return {clock: summarised(of_clock) for clock, of_clock in times.items()}


def _run(side: Side, filled: str) -> dict[str, float]:
    """Return the wall and the CPU time of one process."""
    environment = os.environ | ONE_THREAD | kernels.import_path()
    environment["SKLSTM_KERNELS"] = side.kernels
    with tempfile.TemporaryDirectory() if side.empty_cache else nullcontext(filled) as folder:
        environment["SKLSTM_CACHE_DIR"] = folder
        start = {name: clock() for name, clock in CHILDREN_CLOCKS.items()}
        command = [sys.executable, str(HERE / side.script)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        seconds = {name: clock() - start[name] for name, clock in CHILDREN_CLOCKS.items()}
    if done.returncode:
        raise SystemExit(f"the process of {side.name} failed:\n{done.stderr}")
    return seconds
