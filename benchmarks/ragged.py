"""What a ragged batch costs, beside the same batch padded to its longest sequence."""

from __future__ import annotations

import numpy as np
from layer import Layer
from problem import Problem, Shape
from timing import Clock, interleaved, median

from sklstm._threads import Run

SHAPE = Shape(batch=64, steps=200, inputs=8, hidden=64)
SHORTEST = 10


def measure(run: Run, seconds: float, repeats: int | None, clock: Clock) -> dict[str, object]:
    """Median seconds of a training step on both batches, their ratio, and the share of steps."""
    lengths = np.random.default_rng(0).integers(SHORTEST, SHAPE.steps + 1, SHAPE.batch)
    lengths[0] = SHAPE.steps
    ragged = Layer(Problem.random(SHAPE, lengths), run)
    padded = Layer(Problem.random(SHAPE), run)
    calls = {"ragged": ragged.train, "padded": padded.train}
    medians = {k: median(v) for k, v in interleaved(calls, seconds, repeats, clock).items()}
    return {
        "shape": list(SHAPE),
        "lengths": f"uniform in {SHORTEST}..{SHAPE.steps}",
        "share_of_steps": float(lengths.sum() / (SHAPE.batch * SHAPE.steps)),
        "seconds": medians,
        "ratio": medians["ragged"] / medians["padded"],
    }
