"""The recurrence of an LSTM layer and its reverse, compiled by Numba.

They take and return what those of ``with_numpy`` do. Shapes: ``n`` sequences, ``S`` slots (see
``walk``), ``P`` packed rows, ``D`` inputs, ``H`` hidden units, ``U`` of them with padding to whole
vectors, so that compiled code meets no remainder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels.compiled import compiled
from sklstm._network.kernels.shared import Run, Weights, runs, select
from sklstm._network.kernels.vectors import lanes_of
from sklstm._network.kernels.walk import Walk

Array = NDArray[np.floating]

#: Elements of the gradients at gates that are worked out before their products follow.
CHUNK_SIZE = 2**18


class Cache(NamedTuple):
    """What the reverse pass needs of the forward pass."""

    walk: Walk
    states: Array  # (S, D + 1 + U): what a step multiplies, inputs, a one for the bias, and h
    cells: Array  # (S, U)
    gates: Array  # (P, 4 U), after their activations
    tanh_cells: Array  # (P, U)
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
    gates = np.empty((walk.n_packed, 4 * width), dtype)
    tanh_cells = np.empty((walk.n_packed, width), dtype)
    compiled("forward", dtype)(
        walk.table, np.ascontiguousarray(x), *weights, states, h, h_begin, cells, gates, tanh_cells,
        _optional(mask, dtype),
    )  # fmt: skip
    h = h[:, h_begin : h_begin + hidden]
    return h, cells[:, :hidden], Cache(walk, states, cells, gates, tanh_cells, mask)


def infer(x: Array, weights: Weights, walk: Walk, h: Array, c: Array, y: Array | None) -> None:
    """Walk the steps without keeping what the reverse pass would need.

    ``h`` and ``c`` (n, H) go in as the start and come out as the final states; ``y`` (P, H), where
    it is wanted, is filled with the hidden state of every step.
    """
    run = compiled("infer", x.dtype)
    run(walk.table, np.ascontiguousarray(x), *weights, h, c, _optional(y, x.dtype))


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
    padding = ((0, 0), (0, width - hidden))
    at_h, at_c = np.pad(dh, padding), np.pad(dc, padding)
    given = [_optional(array, dtype) for array in (cache.mask, dy, dcells)]
    dx = np.empty((cache.walk.n_packed, len(weights.ih)), dtype) if need_inputs else None
    for run, dz in _runs(cache.walk, width, dtype):
        compiled("backward", dtype)(
            run.table, run.slots.start, dz, weights.hh, cache.cells, cache.gates, cache.tanh_cells,
            at_h, at_c, *given,
        )  # fmt: skip
        at_gates = dz.reshape(-1, 4, width)[:, :, :hidden].reshape(-1, 4 * hidden)
        _add_weight_gradient(gradient, cache.states[run.slots], at_gates)
        if dx is not None:
            at_inputs = at_gates @ weights.ih.T
            dx[run.rows] = select(at_inputs, cache.walk.inputs, run.rows, run.slots.start)
    dh[...], dc[...] = at_h[:, :hidden], at_c[:, :hidden]
    return dx


def _runs(walk: Walk, width: int, dtype: np.dtype[np.floating]) -> Iterator[tuple[Run, Array]]:
    """Runs of steps with room for the gradients at their gates, (slots, 4 U)."""
    found = list(runs(walk, CHUNK_SIZE // (4 * width)))
    most = max(run.slots.stop - run.slots.start for run in found)
    room = np.empty((most, 4 * width), dtype)
    for run in found:
        dz = room[: run.slots.stop - run.slots.start]
        if not walk.even:
            dz[...] = 0  # slots that no step reads
        yield run, dz


def _add_weight_gradient(gradient: Weights, states: Array, at_gates: Array) -> None:
    n_inputs, hidden = len(gradient.ih), len(gradient.hh)
    dw = states[:, : n_inputs + 1 + hidden].T @ at_gates
    np.add(gradient.ih, dw[:n_inputs], out=gradient.ih)
    np.add(gradient.bias, dw[n_inputs], out=gradient.bias)
    np.add(gradient.hh, dw[n_inputs + 1 :], out=gradient.hh)


def _padded(hidden: int, dtype: np.dtype[np.floating]) -> int:
    """As many units as whole vectors hold."""
    return -(-hidden // lanes_of(dtype)) * lanes_of(dtype)


def _optional(array: Array | None, dtype: np.dtype[np.floating]) -> Array:
    """Compiled code is told by an empty array that there is none."""
    return np.empty((0, 0), dtype) if array is None else array
