"""The recurrence of an LSTM layer and its reverse, in NumPy.

Shapes: ``n`` sequences, ``S`` slots (see ``walk``), ``P`` packed rows, ``D`` inputs, ``H`` hidden
units, ``K = H + D + 1``. Gates lie in the order input, forget, output, candidate (i, f, o, g).

Each slot of ``states`` (S, K) holds what a step multiplies: the state before it, its input, and a
one for the bias, so that a step is one product. Gates lie one behind the other, (4, P, H): four
small products run as fast as one wide one, and all that follows works on contiguous memory.

Small batches cost what NumPy's calls cost. So each array is cut into the blocks of all steps before
the loop, outputs are positional, and what a step does to three gates at once it does in scratch
memory: a ufunc takes about a microsecond longer where its operands are not contiguous.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels.shared import Run, Weights, runs, select
from sklstm._network.kernels.walk import Walk

Array = NDArray[np.floating]

#: See ``kernels.least_rows``.
LEAST_ROWS = 64

#: Elements of a gate whose derivatives are worked out together, so that they stay in the cache.
CHUNK_SIZE = 2**16


class Cache(NamedTuple):
    """What the reverse pass needs of the forward pass."""

    walk: Walk
    states: Array  # (S, K)
    cells: Array  # (S, H)
    gates: Array  # (4, P, H), after their activations
    tanh_cells: Array  # (P, H)
    mask: Array | None  # (n, H), recurrent dropout


def forward(
    x: Array, weights: Weights, walk: Walk, h0: Array | None, c0: Array | None, mask: Array | None
) -> tuple[Array, Array, Cache]:
    """Hidden and cell states in their slots, and the cache for ``backward``.

    ``x`` (P, D) are the packed inputs; ``h0``, ``c0`` (n, H) the states to start from (None: zero);
    ``mask`` (n, H) multiplies the state that each step reads.
    """
    n, hidden = walk.n_sequences, len(weights.hh)
    states = _states(x, hidden, walk)
    h = states[:, :hidden] if mask is None else np.empty((walk.n_slots, hidden), x.dtype)
    cells = np.empty((walk.n_slots, hidden), x.dtype)
    h[walk.start] = 0 if h0 is None else h0
    cells[walk.start] = 0 if c0 is None else c0
    if mask is not None:
        states[walk.start, :hidden] = h[walk.start] * mask
    gates = np.empty((4, walk.n_packed, hidden), x.dtype)
    tanh_cells = np.empty((walk.n_packed, hidden), x.dtype)
    product, packed_weights = _step_product(weights, n)
    room, running = np.empty((5, n, hidden), x.dtype), 0
    with np.errstate(over="ignore"):
        for step in _forward_blocks(walk, states, h, cells, gates, tanh_cells):
            size, state, c_before, i, f, o, g, c, tanh_c, h_t, read_next = step
            if size != running:
                running, z = size, _scratch(room, size)
            product(state, packed_weights, z.product)
            _activate(z, i, f, o, g)
            np.multiply(f, c_before, c)
            np.multiply(i, g, z.spare)
            np.add(c, z.spare, c)
            np.tanh(c, tanh_c)
            np.multiply(o, tanh_c, h_t)
            if mask is not None:
                np.multiply(h_t, mask[:size], read_next)
    return h, cells, Cache(walk, states, cells, gates, tanh_cells, mask)


def infer(x: Array, weights: Weights, walk: Walk, h: Array, c: Array, y: Array | None) -> None:
    """Walk the steps without keeping what the reverse pass would need.

    ``h`` and ``c`` (n, H) go in as the start and come out as the final states; ``y`` (P, H), where
    it is wanted, is filled with the hidden state of every step.
    """
    n, hidden = h.shape
    state = np.ones((n, hidden + x.shape[1] + 1), x.dtype)
    state[:, :hidden] = h
    product, packed_weights = _step_product(weights, n)
    room, running = np.empty((5, n, hidden), x.dtype), 0
    sizes, rows, _, _ = zip(*walk.steps, strict=True)
    ys = repeat(None) if y is None else _blocks(walk, y, rows, sizes)
    with np.errstate(over="ignore"):
        for size, x_t, y_t in zip(sizes, _blocks(walk, x, rows, sizes), ys, strict=False):
            if size != running:
                running, z = size, _scratch(room, size)
                s, cell = state[:size], c[:size]
                h_t, inputs = s[:, :hidden], s[:, hidden:-1]
            np.copyto(inputs, x_t)
            product(s, packed_weights, z.product)
            _activate(z, z.i, z.f, z.o, z.g)
            np.multiply(cell, z.f, cell)
            np.multiply(z.i, z.g, z.spare)
            np.add(cell, z.spare, cell)
            np.tanh(cell, z.spare)
            np.multiply(z.o, z.spare, h_t)
            if y_t is not None:
                np.copyto(y_t, h_t)
    h[...] = state[:, :hidden]


def backward(
    cache: Cache,
    weights: Weights,
    gradient: Weights,
    dh: Array,
    dc: Array,
    dy: Array | None = None,
    dcells: Array | None = None,
    need_inputs: bool = False,
) -> Array | None:
    """Backpropagation through time: adds to ``gradient``, returns that of the inputs (P, D).

    ``dh`` and ``dc`` (n, H) go in as the gradients at the final states and come out as those at
    the start; ``dy`` and ``dcells`` (P, H) are gradients at the states of every step.
    """
    walk, hidden = cache.walk, len(weights.hh)
    hh_transposed = np.ascontiguousarray(weights.hh.T)
    dx = np.empty((walk.n_packed, len(weights.ih)), dh.dtype) if need_inputs else None
    scratch, running = np.empty_like(dh), 0
    for run, slopes, dz in _chunks(walk, hidden, dh.dtype):
        _fill_slopes(cache, run.rows, slopes)
        for step in _backward_blocks(cache, run, slopes, dz, dy, dcells):
            size, to_gates, to_output, to_cell, forget, dz_gates, dz_output, dz_t, *given = step
            if size != running:
                running, dh_t, dc_t, tmp = size, dh[:size], dc[:size], scratch[:size]
                dc_each = dc_t[:, None]
            dy_t, dcells_t = given
            if dy_t is not None:
                np.add(dh_t, dy_t, dh_t)
            if dcells_t is not None:
                np.add(dc_t, dcells_t, dc_t)
            np.multiply(dh_t, to_cell, tmp)
            np.add(dc_t, tmp, dc_t)
            # All gates, as one call is cheaper than two; the output gate's is written anew.
            np.multiply(dc_each, to_gates, dz_gates)
            np.multiply(dh_t, to_output, dz_output)
            np.multiply(dc_t, forget, dc_t)
            np.dot(dz_t, hh_transposed, dh_t)
            if cache.mask is not None:
                np.multiply(dh_t, cache.mask[:size], dh_t)
        flat = dz.reshape(-1, 4 * hidden)
        _add_weight_gradient(gradient, cache.states[run.slots].T @ flat)
        if dx is not None:
            dx[run.rows] = select(flat @ weights.ih.T, walk.inputs, run.rows, run.slots.start)
    return dx


def _blocks(
    walk: Walk, array: Array, firsts: Sequence[int], sizes: Sequence[int]
) -> Sequence[Array]:
    """The rows of each visited step; where all have as many, cut in one go, which is faster."""
    if not walk.even:
        return [array[first : first + size] for first, size in zip(firsts, sizes, strict=True)]
    low, high = sorted((firsts[0], firsts[-1]))
    blocks = list(array[low : high + sizes[0]].reshape(-1, sizes[0], *array.shape[1:]))
    return blocks if firsts[0] == low else blocks[::-1]


def _forward_blocks(
    walk: Walk, states: Array, h: Array, cells: Array, gates: Array, tanh_cells: Array
) -> Iterator[tuple[Any, ...]]:
    """What ``forward`` reads and writes at each step."""
    sizes, rows, sources, targets = zip(*walk.steps, strict=True)
    return zip(
        sizes,
        _blocks(walk, states, sources, sizes),
        _blocks(walk, cells, sources, sizes),
        *(_blocks(walk, gate, rows, sizes) for gate in gates),
        _blocks(walk, cells, targets, sizes),
        _blocks(walk, tanh_cells, rows, sizes),
        _blocks(walk, h, targets, sizes),
        _blocks(walk, states[:, : h.shape[1]], targets, sizes),
        strict=True,
    )


def _backward_blocks(
    cache: Cache, run: Run, slopes: Array, dz: Array, dy: Array | None, dcells: Array | None
) -> Iterator[tuple[Any, ...]]:
    """What ``backward`` reads and writes at each of these steps."""
    walk = cache.walk
    sizes, first_rows, sources, _ = run.table.T.tolist()
    near_rows = [row - run.rows.start for row in first_rows]
    near_slots = [slot - run.slots.start for slot in sources]
    of_rows = (slopes[:4].swapaxes(0, 1), slopes[2], slopes[4], cache.gates[1, run.rows])
    of_slots = (dz, dz[:, 2], dz.reshape(len(dz), -1))
    return zip(
        sizes,
        *(_blocks(walk, array, near_rows, sizes) for array in of_rows),
        *(_blocks(walk, array, near_slots, sizes) for array in of_slots),
        *(repeat(None) if d is None else _blocks(walk, d, first_rows, sizes) for d in (dy, dcells)),
        strict=False,
    )


class _Scratch(NamedTuple):
    """Contiguous room for one step."""

    product: Array  # (4, size, H), or (1, 4H): all gates before their activations
    sigmoids: Array  # (3, size, H)
    i: Array
    f: Array
    o: Array
    g: Array
    spare: Array  # (size, H)
    one: Array  # a Python number would be converted in every call


def _scratch(room: Array, size: int) -> _Scratch:
    """The parts of ``room`` (5, n, H) for a step of ``size`` sequences."""
    n, hidden = room.shape[1:]
    i, f, o, g, spare = parts = room.reshape(-1)[: 5 * size * hidden].reshape(5, size, hidden)
    product = parts[:4] if n > 1 else parts[:4].reshape(1, -1)
    return _Scratch(product, parts[:3], i, f, o, g, spare, np.ones((), room.dtype))


def _states(x: Array, hidden: int, walk: Walk) -> Array:
    """Slots with the inputs in place; those that no step reads are zero, not left to chance."""
    states = np.empty((walk.n_slots, hidden + x.shape[1] + 1), x.dtype)
    states[walk.inputs, hidden:-1] = x
    states[:, -1] = 1
    states[walk.final] = 0
    return states


def _step_product(weights: Weights, n: int) -> tuple[Callable[..., Array], Array]:
    """The product of a step, and its weights: gate by gate, but for one sequence all in a row.

    They are negated for the gates whose sigmoid is 1 / (1 + exp(-z)).
    """
    hidden = len(weights.hh)
    stacked = np.concatenate([weights.hh, weights.ih, weights.bias[None]])
    np.negative(stacked[:, : 3 * hidden], stacked[:, : 3 * hidden])
    if n == 1:
        return np.dot, stacked
    return np.matmul, np.ascontiguousarray(stacked.reshape(-1, 4, hidden).swapaxes(0, 1))


def _activate(z: _Scratch, i: Array, f: Array, o: Array, g: Array) -> None:
    """Sigmoid of three gates, given as -z, and tanh of the fourth."""
    np.exp(z.sigmoids, z.sigmoids)
    np.add(z.sigmoids, z.one, z.sigmoids)
    np.reciprocal(z.i, i)
    np.reciprocal(z.f, f)
    np.reciprocal(z.o, o)
    np.tanh(z.g, g)


def _fill_slopes(cache: Cache, rows: slice, out: Array) -> None:
    """Derivatives of packed ``rows`` into ``out`` (6, rows, H).

    d cell / d z of input and forget gate, d hidden / d z of the output gate, d cell / d z of the
    candidate, d hidden / d cell, and room to work in. s' = s (1 - s) and tanh' = 1 - tanh^2 are
    written as p - p s to save passes.
    """
    gates, tanh_c = cache.gates[:, rows], cache.tanh_cells[rows]
    before = select(cache.cells, cache.walk.inputs, rows, 0)
    i, f, o, g = gates
    to_i, to_f, to_o, to_g, cell, product = out
    np.multiply(i, g, to_i)
    np.multiply(f, before, to_f)
    np.multiply(o, tanh_c, to_o)
    np.multiply(to_o, tanh_c, cell)
    np.subtract(o, cell, cell)
    np.multiply(to_i, g, to_g)
    np.subtract(i, to_g, to_g)
    for slope, gate in zip(out[:3], gates[:3], strict=True):
        np.multiply(slope, gate, product)
        np.subtract(slope, product, slope)


def _chunks(
    walk: Walk, hidden: int, dtype: np.dtype[np.floating]
) -> Iterator[tuple[Run, Array, Array]]:
    """Runs of steps, and room for both: slopes (6, rows, H), dz (slots, 4, H)."""
    found = list(runs(walk, CHUNK_SIZE // hidden))
    most_rows = max(run.rows.stop - run.rows.start for run in found)
    slopes = np.empty((6, most_rows, hidden), dtype)
    dz = np.empty((max(run.slots.stop - run.slots.start for run in found), 4, hidden), dtype)
    for run in found:
        dz_run = dz[: run.slots.stop - run.slots.start]
        if not walk.even:
            dz_run[...] = 0
        yield run, slopes[:, : run.rows.stop - run.rows.start], dz_run


def _add_weight_gradient(gradient: Weights, dw: Array) -> None:
    hidden = len(gradient.hh)
    np.add(gradient.hh, dw[:hidden], out=gradient.hh)
    np.add(gradient.ih, dw[hidden:-1], out=gradient.ih)
    np.add(gradient.bias, dw[-1], out=gradient.bias)
