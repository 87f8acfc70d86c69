"""The objective of L-BFGS, computed by the workers of a cluster.

Each worker keeps the samples of consecutive shards. An evaluation sends the parameters to all
workers and gets sums of gradients back. One machine adds the gradients of all shards as a binary
tree: those of the first half, those of the second half, then both. Workers compute the largest
subtrees that their shards contain. So the result has the same bits if the processors are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sklstm._config import config_context, get_config
from sklstm._network import costs, kernels
from sklstm._network.losses import Loss
from sklstm._network.network import SequenceNetwork
from sklstm._threads import with_single_blas_thread
from sklstm._training.objective import (
    Batch,
    Draws,
    Indices,
    Noise,
    Objective,
    Result,
    added,
    halves,
    ignore_overflow,
)
from sklstm._training.samples import Samples

Array = NDArray[np.floating]
Evaluation = Callable[[Array], Result]

#: A subtree of the sum of all shards: its first shard, and the one after its last.
Subtree = tuple[int, int]


class KeptParts(Protocol):
    """Parts of the data of one fit, each kept by a worker."""

    def map(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call ``function(part, *arguments)`` for each part, where the part is."""

    def release(self) -> None:
        """Forget the parts."""


class Cluster(Protocol):
    """What a cluster does for the objective. Several threads may fit at the same time."""

    @property
    def n_threads(self) -> int:
        """Number of parts that it computes at the same time."""

    def keep(self, parts: Sequence[Any]) -> KeptParts:
        """Send each part to a worker, which keeps it."""


#: The cluster of the current block.
current_cluster: ContextVar[Cluster | None] = ContextVar("cluster", default=None)


def check_solver(solver: str) -> None:
    """Raise an error if a cluster shall compute the gradients of a solver that has minibatches."""
    if current_cluster.get() is not None and solver != "lbfgs":
        raise ValueError(
            'solver: expected "lbfgs", whose gradients the workers of a cluster share, got '
            f"{solver!r}; fit outside of the block of workers(client)"
        )


@contextmanager
def evaluation(objective: Objective, seed: int) -> Iterator[Evaluation]:
    """Yield a function of the parameters; ``seed`` draws the same masks and noise at each call.

    The workers of the cluster compute it, if there is one, and otherwise this process.
    """
    cluster = current_cluster.get()
    if cluster is None:
        yield lambda parameters: objective(parameters, None, np.random.RandomState(seed))[:2]
        return
    subtrees, parts = _parts(objective, seed, cluster.n_threads)
    kept = cluster.keep(parts)
    try:
        yield lambda parameters: _evaluate(objective, kept, subtrees, parameters)
    finally:
        kept.release()


def _evaluate(
    objective: Objective, kept: KeptParts, subtrees: list[Subtree], parameters: Array
) -> Result:
    totals = [total for totals in kept.map(_sums_of, parameters) for total in totals]
    with ignore_overflow():
        tree = 0, subtrees[-1][1]
        value, gradient = _sum_of_tree(dict(zip(subtrees, totals, strict=True)), tree)
        value += objective.add_penalty(parameters, gradient)
    return value, gradient


def subtrees_within(first: int, stop: int, tree: Subtree) -> list[Subtree]:
    """The largest subtrees whose shards are all from ``first`` to ``stop``, in their order."""
    start, end = tree
    if stop <= start or end <= first:
        return []
    if first <= start and end <= stop:
        return [tree]
    return [found for half in _halves(tree) for found in subtrees_within(first, stop, half)]


def _halves(tree: Subtree) -> list[Subtree]:
    return [(half.start, half.stop) for half in halves(range(*tree))]


def _sum_of_tree(totals: dict[Subtree, Result], tree: Subtree) -> Result:
    """The sum of a tree, in new memory: what a worker returns may be read-only."""
    if tree in totals:
        value, gradient = totals[tree]
        return value, gradient.copy()
    left, right = _halves(tree)
    other = totals[right] if right in totals else _sum_of_tree(totals, right)
    return added(_sum_of_tree(totals, left), other)


class _Settings(NamedTuple):
    """What all parts need."""

    network: dict[str, Any]
    loss: Loss
    batch_weight: float
    memory: float
    dtype: str
    kernels: str


class _Part:
    """Some subtrees of shards, and their samples. It is pickled without its objective."""

    def __init__(
        self, settings: _Settings, samples: Samples, trees: list[list[Indices]], draws: Draws
    ) -> None:
        self._arguments = settings, samples, trees, draws

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments

    @cached_property
    def _objective(self) -> Objective:
        settings, samples, _, _ = self._arguments
        return Objective(SequenceNetwork(**settings.network), settings.loss, samples, 0.0)

    def sums(self, parameters: Array) -> list[Result]:
        """The value and the gradient of each subtree."""
        settings, samples, trees, (masks, noise) = self._arguments
        indices = np.arange(len(samples))
        batch = Batch(indices, settings.batch_weight, masks, settings.memory, noise)
        objective = self._objective
        with config_context(kernels=settings.kernels), ignore_overflow():
            kernels.prepare(np.dtype(settings.dtype))
            return [objective.sum_of_shards(parameters, batch, shards) for shards in trees]


def _sums_of(part: _Part, parameters: Array) -> list[Result]:
    """The sums of a part, computed where it is kept."""
    return with_single_blas_thread(part.sums, parameters)


def _parts(objective: Objective, seed: int, n_threads: int) -> tuple[list[Subtree], list[_Part]]:
    """Consecutive shards for each thread of the cluster, and all their subtrees."""
    network, samples = objective.network, objective.samples
    dtype = np.dtype(np.float64)  # of L-BFGS
    shards = costs.shards(network, samples.sequences.lengths)
    draws = objective.draw(np.random.RandomState(seed), np.arange(len(samples)), dtype)
    settings = _Settings(
        network.settings(),
        objective.loss,
        objective.expected_weight(samples.n_given()),
        objective.shard_memory(len(shards)),
        dtype.name,
        get_config()["kernels"],
    )
    n_parts = min(n_threads, len(shards))
    bounds = [len(shards) * k // n_parts for k in range(n_parts + 1)]
    subtrees = [subtrees_within(*part, (0, len(shards))) for part in pairwise(bounds)]
    parts = [
        _part(settings, samples, [shards[slice(*tree)] for tree in trees], draws)
        for trees in subtrees
    ]
    return [tree for trees in subtrees for tree in trees], parts


def _part(settings: _Settings, samples: Samples, trees: list[list[Indices]], draws: Draws) -> _Part:
    """The shards of some subtrees with their samples, and the positions among these."""
    indices = np.concatenate([shard for tree in trees for shard in tree])
    kept = samples.take(indices)
    kept = replace(kept, sequences=replace(kept.sequences, frame=None))
    ends = np.cumsum([len(shard) for tree in trees for shard in tree]).tolist()
    positions = iter(map(np.arange, [0, *ends[:-1]], ends))
    renumbered = [[next(positions) for _ in tree] for tree in trees]
    masks = {name: mask[indices] for name, mask in draws.masks.items()}
    summands, factors = draws.noise
    noise = Noise(
        None if summands is None else summands[samples.sequences.rows(indices)],
        None if factors is None else factors[indices],
    )
    return _Part(settings, kept, renumbered, Draws(masks, noise))
