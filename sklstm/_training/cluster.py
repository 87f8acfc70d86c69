"""The objective of L-BFGS, computed by the workers of a cluster.

Each worker keeps the samples of some shards. An evaluation sends the parameters to all workers and
gets the sums of gradients of groups of shards back. The shards, their groups and the order of all
additions are those of one machine, and so are the bits of the result if the processors are alike.
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
    ignore_overflow,
)
from sklstm._training.samples import Samples

Array = NDArray[np.floating]
Evaluation = Callable[[Array], Result]


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
    kept = cluster.keep(_parts(objective, seed, cluster.n_threads))
    try:
        yield lambda parameters: _evaluate(objective, kept, parameters)
    finally:
        kept.release()


def _evaluate(objective: Objective, kept: KeptParts, parameters: Array) -> Result:
    found = kept.map(_sums_of, parameters)
    values = [value for values, _ in found for value in values]
    gradients = [gradient for _, gradients in found for gradient in gradients]
    gradients[0] = gradients[0].copy()  # what a worker returns may be read-only
    with ignore_overflow():
        value, gradient = added(list(zip(values, gradients, strict=True)))
        value += objective.add_penalty(parameters, gradient)
    return value, gradient


class _Settings(NamedTuple):
    """What all parts need."""

    network: dict[str, Any]
    loss: Loss
    batch_weight: float
    memory: float
    dtype: str
    kernels: str


class _Part:
    """Some groups of shards, and their samples. It is pickled without its objective."""

    def __init__(
        self, settings: _Settings, samples: Samples, groups: list[list[Indices]], draws: Draws
    ) -> None:
        self._arguments = settings, samples, groups, draws

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments

    @cached_property
    def _objective(self) -> Objective:
        settings, samples, _, _ = self._arguments
        return Objective(SequenceNetwork(**settings.network), settings.loss, samples, 0.0)

    def sums(self, parameters: Array) -> tuple[list[float], Array]:
        """The values and gradients of the groups, one row each."""
        settings, samples, groups, (masks, noise) = self._arguments
        indices = np.arange(len(samples))
        batch = Batch(indices, settings.batch_weight, masks, settings.memory, noise)
        objective = self._objective
        with config_context(kernels=settings.kernels), ignore_overflow():
            kernels.prepare(np.dtype(settings.dtype))
            sums = [added(objective.of_shards(parameters, batch, group)) for group in groups]
        return [value for value, _ in sums], np.stack([gradient for _, gradient in sums])


def _sums_of(part: _Part, parameters: Array) -> tuple[list[float], Array]:
    """The sums of a part, computed where it is kept."""
    return with_single_blas_thread(part.sums, parameters)


def _parts(objective: Objective, seed: int, n_threads: int) -> list[_Part]:
    """Consecutive groups of shards for each thread of the cluster."""
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
    groups = [shards[group] for group in costs.shard_groups(len(shards))]
    n_parts = min(n_threads, len(groups))
    bounds = [len(groups) * k // n_parts for k in range(n_parts + 1)]
    return [_part(settings, samples, groups[first:stop], draws) for first, stop in pairwise(bounds)]


def _part(
    settings: _Settings, samples: Samples, groups: list[list[Indices]], draws: Draws
) -> _Part:
    """The groups with the samples of their shards, and the positions among these."""
    indices = np.concatenate([shard for group in groups for shard in group])
    kept = samples.take(indices)
    kept = replace(kept, sequences=replace(kept.sequences, frame=None))
    ends = np.cumsum([len(shard) for group in groups for shard in group]).tolist()
    positions = iter(map(np.arange, [0, *ends[:-1]], ends))
    renumbered = [[next(positions) for _ in group] for group in groups]
    masks = {name: mask[indices] for name, mask in draws.masks.items()}
    added, factors = draws.noise
    noise = Noise(
        None if added is None else added[samples.sequences.rows(indices)],
        None if factors is None else factors[indices],
    )
    return _Part(settings, kept, renumbered, Draws(masks, noise))
