"""What `import sklstm` adds to `import sklearn.base`, in fresh interpreters."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from typing import Any

import kernels
from timing import CLOCKS, summarised

FEWEST_RUNS = 15

#: Each interpreter times both imports: as a difference between processes, ours would drown in the
#: noise of scikit-learn's, which takes some fifty times as long.
CODE = """
from time import {clock} as clock
start = clock()
import sklearn.base
between = clock()
import sklstm
print(between - start, clock() - between)
"""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Times of both, with byte code at hand."""
    repeats = max(FEWEST_RUNS, options.repeats or 0)
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(byte_code=folder)
        code = CODE.format(clock=CLOCKS[options.clock].__name__)
        _run(code, environment)
        runs = [_run(code, environment) for _ in range(repeats)]
    of_sklearn, of_sklstm = map(list, zip(*runs, strict=True))
    return summarised({"sklearn.base": of_sklearn, "sklstm": of_sklstm})


def _environment(byte_code: str) -> dict[str, str]:
    """The sklstm of this process, and byte code that is written, whatever the user's settings."""
    settings = {"PYTHONPYCACHEPREFIX": byte_code, "PYTHONDONTWRITEBYTECODE": ""}
    return os.environ | kernels.import_path() | settings


def _run(code: str, environment: dict[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    of_sklearn, of_sklstm = map(float, done.stdout.split())
    return of_sklearn, of_sklstm
