"""The recurrence of an LSTM layer in NumPy: forward pass, backward pass, inference.

Shapes: ``n`` sequences, ``size`` of them at a step, ``S`` slots (see ``slots``), ``P`` packed rows,
``D`` inputs, ``H`` hidden units, ``K`` outputs. Gates have the order input, forget, output,
candidate (i, f, o, g); ``z`` are their arguments, before sigmoid and tanh. A step computes::

    z = [h_before, x, 1] @ [weight_hh; weight_ih; bias]
    c = i * g + f * c_before
    h = o * tanh(c)

*Operands* (S, H + D + 1) hold ``[h_before, x, 1]`` in each slot that a step reads, so that a step
is one product. A step stores its gates one after the other, (4, size, H): the product becomes four
smaller ones, which take as long as a single one, and all that follows works on contiguous memory. A
ufunc call on small contiguous arrays takes 0.2 microseconds; with gaps between the rows it takes 1.

For small batches, most of the time is the overhead of NumPy's calls, so this module avoids calls:

- The sigmoid is (1 + tanh(z / 2)) / 2, so one call of tanh serves all four gates.
- Pairs of products, such as i * g and f * c_before, are stored side by side and need one call.
- A step works in scratch memory, from where its activations are copied in one piece.
- Arrays are cut into the views of single steps before the loop over the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._blas import is_fast_for_small_products
from sklstm._network.kernels import arenas
from sklstm._network.kernels.limits import all_accepted
from sklstm._network.kernels.pooled import (
    Pooled,
    Steps,
    add_steps,
    gradient_at_steps,
    pooled_memory,
)
from sklstm._network.kernels.runs import EqualSteps, Run, equal_steps, runs, select_slots
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.kernels.weights import OutputWeights, Weights

Array = NDArray[np.floating]

#: The result of ``kernels.values_per_unit``: 7 activations, the hidden state (twice with recurrent
#: dropout) and the cell state.
VALUES_PER_UNIT = 10

#: The thresholds of ``kernels.threads_pay``. Threads wait for each other between calls of NumPy, so
#: a single call must take long enough.
MIN_WORK, MIN_VALUES = 2e7, 5000

#: The largest product, in multiplications, for which OpenBLAS has special kernels. Larger ones are
#: divided into at most MAX_ROWS rows, a multiple of MIN_ROWS.
SMALL_PRODUCT = 10**6
MIN_ROWS, MAX_ROWS = 8, 48

#: Elements of one gate in a run of the backward pass. Their derivatives stay in the cache.
RUN_SIZE = 2**16


def min_rows(work: float) -> int:
    """Return the minimum number of sequences per shard, whatever the work."""
    return 64


class Cache(NamedTuple):
    """Arrays of a forward pass that the backward pass needs."""

    layout: SlotLayout
    operands: Array  # (S, H + D + 1)
    cells: Array  # (S, H), cell states
    activations: Array  # (P, 7 H), for each step (7, size, H): see ``_Scratch``
    mask: Array | None  # (n, H), recurrent dropout
    argmax: Steps | None  # (n, H): the time step of the maximum


def forward(
    x: Array,
    weights: Weights,
    layout: SlotLayout,
    h0: Array | None,
    c0: Array | None,
    mask: Array | None,
    pooled: Pooled | None = None,
) -> tuple[Array, Array, Cache]:
    """Return hidden and cell states in their slots (S, H), and the cache for ``backward``.

    ``x`` (P, D) are the packed inputs, ``h0`` and ``c0`` (n, H) the initial states, zero by
    default. Each step multiplies the hidden state that it reads by ``mask`` (n, H). All hidden
    states are added to ``pooled`` (n, H), which are the sum and the maximum of no steps.
    """
    n, hidden = layout.n_sequences, len(weights.hh)
    states, rows = (layout.n_slots, hidden), (layout.n_packed, 7 * hidden)
    operands, cells, activations = arenas.empty(
        x.dtype, (layout.n_slots, hidden + x.shape[1] + 1), states, rows
    )
    _write_inputs(operands, x, layout)
    h = operands[:, :hidden] if mask is None else arenas.empty(x.dtype, states)[0]
    h[layout.initial] = 0 if h0 is None else h0
    cells[layout.initial] = 0 if c0 is None else c0
    if mask is not None:
        operands[layout.initial, :hidden] = h[layout.initial] * mask
    c_after = cells[layout.outputs]  # a view, or a copy for a ragged batch in reverse
    product, scratch = _Product(weights, n), _forward_scratch(n, hidden, x.dtype)
    for steps in equal_steps(layout.table, layout.equal_lengths):
        size, first = steps.size, steps.sources[0]
        step, results = _forward_step(product, scratch, size)
        step_activations, step_h = results.activations, results.h
        step_mask = None if mask is None else mask[:size]
        results.c[...] = cells[first : first + size]
        by_step = steps.by_step(activations, 7, size, hidden)
        reads, writes = steps.split(operands, steps.sources), steps.split(h, steps.targets)
        nexts = repeat(None) if mask is None else steps.split(operands[:, :hidden], steps.targets)
        with np.errstate(over="ignore"):  # tanh of infinity is 1, as it should be
            for operand, activations_t, h_t, next_h in zip(
                reads, by_step, writes, nexts, strict=False
            ):
                step(operand, step_h)
                activations_t[...] = step_activations
                h_t[...] = step_h
                if step_mask is not None:
                    np.multiply(step_h, step_mask, next_h)
        np.add(by_step[:, 0], by_step[:, 1], steps.by_step(c_after, size, hidden))
        last = steps.targets[-1]
        cells[last : last + size] = results.c
    cells[layout.outputs] = c_after
    return h, cells, Cache(layout, operands, cells, activations, mask, _pool(pooled, h, layout))


def _pool(pooled: Pooled | None, h: Array, layout: SlotLayout) -> Steps | None:
    """Add all hidden states, and return the time step of the maximum if there is one."""
    if pooled is None:
        return None
    if pooled.maximum is not None:
        pooled = pooled._replace(argmax=np.zeros(pooled.maximum.shape, np.intp))
    add_steps(pooled, h[layout.outputs], layout.batch_sizes)
    return pooled.argmax


def infer(
    x: Array,
    weights: Weights,
    layout: SlotLayout,
    h: Array,
    c: Array,
    y: Array | None = None,
    pooled: Pooled | None = None,
) -> None:
    """Replace the initial states ``h`` and ``c`` (n, H) by the final ones, without a cache.

    All hidden states are written to ``y`` (P, H) or added to ``pooled`` (n, H).
    """
    n, hidden = h.shape
    operands = np.ones((n, hidden + x.shape[1] + 1), x.dtype)
    operands[:, :hidden] = h
    product, scratch = _Product(weights, n), _forward_scratch(n, hidden, x.dtype)
    for steps in equal_steps(layout.table, layout.equal_lengths):
        size = steps.size
        step, results = _forward_step(product, scratch, size)
        operand, results.c[...] = operands[:size], c[:size]
        h_t, inputs = operand[:, :hidden], operand[:, hidden:-1]
        # The memory comes first: it adds up the last steps when there are no more.
        memory = _memory_of_steps(y, pooled, steps, results.h)
        with np.errstate(over="ignore"):
            for out, x_t in zip(memory, steps.split(x, steps.rows), strict=False):
                inputs[...] = x_t
                step(operand, out)
                h_t[...] = out
        h[:size], c[:size] = h_t, results.c


def _memory_of_steps(
    y: Array | None, pooled: Pooled | None, steps: EqualSteps, scratch: Array
) -> Iterable[Array]:
    """Return memory for the hidden states (size, H) of each step, and pool them from there."""
    if y is not None:
        return steps.split(y, steps.rows)
    if pooled is None:
        return repeat(scratch)
    return pooled_memory(pooled.part(slice(steps.size)), len(steps.rows), scratch)


class Stepper:
    """Advances ``n`` sequences by one step at each call, and stores their states in between.

    The states ``h`` and ``c`` (n, H) are zero at first and may be overwritten. A call with inputs
    (n, D) returns the values of the output layer (n, K) or, if ``output`` is None, a view of the
    hidden states. With inputs that are not finite or beyond `limits.largest_input`, it returns None
    and leaves the states unchanged.
    """

    def __init__(self, weights: Weights, n: int, output: OutputWeights | None = None) -> None:
        n_inputs, hidden, dtype = len(weights.ih), len(weights.hh), weights.hh.dtype
        self._operand = np.ones((n, hidden + n_inputs + 1), dtype)
        self._inputs = self._operand[:, hidden:-1]
        self.h = self._operand[:, :hidden]
        self.h[...] = 0
        # Gate by gate, even for one sequence: BLAS may use several threads for a longer product.
        product = _Product(weights, max(n, 2))
        self._step, self._results = _forward_step(product, _forward_scratch(n, hidden, dtype), n)
        self.c = self._results.c
        self.c[...] = 0
        self._output = output

    def __call__(self, x: Array) -> Array | None:
        if not (isfinite(np.vdot(x, x)) or all_accepted(x)):
            return None
        self._inputs[...] = x
        with np.errstate(over="ignore"):
            self._step(self._operand, self._results.h)
        self.h[...] = self._results.h
        if self._output is None:
            return self.h
        return np.dot(self.h, self._output.weight) + self._output.bias


def backward(
    cache: Cache,
    weights: Weights,
    gradient: Weights,
    dh: Array,
    dc: Array,
    dy: Array | None = None,
    dcells: Array | None = None,
    need_inputs: bool = False,
    dpooled: Pooled | None = None,
) -> Array | None:
    """Add the gradients of the weights to ``gradient``; return those of the inputs (P, D) or None.

    ``dh`` and ``dc`` (n, H) are the gradients at the final states, and are replaced by those at the
    initial states. ``dy`` and ``dcells`` (P, H) are the gradients at the hidden and cell states of
    every step, ``dpooled`` (n, H) those at their sum and maximum.
    """
    if dpooled is not None:
        dy = gradient_at_steps(dpooled, cache.argmax, cache.layout.batch_sizes)
    layout, hidden = cache.layout, len(weights.hh)
    n_rows = layout.n_packed if need_inputs else 0
    scratch, at_inputs = arenas.empty(dh.dtype, (11, *dh.shape), (n_rows, len(weights.ih)))
    dx, hh_transposed = at_inputs if need_inputs else None, weights.hh.T
    if len(dh) > 1:  # for one sequence the product is faster with the view
        hh_transposed = np.ascontiguousarray(hh_transposed)
    for run, derivatives, dz in _runs_with_scratch(layout, hidden, dh.dtype):
        for steps in equal_steps(run.table, layout.equal_lengths):
            rows, gradients = slice(steps.size), (dy, dcells)
            step = _backward_step(hh_transposed, scratch, steps.size)
            views = _views_of_steps(cache, steps, derivatives, dz, run.slots.start, gradients)
            mask = None if cache.mask is None else cache.mask[rows]
            _backward_steps(step, views, mask, dh[rows], dc[rows])
        flat = dz.reshape(-1, 4 * hidden)
        _add_weight_gradient(gradient, cache.operands[run.slots].T @ flat)
        if dx is not None:
            at_slots = flat @ weights.ih.T
            dx[run.rows] = select_slots(at_slots, layout.inputs, run.rows, run.slots.start)
    return dx


class _Scratch(NamedTuple):
    """Contiguous scratch memory of a step, which also holds its results."""

    #: (7, size, H): i * g, f * c_before, tanh(c), i, f, o, g
    activations: Array
    c: Array  # (size, H); the cell state before the step, and after it
    h: Array  # (size, H)


def _forward_scratch(n: int, hidden: int, dtype: np.dtype[np.floating]) -> Array:
    return arenas.empty(dtype, (9, n, hidden))[0]


def _forward_step(
    product: _Product, scratch: Array, size: int
) -> tuple[Callable[[Array, Array], None], _Scratch]:
    """Return a function that computes a step of ``size`` sequences, and its results.

    The function is given the operand and memory for the hidden state, such as that of the results.
    It is a closure because Python reads the variables of a closure faster than attributes.
    """
    hidden = scratch.shape[2]
    parts = scratch.reshape(-1)[: 9 * size * hidden].reshape(9, size, hidden)
    input_times_candidate, forget_times_cell, tanh_c, _, _, o, _, c, h = parts
    gates, sigmoids, pair = parts[3:7], parts[3:6], parts[:2]
    input_forget, candidate_cell = parts[3:5], parts[6:8]
    half = _half(scratch.dtype)
    multiply_weights, packed_weights, memory = product.into(gates)
    add, multiply, tanh = np.add, np.multiply, np.tanh

    def step(operand: Array, out: Array) -> None:
        multiply_weights(operand, packed_weights, memory)
        tanh(gates, gates)
        multiply(sigmoids, half, sigmoids)
        add(sigmoids, half, sigmoids)
        multiply(input_forget, candidate_cell, pair)
        add(input_times_candidate, forget_times_cell, c)
        tanh(c, tanh_c)
        multiply(o, tanh_c, out)

    return step, _Scratch(parts[:7], c, h)


class _BackwardStep(NamedTuple):
    """A function that computes a step of the backward pass, and its results.

    The gradients at the states after the step are replaced by those at the states before it.
    """

    compute: Callable[[Array, Array, Array, Array], None]
    dh: Array  # (size, H)
    dc: Array  # (size, H)


def _backward_step(hh_transposed: Array, scratch: Array, size: int) -> _BackwardStep:
    """Return the backward step of ``size`` sequences.

    One call multiplies dc, dc, dh, dc and dc by the five derivatives of ``_derivatives``. The
    results are the gate gradients, and the gradient at the cell state before the step.
    """
    hidden = scratch.shape[2]
    parts = scratch.reshape(-1)[: 11 * size * hidden].reshape(11, size, hidden)
    upstream, products, from_h = parts[:5], parts[5:10], parts[10]
    first, second, dh, others, dc = *upstream[:3], upstream[3:], products[4]
    by_row = products[:4].swapaxes(0, 1)
    add, multiply = np.add, np.multiply
    multiply_weights, weights, memory = _product_of_rows(hh_transposed[None], dh[None])
    if multiply_weights is np.matmul:  # in one piece, and faster with the method
        multiply_weights, weights, memory = np.ndarray.dot, hh_transposed, dh

    def compute(
        gate_derivatives: Array, cell_derivative: Array, dz_gates: Array, dz: Array
    ) -> None:
        multiply(dh, cell_derivative, from_h)
        add(dc, from_h, first)
        second[...] = first
        others[...] = first
        multiply(upstream, gate_derivatives, products)
        dz_gates[...] = by_row
        multiply_weights(dz, weights, memory)

    return _BackwardStep(compute, dh, dc)


def _backward_steps(
    step: _BackwardStep,
    views: Iterable[tuple[Any, ...]],
    mask: Array | None,
    dh: Array,
    dc: Array,
) -> None:
    """Compute several steps; replace ``dh`` and ``dc`` (size, H) by the gradients before them.

    ``views`` are those of ``_views_of_steps``.
    """
    compute, at_h, at_c = step
    at_h[...], at_c[...] = dh, dc
    for gate_derivatives, cell_derivative, dz_gates, dz, dy_t, dcells_t in views:
        if dy_t is not None:
            np.add(at_h, dy_t, at_h)
        if dcells_t is not None:
            np.add(at_c, dcells_t, at_c)
        compute(gate_derivatives, cell_derivative, dz_gates, dz)
        if mask is not None:
            np.multiply(at_h, mask, at_h)
    dh[...], dc[...] = at_h, at_c


def _views_of_steps(
    cache: Cache,
    steps: EqualSteps,
    derivatives: Array,
    dz: Array,
    first_slot: int,
    gradients: tuple[Array | None, ...],
) -> Iterator[tuple[Any, ...]]:
    """Return for each step: two derivatives, ``dz`` in two shapes, ``gradients`` (None if absent).

    ``dz`` (slots, 4, H) begins with slot ``first_slot``; its views are (size, 4, H), (size, 4 H).
    """
    slots = [slot - first_slot for slot in steps.sources]
    return zip(
        *_derivatives(cache, steps, derivatives),
        steps.split(dz, slots),
        steps.split(dz.reshape(len(dz), -1), slots),
        *(repeat(None) if d is None else steps.split(d, steps.rows) for d in gradients),
        strict=False,
    )


def _half(dtype: np.dtype[np.floating]) -> Array:
    """Return 0.5 as an array; NumPy would convert a Python number in every call."""
    return np.full((), 0.5, dtype)


def _write_inputs(operands: Array, x: Array, layout: SlotLayout) -> None:
    """Write inputs and ones to operands (S, H + D + 1); slots that no step reads become zero."""
    operands[layout.inputs, -x.shape[1] - 1 : -1] = x
    operands[:, -1] = 1
    operands[layout.final] = 0


class _Product:
    """The product of a step with its weights: gate by gate, or in one piece for one sequence.

    The weights of the three sigmoid gates are halved, because sigmoid is (1 + tanh(z / 2)) / 2.
    """

    def __init__(self, weights: Weights, n: int) -> None:
        hidden = len(weights.hh)
        stacked = np.concatenate([weights.hh, weights.ih, weights.bias[None]])
        stacked[:, : 3 * hidden] *= _half(stacked.dtype)
        by_gate = stacked.reshape(-1, 4, hidden).swapaxes(0, 1)
        self._in_one_piece = n == 1
        self._weights = stacked if n == 1 else np.ascontiguousarray(by_gate)

    def into(self, gates: Array) -> tuple[Callable[..., Any], Array, Any]:
        """Return a function, the weights, and the memory of gates (4, size, H).

        The function is called with the operand of a step, the weights and the memory.
        """
        if self._in_one_piece:
            return np.ndarray.dot, self._weights, gates.reshape(1, -1)
        return _product_of_rows(self._weights, gates)


def _product_of_rows(weights: Array, out: Array) -> tuple[Callable[..., Any], Array, Any]:
    """Return a function that multiplies rows (n, K) by G weights (G, K, H), into ``out`` (G, n, H).

    It is called with the rows, the weights and the memory that is returned here.
    """
    n_gates, n, hidden = out.shape
    most = SMALL_PRODUCT // weights[0].size
    if n <= most or most < MIN_ROWS or not is_fast_for_small_products():
        return np.matmul, weights, out
    n_rows = min(most // MIN_ROWS * MIN_ROWS, MAX_ROWS)
    stop = n // n_rows * n_rows
    blocks = out[:, :stop].reshape(n_gates, -1, n_rows, hidden).swapaxes(0, 1)
    return _multiply_blocks, weights, (stop, blocks, out[:, stop:])


def _multiply_blocks(rows: Array, weights: Array, memory: tuple[int, Array, Array]) -> None:
    """Multiply blocks of rows, and then the rest."""
    stop, blocks, rest = memory
    n_blocks, _, n_rows, _ = blocks.shape
    np.matmul(rows[:stop].reshape(n_blocks, 1, n_rows, -1), weights, blocks)
    if rest.size:
        np.matmul(rows[stop:], weights, rest)


def _derivatives(cache: Cache, steps: EqualSteps, scratch: Array) -> tuple[Array, Array]:
    """Return the derivatives that the backward pass needs, written into ``scratch`` (6, rows, H).

    The first array (n_steps, 5, size, H) has dc/dz_i, dc/dz_f, dh/dz_o, dc/dz_g and dc/dc_before;
    the second (n_steps, size, H) has dh/dc. The derivatives s (1 - s) of sigmoid and 1 - tanh^2 of
    tanh are written as p - p s, which takes fewer calls.
    """
    hidden, size = cache.cells.shape[1], steps.size
    activations = steps.by_step(cache.activations, 7, size, hidden)
    input_times_candidate, _, tanh_c, i, f, o, g = activations.swapaxes(0, 1)
    flat = scratch.reshape(-1)[: 6 * i.size]
    cell = flat[: i.size].reshape(i.shape)
    gates = flat[i.size :].reshape(-1, 5, *i.shape[1:])
    _, _, output, candidate, before = gates.swapaxes(0, 1)
    np.multiply(activations[:, :2], activations[:, 3:5], gates[:, :2])
    np.subtract(activations[:, :2], gates[:, :2], gates[:, :2])
    np.multiply(input_times_candidate, g, candidate)
    np.subtract(i, candidate, candidate)
    np.multiply(o, tanh_c, output)
    np.multiply(output, tanh_c, cell)
    np.subtract(o, cell, cell)
    np.multiply(output, o, before)  # an intermediate result
    np.subtract(output, before, output)
    before[...] = f
    return gates, cell


def _runs_with_scratch(
    layout: SlotLayout, hidden: int, dtype: np.dtype[np.floating]
) -> Iterator[tuple[Run, Array, Array]]:
    """Yield runs with scratch memory for derivatives (6, rows, H) and dz (slots, 4, H)."""
    found = list(runs(layout, RUN_SIZE // hidden))
    max_rows = max(run.rows.stop - run.rows.start for run in found)
    max_slots = max(run.slots.stop - run.slots.start for run in found)
    derivatives, dz = arenas.empty(dtype, (6, max_rows, hidden), (max_slots, 4, hidden))
    for run in found:
        dz_run = dz[: run.slots.stop - run.slots.start]
        if not layout.equal_lengths:
            dz_run[...] = 0  # no step of the run reads or writes some of these slots
        yield run, derivatives, dz_run


def _add_weight_gradient(gradient: Weights, dw: Array) -> None:
    hidden = len(gradient.hh)
    np.add(gradient.hh, dw[:hidden], out=gradient.hh)
    np.add(gradient.ih, dw[hidden:-1], out=gradient.ih)
    np.add(gradient.bias, dw[-1], out=gradient.bias)
