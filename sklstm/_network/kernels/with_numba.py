"""The recurrence of an LSTM layer and its reverse, compiled by Numba.

They take and return what those of ``with_numpy`` do. Shapes: ``n`` sequences, ``S`` slots (see
``walk``), ``P`` packed rows, ``D`` inputs, ``H`` hidden units, ``U`` of them with padding to whole
vectors, so that compiled code meets no remainder.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels.loading import compiled
from sklstm._network.kernels.shared import ReadOut, Weights
from sklstm._network.kernels.vectors import lanes_of
from sklstm._network.kernels.walk import Walk

Array = NDArray[np.floating]

#: See ``kernels.least_rows``.
LEAST_ROWS = 32

#: See ``kernels.numbers_a_unit``.
NUMBERS_A_UNIT = 7

#: Rows whose gradients at gates are worked out before those of the weights follow.
CHUNK_ROWS = 128


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
    cells = np.empty((walk.n_slots, width), dtype)
    states[walk.final, :begin] = 0  # no step reads those slots, but products of all slots do
    h, h_begin = (states, begin) if mask is None else (np.empty_like(cells), 0)
    for array, first, start in ((h, h_begin, h0), (cells, 0, c0)):
        array[walk.start, first:] = 0
        if start is not None:
            array[walk.start, first : first + hidden] = start
    if mask is not None:
        states[:, begin + hidden :] = 0
        states[walk.start, begin : begin + hidden] = h[walk.start, :hidden] * mask
    kept = np.empty((walk.n_packed, 5 * width), dtype)
    compiled("forward", dtype)(
        walk.table, np.ascontiguousarray(x), *weights, states, h, h_begin, cells, kept,
        _optional(mask, dtype),
    )  # fmt: skip
    h = h[:, h_begin : h_begin + hidden]
    return h, cells[:, :hidden], Cache(walk, states, cells, kept, mask)


def infer(x: Array, weights: Weights, walk: Walk, h: Array, c: Array, y: Array | None) -> None:
    """Walk the steps without keeping what the reverse pass would need.

    ``h`` and ``c`` (n, H) go in as the start and come out as the final states; ``y`` (P, H), where
    it is wanted, is filled with the hidden state of every step.
    """
    run = compiled("infer", x.dtype)
    run(walk.table, np.ascontiguousarray(x), *weights, h, c, _optional(y, x.dtype))


class Stepper:
    """See ``with_numpy.Stepper``."""

    def __init__(self, weights: Weights, n: int, read_out: ReadOut | None = None) -> None:
        (n_inputs, _), hidden, dtype = weights.ih.shape, len(weights.hh), weights.hh.dtype
        width = _padded(hidden, dtype)
        self._packed = np.zeros(4 * width * (n_inputs + 1 + hidden), dtype)
        compiled("pack", dtype)(*weights, self._packed)
        self._states = np.zeros((n, n_inputs + 1 + width), dtype)
        self._states[:, n_inputs] = 1
        self._cells = np.zeros((n, width), dtype)
        self.h = self._states[:, n_inputs + 1 : n_inputs + 1 + hidden]
        self.c = self._cells[:, :hidden]
        self._reads_out = read_out is not None
        self._read_out = np.empty((1, 0), dtype) if read_out is None else np.vstack(read_out)
        self._shape, self._dtype = (n if read_out else 0, self._read_out.shape[1]), dtype
        self._run = compiled("step", dtype)

    def __call__(self, x: Array) -> Array | None:
        out = np.empty(self._shape, self._dtype)
        if not self._run(x, self._packed, self._states, self._cells, self._read_out, out):
            return None
        return out if self._reads_out else self.h


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
    hidden, width, dtype = len(weights.hh), cache.cells.shape[1], dh.dtype
    at_h, at_c = at_states = np.zeros((2, len(dh), width), dtype)
    at_states[:, :, :hidden] = dh, dc
    given = [_optional(array, dtype) for array in (cache.mask, dy, dcells)]
    dx = np.empty((cache.walk.n_packed, len(weights.ih)), dtype) if need_inputs else None
    table = np.ascontiguousarray(cache.walk.table[::-1])
    compiled("backward", dtype)(
        table, CHUNK_ROWS, cache.states, cache.kept, weights.ih, weights.hh, at_h, at_c, *given,
        _optional(dx, dtype), *gradient,
    )  # fmt: skip
    dh[...], dc[...] = at_h[:, :hidden], at_c[:, :hidden]
    return dx


def _padded(hidden: int, dtype: np.dtype[np.floating]) -> int:
    """As many units as whole vectors hold."""
    return -(-hidden // lanes_of(dtype)) * lanes_of(dtype)


def _optional(array: Array | None, dtype: np.dtype[np.floating]) -> Array:
    """Compiled code is told by an empty array that there is none, and reads rows in one piece."""
    if array is None:
        return np.empty((0, 0), dtype)
    return array if array.strides[1] == array.itemsize else np.ascontiguousarray(array)
