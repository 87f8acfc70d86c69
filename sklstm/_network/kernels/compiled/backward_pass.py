"""The backward pass of ``recurrence``, to be compiled; shapes and names as there.

It goes through the steps in *runs*. The gate gradients of a run, (B, slots, 4, L), stay in the
cache until the gradient of the weights has been computed from them. In a narrow block (see
``panels``), each row has its L gate gradients first; its other elements are not used.
"""

from __future__ import annotations

from sklstm._network.kernels.compiled.cpu import FORWARD_ROWS, PAIR_ROWS, SINGLE_ROWS
from sklstm._network.kernels.compiled.intrinsics import (
    add_pooled_gradient,
    after,
    aligned,
    cell_backward,
    lanes,
    prefetch,
    prefetch_activations,
)
from sklstm._network.kernels.compiled.panels import (
    add,
    clear,
    load_pooled,
    multiply,
    pack_transposed,
    pad,
    unpack_rows,
    unpad,
    whole,
    width_of_gates,
)
from sklstm._network.kernels.compiled.recurrence import Integers, Reals, table_row, tiled_product
from sklstm._network.kernels.compiled.translation import translated_once

_weights_product = tiled_product(FORWARD_ROWS, 4, accumulate=True)
_narrow_weights_product = tiled_product(FORWARD_ROWS, 1, accumulate=True)
_pair_product = tiled_product(PAIR_ROWS, 2, gate_gradients=True)
_single_product = tiled_product(SINGLE_ROWS, 1, gate_gradients=True)


@translated_once
def _gradient_at_operands(
    packed, first, vectors, dz, slot, n_slots, running, out, out_at, out_stride, hidden
):
    """Compute the gradients at one or two vectors of the operands of a step.

    ``dz`` (B, slots, 4, L) are the gate gradients of a run; results are ``out_stride`` apart.
    """
    n_lanes, at = lanes(dz), 0
    width = whole(hidden, n_lanes)
    depth, part_stride = 4 * n_lanes, 4 * n_lanes * n_slots
    last_depth = 4 * width_of_gates(hidden - width + n_lanes, n_lanes)
    panel, blocks = 4 * width * first, width // n_lanes
    while at < running:
        source, target = 4 * n_lanes * (slot + at), out_at + at * out_stride
        if vectors == 2:
            at += _pair_product(
                running - at, dz, source, packed, panel, out, target,
                depth, 1, out_stride, blocks, part_stride, last_depth,
            )  # fmt: skip
        else:
            at += _single_product(
                running - at, dz, source, packed, panel, out, target,
                depth, 1, out_stride, blocks, part_stride, last_depth,
            )  # fmt: skip


def _gradient_at_hidden(
    packed, first, vectors, dz, slot, n_slots, running, dh, mask, masked, hidden, width
):
    """Compute the gradients at one or two blocks of the hidden states that a step read."""
    _gradient_at_operands(
        packed, first, vectors, dz, slot, n_slots, running, dh, first, width, hidden
    )
    if masked:
        count = min(vectors * lanes(dh), hidden - first)
        for r in range(running):
            at = r * width + first
            multiply(dh, at, mask, r * hidden + first, dh, at, count)


def _gradient_at_inputs(packed, dz, slot, n_slots, running, row, dx, scratch, n_inputs, hidden):
    """Compute the gradients at the inputs of a step."""
    n_lanes = lanes(dx)
    for first in range(0, n_inputs, 2 * n_lanes):
        vectors = 2 if first + n_lanes < n_inputs else 1
        _gradient_at_operands(
            packed, first, vectors, dz, slot, n_slots, running, scratch, 0, 2 * n_lanes, hidden
        )
        for r in range(running):
            for k in range(first, min(first + vectors * n_lanes, n_inputs)):
                dx[(row + r) * n_inputs + k] = scratch[2 * n_lanes * r + k - first]


def _add_weight_gradient(dw, dz, n_slots, operands, first_slot, depth, hidden, stride):
    """Add the gradient of the packed weights (B, D + 1 + H, 4, L) from a run of steps."""
    n_lanes = lanes(dz)
    for u in range(0, hidden, n_lanes):
        at, gate_width = 0, width_of_gates(hidden - u, n_lanes)
        while at < depth:
            at += _gradient_of_weights(
                depth - at, gate_width, operands, first_slot * stride + at, dz, 4 * u * n_slots,
                dw, 4 * (u * depth + gate_width * at), stride, n_slots,
            )  # fmt: skip


def _gradient_of_weights(left, gate_width, operands, i, dz, j, dw, k, stride, n_slots):
    """Add the gradient of some rows of a panel, and return their number."""
    n_lanes, row = lanes(dz), 4 * gate_width
    if gate_width == n_lanes:
        return _weights_product(left, operands, i, dz, j, dw, k, 1, stride, row, 1, 0, n_slots)
    return _narrow_weights_product(left, operands, i, dz, j, dw, k, 1, stride, row, 1, 0, n_slots)


def _clear_padding(dz, n_slots, slot, running, hidden):
    """Set the gate gradients of padding to zero: if a sequence is not finite, they are NaN."""
    n_lanes = lanes(dz)
    block, used = hidden // n_lanes, hidden % n_lanes
    gate_width = width_of_gates(used, n_lanes)
    for r in range(running):
        for gate in range(4):
            begin = 4 * n_lanes * (block * n_slots + slot + r) + gate * gate_width
            clear(dz, begin + used, begin + gate_width)


def _step_backward(
    running, row, next_row, packed, dz, slot, n_slots, previous, activations, dh, dc, mask, masked,
    dy, dy_stride, dcells, dcells_stride, step, pooled, dsums, dpeaks, argmax,
    operands, at_operands, n_inputs, hidden, width,
):  # fmt: skip
    """Compute the gate gradients of a step.

    ``previous`` are the number of sequences and the first slot of the step processed before this
    one. From its gate gradients the gradients at the hidden states are computed first. The product
    for the gradient of the weights reads the operands of a run by columns, so their rows, the first
    one at ``at_operands``, are loaded into the cache before. The activations of the step that is
    processed next, whose first packed row is ``next_row``, are loaded, too. If ``pooled``,
    ``dsums`` and ``dpeaks`` are gradients at sum and maximum, and ``step`` is compared with
    ``argmax``.
    """
    n_lanes, stride = lanes(dh), n_inputs + 1 + width
    for first in range(0, width, 2 * n_lanes):
        vectors = 2 if first + n_lanes < width else 1
        _gradient_at_hidden(
            packed, first, vectors, dz, previous[1], n_slots, previous[0], dh, mask, masked,
            hidden, width,
        )  # fmt: skip
        for u in range(first, first + vectors * n_lanes, n_lanes):
            gate_width = width_of_gates(hidden - u, n_lanes)
            record = 5 * (width * row + u * running)
            next_record = 5 * (width * next_row + u * running)
            out = 4 * (u * n_slots + slot * n_lanes)
            for r in range(running):
                if dy_stride:
                    add(dy, (row + r) * dy_stride + u, dh, r * width + u, hidden - u)
                if pooled:
                    k = r * width + u
                    add_pooled_gradient(dsums, k, dpeaks, k, argmax, k, dh, k, step)
                if dcells_stride:
                    add(dcells, (row + r) * dcells_stride + u, dc, r * width + u, hidden - u)
                prefetch(operands, at_operands + r * stride + u)
                prefetch_activations(activations, next_record + 5 * n_lanes * r)
                cell_backward(
                    activations, record + 5 * n_lanes * r, dh, r * width + u, dc, r * width + u,
                    dz, out + 4 * n_lanes * r, gate_width,
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
    first_size, _, first_slot, _ = table_row(table, first)
    last_size, _, last_slot, _ = table_row(table, next_first + 1)
    begin = min(first_slot, last_slot)
    end = max(first_slot + first_size, last_slot + last_size)
    return next_first, begin, end - begin, rows


def _backward_arrays(scratch, n_lanes, n, n_pooled, n_inputs, depth, width):
    """Return pointers to the arrays of ``backward`` in scratch memory, in this order.

    Gradients at the states, dh and dc (n, U); packed weights of the hidden state and of the inputs;
    the gradient of the packed weights; gradients at the inputs of a step (n, 2 L), and at sum and
    maximum (n_pooled, U); dz.
    """
    dh = aligned(scratch)
    dc = after(dh, n * width)
    packed_hh = after(dc, n * width)
    packed_ih = after(packed_hh, 4 * width * width)
    dw = after(packed_ih, 4 * width * whole(n_inputs, n_lanes))
    dx_step = after(dw, 4 * width * depth)
    dsums = after(dx_step, 2 * n_lanes * n)
    dpeaks = after(dsums, n_pooled * width)
    dz = after(dpeaks, n_pooled * width)
    return dh, dc, packed_hh, packed_ih, dw, dx_step, dsums, dpeaks, dz


def _add_packed(dw, d_ih, d_hh, d_bias, n_inputs, hidden, depth):
    """Add the gradient of the packed weights to that of the weights."""
    unpack_rows(dw, 0, depth, d_ih, n_inputs, hidden)
    unpack_rows(dw, n_inputs, depth, d_bias, 1, hidden)
    unpack_rows(dw, n_inputs + 1, depth, d_hh, hidden, hidden)


def backward(
    table: Integers, operands: Reals, activations: Reals, ih: Reals, hh: Reals, dh: Reals,
    dc: Reals, mask: Reals, dy: Reals, dcells: Reals, dtotal: Reals, dmaximum: Reals,
    argmax: Reals, dx: Reals, d_ih: Reals, d_hh: Reals, d_bias: Reals, scratch: Reals,
    n_steps: int, n: int, n_inputs: int, hidden: int, max_rows: int, masked: int, dy_stride: int,
    dcells_stride: int, dtotal_stride: int, dmaximum_stride: int, need_inputs: int,
) -> bool:  # fmt: skip
    """Compute the backward pass of all steps of ``table``, from the last to the first.

    The steps are processed in runs of at most ``max_rows`` rows. The gradients ``dh`` and ``dc``
    (n, H) at the final states are replaced by those at the initial states. The gradients ``dtotal``
    and ``dmaximum`` at sum and maximum are (n, H), each unless its stride is zero; the latter is
    added at the step that ``argmax`` (n, U) names.
    """
    n_lanes, depth = lanes(hh), n_inputs + 1 + hidden
    width = whole(hidden, n_lanes)
    at_h, at_c, packed_hh, packed_ih, dw, dx_step, dsums, dpeaks, dz = _backward_arrays(
        scratch, n_lanes, n, n if dtotal_stride + dmaximum_stride else 0, n_inputs, depth, width
    )
    pooled = load_pooled(
        dtotal, dtotal_stride, dmaximum, dmaximum_stride, dsums, dpeaks, n, hidden, width
    )
    pad(dh, hidden, at_h, n, hidden, width)
    pad(dc, hidden, at_c, n, hidden, width)
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
            running, row, source, _ = table_row(table, k)
            slot, next_row = source - begin, table[4 * k - 3] if k > 0 else row
            _step_backward(
                running, row, next_row, packed_hh, dz, slot, n_slots, previous, activations,
                at_h, at_c, mask, masked, dy, dy_stride, dcells, dcells_stride,
                k, pooled, dsums, dpeaks, argmax,
                operands, source * (n_inputs + 1 + width), n_inputs, hidden, width,
            )  # fmt: skip
            previous = (running, slot)
            if need_inputs:
                _gradient_at_inputs(
                    packed_ih, dz, slot, n_slots, running, row, dx, dx_step, n_inputs, hidden
                )
        for at in range(0, width, 2 * n_lanes):
            vectors = 2 if at + n_lanes < width else 1
            _gradient_at_hidden(
                packed_hh, at, vectors, dz, previous[1], n_slots, previous[0], at_h, mask, masked,
                hidden, width,
            )  # fmt: skip
        _add_weight_gradient(dw, dz, n_slots, operands, begin, depth, hidden, n_inputs + 1 + width)
        first = next_first
    _add_packed(dw, d_ih, d_hh, d_bias, n_inputs, hidden, depth)
    unpad(at_h, dh, hidden, n, hidden, width)
    unpad(at_c, dc, hidden, n, hidden, width)
    return True
