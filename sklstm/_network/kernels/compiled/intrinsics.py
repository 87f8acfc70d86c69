"""Building blocks of compiled functions that Python cannot express: vectors and tiles of vectors.

Most intrinsics take pairs of a pointer and the index of the element to begin with, then strides and
counts. ``L`` is the number of lanes, the elements of a vector. Gates have the order i, f, o, g.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from sklstm._network.kernels.compiled.cpu import UNROLLED_COLUMNS, VECTOR_BYTES
from sklstm._network.kernels.compiled.translation import (
    INTEGER,
    Intrinsic,
    Value,
    call_of_module,
    constant,
)
from sklstm._network.kernels.compiled.vectors import (
    SIGMOID_SCALE,
    TANH_SCALE,
    Lanes,
    Vector,
    index,
    sigmoid,
    sigmoid_denominator,
    tanh,
    tanh_parts,
)

Emit = Callable[..., None]

#: How many rows ahead a panel is prefetched. A product of a single row spends its time reading the
#: panel, and takes a quarter less time with prefetching.
PREFETCH_ROWS = 16


@Intrinsic
def lanes(lanes: Lanes, pointer: Value) -> Value:
    """Return the number of elements of a vector, as a constant."""
    return lanes.size


@Intrinsic
def after(lanes: Lanes, pointer: Value, count: Value) -> Value:
    """Return the pointer moved by ``count`` elements."""
    return lanes.at(pointer, count)


@Intrinsic
def aligned(lanes: Lanes, pointer: Value) -> Value:
    """Return the pointer rounded up to the alignment of vectors."""
    builder = lanes.builder
    address = builder.ptrtoint(pointer, INTEGER)
    address = builder.and_(builder.add(address, index(VECTOR_BYTES - 1)), index(-VECTOR_BYTES))
    return builder.inttoptr(address, pointer.type)


@Intrinsic
def is_finite(lanes: Lanes, x: Value) -> Value:
    """Return whether a float is finite: only then is ``x - x`` zero."""
    builder = lanes.builder
    return builder.fcmp_ordered("==", builder.fsub(x, x), constant(0.0, lanes.element))


def of_elements(emit: Emit) -> Intrinsic:
    """Return an intrinsic that takes pairs of pointer and index, then integers.

    ``emit`` takes ``Lanes``, pointers to the elements, and the integers.
    """

    def emit_with_pairs(lanes: Lanes, *values: Value) -> None:
        pointers, rest = [], list(values)
        while rest and isinstance(getattr(rest[0], "type", None), ir.PointerType):
            pointer, number, *rest = rest
            pointers.append(lanes.at(pointer, number))
        emit(lanes, *pointers, *map(constant, rest))

    return Intrinsic(emit_with_pairs)


# --- tiles ---


def tile(rows: int, vectors: int, accumulate: bool = False, gate_gradients: bool = False) -> Any:
    """Return an intrinsic for a tile: a product whose sums stay in registers.

    It computes ``out`` (rows, vectors L), or adds to it with ``accumulate``, as the product of
    ``a`` (rows, n_parts * depth) and a panel ``b`` (n_parts * depth, vectors L). In ``a``, rows are
    ``a_stride`` apart, parts of a row ``part_stride``, and elements of a part ``a_step``. With
    ``accumulate``, rows of ``b`` are gate gradients, 4 L apart.

    With ``gate_gradients``, ``a`` has rows (4, L) of gate gradients, so that ``a_stride`` and
    ``a_step`` are constants, and ``depth`` is that of the last part. With variable strides, the
    addresses of many rows would not fit into the registers. A small tile computes several partial
    sums, because with a single sum it would wait for the result of each addition. The tile of a
    narrow block does not: it is short, and less code takes less time to compile.
    """
    is_narrow = vectors == 1 and not gate_gradients
    n_products = rows * vectors
    n_sums = 1 if is_narrow or n_products > 8 else 2 if n_products > 4 else 4

    def emit(lanes: Lanes, a: Any, b: Any, out: Any, *numbers: Any) -> None:
        builder, row_of_gates = lanes.builder, 4 * lanes.size
        a_stride, a_step, out_stride, n_parts, part_stride, depth = numbers
        whole_part = length = depth
        if gate_gradients:
            a_stride, a_step, whole_part = index(row_of_gates), index(1), index(row_of_gates)
        b_stride = row_of_gates if accumulate else vectors * lanes.size
        sums = [Sums(lanes, rows, vectors, a_stride, a_step, b_stride) for _ in range(n_sums)]
        turns = sums if n_sums > 1 or is_narrow else sums * UNROLLED_COLUMNS
        with _loop(builder, index(0), n_parts, sums) as k:
            part = lanes.at(a, k, part_stride)
            panel = lanes.at(b, builder.mul(k, whole_part), b_stride)
            if gate_gradients:
                is_last = builder.icmp_signed("==", builder.add(k, index(1)), n_parts)
                length = builder.select(is_last, depth, whole_part)
            _add_products(sums, turns, part, panel, length)
        _store_sums(sums, out, out_stride, accumulate)

    name = f"tile_{rows}_{vectors}{'_accumulate' * accumulate}{'_gradients' * gate_gradients}"
    return of_elements(lambda lanes, *values: call_of_module(lanes, name, emit, values))


@contextmanager
def _loop(builder: Any, begin: Any, end: Any, sums: list[Sums]) -> Iterator[Any]:
    """Write a loop over indices; the instructions of its body are written in the context."""
    before = builder.block
    head, body, after = (builder.append_basic_block(name) for name in ("for", "do", "endfor"))
    builder.branch(head)
    builder.position_at_end(head)
    k = builder.phi(INTEGER)
    k.add_incoming(begin, before)
    at_head = [part.begin_loop(before) for part in sums]
    builder.cbranch(builder.icmp_signed("<", k, end), body, after)
    builder.position_at_end(body)
    yield k
    k.add_incoming(builder.add(k, index(1), flags=["nsw"]), builder.block)
    for part, values in zip(sums, at_head, strict=True):
        part.end_loop(values, builder.block)
    builder.branch(head)
    builder.position_at_end(after)


class Sums:
    """The sums of a tile, (rows, vectors): the values after the instructions written so far."""

    def __init__(
        self, lanes: Lanes, rows: int, vectors: int, a_stride: Any, a_step: Any, b_stride: int
    ) -> None:
        self.lanes, self.rows, self.vectors = lanes, rows, vectors
        self._a_stride, self._a_step, self._b_stride = a_stride, a_step, b_stride
        self._values = [lanes.value(0.0).ir] * (rows * vectors)

    def read(self, row: int, vector: int) -> Vector:
        return Vector(self.lanes, self._values[row * self.vectors + vector])

    def begin_loop(self, before: Any) -> list[Any]:
        """Return the values at the head of a loop, which is reached from the block ``before``."""
        at_head = [self.lanes.builder.phi(self.lanes.type) for _ in self._values]
        for phi, value in zip(at_head, self._values, strict=True):
            phi.add_incoming(value, before)
        self._values = list(at_head)
        return at_head

    def end_loop(self, at_head: list[Any], block: Any) -> None:
        """Take the present values back to the head of the loop, from its last block."""
        for phi, value in zip(at_head, self._values, strict=True):
            phi.add_incoming(value, block)
        self._values = list(at_head)

    def add(self, a: Any, b: Any, k: Any) -> None:
        """Add the product of column ``k`` of ``a`` and row ``k`` of ``b``."""
        lanes = self.lanes
        column = lanes.at(a, k, self._a_step)
        b_row = lanes.at(b, k, self._b_stride)
        row = [lanes.load(lanes.at(b_row, v * lanes.size)) for v in range(self.vectors)]
        if self.rows == 1:
            for v in range(self.vectors):
                lanes.prefetch(lanes.at(b_row, PREFETCH_ROWS * self._b_stride + v * lanes.size))
        for r in range(self.rows):
            factor = lanes.spread(lanes.at(column, self._a_stride, r))
            for v in range(self.vectors):
                total = lanes.fma(factor, row[v], self.read(r, v))
                self._values[r * self.vectors + v] = total.ir


def _add_products(sums: list[Sums], turns: list[Sums], a: Any, b: Any, depth: Any) -> None:
    """Add all products of a part; the sums take turns, the rest goes to the first one."""
    builder, n_turns = turns[0].lanes.builder, index(len(turns))
    n_rounds = builder.sdiv(depth, n_turns)
    with _loop(builder, index(0), n_rounds, sums) as k:
        for turn, part in enumerate(turns):
            part.add(a, b, builder.add(builder.mul(k, n_turns), index(turn)))
    if len(turns) > 1:
        with _loop(builder, builder.mul(n_rounds, n_turns), depth, sums) as k:
            turns[0].add(a, b, k)


def _store_sums(sums: list[Sums], out: Any, out_stride: Any, accumulate: bool) -> None:
    """Write the totals of the partial sums to ``out``, or add them to it."""
    first, lanes = sums[0], sums[0].lanes
    for r in range(first.rows):
        for v in range(first.vectors):
            place = lanes.at(lanes.at(out, out_stride, r), v * lanes.size)
            total = first.read(r, v)
            for partial in sums[1:]:
                total = total + partial.read(r, v)
            lanes.store(lanes.load(place) + total if accumulate else total, place)


# --- steps of one sequence and one block of units ---


# Gates are ``gate_width`` apart. In a narrow block this is less than a vector. The other lanes are
# padding of states and activations, and are overwritten by the next gate in ``dz``.


def _emit_cell(
    lanes: Lanes, z: Any, c_before: Any, c_after: Any, h: Any, activations: Any, gate_width: Any
) -> None:
    """Compute the states from ``z`` (4, L); store (5, L) activations for the backward pass."""
    before = lanes.load(c_before)
    i, f, o = (sigmoid(lanes.load(lanes.at(z, gate_width, k))) for k in range(3))
    g = tanh(lanes.load(lanes.at(z, gate_width, 3)))
    c = lanes.fma(f, before, i * g)
    lanes.store(c, c_after)
    lanes.store(o * tanh(c * TANH_SCALE), h)
    for k, vector in enumerate((i, f, o, g, before)):
        lanes.store(vector, lanes.at(activations, lanes.size, k))


def _emit_cell_inference(lanes: Lanes, z: Any, c: Any, h: Any, gate_width: Any) -> None:
    """Compute the hidden state from ``z`` (4, L), and replace the cell state."""
    lanes.store(_hidden_state(lanes, z, c, gate_width), h)


def _emit_cell_pooled(
    lanes: Lanes, z: Any, c: Any, h: Any, total: Any, maximum: Any, gate_width: Any
) -> None:
    """Compute the same as ``_emit_cell_inference``, and add the hidden state to two results.

    A hidden state that is NaN makes all later ones of its sequence NaN, since each step multiplies
    the one before. So the maximum remains NaN, too.
    """
    state = _hidden_state(lanes, z, c, gate_width)
    lanes.store(state, h)
    lanes.store(lanes.load(total) + state, total)
    lanes.store(state.maximum(lanes.load(maximum)), maximum)


def _hidden_state(lanes: Lanes, z: Any, c: Any, gate_width: Any) -> Any:
    """Return the hidden state, and replace the cell state.

    Inference does not need the gates themselves. So sigmoid and tanh remain fractions, which are
    combined and divided twice in all: a division takes as long as a dozen products.
    """
    i, f, o = (sigmoid_denominator(lanes.load(lanes.at(z, gate_width, k))) for k in range(3))
    g = tanh_parts(lanes.load(lanes.at(z, gate_width, 3)))
    input_term = i * g[1]
    after = lanes.fma(g[0], f, lanes.load(c) * input_term) / (input_term * f)
    tanh_c = tanh_parts(after * TANH_SCALE)
    lanes.store(after, c)
    return tanh_c[0] / (o * tanh_c[1])


def _emit_cell_backward(
    lanes: Lanes, activations: Any, dh: Any, dc: Any, dz: Any, gate_width: Any
) -> None:
    """Compute ``dz`` (4, L) from ``dh`` and ``dc``, and replace ``dc`` by that before the step.

    The cell state and its tanh are computed again, which takes no longer than reading them would.
    The derivatives s (1 - s) of sigmoid and 1 - tanh^2 of tanh are written as p - p s.
    """
    i, f, o, g, c_before = (lanes.load(lanes.at(activations, lanes.size, k)) for k in range(5))
    tanh_c = tanh(lanes.fma(f, c_before, i * g) * TANH_SCALE)
    dtanh_c = lanes.load(dh) * o
    o_term = dtanh_c * tanh_c
    dc_after = lanes.load(dc) + (dtanh_c - o_term * tanh_c)
    dc_before, g_term = dc_after * f, dc_after * i
    lanes.store(dc_before, dc)
    i_term, f_term = g_term * g, dc_before * c_before
    gradients = (
        i_term - i_term * i, f_term - f_term * f, o_term - o_term * o, g_term - i_term * g,
    )  # fmt: skip
    for k, gradient in enumerate(gradients):
        lanes.store(gradient, lanes.at(dz, gate_width, k))


def _pool(comparison: str) -> Intrinsic:
    """Return an intrinsic that adds a hidden state to a sum and a maximum.

    The step is stored in ``argmax``, as an integer, if the comparison with the maximum is true.
    NaN compares as true.
    """

    def emit(lanes: Lanes, h: Any, total: Any, maximum: Any, argmax: Any, step: Any) -> None:
        state, peak = lanes.load(h), lanes.load(maximum)
        lanes.store(lanes.load(total) + state, total)
        is_new = lanes.builder.fcmp_unordered(comparison, state.ir, peak.ir)
        lanes.store(lanes.select(is_new, state, peak), maximum)
        lanes.store(lanes.select(is_new, lanes.as_float(step), lanes.load(argmax)), argmax)

    return of_elements(emit)


@of_elements
def add_pooled_gradient(
    lanes: Lanes, total: Any, maximum: Any, argmax: Any, dh: Any, step: Any
) -> None:
    """Add the gradients at a sum and, if this step is its ``argmax``, at a maximum to ``dh``."""
    builder = lanes.builder
    is_maximum = builder.icmp_signed("==", lanes.load(argmax).as_bits(), lanes.integers(step))
    at_maximum = lanes.select(is_maximum, lanes.load(maximum), lanes.value(0.0))
    lanes.store(lanes.load(dh) + (lanes.load(total) + at_maximum), dh)


pool, pool_reversed = _pool(">"), _pool(">=")
cell = of_elements(_emit_cell)
cell_inference = of_elements(_emit_cell_inference)
cell_pooled = of_elements(_emit_cell_pooled)
cell_backward = of_elements(_emit_cell_backward)


# --- vectors ---


@of_elements
def prefetch(lanes: Lanes, x: Any) -> None:
    """Load the cache line of an element ahead of its use."""
    lanes.prefetch(x)


@of_elements
def prefetch_activations(lanes: Lanes, activations: Any) -> None:
    """Load activations (5, L) ahead of their use; the address need not be valid."""
    for k in range(5):
        lanes.prefetch(lanes.at(activations, lanes.size, k), into_second_level=True)


@of_elements
def copy_vector(lanes: Lanes, x: Any, y: Any) -> None:
    lanes.store(lanes.load(x), y)


@of_elements
def add_vector(lanes: Lanes, x: Any, y: Any) -> None:
    lanes.store(lanes.load(y) + lanes.load(x), y)


@of_elements
def multiply_vectors(lanes: Lanes, x: Any, y: Any, out: Any) -> None:
    lanes.store(lanes.load(x) * lanes.load(y), out)


def _scale_gates(vectors: int) -> Intrinsic:
    """Return an intrinsic that multiplies a row of packed weights by the scales of its gates.

    The scales are those of sigmoid and tanh, see ``vectors``.
    """

    def emit(lanes: Lanes, packed: Any) -> None:
        n_columns = vectors * lanes.size
        by_gate = [SIGMOID_SCALE] * 3 + [TANH_SCALE]
        scales = [by_gate[4 * k // n_columns] for k in range(n_columns)]
        for first in range(0, n_columns, lanes.size):
            place = lanes.at(packed, first)
            lanes.store(lanes.load(place) * lanes.values(scales[first:][: lanes.size]), place)

    return of_elements(emit)


scale_gates, scale_narrow_gates = _scale_gates(4), _scale_gates(1)
