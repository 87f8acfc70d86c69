"""The function that solvers minimise: a network and a loss over data, plus a penalty.

    sum_i w_i loss_i / sum_i w_i  +  alpha / (2 W) * |weights|^2

The sums run over a batch, W is the weight of all training samples: the penalty is the same in every
batch, so all solvers and batch sizes share one minimum, and a sample of weight two is a sample
given twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._network.losses import Loss
from sklstm._network.network import Masks, SequenceNetwork
from sklstm._threads import Run
from sklstm.sequences import Sequences

Array = NDArray[np.floating]

#: Smallest part of a batch that is worth a thread of its own.
SHARD_ROWS = 64

#: Sequences that are predicted together.
CHUNK_SEQUENCES = 256


@dataclass(frozen=True)
class Samples:
    """Sequences with encoded targets (n,) or (n, K) and weights (n,)."""

    sequences: Sequences
    targets: NDArray[Any]
    weights: Array

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def total_weight(self) -> float:
        return float(self.weights.sum())

    def take(self, indices: NDArray[np.intp]) -> Samples:
        return Samples(self.sequences.take(indices), self.targets[indices], self.weights[indices])

    def astype(self, dtype: np.dtype[np.floating]) -> Samples:
        targets = self.targets
        if targets.dtype.kind == "f":
            targets = targets.astype(dtype, copy=False)
        return Samples(self.sequences.astype(dtype), targets, self.weights)

    def merged(self) -> Samples:
        """Equal samples made one with their weights added, in an order fixed by content alone.

        Two data sets that mean the same then are the same, to the last bit: a sample given twice
        or with weight two, in whatever order.
        """
        groups: dict[bytes, list[int]] = {}
        for k, (sequence, target) in enumerate(zip(self.sequences, self.targets, strict=True)):
            digest = blake2b(sequence.tobytes(), digest_size=16)
            digest.update(target.tobytes())
            groups.setdefault(digest.digest(), []).append(k)
        members = [groups[digest] for digest in sorted(groups)]
        weights = np.array([fsum(self.weights[group]) for group in members])
        return replace(self.take(np.array([group[0] for group in members])), weights=weights)


class Objective:
    """Value and gradient over samples, shared out over threads.

    A batch is cut into shards by its size alone and their gradients are added in a fixed order, so
    that the number of threads never changes a bit of the result.
    """

    def __init__(
        self, network: SequenceNetwork, loss: Loss, samples: Samples, alpha: float, run: Run = map
    ) -> None:
        self.network = network
        self.loss = loss
        self.samples = samples
        self.alpha = alpha
        self._run = run
        self._total_weight = samples.total_weight

    def __call__(
        self,
        parameters: Array,
        indices: NDArray[np.intp] | None = None,
        rng: np.random.RandomState | None = None,
    ) -> tuple[float, Array, float]:
        """Value, gradient and weight of a batch; ``rng`` draws its dropout masks."""
        indices = np.arange(len(self.samples)) if indices is None else indices
        weights = self.samples.weights[indices]
        batch_weight = float(weights.sum())
        share = (weights / batch_weight).astype(parameters.dtype)
        masks: Masks = {}
        if rng is not None and self.network.stochastic:
            masks = self.network.draw_masks(rng, len(indices), parameters.dtype)

        def on_shard(rows: NDArray[np.intp]) -> tuple[float, Array]:
            of_rows = {name: mask[rows] for name, mask in masks.items()}
            with _overflow_is_reported_later():
                return self._shard(parameters, indices[rows], share[rows], of_rows)

        shards = _shards(self.samples.sequences.lengths[indices])
        run = self._run if len(shards) > 1 else map
        results = list(run(on_shard, shards))
        value, gradient = results[0]
        with _overflow_is_reported_later():
            for more_value, more_gradient in results[1:]:
                value += more_value
                gradient += more_gradient
            value += self._add_penalty(parameters, gradient)
        return value, gradient, batch_weight

    def mean_loss(self, parameters: Array) -> float:
        """Weighted mean of the loss alone, without dropout."""
        raw = raw_predictions(self.network, parameters, self.samples.sequences, self._run)
        with _overflow_is_reported_later():
            value, _ = self.loss.loss_gradient(self.samples.targets, raw, self.samples.weights)
        return value / self._total_weight

    def _shard(
        self, parameters: Array, indices: NDArray[np.intp], share: Array, masks: Masks
    ) -> tuple[float, Array]:
        params = self.network.layout.views(parameters)
        batch = self.samples.sequences.pack(indices, parameters.dtype)
        of_packed = {name: mask[batch.order] for name, mask in masks.items()}
        raw, cache = self.network.forward(params, batch, of_packed)
        targets = self.samples.targets[indices][batch.order]
        value, draw = self.loss.loss_gradient(targets, raw, share[batch.order])
        gradient = np.zeros_like(parameters)
        views = self.network.layout.views(gradient)
        self.network.backward(params, draw.astype(raw.dtype, copy=False), cache, views)
        return value, gradient

    def _add_penalty(self, parameters: Array, gradient: Array) -> float:
        """Add the penalty's gradient, return its value."""
        if self.alpha == 0:
            return 0.0
        strength = self.alpha / self._total_weight
        squares = 0.0
        layout = self.network.layout
        pairs = zip(layout.weights(parameters), layout.weights(gradient), strict=True)
        for weights, part in pairs:
            squares += float(np.dot(weights, weights))
            part += strength * weights
        return 0.5 * strength * squares


def raw_predictions(
    network: SequenceNetwork, parameters: Array, sequences: Sequences, run: Run
) -> Array:
    """What the read-out gives for each sequence, (n, K), in their order."""
    params = network.layout.views(parameters)

    def on_chunk(indices: NDArray[np.intp]) -> Array:
        batch = sequences.pack(indices, parameters.dtype)
        return batch.restore(network.predict(params, batch))

    return np.concatenate(list(run(on_chunk, chunks(len(sequences)))))


def chunks(n: int) -> list[NDArray[np.intp]]:
    """Indices of neighbouring sequences that are predicted together."""
    return np.array_split(np.arange(n), range(CHUNK_SEQUENCES, n, CHUNK_SEQUENCES))


def _overflow_is_reported_later() -> np.errstate:
    """The solver refuses a value or gradient that is not finite, with a better message."""
    return np.errstate(over="ignore", invalid="ignore")


def _shards(lengths: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Positions in a batch, dealt out by falling length so that all shards have like work."""
    by_length = np.argsort(-lengths, kind="stable")
    n_shards = max(1, len(lengths) // SHARD_ROWS)
    return [by_length[k::n_shards] for k in range(n_shards)]
