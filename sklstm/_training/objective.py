"""The function that solvers minimize: the mean loss of a network over samples, plus a penalty.

    sum_i w_i loss_i / W  +  alpha / (2 W) * |weights|^2

W is the total weight of the n training sequences. For a batch of m sequences, the sum of its losses
is divided by W m / n, the weight that is expected of m sequences, and not by the weight of these m.
So the value and gradient of a random batch are unbiased estimates, and all solvers and batch sizes
have the same minimum. A sample of weight two counts as a sample given twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network import costs, segments
from sklstm._network.kernels.arenas import ArenaPool
from sklstm._network.losses import Loss
from sklstm._network.network import Masks, SequenceNetwork
from sklstm._network.parameters import Views
from sklstm._threads import ParallelMap, serial_map
from sklstm._training.prediction import predict_chunks, working_memory
from sklstm._training.samples import Samples, Totals
from sklstm.sequences._packing import Packing

Array = NDArray[np.floating]
Indices = NDArray[np.intp]


class _Shard(NamedTuple):
    """One part of a batch, in packed order, and the resources to compute it."""

    packing: Packing
    rows: Indices  # of the samples' targets
    weights: Array  # of the rows, divided by the expected weight of the batch
    masks: Masks
    memory: float  # bytes for activations
    direction_map: ParallelMap


class NoiseLevels(NamedTuple):
    """Standard deviations of the noise of the inputs."""

    added: NDArray[np.float64]  # (D,)
    factors: NDArray[np.float64]  # (D,), of the factors of each sequence


class Noise(NamedTuple):
    """Noise of the sequences of a batch in their order; None if there is none of its kind."""

    added: Array | None = None  # one row for each step
    factors: Array | None = None  # one row for each sequence


class Draws(NamedTuple):
    """The random numbers of a batch."""

    masks: Masks  # one row for each sequence
    noise: Noise


class Batch(NamedTuple):
    """The sequences of a batch, and what all its shards need."""

    indices: Indices  # of the samples
    weight: float  # by which losses are divided
    masks: Masks  # one row for each sequence
    memory: float  # bytes for the activations of a shard
    noise: Noise = Noise()


#: Those of a batch without dropout and noise.
_NONE_DRAWN = Draws({}, Noise())

#: Value and gradient.
Result = tuple[float, Array]

#: Number of shards whose gradients are in memory at the same time, beside a few sums: at least, and
#: for each thread, so that threads hardly wait for each other.
SHARDS_AT_ONCE, SHARDS_PER_THREAD = 64, 8


def added(one: Result, other: Result) -> Result:
    """Add two values and gradients; the first gradient becomes the sum."""
    (value, gradient), (other_value, other_gradient) = one, other
    gradient += other_gradient
    return value + other_value, gradient


def sum_of_halves(results: list[Result]) -> Result:
    """Add the sums of both halves, each computed in this way."""
    if len(results) == 1:
        return results[0]
    return added(*map(sum_of_halves, halves(results)))


def halves(items: Sequence[Any]) -> tuple[Any, Any]:
    """Divide shards, or their results, in two: the order of additions depends on this alone."""
    middle = len(items) // 2
    return items[:middle], items[middle:]


class Objective:
    """Value and gradient of the objective, computed by several threads.

    A batch is divided into shards, which do not depend on the number of threads, and the gradients
    of the shards are added in a fixed order. So the result has the same bits for any number of
    threads.

    Parameters
    ----------
    network : SequenceNetwork
        The network, which holds no parameters.
    loss : Loss
        The loss of a raw prediction and a target.
    samples : Samples
        The training samples.
    alpha : float
        Strength of the penalty.
    parallel_map : ParallelMap
        The map that computes the shards.
    totals : Totals or None
        Weight and number of all training sequences, W and n; None if they are the samples.
    noise : NoiseLevels or None
        The noise of the inputs; None for no noise.
    """

    def __init__(
        self,
        network: SequenceNetwork,
        loss: Loss,
        samples: Samples,
        alpha: float,
        parallel_map: ParallelMap = serial_map,
        totals: Totals | None = None,
        noise: NoiseLevels | None = None,
    ) -> None:
        self.network = network
        self.loss = loss
        self.samples = samples
        self.alpha = alpha
        self._noise = noise
        self._parallel_map = parallel_map
        self._totals = samples.totals if totals is None else totals
        self._working_memory = working_memory()
        self._longest = samples.sequences.longest
        self._equal_lengths = samples.sequences.equal_lengths
        self._known_shards: dict[int, list[Indices]] = {}
        self._known_to_fit: dict[tuple[int, float, int], bool] = {}
        self._arenas = ArenaPool(costs.arena_memory(self._working_memory))

    def __call__(
        self,
        parameters: Array,
        indices: Indices | None = None,
        rng: np.random.RandomState | None = None,
    ) -> tuple[float, Array, int]:
        """Return value, gradient and number of sequences of a batch.

        ``rng`` draws the dropout masks and the noise.
        """
        n_batch = self.samples.n_given(indices)
        indices = np.arange(len(self.samples)) if indices is None else indices
        batch_weight = self.expected_weight(n_batch)
        draws = None
        if rng is not None and self.stochastic:
            draws = self.draw(rng, indices, parameters.dtype)
        with ignore_overflow():
            value, gradient = self._sum_of_shards(parameters, indices, batch_weight, draws)
            value += self.add_penalty(parameters, gradient)
        return value, gradient, n_batch

    @property
    def stochastic(self) -> bool:
        """Whether training draws dropout masks or noise."""
        return self.network.stochastic or self._noise is not None

    def draw(
        self, rng: np.random.RandomState, indices: Indices, dtype: np.dtype[np.floating]
    ) -> Draws:
        """Draw the dropout masks and the noise of a batch, in the order of ``indices``."""
        masks: Masks = {}
        lengths = self.samples.sequences.lengths[indices]
        if self.network.stochastic:
            masks = self.network.draw_masks(rng, len(lengths), dtype)
        if self._noise is None:
            return Draws(masks, Noise())
        # A generator of this kind is four times as fast as the RandomState.
        generator = np.random.Generator(np.random.PCG64(rng.randint(np.iinfo(np.int32).max)))
        return Draws(masks, draw_noise(self._noise, generator, lengths, dtype))

    def expected_weight(self, n_batch: int) -> float:
        """Return the weight that is expected of a batch with this number of sequences."""
        weight, n = self._totals
        return weight if n_batch == n else weight * n_batch / n

    def mean_loss(self, parameters: Array) -> float:
        """Return the weighted mean of the loss, without penalty and dropout.

        The arenas of another objective may keep their share of the working memory meanwhile.
        """
        samples = self.samples
        memory = self._working_memory - costs.arena_memory(self._working_memory)

        def loss_of_chunk(indices: Indices, raw: Array) -> float:
            rows = samples.rows(indices)
            with ignore_overflow():
                value, _ = self.loss.loss_gradient(
                    samples.targets[rows], raw, samples.weights[rows]
                )
            return value

        values = predict_chunks(
            self.network, parameters, samples.sequences, self._parallel_map, memory, loss_of_chunk,
            reproducible=True,  # it decides when early stopping ends training
        )  # fmt: skip
        return sum(values) / self._totals.weight

    def _sum_of_shards(
        self, parameters: Array, indices: Indices, batch_weight: float, draws: Draws | None
    ) -> tuple[float, Array]:
        """Return the batch's mean loss and its gradient."""
        shards = self._shards(indices)
        masks, noise = draws or _NONE_DRAWN
        batch = Batch(indices, batch_weight, masks, self.shard_memory(len(shards)), noise)
        shard_map = self._parallel_map
        if shard_map.n_workers > 1:
            size = costs.Size.of(self.samples.sequences.lengths[indices])
            if not costs.threads_pay(self.network, size, len(shards)):
                shard_map = serial_map
        return self.sum_of_shards(parameters, batch, shards, shard_map)

    def _shards(self, indices: Indices) -> list[Indices]:
        """Return the shards of a batch; those of equal lengths are computed once."""
        n, lengths = len(indices), self.samples.sequences.lengths
        if not self._equal_lengths:
            return costs.shards(self.network, lengths[indices])
        if n not in self._known_shards:
            self._known_shards[n] = costs.shards(self.network, lengths[indices])
        return self._known_shards[n]

    def shard_memory(self, n_shards: int) -> float:
        """Return the memory for the activations of one shard of a batch."""
        return costs.shard_memory(self._working_memory, n_shards)

    def sum_of_shards(
        self,
        parameters: Array,
        batch: Batch,
        shards: list[Indices],
        parallel_map: ParallelMap = serial_map,
    ) -> Result:
        """Return value and gradient of some shards of a batch, a part of those of the batch.

        A shard is given by its positions in the batch. The sum is that of :func:`sum_of_halves`,
        but holds few gradients at a time.
        """
        if len(shards) > max(SHARDS_AT_ONCE, SHARDS_PER_THREAD * parallel_map.n_workers):
            parts = halves(shards)
            return added(*(self.sum_of_shards(parameters, batch, k, parallel_map) for k in parts))
        direction_map = parallel_map if len(shards) == 1 else serial_map
        samples, params = self.samples, self.network.layout.views(parameters)

        def compute(positions: Indices) -> Result:
            packing = samples.sequences.packing(batch.indices[positions], parameters.dtype)
            order = positions[packing.order]
            packing = _with_noise(packing, batch, order, samples)
            rows = packing.rows if samples.per_step else batch.indices[order]
            weights = (samples.weights[rows] / batch.weight).astype(parameters.dtype)
            masks = {name: mask[order] for name, mask in batch.masks.items()}
            shard = _Shard(packing, rows, weights, masks, batch.memory, direction_map)
            gradient = np.zeros(parameters.shape, parameters.dtype)
            return self._add_gradient(params, shard, gradient), gradient

        return sum_of_halves(list(parallel_map(compute, shards)))

    def _add_gradient(self, params: Views, shard: _Shard, gradient: Array) -> float:
        """Add the gradient of a shard's part of the mean loss, and return the value."""
        grad = self.network.layout.views(gradient)
        if self._fits(len(shard.packing), shard.memory, gradient.itemsize):
            return self._at_once(params, shard, grad)
        task = costs.Task(gradient.itemsize, training=True)
        length = costs.segment_length(self.network, shard.packing.lengths, task, shard.memory)
        if length < shard.packing.n_steps:
            return self._by_segments(params, shard, length, grad)
        return self._at_once(params, shard, grad)

    def _fits(self, n: int, memory: float, itemsize: int) -> bool:
        """Return whether any shard of n sequences fits into the memory; computed once."""
        key = n, memory, itemsize
        if key not in self._known_to_fit:
            longest = np.full(n, self._longest)
            task = costs.Task(itemsize, training=True)
            found = costs.segment_length(self.network, longest, task, memory)
            self._known_to_fit[key] = found == self._longest
        return self._known_to_fit[key]

    def _at_once(self, params: Views, shard: _Shard, grad: Views) -> float:
        """Add the gradient of a shard, and return its value."""
        with self._arenas.borrow():
            batch, direction_map = shard.packing.segment(), shard.direction_map
            raw, cache = self.network.forward(params, batch, shard.masks, direction_map)
            value, draw = self._loss_gradient(raw, shard)
            self.network.backward(params, draw, cache, grad, parallel_map=direction_map)
        return value

    def _by_segments(self, params: Views, shard: _Shard, length: int, grad: Views) -> float:
        """Add the gradient of a shard, computed in segments, and return its value."""
        self._arenas.clear()
        raw, forward_pass = segments.forward(
            self.network, params, shard.packing, shard.masks, length
        )
        value, draw = self._loss_gradient(raw, shard)
        segments.backward(forward_pass, draw, grad)
        return value

    def _loss_gradient(self, raw: Array, shard: _Shard) -> tuple[float, Array]:
        """Return a shard's part of the mean loss, and its gradient at the raw predictions."""
        value, draw = self.loss.loss_gradient(self.samples.targets[shard.rows], raw, shard.weights)
        return value, draw.astype(raw.dtype, copy=False)

    def add_penalty(self, parameters: Array, gradient: Array) -> float:
        """Add the gradient of the penalty, and return its value."""
        if self.alpha == 0:
            return 0.0
        strength = self.alpha / self._totals.weight
        squares = 0.0
        for part in self.network.layout.weight_slices:
            weights, of_weights = parameters[part], gradient[part]
            squares += float(np.dot(weights, weights))
            of_weights += strength * weights
        return 0.5 * strength * squares


def _with_noise(packing: Packing, batch: Batch, order: Indices, samples: Samples) -> Packing:
    """Return the packing with the noise of its sequences, at these positions of the batch."""
    added, factors = batch.noise
    if factors is not None:
        packing = replace(packing, factors=factors[order])
    if added is None:
        return packing
    lengths = samples.sequences.lengths[batch.indices]
    starts = (np.cumsum(lengths) - lengths)[order]
    return replace(packing, added=added[starts[packing.row_of] + packing.step_of])


def draw_noise(
    levels: NoiseLevels,
    generator: np.random.Generator,
    lengths: Indices,
    dtype: np.dtype[np.floating],
) -> Noise:
    """Draw the noise of sequences with these lengths."""
    added = factors = None
    n_channels = len(levels.added)
    if levels.added.any():
        added = generator.standard_normal((int(lengths.sum()), n_channels), dtype)
        added *= levels.added.astype(dtype)
    if levels.factors.any():
        factors = generator.standard_normal((len(lengths), n_channels), dtype)
        factors *= levels.factors.astype(dtype)
        factors += 1
    return Noise(added, factors)


def ignore_overflow() -> np.errstate:
    """Do not warn of values that are not finite: the solver raises an error that says more."""
    return np.errstate(over="ignore", invalid="ignore")
