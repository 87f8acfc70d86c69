"""Measure resident memory over many fits in one process, on Linux; `scale` runs this script."""

from __future__ import annotations

import gc
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sklstm import LSTMClassifier

FITS, EVERY = 200, 20
#: Fits before the first measurement, which fill caches and the memory pools of the allocator.
WARM_UP = 5


def main() -> None:
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((n, 4), dtype=np.float32) for n in rng.integers(20, 60, size=200)]
    y = rng.integers(3, size=len(x))
    warnings.simplefilter("ignore")
    for _ in range(WARM_UP):
        fit(x, y)
    fits, megabytes = [0], [resident()]
    for k in range(1, FITS + 1):
        fit(x, y)
        if k % EVERY == 0:
            fits.append(k)
            megabytes.append(resident())
    slope = float(np.polyfit(fits, megabytes, 1)[0])
    print(json.dumps({"fits": FITS, "megabytes": megabytes, "slope": slope}))


def fit(x: list[np.ndarray], y: np.ndarray) -> Any:
    return LSTMClassifier(32, max_iter=2, random_state=0).fit(x, y).predict(x)


def resident() -> float:
    """Return the resident memory in megabytes, after garbage collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
