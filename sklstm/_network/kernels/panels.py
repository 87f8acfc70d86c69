"""Weights in the order in which compiled products read them, and rows copied by vectors.

Shapes and letters are those of ``compiled``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sklstm._network.kernels.intrinsics import (
    add_element,
    add_vector,
    copy_element,
    copy_vector,
    scale_gates,
)
from sklstm._network.kernels.vectors import VECTOR_BYTES


@njit(nogil=True)
def copy(x, i, y, j, count):
    """At most a vector of elements."""
    if count >= VECTOR_BYTES // x.itemsize:
        copy_vector(x, i, y, j)
    else:
        for k in range(count):
            copy_element(x, i + k, y, j + k)


@njit(nogil=True)
def add(x, i, y, j, count):
    """At most a vector of elements, to those that are there."""
    if count >= VECTOR_BYTES // x.itemsize:
        add_vector(x, i, y, j)
    else:
        for k in range(count):
            add_element(x, i + k, y, j + k)


@njit(nogil=True)
def copy_inputs(x, row, states, slot, running):
    """Inputs of a step, and a one for the bias, to where they are multiplied."""
    n_inputs, size = x.shape[1], VECTOR_BYTES // x.itemsize
    for r in range(running):
        begin, out = (row + r) * n_inputs, (slot + r) * states.shape[1]
        for k in range(0, n_inputs, size):
            copy(x, begin + k, states, out + k, n_inputs - k)
        states[slot + r, n_inputs] = 1


@njit(nogil=True)
def _pack_rows(weights, first, packed, depth):
    """Rows of weights, to where packed ones have them from row ``first`` on."""
    hidden, size = weights.shape[1] // 4, VECTOR_BYTES // weights.itemsize
    for block in range(whole(hidden, size) // size):
        u = block * size
        for k in range(len(weights)):
            for gate in range(4):
                at = 4 * size * (block * depth + first + k) + gate * size
                copy(weights, (4 * k + gate) * hidden + u, packed, at, hidden - u)


@njit(nogil=True)
def unpack_rows(packed, first, weights, depth):
    """Add packed rows to those of the weights."""
    hidden, size = weights.shape[1] // 4, VECTOR_BYTES // weights.itemsize
    for block in range(whole(hidden, size) // size):
        u = block * size
        for k in range(len(weights)):
            for gate in range(4):
                at = 4 * size * (block * depth + first + k) + gate * size
                add(packed, at, weights, (4 * k + gate) * hidden + u, hidden - u)


@njit(nogil=True)
def pack_gates(ih, hh, bias):
    """Weights as the tiles read them: (B, D + 1 + H, 4, L), rows for inputs, bias and state.

    They are in units in which sigmoid and tanh take fewest steps.
    """
    n_inputs, hidden, size = len(ih), len(hh), VECTOR_BYTES // hh.itemsize
    depth = n_inputs + 1 + hidden
    packed = np.zeros(4 * depth * whole(hidden, size), hh.dtype)
    _pack_rows(ih, 0, packed, depth)
    _pack_rows(bias.reshape((1, -1)), n_inputs, packed, depth)
    _pack_rows(hh, n_inputs + 1, packed, depth)
    for at in range(0, len(packed), 4 * size):
        scale_gates(packed, at)
    return packed


@njit(nogil=True)
def pack_transposed(weights, hidden, width):
    """Weights (K, 4 H) as the way back reads them, their rows side by side in panels of vectors.

    A panel is (4 U, 2 L), or (4 U, L) for the last one of an odd number of vectors; its rows are
    ordered as gradients at gates are, by block, gate and lane.
    """
    n_rows, size = len(weights), VECTOR_BYTES // weights.itemsize
    packed = np.zeros(4 * width * whole(n_rows, size), weights.dtype)
    for first in range(0, n_rows, 2 * size):
        wide = min(2 * size, whole(n_rows, size) - first)
        for begin in range(0, hidden, size):  # outside, so that what is written stays in the cache
            for gate in range(4):
                out = 4 * width * first + (4 * begin + gate * size) * wide - first
                for row in range(first, min(first + wide, n_rows)):
                    for u in range(min(size, hidden - begin)):
                        packed[out + u * wide + row] = weights[row, gate * hidden + begin + u]
    return packed


@njit(nogil=True)
def whole(number, size):
    """As many elements as whole vectors hold."""
    return (number + size - 1) // size * size
