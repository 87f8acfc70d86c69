"""The network as ONNX operators: scaling or embedding, LSTM layers, pooling, output layer.

Shapes: ``n`` sequences, ``T`` time steps, ``D`` features, ``H`` hidden units, ``W`` the width of a
layer, ``K`` outputs. Inside, tensors are time-major: onnxruntime's LSTM accepts no other layout.
"""

from __future__ import annotations

import numpy as np

from sklstm.interop import _gates
from sklstm.interop._fitted import Direction, FittedNetwork
from sklstm.interop.onnx._graph import DOUBLE, FLOAT, INT32, INT64, Graph, Tensors


def add_network(graph: Graph, network: FittedNetwork, tensors: Tensors) -> str:
    """Add the network; return its raw predictions, (n, K) or, for each step, (n, T, K)."""
    mask = graph.mask(tensors, time_major=True)
    steps = _add_inputs(graph, network, tensors, mask)  # (T, n, D)
    lengths = None if tensors.lengths is None else graph.cast(tensors.lengths, INT32)
    last = ""
    for directions in network.layers:
        steps, last = _add_layer(graph, directions, steps, lengths)
    states = _add_pooling(graph, network, tensors, steps, last, mask)
    weight = graph.constant(network.dense_weight, np.float32, "dense_weight")
    bias = graph.constant(network.dense_bias, np.float32, "dense_bias")
    raw = graph.add("Add", graph.add("MatMul", states, weight), bias)
    return raw if network.pooling is not None else graph.add("Transpose", raw, perm=[1, 0, 2])


def _add_inputs(graph: Graph, network: FittedNetwork, tensors: Tensors, mask: str | None) -> str:
    """The inputs of the first LSTM layer, with zeros after the end of the sequences."""
    x = tensors.values
    if tensors.table:
        x = graph.add("Unsqueeze", x, graph.ints(2))
    x = graph.fill(mask, graph.add("Transpose", x, perm=[1, 0, 2]), 0.0)
    if network.embedding is not None:
        tokens = graph.add("Squeeze", graph.cast(x, INT64), graph.ints(2))
        vectors = graph.constant(network.embedding, np.float32, "embedding_weight")
        return graph.add("Gather", vectors, tokens, axis=0)
    if network.input_mean is None or network.input_scale is None:
        return x
    return add_scaling(graph, x, network.input_mean, network.input_scale)


def add_scaling(graph: Graph, x: str, mean: object, scale: object) -> str:
    """Standardise the last axis in double precision: a difference in single loses digits."""
    centered = graph.add("Sub", graph.cast(x, DOUBLE), graph.constant(mean, np.float64, "mean"))
    scaled = graph.add("Div", centered, graph.constant(scale, np.float64, "scale"))
    return graph.cast(scaled, FLOAT)


def _add_layer(
    graph: Graph, directions: tuple[Direction, ...], x: str, lengths: str | None
) -> tuple[str, str]:
    """Add a layer; return its hidden states (T, n, W), and those at the end (directions, n, H)."""
    n_directions, hidden = len(directions), directions[0].hidden
    inputs = [x, *_add_weights(graph, directions), *([] if lengths is None else [lengths])]
    steps, last = graph.add_many(
        "LSTM", *inputs, n_outputs=2,
        hidden_size=hidden, direction="bidirectional" if n_directions == 2 else "forward",
    )  # fmt: skip
    if n_directions == 1:
        return graph.add("Squeeze", steps, graph.ints(1)), last
    steps = graph.add("Transpose", steps, perm=[0, 2, 1, 3])
    return graph.add("Reshape", steps, graph.ints(0, 0, 2 * hidden)), last


def _add_weights(graph: Graph, directions: tuple[Direction, ...]) -> tuple[str, str, str]:
    """The weights of a layer with the axes and the order of gates of ONNX."""
    inputs, recurrent, biases = [], [], []
    for direction in directions:
        inputs.append(_gates.to_order(direction.weight_ih, _gates.ONNX).T)
        recurrent.append(_gates.to_order(direction.weight_hh, _gates.ONNX).T)
        bias = _gates.to_order(direction.bias, _gates.ONNX)
        biases.append(np.concatenate([bias, np.zeros_like(bias)]))
    return (
        graph.constant(np.stack(inputs), np.float32, "lstm_w"),
        graph.constant(np.stack(recurrent), np.float32, "lstm_r"),
        graph.constant(np.stack(biases), np.float32, "lstm_b"),
    )


def _add_pooling(
    graph: Graph, network: FittedNetwork, tensors: Tensors, steps: str, last: str, mask: str | None
) -> str:
    """The input of the output layer, (n, W) or (n, 2 W); for each step, (T, n, W)."""
    pooling = network.pooling
    if pooling is None:
        return steps
    if pooling == "last":
        width = sum(direction.hidden for direction in network.layers[-1])
        by_sequence = graph.add("Transpose", last, perm=[1, 0, 2])
        return graph.add("Reshape", by_sequence, graph.ints(0, width))
    parts = []
    if "mean" in pooling:
        parts.append(_add_mean(graph, tensors, steps, mask))
    if "max" in pooling:
        parts.append(graph.reduce("ReduceMax", graph.fill(mask, steps, -np.inf), axis=0))
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _add_mean(graph: Graph, tensors: Tensors, steps: str, mask: str | None) -> str:
    total = graph.reduce("ReduceSum", graph.fill(mask, steps, 0.0), axis=0)
    if tensors.lengths is None:
        return graph.add("Div", total, graph.cast(graph.n_steps(tensors.values), FLOAT))
    lengths = graph.add("Unsqueeze", tensors.lengths, graph.ints(1))
    return graph.add("Div", total, graph.cast(lengths, FLOAT))
