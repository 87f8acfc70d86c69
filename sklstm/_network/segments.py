"""The network over long sequences, a segment of the steps at a time (checkpointing).

Going forward, only the states that segments begin with are kept. Going back, each segment is
computed once more from there (Chen et al. 2016), and the gradient at its beginning is handed on. So
activations take the memory of one segment, and of two states for each.

The layers are dealt into *stages*, each of one or two *strands* that walk the steps in one
direction. Without a reverse direction all layers are one strand. With it, each layer is a stage of
two strands; as these meet every segment at different times, the stages below are computed again for
each of them, and on the way back those above too.

Shapes: ``n`` sequences of the batch, ``P`` packed rows of a segment, ``W`` the width of a stage,
``K`` outputs.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sklstm._network import dense, embedding, kernels, pooling
from sklstm._network.hidden import Hidden
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.lstm import Caches, LSTMLayer, State
from sklstm._network.network import Batch, Masks, SequenceNetwork, drop
from sklstm._network.parameters import Views

Array = NDArray[np.floating]

#: What the bookkeeping of a step takes in each direction, in prediction and in training: views of
#: its rows in every array of a kernel.
BYTES_A_STEP = (500, 2500)

#: What a kernel's reverse pass needs to work in, whatever the number of steps.
SCRATCH_NUMBERS = 10 * 2**16


class Packing(Protocol):
    """What this module asks of a batch that is packed bit by bit."""

    @property
    def batch_sizes(self) -> NDArray[np.intp]: ...
    @property
    def lengths(self) -> NDArray[np.intp]: ...
    @property
    def n_steps(self) -> int: ...
    def segment(self, first: int = 0, stop: int | None = None) -> Batch: ...


class Strand(NamedTuple):
    """Layers, each over the states of the one before, that walk the steps in one direction."""

    layers: tuple[LSTMLayer, ...]
    reverse: bool
    columns: slice  # its part of the stage's width

    def start(self, n: int, dtype: np.dtype[Any]) -> list[State]:
        return [
            [(np.zeros((n, layer.hidden), dtype), np.zeros((n, layer.hidden), dtype))]
            for layer in self.layers
        ]

    def forward(
        self, params: Views, x: Array, batch: Batch, masks: Masks, states: list[State]
    ) -> tuple[Array, list[State], list[Caches]]:
        """States at every step, those it ends in, and what ``backward`` needs."""
        walks = (SlotLayout(batch.batch_sizes, self.reverse),)
        ends, caches = [], []
        for layer, state in zip(self.layers, states, strict=True):
            hidden, end, cache = layer.forward(params, x, walks, masks, True, state)
            x = _steps(drop(hidden, layer, masks, batch))
            ends.append(end)
            caches.append(cache)
        return x, ends, caches

    def infer(
        self, params: Views, x: Array, batch: Batch, masks: Masks, states: list[State]
    ) -> tuple[Array, list[State]]:
        """As ``forward``, without what ``backward`` would need."""
        if masks:
            return self.forward(params, x, batch, masks, states)[:2]
        walks, ends = (SlotLayout(batch.batch_sizes, self.reverse),), []
        for layer, state in zip(self.layers, states, strict=True):
            hidden, end = layer.infer(params, x, walks, True, state)
            x = _steps(hidden)
            ends.append(end)
        return x, ends

    def backward(
        self,
        params: Views,
        dy: Array | None,
        batch: Batch,
        masks: Masks,
        caches: list[Caches],
        grad: Views,
        dstates: list[State],
        need_inputs: bool,
    ) -> tuple[Array | None, list[State]]:
        """Adds to ``grad``; gradients at the inputs and at the states it began with."""
        starts: list[State] = []
        for layer, cache, dstate in zip(
            self.layers[::-1], caches[::-1], dstates[::-1], strict=True
        ):
            gradient = drop(Hidden(dy, None), layer, masks, batch)
            needed = need_inputs or layer is not self.layers[0]
            dy, dstart = layer.backward(params, gradient, cache, grad, dstate, needed)
            starts.append(dstart)
        return dy, starts[::-1]


class Trace:
    """A forward pass over a batch, as far as the way back needs it.

    ``starts[g][k][s]`` are the states with which strand k of stage g begins segment s, ``ends`` the
    gradients at those it ends with. Without ``keep`` there is no way back.
    """

    def __init__(
        self,
        network: SequenceNetwork,
        params: Views,
        packing: Packing,
        masks: Masks,
        length: int,
        keep: bool = True,
    ) -> None:
        self.network = network
        self.params = params
        self.packing = packing
        self.stages = _stages(network)
        self.masks = _masks_of_strands(network, masks)
        self.dtype = params[f"{dense.NAME}.bias"].dtype
        self.firsts = list(range(0, packing.n_steps, length))
        self.length = length
        self.keep = keep
        self.running = packing.batch_sizes[self.firsts].tolist()
        self.n_rows = np.add.reduceat(packing.batch_sizes, self.firsts).tolist()
        self.starts = self._room()
        self.ends = self._room()
        self.pooled = network.start_pooling(len(packing.lengths), params, keep)
        self.read_out: Array | None = None

    def _room(self) -> list[list[dict[int, list[State]]]]:
        return [[{} for _ in strands] for strands in self.stages]

    def order(self, strand: Strand) -> list[int]:
        """Segments in the order in which a strand walks them."""
        segments = list(range(len(self.firsts)))
        return segments[::-1] if strand.reverse else segments

    def batch(self, s: int) -> Batch:
        return self.packing.segment(self.firsts[s], self.firsts[s] + self.length)

    def masks_of(self, s: int) -> Masks:
        return {name: mask[: self.running[s]] for name, mask in self.masks.items()}

    def inputs(self, batch: Batch, s: int, up_to: int) -> list[Array]:
        """What the stages up to and with ``up_to`` see of segment ``s``, the lower ones rerun."""
        xs = [self.network.inputs(self.params, batch.values)]
        for g in range(up_to):
            outputs = [
                strand.infer(self.params, xs[-1], batch, self.masks_of(s), self.starts[g][k][s])[0]
                for k, strand in enumerate(self.stages[g])
            ]
            xs.append(_join(outputs))
        return xs


def forward(
    network: SequenceNetwork, params: Views, packing: Packing, masks: Masks, length: int
) -> tuple[Array, Trace]:
    """Raw predictions as of ``SequenceNetwork.forward``, in segments of ``length`` steps."""
    trace = Trace(network, params, packing, masks, length)
    return _forward(trace), trace


def predict(network: SequenceNetwork, params: Views, packing: Packing, length: int) -> Array:
    """Raw predictions without dropout."""
    return _forward(Trace(network, params, packing, {}, length, keep=False))


def _forward(trace: Trace) -> Array:
    network, params = trace.network, trace.params
    raw = _room_for_steps(trace)
    finals = [_walk(trace, g, raw) for g in range(len(trace.stages))][-1]
    if network.pooling is None or trace.pooled is None:
        return raw
    strands = zip(trace.stages[-1], finals, strict=True)
    last = _join([_masked(trace, strand, states[-1][0][0]) for strand, states in strands])
    trace.read_out = pooling.finish(network.pooling, trace.pooled, last, trace.packing.lengths)
    return dense.forward(params, trace.read_out)


def segment_length(
    network: SequenceNetwork, packing: Packing, itemsize: int, room: float, training: bool
) -> int:
    """As many steps as activations of ``room`` bytes allow; else those that need the least room.

    A segment of L out of T steps takes L rows for each sequence, and what is kept at the T / L
    beginnings: the sum is least, and grows with the square root of T, where both are equal.
    """
    n, n_steps = len(packing.lengths), packing.n_steps
    row = _numbers_a_row(network, training) * itemsize + 5 * np.dtype(np.intp).itemsize
    n_directions = len(network.layers[0].directions)
    step, scratch = BYTES_A_STEP[training] * n_directions, SCRATCH_NUMBERS * itemsize * training
    whole = int(packing.batch_sizes.sum()) * row + n_steps * step
    if whole + scratch * n_directions <= room:  # they may be walked at once
        return n_steps
    room -= scratch
    step += n * row
    kept = n * 4 * sum(layer.width for layer in network.layers) * itemsize
    spare = max(room, 0) ** 2 - 4 * step * kept * n_steps
    length = sqrt(n_steps * kept / step) if spare < 0 else (room + sqrt(spare)) / (2 * step)
    return min(max(int(length), 1), n_steps)


def _numbers_a_row(network: SequenceNetwork, training: bool) -> int:
    """What layers and pooling hold for each packed row."""
    n_inputs, per_unit = network.layers[0].n_inputs, kernels.values_per_unit()
    if not training:
        return n_inputs + 2 * max(layer.width for layer in network.layers)
    kept = [
        len(layer.directions) * (per_unit * _padded(layer.hidden) + layer.n_inputs + 1)
        for layer in network.layers
    ]
    return n_inputs + sum(kept) + 2 * sum(layer.width for layer in network.layers)


def _padded(hidden: int) -> int:
    """Compiled kernels fill up to whole vectors, of up to 16 numbers."""
    return -(-hidden // 16) * 16


def _room_for_steps(trace: Trace) -> Array:
    """The outputs of every packed row so far: the bias alone."""
    n = 0 if trace.network.pooling is not None else int(trace.packing.batch_sizes.sum())
    return np.tile(trace.params[f"{dense.NAME}.bias"], (n, 1))


def _walk(trace: Trace, g: int, raw: Array) -> list[list[State]]:
    """Stage ``g`` from segment to segment: note where each begins; the states at the end."""
    finals = []
    for k, strand in enumerate(trace.stages[g]):
        states = strand.start(len(trace.packing.lengths), trace.dtype)
        for s in trace.order(strand):
            start = _copy(states, trace.running[s])
            if trace.keep or g < len(trace.stages) - 1:
                trace.starts[g][k][s] = start
            _put(states, _step_over(trace, g, strand, s, start, raw))
        finals.append(states)
    return finals


# What a segment needs is gone when a function returns; in the loops it would live one round longer.


def _step_over(
    trace: Trace, g: int, strand: Strand, s: int, start: list[State], raw: Array
) -> list[State]:
    """One segment of a strand: the states it ends in."""
    batch = trace.batch(s)
    x = trace.inputs(batch, s, g)[-1]
    steps, ends = strand.infer(trace.params, x, batch, trace.masks_of(s), start)
    if g == len(trace.stages) - 1:
        _see(trace, strand, s, batch, steps, raw)
    return ends


def _see(trace: Trace, strand: Strand, s: int, batch: Batch, steps: Array, raw: Array) -> None:
    """What the read-out takes from the last stage's states."""
    if trace.pooled is not None:
        of_strand = trace.pooled.part(columns=strand.columns)
        pooling.add(of_strand, steps, batch, trace.firsts[s], strand.reverse)
    else:
        rows = _packed_rows(trace, s)
        raw[rows] += steps @ trace.params[f"{dense.NAME}.weight"][strand.columns]


def backward(trace: Trace, draw: Array, grad: Views) -> None:
    """Adds the gradients of all parameters; ``draw`` is that at the raw predictions."""
    d = draw
    if trace.read_out is not None:
        d = dense.backward(trace.params, trace.read_out, draw, grad)
    else:
        grad[f"{dense.NAME}.bias"] += draw.sum(axis=0)
    unused = {name: np.zeros_like(view) for name, view in grad.items()}
    for g in reversed(range(len(trace.stages))):
        for k in range(len(trace.stages[g])):
            _walk_back(trace, g, k, d, grad, unused)


def _walk_back(trace: Trace, g: int, k: int, d: Array, grad: Views, unused: Views) -> None:
    """One strand from its last segment to its first."""
    strand = trace.stages[g][k]
    dstates = strand.start(len(trace.packing.lengths), trace.dtype)
    if g == len(trace.stages) - 1 and trace.network.pooling == "last":
        _end_with(trace, strand, dstates, d)
    for s in trace.order(strand)[::-1]:
        trace.ends[g][k][s] = _copy(dstates, trace.running[s])
        _put(dstates, _step_back(trace, g, k, s, d, grad, unused))


def _step_back(
    trace: Trace, g: int, k: int, s: int, d: Array, grad: Views, unused: Views
) -> list[State]:
    """One segment of a strand: the gradients at the states it begins with."""
    strand, top = trace.stages[g][k], len(trace.stages) - 1
    batch, masks = trace.batch(s), trace.masks_of(s)
    xs = trace.inputs(batch, s, top)
    dy = _upstream(trace, g, s, batch, xs, d, unused)
    start, end = trace.starts[g][k][s], trace.ends[g][k][s]
    steps, _, caches = strand.forward(trace.params, xs[g], batch, masks, start)
    if g == top and trace.network.pooling is None:
        grad[f"{dense.NAME}.weight"][strand.columns] += steps.T @ d[_packed_rows(trace, s)]
    dy = None if dy is None else dy[:, strand.columns]
    embeds = g == 0 and trace.network.embeds
    dx, dstarts = strand.backward(
        trace.params, dy, batch, masks, caches, grad, end, need_inputs=embeds
    )
    if embeds and dx is not None:
        embedding.backward(batch.values, dx, grad)
    return dstarts


def _end_with(trace: Trace, strand: Strand, dstates: list[State], d: Array) -> None:
    """The read-out's gradient at the final states, through the output's mask."""
    dstates[-1][0][0][...] = _masked(trace, strand, d[:, strand.columns])


def _masked(trace: Trace, strand: Strand, last: Array) -> Array:
    """The output at the end of each sequence, or the gradient at it, times its mask."""
    mask = trace.masks.get(f"{strand.layers[-1].name}.output")
    return last if mask is None else last * mask


def _upstream(
    trace: Trace, g: int, s: int, batch: Batch, xs: list[Array], d: Array, unused: Views
) -> Array | None:
    """The gradient at the outputs (P, W) of stage ``g``; those above are run once more."""
    dy = _from_read_out(trace, s, batch, d)
    masks = trace.masks_of(s)
    for above in range(len(trace.stages) - 1, g, -1):
        parts = []
        for k, strand in enumerate(trace.stages[above]):
            _, _, caches = strand.forward(
                trace.params, xs[above], batch, masks, trace.starts[above][k][s]
            )
            of_strand = None if dy is None else dy[:, strand.columns]
            ends = trace.ends[above][k][s]
            dx, _ = strand.backward(
                trace.params, of_strand, batch, masks, caches, unused, ends, True
            )
            assert dx is not None
            parts.append(dx)
        dy = sum(parts[1:], parts[0])
    return dy


def _from_read_out(trace: Trace, s: int, batch: Batch, d: Array) -> Array | None:
    """The gradient at the last stage's states, where the read-out sees those of every step."""
    kind = trace.network.pooling
    if kind is None or trace.pooled is None:
        return d[_packed_rows(trace, s)] @ trace.params[f"{dense.NAME}.weight"].T
    if not pooling.needs_steps(kind):
        return None
    running = slice(trace.running[s])
    pooled, lengths = trace.pooled.part(running), trace.packing.lengths[running]
    return pooling.backward(kind, d[running], pooled, batch, lengths, trace.firsts[s]).steps


def _packed_rows(trace: Trace, s: int) -> slice:
    """The rows of a segment among those of the whole batch."""
    start = sum(trace.n_rows[:s])
    return slice(start, start + trace.n_rows[s])


def _stages(network: SequenceNetwork) -> list[tuple[Strand, ...]]:
    layers = network.layers
    if not layers[0].bidirectional:
        return [(Strand(tuple(layers), False, slice(0, layers[-1].width)),)]
    return [
        tuple(
            Strand(
                (LSTMLayer(name, layer.n_inputs, layer.hidden, False),),
                reverse=k == 1,
                columns=slice(k * layer.hidden, (k + 1) * layer.hidden),
            )
            for k, name in enumerate(layer.directions)
        )
        for layer in layers
    ]


def _masks_of_strands(network: SequenceNetwork, masks: Masks) -> Masks:
    """Output masks of layers that walk both ways, cut into those of their directions."""
    cut = dict(masks)
    for layer in network.layers:
        mask = masks.get(f"{layer.name}.output")
        if mask is not None:
            for k, name in enumerate(layer.directions):
                cut[f"{name}.output"] = mask[:, k * layer.hidden : (k + 1) * layer.hidden]
    return cut


def _copy(states: list[State], n: int) -> list[State]:
    """The states of the first ``n`` sequences."""
    return [[(h[:n].copy(), c[:n].copy()) for h, c in state] for state in states]


def _put(states: list[State], new: list[State]) -> None:
    """Write the states of the first sequences, as many as there are new ones."""
    for state, new_state in zip(states, new, strict=True):
        for (h, c), (new_h, new_c) in zip(state, new_state, strict=True):
            h[: len(new_h)], c[: len(new_c)] = new_h, new_c


def _steps(hidden: Hidden) -> Array:
    assert hidden.steps is not None
    return hidden.steps


def _join(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
