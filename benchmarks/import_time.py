"""What `import sklstm` adds to `import sklearn.base`, in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import Clock, median, quartiles

import sklstm

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


def measure(repeats: int | None, clock: Clock) -> dict[str, object]:
    """Median seconds of both, with byte code at hand."""
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(byte_code=folder)
        code = CODE.format(clock=clock.__name__)
        _run(code, environment)
        runs = [_run(code, environment) for _ in range(max(FEWEST_RUNS, repeats or 0))]
    of_sklearn, of_sklstm = map(list, zip(*runs, strict=True))
    return {
        "runs": len(runs),
        "sklearn_base": median(of_sklearn),
        "sklstm_beyond": median(of_sklstm),
        "sklstm_beyond_quartiles": quartiles(of_sklstm),
    }


def _environment(byte_code: str) -> dict[str, str]:
    """The sklstm of this process, and byte code that is written, whatever the user's settings."""
    paths = [str(Path(sklstm.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    settings = {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONPYCACHEPREFIX": byte_code,
        "PYTHONDONTWRITEBYTECODE": "",
    }
    return os.environ | settings


def _run(code: str, environment: dict[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    of_sklearn, of_sklstm = map(float, done.stdout.split())
    return of_sklearn, of_sklstm
