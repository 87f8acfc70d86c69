"""The loops of ``with_numba``, compiled; imported with the first use of these kernels.

Shapes: ``n`` sequences, ``S`` slots (see ``walk``), ``P`` packed rows, ``D`` inputs, ``H`` hidden
units, ``B = ceil(H / L)`` blocks of ``L`` units, the lanes of a vector; ``U = B L`` units with
padding, whose weights, states and gradients are all zero. Gates lie in the order i, f, o, g.

A product keeps a tile of its result in registers, and all that happens to a block of units in a
step happens between one load and one store.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from types import FunctionType
from typing import Any

import numpy as np
from numba import njit, types
from numba.np.numpy_support import from_dtype

from sklstm._network.kernels.intrinsics import cell, cell_backward, cell_inference, tile
from sklstm._network.kernels.vectors import VECTOR_BYTES, WIDE

#: Rows of a tile, largest first: with four gates, and with two vectors and one on the way back.
#: As many as the registers hold; the smaller ones take what is left.
FORWARD_ROWS = (6, 4, 2, 1) if WIDE else (3, 2, 1, 1)
BACKWARD_ROWS = (12, 6, 3, 1) if WIDE else (6, 3, 2, 1)


def _product(sizes: tuple[int, int, int, int], vectors: int) -> Any:
    """The product of as many rows as fit into a tile; returns how many."""
    first, second, third, _ = sizes
    tile_1, tile_2, tile_3, tile_4 = (tile(rows, vectors) for rows in sizes)

    @njit(nogil=True)
    def product(left, a, i, b, j, out, k, a_stride, out_stride, n_parts, part_stride, depth):
        if left >= first:
            tile_1(a, i, b, j, out, k, a_stride, out_stride, n_parts, part_stride, depth)
            return first
        if left >= second:
            tile_2(a, i, b, j, out, k, a_stride, out_stride, n_parts, part_stride, depth)
            return second
        if left >= third:
            tile_3(a, i, b, j, out, k, a_stride, out_stride, n_parts, part_stride, depth)
            return third
        tile_4(a, i, b, j, out, k, a_stride, out_stride, n_parts, part_stride, depth)
        return 1

    return product


_gates_product = _product(FORWARD_ROWS, 4)
_pair_product = _product(BACKWARD_ROWS, 2)
_single_product = _product(BACKWARD_ROWS, 1)
_MOST_ROWS = FORWARD_ROWS[0]


@njit(nogil=True)
def _pack(ih, hh, bias, width):
    """Weights as the tiles read them: (B, D + 1 + H, 4, L), rows for inputs, bias and state."""
    n_inputs, hidden, size = len(ih), len(hh), VECTOR_BYTES // hh.itemsize
    packed = np.zeros((width // size, n_inputs + 1 + hidden, 4, size), hh.dtype)
    for gate in range(4):
        for u in range(hidden):
            column, block, lane = gate * hidden + u, u // size, u % size
            for k in range(n_inputs):
                packed[block, k, gate, lane] = ih[k, column]
            packed[block, n_inputs, gate, lane] = bias[column]
            for k in range(hidden):
                packed[block, n_inputs + 1 + k, gate, lane] = hh[k, column]
    return packed


@njit(nogil=True)
def _pack_transposed(hh, width):
    """Recurrent weights as the way back reads them: panels (4 H, 2 L) and, for odd B, (4 H, L)."""
    hidden, size = len(hh), VECTOR_BYTES // hh.itemsize
    packed = np.zeros(4 * hidden * width, hh.dtype)
    for first in range(0, width, 2 * size):
        wide = min(2 * size, width - first)
        for u in range(first, min(first + wide, hidden)):
            for gate in range(4):
                for k in range(hidden):
                    at = 4 * hidden * first + (gate * hidden + k) * wide + u - first
                    packed[at] = hh[u, gate * hidden + k]
    return packed


def forward(table, x, ih, hh, bias, states, h, h_at, cells, gates, tanh_c, mask):
    """All steps of ``table``; ``h`` is ``states``, or has the states before their ``mask``."""
    n_inputs, hidden, width, stride = len(ih), len(hh), cells.shape[1], states.shape[1]
    size, depth = VECTOR_BYTES // x.itemsize, n_inputs + 1 + hidden
    packed = _pack(ih, hh, bias, width)
    z = np.empty((_MOST_ROWS, 4 * size), x.dtype)
    for step in range(len(table)):
        running, row, source, target = (
            table[step, 0],
            table[step, 1],
            table[step, 2],
            table[step, 3],
        )
        for r in range(running):
            states[source + r, :n_inputs] = x[row + r]
            states[source + r, n_inputs] = 1
        for block in range(width // size):
            at = 0
            while at < running:
                done = _gates_product(
                    running - at, states, (source + at) * stride,
                    packed, 4 * size * depth * block, z, 0, stride, 4 * size, 1, 0, depth,
                )  # fmt: skip
                for r in range(done):
                    k = at + r
                    cell(
                        z, 4 * size * r,
                        cells, (source + k) * width + block * size,
                        cells, (target + k) * width + block * size,
                        h, (target + k) * h.shape[1] + h_at + block * size,
                        gates, 4 * (row + k) * width + block * size,
                        tanh_c, (row + k) * width + block * size,
                        width,
                    )  # fmt: skip
                at += done
        if len(mask):
            for r in range(running):
                for u in range(hidden):
                    states[target + r, n_inputs + 1 + u] = h[target + r, u] * mask[r, u]


def infer(table, x, ih, hh, bias, h, c, y):
    """All steps; ``h`` and ``c`` (n, H) go in as the start and come out as the final states.

    A step writes its states where the next reads them, not where its other blocks still read.
    """
    (n, hidden), n_inputs, size = h.shape, len(ih), VECTOR_BYTES // x.itemsize
    depth, width = n_inputs + 1 + hidden, (hidden + size - 1) // size * size
    stride = n_inputs + 1 + width
    packed = _pack(ih, hh, bias, width)
    z = np.empty((_MOST_ROWS, 4 * size), x.dtype)
    states, cells = np.zeros((2 * n, stride), x.dtype), np.zeros((n, width), x.dtype)
    states[:, n_inputs] = 1
    states[:n, n_inputs + 1 : depth] = h
    states[n:, n_inputs + 1 : depth] = h
    cells[:, :hidden] = c
    source, target = 0, n
    for step in range(len(table)):
        running, row = table[step, 0], table[step, 1]
        for r in range(running):
            states[source + r, :n_inputs] = x[row + r]
        for block in range(width // size):
            at = 0
            while at < running:
                done = _gates_product(
                    running - at, states, (source + at) * stride,
                    packed, 4 * size * depth * block, z, 0, stride, 4 * size, 1, 0, depth,
                )  # fmt: skip
                for r in range(done):
                    k = at + r
                    cell_inference(
                        z, 4 * size * r,
                        cells, k * width + block * size,
                        states, (target + k) * stride + n_inputs + 1 + block * size,
                    )  # fmt: skip
                at += done
        if len(y):
            for r in range(running):
                y[row + r] = states[target + r, n_inputs + 1 : depth]
        going_on = table[step + 1, 0] if step + 1 < len(table) else 0
        for r in range(going_on, running):
            h[r] = states[target + r, n_inputs + 1 : depth]
        source, target = target, source
    c[:] = cells[:, :hidden]


@njit(nogil=True)
def _back_through_product(packed, hidden, block, vectors, dz, slot, running, dh, mask):
    """Gradients ``dh`` at the states that a step read, for one or two blocks."""
    width, size = dh.shape[1], VECTOR_BYTES // dh.itemsize
    at = 0
    while at < running:
        source, out, panel = (
            4 * (slot + at) * width,
            at * width + block * size,
            4 * hidden * block * size,
        )
        if vectors == 2:
            at += _pair_product(
                running - at, dz, source, packed, panel, dh, out, 4 * width, width, 4, width, hidden
            )
        else:
            at += _single_product(
                running - at, dz, source, packed, panel, dh, out, 4 * width, width, 4, width, hidden
            )
    if len(mask):
        for r in range(running):
            for u in range(block * size, min((block + vectors) * size, mask.shape[1])):
                dh[r, u] *= mask[r, u]


def backward(table, first_slot, dz, hh, cells, gates, tanh_c, dh, dc, mask, dy, dcells):
    """The steps of ``table``, given from the last to the first; ``dz`` begins with a slot."""
    width, size, hidden = dh.shape[1], VECTOR_BYTES // dh.itemsize, len(hh)
    n_blocks, packed = width // size, _pack_transposed(hh, width)
    before, slot = 0, 0
    for step in range(len(table)):
        running, row, source = table[step, 0], table[step, 1], table[step, 2]
        for block in range(0, n_blocks, 2):
            vectors = min(2, n_blocks - block)
            _back_through_product(packed, hidden, block, vectors, dz, slot, before, dh, mask)
            begin, end = block * size, min((block + vectors) * size, hidden)
            for r in range(running):
                if len(dy):
                    for u in range(begin, end):
                        dh[r, u] += dy[row + r, u]
                if len(dcells):
                    for u in range(begin, end):
                        dc[r, u] += dcells[row + r, u]
                for k in range(begin, begin + vectors * size, size):
                    cell_backward(
                        gates, 4 * (row + r) * width + k,
                        cells, (source + r) * width + k,
                        tanh_c, (row + r) * width + k,
                        dh, r * width + k,
                        dc, r * width + k,
                        dz, 4 * (source - first_slot + r) * width + k,
                        width,
                    )  # fmt: skip
        before, slot = running, source - first_slot
    for block in range(0, n_blocks, 2):
        vectors = min(2, n_blocks - block)
        _back_through_product(packed, hidden, block, vectors, dz, slot, before, dh, mask)


# --- what is called from Python ---


def compiled(name: str, dtype: np.dtype[np.floating]) -> Callable[..., None]:
    """A function for arrays of one dtype."""
    found = _ready.get((name, dtype))
    if found is None:
        with _lock:  # several threads may want it first
            found = _ready.get((name, dtype)) or _load(name, dtype)
            _ready[name, dtype] = found
    return found


_ready: dict[tuple[str, np.dtype[np.floating]], Callable[..., None]] = {}
_lock = Lock()


def _load(name: str, dtype: np.dtype[np.floating]) -> Callable[..., None]:
    """From the cache on disk where that has it."""
    function, signature = _signatures(from_dtype(dtype))[name]
    try:
        return _compile(function, signature, on_disk=True)
    except (RuntimeError, OSError):  # no folder for a cache may be written to
        return _compile(function, signature, on_disk=False)


def _compile(function: Callable[..., None], signature: Any, on_disk: bool) -> Callable[..., None]:
    copy = FunctionType(function.__code__, function.__globals__, function.__name__)
    copy.__qualname__ = f"{function.__name__}_{_digest()}"
    dispatcher = njit(nogil=True, error_model="numpy", cache=on_disk)(copy)
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


@cache
def _digest() -> str:
    """Of all sources: Numba looks at the file of a cached function, not at those that it calls.

    The files of the cache are named after the function.
    """
    digest = blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _signatures(dtype: Any) -> dict[str, tuple[Callable[..., None], Any]]:
    """One signature each: whether an array may be written to must not make another one."""
    read = types.Array(dtype, 2, "C", readonly=True)
    vector = types.Array(dtype, 1, "C", readonly=True)
    write, strided = types.Array(dtype, 2, "C"), types.Array(dtype, 2, "A")
    strided_read = types.Array(dtype, 2, "A", readonly=True)
    table, weights, number = types.Array(types.int64, 2, "C"), (read, read, vector), types.int64
    forward_of = (table, read, *weights, write, write, number, write, write, write, read)
    backward_of = (table, number, write, read, write, write, write, write, write, read)
    return {
        "forward": (forward, types.void(*forward_of)),
        "infer": (infer, types.void(table, read, *weights, write, write, strided)),
        "backward": (backward, types.void(*backward_of, strided_read, strided_read)),
    }
