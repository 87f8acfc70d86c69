"""The loops of ``with_numba``, to be compiled; see ``loading``.

Shapes: ``n`` sequences, ``S`` slots (see ``walk``), ``P`` packed rows, ``D`` inputs, ``H`` hidden
units, ``B = ceil(H / L)`` blocks of ``L`` units, the lanes of a vector; ``U = B L`` units with
padding, whose weights, states and gradients are all zero. Gates lie in the order i, f, o, g.

A product keeps a tile of its result in registers, and all that happens to a block of units in a
step happens between one load and one store.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sklstm._network.kernels.intrinsics import cell, cell_backward, cell_inference, tile
from sklstm._network.kernels.panels import (
    add,
    copy,
    copy_inputs,
    pack_gates,
    pack_transposed,
    unpack_rows,
    whole,
)
from sklstm._network.kernels.vectors import VECTOR_BYTES, WIDE

#: Rows of a tile, largest first: with four gates, and with two vectors and one on the way back.
#: As many as the registers hold; the smaller ones take what is left.
FORWARD_ROWS = (6, 4, 2, 1) if WIDE else (3, 2, 1, 1)
BACKWARD_ROWS = (12, 6, 3, 1) if WIDE else (6, 3, 2, 1)


def _product(sizes: tuple[int, int, int, int], vectors: int, **options: bool) -> Any:
    """The product of as many rows as fit into a tile; returns how many."""
    first, second, third, _ = sizes
    tile_1, tile_2, tile_3, tile_4 = (tile(rows, vectors, **options) for rows in sizes)

    @njit(nogil=True)
    def product(left, a, i, b, j, out, k, a_stride, a_step, out_stride, parts, apart, depth):
        if left >= first:
            tile_1(a, i, b, j, out, k, a_stride, a_step, out_stride, parts, apart, depth)
            return first
        if left >= second:
            tile_2(a, i, b, j, out, k, a_stride, a_step, out_stride, parts, apart, depth)
            return second
        if left >= third:
            tile_3(a, i, b, j, out, k, a_stride, a_step, out_stride, parts, apart, depth)
            return third
        tile_4(a, i, b, j, out, k, a_stride, a_step, out_stride, parts, apart, depth)
        return 1

    return product


gates_product = _product(FORWARD_ROWS, 4)
_weights_product = _product(FORWARD_ROWS, 4, accumulate=True)
_pair_product = _product(BACKWARD_ROWS, 2, of_gates=True)
_single_product = _product(BACKWARD_ROWS, 1, of_gates=True)
MOST_ROWS = FORWARD_ROWS[0]


def forward(table, x, ih, hh, bias, states, h, h_at, cells, kept, mask):
    """All steps of ``table``; ``h`` is ``states``, or has the states before their ``mask``."""
    n_inputs, hidden, width, stride = len(ih), len(hh), cells.shape[1], states.shape[1]
    size, depth = VECTOR_BYTES // x.itemsize, n_inputs + 1 + hidden
    packed = pack_gates(ih, hh, bias)
    z = np.empty((MOST_ROWS, 4 * size), x.dtype)
    record = 0
    for step in range(len(table)):
        running, row, source, target = (
            table[step, 0],
            table[step, 1],
            table[step, 2],
            table[step, 3],
        )
        copy_inputs(x, row, states, source, running)
        record = 5 * width * row
        for block in range(width // size):
            at = 0
            while at < running:
                done = gates_product(
                    running - at, states, (source + at) * stride,
                    packed, 4 * size * depth * block, z, 0, stride, 1, 4 * size, 1, 0, depth,
                )  # fmt: skip
                for r in range(done):
                    k = at + r
                    cell(
                        z, 4 * size * r,
                        cells, (source + k) * width + block * size,
                        cells, (target + k) * width + block * size,
                        h, (target + k) * h.shape[1] + h_at + block * size,
                        kept, record,
                    )  # fmt: skip
                    record += 5 * size
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
    depth, width = n_inputs + 1 + hidden, whole(hidden, size)
    stride = n_inputs + 1 + width
    packed = pack_gates(ih, hh, bias)
    z = np.empty((MOST_ROWS, 4 * size), x.dtype)
    states, cells = np.zeros((2 * n, stride), x.dtype), np.zeros((n, width), x.dtype)
    states[:, n_inputs] = 1
    states[:n, n_inputs + 1 : depth] = h
    states[n:, n_inputs + 1 : depth] = h
    cells[:, :hidden] = c
    source, target = 0, n
    for step in range(len(table)):
        running, row = table[step, 0], table[step, 1]
        copy_inputs(x, row, states, source, running)
        for block in range(width // size):
            at = 0
            while at < running:
                done = gates_product(
                    running - at, states, (source + at) * stride,
                    packed, 4 * size * depth * block, z, 0, stride, 1, 4 * size, 1, 0, depth,
                )  # fmt: skip
                for r in range(done):
                    k = at + r
                    cell_inference(
                        z, 4 * size * r,
                        cells, k * width + block * size,
                        states, (target + k) * stride + n_inputs + 1 + block * size,
                    )  # fmt: skip
                    if len(y):
                        u = block * size
                        at_h, at_y = (target + k) * stride + n_inputs + 1, (row + k) * _stride(y)
                        copy(states, at_h + u, y, at_y + u, hidden - u)
                at += done
        going_on = table[step + 1, 0] if step + 1 < len(table) else 0
        for r in range(going_on, running):
            h[r] = states[target + r, n_inputs + 1 : depth]
        source, target = target, source
    c[:] = cells[:, :hidden]


@njit(nogil=True)
def _back_through(packed, first, vectors, dz, slot, n_slots, running, out, out_at, out_stride):
    """Gradients at one or two vectors of what a step multiplied, from those at its gates.

    ``dz`` (B, slots, 4, L) holds those of a run of steps; rows are written ``out_stride`` apart.
    """
    size = VECTOR_BYTES // dz.itemsize
    depth, apart, at = 4 * size, 4 * size * n_slots, 0
    blocks = len(dz) // apart
    panel = 4 * blocks * size * first
    while at < running:
        source, target = 4 * size * (slot + at), out_at + at * out_stride
        if vectors == 2:
            at += _pair_product(
                running - at, dz, source, packed, panel, out, target,
                depth, 1, out_stride, blocks, apart, depth,
            )  # fmt: skip
        else:
            at += _single_product(
                running - at, dz, source, packed, panel, out, target,
                depth, 1, out_stride, blocks, apart, depth,
            )  # fmt: skip


@njit(nogil=True)
def _at_states(packed, first, vectors, dz, slot, n_slots, running, dh, mask):
    """Gradients at one or two blocks of the states that a step read."""
    width, size = dh.shape[1], VECTOR_BYTES // dh.itemsize
    _back_through(packed, first, vectors, dz, slot, n_slots, running, dh, first, width)
    if len(mask):
        for r in range(running):
            for u in range(first, min(first + vectors * size, mask.shape[1])):
                dh[r, u] *= mask[r, u]


@njit(nogil=True)
def _at_inputs(packed, dz, slot, n_slots, running, row, dx, room):
    """Gradients at the inputs of a step."""
    size, n_inputs = VECTOR_BYTES // dx.itemsize, dx.shape[1]
    for first in range(0, n_inputs, 2 * size):
        vectors = 2 if first + size < n_inputs else 1
        _back_through(packed, first, vectors, dz, slot, n_slots, running, room, 0, 2 * size)
        for r in range(running):
            for k in range(first, min(first + vectors * size, n_inputs)):
                dx[row + r, k] = room[2 * size * r + k - first]


@njit(nogil=True)
def _add_to_weights(dw, dz, n_slots, states, first_slot, depth):
    """The gradient of packed weights (B, D + 1 + H, 4, L) from a run of steps."""
    size, stride = VECTOR_BYTES // dz.itemsize, states.shape[1]
    for block in range(len(dz) // (4 * size * n_slots)):
        at = 0
        while at < depth:
            at += _weights_product(
                depth - at, states, first_slot * stride + at, dz, 4 * size * n_slots * block,
                dw, 4 * size * (depth * block + at), 1, stride, 4 * size, 1, 0, n_slots,
            )  # fmt: skip


@njit(nogil=True)
def _clear_padding(dz, n_slots, slot, running, hidden):
    """What is not finite in a sequence must not spread by way of units that are none."""
    size = VECTOR_BYTES // dz.itemsize
    block, used = hidden // size, hidden % size
    for r in range(running):
        for gate in range(4):
            begin = ((block * n_slots + slot + r) * 4 + gate) * size
            dz[begin + used : begin + size] = 0


@njit(nogil=True)
def _step_backward(step, packed, dz, slot, n_slots, before, kept, dh, dc, mask, dy, dcells, hidden):
    """The way back through a step: ``before`` are rows and slot of the step seen last."""
    running, row = step[0], step[1]
    width, size = dh.shape[1], VECTOR_BYTES // dh.itemsize
    for first in range(0, width, 2 * size):
        vectors = 2 if first + size < width else 1
        _at_states(packed, first, vectors, dz, before[1], n_slots, before[0], dh, mask)
        for u in range(first, first + vectors * size, size):
            record = 5 * (width * row + u * running)
            out = 4 * (u * n_slots + slot * size)
            for r in range(running):
                if len(dy):
                    add(dy, (row + r) * _stride(dy) + u, dh, r * width + u, hidden - u)
                if len(dcells):
                    add(dcells, (row + r) * _stride(dcells) + u, dc, r * width + u, hidden - u)
                cell_backward(
                    kept, record + 5 * size * r, dh, r * width + u, dc, r * width + u,
                    dz, out + 4 * size * r,
                )  # fmt: skip
    if hidden < width:
        _clear_padding(dz, n_slots, slot, running, hidden)


@njit(nogil=True)
def _stride(array):
    return array.strides[0] // array.itemsize


@njit(nogil=True)
def _end_of_run(table, first, most_rows):
    """Where a run of steps ends that has so many rows at most, or one step; and its slots."""
    rows, last = table[first, 0], first + 1
    while last < len(table) and rows + table[last, 0] <= most_rows:
        rows += table[last, 0]
        last += 1
    begin = min(table[first, 2], table[last - 1, 2])
    end = max(table[first, 2] + table[first, 0], table[last - 1, 2] + table[last - 1, 0])
    return last, begin, end - begin, rows


def backward(
    table, most_rows, states, kept, ih, hh, dh, dc, mask, dy, dcells, dx, d_ih, d_hh, d_bias
):
    """All steps of ``table``, given from the last to the first, in runs of ``most_rows``.

    The gradients at the gates of a run stay in the processor's cache until all products have read
    them.
    """
    width, size, hidden = dh.shape[1], VECTOR_BYTES // dh.itemsize, len(hh)
    depth = len(ih) + 1 + hidden
    to_states = pack_transposed(hh, hidden, width)
    to_inputs = pack_transposed(ih[: dx.shape[1]], hidden, width)
    dw, room = np.zeros(4 * width * depth, dh.dtype), np.empty(2 * size * len(dh), dh.dtype)
    first, most_slots = 0, 0
    while first < len(table):
        first, _, n_slots, _ = _end_of_run(table, first, most_rows)
        most_slots = max(most_slots, n_slots)
    all_dz = np.empty(4 * width * most_slots, dh.dtype)
    first = 0
    while first < len(table):
        last, begin, n_slots, rows = _end_of_run(table, first, most_rows)
        dz = all_dz[: 4 * width * n_slots]
        if rows < n_slots:
            dz[:] = 0  # slots that no step reads
        before = (0, 0)
        for k in range(first, last):
            slot = table[k, 2] - begin
            _step_backward(
                table[k],
                to_states,
                dz,
                slot,
                n_slots,
                before,
                kept,
                dh,
                dc,
                mask,
                dy,
                dcells,
                hidden,
            )
            before = (table[k, 0], slot)
            if len(dx):
                _at_inputs(to_inputs, dz, slot, n_slots, table[k, 0], table[k, 1], dx, room)
        for at in range(0, width, 2 * size):
            vectors = 2 if at + size < width else 1
            _at_states(to_states, at, vectors, dz, before[1], n_slots, before[0], dh, mask)
        _add_to_weights(dw, dz, n_slots, states, begin, depth)
        first = last
    unpack_rows(dw, 0, d_ih, depth)
    unpack_rows(dw, len(ih), d_bias.reshape((1, -1)), depth)
    unpack_rows(dw, len(ih) + 1, d_hh, depth)
