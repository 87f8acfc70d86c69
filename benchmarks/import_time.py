"""Measure the time of `import sklstm` after `import sklearn.base`, in new interpreters."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from typing import Any

import kernels
from timing import CLOCKS, summarised

MIN_RUNS = 15

#: Each interpreter times both imports. The import of scikit-learn takes about fifty times as long,
#: so a difference between two processes would be too noisy.
CODE = """
from time import {clock} as clock
start = clock()
import sklearn.base
between = clock()
import sklstm
print(between - start, clock() - between)
"""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both imports, with cached byte code."""
    repeats = max(MIN_RUNS, options.repeats or 0)
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(byte_code=folder)
        code = CODE.format(clock=CLOCKS[options.clock].__name__)
        _run(code, environment)
        runs = [_run(code, environment) for _ in range(repeats)]
    of_sklearn, of_sklstm = map(list, zip(*runs, strict=True))
    return summarised({"sklearn.base": of_sklearn, "sklstm": of_sklstm})


def _environment(byte_code: str) -> dict[str, str]:
    """Return an environment with the sklstm of this process and with byte code enabled."""
    settings = {"PYTHONPYCACHEPREFIX": byte_code, "PYTHONDONTWRITEBYTECODE": ""}
    return os.environ | kernels.import_path() | settings


def _run(code: str, environment: dict[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    of_sklearn, of_sklstm = map(float, done.stdout.split())
    return of_sklearn, of_sklstm
