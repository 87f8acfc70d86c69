"""A step of the forward pass in NumPy, and the memory it works in; shapes and names as in
``numpy_kernels``.

The activations of a step are stored one after the other, (8, size, H): i * g, f * c_before,
tanh(c), i, f, o, g and c_before. The cell state after a step is c_before of the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from sklstm._blas import is_fast_for_small_products
from sklstm._network.kernels import arenas
from sklstm._network.kernels.runs import EqualSteps, equal_steps
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.kernels.weights import Weights

T = TypeVar("T")
Array = NDArray[np.floating]
#: A function of the operand, the weights and memory, and this memory.
Product = tuple[Callable[..., Any], Any]
#: What a step works in, see ``memory_of_step``.
StepMemory = tuple[Any, ...]

N_ACTIVATIONS = 8

#: Views of the steps are kept for the next batch unless there are more steps: they take 4 kB each.
MAX_CUT_STEPS = 512

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
    gates, product = activations[3:7], _product_of_step(activations[3:7], depth, in_one_piece)
    return (
        *product, half(c.dtype), gates, activations[3:6], activations[3:5], activations[6:8],
        activations[:2], activations[0], activations[1], c, activations[2], activations[5],
    )  # fmt: skip


def _product_of_step(gates: Array, depth: int, in_one_piece: bool) -> Product:
    if in_one_piece:
        return np.ndarray.dot, gates.reshape(1, -1)
    return product_of_rows(depth * gates.shape[2], gates)


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


@cache
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


# --- the memory of a forward pass ---


#: Equal steps, their activations (n_steps, 8 or 7, size, H), scratch memory (9, size, H) for those
#: of a step, the last cell state and a hidden state, and the cell state before the first step. For
#: each step: the operand, what ``forward_step`` works in, the hidden state, the activations (None
#: if it works there), and the hidden state in the next operand (None if there is no mask).
_Group = tuple[EqualSteps, Array, Array, Array, Iterable[tuple[Any, ...]]]


class ForwardMemory(NamedTuple):
    """Arrays of a forward pass, and the views of its steps."""

    operands: Array  # (S, H + D + 1)
    h: Array  # (S, H), a part of the operands, unless there is a mask
    cells: Array  # (S, H)
    activations: Array  # (P, 8 H) or (P, 7 H), see ``Cache``
    groups: Iterable[_Group]


def forward_memory(
    layout: SlotLayout, n_inputs: int, hidden: int, dtype: np.dtype[np.floating], masked: bool
) -> ForwardMemory:
    n_kept = N_ACTIVATIONS if is_kept(layout) else N_ACTIVATIONS - 1  # without c_before
    shapes = [
        (layout.n_slots, hidden + n_inputs + 1), (layout.n_slots, hidden),
        (layout.n_packed, n_kept * hidden),
        (N_ACTIVATIONS + 1, layout.n_sequences, hidden),
    ]  # fmt: skip
    if masked:
        shapes.append((layout.n_slots, hidden))
    return made(layout, _cut_forward, dtype, *shapes)


def made(
    layout: SlotLayout, cut: Callable[..., T], dtype: np.dtype[np.floating], *shapes: arenas.Shape
) -> T:
    """Return what is made of arrays, once for many batches if it is kept."""
    if is_kept(layout):
        return arenas.made(cut, (layout,), dtype, *shapes)
    return cut(arenas.empty(dtype, *shapes), layout)


def is_kept(layout: SlotLayout) -> bool:
    """Return whether the views of all steps are kept for the next batch."""
    return layout.is_shared and len(layout.table) <= MAX_CUT_STEPS


def _cut_forward(arrays: arenas.Arrays, layout: SlotLayout) -> ForwardMemory:
    operands, cells, activations, scratch, *own = arrays
    h = own[0] if own else operands[:, : cells.shape[1]]
    nexts = operands[:, : cells.shape[1]] if own else None
    memory = ForwardMemory(operands, h, cells, activations, [])
    groups = _cut_groups(memory, scratch, nexts, layout)
    return memory._replace(groups=list(groups) if is_kept(layout) else groups)


def _cut_groups(
    memory: ForwardMemory, scratch: Array, nexts: Array | None, layout: SlotLayout
) -> Iterator[_Group]:
    depth, hidden = memory.operands.shape[1], scratch.shape[2]
    for steps in equal_steps(layout.table, layout.equal_lengths):
        by_step = steps.by_step(memory.activations, -1, steps.size, hidden)
        parts = first_rows(scratch, steps.size)
        if is_kept(layout):
            pairs = zip(by_step, [*by_step[1:, -1], parts[-2]], strict=True)
            in_one_piece = layout.n_sequences == 1
            works: Any = [memory_of_step(step, c, depth, in_one_piece) for step, c in pairs]
            c_before = by_step[0, -1]
            copies: Any = repeat(None)
        else:  # one set of views for all steps
            one = memory_of_step(parts[:-1], parts[-2], depth, layout.n_sequences == 1)
            works, c_before, copies = repeat(one), parts[-2], by_step
        reads = steps.split(memory.operands, steps.sources)
        writes = steps.split(memory.h, steps.targets)
        writes_next = repeat(None) if nexts is None else steps.split(nexts, steps.targets)
        views = zip(reads, works, writes, copies, writes_next, strict=False)
        yield steps, by_step, parts, c_before, list(views) if is_kept(layout) else views


def first_rows(scratch: Array, size: int) -> Array:
    """Return contiguous memory (k, size, H) from that of all sequences, (k, n, H)."""
    k, _, hidden = scratch.shape
    return scratch.reshape(-1)[: k * size * hidden].reshape(k, size, hidden)
