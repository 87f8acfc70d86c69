"""Measure peak memory of fit and predict for long sequences and for a large vocabulary.

python benchmarks/long_sequences.py [--parts growth limit file vocabulary] [--json out.json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from sklstm import LSTMClassifier, LSTMRegressor

MIB = 2**20
LENGTHS = (6_250, 25_000, 100_000)
NETWORKS: dict[str, dict[str, Any]] = {
    "one layer of 64": {"hidden_layer_sizes": 64},
    "two of 32, bidirectional": {"hidden_layer_sizes": (32, 32), "bidirectional": True},
}


def main() -> None:
    parts = {"growth": growth, "limit": limit, "file": file, "vocabulary": vocabulary}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--json", type=Path, help="write all results to this file")
    options = parser.parse_args()
    found = {}
    for name in options.parts:
        print(f"\n{name}: {parts[name].__doc__.partition(chr(10))[0]}")
        found[name] = parts[name]()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measured(call: Callable[[], object]) -> tuple[float, float]:
    """Return the peak memory in MiB during the call, and the seconds of a call without tracing."""
    start = time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / MIB, seconds
    finally:
        tracemalloc.stop()


def row(label: str, memory: float, seconds: float, **more: Any) -> dict[str, Any]:
    extra = "".join(f", {name} {value:.2f}" for name, value in more.items())
    print(f"  {label:<44} peak {memory:8.1f} MiB, {seconds:6.1f} s{extra}", flush=True)
    return {"label": label, "peak_mib": memory, "seconds": seconds, **more}


def growth() -> list[dict[str, Any]]:
    """One sequence, working_memory 1 MiB, one epoch; four times the steps need twice the memory."""
    rows = []
    for name, network in NETWORKS.items():
        last = {"fit": np.nan, "predict": np.nan}
        for n_steps in LENGTHS:
            X = np.random.default_rng(0).normal(size=(1, n_steps, 1))
            model = LSTMRegressor(max_iter=1, random_state=0, **network)
            calls = {"fit": lambda m=model, X=X: m.fit(X, [1.0])}
            calls["predict"] = lambda m=model, X=X: m.predict(X)
            for kind, call in calls.items():
                with sklearn.config_context(working_memory=1):
                    memory, seconds = measured(call)
                factor, last[kind] = memory / last[kind], memory
                more = {"MiB of X": X.nbytes / MIB, "times the previous one": factor}
                rows.append(row(f"{name}, {n_steps} steps, {kind}", memory, seconds, **more))
    return rows


def limit() -> list[dict[str, Any]]:
    """8 sequences of 20,000 steps, 64 units, one epoch, under several values of working_memory."""
    X = np.random.default_rng(0).normal(size=(8, 20_000, 1))
    y = X.mean(axis=(1, 2))
    rows = []
    for working_memory in (16, 128, 8192):
        model = LSTMRegressor(64, max_iter=1, random_state=0)
        with sklearn.config_context(working_memory=working_memory):
            label = f"fit, working_memory={working_memory}"
            rows.append(row(label, *measured(lambda m=model: m.fit(X, y))))
    return rows


def file() -> list[dict[str, Any]]:
    """Predictions for a memory-mapped file, working_memory of 16 MiB."""
    shape, rows = (4, 1_000_000, 4), []
    rng = np.random.default_rng(0)
    small = rng.normal(size=(8, 50, 4)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        X = np.memmap(Path(folder) / "X", dtype=np.float32, mode="w+", shape=shape)
        for sample in X:
            sample[...] = rng.standard_normal(sample.shape, dtype=np.float32)
        X.flush()
        for bidirectional in (False, True):
            model = LSTMRegressor(16, bidirectional=bidirectional, max_iter=1, random_state=0)
            model.fit(small, small.mean(axis=(1, 2)))
            label = f"predict, {X.nbytes / MIB:.0f} MiB file{', bidirectional' * bidirectional}"
            with sklearn.config_context(working_memory=16):
                rows.append(row(label, *measured(lambda m=model: m.predict(X))))
    return rows


def vocabulary() -> list[dict[str, Any]]:
    """100,000 sequences of 20 tokens, vocabulary of 50,000, one epoch, defaults; target 1 GiB."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 50_000, (100_000, 20))
    y = (X[:, 0] < 25_000).astype(int)
    model = LSTMClassifier(vocabulary_size=50_000, max_iter=1, random_state=0)
    sequences = list(X)
    memory, seconds = measured(lambda: model.fit(sequences, y))
    verdict = "reached" if memory <= 1024 else "MISSED"
    found = row("fit", memory, seconds)
    print(f"  target of at most 1024 MiB: {verdict}")
    return [found]


if __name__ == "__main__":
    main()
