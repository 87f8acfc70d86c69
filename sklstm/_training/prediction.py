"""Results of a network, chunk by chunk, within scikit-learn's working memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config

from sklstm._network import costs, segments
from sklstm._network.layer_states import WriteQuantity, up_to_layer, write_layer_states
from sklstm._network.network import SequenceNetwork
from sklstm._network.parameters import Views
from sklstm._network.segments import WriteSteps
from sklstm._threads import ParallelMap, serial_map
from sklstm.sequences import Sequences
from sklstm.sequences._packing import Packing
from sklstm.sequences._scaling import Scaling

R = TypeVar("R")
Array = NDArray[np.floating]
Indices = NDArray[np.intp]


def working_memory() -> float:
    """Return the memory for activations in bytes, from scikit-learn's configuration."""
    return float(get_config()["working_memory"]) * 2**20


def size_of(sequences: Sequences) -> costs.Size:
    """Return the size of all sequences."""
    return costs.Size(len(sequences), sequences.longest, len(sequences.values))


def raw_predictions(
    network: SequenceNetwork, parameters: Array, sequences: Sequences, parallel_map: ParallelMap
) -> Array:
    """Return the output of the network for each sequence or each step, shape (rows, n_outputs)."""
    arguments = network, parameters, sequences, parallel_map, working_memory()
    chunks = predict_chunks(*arguments, lambda _, raw: raw)
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def predict_chunks(
    network: SequenceNetwork,
    parameters: Array,
    sequences: Sequences,
    parallel_map: ParallelMap,
    memory: float,
    function: Callable[[Indices, Array], R],
    reproducible: bool = False,
) -> list[R]:
    """Call ``function`` with the indices and the raw predictions of each chunk.

    The chunks, and so the results, have the order of the sequences. If ``reproducible``, they have
    the same bits for any number of workers.
    """
    params = network.layout.views(parameters)

    def predict(chunk: _Chunk) -> R:
        raw, packing = _predict(network, params, chunk), chunk.packing
        raw = packing.unpack(raw) if network.pooling is None else packing.restore(raw)
        return function(chunk.indices, raw)

    return _map_chunks(
        predict, network, sequences, parameters.dtype, parallel_map, memory,
        reproducible=reproducible,
    )  # fmt: skip


def hidden_states(
    network: SequenceNetwork,
    parameters: Array,
    sequences: Sequences,
    parallel_map: ParallelMap,
    write: WriteSteps,
) -> None:
    """Write the hidden states of the last layer at each step.

    ``write`` is called with rows of ``sequences.values``, and several threads may call it.
    """
    params = network.layout.views(parameters)

    def compute(chunk: _Chunk) -> None:
        if chunk.needs_segments:
            length = chunk.segment_length
            segments.hidden_states(network, params, chunk.packing, length, write)
            return
        batch = chunk.packing.segment()
        steps = network.hidden_states(params, batch, parallel_map=chunk.direction_map).steps
        assert steps is not None
        write(batch.rows, steps)

    _map_chunks(compute, network, sequences, parameters.dtype, parallel_map, working_memory())


def input_gradients(
    network: SequenceNetwork,
    parameters: Array,
    sequences: Sequences,
    parallel_map: ParallelMap,
    gradient: Callable[[Array, Indices], Array],
    write: WriteSteps,
) -> None:
    """Write the gradient at the inputs, for tokens at the inputs of the first LSTM layer.

    Inputs are the values of ``sequences``, before they are scaled. ``gradient`` returns the
    gradient at given raw predictions, and gets their rows in the result of `raw_predictions`.
    ``write`` is called with rows of ``sequences.values``, and several threads may call both.
    """
    params = network.layout.views(parameters)
    if sequences.scaling is not None:
        write = _write_at_raw_inputs(write, sequences.scaling)

    def compute(chunk: _Chunk) -> None:
        packing, direction_map = chunk.packing, chunk.direction_map
        rows = packing.rows if network.pooling is None else chunk.indices[packing.order]
        if chunk.needs_segments:
            length = chunk.segment_length
            raw, forward_pass = segments.forward(network, params, packing, {}, length)
            segments.input_gradients(forward_pass, gradient(raw, rows), write)
            return
        batch = packing.segment()
        raw, cache = network.forward(params, batch, parallel_map=direction_map)
        draw = gradient(raw, rows)
        write(batch.rows, network.input_gradients(params, draw, cache, direction_map))

    arguments = network, sequences, parameters.dtype, parallel_map, working_memory()
    _map_chunks(compute, *arguments, training=True)


def _write_at_raw_inputs(write: WriteSteps, scaling: Scaling) -> WriteSteps:
    """Convert gradients at scaled inputs to gradients at raw inputs, and write them."""

    def converted(
        rows: Indices, values: Array, columns: slice = slice(None), add: bool = False
    ) -> None:
        write(rows, values / scaling.scale[columns], columns, add)

    return converted


def layer_states(
    network: SequenceNetwork,
    parameters: Array,
    sequences: Sequences,
    parallel_map: ParallelMap,
    layer: int,
    write: WriteQuantity,
) -> None:
    """Write hidden states, cell states and gates of a layer at each step.

    ``write`` is called with rows of ``sequences.values``, and several threads may call it.
    """
    params, part = network.layout.views(parameters), up_to_layer(network, layer)

    def compute(chunk: _Chunk) -> None:
        write_layer_states(part, params, chunk.packing, chunk.segment_length, write)

    # The kernels keep as much for each step as in training.
    arguments = part, sequences, parameters.dtype, parallel_map, working_memory()
    _map_chunks(compute, *arguments, training=True)


class _Chunk(NamedTuple):
    """Sequences that are computed together, and the resources to compute them."""

    indices: Indices
    packing: Packing
    segment_length: int
    direction_map: ParallelMap

    @property
    def needs_segments(self) -> bool:
        """Whether its activations do not fit into the memory at once."""
        return self.segment_length < self.packing.n_steps


def _map_chunks(
    function: Callable[[_Chunk], R],
    network: SequenceNetwork,
    sequences: Sequences,
    dtype: np.dtype[np.floating],
    parallel_map: ParallelMap,
    memory: float,
    training: bool = False,
    reproducible: bool = False,
) -> list[R]:
    """Call ``function`` for each chunk, serially if threads save no time.

    With ``training``, it computes gradients at the inputs. If ``reproducible``, the segments do not
    depend on the number of workers: the memory is divided as if all chunks were computed at once.
    """
    lengths, task = sequences.lengths, costs.Task(dtype.itemsize, training, need_inputs=training)
    size = size_of(sequences)
    chunks = costs.chunks(network, size)
    chunk_map = parallel_map
    if parallel_map.n_workers > 1 and not costs.threads_pay(network, size, len(chunks)):
        chunk_map = serial_map
    n_at_once = len(chunks) if reproducible else chunk_map.n_workers
    memory = costs.chunk_memory(memory, len(chunks), n_at_once)
    direction_map = chunk_map if len(chunks) == 1 else serial_map

    def compute(chunk: Indices) -> list[R]:
        single = len(chunks) == 1
        of_chunk = size if single else costs.Size.of(lengths[chunk])
        if costs.fits_at_once(network, of_chunk, task, memory):  # the usual case
            packing = sequences.packing(None if single else chunk, dtype)
            return [function(_Chunk(chunk, packing, packing.n_steps, direction_map))]
        parts = costs.divide_chunk(network, chunk, lengths, task, memory)
        return [compute_part(indices) for indices in parts]

    def compute_part(indices: Indices) -> R:
        packing = sequences.packing(indices, dtype)
        length = costs.segment_length(network, packing.lengths, task, memory)
        return function(_Chunk(indices, packing, length, direction_map))

    return list(chain.from_iterable(chunk_map(compute, chunks)))


def _predict(network: SequenceNetwork, params: Views, chunk: _Chunk) -> Array:
    """Return the raw predictions of one chunk, in packed order."""
    if chunk.needs_segments:
        return segments.predict(network, params, chunk.packing, chunk.segment_length)
    return network.predict(params, chunk.packing.segment(), chunk.direction_map)
