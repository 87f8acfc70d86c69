"""The objective of tokens, as a function of the vectors of the tokens that occur in a batch.

A batch of a large vocabulary has few of its tokens. Its gradient is that of a network whose
vocabulary are these tokens, so no other vector costs time. The penalty, the norm of the gradient
and the update include the vectors of these tokens alone.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._solvers.parts import Part, PartialGradient
from sklstm._training.objective import Objective
from sklstm._training.samples import Samples

Array = NDArray[np.floating]
Indices = NDArray[np.intp]

#: A table of the vocabulary is faster than sorting, unless it has this many times as many entries
#: as the batch has tokens.
TABLE_FACTOR = 16

#: How many networks are kept, each for another number of tokens.
N_NETWORKS = 64


class TokenObjective:
    """Value and gradient of an objective whose samples are tokens, on a part of the parameters."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.samples = objective.samples
        network = objective.network
        table = network.layout.slices["embedding.weight"]
        self._n_first, self._width = table.start, network.n_inputs
        #: The number of different tokens is often the same.
        self._network_of = lru_cache(N_NETWORKS)(network.with_vocabulary)
        self._whole: tuple[Indices, Samples] | None = None

    def __call__(
        self, parameters: Array, indices: Indices | None, rng: np.random.RandomState
    ) -> tuple[float, PartialGradient, int]:
        """Return value, gradient and number of sequences of a batch; ``rng`` draws the masks."""
        rows, samples = self._batch(indices)
        part = Part(self._n_first, rows, self._width)
        objective = copy(self.objective)
        objective.network = self._network_of(len(rows))
        objective.samples = samples
        taken = part.take(parameters)
        value, gradient, n = objective(taken, None, rng)
        return value, PartialGradient(gradient, part, taken), n

    def _batch(self, indices: Indices | None) -> tuple[Indices, Samples]:
        """Return the tokens that occur, and the samples with the positions of their tokens."""
        if indices is not None:
            return self._renumbered(self.samples.take(indices))
        if self._whole is None:
            self._whole = self._renumbered(self.samples)
        return self._whole

    def _renumbered(self, samples: Samples) -> tuple[Indices, Samples]:
        sequences = samples.sequences
        size = self.objective.network.vocabulary_size
        assert size is not None
        rows, positions = occurring(sequences.values[:, 0].astype(np.intp, copy=False), size)
        return rows, replace(samples, sequences=replace(sequences, values=positions[:, None]))


def occurring(tokens: Indices, size: int) -> tuple[Indices, NDArray[Any]]:
    """Return the sorted tokens without duplicates, and the position of each token among them."""
    if size > TABLE_FACTOR * len(tokens):
        rows, positions = np.unique(tokens, return_inverse=True)
        return rows, positions.reshape(-1)
    occurs = np.zeros(size, bool)
    occurs[tokens] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[tokens]
