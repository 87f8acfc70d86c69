"""Results of a network, chunk by chunk, within scikit-learn's working memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config

from sklstm._network import costs, segments
from sklstm._network.network import SequenceNetwork
from sklstm._network.parameters import Views
from sklstm._network.segments import WriteSteps
from sklstm._threads import ParallelMap, serial_map
from sklstm.sequences import Sequences
from sklstm.sequences._packing import Packing

R = TypeVar("R")
Array = NDArray[np.floating]
Indices = NDArray[np.intp]


def working_memory() -> float:
    """Return the memory for activations in bytes, from scikit-learn's configuration."""
    return float(get_config()["working_memory"]) * 2**20


def raw_predictions(
    network: SequenceNetwork, parameters: Array, sequences: Sequences, parallel_map: ParallelMap
) -> Array:
    """Return the output of the network for each sequence or each step, shape (rows, n_outputs)."""
    arguments = network, parameters, sequences, parallel_map, working_memory()
    return np.concatenate(predict_chunks(*arguments, lambda _, raw: raw))


def predict_chunks(
    network: SequenceNetwork,
    parameters: Array,
    sequences: Sequences,
    parallel_map: ParallelMap,
    memory: float,
    function: Callable[[Indices, Array], R],
) -> list[R]:
    """Call ``function`` with the indices and the raw predictions of each chunk.

    The chunks, and so the results, have the order of the sequences.
    """
    params = network.layout.views(parameters)

    def predict(chunk: _Chunk) -> R:
        raw, packing = _predict(network, params, chunk), chunk.packing
        raw = packing.unpack(raw) if network.pooling is None else packing.restore(raw)
        return function(chunk.indices, raw)

    return _map_chunks(predict, network, sequences, parameters.dtype, parallel_map, memory)


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
        length = chunk.segment_length(network, training=False)
        if length < chunk.packing.n_steps:
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
    gradient: Callable[[Array], Array],
    write: WriteSteps,
) -> None:
    """Write the gradient at the inputs of the first LSTM layer.

    ``gradient`` returns the gradient at given raw predictions. ``write`` is called with rows of
    ``sequences.values``, and several threads may call it.
    """
    params = network.layout.views(parameters)

    def compute(chunk: _Chunk) -> None:
        packing, direction_map = chunk.packing, chunk.direction_map
        length = chunk.segment_length(network, training=True, need_inputs=True)
        if length < packing.n_steps:
            raw, forward_pass = segments.forward(network, params, packing, {}, length)
            segments.input_gradients(forward_pass, gradient(raw), write)
            return
        batch = packing.segment()
        raw, cache = network.forward(params, batch, parallel_map=direction_map)
        write(batch.rows, network.input_gradients(params, gradient(raw), cache, direction_map))

    _map_chunks(compute, network, sequences, parameters.dtype, parallel_map, working_memory())


class _Chunk(NamedTuple):
    """Sequences that are computed together, and the resources to compute them."""

    indices: Indices
    packing: Packing
    memory: float  # bytes for activations
    direction_map: ParallelMap

    def segment_length(
        self, network: SequenceNetwork, training: bool, need_inputs: bool = False
    ) -> int:
        """Return the number of steps that are computed together."""
        lengths, itemsize = self.packing.lengths, self.packing.dtype.itemsize
        return costs.segment_length(network, lengths, itemsize, self.memory, training, need_inputs)


def _map_chunks(
    function: Callable[[_Chunk], R],
    network: SequenceNetwork,
    sequences: Sequences,
    dtype: np.dtype[np.floating],
    parallel_map: ParallelMap,
    memory: float,
) -> list[R]:
    """Call ``function`` for each chunk, serially if threads save no time."""
    chunks = costs.chunks(network, sequences.lengths)
    pays = costs.threads_pay(network, sequences.lengths, len(chunks))
    chunk_map = parallel_map if pays else serial_map
    chunk_memory = costs.chunk_memory(memory, len(chunks), chunk_map.n_workers)
    direction_map = chunk_map if len(chunks) == 1 else serial_map

    def compute(indices: Indices) -> R:
        packing = sequences.packing(indices, dtype)
        return function(_Chunk(indices, packing, chunk_memory, direction_map))

    return list(chunk_map(compute, chunks))


def _predict(network: SequenceNetwork, params: Views, chunk: _Chunk) -> Array:
    """Return the raw predictions of one chunk, in packed order."""
    length = chunk.segment_length(network, training=False)
    if length < chunk.packing.n_steps:
        return segments.predict(network, params, chunk.packing, length)
    return network.predict(params, chunk.packing.segment(), chunk.direction_map)
