"""The recurrence of an LSTM layer and its reverse, compiled by Numba.

They take and return what those of ``numpy_kernels`` do. Shapes: ``n`` sequences, ``S`` slots (see
``walk``), ``P`` packed rows, ``D`` inputs, ``H`` hidden units, ``U`` of them with padding to whole
vectors, so that compiled code meets no remainder.

What is compiled is given addresses and sizes. Variables here keep alive what lies there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels import arenas
from sklstm._network.kernels.compiled.cpu import MOST_ROWS, VECTOR_BYTES, lanes_of
from sklstm._network.kernels.compiled.loading import addresses, bound, run
from sklstm._network.kernels.slots import Walk
from sklstm._network.kernels.weights import ReadOut, Weights

Array = NDArray[np.floating]

#: See ``kernels.numbers_a_unit``.
NUMBERS_A_UNIT = 8

#: See ``kernels.threads_pay``. To wake a thread takes a tenth of a millisecond.
LEAST_WORK, LEAST_VALUES = 4e7, 0

#: Rows whose gradients at gates are worked out before those of the weights follow.
CHUNK_ROWS = 128

_INTEGER = np.dtype(np.int64)


def least_rows(work: float) -> int:
    """See ``kernels.least_rows``. To pack the weights twice is nothing beside many steps."""
    return 16 if work >= 1e8 else 32


class Cache(NamedTuple):
    """What the reverse pass needs of the forward pass."""

    walk: Walk
    states: Array  # (S, D + 1 + U): what a step multiplies, inputs, a one for the bias, and h
    cells: Array  # (S, U)
    kept: Array  # (P * 5 U,), in the order in which steps are worked out
    mask: Array | None  # (n, H), recurrent dropout


def forward(
    x: Array, weights: Weights, walk: Walk, h0: Array | None, c0: Array | None, mask: Array | None
) -> tuple[Array, Array, Cache]:
    """Hidden and cell states in their slots, and the cache for ``backward``.

    ``x`` (P, D) are the packed inputs; ``h0``, ``c0`` (n, H) the states to start from (None: zero);
    ``mask`` (n, H) multiplies the state that each step reads.
    """
    dtype, hidden, begin = x.dtype, len(weights.hh), x.shape[1] + 1
    width = _padded(hidden, dtype)
    states = arenas.empty((walk.n_slots, begin + width), dtype)
    cells = arenas.empty((walk.n_slots, width), dtype)
    states[walk.final, :begin] = 0  # no step reads those slots, but products of all slots do
    h, h_begin = (states, begin) if mask is None else (arenas.empty(cells.shape, dtype), 0)
    for array, first, start in ((h, h_begin, h0), (cells, 0, c0)):
        array[walk.start, first:] = 0
        if start is not None:
            array[walk.start, first : first + hidden] = start
    if mask is not None:
        states[:, begin + hidden :] = 0
        states[walk.start, begin : begin + hidden] = h[walk.start, :hidden] * mask
        mask = np.ascontiguousarray(mask)
    x, kept = np.ascontiguousarray(x), _aligned(walk.n_packed * 5 * width, dtype)
    room = arenas.empty((_of_products(begin + hidden, width, dtype),), dtype)
    *given, at_h, at_cells, at_kept, at_room = addresses(
        dtype, x, *weights, states, h, cells, kept, room
    )
    run(
        "forward", dtype, *addresses(_INTEGER, walk.table), *given,
        at_h + h_begin * dtype.itemsize, at_cells, at_kept, _optional(mask, dtype), at_room,
        len(walk.table), begin - 1, hidden, mask is not None,
    )  # fmt: skip
    h = h[:, h_begin : h_begin + hidden]
    return h, cells[:, :hidden], Cache(walk, states, cells, kept, mask)


def infer(x: Array, weights: Weights, walk: Walk, h: Array, c: Array, y: Array | None) -> None:
    """Walk the steps without keeping what the reverse pass would need.

    ``h`` and ``c`` (n, H) go in as the start and come out as the final states; ``y`` (P, H), where
    it is wanted, is filled with the hidden state of every step.
    """
    (n, hidden), dtype, begin = h.shape, x.dtype, x.shape[1] + 1
    width, x = _padded(hidden, dtype), np.ascontiguousarray(x)
    of_states = n * width + 2 * n * (begin + width)
    room = np.empty(_of_products(begin + hidden, width, dtype) + of_states, dtype)
    *given, at_room = addresses(dtype, x, *weights, h, c, room)
    run(
        "infer", dtype, *addresses(_INTEGER, walk.table), *given, _rows(y, dtype), at_room,
        len(walk.table), n, begin - 1, hidden, _stride(y),
    )  # fmt: skip


class Stepper:
    """See ``numpy_kernels.Stepper``."""

    def __init__(self, weights: Weights, n: int, read_out: ReadOut | None = None) -> None:
        (n_inputs, _), hidden, dtype = weights.ih.shape, len(weights.hh), weights.hh.dtype
        width, begin = _padded(hidden, dtype), n_inputs + 1
        packed = _aligned(4 * width * (begin + hidden), dtype)
        run("pack", dtype, *addresses(dtype, *weights, packed), n_inputs, hidden)
        states, cells = np.zeros((n, begin + width), dtype), np.zeros((n, width), dtype)
        states[:, n_inputs] = 1
        self.h, self.c = states[:, begin : begin + hidden], cells[:, :hidden]
        z, reads = _aligned(4 * width * MOST_ROWS, dtype), np.empty((1, 0), dtype)
        if read_out is not None:
            reads = np.vstack(read_out)
        self._reads_out, n_outputs = read_out is not None, reads.shape[1]
        self._inputs, self._out = np.empty((n, n_inputs), dtype), np.empty((n, n_outputs), dtype)
        self._arrays = self._inputs, packed, states, cells, z, reads, self._out
        numbers = *addresses(dtype, *self._arrays), n, n_inputs, hidden, n_outputs
        self._step = bound("step", dtype, *numbers)

    def __call__(self, x: Array) -> Array | None:
        self._inputs[...] = x
        if not self._step():
            return None
        return self._out.copy() if self._reads_out else self.h


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
    walk, dtype, mask, n_inputs = cache.walk, dh.dtype, cache.mask, len(weights.ih)
    hidden, width = len(weights.hh), cache.cells.shape[1]
    dy, dcells = (_with_whole_rows(array) for array in (dy, dcells))
    dx = arenas.empty((walk.n_packed, n_inputs), dtype) if need_inputs else None
    room = arenas.empty((_of_way_back(walk, n_inputs, hidden, width, dtype),), dtype)
    *given, at_ih, at_hh, at_bias, at_room = addresses(
        dtype, cache.states, cache.kept, weights.ih, weights.hh, dh, dc, *gradient, room
    )
    run(
        "backward", dtype, *addresses(_INTEGER, walk.table), *given, _optional(mask, dtype),
        _rows(dy, dtype), _rows(dcells, dtype), _optional(dx, dtype), at_ih, at_hh, at_bias,
        at_room, len(walk.table), walk.n_sequences, n_inputs, hidden, CHUNK_ROWS,
        mask is not None, _stride(dy), _stride(dcells), need_inputs,
    )  # fmt: skip
    return dx


def _padded(number: int, dtype: np.dtype[np.floating]) -> int:
    """As many as whole vectors hold."""
    size = lanes_of(dtype)
    return (number + size - 1) // size * size


def _of_products(depth: int, width: int, dtype: np.dtype[np.floating]) -> int:
    """Room for packed weights and a tile of the gates, from where a vector may begin."""
    return 4 * width * depth + (4 * MOST_ROWS + 1) * lanes_of(dtype)


def _of_way_back(
    walk: Walk, n_inputs: int, hidden: int, width: int, dtype: np.dtype[np.floating]
) -> int:
    """Room for the arrays of ``compiled.backward``, from where a vector may begin.

    A run has the slots of its rows and, in between, such as no step of it reads: fewer than ``n``.
    """
    size, n = lanes_of(dtype), walk.n_sequences
    slots = min(walk.n_slots, CHUNK_ROWS + n)
    packed = width + _padded(n_inputs, dtype) + n_inputs + 1 + hidden
    return 2 * n * width + 4 * width * (packed + slots) + 2 * size * n + size


def _with_whole_rows(array: Array | None) -> Array | None:
    """With rows in one piece, and a whole number of elements from each to the next."""
    if array is None:
        return None
    to_row, to_element = array.strides
    plain = to_element == array.itemsize and to_row > 0 and to_row % array.itemsize == 0
    return array if plain else np.ascontiguousarray(array)


def _aligned(size: int, dtype: np.dtype[np.floating]) -> Array:
    """An array whose vectors do not straddle lines of the processor's cache."""
    array = arenas.empty((size + lanes_of(dtype),), dtype)
    begin = -addresses(dtype, array)[0] % VECTOR_BYTES // dtype.itemsize
    return array[begin : begin + size]


def _optional(array: Array | None, dtype: np.dtype[np.floating]) -> int:
    """The address, or zero."""
    return 0 if array is None else addresses(dtype, array)[0]


def _rows(array: Array | None, dtype: np.dtype[np.floating]) -> int:
    """The address, or zero; there may be gaps between the rows."""
    return 0 if array is None else addresses(dtype, array[:1])[0]


def _stride(array: Array | None) -> int:
    """From row to row, or zero."""
    return 0 if array is None else array.strides[0] // array.itemsize
