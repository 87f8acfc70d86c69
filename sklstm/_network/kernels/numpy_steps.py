"""A step of the forward pass in NumPy, and the memory it works in; shapes and names as in
``numpy_kernels``.

The activations of a step are stored one after the other, (8, size, H): i * g, f * c_before,
tanh(c), i, f, o, g and c_before. The cell state after a step is c_before of the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._blas import is_fast_for_small_products
from sklstm._network.kernels.weights import Weights

Array = NDArray[np.floating]
#: A function of the operand, the weights and memory, and this memory.
Product = tuple[Callable[..., Any], Any]
#: What a step works in, see ``memory_of_step``.
StepMemory = tuple[Any, ...]

N_ACTIVATIONS = 8

#: The largest product, in multiplications, for which OpenBLAS has special kernels. Larger ones are
#: divided into at most MAX_ROWS rows, a multiple of MIN_ROWS.
SMALL_PRODUCT = 10**6
MIN_ROWS, MAX_ROWS = 8, 48


def packed(weights: Weights, in_one_piece: bool) -> Array:
    """Return the weights of the product of a step, gate by gate or in one piece.

    The weights of the three sigmoid gates are halved, because sigmoid is (1 + tanh(z / 2)) / 2.
    """
    hidden = len(weights.hh)
    stacked = np.concatenate([weights.hh, weights.ih, weights.bias[None]])
    stacked[:, : 3 * hidden] *= half(stacked.dtype)
    if in_one_piece:
        return stacked
    return np.ascontiguousarray(stacked.reshape(-1, 4, hidden).swapaxes(0, 1))


def memory_of_step(activations: Array, c: Array, depth: int, in_one_piece: bool) -> StepMemory:
    """Return the views of the activations (8, size, H) of a step that ``forward_step`` uses.

    ``c`` (size, H) is where the cell state after the step is stored, ``depth`` the number of
    columns of operands. The product may be in one piece for one sequence.
    """
    gates = activations[3:7]
    product: Product = np.ndarray.dot, gates.reshape(1, -1)
    if not in_one_piece:
        product = product_of_rows(depth * c.shape[1], gates)
    return (
        *product, half(c.dtype), gates, activations[3:6], activations[3:5], activations[6:8],
        activations[:2], activations[0], activations[1], c, activations[2], activations[5],
    )  # fmt: skip


def forward_step(operand: Array, weights: Array, memory: StepMemory, h: Array) -> None:
    """Compute the activations, the cell state and the hidden state ``h`` (size, H) of a step."""
    (
        multiply_weights, product, one_half, gates, sigmoids, input_forget, candidate_cell,
        pair, input_times_candidate, forget_times_cell, c, tanh_c, o,
    ) = memory  # fmt: skip
    multiply_weights(operand, weights, product)
    _tanh(gates, gates)
    _multiply(sigmoids, one_half, sigmoids)
    _add(sigmoids, one_half, sigmoids)
    _multiply(input_forget, candidate_cell, pair)
    _add(input_times_candidate, forget_times_cell, c)
    _tanh(c, tanh_c)
    _multiply(o, tanh_c, h)


# Python finds these faster than the attributes of a module.
_add, _multiply, _tanh = np.add, np.multiply, np.tanh


def half(dtype: np.dtype[np.floating]) -> Array:
    """Return 0.5 as an array; NumPy would convert a Python number in every call."""
    return np.full((), 0.5, dtype)


def product_of_rows(n_weights: int, out: Array) -> Product:
    """Return a function that multiplies rows (n, K) by G weights (G, K, H), and its memory.

    It writes to ``out`` (G, n, H). ``n_weights`` is the number of weights K H.
    """
    n_gates, n, hidden = out.shape
    most = SMALL_PRODUCT // n_weights
    if n <= most or most < MIN_ROWS or not is_fast_for_small_products():
        return np.matmul, out
    n_rows = min(most // MIN_ROWS * MIN_ROWS, MAX_ROWS)
    stop = n // n_rows * n_rows
    blocks = out[:, :stop].reshape(n_gates, -1, n_rows, hidden).swapaxes(0, 1)
    return multiply_blocks, (stop, blocks, out[:, stop:])


def multiply_blocks(rows: Array, weights: Array, memory: tuple[int, Array, Array]) -> None:
    """Multiply blocks of rows, and then the rest."""
    stop, blocks, rest = memory
    n_blocks, _, n_rows, _ = blocks.shape
    np.matmul(rows[:stop].reshape(n_blocks, 1, n_rows, -1), weights, blocks)
    if rest.size:
        np.matmul(rows[stop:], weights, rest)
