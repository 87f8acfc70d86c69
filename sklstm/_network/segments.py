"""The network over long sequences, one segment of the steps at a time (checkpointing).

The forward pass keeps only the states at the beginning of each segment. The backward pass computes
each segment again from there (Chen et al. 2016), and passes the gradient at its beginning to the
segment before it. So activations take the memory of one segment, and of two states per segment.

The layers are divided into *groups*. Each group has one or two directions. Layers with one
direction are a single group: each segment passes through all of them. A bidirectional layer is a
group of its own, because the next layer needs both of its directions, which reach a segment at
different times. So each direction computes the groups below it again for each of its segments, and
in the backward pass also the groups above it.

Shapes: ``n`` sequences of the batch, ``P`` packed rows of a segment, ``W`` the width of a group,
``K`` outputs. Indices: ``g`` of a group, ``k`` of a direction, ``s`` of a segment.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sklstm._network import dense, embedding, pooling
from sklstm._network.hidden import HiddenStates
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.lstm import LayerCache, LayerState, LSTMLayer, join_directions
from sklstm._network.network import Batch, Masks, SequenceNetwork, drop
from sklstm._network.parameters import Views

Array = NDArray[np.floating]
#: The state of each of several layers, or the gradient at it.
States = list[LayerState]


class PackingPlan(Protocol):
    """The attributes of a batch whose steps are packed one segment at a time."""

    @property
    def batch_sizes(self) -> NDArray[np.intp]: ...  # (n_steps,), number of sequences at each step
    @property
    def lengths(self) -> NDArray[np.intp]: ...  # (n,), longest first
    @property
    def n_steps(self) -> int: ...
    def segment(self, first: int = 0, stop: int | None = None) -> Batch: ...


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


class SegmentedPass:
    """A forward pass over a batch in segments, and its values that the backward pass needs.

    ``initial_states[g][k][s]`` are the states of a direction at the beginning of a segment, and
    ``final_gradients[g][k][s]`` the gradients at its states at the end of the segment. Without
    ``need_backward``, the states of the last group are not kept.
    """

    def __init__(
        self,
        network: SequenceNetwork,
        params: Views,
        packing: PackingPlan,
        masks: Masks,
        length: int,
        need_backward: bool = True,
    ) -> None:
        self.network = network
        self.params = params
        self.packing = packing
        self.groups = _groups(network)
        self.dtype = params[f"{dense.NAME}.bias"].dtype
        self.need_backward = need_backward
        self.first_steps = list(range(0, packing.n_steps, length))
        self.n_sequences = packing.batch_sizes[self.first_steps].tolist()
        self.initial_states = self._empty_states()
        self.final_gradients = self._empty_states()
        self.pooled = network.initial_pooled(len(packing.lengths), params, need_backward)
        self.pooled_states: Array | None = None  # the input of the output layer
        self._masks = _masks_of_directions(network, masks)
        self._length = length
        self._n_rows = np.add.reduceat(packing.batch_sizes, self.first_steps).tolist()

    def _empty_states(self) -> list[list[dict[int, States]]]:
        return [[{} for _ in group] for group in self.groups]

    @property
    def last_group(self) -> int:
        """The index of the last group."""
        return len(self.groups) - 1

    def order(self, direction: DirectedLayers) -> list[int]:
        """Return the segments in the order of a direction."""
        segments = list(range(len(self.first_steps)))
        return segments[::-1] if direction.reverse else segments

    def batch(self, s: int) -> Batch:
        """Pack the steps of a segment."""
        return self.packing.segment(self.first_steps[s], self.first_steps[s] + self._length)

    def packed_rows(self, s: int) -> slice:
        """Return the packed rows of a segment in the whole batch."""
        start = sum(self._n_rows[:s])
        return slice(start, start + self._n_rows[s])

    def masks(self, s: int) -> Masks:
        """Return the dropout masks of the sequences in a segment."""
        return {name: mask[: self.n_sequences[s]] for name, mask in self._masks.items()}

    def mask_final(self, direction: DirectedLayers, last: Array) -> Array:
        """Multiply the final hidden states, or the gradient at them, by their dropout mask."""
        mask = self._masks.get(f"{direction.layers[-1].name}.output")
        return last if mask is None else last * mask

    def inputs(self, batch: Batch, s: int, last: int) -> list[Array]:
        """Return the input of each group up to the group ``last``, computed again."""
        xs = [self.network.inputs(self.params, batch.values)]
        masks = self.masks(s)
        for group, states in zip(self.groups[:last], self.initial_states[:last], strict=True):
            outputs = [
                direction.infer(self.params, xs[-1], batch, masks, states[k][s])[0]
                for k, direction in enumerate(group)
            ]
            xs.append(join_directions(outputs))
        return xs


# --- forward ---


def forward(
    network: SequenceNetwork, params: Views, packing: PackingPlan, masks: Masks, length: int
) -> tuple[Array, SegmentedPass]:
    """Compute ``SequenceNetwork.forward`` in segments of ``length`` steps."""
    forward_pass = SegmentedPass(network, params, packing, masks, length)
    return _forward(forward_pass), forward_pass


def predict(network: SequenceNetwork, params: Views, packing: PackingPlan, length: int) -> Array:
    """Compute ``SequenceNetwork.predict`` in segments of ``length`` steps."""
    return _forward(SegmentedPass(network, params, packing, {}, length, need_backward=False))


def _forward(forward_pass: SegmentedPass) -> Array:
    network, params = forward_pass.network, forward_pass.params
    raw = _initial_raw(forward_pass)
    for g in range(len(forward_pass.groups)):
        finals = [
            _forward_direction(forward_pass, g, k, raw) for k in range(len(forward_pass.groups[g]))
        ]
    if network.pooling is None or forward_pass.pooled is None:
        return raw
    pairs = zip(forward_pass.groups[-1], finals, strict=True)
    last = [forward_pass.mask_final(direction, states[-1][0][0]) for direction, states in pairs]
    lengths = forward_pass.packing.lengths
    states = pooling.finish(network.pooling, forward_pass.pooled, join_directions(last), lengths)
    forward_pass.pooled_states = states
    return dense.forward(params, states)


def _initial_raw(forward_pass: SegmentedPass) -> Array:
    """Return the bias for each packed row if each step has a prediction, else no rows."""
    pooled = forward_pass.network.pooling is not None
    n = 0 if pooled else int(forward_pass.packing.batch_sizes.sum())
    return np.tile(forward_pass.params[f"{dense.NAME}.bias"], (n, 1))


def _forward_direction(forward_pass: SegmentedPass, g: int, k: int, raw: Array) -> States:
    """Compute all segments of a direction, keep the initial states, and return the final ones."""
    direction = forward_pass.groups[g][k]
    states = direction.zero_states(len(forward_pass.packing.lengths), forward_pass.dtype)
    for s in forward_pass.order(direction):
        initial = _copy_states(states, forward_pass.n_sequences[s])
        if forward_pass.need_backward or g < forward_pass.last_group:
            forward_pass.initial_states[g][k][s] = initial
        _update_states(states, _forward_segment(forward_pass, g, k, s, initial, raw))
    return states


# One segment is one function call: the arrays of a segment are freed before the next one begins.


def _forward_segment(
    forward_pass: SegmentedPass, g: int, k: int, s: int, initial: States, raw: Array
) -> States:
    """Compute one segment of a direction, and return its final states."""
    direction, params = forward_pass.groups[g][k], forward_pass.params
    batch = forward_pass.batch(s)
    x = forward_pass.inputs(batch, s, g)[-1]
    steps, finals = direction.infer(params, x, batch, forward_pass.masks(s), initial)
    if g < forward_pass.last_group:
        return finals
    if forward_pass.pooled is None:
        weight = params[f"{dense.NAME}.weight"][direction.columns]
        raw[forward_pass.packed_rows(s)] += steps @ weight
    else:
        pooled = forward_pass.pooled.part(columns=direction.columns)
        pooling.add(pooled, steps, batch, forward_pass.first_steps[s], direction.reverse)
    return finals


# --- backward ---


def backward(forward_pass: SegmentedPass, draw: Array, grad: Views) -> None:
    """Add the gradients of all parameters; ``draw`` is the gradient at the raw predictions."""
    d = draw
    if forward_pass.pooled_states is not None:
        d = dense.backward(forward_pass.params, forward_pass.pooled_states, draw, grad)
    else:
        grad[f"{dense.NAME}.bias"] += draw.sum(axis=0)
    unused = {name: np.zeros_like(view) for name, view in grad.items()}
    for g in reversed(range(len(forward_pass.groups))):
        for k in range(len(forward_pass.groups[g])):
            _backward_direction(forward_pass, g, k, d, grad, unused)


def _backward_direction(
    forward_pass: SegmentedPass, g: int, k: int, d: Array, grad: Views, unused: Views
) -> None:
    """Compute the gradients of a direction, from its last segment to its first.

    ``d`` is the gradient at the input of the output layer if there is a pooling, else at the raw
    predictions. ``unused`` takes gradients of groups above: they are in ``grad`` already.
    """
    direction = forward_pass.groups[g][k]
    dstates = direction.zero_states(len(forward_pass.packing.lengths), forward_pass.dtype)
    if g == forward_pass.last_group and forward_pass.network.pooling == "last":
        dstates[-1][0][0][...] = forward_pass.mask_final(direction, d[:, direction.columns])
    for s in forward_pass.order(direction)[::-1]:
        dfinals = _copy_states(dstates, forward_pass.n_sequences[s])
        forward_pass.final_gradients[g][k][s] = dfinals
        _update_states(dstates, _backward_segment(forward_pass, g, k, s, d, grad, unused))


def _backward_segment(
    forward_pass: SegmentedPass, g: int, k: int, s: int, d: Array, grad: Views, unused: Views
) -> States:
    """Compute the gradients of one segment, and return those at its initial states."""
    direction, params = forward_pass.groups[g][k], forward_pass.params
    batch, masks = forward_pass.batch(s), forward_pass.masks(s)
    xs = forward_pass.inputs(batch, s, forward_pass.last_group)
    dy = _gradient_at_output(forward_pass, g, s, batch, xs, d, unused)
    initial = forward_pass.initial_states[g][k][s]
    steps, _, caches = direction.forward(params, xs[g], batch, masks, initial)
    if g == forward_pass.last_group and forward_pass.network.pooling is None:
        weight_gradient = steps.T @ d[forward_pass.packed_rows(s)]
        grad[f"{dense.NAME}.weight"][direction.columns] += weight_gradient
    dy = None if dy is None else dy[:, direction.columns]
    dfinals = forward_pass.final_gradients[g][k][s]
    embeds = g == 0 and forward_pass.network.embeds
    dx, dinitials = direction.backward(params, dy, batch, masks, caches, grad, dfinals, embeds)
    if embeds and dx is not None:
        embedding.backward(batch.values, dx, grad)
    return dinitials


def _gradient_at_output(
    forward_pass: SegmentedPass,
    g: int,
    s: int,
    batch: Batch,
    xs: list[Array],
    d: Array,
    unused: Views,
) -> Array | None:
    """Return the gradient at the output (P, W) of group ``g``; groups above are computed again."""
    dy = _gradient_at_last_group(forward_pass, s, batch, d)
    for above in range(forward_pass.last_group, g, -1):
        dxs = [
            _gradient_at_input(forward_pass, above, k, s, batch, xs[above], dy, unused)
            for k in range(len(forward_pass.groups[above]))
        ]
        dy = sum(dxs[1:], dxs[0])
    return dy


def _gradient_at_input(
    forward_pass: SegmentedPass,
    g: int,
    k: int,
    s: int,
    batch: Batch,
    x: Array,
    dy: Array | None,
    unused: Views,
) -> Array:
    """Return a direction's part of the gradient at the input of group ``g``."""
    direction, params = forward_pass.groups[g][k], forward_pass.params
    masks, initial = forward_pass.masks(s), forward_pass.initial_states[g][k][s]
    _, _, caches = direction.forward(params, x, batch, masks, initial)
    dy = None if dy is None else dy[:, direction.columns]
    dfinals = forward_pass.final_gradients[g][k][s]
    dx, _ = direction.backward(params, dy, batch, masks, caches, unused, dfinals, True)
    assert dx is not None
    return dx


def _gradient_at_last_group(
    forward_pass: SegmentedPass, s: int, batch: Batch, d: Array
) -> Array | None:
    """Return the gradient at the last group's output, or None if it is zero."""
    kind = forward_pass.network.pooling
    if kind is None or forward_pass.pooled is None:
        return d[forward_pass.packed_rows(s)] @ forward_pass.params[f"{dense.NAME}.weight"].T
    if not pooling.needs_steps(kind):
        return None
    active = slice(forward_pass.n_sequences[s])
    pooled, lengths = forward_pass.pooled.part(active), forward_pass.packing.lengths[active]
    first = forward_pass.first_steps[s]
    return pooling.backward(kind, d[active], pooled, batch, lengths, first).steps


# --- groups, masks and states ---


def _groups(network: SequenceNetwork) -> list[tuple[DirectedLayers, ...]]:
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


def _masks_of_directions(network: SequenceNetwork, masks: Masks) -> Masks:
    """Add the output mask of each direction to the masks."""
    result = dict(masks)
    for layer in network.layers:
        mask = masks.get(f"{layer.name}.output")
        if mask is not None:
            for k, name in enumerate(layer.directions):
                result[f"{name}.output"] = mask[:, layer.columns(k)]
    return result


def _copy_states(states: States, n: int) -> States:
    """Copy the states of the first ``n`` sequences."""
    return [[(h[:n].copy(), c[:n].copy()) for h, c in state] for state in states]


def _update_states(states: States, new_states: States) -> None:
    """Overwrite the states of the first sequences with the new states."""
    for state, new_state in zip(states, new_states, strict=True):
        for (h, c), (new_h, new_c) in zip(state, new_state, strict=True):
            h[: len(new_h)], c[: len(new_c)] = new_h, new_c


def _steps(hidden: HiddenStates) -> Array:
    assert hidden.steps is not None
    return hidden.steps
