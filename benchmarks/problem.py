"""The measured problem: one LSTM layer and a batch of random numbers; and the grid of sizes.

Shapes: ``N`` sequences, ``T`` steps, ``D`` inputs, ``H`` hidden units. The gates have
sklstm's order i, f, o, g; the adapters of other libraries permute them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sklstm._network.network import SequenceNetwork


class Shape(NamedTuple):
    batch: int
    steps: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        return ",".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> Shape:
        return cls(*map(int, text.split(",")))


GRID = [
    Shape(1, 100, 8, 64),
    Shape(32, 50, 4, 16),
    Shape(32, 100, 8, 32),
    Shape(64, 100, 8, 64),
    Shape(128, 128, 16, 128),
    Shape(200, 50, 1, 100),
    Shape(32, 500, 1, 64),
    Shape(256, 28, 28, 128),
    Shape(200, 150, 2, 100),
]


@dataclass(frozen=True)
class Problem:
    """Inputs, weights, and the gradients of the hidden states of all steps, in float32."""

    shape: Shape
    x: np.ndarray  # (N, T, D)
    dy: np.ndarray  # (N, T, H)
    weight_ih: np.ndarray  # (D, 4H)
    weight_hh: np.ndarray  # (H, 4H)
    bias: np.ndarray  # (4H,)
    lengths: np.ndarray  # (N,), at most T; steps beyond them are ignored

    @property
    def network(self) -> SequenceNetwork:
        """A network with one such layer; sklstm uses it to decide how to split a batch."""
        return SequenceNetwork(self.shape.inputs, (self.shape.hidden,), 1)

    @classmethod
    def random(cls, shape: Shape, lengths: np.ndarray | None = None, seed: int = 0) -> Problem:
        rng = np.random.default_rng(seed)
        n, steps, inputs, hidden = shape
        bound = hidden**-0.5

        def normal(*size: int) -> np.ndarray:
            return rng.standard_normal(size, dtype=np.float32)

        def uniform(*size: int) -> np.ndarray:
            return rng.uniform(-bound, bound, size).astype(np.float32)

        return cls(
            shape,
            normal(n, steps, inputs),
            normal(n, steps, hidden),
            uniform(inputs, 4 * hidden),
            uniform(hidden, 4 * hidden),
            uniform(4 * hidden),
            np.full(n, steps) if lengths is None else lengths,
        )


#: Outputs and gradients by name, with the shapes of ``Problem``; compared, but not timed.
Results = dict[str, np.ndarray]


def disagreements(ours: Results, theirs: Results, tolerance: float = 1e-4) -> list[str]:
    """Return the results whose error, relative to their largest element, exceeds the tolerance."""
    found = []
    for name, expected in theirs.items():
        error = np.abs(ours[name] - expected).max() / np.abs(expected).max()
        if not error <= tolerance:
            found.append(f"{name} differs by {error:.1e}")
    return found
