"""Run the whole fit of one library in a new process; `whole_fit` runs this script.

python benchmarks/fit_side.py SIDE PROBLEM.npz CLOCK; prints epochs, loss and times
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

from fit_problem import FitProblem, Unable


def main(module: str, path: str, clock_name: str) -> None:
    clock = getattr(time, clock_name)
    with redirect_stdout(sys.stderr):
        start = clock()
        side = import_module(module)
        imported = clock()
        try:
            found = side.fit(FitProblem.load(Path(path)))._asdict()
            found["fit_seconds"] = clock() - imported
            found["import_seconds"] = imported - start
        except Unable as reason:
            found = {"skipped": str(reason)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
