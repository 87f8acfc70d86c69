"""The recurrence of an LSTM layer and its reverse, compiled by Numba.

They take and return what those of ``with_numpy`` do. Shapes: ``n`` sequences, ``S`` slots (see
``walk``), ``P`` packed rows, ``D`` inputs, ``H`` hidden units, ``U`` of them with padding to whole
vectors, so that compiled code meets no remainder.

What is compiled is given addresses and sizes. Variables here keep alive what lies there.
"""

from __future__ import annotations

from itertools import accumulate
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels.loading import address, bound, run
from sklstm._network.kernels.machine import MOST_ROWS, lanes_of
from sklstm._network.kernels.shared import ReadOut, Weights
from sklstm._network.kernels.walk import Walk

Array = NDArray[np.floating]

#: See ``kernels.least_rows``.
LEAST_ROWS = 32

#: Rows whose gradients at gates are worked out before those of the weights follow.
CHUNK_ROWS = 128

#: Bytes that the processor reads at once; vectors that begin where such a line does lie in one.
LINE = 64

_INTEGER = np.dtype(np.int64)


class Cache(NamedTuple):
    """What the reverse pass needs of the forward pass."""

    walk: Walk
    states: Array  # (S, D + 1 + U): what a step multiplies, inputs, a one for the bias, and h
    cells: Array  # (S, U)
    kept: Array  # (P, 5 U), in the order in which steps are worked out
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
    states = np.empty((walk.n_slots, begin + width), dtype)
    cells = _empty((walk.n_slots, width), dtype)
    states[walk.final, :begin] = 0  # no step reads those slots, but products of all slots do
    h, h_begin = (states, begin) if mask is None else (np.empty_like(cells), 0)
    for array, first, start in ((h, h_begin, h0), (cells, 0, c0)):
        array[walk.start, first:] = 0
        if start is not None:
            array[walk.start, first : first + hidden] = start
    if mask is not None:
        states[:, begin + hidden :] = 0
        states[walk.start, begin : begin + hidden] = h[walk.start, :hidden] * mask
        mask = np.ascontiguousarray(mask)
    kept = _empty((walk.n_packed, 5 * width), dtype)
    x, room = np.ascontiguousarray(x), _Room(dtype, *_of_products(begin + hidden, width, dtype))
    run(
        "forward", dtype, address(walk.table, _INTEGER), address(x, dtype),
        *_addresses(weights, dtype), address(states, dtype),
        address(h, dtype) + h_begin * dtype.itemsize, address(cells, dtype), address(kept, dtype),
        0 if mask is None else address(mask, dtype), *room.addresses,
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
    width = _padded(hidden, dtype)
    of_states = 2 * n * (begin + width), n * width
    room = _Room(dtype, *of_states, *_of_products(begin + hidden, width, dtype))
    x = np.ascontiguousarray(x)
    at_y, stride = _rows(y, dtype)
    run(
        "infer", dtype, address(walk.table, _INTEGER), address(x, dtype),
        *_addresses(weights, dtype), address(h, dtype), address(c, dtype), at_y, *room.addresses,
        len(walk.table), n, begin - 1, hidden, stride,
    )  # fmt: skip


class Stepper:
    """See ``with_numpy.Stepper``."""

    def __init__(self, weights: Weights, n: int, read_out: ReadOut | None = None) -> None:
        (n_inputs, _), hidden, dtype = weights.ih.shape, len(weights.hh), weights.hh.dtype
        width, begin = _padded(hidden, dtype), n_inputs + 1
        packed = _empty((4 * width * (begin + hidden),), dtype)
        run("pack", dtype, *_addresses((*weights, packed), dtype), n_inputs, hidden)
        states, cells = np.zeros((n, begin + width), dtype), np.zeros((n, width), dtype)
        states[:, n_inputs] = 1
        self.h, self.c = states[:, begin : begin + hidden], cells[:, :hidden]
        z, reads = _empty((4 * width * MOST_ROWS,), dtype), np.empty((1, 0), dtype)
        if read_out is not None:
            reads = np.vstack(read_out)
        self._reads_out, n_outputs = read_out is not None, reads.shape[1]
        self._inputs, self._out = np.empty((n, n_inputs), dtype), np.empty((n, n_outputs), dtype)
        self._arrays = self._inputs, packed, states, cells, z, reads, self._out
        addresses = _addresses(self._arrays, dtype)
        self._step = bound("step", dtype, *addresses, n, n_inputs, hidden, n_outputs)

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
    walk, dtype, n_inputs = cache.walk, dh.dtype, len(weights.ih)
    hidden, width = len(weights.hh), cache.cells.shape[1]
    at_h, at_c = (_padded_copy(array, width) for array in (dh, dc))
    given = [None if array is None else _with_whole_rows(array) for array in (dy, dcells)]
    (at_dy, dy_stride), (at_dcells, dcells_stride) = (_rows(array, dtype) for array in given)
    dx = np.empty((walk.n_packed, n_inputs), dtype) if need_inputs else None
    table, room = np.ascontiguousarray(walk.table[::-1]), _way_back(walk, n_inputs, hidden, dtype)
    run(
        "backward", dtype, address(table, _INTEGER),
        *_addresses((cache.states, cache.kept, weights.ih, weights.hh, at_h, at_c), dtype),
        0 if cache.mask is None else address(cache.mask, dtype), at_dy, at_dcells,
        0 if dx is None else address(dx, dtype), *_addresses(gradient, dtype), *room.addresses,
        len(table), n_inputs, hidden, CHUNK_ROWS, cache.mask is not None, dy_stride, dcells_stride,
        need_inputs,
    )  # fmt: skip
    dh[...], dc[...] = at_h[:, :hidden], at_c[:, :hidden]
    return dx


def _padded(hidden: int, dtype: np.dtype[np.floating]) -> int:
    """As many units as whole vectors hold."""
    return -(-hidden // lanes_of(dtype)) * lanes_of(dtype)


def _padded_copy(array: Array, width: int) -> Array:
    copy = _empty((len(array), width), array.dtype)
    hidden = array.shape[1]
    copy[:, :hidden] = array
    copy[:, hidden:] = 0
    return copy


def _with_whole_rows(array: Array) -> Array:
    return array if array.strides[1] == array.itemsize else np.ascontiguousarray(array)


# --- memory ---


class _Room:
    """Memory to work in: addresses of parts for so many elements, each at the begin of a line."""

    def __init__(self, dtype: np.dtype[np.floating], *counts: int) -> None:
        line = LINE // dtype.itemsize
        *begins, end = accumulate((-(-count // line) * line for count in counts), initial=0)
        self._array = _empty((end,), dtype)
        first = address(self._array, dtype)
        self.addresses = [first + begin * dtype.itemsize for begin in begins]


def _of_products(depth: int, width: int, dtype: np.dtype[np.floating]) -> tuple[int, int]:
    """Elements of packed weights, and of a tile of the gates."""
    return 4 * width * depth, 4 * MOST_ROWS * lanes_of(dtype)


def _way_back(walk: Walk, n_inputs: int, hidden: int, dtype: np.dtype[np.floating]) -> _Room:
    """Weights packed for states and for inputs, the gradient of weights, of inputs of a step, and
    that at the gates of a run: of its rows, and of slots in between that others read.
    """
    width, n = _padded(hidden, dtype), walk.n_sequences
    slots = min(walk.n_slots, CHUNK_ROWS + n)
    units = width, _padded(n_inputs, dtype), n_inputs + 1 + hidden
    packed = [4 * width * k for k in units]
    return _Room(dtype, *packed, 2 * lanes_of(dtype) * n, 4 * width * slots)


def _empty(shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> Array:
    """An array that begins where a line does."""
    size = prod(shape)
    array = np.empty(size + LINE // dtype.itemsize, dtype)
    begin = -address(array, dtype) % LINE // dtype.itemsize
    return array[begin : begin + size].reshape(shape)


def _addresses(arrays: tuple[Array, ...], dtype: np.dtype[np.floating]) -> list[int]:
    return [address(array, dtype) for array in arrays]


def _rows(array: Array | None, dtype: np.dtype[np.floating]) -> tuple[int, int]:
    """Where the first row begins, and how many elements further the next: none if there is none."""
    if array is None:
        return 0, 0
    return address(array[:1], dtype), array.strides[0] // dtype.itemsize
