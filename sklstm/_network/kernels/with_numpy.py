"""The recurrence of an LSTM layer and its reverse, in NumPy.

Shapes: ``n`` sequences, ``S`` slots (see ``walk``), ``P`` packed rows, ``D`` inputs, ``H`` hidden
units, ``K = H + D + 1``. Gates lie in the order input, forget, output, candidate (i, f, o, g).

Each slot of ``states`` (S, K) holds what a step multiplies: the state before it, its input, and a
one for the bias, so that a step is one product. Gates lie one behind the other, (4, P, H): four
small products run as fast as one wide one, and all that follows works on contiguous memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklstm._network.kernels.walk import Rows, Walk

Array = NDArray[np.floating]

#: Packed rows whose derivatives are worked out together, so that they stay in the cache.
CHUNK_ROWS = 1024


class Weights(NamedTuple):
    """Weights of one layer and direction: (D, 4H), (H, 4H) and (4H,)."""

    ih: Array
    hh: Array
    bias: Array


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
    scratch = np.empty((n, hidden), x.dtype)
    packed_weights = _gate_weights(weights)
    with np.errstate(over="ignore"):
        for size, row, source, target in walk.steps:
            z = gates[:, row : row + size]
            c = cells[target : target + size]
            tanh_c = tanh_cells[row : row + size]
            np.matmul(states[source : source + size], packed_weights, out=z)
            i, f, o, g = _activate(z)
            np.multiply(f, cells[source : source + size], out=c)
            np.add(c, np.multiply(i, g, out=scratch[:size]), out=c)
            np.tanh(c, out=tanh_c)
            np.multiply(o, tanh_c, out=h[target : target + size])
            if mask is not None:
                state = states[target : target + size, :hidden]
                np.multiply(h[target : target + size], mask[:size], out=state)
    return h, cells, Cache(walk, states, cells, gates, tanh_cells, mask)


def infer(x: Array, weights: Weights, walk: Walk, h: Array, c: Array, y: Array | None) -> None:
    """Walk the steps without keeping what the reverse pass would need.

    ``h`` and ``c`` (n, H) go in as the start and come out as the final states; ``y`` (P, H), where
    it is wanted, is filled with the hidden state of every step.
    """
    n, hidden = h.shape
    state = np.ones((n, hidden + x.shape[1] + 1), x.dtype)
    state[:, :hidden] = h
    gates = np.empty((4, n, hidden), x.dtype)
    scratch = np.empty((n, hidden), x.dtype)
    packed_weights = _gate_weights(weights)
    with np.errstate(over="ignore"):
        for size, row, _, _ in walk.steps:
            s, z, tmp, cell = state[:size], gates[:, :size], scratch[:size], c[:size]
            s[:, hidden:-1] = x[row : row + size]
            np.matmul(s, packed_weights, out=z)
            i, f, o, g = _activate(z)
            np.multiply(cell, f, out=cell)
            np.add(cell, np.multiply(i, g, out=tmp), out=cell)
            np.multiply(o, np.tanh(cell, out=tmp), out=s[:, :hidden])
            if y is not None:
                y[row : row + size] = s[:, :hidden]
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
    scratch = np.empty_like(dh)
    dx = np.empty((walk.n_packed, len(weights.ih)), dh.dtype) if need_inputs else None
    for steps in _chunks(walk.steps):
        rows, slots = _extent(steps)
        slopes = _slopes(cache, rows)
        dz = (np.empty if walk.even else np.zeros)((slots.stop - slots.start, 4, hidden), dh.dtype)
        for size, row, source, _ in steps:
            near = slice(row - rows.start, row - rows.start + size)
            dz_t = dz[source - slots.start : source - slots.start + size]
            dh_t, dc_t, tmp = dh[:size], dc[:size], scratch[:size]
            if dy is not None:
                np.add(dh_t, dy[row : row + size], out=dh_t)
            if dcells is not None:
                np.add(dc_t, dcells[row : row + size], out=dc_t)
            np.add(dc_t, np.multiply(dh_t, slopes.cell[near], out=tmp), out=dc_t)
            np.multiply(dc_t, slopes.input_forget[:, near], out=dz_t[:, :2].swapaxes(0, 1))
            np.multiply(dh_t, slopes.output[near], out=dz_t[:, 2])
            np.multiply(dc_t, slopes.candidate[near], out=dz_t[:, 3])
            np.multiply(dc_t, slopes.forget[near], out=dc_t)
            np.dot(dz_t.reshape(size, 4 * hidden), hh_transposed, out=dh_t)
            if cache.mask is not None:
                np.multiply(dh_t, cache.mask[:size], out=dh_t)
        flat = dz.reshape(-1, 4 * hidden)
        _add_weight_gradient(gradient, cache.states[slots].T @ flat)
        if dx is not None:
            dx[rows] = _select(flat @ weights.ih.T, walk.inputs, rows, slots.start)
    return dx


def _states(x: Array, hidden: int, walk: Walk) -> Array:
    """Slots with the inputs in place; those that no step reads are zero, not left to chance."""
    states = np.empty((walk.n_slots, hidden + x.shape[1] + 1), x.dtype)
    states[walk.inputs, hidden:-1] = x
    states[:, -1] = 1
    states[walk.final] = 0
    return states


def _gate_weights(weights: Weights) -> Array:
    """All weights as (4, K, H), negated for the gates whose sigmoid is 1 / (1 + exp(-z))."""
    hidden = len(weights.hh)
    stacked = np.concatenate([weights.hh, weights.ih, weights.bias[None]])
    by_gate = np.ascontiguousarray(stacked.reshape(-1, 4, hidden).swapaxes(0, 1))
    np.negative(by_gate[:3], out=by_gate[:3])
    return by_gate


def _activate(z: Array) -> Array:
    """Sigmoid of three gates, given as -z, and tanh of the fourth, in place."""
    sigmoids, candidate = z[:3], z[3]
    np.exp(sigmoids, out=sigmoids)
    np.add(sigmoids, 1, out=sigmoids)
    np.reciprocal(sigmoids, out=sigmoids)
    np.tanh(candidate, out=candidate)
    return z


class _Slopes(NamedTuple):
    """Derivatives that turn dh and dc into gradients before the activations; rows are packed."""

    input_forget: Array  # (2, rows, H): d cell / d z of input and forget gate
    output: Array  # d hidden / d z of the output gate
    candidate: Array  # d cell / d z of the candidate
    cell: Array  # d hidden / d cell
    forget: Array  # d cell / d cell before


def _slopes(cache: Cache, rows: slice) -> _Slopes:
    """With s' = s (1 - s) and tanh' = 1 - tanh^2, each written as p - p s to save passes."""
    gates, tanh_c = cache.gates[:, rows], cache.tanh_cells[rows]
    i, f, o, g = gates
    before = _select(cache.cells, cache.walk.inputs, rows, 0)
    products = np.empty((3, *tanh_c.shape), tanh_c.dtype)
    np.multiply(i, g, out=products[0])
    np.multiply(f, before, out=products[1])
    np.multiply(o, tanh_c, out=products[2])
    cell = products[2] * tanh_c
    np.subtract(o, cell, out=cell)
    candidate = products[0] * g
    np.subtract(i, candidate, out=candidate)
    products -= products * gates[:3]
    return _Slopes(products[:2], products[2], candidate, cell, f)


def _chunks(steps: list[tuple[int, int, int, int]]) -> Iterator[list[tuple[int, int, int, int]]]:
    """Visited steps from the last to the first, in runs of about ``CHUNK_ROWS`` rows."""
    run: list[tuple[int, int, int, int]] = []
    n_rows = 0
    for step in reversed(steps):
        if run and n_rows + step[0] > CHUNK_ROWS:
            yield run
            run, n_rows = [], 0
        run.append(step)
        n_rows += step[0]
    yield run


def _extent(steps: list[tuple[int, int, int, int]]) -> tuple[slice, slice]:
    """The packed rows and the slots read of neighbouring steps."""
    _, first_row, first_slot, _ = min(steps[0], steps[-1], key=itemgetter(1))
    size, last_row, last_slot, _ = max(steps[0], steps[-1], key=itemgetter(1))
    return slice(first_row, last_row + size), slice(first_slot, last_slot + size)


def _select(array: Array, slots: Rows, rows: slice, first: int) -> Array:
    """The slots of packed ``rows``, out of an array that begins with slot ``first``."""
    if isinstance(slots, slice):
        offset = slots.start - first
        return array[rows.start + offset : rows.stop + offset]
    return array[slots[rows] - first]


def _add_weight_gradient(gradient: Weights, dw: Array) -> None:
    hidden = len(gradient.hh)
    np.add(gradient.hh, dw[:hidden], out=gradient.hh)
    np.add(gradient.ih, dw[hidden:-1], out=gradient.ih)
    np.add(gradient.bias, dw[-1], out=gradient.bias)
