"""The recurrence of an LSTM layer, compiled: forward pass, backward pass, inference.

Arguments and results are those of ``numpy_kernels``. Shapes: ``n`` sequences, ``S`` slots (see
``slots``), ``P`` packed rows, ``D`` inputs, ``H`` hidden units, ``K`` outputs. ``U`` is ``H``
rounded up to whole vectors, so that compiled code needs no special case for the last units.
*Operands* hold ``[x, 1, h_before]`` in each slot that a step reads; the hidden state begins at
column ``first_h = D + 1``.

Compiled functions get addresses and sizes. Variables in this module keep the memory at these
addresses alive during the call.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels import arenas
from sklstm._network.kernels.compiled.cpu import MAX_FORWARD_ROWS, ROWS_AT_ONCE, lanes_of
from sklstm._network.kernels.compiled.loading import address, addresses, bind, call
from sklstm._network.kernels.pooled import Pooled
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.kernels.weights import OutputWeights, Weights

Array = NDArray[np.floating]

#: The result of ``kernels.values_per_unit``: 5 activations, the hidden state (twice with recurrent
#: dropout) and the cell state.
VALUES_PER_UNIT = 8

#: The thresholds of ``kernels.threads_pay``. It takes a tenth of a millisecond to wake a thread.
MIN_WORK, MIN_VALUES = 4e7, 0

#: Maximum number of packed rows in a run of the backward pass.
RUN_ROWS = 128

#: For how many sizes of batches the shapes of arrays are kept.
_MAX_SIZES = 64

_INTEGER = np.dtype(np.int64)


def min_rows(work: float) -> int:
    """Return the minimum number of sequences per shard.

    It is smaller for much work: the time to pack the weights once more is negligible then.
    """
    return 16 if work >= 1e8 else 32


class Cache(NamedTuple):
    """Arrays of a forward pass that the backward pass needs."""

    layout: SlotLayout
    operands: Array  # (S, D + 1 + U)
    cells: Array  # (S, U), cell states
    activations: Array  # (5 P U,): i, f, o, g and c_before, in the order of computation
    mask: Array | None  # (n, H), recurrent dropout
    argmax: Array  # (n, U): the row of ``table`` with the maximum, as bits of an integer


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

    All hidden states are added to ``pooled`` (n, H), the sum and the maximum of no steps.
    """
    dtype, hidden, first_h = x.dtype, len(weights.hh), x.shape[1] + 1
    n, n_slots = layout.n_sequences, layout.n_slots
    sizes = n, n_slots, layout.n_packed, first_h, hidden, pooled is not None
    arrays, at = _empty(dtype, _shapes_of_forward(*sizes, lanes_of(dtype)))
    operands, cells, activations, argmax, _ = arrays
    operands[layout.final, :first_h] = 0  # products over all slots read them, although no step does
    h, h_offset = operands, first_h
    if mask is not None:
        (h,), h_offset = arenas.empty(dtype, cells.shape), 0
    for array, first, initial in ((h, h_offset, h0), (cells, 0, c0)):
        array[layout.initial, first:] = 0
        if initial is not None:
            array[layout.initial, first : first + hidden] = initial
    if mask is not None:
        operands[:, first_h + hidden :] = 0
        operands[layout.initial, first_h : first_h + hidden] = h[layout.initial, :hidden] * mask
        mask = np.ascontiguousarray(mask)
    (at_total, at_maximum), strides = _rows(dtype, *_sum_and_maximum(pooled))
    x = np.ascontiguousarray(x)  # this variable keeps the memory alive during the call
    at_operands, at_cells, at_activations, at_argmax, at_scratch = at
    at_h = at_operands if mask is None else address(h, dtype)
    call(
        "forward", dtype, address(layout.table, _INTEGER), *addresses(dtype, x, *weights),
        at_operands,
        at_h + h_offset * dtype.itemsize, at_cells, at_activations,
        _address_or_zero(mask, dtype), at_total, at_maximum, at_argmax, at_scratch,
        len(layout.table), n, first_h - 1, hidden, mask is not None, *strides,
    )  # fmt: skip
    h = h[:, h_offset : h_offset + hidden]
    return h, cells[:, :hidden], Cache(layout, operands, cells, activations, mask, argmax)


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
    (n, hidden), dtype, first_h = h.shape, x.dtype, x.shape[1] + 1
    n_lanes, x = lanes_of(dtype), np.ascontiguousarray(x)
    width = _whole(hidden, n_lanes)
    scratch_size = _forward_scratch_size(first_h + hidden, width, MAX_FORWARD_ROWS, n_lanes)
    scratch_size += 3 * n * width + 2 * n * (first_h + width)
    scratch = np.empty(scratch_size, dtype)
    at_rows, strides = _rows(dtype, y, *_sum_and_maximum(pooled))
    *given, at_scratch = addresses(dtype, x, *weights, h, c, scratch)
    call(
        "infer", dtype, address(layout.table, _INTEGER), *given, *at_rows, at_scratch,
        len(layout.table), n, first_h - 1, hidden, *strides,
    )  # fmt: skip


class Stepper:
    """Advances ``n`` sequences by one step at each call, and stores their states in between.

    The states ``h`` and ``c`` (n, H) are zero at first and may be overwritten. A call with inputs
    (n, D) returns the values of the output layer (n, K) or, if ``output`` is None, a view of the
    hidden states. With inputs that are not finite or beyond `limits.largest_input`, it returns None
    and leaves the states unchanged.
    """

    def __init__(self, weights: Weights, n: int, output: OutputWeights | None = None) -> None:
        (n_inputs, _), hidden, dtype = weights.ih.shape, len(weights.hh), weights.hh.dtype
        width, first_h = _whole(hidden, lanes_of(dtype)), n_inputs + 1
        packed, z = arenas.empty(
            dtype, (4 * width * (first_h + hidden),), (4 * width * MAX_FORWARD_ROWS,)
        )
        call("pack", dtype, *addresses(dtype, *weights, packed), n_inputs, hidden)
        operands, cells = np.zeros((n, first_h + width), dtype), np.zeros((n, width), dtype)
        operands[:, n_inputs] = 1
        self.h, self.c = operands[:, first_h : first_h + hidden], cells[:, :hidden]
        stacked = np.empty((1, 0), dtype)
        if output is not None:
            stacked = np.vstack(output)
        self._has_output, n_outputs = output is not None, stacked.shape[1]
        self._inputs, self._out = np.empty((n, n_inputs), dtype), np.empty((n, n_outputs), dtype)
        self._arrays = self._inputs, packed, operands, cells, z, stacked, self._out
        arguments = *addresses(dtype, *self._arrays), n, n_inputs, hidden, n_outputs
        self._step = bind("step", dtype, *arguments)

    def __call__(self, x: Array) -> Array | None:
        self._inputs[...] = x
        if not self._step():
            return None
        return self._out.copy() if self._has_output else self.h


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
    layout, dtype, mask, n_inputs = cache.layout, dh.dtype, cache.mask, len(weights.ih)
    n, hidden = layout.n_sequences, len(weights.hh)
    sizes = n, layout.n_slots, layout.n_packed, n_inputs, hidden, dpooled is not None, need_inputs
    shapes = _shapes_of_backward(*sizes, RUN_ROWS, lanes_of(dtype))
    arrays, (at_scratch, at_dx) = _empty(dtype, shapes)
    added = dy, dcells, *_sum_and_maximum(dpooled)
    rows = [None if array is None else _with_contiguous_rows(array) for array in added]
    at_rows, strides = _rows(dtype, *rows)
    *given, at_argmax, at_ih, at_hh, at_bias = addresses(
        dtype, cache.operands, cache.activations, weights.ih, weights.hh, dh, dc,
        cache.argmax, *gradient,
    )  # fmt: skip
    call(
        "backward", dtype, address(layout.table, _INTEGER), *given,
        _address_or_zero(mask, dtype), *at_rows, at_argmax, at_dx, at_ih, at_hh, at_bias,
        at_scratch, len(layout.table), layout.n_sequences, n_inputs, hidden, RUN_ROWS,
        mask is not None, *strides, need_inputs,
    )  # fmt: skip
    return arrays[1] if need_inputs else None


def _empty(
    dtype: np.dtype[np.floating], shapes: tuple[arenas.Shape, ...]
) -> tuple[arenas.Arrays, list[int]]:
    """Return uninitialised arrays and their addresses."""
    return arenas.made(_with_addresses, (), dtype, *shapes)


def _with_addresses(arrays: arenas.Arrays) -> tuple[arenas.Arrays, list[int]]:
    return arrays, addresses(arrays[0].dtype, *arrays)


def _whole(number: int, n_lanes: int) -> int:
    """Round up to a multiple of the elements of a vector."""
    return (number + n_lanes - 1) // n_lanes * n_lanes


def _forward_scratch_size(depth: int, width: int, rows: int, n_lanes: int) -> int:
    """Return the size of packed weights and the gates of some rows, with space to align them."""
    return 4 * width * depth + (4 * rows + 1) * n_lanes


@lru_cache(maxsize=_MAX_SIZES)
def _shapes_of_forward(
    n: int, n_slots: int, n_packed: int, first_h: int, hidden: int, pools: bool, n_lanes: int
) -> tuple[arenas.Shape, ...]:
    """Return the shapes of operands, cells, activations, argmax and scratch memory."""
    width = _whole(hidden, n_lanes)
    scratch_size = _forward_scratch_size(first_h + hidden, width, ROWS_AT_ONCE, n_lanes)
    scratch_size += 2 * n * width * pools
    states, activations = (n_slots, width), (n_packed * 5 * width,)
    return (n_slots, first_h + width), states, activations, (n, width), (scratch_size,)


@lru_cache(maxsize=_MAX_SIZES)
def _shapes_of_backward(
    n: int, n_slots: int, n_packed: int, n_inputs: int, hidden: int,
    pools: bool, need_inputs: bool, run_rows: int, n_lanes: int,
) -> tuple[arenas.Shape, ...]:  # fmt: skip
    """Return the shapes of the scratch memory and of the gradients at the inputs.

    The scratch memory has the arrays of ``backward_pass.backward``, and space to align them. The
    slots of a run are those of its rows, and fewer than ``n`` others in between.
    """
    width, slots = _whole(hidden, n_lanes), min(n_slots, run_rows + n)
    packed = width + _whole(n_inputs, n_lanes) + n_inputs + 1 + hidden
    scratch_size = 2 * n * width + 4 * width * (packed + slots) + 2 * n_lanes * n + n_lanes
    return (scratch_size + 2 * n * width * pools,), (n_packed if need_inputs else 0, n_inputs)


def _sum_and_maximum(pooled: Pooled | None) -> tuple[Array | None, Array | None]:
    return (None, None) if pooled is None else (pooled.total, pooled.maximum)


def _with_contiguous_rows(array: Array) -> Array:
    """Copy the array if its rows are not contiguous or not a whole number of elements apart."""
    row_stride, element_stride = array.strides
    contiguous = element_stride == array.itemsize
    regular = row_stride > 0 and row_stride % array.itemsize == 0
    return array if contiguous and regular else np.ascontiguousarray(array)


def _address_or_zero(array: Array | None, dtype: np.dtype[np.floating]) -> int:
    return 0 if array is None else address(array, dtype)


def _rows(dtype: np.dtype[np.floating], *arrays: Array | None) -> tuple[list[int], list[int]]:
    """Return addresses and numbers of elements from one row to the next, or zeros.

    Unlike in other arrays, rows may have gaps between them.
    """
    at_rows, strides = [0] * len(arrays), [0] * len(arrays)
    for k, array in enumerate(arrays):
        if array is not None:
            at_rows[k] = address(array[:1], dtype)
            strides[k] = array.strides[0] // dtype.itemsize
    return at_rows, strides
