"""The loops of ``compiled_kernels``, to be compiled; see ``compiling``.

Shapes: ``n`` sequences, ``S`` slots (see ``walk``), ``P`` packed rows, ``D`` inputs, ``H`` hidden
units, ``B = ceil(H / L)`` blocks of ``L`` units, the lanes of a vector; ``U = B L`` units with
padding, whose weights, states and gradients are all zero. Gates lie in the order i, f, o, g.

A product keeps a tile of its result in registers, and all that happens to a block of units in a
step happens between one load and one store. Functions are given pointers, also to the room that
they work in, so that what is compiled needs nobody: it allocates nothing and raises nothing. They
return whether they did what they are there for, which only a single step may not.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from sklstm._network.kernels.compiled.cpu import BACKWARD_ROWS, FORWARD_ROWS, MOST_ROWS
from sklstm._network.kernels.compiled.intrinsics import (
    after,
    aligned,
    cell,
    cell_backward,
    cell_inference,
    lanes,
    tile,
)
from sklstm._network.kernels.compiled.panels import (
    add,
    clear,
    copy,
    copy_inputs,
    pack_gates,
    pack_transposed,
    part,
    unpack_rows,
    whole,
)

#: Pointers to 64-bit integers, and to numbers of the dtype that a function is compiled for.
Integers: TypeAlias = Any
Reals: TypeAlias = Any


def _product(sizes: tuple[int, int, int, int], vectors: int, **options: bool) -> Any:
    """The product of as many rows as fit into a tile; returns how many."""
    first, second, third, _ = sizes
    tile_1, tile_2, tile_3, tile_4 = (tile(rows, vectors, **options) for rows in sizes)

    @part
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


@part
def _row_of(table, step):
    """The four numbers of a step; see ``Walk.table``."""
    return table[4 * step], table[4 * step + 1], table[4 * step + 2], table[4 * step + 3]


def forward(
    table: Integers, x: Reals, ih: Reals, hh: Reals, bias: Reals, states: Reals, h: Reals,
    cells: Reals, kept: Reals, mask: Reals, room: Reals,
    n_steps: int, n_inputs: int, hidden: int, masked: int,
) -> bool:  # fmt: skip
    """All steps of ``table``; ``h`` lies in ``states``, or has those before their ``mask``."""
    size, depth = lanes(x), n_inputs + 1 + hidden
    width = whole(hidden, size)
    stride = n_inputs + 1 + width
    h_stride = width if masked else stride
    packed = aligned(room)
    z = after(packed, 4 * width * depth)
    pack_gates(ih, hh, bias, n_inputs, hidden, packed)
    for step in range(n_steps):
        running, row, source, target = _row_of(table, step)
        copy_inputs(x, row, n_inputs, states, source, stride, running)
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
                        h, (target + k) * h_stride + block * size,
                        kept, record,
                    )  # fmt: skip
                    record += 5 * size
                at += done
        if masked:
            for r in range(running):
                out, begin = (target + r) * stride + n_inputs + 1, (target + r) * width
                for u in range(hidden):
                    states[out + u] = h[begin + u] * mask[r * hidden + u]
    return True


def infer(
    table: Integers, x: Reals, ih: Reals, hh: Reals, bias: Reals, h: Reals, c: Reals, y: Reals,
    room: Reals,
    n_steps: int, n: int, n_inputs: int, hidden: int, y_stride: int,
) -> bool:  # fmt: skip
    """All steps; ``h`` and ``c`` (n, H) go in as the start and come out as the final states.

    A step writes its states where the next reads them, not where its other blocks still read: they
    are (2 n, D + 1 + U). Those of all steps go to ``y``, unless the stride of that is zero.
    """
    size, depth = lanes(x), n_inputs + 1 + hidden
    width = whole(hidden, size)
    stride = n_inputs + 1 + width
    packed = aligned(room)
    z = after(packed, 4 * width * depth)
    cells = after(z, 4 * size * MOST_ROWS)
    states = after(cells, n * width)
    pack_gates(ih, hh, bias, n_inputs, hidden, packed)
    _start(h, c, states, cells, n, hidden, width, stride)
    source, target = 0, n
    for step in range(n_steps):
        running, row, _, _ = _row_of(table, step)
        copy_inputs(x, row, n_inputs, states, source, stride, running)
        for block in range(width // size):
            at, u = 0, block * size
            while at < running:
                done = gates_product(
                    running - at, states, (source + at) * stride,
                    packed, 4 * size * depth * block, z, 0, stride, 1, 4 * size, 1, 0, depth,
                )  # fmt: skip
                for r in range(done):
                    k = at + r
                    at_h = (target + k) * stride + n_inputs + 1 + u
                    cell_inference(z, 4 * size * r, cells, k * width + u, states, at_h)
                    if y_stride:
                        copy(states, at_h, y, (row + k) * y_stride + u, hidden - u)
                at += done
        going_on = table[4 * step + 4] if step + 1 < n_steps else 0
        for r in range(going_on, running):
            for u in range(hidden):
                h[r * hidden + u] = states[(target + r) * stride + n_inputs + 1 + u]
        source, target = target, source
    _take(cells, c, n, hidden, width)
    return True


@part
def _start(h, c, states, cells, n, hidden, width, stride):
    """States before the first step; a sequence that joins later finds its own in both halves."""
    _pad(c, cells, n, hidden, width)
    for r in range(n):
        first, second = (r + 1) * stride - width, (n + r + 1) * stride - width
        for u in range(hidden):
            states[first + u] = states[second + u] = h[r * hidden + u]


@part
def _back_through(
    packed, first, vectors, dz, slot, n_slots, running, out, out_at, out_stride, width
):
    """Gradients at one or two vectors of what a step multiplied, from those at its gates.

    ``dz`` (B, slots, 4, L) holds those of a run of steps; rows are written ``out_stride`` apart.
    """
    size, at = lanes(dz), 0
    depth, apart, blocks = 4 * size, 4 * size * n_slots, width // size
    panel = 4 * width * first
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


@part
def _at_states(packed, first, vectors, dz, slot, n_slots, running, dh, mask, masked, hidden, width):
    """Gradients at one or two blocks of the states that a step read."""
    _back_through(packed, first, vectors, dz, slot, n_slots, running, dh, first, width, width)
    if masked:
        for r in range(running):
            for u in range(first, min(first + vectors * lanes(dh), hidden)):
                dh[r * width + u] *= mask[r * hidden + u]


@part
def _at_inputs(packed, dz, slot, n_slots, running, row, dx, room, n_inputs, width):
    """Gradients at the inputs of a step."""
    size = lanes(dx)
    for first in range(0, n_inputs, 2 * size):
        vectors = 2 if first + size < n_inputs else 1
        _back_through(packed, first, vectors, dz, slot, n_slots, running, room, 0, 2 * size, width)
        for r in range(running):
            for k in range(first, min(first + vectors * size, n_inputs)):
                dx[(row + r) * n_inputs + k] = room[2 * size * r + k - first]


@part
def _add_to_weights(dw, dz, n_slots, states, first_slot, depth, width, stride):
    """The gradient of packed weights (B, D + 1 + H, 4, L) from a run of steps."""
    size = lanes(dz)
    for block in range(width // size):
        at = 0
        while at < depth:
            at += _weights_product(
                depth - at, states, first_slot * stride + at, dz, 4 * size * n_slots * block,
                dw, 4 * size * (depth * block + at), 1, stride, 4 * size, 1, 0, n_slots,
            )  # fmt: skip


@part
def _clear_padding(dz, n_slots, slot, running, hidden):
    """What is not finite in a sequence must not spread by way of units that are none."""
    size = lanes(dz)
    block, used = hidden // size, hidden % size
    for r in range(running):
        for gate in range(4):
            begin = ((block * n_slots + slot + r) * 4 + gate) * size
            clear(dz, begin + used, begin + size)


@part
def _step_backward(
    running, row, packed, dz, slot, n_slots, before, kept, dh, dc, mask, masked,
    dy, dy_stride, dcells, dcells_stride, hidden, width,
):  # fmt: skip
    """The way back through a step: ``before`` are rows and slot of the step seen last."""
    size = lanes(dh)
    for first in range(0, width, 2 * size):
        vectors = 2 if first + size < width else 1
        _at_states(
            packed, first, vectors, dz, before[1], n_slots, before[0], dh, mask, masked,
            hidden, width,
        )  # fmt: skip
        for u in range(first, first + vectors * size, size):
            record = 5 * (width * row + u * running)
            out = 4 * (u * n_slots + slot * size)
            for r in range(running):
                if dy_stride:
                    add(dy, (row + r) * dy_stride + u, dh, r * width + u, hidden - u)
                if dcells_stride:
                    add(dcells, (row + r) * dcells_stride + u, dc, r * width + u, hidden - u)
                cell_backward(
                    kept, record + 5 * size * r, dh, r * width + u, dc, r * width + u,
                    dz, out + 4 * size * r,
                )  # fmt: skip
    if hidden < width:
        _clear_padding(dz, n_slots, slot, running, hidden)


@part
def _end_of_run(table, first, most_rows):
    """Where a run of steps ends, before which step, that has so many rows at most, or is one step.

    Also the first of the slots that it reads, their number, and the number of rows.
    """
    rows, last = table[4 * first], first - 1
    while last >= 0 and rows + table[4 * last] <= most_rows:
        rows += table[4 * last]
        last -= 1
    first_size, _, first_slot, _ = _row_of(table, first)
    last_size, _, last_slot, _ = _row_of(table, last + 1)
    begin = min(first_slot, last_slot)
    end = max(first_slot + first_size, last_slot + last_size)
    return last, begin, end - begin, rows


def backward(
    table: Integers, states: Reals, kept: Reals, ih: Reals, hh: Reals, d_h: Reals, d_c: Reals,
    mask: Reals, dy: Reals, dcells: Reals, dx: Reals, d_ih: Reals, d_hh: Reals, d_bias: Reals,
    room: Reals, n_steps: int, n: int, n_inputs: int, hidden: int, most_rows: int, masked: int,
    dy_stride: int, dcells_stride: int, needs_inputs: int,
) -> bool:  # fmt: skip
    """All steps of ``table``, from the last to the first, in runs of ``most_rows``.

    The gradients at the gates of a run, ``dz``, stay in the processor's cache until all products
    have read them.
    """
    size, depth = lanes(hh), n_inputs + 1 + hidden
    width = whole(hidden, size)
    dh = aligned(room)
    dc = after(dh, n * width)
    to_states = after(dc, n * width)
    to_inputs = after(to_states, 4 * width * width)
    dw = after(to_inputs, 4 * width * whole(n_inputs, size))
    inputs = after(dw, 4 * width * depth)
    dz = after(inputs, 2 * size * n)
    _pad(d_h, dh, n, hidden, width)
    _pad(d_c, dc, n, hidden, width)
    pack_transposed(hh, hidden, hidden, to_states)
    if needs_inputs:
        pack_transposed(ih, n_inputs, hidden, to_inputs)
    clear(dw, 0, 4 * width * depth)
    first = n_steps - 1
    while first >= 0:
        last, begin, n_slots, rows = _end_of_run(table, first, most_rows)
        if rows < n_slots:
            clear(dz, 0, 4 * width * n_slots)  # slots that no step reads
        before = (0, 0)
        for k in range(first, last, -1):
            running, row, source, _ = _row_of(table, k)
            slot = source - begin
            _step_backward(
                running, row, to_states, dz, slot, n_slots, before, kept, dh, dc, mask, masked,
                dy, dy_stride, dcells, dcells_stride, hidden, width,
            )  # fmt: skip
            before = (running, slot)
            if needs_inputs:
                _at_inputs(to_inputs, dz, slot, n_slots, running, row, dx, inputs, n_inputs, width)
        for at in range(0, width, 2 * size):
            vectors = 2 if at + size < width else 1
            _at_states(
                to_states, at, vectors, dz, before[1], n_slots, before[0], dh, mask, masked,
                hidden, width,
            )  # fmt: skip
        _add_to_weights(dw, dz, n_slots, states, begin, depth, width, n_inputs + 1 + width)
        first = last
    unpack_rows(dw, 0, depth, d_ih, n_inputs, hidden)
    unpack_rows(dw, n_inputs, depth, d_bias, 1, hidden)
    unpack_rows(dw, n_inputs + 1, depth, d_hh, hidden, hidden)
    _take(dh, d_h, n, hidden, width)
    _take(dc, d_c, n, hidden, width)
    return True


@part
def _pad(rows, padded, n, hidden, width):
    """Copy (n, H) to (n, U)."""
    for r in range(n):
        for u in range(hidden):
            padded[r * width + u] = rows[r * hidden + u]
        clear(padded, r * width + hidden, (r + 1) * width)


@part
def _take(padded, rows, n, hidden, width):
    """Copy (n, U) to (n, H)."""
    for r in range(n):
        for u in range(hidden):
            rows[r * hidden + u] = padded[r * width + u]
