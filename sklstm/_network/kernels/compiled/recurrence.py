"""The loops of ``compiled_kernels``, to be compiled; see ``compiling``.

Shapes: ``n`` sequences, ``S`` slots (see ``slots``), ``P`` packed rows, ``D`` inputs, ``H`` hidden
units, ``L`` lanes (elements of a vector), ``B = ceil(H / L)`` blocks of ``L`` units, ``U = B L``
units with padding, whose weights, states and gradients are zero. In the code, ``running`` is the
number of sequences at a step, ``depth`` is D + 1 + H, and ``width`` is U. ``z`` are the arguments
of the gates, ``dz`` the gate gradients; gates have the order i, f, o, g. *Operands* are rows
``[x, 1, h_before]``, one for each slot: (S, D + 1 + U).

- A product keeps a *tile* of its result in registers. In the forward pass a tile has the four gates
  of a few sequences and one block of units; sigmoid, tanh and the states of these units follow at
  once, while the tile is still in the nearest cache.
- The backward pass goes through the steps in *runs*. The gate gradients of a run, (B, slots, 4, L),
  stay in the cache until the gradient of the weights has been computed from them.

Functions use the part of Python that ``translation`` translates. They take pointers, also to
scratch memory: they allocate nothing and raise nothing. An element is given by a pointer and an
index. The functions that ``compiling`` compiles return whether they succeeded.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from sklstm._network.kernels.compiled.cpu import BACKWARD_ROWS, FORWARD_ROWS, MAX_FORWARD_ROWS
from sklstm._network.kernels.compiled.intrinsics import (
    after,
    aligned,
    cell,
    cell_backward,
    cell_inference,
    cell_pooled,
    lanes,
    prefetch,
    prefetch_activations,
    tile,
)
from sklstm._network.kernels.compiled.panels import (
    add,
    clear,
    copy,
    copy_inputs,
    multiply,
    pack_gates,
    pack_transposed,
    unpack_rows,
    whole,
)
from sklstm._network.kernels.compiled.translation import translated_once

#: Pointers to 64-bit integers, and to floats of the dtype that a function is compiled for.
Integers: TypeAlias = Any
Reals: TypeAlias = Any


def _product(sizes: tuple[int, ...], vectors: int, **options: bool) -> Any:
    """Return a function that computes the largest tile with at most ``left`` rows.

    The function returns the number of rows of the tile. Its other arguments are those of ``tile``.
    The last of the sizes is one.
    """
    size, *smaller = sizes
    largest = tile(size, vectors, **options)
    other: Any = _product(tuple(smaller), vectors, **options) if smaller else None

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


gates_product = _product(FORWARD_ROWS, 4)
_weights_product = _product(FORWARD_ROWS, 4, accumulate=True)
_pair_product = _product(BACKWARD_ROWS, 2, gate_gradients=True)
_single_product = _product(BACKWARD_ROWS, 1, gate_gradients=True)


def _table_row(table, step):
    """Return number of sequences, first packed row, first slot read, first slot written."""
    return table[4 * step], table[4 * step + 1], table[4 * step + 2], table[4 * step + 3]


# --- forward pass and inference ---


def forward(
    table: Integers, x: Reals, ih: Reals, hh: Reals, bias: Reals, operands: Reals, h: Reals,
    cells: Reals, activations: Reals, mask: Reals, scratch: Reals,
    n_steps: int, n_inputs: int, hidden: int, masked: int,
) -> bool:  # fmt: skip
    """Compute all steps of ``table``: operands, cell states and activations.

    ``h`` points to the hidden states in ``operands`` or, if ``masked``, to an array (S, U) of the
    hidden states before their multiplication by ``mask``.
    """
    n_lanes, depth = lanes(x), n_inputs + 1 + hidden
    width = whole(hidden, n_lanes)
    stride = n_inputs + 1 + width
    h_stride = width if masked else stride
    packed = aligned(scratch)
    z = after(packed, 4 * width * depth)
    pack_gates(ih, hh, bias, n_inputs, hidden, packed)
    for step in range(n_steps):
        running, row, source, target = _table_row(table, step)
        copy_inputs(x, row, n_inputs, operands, source, stride, running)
        record = 5 * width * row
        for block in range(width // n_lanes):
            at = 0
            while at < running:
                done = gates_product(
                    running - at, operands, (source + at) * stride,
                    packed, 4 * n_lanes * depth * block, z, 0, stride, 1, 4 * n_lanes, 1, 0, depth,
                )  # fmt: skip
                for r in range(done):
                    k = at + r
                    cell(
                        z, 4 * n_lanes * r,
                        cells, (source + k) * width + block * n_lanes,
                        cells, (target + k) * width + block * n_lanes,
                        h, (target + k) * h_stride + block * n_lanes,
                        activations, record,
                    )  # fmt: skip
                    record += 5 * n_lanes
                at += done
        if masked:
            for r in range(running):
                out = (target + r) * stride + n_inputs + 1
                multiply(h, (target + r) * width, mask, r * hidden, operands, out, hidden)
    return True


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
    pooled = total_stride + maximum_stride
    _load_pooled(total, total_stride, sums, n, hidden, width)
    _load_pooled(maximum, maximum_stride, peaks, n, hidden, width)
    source, target = 0, n
    for step in range(n_steps):
        running, row, _, _ = _table_row(table, step)
        copy_inputs(x, row, n_inputs, operands, source, stride, running)
        for block in range(width // n_lanes):
            at, u = 0, block * n_lanes
            while at < running:
                done = gates_product(
                    running - at, operands, (source + at) * stride,
                    packed, 4 * n_lanes * depth * block, z, 0, stride, 1, 4 * n_lanes, 1, 0, depth,
                )  # fmt: skip
                _states_of_tile(
                    z, done, pooled, cells, sums, peaks, at * width + u, width,
                    operands, (target + at) * stride + n_inputs + 1 + u, stride,
                    y, (row + at) * y_stride + u, y_stride, hidden - u,
                )  # fmt: skip
                at += done
        n_continued = table[4 * step + 4] if step + 1 < n_steps else 0
        _store_final(operands, target, stride, n_continued, running, h, hidden, width)
        source, target = target, source
    _unpad(cells, c, hidden, n, hidden, width)
    _unpad(sums, total, total_stride, n, hidden, width)
    _unpad(peaks, maximum, maximum_stride, n, hidden, width)
    return True


def _load_initial_states(h, c, operands, cells, n, hidden, width, stride):
    """Copy the initial states, hidden states to both halves of the operands.

    In the reverse direction a sequence may begin at any step, and so in either half.
    """
    _pad(c, hidden, cells, n, hidden, width)
    for r in range(n):
        first, second = (r + 1) * stride - width, (n + r + 1) * stride - width
        for u in range(hidden):
            operands[first + u] = operands[second + u] = h[r * hidden + u]


def _states_of_tile(
    z, rows, pooled, cells, sums, peaks, at_c, width, operands, at_h, stride, y, at_y, y_stride,
    count,
):  # fmt: skip
    """Compute cell and hidden states, the results of a tile, and pool or copy the latter."""
    for r in range(rows):
        c, h = at_c + r * width, at_h + r * stride
        if pooled:
            cell_pooled(z, 4 * lanes(z) * r, cells, c, operands, h, sums, c, peaks, c)
        else:
            cell_inference(z, 4 * lanes(z) * r, cells, c, operands, h)
        if y_stride:
            copy(operands, h, y, at_y + r * y_stride, count)


def _store_final(operands, first, stride, begin, end, h, hidden, width):
    """Copy the hidden states of sequences that end at a step."""
    for r in range(begin, end):
        last = (first + r + 1) * stride - width
        for u in range(hidden):
            h[r * hidden + u] = operands[last + u]


def _load_pooled(rows, stride, padded, n, hidden, width):
    """Copy what was pooled before; zeros if there is no such result."""
    if stride:
        _pad(rows, stride, padded, n, hidden, width)
    else:
        clear(padded, 0, n * width)


@translated_once
def _pad(rows, stride, padded, n, hidden, width):
    """Copy (n, H), whose rows are ``stride`` apart, to (n, U)."""
    for r in range(n):
        for u in range(hidden):
            padded[r * width + u] = rows[r * stride + u]
        clear(padded, r * width + hidden, (r + 1) * width)


@translated_once
def _unpad(padded, rows, stride, n, hidden, width):
    """Copy (n, U) to (n, H), whose rows are ``stride`` apart, unless it is zero."""
    for r in range(n if stride else 0):
        for u in range(hidden):
            rows[r * stride + u] = padded[r * width + u]


# --- backward pass ---


@translated_once
def _gradient_at_operands(
    packed, first, vectors, dz, slot, n_slots, running, out, out_at, out_stride, width
):
    """Compute the gradients at one or two vectors of the operands of a step.

    ``dz`` (B, slots, 4, L) are the gate gradients of a run; results are ``out_stride`` apart.
    """
    n_lanes, at = lanes(dz), 0
    depth, part_stride, blocks = 4 * n_lanes, 4 * n_lanes * n_slots, width // n_lanes
    panel = 4 * width * first
    while at < running:
        source, target = 4 * n_lanes * (slot + at), out_at + at * out_stride
        if vectors == 2:
            at += _pair_product(
                running - at, dz, source, packed, panel, out, target,
                depth, 1, out_stride, blocks, part_stride, depth,
            )  # fmt: skip
        else:
            at += _single_product(
                running - at, dz, source, packed, panel, out, target,
                depth, 1, out_stride, blocks, part_stride, depth,
            )  # fmt: skip


def _gradient_at_hidden(
    packed, first, vectors, dz, slot, n_slots, running, dh, mask, masked, hidden, width
):
    """Compute the gradients at one or two blocks of the hidden states that a step read."""
    _gradient_at_operands(
        packed, first, vectors, dz, slot, n_slots, running, dh, first, width, width
    )
    if masked:
        count = min(vectors * lanes(dh), hidden - first)
        for r in range(running):
            at = r * width + first
            multiply(dh, at, mask, r * hidden + first, dh, at, count)


def _gradient_at_inputs(packed, dz, slot, n_slots, running, row, dx, scratch, n_inputs, width):
    """Compute the gradients at the inputs of a step."""
    n_lanes = lanes(dx)
    for first in range(0, n_inputs, 2 * n_lanes):
        vectors = 2 if first + n_lanes < n_inputs else 1
        _gradient_at_operands(
            packed, first, vectors, dz, slot, n_slots, running, scratch, 0, 2 * n_lanes, width
        )
        for r in range(running):
            for k in range(first, min(first + vectors * n_lanes, n_inputs)):
                dx[(row + r) * n_inputs + k] = scratch[2 * n_lanes * r + k - first]


def _add_weight_gradient(dw, dz, n_slots, operands, first_slot, depth, width, stride):
    """Add the gradient of the packed weights (B, D + 1 + H, 4, L) from a run of steps."""
    n_lanes = lanes(dz)
    for block in range(width // n_lanes):
        at = 0
        while at < depth:
            at += _weights_product(
                depth - at, operands, first_slot * stride + at, dz, 4 * n_lanes * n_slots * block,
                dw, 4 * n_lanes * (depth * block + at), 1, stride, 4 * n_lanes, 1, 0, n_slots,
            )  # fmt: skip


def _clear_padding(dz, n_slots, slot, running, hidden):
    """Set the gate gradients of padding to zero: if a sequence is not finite, they are NaN."""
    n_lanes = lanes(dz)
    block, used = hidden // n_lanes, hidden % n_lanes
    for r in range(running):
        for gate in range(4):
            begin = ((block * n_slots + slot + r) * 4 + gate) * n_lanes
            clear(dz, begin + used, begin + n_lanes)


def _step_backward(
    running, row, next_row, packed, dz, slot, n_slots, previous, activations, dh, dc, mask, masked,
    dy, dy_stride, dcells, dcells_stride, operands, at_operands, n_inputs, hidden, width,
):  # fmt: skip
    """Compute the gate gradients of a step.

    ``previous`` are the number of sequences and the first slot of the step processed before this
    one. From its gate gradients the gradients at the hidden states are computed first. The product
    for the gradient of the weights reads the operands of a run by columns, so their rows, the first
    one at ``at_operands``, are loaded into the cache before. The activations of the step that is
    processed next, whose first packed row is ``next_row``, are loaded, too.
    """
    n_lanes, stride = lanes(dh), n_inputs + 1 + width
    for first in range(0, width, 2 * n_lanes):
        vectors = 2 if first + n_lanes < width else 1
        _gradient_at_hidden(
            packed, first, vectors, dz, previous[1], n_slots, previous[0], dh, mask, masked,
            hidden, width,
        )  # fmt: skip
        for u in range(first, first + vectors * n_lanes, n_lanes):
            record = 5 * (width * row + u * running)
            next_record = 5 * (width * next_row + u * running)
            out = 4 * (u * n_slots + slot * n_lanes)
            for r in range(running):
                if dy_stride:
                    add(dy, (row + r) * dy_stride + u, dh, r * width + u, hidden - u)
                if dcells_stride:
                    add(dcells, (row + r) * dcells_stride + u, dc, r * width + u, hidden - u)
                prefetch(operands, at_operands + r * stride + u)
                prefetch_activations(activations, next_record + 5 * n_lanes * r)
                cell_backward(
                    activations, record + 5 * n_lanes * r, dh, r * width + u, dc, r * width + u,
                    dz, out + 4 * n_lanes * r,
                )  # fmt: skip
    if hidden < width:
        _clear_padding(dz, n_slots, slot, running, hidden)


def _end_of_run(table, first, max_rows):
    """Find the steps of the run that begins with step ``first`` and goes back in the table.

    A run has at most ``max_rows`` rows, or one step. Returns the step where the next run begins,
    the first of the slots that the run reads, the number of slots and the number of rows.
    """
    rows, next_first = table[4 * first], first - 1
    while next_first >= 0 and rows + table[4 * next_first] <= max_rows:
        rows += table[4 * next_first]
        next_first -= 1
    first_size, _, first_slot, _ = _table_row(table, first)
    last_size, _, last_slot, _ = _table_row(table, next_first + 1)
    begin = min(first_slot, last_slot)
    end = max(first_slot + first_size, last_slot + last_size)
    return next_first, begin, end - begin, rows


def _backward_arrays(scratch, n_lanes, n, n_inputs, depth, width):
    """Return pointers to the arrays of ``backward`` in scratch memory, in this order.

    Gradients at the states, dh and dc (n, U); packed weights of the hidden state and of the inputs;
    the gradient of the packed weights; gradients at the inputs of a step (n, 2 L); dz.
    """
    dh = aligned(scratch)
    dc = after(dh, n * width)
    packed_hh = after(dc, n * width)
    packed_ih = after(packed_hh, 4 * width * width)
    dw = after(packed_ih, 4 * width * whole(n_inputs, n_lanes))
    dx_step = after(dw, 4 * width * depth)
    return dh, dc, packed_hh, packed_ih, dw, dx_step, after(dx_step, 2 * n_lanes * n)


def _add_packed(dw, d_ih, d_hh, d_bias, n_inputs, hidden, depth):
    """Add the gradient of the packed weights to that of the weights."""
    unpack_rows(dw, 0, depth, d_ih, n_inputs, hidden)
    unpack_rows(dw, n_inputs, depth, d_bias, 1, hidden)
    unpack_rows(dw, n_inputs + 1, depth, d_hh, hidden, hidden)


def backward(
    table: Integers, operands: Reals, activations: Reals, ih: Reals, hh: Reals, dh: Reals,
    dc: Reals, mask: Reals, dy: Reals, dcells: Reals, dx: Reals, d_ih: Reals, d_hh: Reals,
    d_bias: Reals, scratch: Reals, n_steps: int, n: int, n_inputs: int, hidden: int,
    max_rows: int, masked: int, dy_stride: int, dcells_stride: int, need_inputs: int,
) -> bool:  # fmt: skip
    """Compute the backward pass of all steps of ``table``, from the last to the first.

    The steps are processed in runs of at most ``max_rows`` rows. The gradients ``dh`` and ``dc``
    (n, H) at the final states are replaced by those at the initial states.
    """
    n_lanes, depth = lanes(hh), n_inputs + 1 + hidden
    width = whole(hidden, n_lanes)
    at_h, at_c, packed_hh, packed_ih, dw, dx_step, dz = _backward_arrays(
        scratch, n_lanes, n, n_inputs, depth, width
    )
    _pad(dh, hidden, at_h, n, hidden, width)
    _pad(dc, hidden, at_c, n, hidden, width)
    pack_transposed(hh, hidden, hidden, packed_hh)
    if need_inputs:
        pack_transposed(ih, n_inputs, hidden, packed_ih)
    clear(dw, 0, 4 * width * depth)
    first = n_steps - 1
    while first >= 0:
        next_first, begin, n_slots, rows = _end_of_run(table, first, max_rows)
        if rows < n_slots:
            clear(dz, 0, 4 * width * n_slots)  # also slots that no step reads
        previous = (0, 0)
        for k in range(first, next_first, -1):
            running, row, source, _ = _table_row(table, k)
            slot, next_row = source - begin, table[4 * k - 3] if k > 0 else row
            _step_backward(
                running, row, next_row, packed_hh, dz, slot, n_slots, previous, activations,
                at_h, at_c, mask, masked, dy, dy_stride, dcells, dcells_stride,
                operands, source * (n_inputs + 1 + width), n_inputs, hidden, width,
            )  # fmt: skip
            previous = (running, slot)
            if need_inputs:
                _gradient_at_inputs(
                    packed_ih, dz, slot, n_slots, running, row, dx, dx_step, n_inputs, width
                )
        for at in range(0, width, 2 * n_lanes):
            vectors = 2 if at + n_lanes < width else 1
            _gradient_at_hidden(
                packed_hh, at, vectors, dz, previous[1], n_slots, previous[0], at_h, mask, masked,
                hidden, width,
            )  # fmt: skip
        _add_weight_gradient(dw, dz, n_slots, operands, begin, depth, width, n_inputs + 1 + width)
        first = next_first
    _add_packed(dw, d_ih, d_hh, d_bias, n_inputs, hidden, depth)
    _unpad(at_h, dh, hidden, n, hidden, width)
    _unpad(at_c, dc, hidden, n, hidden, width)
    return True
