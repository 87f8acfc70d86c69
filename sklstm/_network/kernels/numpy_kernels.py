"""The recurrence of an LSTM layer and its reverse, in NumPy.

Shapes: ``n`` sequences, ``S`` slots (see ``walk``), ``P`` packed rows, ``D`` inputs, ``H`` hidden
units, ``K = H + D + 1``. Gates lie in the order input, forget, output, candidate (i, f, o, g).

Each slot of ``states`` (S, K) holds what a step multiplies: the state before it, its input, and a
one for the bias, so that a step is one product. A step keeps its gates one behind the other,
(4, n, H): four small products run as fast as one wide one, and all that follows works on contiguous
memory, where a ufunc takes a fifth of a microsecond, and elsewhere a whole one.

Small batches cost what NumPy's calls cost. So sigmoid is worked out from tanh, of all gates in one
call; products that belong together lie side by side; a step works in scratch memory, and what is
kept of it is copied in one piece; each array is cut into those of all steps before the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels import arenas
from sklstm._network.kernels.runs import Block, Run, blocks, runs, select
from sklstm._network.kernels.slots import Walk
from sklstm._network.kernels.weights import ReadOut, Weights

Array = NDArray[np.floating]

#: See ``kernels.numbers_a_unit``.
NUMBERS_A_UNIT = 10

#: See ``kernels.threads_pay``. NumPy's calls must last: threads wait in between.
LEAST_WORK, LEAST_VALUES = 2e7, 5000

#: Elements of a gate whose derivatives are worked out together, so that they stay in the cache.
CHUNK_SIZE = 2**16


def least_rows(work: float) -> int:
    """See ``kernels.least_rows``."""
    return 64


class Cache(NamedTuple):
    """What the reverse pass needs of the forward pass."""

    walk: Walk
    states: Array  # (S, K)
    cells: Array  # (S, H)
    kept: Array  # (P, 7 H), of a step (7, n, H): see ``_Scratch``
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
    h = states[:, :hidden] if mask is None else arenas.empty((walk.n_slots, hidden), x.dtype)
    cells = arenas.empty((walk.n_slots, hidden), x.dtype)
    h[walk.start] = 0 if h0 is None else h0
    cells[walk.start] = 0 if c0 is None else c0
    if mask is not None:
        states[walk.start, :hidden] = h[walk.start] * mask
    kept = arenas.empty((walk.n_packed, 7 * hidden), x.dtype)
    after = cells[walk.outputs]  # a view or, where a ragged batch is walked backward, a copy
    product, room = _Product(weights, n), _room(n, hidden, x.dtype)
    for block in blocks(walk.table, walk.even):
        size, first = block.size, block.sources[0]
        step, z = _step(product, room, size)
        of_step, z_h, z_mask = z.kept, z.h, None if mask is None else mask[:size]
        z.c[...] = cells[first : first + size]
        kept_steps = block.steps(kept, 7, size, hidden)
        nexts = repeat(None) if mask is None else block.cut(states[:, :hidden], block.targets)
        reads, writes = block.cut(states, block.sources), block.cut(h, block.targets)
        with np.errstate(over="ignore"):  # tanh of infinity is what it should be
            for state, kept_t, h_t, next_state in zip(
                reads, kept_steps, writes, nexts, strict=False
            ):
                step(state)
                kept_t[...] = of_step
                h_t[...] = z_h
                if z_mask is not None:
                    np.multiply(z_h, z_mask, next_state)
        np.add(kept_steps[:, 0], kept_steps[:, 1], block.steps(after, size, hidden))
        last = block.targets[-1]
        cells[last : last + size] = z.c
    cells[walk.outputs] = after
    return h, cells, Cache(walk, states, cells, kept, mask)


def infer(x: Array, weights: Weights, walk: Walk, h: Array, c: Array, y: Array | None) -> None:
    """Walk the steps without keeping what the reverse pass would need.

    ``h`` and ``c`` (n, H) go in as the start and come out as the final states; ``y`` (P, H), where
    it is wanted, is filled with the hidden state of every step.
    """
    n, hidden = h.shape
    states = np.ones((n, hidden + x.shape[1] + 1), x.dtype)
    states[:, :hidden] = h
    product, room = _Product(weights, n), _room(n, hidden, x.dtype)
    for block in blocks(walk.table, walk.even):
        size = block.size
        step, z = _step(product, room, size)
        state, z.c[...] = states[:size], c[:size]
        h_t, inputs = state[:, :hidden], state[:, hidden:-1]
        ys = repeat(None) if y is None else block.cut(y, block.rows)
        with np.errstate(over="ignore"):
            for x_t, y_t in zip(block.cut(x, block.rows), ys, strict=False):
                inputs[...] = x_t
                step(state)
                h_t[...] = z.h
                if y_t is not None:
                    y_t[...] = z.h
        h[:size], c[:size] = z.h, z.c


class Stepper:
    """One step at a time, the states ``h`` and ``c`` (n, H) kept in between, and zero at first.

    Called with inputs (n, D), it gives what ``read_out`` makes of the hidden state or, without one,
    that itself, as a view. Of inputs that are not finite it makes None, and changes nothing.
    """

    def __init__(self, weights: Weights, n: int, read_out: ReadOut | None = None) -> None:
        n_inputs, hidden, dtype = len(weights.ih), len(weights.hh), weights.hh.dtype
        self._state = np.ones((n, hidden + n_inputs + 1), dtype)
        self._inputs = self._state[:, hidden:-1]
        self.h = self._state[:, :hidden]
        self.h[...] = 0
        # Gate by gate, also for one sequence: BLAS may share a longer product out over threads.
        product = _Product(weights, max(n, 2))
        self._step, self._scratch = _step(product, _room(n, hidden, dtype), n)
        self.c = self._scratch.c
        self.c[...] = 0
        self._zeros = np.zeros((n, n_inputs), dtype)
        self._read_out = read_out

    def __call__(self, x: Array) -> Array | None:
        if np.vdot(x, self._zeros) != 0:  # NaN, also of infinity
            return None
        self._inputs[...] = x
        with np.errstate(over="ignore"):
            self._step(self._state)
        self.h[...] = self._scratch.h
        if self._read_out is None:
            return self.h
        return np.dot(self.h, self._read_out.weight) + self._read_out.bias


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
    dx = arenas.empty((walk.n_packed, len(weights.ih)), dh.dtype) if need_inputs else None
    room, hh_transposed = arenas.empty((11, *dh.shape), dh.dtype), weights.hh.T
    if len(dh) > 1:  # for one sequence it is faster as it is
        hh_transposed = np.ascontiguousarray(hh_transposed)
    for run, slopes, dz in _chunks(walk, hidden, dh.dtype):
        for block in blocks(run.table, walk.even):
            rows = slice(block.size)
            step, at_h, at_c = _step_backward(hh_transposed, room, block.size)
            at_h[...], at_c[...] = dh[rows], dc[rows]
            mask = None if cache.mask is None else cache.mask[rows]
            slots = [slot - run.slots.start for slot in block.sources]
            for to_gates, to_cell, dz_gates, dz_t, dy_t, dcells_t in zip(
                *_slopes(cache, block, slopes),
                block.cut(dz, slots),
                block.cut(dz.reshape(len(dz), -1), slots),
                *(repeat(None) if d is None else block.cut(d, block.rows) for d in (dy, dcells)),
                strict=False,
            ):
                if dy_t is not None:
                    np.add(at_h, dy_t, at_h)
                if dcells_t is not None:
                    np.add(at_c, dcells_t, at_c)
                step(to_gates, to_cell, dz_gates, dz_t)
                if mask is not None:
                    np.multiply(at_h, mask, at_h)
            dh[rows], dc[rows] = at_h, at_c
        flat = dz.reshape(-1, 4 * hidden)
        _add_weight_gradient(gradient, cache.states[run.slots].T @ flat)
        if dx is not None:
            dx[run.rows] = select(flat @ weights.ih.T, walk.inputs, run.rows, run.slots.start)
    return dx


class _Scratch(NamedTuple):
    """Contiguous room for a step, and what it leaves there."""

    #: (7, size, H): i g, f c before, tanh of the cell state, gates i, f, o, g
    kept: Array
    c: Array  # (size, H); the cell state before the step, and after it
    h: Array  # (size, H)


def _room(n: int, hidden: int, dtype: np.dtype[np.floating]) -> Array:
    return arenas.empty((9, n, hidden), dtype)


def _step(product: _Product, room: Array, size: int) -> tuple[Callable[[Array], None], _Scratch]:
    """A step of ``size`` sequences, as a function of what its product reads.

    A closure, since its variables are found faster than attributes.
    """
    hidden = room.shape[2]
    parts = room.reshape(-1)[: 9 * size * hidden].reshape(9, size, hidden)
    of_candidate, of_cell, tanh_c, _, _, o, _, c, h = parts
    gates, sigmoids, pair = parts[3:7], parts[3:6], parts[:2]
    input_forget, candidate_cell = parts[3:5], parts[6:8]
    half = _half(room.dtype)
    multiply_weights, packed_weights = product.function, product.weights
    z = product.shaped(gates)
    add, multiply, tanh = np.add, np.multiply, np.tanh

    def step(state: Array) -> None:
        multiply_weights(state, packed_weights, z)
        tanh(z, z)
        multiply(sigmoids, half, sigmoids)
        add(sigmoids, half, sigmoids)
        multiply(input_forget, candidate_cell, pair)
        add(of_candidate, of_cell, c)
        tanh(c, tanh_c)
        multiply(o, tanh_c, h)

    return step, _Scratch(parts[:7], c, h)


def _step_backward(
    hh_transposed: Array, room: Array, size: int
) -> tuple[Callable[[Array, Array, Array, Array], None], Array, Array]:
    """The way back through a step, and where it finds and leaves the gradients at its states."""
    hidden = room.shape[2]
    parts = room.reshape(-1)[: 11 * size * hidden].reshape(11, size, hidden)
    upstream, products, spare = parts[:5], parts[5:10], parts[10]
    first, second, at_h, others, at_c = *upstream[:3], upstream[3:], products[4]
    by_row = products[:4].swapaxes(0, 1)
    add, multiply = np.add, np.multiply

    def step(to_gates: Array, to_cell: Array, dz_gates: Array, dz: Array) -> None:
        multiply(at_h, to_cell, spare)
        add(at_c, spare, first)
        second[...] = first
        others[...] = first
        multiply(upstream, to_gates, products)
        dz_gates[...] = by_row
        dz.dot(hh_transposed, at_h)

    return step, at_h, at_c


def _half(dtype: np.dtype[np.floating]) -> Array:
    """A number of Python would be converted in every call."""
    return np.full((), 0.5, dtype)


def _states(x: Array, hidden: int, walk: Walk) -> Array:
    """Slots with the inputs in place; those that no step reads are zero, not left to chance."""
    states = arenas.empty((walk.n_slots, hidden + x.shape[1] + 1), x.dtype)
    states[walk.inputs, hidden:-1] = x
    states[:, -1] = 1
    states[walk.final] = 0
    return states


class _Product:
    """The product of a step, gate by gate, but for one sequence all in a row.

    Weights are halved for the gates whose sigmoid is (1 + tanh(z / 2)) / 2.
    """

    def __init__(self, weights: Weights, n: int) -> None:
        hidden = len(weights.hh)
        stacked = np.concatenate([weights.hh, weights.ih, weights.bias[None]])
        stacked[:, : 3 * hidden] *= _half(stacked.dtype)
        by_gate = stacked.reshape(-1, 4, hidden).swapaxes(0, 1)
        self._in_a_row = n == 1
        self.function: Callable[..., Array] = np.ndarray.dot if n == 1 else np.matmul
        self.weights = stacked if n == 1 else np.ascontiguousarray(by_gate)

    def shaped(self, gates: Array) -> Array:
        """Gates (4, size, H) in the shape that ``function`` writes to."""
        return gates.reshape(1, -1) if self._in_a_row else gates


def _slopes(cache: Cache, block: Block, room: Array) -> tuple[Array, Array]:
    """Derivatives of each step of a block, written into ``room`` (6, rows, H).

    Those of the cell state by the gates' arguments, but of the hidden state by that of the output
    gate, and of the cell state by the one before, (steps, 5, size, H); of the hidden state by the
    cell state. s' = s (1 - s) and tanh' = 1 - tanh^2 are written as p - p s to save passes.
    """
    hidden, size = cache.cells.shape[1], block.size
    kept = block.steps(cache.kept, 7, size, hidden)
    of_candidate, _, tanh_c, i, f, o, g = kept.swapaxes(0, 1)
    flat = room.reshape(-1)[: 6 * i.size]
    to_cell, to_gates = flat[: i.size].reshape(i.shape), flat[i.size :].reshape(-1, 5, *i.shape[1:])
    _, _, to_o, to_g, to_before = to_gates.swapaxes(0, 1)
    np.multiply(kept[:, :2], kept[:, 3:5], to_gates[:, :2])
    np.subtract(kept[:, :2], to_gates[:, :2], to_gates[:, :2])
    np.multiply(of_candidate, g, to_g)
    np.subtract(i, to_g, to_g)
    np.multiply(o, tanh_c, to_o)
    np.multiply(to_o, tanh_c, to_cell)
    np.subtract(o, to_cell, to_cell)
    np.multiply(to_o, o, to_before)
    np.subtract(to_o, to_before, to_o)
    to_gates[:, 4] = f
    return to_gates, to_cell


def _chunks(
    walk: Walk, hidden: int, dtype: np.dtype[np.floating]
) -> Iterator[tuple[Run, Array, Array]]:
    """Runs of steps, and room for both: slopes (6, rows, H), dz (slots, 4, H)."""
    found = list(runs(walk, CHUNK_SIZE // hidden))
    most_rows = max(run.rows.stop - run.rows.start for run in found)
    slopes = arenas.empty((6, most_rows, hidden), dtype)
    dz = arenas.empty((max(run.slots.stop - run.slots.start for run in found), 4, hidden), dtype)
    for run in found:
        dz_run = dz[: run.slots.stop - run.slots.start]
        if not walk.even:
            dz_run[...] = 0
        yield run, slopes, dz_run


def _add_weight_gradient(gradient: Weights, dw: Array) -> None:
    hidden = len(gradient.hh)
    np.add(gradient.hh, dw[:hidden], out=gradient.hh)
    np.add(gradient.ih, dw[hidden:-1], out=gradient.ih)
    np.add(gradient.bias, dw[-1], out=gradient.bias)
