"""Weights in the order in which compiled products read them, and rows copied by vectors.

Shapes and letters are those of ``compiled``.
"""

from __future__ import annotations

from numba import njit

from sklstm._network.kernels.compiled.intrinsics import add_vector, copy_vector, lanes, scale_gates

#: Code that raises nothing, and so asks nothing of Numba or Python when it runs.
part = njit(error_model="numpy")


@part
def copy(x, i, y, j, count):
    """At most a vector of elements."""
    if count >= lanes(x):
        copy_vector(x, i, y, j)
    else:
        for k in range(count):
            y[j + k] = x[i + k]


@part
def add(x, i, y, j, count):
    """At most a vector of elements, to those that are there."""
    if count >= lanes(x):
        add_vector(x, i, y, j)
    else:
        for k in range(count):
            y[j + k] += x[i + k]


@part
def clear(x, begin, end):
    """These elements become zero."""
    for k in range(begin, end):
        x[k] = 0


@part
def copy_inputs(x, row, n_inputs, states, slot, stride, running):
    """Inputs of a step, and a one for the bias, to where they are multiplied."""
    for r in range(running):
        begin, out = (row + r) * n_inputs, (slot + r) * stride
        for k in range(0, n_inputs, lanes(x)):
            copy(x, begin + k, states, out + k, n_inputs - k)
        states[out + n_inputs] = 1


@part
def _pack_rows(weights, n_rows, hidden, packed, first, depth):
    """Rows of weights, to where packed ones have them from row ``first`` on."""
    size = lanes(weights)
    for block in range(whole(hidden, size) // size):
        u = block * size
        for k in range(n_rows):
            for gate in range(4):
                at = 4 * size * (block * depth + first + k) + gate * size
                copy(weights, (4 * k + gate) * hidden + u, packed, at, hidden - u)


@part
def unpack_rows(packed, first, depth, weights, n_rows, hidden):
    """Add packed rows to those of the weights."""
    size = lanes(weights)
    for block in range(whole(hidden, size) // size):
        u = block * size
        for k in range(n_rows):
            for gate in range(4):
                at = 4 * size * (block * depth + first + k) + gate * size
                add(packed, at, weights, (4 * k + gate) * hidden + u, hidden - u)


@part
def pack_gates(ih, hh, bias, n_inputs, hidden, packed):
    """Weights as the tiles read them: (B, D + 1 + H, 4, L), rows for inputs, bias and state.

    They are in units in which sigmoid and tanh take fewest steps.
    """
    size, depth = lanes(hh), n_inputs + 1 + hidden
    width = whole(hidden, size)
    if hidden < width:
        clear(packed, 4 * (width - size) * depth, 4 * width * depth)
    _pack_rows(ih, n_inputs, hidden, packed, 0, depth)
    _pack_rows(bias, 1, hidden, packed, n_inputs, depth)
    _pack_rows(hh, hidden, hidden, packed, n_inputs + 1, depth)
    for at in range(0, 4 * width * depth, 4 * size):
        scale_gates(packed, at)


@part
def pack_transposed(weights, n_rows, hidden, packed):
    """Weights (K, 4 H) as the way back reads them, their rows side by side in panels of vectors.

    A panel is (4 U, 2 L), or (4 U, L) for the last one of an odd number of vectors; its rows are
    ordered as gradients at gates are, by block, gate and lane.
    """
    size = lanes(weights)
    width, end = whole(hidden, size), whole(n_rows, size)
    if hidden < width or n_rows < end:
        clear(packed, 0, 4 * width * end)
    for first in range(0, n_rows, 2 * size):
        wide = min(2 * size, end - first)
        for begin in range(0, hidden, size):  # outside, so that what is written stays in the cache
            for gate in range(4):
                out = 4 * width * first + (4 * begin + gate * size) * wide - first
                for row in range(first, min(first + wide, n_rows)):
                    source = (4 * row + gate) * hidden + begin
                    for u in range(min(size, hidden - begin)):
                        packed[out + u * wide + row] = weights[source + u]


@part
def whole(number, size):
    """As many elements as whole vectors hold."""
    return (number + size - 1) // size * size
