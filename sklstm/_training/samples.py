"""Samples: sequences with their targets and weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from math import fsum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm.sequences import Sequences
from sklstm.sequences._moments import moderate

Array = NDArray[np.floating]


class Totals(NamedTuple):
    """Weight and number of all training sequences, as they were given."""

    weight: float
    n_sequences: int

    def plus(self, other: Totals) -> Totals:
        """Return the totals of both."""
        return Totals(self.weight + other.weight, self.n_sequences + other.n_sequences)


@dataclass(frozen=True, eq=False)
class Samples:
    """Sequences with encoded targets and weights.

    Parameters
    ----------
    sequences : Sequences
        The sequences of all samples.
    targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Encoded targets. There is one row for each sequence or, if ``per_step``, for each step.
    weights : ndarray of shape (n_rows,), dtype=float64
        Weights of the targets.
    per_step : bool
        Whether each step has a target.
    counts : ndarray of shape (n_sequences,) or None
        How many of the given sequences each sequence stands for; None if one each.
    numbers : ndarray of shape (n_sequences,) or None
        The index of each sequence in the data that were given; None if they are all of these.
    """

    sequences: Sequences
    targets: NDArray[Any]
    weights: NDArray[np.float64]
    per_step: bool = False
    counts: NDArray[np.intp] | None = None
    numbers: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        return len(self.sequences)

    def rows(self, indices: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows of targets and weights of the sequences at ``indices``."""
        return self.sequences.rows(indices) if self.per_step else indices

    @property
    def step_weights(self) -> NDArray[np.float64]:
        """The weight of each time step: its own, or that of its sequence."""
        return self.weights if self.per_step else np.repeat(self.weights, self.sequences.lengths)

    @property
    def totals(self) -> Totals:
        return Totals(float(self.weights.sum()), self.n_given())

    def n_given(self, indices: NDArray[np.intp] | None = None) -> int:
        """Return how many sequences were given for those at ``indices``, by default for all."""
        if self.counts is None:
            return len(self) if indices is None else len(indices)
        return int(self.counts.sum() if indices is None else self.counts[indices].sum())

    @property
    def stratifiable(self) -> bool:
        """Whether each sample has exactly one label."""
        return self.targets.dtype.kind == "i" and not self.per_step

    def take(self, indices: NDArray[np.intp]) -> Samples:
        """Return a copy of the samples at ``indices``."""
        rows = self.rows(indices)
        return replace(
            self,
            sequences=self.sequences.take(indices),
            targets=self.targets[rows],
            weights=self.weights[rows],
            counts=None if self.counts is None else self.counts[indices],
            numbers=indices if self.numbers is None else self.numbers[indices],
        )

    def without_weightless(self) -> Samples:
        """Return the samples with a positive weight; if ``per_step``, at one step at least."""
        if self.weights.all():
            return self
        positive = self.weights > 0
        if self.per_step:
            positive = np.logical_or.reduceat(positive, self.sequences.starts)
        return self.take(np.flatnonzero(positive))

    def astype(self, dtype: np.dtype[np.floating], memory: float = 0.0) -> Samples:
        """Return the samples with values and real targets of this dtype.

        Values that will be scaled are scaled now if the result takes at most ``memory`` bytes.
        Otherwise they remain as they are until a batch is packed, which gives the same bits.
        """
        targets, sequences = self.targets, self.sequences
        if targets.dtype.kind == "f":
            targets = targets.astype(dtype, copy=False)
        if sequences.scaling is None:
            sequences = sequences.astype(dtype)
        elif sequences.values.size * dtype.itemsize <= memory:
            values = sequences.scaling.apply(sequences.values, dtype)
            sequences = replace(sequences, values=values, scaling=None)
        return replace(self, sequences=sequences, targets=targets)

    def merged(self) -> Samples:
        """Merge equal samples and add their weights.

        The order of the result depends on the values of the samples alone. So a sample given twice
        and a sample of weight two give the same bits, in any order of the samples. A power of two
        that brings very large or very small targets near one changes no bit either.
        """
        groups: dict[bytes, list[int]] = {}
        (targets,) = moderate(self.targets)
        rows = [self.rows(np.array([k])) for k in range(len(self))]
        for k, sequence in enumerate(self.sequences):
            digest = blake2b(sequence.tobytes(), digest_size=16)
            digest.update(targets[rows[k]].tobytes())
            groups.setdefault(digest.digest(), []).append(k)
        members = [groups[digest] for digest in sorted(groups)]
        first = self.take(np.array([group[0] for group in members]))
        by_row = (zip(*(self.weights[rows[k]] for k in group), strict=True) for group in members)
        return replace(
            first,
            weights=np.array([fsum(same) for row in by_row for same in row]),
            counts=np.array([self.n_given(np.array(group)) for group in members]),
        )
