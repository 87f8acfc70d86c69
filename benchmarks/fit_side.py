"""One side's whole fit, in a process that has done nothing yet: `whole_fit` starts this.

python benchmarks/fit_side.py SIDE PROBLEM.npz; prints epochs, loss and times
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

from fit_problem import FitProblem, Unable


def main(module: str, path: str) -> None:
    with redirect_stdout(sys.stderr):
        start = time.perf_counter()
        side = import_module(module)
        imported = time.perf_counter()
        try:
            found = side.fit(FitProblem.load(Path(path)))._asdict()
            found["fit_seconds"] = time.perf_counter() - imported
            found["import_seconds"] = imported - start
        except Unable as reason:
            found = {"skipped": str(reason)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
