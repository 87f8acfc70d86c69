"""Groups of layers that process a segment of the steps together.

Layers with one direction are a single group: each segment passes through all of them. A
bidirectional layer is a group of its own, with two directions, because the next layer needs both of
them, which reach a segment at different times.

Shapes: ``n`` sequences of the batch, ``P`` packed rows of a segment, ``W`` the width of a group.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.hidden import HiddenStates
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.lstm import LayerCache, LayerState, LSTMLayer
from sklstm._network.network import Batch, Masks, SequenceNetwork, drop
from sklstm._network.parameters import Views

Array = NDArray[np.floating]
#: The state of each of several layers, or the gradient at it.
States = list[LayerState]


class DirectedLayers(NamedTuple):
    """Stacked layers that process the steps in the same direction."""

    layers: tuple[LSTMLayer, ...]
    reverse: bool
    columns: slice  # of the output of the group

    def zero_states(self, n: int, dtype: np.dtype[Any]) -> States:
        """Return states of ``n`` sequences."""
        return [
            [(np.zeros((n, layer.hidden), dtype), np.zeros((n, layer.hidden), dtype))]
            for layer in self.layers
        ]

    def forward(
        self, params: Views, x: Array, batch: Batch, masks: Masks, states: States
    ) -> tuple[Array, States, list[LayerCache]]:
        """Return the output of each step, the final states, and the caches for ``backward``."""
        layouts = (SlotLayout(batch.batch_sizes, self.reverse),)
        finals, caches = [], []
        for layer, state in zip(self.layers, states, strict=True):
            hidden, final, cache = layer.forward(params, x, layouts, masks, True, state)
            x = _steps(drop(hidden, layer, masks, batch))
            finals.append(final)
            caches.append(cache)
        return x, finals, caches

    def infer(
        self, params: Views, x: Array, batch: Batch, masks: Masks, states: States
    ) -> tuple[Array, States]:
        """Return the same as ``forward``, without caches."""
        if masks:
            return self.forward(params, x, batch, masks, states)[:2]
        layouts, finals = (SlotLayout(batch.batch_sizes, self.reverse),), []
        for layer, state in zip(self.layers, states, strict=True):
            hidden, final = layer.infer(params, x, layouts, True, state)
            x = _steps(hidden)
            finals.append(final)
        return x, finals

    def backward(
        self,
        params: Views,
        dy: Array | None,
        batch: Batch,
        masks: Masks,
        caches: list[LayerCache],
        grad: Views,
        dstates: States,
        need_inputs: bool,
    ) -> tuple[Array | None, States]:
        """Add the gradients of the parameters to ``grad``.

        Returns the gradients at the inputs and at the initial states. ``dy`` and ``dstates`` are
        those at the output and at the final states.
        """
        dinitials: States = []
        for layer, cache, dstate in zip(
            self.layers[::-1], caches[::-1], dstates[::-1], strict=True
        ):
            gradient = drop(HiddenStates(dy, None), layer, masks, batch)
            needed = need_inputs or layer is not self.layers[0]
            dy, dinitial = layer.backward(params, gradient, cache, grad, dstate, needed)
            dinitials.append(dinitial)
        return dy, dinitials[::-1]


def groups_of(network: SequenceNetwork) -> list[tuple[DirectedLayers, ...]]:
    """Divide the layers into groups, each with its directions."""
    layers = network.layers
    if not network.bidirectional:
        return [(DirectedLayers(tuple(layers), False, slice(0, layers[-1].width)),)]
    return [
        tuple(
            DirectedLayers(
                (LSTMLayer(name, layer.n_inputs, layer.hidden, False),),
                reverse=k == 1,
                columns=layer.columns(k),
            )
            for k, name in enumerate(layer.directions)
        )
        for layer in layers
    ]


def masks_of_directions(network: SequenceNetwork, masks: Masks) -> Masks:
    """Add the output mask of each direction to the masks."""
    result = dict(masks)
    for layer in network.layers:
        mask = masks.get(f"{layer.name}.output")
        if mask is not None:
            for k, name in enumerate(layer.directions):
                result[f"{name}.output"] = mask[:, layer.columns(k)]
    return result


def copy_states(states: States, n: int) -> States:
    """Copy the states of the first ``n`` sequences."""
    return [[(h[:n].copy(), c[:n].copy()) for h, c in state] for state in states]


def update_states(states: States, new_states: States) -> None:
    """Overwrite the states of the first sequences with the new states."""
    for state, new_state in zip(states, new_states, strict=True):
        for (h, c), (new_h, new_c) in zip(state, new_state, strict=True):
            h[: len(new_h)], c[: len(new_c)] = new_h, new_c


def _steps(hidden: HiddenStates) -> Array:
    assert hidden.steps is not None
    return hidden.steps
