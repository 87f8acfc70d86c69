"""Hidden states, cell states and gates of a layer at every step, one segment at a time.

Shapes: ``P`` packed rows of a segment, ``H`` hidden units of a direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sklstm._network import kernels
from sklstm._network.groups import DirectedLayers, States
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.lstm import LSTMLayer
from sklstm._network.network import Batch, SequenceNetwork
from sklstm._network.parameters import Views
from sklstm._network.segments import PackingPlan, Segment, SegmentedPass, forward_groups

Array = NDArray[np.floating]

#: The quantities, in the order in which they are written.
QUANTITIES = (
    "hidden_states",
    "cell_states",
    "input_gates",
    "forget_gates",
    "output_gates",
    "candidates",
)


class WriteQuantity(Protocol):
    """A function that writes a quantity (P, H) of a batch to the rows of its result."""

    def __call__(self, name: str, rows: NDArray[np.intp], values: Array, columns: slice) -> None:
        """Write to the columns of a direction."""


def up_to_layer(network: SequenceNetwork, layer: int) -> SequenceNetwork:
    """Return the part of the network whose last layer has this index; it has the same views."""
    sizes = network.hidden_layer_sizes[: layer + 1]
    changed = {"hidden_layer_sizes": sizes, "pooling": None, "n_outputs": 1}
    return SequenceNetwork(**{**network.settings(), **changed})


def write_layer_states(
    network: SequenceNetwork,
    params: Views,
    packing: PackingPlan,
    length: int,
    write: WriteQuantity,
) -> None:
    """Write all quantities of the last layer, in segments of ``length`` steps."""
    forward_pass = SegmentedPass(network, params, packing, {}, length)  # keeps initial states

    def write_segment(s: int, batch: Segment, direction: DirectedLayers, steps: Array) -> None:
        x = forward_pass.inputs(batch, s, forward_pass.last_group)[-1]
        k = forward_pass.groups[-1].index(direction)
        states = forward_pass.initial_states[-1][k][s]
        values = _quantities(params, direction, x, batch, states)
        for name, array in zip(QUANTITIES, values, strict=True):
            write(name, batch.rows, array, direction.columns)

    forward_groups(forward_pass, write_segment)


def _quantities(
    params: Views, direction: DirectedLayers, x: Array, batch: Batch, states: States
) -> Iterator[Array]:
    """Yield each quantity (P, H) of the last of the stacked layers.

    The gates are computed again from the hidden states, with ``z = x W_ih + h_before W_hh + b``.
    """
    *lower, last = direction.layers
    below = direction._replace(layers=tuple(lower))
    x, _ = below.infer(params, x, batch, {}, states[:-1])
    layout = SlotLayout(batch.batch_sizes, direction.reverse)
    weights, [(h0, c0)] = last.weights(params), states[-1]
    h, c, _ = kernels.forward(x, weights, layout, h0, c0, None)
    yield h[layout.outputs]
    yield c[layout.outputs]
    z = x @ weights.ih + h[layout.inputs] @ weights.hh + weights.bias
    for gate in range(3):
        yield _sigmoid(z[:, _columns(last, gate)])
    yield np.tanh(z[:, _columns(last, 3)])


def _columns(layer: LSTMLayer, gate: int) -> slice:
    return slice(gate * layer.hidden, (gate + 1) * layer.hidden)


def _sigmoid(z: Array) -> Array:
    half = z.dtype.type(0.5)
    return half + half * np.tanh(half * z)
