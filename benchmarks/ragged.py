"""Compare a ragged batch with the same batch padded to its longest sequence."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from layer import Layer
from problem import Problem, Shape
from timing import Turns, interleaved

from sklstm._threads import ParallelMap, with_workers

SHAPE = Shape(batch=64, steps=200, inputs=8, hidden=64)
SHORTEST = 10


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure a training step on both batches, with one thread, and the fraction of steps."""
    lengths = np.random.default_rng(0).integers(SHORTEST, SHAPE.steps + 1, SHAPE.batch)
    lengths[0] = SHAPE.steps

    def compare(parallel_map: ParallelMap) -> dict[str, Any]:
        ragged = Layer(Problem.random(SHAPE, lengths), parallel_map, options.kernels[0])
        padded = Layer(Problem.random(SHAPE), parallel_map, options.kernels[0])
        calls = {"sklstm ragged": ragged.train, "sklstm padded": padded.train}
        return interleaved(calls, Turns.of(options))

    return with_workers(1, compare) | {
        "shape": str(SHAPE),
        "lengths": f"uniform in {SHORTEST}..{SHAPE.steps}",
        "share_of_steps": float(lengths.sum() / (SHAPE.batch * SHAPE.steps)),
    }
