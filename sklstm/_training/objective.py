"""The function that solvers minimise: a network and a loss over data, plus a penalty.

    sum_i w_i loss_i / sum_i w_i  +  alpha / (2 W) * |weights|^2

The sums run over a batch, W is the weight of all training samples: the penalty is the same in every
batch, so all solvers and batch sizes share one minimum, and a sample of weight two is a sample
given twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import fsum
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config

from sklstm._network import kernels, segments
from sklstm._network.kernels.arenas import ArenaPool
from sklstm._network.losses import Loss
from sklstm._network.network import Masks, SequenceNetwork
from sklstm._network.parameters import Views
from sklstm._threads import Run
from sklstm.sequences import Sequences
from sklstm.sequences._packing import Packing

Array = NDArray[np.floating]
R = TypeVar("R")

#: Sequences of a part of a batch, where that leaves parts enough for two threads.
SHARD_ROWS = 64

#: Sequences that are predicted together: most, and so many where that leaves chunks enough for two
#: threads.
MOST_SEQUENCES = 256
CHUNK_SEQUENCES = 128

#: Of the working memory, what may be kept from one batch to the next.
KEPT_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Samples:
    """Sequences with encoded targets (rows,) or (rows, K) and weights (rows,).

    There is a row for each sequence or, with ``per_step``, for each of their stacked steps.
    """

    sequences: Sequences
    targets: NDArray[Any]
    weights: Array
    per_step: bool = False

    def __len__(self) -> int:
        return len(self.sequences)

    def rows(self, indices: NDArray[np.intp]) -> NDArray[np.intp]:
        """The rows of targets and weights that belong to the sequences at ``indices``."""
        return self.sequences.rows(indices) if self.per_step else indices

    @property
    def total_weight(self) -> float:
        return float(self.weights.sum())

    def take(self, indices: NDArray[np.intp]) -> Samples:
        rows, sequences = self.rows(indices), self.sequences.take(indices)
        return replace(
            self, sequences=sequences, targets=self.targets[rows], weights=self.weights[rows]
        )

    @property
    def stratifiable(self) -> bool:
        """Whether each sample has one label."""
        return self.targets.dtype.kind == "i" and not self.per_step

    def without_weightless(self) -> Samples:
        """The samples that weigh anything; of their steps, all."""
        if self.weights.all():
            return self
        weighs = self.weights > 0
        if self.per_step:
            weighs = np.logical_or.reduceat(weighs, self.sequences.starts)
        return self.take(np.flatnonzero(weighs))

    def astype(self, dtype: np.dtype[np.floating]) -> Samples:
        targets = self.targets
        if targets.dtype.kind == "f":
            targets = targets.astype(dtype, copy=False)
        return replace(self, sequences=self.sequences.astype(dtype), targets=targets)

    def merged(self) -> Samples:
        """Equal samples made one with their weights added, in an order fixed by content alone.

        Two data sets that mean the same then are the same, to the last bit: a sample given twice
        or with weight two, in whatever order.
        """
        groups: dict[bytes, list[int]] = {}
        rows = [self.rows(np.array([k])) for k in range(len(self))]
        for k, sequence in enumerate(self.sequences):
            digest = blake2b(sequence.tobytes(), digest_size=16)
            digest.update(self.targets[rows[k]].tobytes())
            groups.setdefault(digest.digest(), []).append(k)
        members = [groups[digest] for digest in sorted(groups)]
        first = self.take(np.array([group[0] for group in members]))
        by_row = (zip(*(self.weights[rows[k]] for k in group), strict=True) for group in members)
        return replace(first, weights=np.array([fsum(same) for row in by_row for same in row]))


class _Shard(NamedTuple):
    """A part of a batch, and what it is worked on with."""

    indices: NDArray[np.intp]
    batch_weight: float
    masks: Masks
    room: float  # bytes
    run: Run


class Objective:
    """Value and gradient over samples, shared out over threads.

    A batch is cut into shards by what is in it and their gradients are added in a fixed order, so
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
        memory = _working_memory()
        self._room = memory * (1 - KEPT_SHARE)
        self._arenas = ArenaPool(memory * KEPT_SHARE)

    def __call__(
        self,
        parameters: Array,
        indices: NDArray[np.intp] | None = None,
        rng: np.random.RandomState | None = None,
    ) -> tuple[float, Array, float]:
        """Value, gradient and weight of a batch; ``rng`` draws its dropout masks."""
        indices = np.arange(len(self.samples)) if indices is None else indices
        batch_weight = float(self.samples.weights[self.samples.rows(indices)].sum())
        masks: Masks = {}
        if rng is not None and self.network.stochastic:
            masks = self.network.draw_masks(rng, len(indices), parameters.dtype)

        lengths = self.samples.sequences.lengths[indices]
        shards = shards_of(lengths, self.network)
        room = self._room / len(shards)
        run = where_it_pays(self._run, self.network, lengths, len(shards))
        inner_run = _quietly(run) if len(shards) == 1 else map

        def on_shard(rows: NDArray[np.intp]) -> tuple[float, Array]:
            of_rows = {name: mask[rows] for name, mask in masks.items()}
            shard = _Shard(indices[rows], batch_weight, of_rows, room, inner_run)
            with _overflow_is_reported_later():
                return self._on_shard(parameters, shard)

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

    def _on_shard(self, parameters: Array, shard: _Shard) -> tuple[float, Array]:
        network, samples = self.network, self.samples
        indices, batch_weight, masks, room, run = shard
        packing = samples.sequences.packing(indices, parameters.dtype)
        masks = {name: mask[packing.order] for name, mask in masks.items()}
        rows = packing.rows if samples.per_step else indices[packing.order]
        share = (samples.weights[rows] / batch_weight).astype(parameters.dtype)
        gradient = np.zeros_like(parameters)
        params, views = network.layout.views(parameters), network.layout.views(gradient)

        def at_output(raw: Array) -> tuple[float, Array]:
            value, draw = self.loss.loss_gradient(samples.targets[rows], raw, share)
            return value, draw.astype(raw.dtype, copy=False)

        itemsize = parameters.itemsize
        length = segments.segment_length(network, packing, itemsize, room, training=True)
        if length < packing.n_steps:
            self._arenas.clear()
            raw, trace = segments.forward(network, params, packing, masks, length)
            value, draw = at_output(raw)
            segments.backward(trace, draw, views)
        else:
            with self._arenas.borrow():
                raw, cache = network.forward(params, packing.segment(), masks, run)
                value, draw = at_output(raw)
                network.backward(params, draw, cache, views, run=run)
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
    """What the read-out gives for each sequence, or for each stacked step, (rows, K)."""
    params = network.layout.views(parameters)
    indices = chunks_of(sequences.lengths, network)
    room = _working_memory() / min(len(indices), os.cpu_count() or 1)
    run = where_it_pays(run, network, sequences.lengths, len(indices))
    inner_run = _quietly(run) if len(indices) == 1 else map

    def on_chunk(indices: NDArray[np.intp]) -> Array:
        packing = sequences.packing(indices, parameters.dtype)
        raw = _predict(network, params, packing, room, inner_run)
        return packing.unpack(raw) if network.pooling is None else packing.restore(raw)

    return np.concatenate(list(run(on_chunk, indices)))


def _predict(
    network: SequenceNetwork, params: Views, packing: Packing, room: float, run: Run
) -> Array:
    itemsize = packing.dtype.itemsize
    length = segments.segment_length(network, packing, itemsize, room, training=False)
    if length < packing.n_steps:
        return segments.predict(network, params, packing, length)
    return network.predict(params, packing.segment(), run)


def where_it_pays(run: Run, network: SequenceNetwork, lengths: NDArray[np.intp], n: int) -> Run:
    """``run`` where threads save time with so long sequences in ``n`` parts, or ``map``."""
    rows = lengths.sum() / lengths.max() / n
    values = rows * min(layer.hidden for layer in network.layers)
    return run if kernels.threads_pay(_work(lengths, network), values) else map


def _work(lengths: NDArray[np.intp], network: SequenceNetwork) -> float:
    return float(lengths.sum()) * network.weights_a_step


def _working_memory() -> float:
    """Bytes that scikit-learn's configuration allows for activations."""
    return float(get_config()["working_memory"]) * 2**20


def chunks_of(lengths: NDArray[np.intp], network: SequenceNetwork) -> list[NDArray[np.intp]]:
    """Indices of neighbouring sequences that are predicted together."""
    n = len(lengths)
    if n > 2 * MOST_SEQUENCES:
        return np.array_split(np.arange(n), range(MOST_SEQUENCES, n, MOST_SEQUENCES))
    parts = _number_of_parts(lengths, network, CHUNK_SEQUENCES)
    return [np.arange(n)] if parts == 1 else np.array_split(np.arange(n), parts)


def _quietly(run: Run) -> Callable[..., Iterable[Any]]:
    """NumPy 1 does not hand on to another thread what ``errstate`` was told in this one."""

    def quiet_run(function: Callable[..., R], *items: Iterable[Any]) -> Iterable[R]:
        def quiet(*item: Any) -> R:
            with _overflow_is_reported_later():
                return function(*item)

        return run(quiet, *items)

    return quiet_run if run is not map else map


def shards_of(lengths: NDArray[np.intp], network: SequenceNetwork) -> list[NDArray[np.intp]]:
    """Positions in a batch, dealt out by falling length so that all shards have like work."""
    by_length = np.argsort(-lengths, kind="stable")
    n_shards = _number_of_parts(lengths, network, SHARD_ROWS)
    return [by_length[k::n_shards] for k in range(n_shards)]


def _number_of_parts(lengths: NDArray[np.intp], network: SequenceNetwork, rows: int) -> int:
    """An even number, or one for batches too small for two of what the kernels still do well."""
    n = len(lengths)
    if n < 2 * kernels.min_rows(_work(lengths, network)):
        return 1
    whole = max(2, n // rows)
    return whole + whole % 2


def _overflow_is_reported_later() -> np.errstate:
    """The solver refuses a value or gradient that is not finite, with a better message."""
    return np.errstate(over="ignore", invalid="ignore")
