"""The network over long sequences, one segment of the steps at a time (checkpointing).

The forward pass keeps only the states at the beginning of each segment. The backward pass computes
each segment again from there (Chen et al. 2016), and passes the gradient at its beginning to the
segment before it. So activations take the memory of one segment, and of two states per segment.

The layers are divided into groups (see ``groups``). The two directions of a bidirectional group
reach a segment at different times. So each direction computes the groups below it again for each of
its segments, and in the backward pass also the groups above it.

Shapes: ``n`` sequences of the batch, ``P`` packed rows of a segment, ``W`` the width of a group,
``K`` outputs. Indices: ``g`` of a group, ``k`` of a direction, ``s`` of a segment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sklstm._network import dense, embedding, pooling
from sklstm._network.groups import (
    DirectedLayers,
    States,
    copy_states,
    groups_of,
    masks_of_directions,
    update_states,
)
from sklstm._network.kernels.pooled import add_steps, gradient_at_steps
from sklstm._network.lstm import join_directions
from sklstm._network.network import Batch, Masks, SequenceNetwork
from sklstm._network.parameters import Views

Array = NDArray[np.floating]
_ALL = slice(None)


class Segment(Batch, Protocol):
    """A packed batch, and where its rows are outside of it."""

    @property
    def rows(self) -> NDArray[np.intp]: ...  # (P,), the row of each packed row in a result


class WriteSteps(Protocol):
    """A function that writes values of each packed row of a batch to the rows of a result."""

    def __call__(
        self, rows: NDArray[np.intp], values: Array, columns: slice = _ALL, add: bool = False
    ) -> None:
        """Write to some of the columns, or add to them."""


class PackingPlan(Protocol):
    """The attributes of a batch whose steps are packed one segment at a time."""

    @property
    def batch_sizes(self) -> NDArray[np.intp]: ...  # (n_steps,), number of sequences at each step
    @property
    def lengths(self) -> NDArray[np.intp]: ...  # (n,), longest first
    @property
    def n_steps(self) -> int: ...
    def segment(self, first: int = 0, stop: int | None = None) -> Segment: ...


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
        self.groups = groups_of(network)
        self.dtype = params[f"{dense.NAME}.bias"].dtype
        self.need_backward = need_backward
        self.first_steps = list(range(0, packing.n_steps, length))
        self.n_sequences = packing.batch_sizes[self.first_steps].tolist()
        self.initial_states = self._empty_states()
        self.final_gradients = self._empty_states()
        self.pooled = network.initial_pooled(len(packing.lengths), params, need_backward)
        self.pooled_states: Array | None = None  # the input of the output layer
        self._masks = masks_of_directions(network, masks)
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

    def batch(self, s: int) -> Segment:
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


def hidden_states(
    network: SequenceNetwork,
    params: Views,
    packing: PackingPlan,
    length: int,
    write: WriteSteps,
) -> None:
    """Write the hidden states of the last layer at each step, (P, W)."""

    def write_segment(s: int, batch: Segment, direction: DirectedLayers, steps: Array) -> None:
        write(batch.rows, steps, direction.columns)

    forward_pass = SegmentedPass(network, params, packing, {}, length, need_backward=False)
    forward_groups(forward_pass, write_segment)


#: Called with the hidden states of the last group in each segment and direction.
UseSteps = Callable[[int, Segment, DirectedLayers, Array], None]


def _forward(forward_pass: SegmentedPass) -> Array:
    """Return the raw predictions."""
    network, params, pooled = forward_pass.network, forward_pass.params, forward_pass.pooled
    raw = _initial_raw(forward_pass)

    def add_to_raw(s: int, batch: Segment, direction: DirectedLayers, steps: Array) -> None:
        weight = params[f"{dense.NAME}.weight"][direction.columns]
        raw[forward_pass.packed_rows(s)] += steps @ weight

    def pool(s: int, batch: Segment, direction: DirectedLayers, steps: Array) -> None:
        assert pooled is not None
        part = pooled.part(columns=direction.columns)
        first = forward_pass.first_steps[s]
        add_steps(part, steps, batch.batch_sizes, first, direction.reverse)

    finals = forward_groups(forward_pass, add_to_raw if pooled is None else pool)
    if network.pooling is None or pooled is None:
        return raw
    pairs = zip(forward_pass.groups[-1], finals, strict=True)
    last = [forward_pass.mask_final(direction, states[-1][0][0]) for direction, states in pairs]
    lengths = forward_pass.packing.lengths
    states = pooling.finish(network.pooling, pooled, join_directions(last), lengths)
    forward_pass.pooled_states = states
    return dense.forward(params, states)


def forward_groups(forward_pass: SegmentedPass, use: UseSteps) -> list[States]:
    """Compute all groups, and return the final states of each direction of the last one."""
    finals: list[States] = []
    for g in range(len(forward_pass.groups)):
        finals = [
            _forward_direction(forward_pass, g, k, use) for k in range(len(forward_pass.groups[g]))
        ]
    return finals


def _initial_raw(forward_pass: SegmentedPass) -> Array:
    """Return the bias for each packed row if each step has a prediction, else no rows."""
    pooled = forward_pass.network.pooling is not None
    n = 0 if pooled else int(forward_pass.packing.batch_sizes.sum())
    return np.tile(forward_pass.params[f"{dense.NAME}.bias"], (n, 1))


def _forward_direction(forward_pass: SegmentedPass, g: int, k: int, use: UseSteps) -> States:
    """Compute all segments of a direction, keep the initial states, and return the final ones."""
    direction = forward_pass.groups[g][k]
    states = direction.zero_states(len(forward_pass.packing.lengths), forward_pass.dtype)
    for s in forward_pass.order(direction):
        initial = copy_states(states, forward_pass.n_sequences[s])
        if forward_pass.need_backward or g < forward_pass.last_group:
            forward_pass.initial_states[g][k][s] = initial
        update_states(states, _forward_segment(forward_pass, g, k, s, initial, use))
    return states


# One segment is one function call: the arrays of a segment are freed before the next one begins.


def _forward_segment(
    forward_pass: SegmentedPass, g: int, k: int, s: int, initial: States, use: UseSteps
) -> States:
    """Compute one segment of a direction, and return its final states."""
    direction, batch = forward_pass.groups[g][k], forward_pass.batch(s)
    x = forward_pass.inputs(batch, s, g)[-1]
    masks = forward_pass.masks(s)
    steps, finals = direction.infer(forward_pass.params, x, batch, masks, initial)
    if g == forward_pass.last_group:
        use(s, batch, direction, steps)
    return finals


# --- backward ---


class _Gradients(NamedTuple):
    """Where the backward pass writes gradients.

    ``unused`` takes gradients of LSTM layers that are not needed: those of groups that are computed
    again, and all of them if ``grad`` is None.
    """

    grad: Views | None
    unused: Views
    write_inputs: WriteSteps | None = None


def backward(forward_pass: SegmentedPass, draw: Array, grad: Views) -> None:
    """Add the gradients of all parameters; ``draw`` is the gradient at the raw predictions."""
    d = draw
    if forward_pass.pooled_states is not None:
        d = dense.backward(forward_pass.params, forward_pass.pooled_states, draw, grad)
    else:
        grad[f"{dense.NAME}.bias"] += draw.sum(axis=0)
    unused = forward_pass.network.unused_gradients(forward_pass.params)
    _backward_groups(forward_pass, d, _Gradients(grad, unused))


def input_gradients(forward_pass: SegmentedPass, draw: Array, write: WriteSteps) -> None:
    """Write the gradient at the inputs of the first LSTM layer, (P, n_inputs)."""
    d, params = draw, forward_pass.params
    if forward_pass.pooled_states is not None:
        d = dense.gradient_at_inputs(params, draw)
    unused = forward_pass.network.unused_gradients(params)
    _backward_groups(forward_pass, d, _Gradients(None, unused, write))


def _backward_groups(forward_pass: SegmentedPass, d: Array, gradients: _Gradients) -> None:
    """Compute the gradients of all groups, from the last to the first.

    ``d`` is the gradient at the input of the output layer if there is a pooling, else at the raw
    predictions.
    """
    for g in reversed(range(len(forward_pass.groups))):
        for k in range(len(forward_pass.groups[g])):
            _backward_direction(forward_pass, g, k, d, gradients)


def _backward_direction(
    forward_pass: SegmentedPass, g: int, k: int, d: Array, gradients: _Gradients
) -> None:
    """Compute the gradients of a direction, from its last segment to its first."""
    direction = forward_pass.groups[g][k]
    dstates = direction.zero_states(len(forward_pass.packing.lengths), forward_pass.dtype)
    if g == forward_pass.last_group and forward_pass.network.pooling == "last":
        dstates[-1][0][0][...] = forward_pass.mask_final(direction, d[:, direction.columns])
    for s in forward_pass.order(direction)[::-1]:
        dfinals = copy_states(dstates, forward_pass.n_sequences[s])
        forward_pass.final_gradients[g][k][s] = dfinals
        update_states(dstates, _backward_segment(forward_pass, g, k, s, d, gradients))


def _backward_segment(
    forward_pass: SegmentedPass, g: int, k: int, s: int, d: Array, gradients: _Gradients
) -> States:
    """Compute the gradients of one segment, and return those at its initial states."""
    direction, params = forward_pass.groups[g][k], forward_pass.params
    batch, masks = forward_pass.batch(s), forward_pass.masks(s)
    xs = forward_pass.inputs(batch, s, forward_pass.last_group)
    dy = _gradient_at_output(forward_pass, g, s, batch, xs, d, gradients.unused)
    initial = forward_pass.initial_states[g][k][s]
    steps, _, caches = direction.forward(params, xs[g], batch, masks, initial)
    grad = gradients.grad
    if grad is not None and g == forward_pass.last_group and forward_pass.network.pooling is None:
        weight_gradient = steps.T @ d[forward_pass.packed_rows(s)]
        grad[f"{dense.NAME}.weight"][direction.columns] += weight_gradient
    dy = None if dy is None else dy[:, direction.columns]
    dfinals = forward_pass.final_gradients[g][k][s]
    needed = g == 0 and (forward_pass.network.embeds or gradients.write_inputs is not None)
    dx, dinitials = direction.backward(
        params,
        dy,
        batch,
        masks,
        caches,
        gradients.unused if grad is None else grad,
        dfinals,
        needed,
    )
    if needed and dx is not None:
        _use_gradient_at_inputs(gradients, batch, dx, k)
    return dinitials


def _use_gradient_at_inputs(gradients: _Gradients, batch: Segment, dx: Array, k: int) -> None:
    """Write the gradient of a direction at its inputs, or add it to that of the embedding."""
    if gradients.write_inputs is not None:
        gradients.write_inputs(batch.rows, dx, add=k > 0)
    elif gradients.grad is not None:
        embedding.backward(batch.values, dx, gradients.grad)


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
        return dense.gradient_at_inputs(forward_pass.params, d[forward_pass.packed_rows(s)])
    if not pooling.needs_steps(kind):
        return None
    active = slice(forward_pass.n_sequences[s])
    gradient = pooling.backward(kind, d[active], forward_pass.packing.lengths[active]).pooled
    assert gradient is not None
    argmax, first = forward_pass.pooled.part(active).argmax, forward_pass.first_steps[s]
    return gradient_at_steps(gradient, argmax, batch.batch_sizes, first)
