"""The problem of a whole fit: sequences, their classes, and the loss at which training ends.

The network is one LSTM layer and a dense softmax of the last hidden state, trained by Adam on the
mean cross-entropy, in float32. Each library draws its default initial weights.

Shapes: ``N`` sequences, ``T`` steps, ``D`` channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

HIDDEN = 64
BATCH = 32
LEARNING_RATE = 0.005
MAX_EPOCHS = 300


@dataclass(frozen=True)
class FitProblem:
    x: np.ndarray  # (N, T, D), zero after the end of a sequence
    lengths: np.ndarray  # (N,)
    y: np.ndarray  # (N,), classes from 0 on
    loss: float  # mean over the batches of an epoch; training ends at or below it
    seed: int

    @property
    def n_classes(self) -> int:
        return int(self.y.max()) + 1

    @property
    def ragged(self) -> bool:
        return bool((self.lengths < self.x.shape[1]).any())

    def save(self, path: Path) -> None:
        np.savez(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> FitProblem:
        with np.load(path) as file:
            return cls(
                file["x"], file["lengths"], file["y"], float(file["loss"]), int(file["seed"])
            )


class Fitted(NamedTuple):
    epochs: int
    loss: float  # of the last epoch


class Unable(Exception):
    """The library does not support the data; the message gives the reason."""
