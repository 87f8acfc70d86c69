"""Raw predictions of a network, chunk by chunk, within scikit-learn's working memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config

from sklstm._network import costs, segments
from sklstm._network.network import SequenceNetwork
from sklstm._network.parameters import Views
from sklstm._threads import ParallelMap, serial_map
from sklstm.sequences import Sequences
from sklstm.sequences._packing import Packing

Array = NDArray[np.floating]


def raw_predictions(
    network: SequenceNetwork, parameters: Array, sequences: Sequences, parallel_map: ParallelMap
) -> Array:
    """Return the output of the network for each sequence or each step, shape (rows, n_outputs)."""
    params = network.layout.views(parameters)
    chunks, chunk_map = divide_into_chunks(network, sequences.lengths, parallel_map)
    memory = costs.chunk_memory(working_memory(), len(chunks), chunk_map.n_workers)
    direction_map = chunk_map if len(chunks) == 1 else serial_map

    def predict_chunk(indices: NDArray[np.intp]) -> Array:
        packing = sequences.packing(indices, parameters.dtype)
        raw = _predict(network, params, packing, memory, direction_map)
        return packing.unpack(raw) if network.pooling is None else packing.restore(raw)

    return np.concatenate(list(chunk_map(predict_chunk, chunks)))


def divide_into_chunks(
    network: SequenceNetwork, lengths: NDArray[np.intp], parallel_map: ParallelMap
) -> tuple[list[NDArray[np.intp]], ParallelMap]:
    """Return the indices of each chunk, and the map to use: serial if threads save no time."""
    chunks = costs.chunks(network, lengths)
    pays = costs.threads_pay(network, lengths, len(chunks))
    return chunks, parallel_map if pays else serial_map


def working_memory() -> float:
    """Return the memory for activations in bytes, from scikit-learn's configuration."""
    return float(get_config()["working_memory"]) * 2**20


def _predict(
    network: SequenceNetwork,
    params: Views,
    packing: Packing,
    memory: float,
    direction_map: ParallelMap,
) -> Array:
    """Return the raw predictions of one chunk, in packed order."""
    itemsize = packing.dtype.itemsize
    length = costs.segment_length(network, packing.lengths, itemsize, memory, training=False)
    if length < packing.n_steps:
        return segments.predict(network, params, packing, length)
    return network.predict(params, packing.segment(), direction_map)
