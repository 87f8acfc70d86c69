"""Costs of a batch: work, number of parts, memory, and whether threads save time.

Training divides a batch into shards, and prediction divides all sequences into chunks. Within a
shard or a chunk, long sequences are divided into segments of the steps, so that the activations fit
into the memory.

``lengths`` are the lengths of the sequences, shape (n_sequences,). Memory is given in bytes.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network import kernels
from sklstm._network.network import SequenceNetwork

Indices = NDArray[np.intp]

#: Number of sequences in a shard, if the batch has enough of them for two shards.
SHARD_SEQUENCES = 64

#: Number of sequences in a chunk: the maximum, and the number that is used if there are only a few
#: chunks, so that two threads get equal work.
MAX_CHUNK_SEQUENCES = 256
CHUNK_SEQUENCES = 128

#: BLAS uses one thread for fewer multiplications.
SINGLE_THREAD_SIZE = 2**13

#: Share of the working memory that training may keep allocated between batches.
ARENA_SHARE = 0.25

#: Memory that one step takes in each direction, in prediction and in training, whatever its number
#: of sequences: the kernels make views of the step's rows in each of their arrays.
BYTES_PER_STEP = (500, 4000)

#: Number of elements in the scratch memory of a kernel's backward pass: at most, and for each unit
#: of a packed row, if a segment has only a few rows.
SCRATCH_SIZE = 10 * 2**16
SCRATCH_PER_UNIT = 10

#: Number of arrays of the size of the LSTM layers' weights, in prediction and in training: copies
#: that the kernels arrange for their products, and gradients.
WEIGHT_ARRAYS = (2, 4)

#: Number of arrays with all outputs, if each step has a prediction: predictions and gradients.
OUTPUT_ARRAYS = 5


# --- work and threads ---


class Size(NamedTuple):
    """The size of some sequences, computed once: a prediction of one sequence is that short."""

    n: int
    n_steps: int  # of the longest one
    n_rows: int

    @classmethod
    def of(cls, lengths: Indices) -> Size:
        return cls(len(lengths), int(lengths.max()), int(lengths.sum()))


def threads_pay(network: SequenceNetwork, size: Size, n_parts: int) -> bool:
    """Return whether threads save time if the sequences are divided into ``n_parts``."""
    rows_per_step = size.n_rows / size.n_steps / n_parts
    values = rows_per_step * min(layer.hidden for layer in network.layers)
    return kernels.threads_pay(_work(network, size), values)


def _work(network: SequenceNetwork, size: Size) -> float:
    """Return the number of steps times the number of weights that each step multiplies."""
    return float(size.n_rows) * network.weights_per_step


def blas_has_threads(network: SequenceNetwork, size: Size, itemsize: int) -> bool:
    """Return whether BLAS may use several threads for predictions, unless it is limited.

    There is one prediction for each sequence. In float64, it may also add up the squares of the
    inputs with several threads, see ``limits.all_accepted``.
    """
    if kernels.uses_blas():
        return True
    n = _chunk_size(network, size)
    n_values = n * size.n_steps * network.n_inputs
    n_weights = prod(network.layout.shapes["dense.weight"])
    return n * n_weights > SINGLE_THREAD_SIZE or (itemsize == 8 and n_values > SINGLE_THREAD_SIZE)


# --- parts ---


def shards(network: SequenceNetwork, lengths: Indices) -> list[Indices]:
    """Return the positions in the batch of each shard's sequences.

    Sequences are assigned in turn, longest first, so that all shards have similar work. The shards
    depend on the batch alone, never on the number of workers.
    """
    n_shards = _n_parts(network, Size.of(lengths), SHARD_SEQUENCES)
    if n_shards == 1:
        return [np.arange(len(lengths))]  # sorted by length when they are packed
    longest_first = np.argsort(-lengths, kind="stable")
    return [longest_first[k::n_shards] for k in range(n_shards)]


def chunks(network: SequenceNetwork, size: Size) -> list[Indices]:
    """Return the indices of the sequences of each chunk, which are neighbours."""
    bounds = [*range(0, size.n, _chunk_size(network, size)), size.n]
    return [np.arange(begin, end) for begin, end in pairwise(bounds)]


def _chunk_size(network: SequenceNetwork, size: Size) -> int:
    """Return the number of sequences of each chunk; the last one may have fewer."""
    if size.n > 2 * MAX_CHUNK_SEQUENCES:
        return MAX_CHUNK_SEQUENCES
    n_chunks = _n_parts(network, size, CHUNK_SEQUENCES)
    if size.n <= MAX_CHUNK_SEQUENCES and not threads_pay(network, size, n_chunks):
        return size.n  # several chunks would only repeat the work that is done once a chunk
    return -(-size.n // n_chunks)


def _n_parts(network: SequenceNetwork, size: Size, n_sequences: int) -> int:
    """Return the number of parts with about ``n_sequences`` each.

    It is even, so that two threads get equal work. A batch is not divided if its halves would be
    too small for the kernels to be efficient.
    """
    if size.n == 1 or size.n < 2 * kernels.min_rows(_work(network, size)):
        return 1
    n_parts = max(2, size.n // n_sequences)
    return n_parts + n_parts % 2


# --- memory ---


def arena_memory(working_memory: float) -> float:
    """Return the memory that training may keep allocated between batches."""
    return working_memory * ARENA_SHARE


def shard_memory(working_memory: float, n_shards: int) -> float:
    """Return the memory for the activations of one shard.

    It does not depend on the number of workers: other segments would change the last bits of the
    gradient, and training must give the same bits for any ``n_jobs``.
    """
    return (working_memory - arena_memory(working_memory)) / n_shards


def chunk_memory(working_memory: float, n_chunks: int, n_workers: int) -> float:
    """Return the memory for the activations of one chunk.

    It is divided among the chunks that are computed at the same time. So if memory is tight, the
    segments depend on the number of workers. The last bits may then differ with a mean pooling,
    whose sums are added segment by segment, and for predictions of each step.
    """
    return working_memory / min(n_chunks, n_workers)


def fits_at_once(network: SequenceNetwork, size: Size, task: Task, memory: float) -> bool:
    """Return whether the activations of all steps fit into ``memory``."""
    return _Needs.of(network, size, task).whole <= memory


def divide_chunk(
    network: SequenceNetwork, chunk: Indices, lengths: Indices, task: Task, memory: float
) -> list[Indices]:
    """Divide a chunk into as few parts as possible, such that segments of each fit into ``memory``.

    ``chunk`` are indices into ``lengths``.
    """
    parts = [chunk]
    while len(parts) < len(chunk):
        if all(_Needs.of(network, Size.of(lengths[part]), task).least <= memory for part in parts):
            break
        parts = np.array_split(chunk, min(2 * len(parts), len(chunk)))
    return parts


def segment_length(network: SequenceNetwork, lengths: Indices, task: Task, memory: float) -> int:
    """Return the number of steps of a segment, such that its activations fit into ``memory``.

    With L steps per segment and T steps in total, activations take memory for L rows of each
    sequence, and the states at the beginning of T / L segments are kept. If no L fits, the one that
    needs the least memory is returned. It grows with the square root of T.
    """
    size = Size.of(lengths)
    n_steps, needs = size.n_steps, _Needs.of(network, size, task)
    if needs.whole <= memory:
        return n_steps
    found = [_longest(memory - fixed, step, needs.states) for fixed, step in needs.segments]
    length = max(found) or sqrt(needs.states / needs.segments[-1][1])
    return min(max(int(length), 1), n_steps)


class Task(NamedTuple):
    """What is computed: with the backward pass or not, and with the gradient at the inputs."""

    itemsize: int
    training: bool
    need_inputs: bool = False


class _Needs(NamedTuple):
    """The memory that a batch needs: ``whole`` at once, or less in segments.

    A segment of L steps needs ``fixed + L * step + states / L``. ``segments`` has two pairs of
    ``fixed`` and ``step``, with the scratch memory of a long segment in ``fixed`` or with that of a
    short one in ``step``. Segments that fit according to one of the pairs fit.
    """

    whole: float
    segments: tuple[tuple[float, float], tuple[float, float]]
    states: float

    @classmethod
    def of(cls, network: SequenceNetwork, size: Size, task: Task) -> _Needs:
        n, n_steps, n_rows = size
        itemsize, training, _ = task
        row = _elements_per_row(network, task) * itemsize + 5 * np.dtype(np.intp).itemsize
        n_directions = len(network.layers[0].directions)
        step = BYTES_PER_STEP[training] * n_directions
        scratch = SCRATCH_SIZE * itemsize * training
        hidden = max(layer.hidden for layer in network.layers)
        scratch_row = SCRATCH_PER_UNIT * hidden * itemsize * training
        fixed = WEIGHT_ARRAYS[training] * network.weights_per_step * itemsize
        if network.pooling is None:
            fixed += OUTPUT_ARRAYS * n_rows * network.n_outputs * itemsize
        # Both directions of the whole batch may be computed at the same time.
        whole = fixed + n_directions * min(scratch, n_rows * scratch_row)
        whole += n_rows * row + n_steps * step
        segments = (
            (fixed + scratch, step + n * row),
            (fixed, step + n * (row + scratch_row)),
        )
        states = n * n_steps * _elements_of_states(network, training) * itemsize
        return cls(whole, segments, states)

    @property
    def least(self) -> float:
        """The least memory that the batch needs, with a margin of a step: L is a whole number."""
        by_segments = [fixed + 2 * sqrt(self.states * step) + step for fixed, step in self.segments]
        return min(self.whole, *by_segments)


def _longest(memory: float, step: float, states: float) -> float:
    """Return the largest L with ``L * step + states / L <= memory``, or 0 if there is none."""
    discriminant = memory**2 - 4 * step * states
    if memory <= 0 or discriminant < 0:
        return 0.0
    return (memory + sqrt(discriminant)) / (2 * step)


def _elements_of_states(network: SequenceNetwork, training: bool) -> int:
    """Return the number of array elements of the states that are kept for each segment.

    These are hidden and cell state, and for training the gradients at them.
    """
    widths = [layer.width for layer in network.layers]
    if training:
        return 4 * sum(widths)
    return 2 * sum(widths[:-1]) if network.bidirectional else 0


def _elements_per_row(network: SequenceNetwork, task: Task) -> int:
    """Return the number of array elements that layers and pooling keep for each packed row.

    It is an upper bound if hidden states are pooled: predictions then store the steps of the last
    layer in segments alone, and training with compiled kernels neither these nor their gradients.
    """
    n_inputs = network.layers[0].n_inputs
    if not task.training:
        return n_inputs + 2 * max(layer.width for layer in network.layers)
    per_unit = kernels.values_per_unit()
    cached = [
        len(layer.directions) * (per_unit * _padded(layer.hidden) + layer.n_inputs + 1)
        for layer in network.layers
    ]
    gradients = 3 * n_inputs * (task.need_inputs or network.embeds)
    return n_inputs + gradients + sum(cached) + 2 * sum(layer.width for layer in network.layers)


def _padded(hidden: int) -> int:
    """Return the number of units with padding: compiled kernels use vectors of up to 16 numbers."""
    return -(-hidden // 16) * 16
