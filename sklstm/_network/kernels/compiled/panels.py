"""Weights in panels, the order in which compiled products read them; copies of rows.

A product computes one tile of its result at a time, and keeps it in registers. For that it reads
one *panel* of the weights: all rows, but only the columns of the tile. Packed weights store panels
one after the other and each panel contiguously, so that it is read in one sequential stream.

Shapes: ``D`` inputs, ``H`` hidden units, ``L`` lanes (elements of a vector), ``B = ceil(H / L)``
blocks of ``L`` units, ``U = B L`` units with padding, whose weights are zero. Gates have the order
i, f, o, g.

- Forward pass: (B, D + 1 + H, 4, L). A panel has the four gates of a block of units, and rows for
  the inputs, the bias and the hidden state. Weights are multiplied by the scales at which sigmoid
  and tanh are cheapest to compute.
- Backward pass: weights (R, 4 H) are transposed to panels (4 U, 2 L). A panel has the columns of
  2 L inputs or hidden units, and rows in the order (B, 4, L) of the gate gradients. The last panel
  is (4 U, L) if the number of vectors is odd.

The last block is *narrow* if it has at most a quarter as many units as lanes. Its four gates share
one vector, so that no products are computed for most of the padding: its panel in the forward pass
is (D + 1 + H, 4, L / 4), and its rows in the backward pass are (4, L / 4).
"""

from __future__ import annotations

from sklstm._network.kernels.compiled.intrinsics import (
    add_vector,
    copy_vector,
    lanes,
    multiply_vectors,
    scale_gates,
    scale_narrow_gates,
)
from sklstm._network.kernels.compiled.translation import translated_once


def copy(x, i, y, j, count):
    """Copy at most a vector of elements."""
    if count >= lanes(x):
        copy_vector(x, i, y, j)
    else:
        for k in range(count):
            y[j + k] = x[i + k]


def add(x, i, y, j, count):
    """Add at most a vector of elements of ``x`` to those of ``y``."""
    if count >= lanes(x):
        add_vector(x, i, y, j)
    else:
        for k in range(count):
            y[j + k] += x[i + k]


def multiply(x, i, y, j, out, k, count):
    """Multiply ``count`` elements of ``x`` by those of ``y``."""
    whole_vectors = count // lanes(x) * lanes(x)
    for u in range(0, whole_vectors, lanes(x)):
        multiply_vectors(x, i + u, y, j + u, out, k + u)
    for u in range(whole_vectors, count):
        out[k + u] = x[i + u] * y[j + u]


def clear(x, begin, end):
    """Set elements to zero."""
    for k in range(begin, end):
        x[k] = 0


def copy_inputs(x, row, n_inputs, operands, slot, stride, running):
    """Copy the inputs of a step, and a one for the bias, to the operands of its slots."""
    for r in range(running):
        begin, out = (row + r) * n_inputs, (slot + r) * stride
        for k in range(0, n_inputs, lanes(x)):
            copy(x, begin + k, operands, out + k, n_inputs - k)
        operands[out + n_inputs] = 1


@translated_once
def _pack_rows(weights, n_rows, hidden, packed, first, depth):
    """Copy rows (4 H,) of weights to the rows of all panels from ``first`` on."""
    n_lanes = lanes(weights)
    for u in range(0, hidden, n_lanes):
        gate_width = width_of_gates(hidden - u, n_lanes)
        for k in range(n_rows):
            for gate in range(4):
                at = 4 * u * depth + (4 * (first + k) + gate) * gate_width
                copy(weights, (4 * k + gate) * hidden + u, packed, at, hidden - u)


@translated_once
def unpack_rows(packed, first, depth, weights, n_rows, hidden):
    """Add the rows of all panels from ``first`` on to rows (4 H,) of weights."""
    n_lanes = lanes(weights)
    for u in range(0, hidden, n_lanes):
        gate_width = width_of_gates(hidden - u, n_lanes)
        for k in range(n_rows):
            for gate in range(4):
                at = 4 * u * depth + (4 * (first + k) + gate) * gate_width
                add(packed, at, weights, (4 * k + gate) * hidden + u, hidden - u)


def pack_gates(ih, hh, bias, n_inputs, hidden, packed):
    """Pack and scale the weights of the gates for the forward pass: (B, D + 1 + H, 4, L)."""
    n_lanes, depth = lanes(hh), n_inputs + 1 + hidden
    width = whole(hidden, n_lanes)
    last, end = 4 * (width - n_lanes) * depth, 4 * width * depth
    if hidden < width:
        clear(packed, last, end)
    _pack_rows(ih, n_inputs, hidden, packed, 0, depth)
    _pack_rows(bias, 1, hidden, packed, n_inputs, depth)
    _pack_rows(hh, hidden, hidden, packed, n_inputs + 1, depth)
    gate_width = width_of_gates(hidden - width + n_lanes, n_lanes)
    for at in range(0, end if gate_width == n_lanes else last, 4 * n_lanes):
        scale_gates(packed, at)
    if gate_width < n_lanes:
        for at in range(last, last + n_lanes * depth, n_lanes):
            scale_narrow_gates(packed, at)


@translated_once
def pack_transposed(weights, n_rows, hidden, packed):
    """Pack weights (R, 4 H) for the backward pass, transposed: panels (4 U, 2 L) or (4 U, L)."""
    n_lanes = lanes(weights)
    width, end = whole(hidden, n_lanes), whole(n_rows, n_lanes)
    if hidden < width or n_rows < end:
        clear(packed, 0, 4 * width * end)
    for first in range(0, n_rows, 2 * n_lanes):
        panel_width = min(2 * n_lanes, end - first)
        for begin in range(0, hidden, n_lanes):  # outer loop: what it writes stays in the cache
            gate_width = width_of_gates(hidden - begin, n_lanes)
            for gate in range(4):
                out = 4 * width * first + (4 * begin + gate * gate_width) * panel_width - first
                for row in range(first, min(first + panel_width, n_rows)):
                    source = (4 * row + gate) * hidden + begin
                    for u in range(min(n_lanes, hidden - begin)):
                        packed[out + u * panel_width + row] = weights[source + u]


def whole(number, n_lanes):
    """Round up to a multiple of the elements of a vector."""
    return (number + n_lanes - 1) // n_lanes * n_lanes


def width_of_gates(n_units, n_lanes):
    """Return the number of columns of each gate in a block.

    ``n_units`` is the number of hidden units from its first one on.
    """
    return n_lanes // 4 if 4 * n_units <= n_lanes else n_lanes


def load_pooled(
    total, total_stride, maximum, maximum_stride, padded_total, padded_maximum, n, hidden, width
):  # fmt: skip
    """Copy sum and maximum, or the gradients at them, to arrays with padding.

    Returns a number that is not zero if one of them is given; the other one is then cleared.
    """
    given = total_stride + maximum_stride
    if given:
        _pad_or_clear(total, total_stride, padded_total, n, hidden, width)
        _pad_or_clear(maximum, maximum_stride, padded_maximum, n, hidden, width)
    return given


def _pad_or_clear(rows, stride, padded, n, hidden, width):
    if stride:
        pad(rows, stride, padded, n, hidden, width)
    else:
        clear(padded, 0, n * width)


@translated_once
def pad(rows, stride, padded, n, hidden, width):
    """Copy (n, H), whose rows are ``stride`` apart, to (n, U)."""
    for r in range(n):
        for u in range(hidden):
            padded[r * width + u] = rows[r * stride + u]
        clear(padded, r * width + hidden, (r + 1) * width)


@translated_once
def unpad(padded, rows, stride, n, hidden, width):
    """Copy (n, U) to (n, H), whose rows are ``stride`` apart, unless it is zero."""
    for r in range(n if stride else 0):
        for u in range(hidden):
            rows[r * stride + u] = padded[r * width + u]
