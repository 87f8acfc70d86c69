"""The loops of ``compiled_kernels``, to be compiled; see ``compiling``.

Shapes: ``n`` sequences, ``S`` slots (see ``slots``), ``P`` packed rows, ``D`` inputs, ``H`` hidden
units, ``L`` lanes (elements of a vector), ``B = ceil(H / L)`` blocks of ``L`` units, ``U = B L``
units with padding, whose weights, states and gradients are zero. In the code, ``running`` is the
number of sequences at a step, ``depth`` is D + 1 + H, and ``width`` is U. ``z`` are the arguments
of the gates, ``dz`` the gate gradients; gates have the order i, f, o, g. *Operands* are rows
``[x, 1, h_before]``, one for each slot: (S, D + 1 + U).

A product keeps a *tile* of its result in registers. In the forward pass a tile has the four gates
of a few sequences and one block of units; sigmoid, tanh and the states of these units follow at
once, or after a few tiles, while these are still in the nearest cache. The backward pass is in
``backward_pass``.

Functions use the part of Python that ``translation`` translates. They take pointers, also to
scratch memory: they allocate nothing and raise nothing. An element is given by a pointer and an
index. The functions that ``compiling`` compiles return whether they succeeded.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from sklstm._network.kernels.compiled.cpu import (
    FORWARD_ROWS,
    MANY_TERMS,
    MAX_FORWARD_ROWS,
    ROWS_AT_ONCE,
)
from sklstm._network.kernels.compiled.intrinsics import (
    after,
    aligned,
    cell,
    cell_inference,
    cell_pooled,
    lanes,
    pool,
    pool_reversed,
    tile,
)
from sklstm._network.kernels.compiled.panels import (
    copy,
    copy_inputs,
    load_pooled,
    multiply,
    pack_gates,
    pad,
    unpad,
    whole,
    width_of_gates,
)
from sklstm._network.kernels.compiled.translation import translated_once

#: Pointers to 64-bit integers, and to floats of the dtype that a function is compiled for.
Integers: TypeAlias = Any
Reals: TypeAlias = Any


def tiled_product(sizes: tuple[int, ...], vectors: int, **options: bool) -> Any:
    """Return a function that computes the largest tile with at most ``left`` rows.

    The function returns the number of rows of the tile. Its other arguments are those of ``tile``.
    The last of the sizes is one.
    """
    size, *smaller = sizes
    largest = tile(size, vectors, **options)
    other: Any = tiled_product(tuple(smaller), vectors, **options) if smaller else None

    def last_product(
        left, a, i, b, j, out, k, a_stride, a_step, out_stride, n_parts, part_stride, depth
    ):
        largest(a, i, b, j, out, k, a_stride, a_step, out_stride, n_parts, part_stride, depth)
        return 1

    def product(
        left, a, i, b, j, out, k, a_stride, a_step, out_stride, n_parts, part_stride, depth
    ):
        if left >= size:
            largest(a, i, b, j, out, k, a_stride, a_step, out_stride, n_parts, part_stride, depth)
            return size
        return other(
            left, a, i, b, j, out, k, a_stride, a_step, out_stride, n_parts, part_stride, depth
        )

    return product if smaller else last_product


_gates_of_block = tiled_product(FORWARD_ROWS, 4)
_gates_of_narrow_block = tiled_product(FORWARD_ROWS, 1)


def gates_product(left, gate_width, operands, i, packed, j, z, k, stride, depth):
    """Compute the gates (rows, 4, L) of a tile; those of a narrow block are ``gate_width`` apart.

    Returns the number of rows, which does not depend on the width.
    """
    n_lanes, row = lanes(z), 4 * lanes(z)
    if gate_width == n_lanes:
        return _gates_of_block(left, operands, i, packed, j, z, k, stride, 1, row, 1, 0, depth)
    return _gates_of_narrow_block(left, operands, i, packed, j, z, k, stride, 1, row, 1, 0, depth)


@translated_once
def _gates_of_tiles(rows, gate_width, operands, i, packed, j, z, stride, depth):
    """Compute the gates (rows, 4, L) of several tiles."""
    at, row = 0, 4 * lanes(z)
    while at < rows:
        at += gates_product(
            rows - at, gate_width, operands, i + at * stride, packed, j, z, row * at, stride, depth
        )


def table_row(table, step):
    """Return number of sequences, first packed row, first slot read, first slot written."""
    return table[4 * step], table[4 * step + 1], table[4 * step + 2], table[4 * step + 3]


# --- forward pass and inference ---


def forward(
    table: Integers, x: Reals, ih: Reals, hh: Reals, bias: Reals, operands: Reals, h: Reals,
    cells: Reals, activations: Reals, mask: Reals, total: Reals, maximum: Reals, argmax: Reals,
    scratch: Reals, n_steps: int, n: int, n_inputs: int, hidden: int, masked: int,
    total_stride: int, maximum_stride: int,
) -> bool:  # fmt: skip
    """Compute all steps of ``table``: operands, cell states and activations.

    ``h`` points to the hidden states in ``operands`` or, if ``masked``, to an array (S, U) of the
    hidden states before their multiplication by ``mask``. They are added to ``total`` and
    ``maximum`` (n, H), each unless its stride is zero; ``argmax`` (n, U) is the row of ``table``.
    """
    n_lanes, depth = lanes(x), n_inputs + 1 + hidden
    width = whole(hidden, n_lanes)
    stride = n_inputs + 1 + width
    h_stride = width if masked else stride
    packed = aligned(scratch)
    z = after(packed, 4 * width * depth)
    sums = after(z, 4 * n_lanes * ROWS_AT_ONCE)
    peaks = after(sums, n * width)
    pack_gates(ih, hh, bias, n_inputs, hidden, packed)
    pooled = load_pooled(
        total, total_stride, maximum, maximum_stride, sums, peaks, n, hidden, width
    )
    for step in range(n_steps):
        running, row, source, target = table_row(table, step)
        copy_inputs(x, row, n_inputs, operands, source, stride, running)
        for u in range(0, hidden, n_lanes):
            at, gate_width = 0, width_of_gates(hidden - u, n_lanes)
            record = 5 * (width * row + u * running)
            while at < running:
                if depth >= MANY_TERMS:
                    done = min(running - at, ROWS_AT_ONCE)
                    _gates_of_tiles(
                        done, gate_width, operands, (source + at) * stride,
                        packed, 4 * u * depth, z, stride, depth,
                    )  # fmt: skip
                else:
                    done = gates_product(
                        running - at, gate_width, operands, (source + at) * stride,
                        packed, 4 * u * depth, z, 0, stride, depth,
                    )  # fmt: skip
                at_h = (target + at) * h_stride + u
                _cells_of_rows(
                    z, done, gate_width, cells, (source + at) * width + u,
                    (target + at) * width + u, width, h, at_h, h_stride,
                    activations, record + 5 * n_lanes * at,
                )  # fmt: skip
                if pooled:
                    _pool_rows(
                        h, at_h, h_stride, done, sums, peaks, argmax, at * width + u, width,
                        step, source > target,
                    )  # fmt: skip
                at += done
        if masked:
            _multiply_by_mask(
                h, target * width, mask, running, operands, target * stride + n_inputs + 1,
                stride, hidden, width,
            )  # fmt: skip
    unpad(sums, total, total_stride, n, hidden, width)
    unpad(peaks, maximum, maximum_stride, n, hidden, width)
    return True


def _cells_of_rows(
    z, rows, gate_width, cells, at_before, at_after, width, h, at_h, h_stride, activations, record
):  # fmt: skip
    """Compute cell and hidden states, and activations, from the gates of some rows."""
    for r in range(rows):
        before, after_step = at_before + r * width, at_after + r * width
        cell(
            z, 4 * lanes(z) * r, cells, before, cells, after_step, h, at_h + r * h_stride,
            activations, record + 5 * lanes(z) * r, gate_width,
        )  # fmt: skip


def _pool_rows(h, at_h, h_stride, rows, sums, peaks, argmax, at, width, step, reverse):
    """Add the hidden states of some rows to their sum and maximum.

    In the reverse direction, the last one of equal maxima is the first one in time.
    """
    for r in range(rows):
        i, k = at_h + r * h_stride, at + r * width
        if reverse:
            pool_reversed(h, i, sums, k, peaks, k, argmax, k, step)
        else:
            pool(h, i, sums, k, peaks, k, argmax, k, step)


def _multiply_by_mask(h, at_h, mask, running, operands, out, stride, hidden, width):
    """Multiply the hidden states of a step by their mask."""
    for r in range(running):
        multiply(h, at_h + r * width, mask, r * hidden, operands, out + r * stride, hidden)


def infer(
    table: Integers, x: Reals, ih: Reals, hh: Reals, bias: Reals, h: Reals, c: Reals, y: Reals,
    total: Reals, maximum: Reals, scratch: Reals,
    n_steps: int, n: int, n_inputs: int, hidden: int,
    y_stride: int, total_stride: int, maximum_stride: int,
) -> bool:  # fmt: skip
    """Replace the initial states ``h`` and ``c`` (n, H) by the final ones.

    Hidden states of all steps are written to ``y`` (P, H), and pooled into ``total`` and
    ``maximum`` (n, H), each unless its stride is zero. Operands are (2 n, D + 1 + U): a step reads
    one half and writes its hidden states to the other, because its next blocks still need the
    hidden states that it has read.
    """
    n_lanes, depth = lanes(x), n_inputs + 1 + hidden
    width = whole(hidden, n_lanes)
    stride = n_inputs + 1 + width
    packed = aligned(scratch)
    z = after(packed, 4 * width * depth)
    cells = after(z, 4 * n_lanes * MAX_FORWARD_ROWS)
    sums = after(cells, n * width)
    peaks = after(sums, n * width)
    operands = after(peaks, n * width)
    pack_gates(ih, hh, bias, n_inputs, hidden, packed)
    _load_initial_states(h, c, operands, cells, n, hidden, width, stride)
    pooled = load_pooled(
        total, total_stride, maximum, maximum_stride, sums, peaks, n, hidden, width
    )
    source, target = 0, n
    for step in range(n_steps):
        running, row, _, _ = table_row(table, step)
        copy_inputs(x, row, n_inputs, operands, source, stride, running)
        for u in range(0, hidden, n_lanes):
            at, gate_width = 0, width_of_gates(hidden - u, n_lanes)
            while at < running:
                done = gates_product(
                    running - at, gate_width, operands, (source + at) * stride,
                    packed, 4 * u * depth, z, 0, stride, depth,
                )  # fmt: skip
                _states_of_tile(
                    z, done, gate_width, pooled, cells, sums, peaks, at * width + u, width,
                    operands, (target + at) * stride + n_inputs + 1 + u, stride,
                    y, (row + at) * y_stride + u, y_stride, hidden - u,
                )  # fmt: skip
                at += done
        n_continued = table[4 * step + 4] if step + 1 < n_steps else 0
        _store_final(operands, target, stride, n_continued, running, h, hidden, width)
        source, target = target, source
    unpad(cells, c, hidden, n, hidden, width)
    unpad(sums, total, total_stride, n, hidden, width)
    unpad(peaks, maximum, maximum_stride, n, hidden, width)
    return True


def _load_initial_states(h, c, operands, cells, n, hidden, width, stride):
    """Copy the initial states, hidden states to both halves of the operands.

    In the reverse direction a sequence may begin at any step, and so in either half.
    """
    pad(c, hidden, cells, n, hidden, width)
    for r in range(n):
        first, second = (r + 1) * stride - width, (n + r + 1) * stride - width
        for u in range(hidden):
            operands[first + u] = operands[second + u] = h[r * hidden + u]


def _states_of_tile(
    z, rows, gate_width, pooled, cells, sums, peaks, at_c, width, operands, at_h, stride,
    y, at_y, y_stride, count,
):  # fmt: skip
    """Compute cell and hidden states, the results of a tile, and pool or copy the latter."""
    for r in range(rows):
        c, h = at_c + r * width, at_h + r * stride
        if pooled:
            cell_pooled(z, 4 * lanes(z) * r, cells, c, operands, h, sums, c, peaks, c, gate_width)
        else:
            cell_inference(z, 4 * lanes(z) * r, cells, c, operands, h, gate_width)
        if y_stride:
            copy(operands, h, y, at_y + r * y_stride, count)


def _store_final(operands, first, stride, begin, end, h, hidden, width):
    """Copy the hidden states of sequences that end at a step."""
    for r in range(begin, end):
        last = (first + r + 1) * stride - width
        for u in range(hidden):
            h[r * hidden + u] = operands[last + u]
