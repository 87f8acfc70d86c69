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
- Arrays are cut into the views of single steps before the loop over the steps.
- For batches of equal lengths, this is done once for all of them, and a step works where its
  activations are kept. Otherwise it works in scratch memory, from where these are copied in one
  piece: to make a dozen views for each step takes longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels import arenas
from sklstm._network.kernels.limits import all_accepted
from sklstm._network.kernels.numpy_steps import (
    N_ACTIVATIONS,
    first_rows,
    forward_memory,
    forward_step,
    is_kept,
    made,
    memory_of_step,
    packed,
    product_of_rows,
)
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

#: The result of ``kernels.values_per_unit``: 8 activations, the hidden state (twice with recurrent
#: dropout) and the cell state.
VALUES_PER_UNIT = 11

#: The thresholds of ``kernels.threads_pay``. Threads wait for each other between calls of NumPy, so
#: a single call must take long enough.
MIN_WORK, MIN_VALUES = 2e7, 5000

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
    #: (P, 8 H), for each step (8, size, H): see ``numpy_steps``; without c_before (P, 7 H)
    activations: Array
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
    memory = forward_memory(layout, x.shape[1], len(weights.hh), x.dtype, mask is not None)
    operands, h, cells, activations, groups = memory
    _write_inputs(operands, x, layout)
    h[layout.initial] = 0 if h0 is None else h0
    cells[layout.initial] = 0 if c0 is None else c0
    if mask is not None:
        operands[layout.initial, : h.shape[1]] = h[layout.initial] * mask
    c_after = cells[layout.outputs]  # a view, or a copy for a ragged batch in reverse
    product_weights = packed(weights, layout.n_sequences == 1)
    for steps, by_step, scratch, c_before, views in groups:
        size, first = steps.size, steps.sources[0]
        results, c, step_h = scratch[:-2], *scratch[-2:]
        c_before[...] = cells[first : first + size]
        step_mask = None if mask is None else mask[:size]
        with np.errstate(over="ignore"):  # tanh of infinity is 1, as it should be
            for operand, step_memory, h_t, activations_t, next_h in views:
                forward_step(operand, product_weights, step_memory, step_h)
                h_t[...] = step_h
                if activations_t is not None:
                    activations_t[...] = results
                if step_mask is not None:
                    np.multiply(step_h, step_mask, next_h)
        np.add(by_step[:, 0], by_step[:, 1], steps.by_step(c_after, *step_h.shape))
        last = steps.targets[-1]
        cells[last : last + size] = c
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
    product_weights = packed(weights, n == 1)
    (scratch,) = arenas.empty(x.dtype, (N_ACTIVATIONS + 1, n, hidden))
    for steps in equal_steps(layout.table, layout.equal_lengths):
        size = steps.size
        *_, cells, step_h = step_scratch = first_rows(scratch, size)
        memory = memory_of_step(step_scratch[:-1], cells, operands.shape[1], n == 1)
        operand, cells[...] = operands[:size], c[:size]
        h_t, inputs = operand[:, :hidden], operand[:, hidden:-1]
        # The memory comes first: it adds up the last steps when there are no more.
        outputs = _memory_of_steps(y, pooled, steps, step_h)
        with np.errstate(over="ignore"):
            for out, x_t in zip(outputs, steps.split(x, steps.rows), strict=False):
                inputs[...] = x_t
                forward_step(operand, product_weights, memory, out)
                h_t[...] = out
        h[:size], c[:size] = h_t, cells


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
        self._weights = packed(weights, in_one_piece=False)
        *activations, self._h = scratch = np.zeros((N_ACTIVATIONS + 1, n, hidden), dtype)
        self.c = activations[-1]
        self._memory = memory_of_step(scratch[:-1], self.c, self._operand.shape[1], False)
        self._output = output

    def __call__(self, x: Array) -> Array | None:
        if not (isfinite(np.vdot(x, x)) or all_accepted(x)):
            return None
        self._inputs[...] = x
        with np.errstate(over="ignore"):
            forward_step(self._operand, self._weights, self._memory, self._h)
        self.h[...] = self._h
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
    layout, hidden, hh_transposed = cache.layout, len(weights.hh), weights.hh.T
    scratch, at_inputs, found = _backward_memory(layout, len(weights.ih), need_inputs, dh)
    dx, gradients = at_inputs if need_inputs else None, (dy, dcells)
    if len(dh) > 1:  # for one sequence the product is faster with the view
        hh_transposed = np.ascontiguousarray(hh_transposed)
    for run, dz, groups in found:
        if not layout.equal_lengths:
            dz[...] = 0  # no step of the run reads or writes some of these slots
        for steps, derivatives, views in groups:
            _write_derivatives(cache, steps, derivatives)
            step, rows = _backward_step(hh_transposed, scratch, steps.size), slice(steps.size)
            added = [repeat(None) if d is None else steps.split(d, steps.rows) for d in gradients]
            mask = None if cache.mask is None else cache.mask[rows]
            _backward_steps(step, zip(views, *added, strict=False), mask, dh[rows], dc[rows])
        flat = dz.reshape(-1, 4 * hidden)
        _add_weight_gradient(gradient, cache.operands[run.slots].T @ flat)
        if dx is not None:
            at_slots = flat @ weights.ih.T
            dx[run.rows] = select_slots(at_slots, layout.inputs, run.rows, run.slots.start)
    return dx


class _Derivatives(NamedTuple):
    """The derivatives of equal steps that the backward pass needs."""

    gates: Array  # (n_steps, 5, size, H): dc/dz_i, dc/dz_f, dh/dz_o, dc/dz_g, dc/dc_before
    cell: Array  # (n_steps, size, H): dh/dc


#: Equal steps, their derivatives, and for each step the derivatives of gates and cell, and the gate
#: gradients dz as (size, 4, H) and as (size, 4 H).
_StepViews = tuple[EqualSteps, _Derivatives, Iterable[tuple[Array, ...]]]
#: A run, its gate gradients (slots, 4, H), and its steps.
_RunMemory = tuple[Run, Array, Iterable[_StepViews]]


class _BackwardMemory(NamedTuple):
    """Arrays of a backward pass, and the views of its steps."""

    scratch: Array  # (11, n, H)
    at_inputs: Array  # (P, D), or (0, D) if the gradient at the inputs is not needed
    runs: Iterable[_RunMemory]


def _backward_memory(
    layout: SlotLayout, n_inputs: int, need_inputs: bool, dh: Array
) -> _BackwardMemory:
    n, hidden = dh.shape
    max_rows = min(layout.n_packed, max(RUN_SIZE // hidden, n))
    between = 0 if layout.equal_lengths else n  # slots of other rows between those of a run
    max_slots = min(layout.n_slots, max_rows + between)
    shapes = (
        (11, n, hidden), (layout.n_packed if need_inputs else 0, n_inputs),
        (6, max_rows, hidden), (max_slots, 4, hidden),
    )  # fmt: skip
    return made(layout, _cut_backward, dh.dtype, *shapes)


def _cut_backward(arrays: arenas.Arrays, layout: SlotLayout) -> _BackwardMemory:
    scratch, at_inputs, derivatives, dz = arrays
    found = _cut_runs(derivatives, dz, layout)
    return _BackwardMemory(scratch, at_inputs, list(found) if is_kept(layout) else found)


def _cut_runs(derivatives: Array, dz: Array, layout: SlotLayout) -> Iterator[_RunMemory]:
    for run in runs(layout, RUN_SIZE // dz.shape[2]):
        dz_run = dz[: run.slots.stop - run.slots.start]
        equal = equal_steps(run.table, layout.equal_lengths)
        groups = (_cut_steps(steps, derivatives, dz_run, run.slots.start) for steps in equal)
        if is_kept(layout):
            yield run, dz_run, [(steps, arrays, list(views)) for steps, arrays, views in groups]
        else:
            yield run, dz_run, groups


def _cut_steps(steps: EqualSteps, scratch: Array, dz: Array, first_slot: int) -> _StepViews:
    """Cut scratch memory (6, rows, H) for derivatives, and dz, which begins with a slot."""
    n_steps, size, hidden = len(steps.rows), steps.size, dz.shape[2]
    of_gates = scratch.reshape(-1)[: 5 * n_steps * size * hidden]
    of_cell = scratch.reshape(-1)[of_gates.size :][: n_steps * size * hidden]
    derivatives = _Derivatives(
        of_gates.reshape(n_steps, 5, size, hidden), of_cell.reshape(n_steps, size, hidden)
    )
    slots = [slot - first_slot for slot in steps.sources]
    flat = steps.split(dz.reshape(len(dz), -1), slots)
    return steps, derivatives, zip(*derivatives, steps.split(dz, slots), flat, strict=True)


class _BackwardStep(NamedTuple):
    """A function that computes a step of the backward pass, and its results.

    The gradients at the states after the step are replaced by those at the states before it.
    """

    compute: Callable[[Array, Array, Array, Array], None]
    dh: Array  # (size, H)
    dc: Array  # (size, H)


def _backward_step(hh_transposed: Array, scratch: Array, size: int) -> _BackwardStep:
    """Return the backward step of ``size`` sequences.

    One call multiplies dc, dc, dh, dc and dc by the five derivatives of the gates. The
    results are the gate gradients, and the gradient at the cell state before the step.
    """
    hidden = scratch.shape[2]
    parts = scratch.reshape(-1)[: 11 * size * hidden].reshape(11, size, hidden)
    upstream, products, from_h = parts[:5], parts[5:10], parts[10]
    first, second, dh, others, dc = *upstream[:3], upstream[3:], products[4]
    by_row = products[:4].swapaxes(0, 1)
    add, multiply = np.add, np.multiply
    weights = hh_transposed[None]
    multiply_weights, memory = product_of_rows(hh_transposed.size, dh[None])
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

    ``views`` are those of ``_BackwardMemory``, ``dy`` and ``dcells`` for each step, or None.
    """
    compute, at_h, at_c = step
    at_h[...], at_c[...] = dh, dc
    for (gate_derivatives, cell_derivative, dz_gates, dz), dy_t, dcells_t in views:
        if dy_t is not None:
            np.add(at_h, dy_t, at_h)
        if dcells_t is not None:
            np.add(at_c, dcells_t, at_c)
        compute(gate_derivatives, cell_derivative, dz_gates, dz)
        if mask is not None:
            np.multiply(at_h, mask, at_h)
    dh[...], dc[...] = at_h, at_c


def _write_inputs(operands: Array, x: Array, layout: SlotLayout) -> None:
    """Write inputs and ones to operands (S, H + D + 1); slots that no step reads become zero."""
    operands[layout.inputs, -x.shape[1] - 1 : -1] = x
    operands[:, -1] = 1
    operands[layout.final] = 0


def _write_derivatives(cache: Cache, steps: EqualSteps, derivatives: _Derivatives) -> None:
    """Compute the derivatives of some steps.

    The derivatives s (1 - s) of sigmoid and 1 - tanh^2 of tanh are written as p - p s, which takes
    fewer calls.
    """
    gates, cell = derivatives
    activations = steps.by_step(cache.activations, -1, *cell.shape[1:])
    input_times_candidate, _, tanh_c, i, f, o, g = activations.swapaxes(0, 1)[:7]
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


def _add_weight_gradient(gradient: Weights, dw: Array) -> None:
    hidden = len(gradient.hh)
    np.add(gradient.hh, dw[:hidden], out=gradient.hh)
    np.add(gradient.ih, dw[hidden:-1], out=gradient.ih)
    np.add(gradient.bias, dw[-1], out=gradient.bias)
