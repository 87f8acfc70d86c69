"""What compiled functions call: products of a tile, and steps of a block of units.

Each takes pointers or arrays, followed by the index of the element that it begins with, then
strides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from sklstm._network.kernels.compiled.cpu import VECTOR_BYTES
from sklstm._network.kernels.compiled.vectors import (
    SIGMOID_SCALE,
    TANH_SCALE,
    Lanes,
    Vector,
    index,
    sigmoid,
    sigmoid_parts,
    tanh,
    tanh_parts,
)

Emit = Callable[..., None]

#: Rows of a panel to fetch before they are multiplied. For one row of a tile, the time goes into
#: reading the panel, and this makes it shorter by a quarter.
AHEAD = 16


def _places(builder: Any, signature: Any, args: Any) -> list[Any]:
    """Pointers to the elements that the arguments name."""
    return [
        builder.gep(args[position], [args[position + 1]])
        for position, kind in enumerate(signature.args)
        if isinstance(kind, types.CPointer)
    ]


def _intrinsic_of(emit: Emit, given: Any) -> Any:
    """Typing and building of an intrinsic that writes where its arguments point."""
    kinds = [kind if isinstance(kind, types.CPointer) else types.intp for kind in given]

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers = [a for a, kind in zip(args, kinds, strict=True) if kind == types.intp]
        places = _places(builder, signature, args)
        emit(Lanes(builder, kinds[0].dtype), *places, *numbers[len(places) :])
        return context.get_dummy_value()

    return types.void(*kinds), build


@intrinsic
def lanes(context, pointer):
    """How many of the elements that it points to are a vector: a constant."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return index(Lanes(builder, pointer.dtype).size)

    return types.intp(pointer), build


@intrinsic
def after(context, pointer, count):
    """The place so many elements further on."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), build


@intrinsic
def aligned(context, pointer):
    """The next place, maybe this one, where a vector lies in one line of the processor's cache."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = builder.ptrtoint(args[0], ir.IntType(64))
        address = builder.add(address, index(VECTOR_BYTES - 1))
        address = builder.and_(address, index(-VECTOR_BYTES))
        return builder.inttoptr(address, args[0].type)

    return pointer(pointer), build


def tile(rows: int, vectors: int, accumulate: bool = False, of_gates: bool = False) -> Any:
    """``out`` (rows, vectors) = a tile of ``a`` times a panel of ``b`` (parts * depth, vectors).

    With ``accumulate`` it is added to what is there. A row of ``a`` lies in parts, and there its
    elements lie ``a_step`` apart. Rows ``of_gates`` are known to follow each other: for many rows
    the addresses would not fit into registers. A small tile would wait for its sums, so it has
    several of each.
    """
    n_sums = 4 if rows * vectors <= 4 else 2 if rows * vectors <= 8 else 1

    def emit(lanes: Lanes, a: Any, b: Any, out: Any, *numbers: Any) -> None:
        builder, width = lanes.builder, vectors * lanes.size
        a_stride, a_step, out_stride, n_parts, part_stride, depth = numbers
        if of_gates:
            a_stride, a_step = index(4 * lanes.size), index(1)
        sums = [Sums(lanes, rows, vectors) for _ in range(n_sums)]
        whole = builder.sdiv(depth, index(n_sums))
        with cgutils.for_range(builder, n_parts) as parts:
            column = lanes.at(a, parts.index, part_stride)
            row = lanes.at(b, builder.mul(parts.index, depth), width)
            with cgutils.for_range(builder, whole) as loop:
                for s, part in enumerate(sums):
                    k = builder.add(builder.mul(loop.index, index(n_sums)), index(s))
                    part.add(lanes.at(column, k, a_step), a_stride, lanes.at(row, k, width))
            if n_sums > 1:
                done = builder.mul(whole, index(n_sums))
                with cgutils.for_range(builder, depth, start=done) as loop:
                    k = loop.index
                    sums[0].add(lanes.at(column, k, a_step), a_stride, lanes.at(row, k, width))
        for r in range(rows):
            for v in range(vectors):
                place = lanes.at(lanes.at(out, out_stride, r), v * lanes.size)
                total = sums[0].read(r, v)
                for part in sums[1:]:
                    total = total + part.read(r, v)
                lanes.store(lanes.load(place) + total if accumulate else total, place)

    @intrinsic
    def product(context, a, i, b, j, out, k, a_stride, a_step, out_stride, parts, apart, depth):
        given = (a, i, b, j, out, k, a_stride, a_step, out_stride, parts, apart, depth)
        return _intrinsic_of(emit, given)

    return product


class Sums:
    """Sums of a tile, which LLVM keeps in registers."""

    def __init__(self, lanes: Lanes, rows: int, vectors: int) -> None:
        self._lanes, self._rows, self._vectors = lanes, rows, vectors
        self._places = [
            cgutils.alloca_once(lanes.builder, lanes.type) for _ in range(rows * vectors)
        ]
        for place in self._places:
            lanes.builder.store(lanes.value(0.0).ir, place)

    def read(self, row: int, vector: int) -> Vector:
        place = self._places[row * self._vectors + vector]
        return Vector(self._lanes, self._lanes.builder.load(place))

    def add(self, a: Any, a_stride: Any, b: Any) -> None:
        """A column of ``a`` times a row of ``b``."""
        lanes = self._lanes
        row = [lanes.load(lanes.at(b, v * lanes.size)) for v in range(self._vectors)]
        if self._rows == 1:
            for v in range(self._vectors):
                lanes.prefetch(lanes.at(b, (AHEAD * self._vectors + v) * lanes.size))
        for r in range(self._rows):
            factor = lanes.spread(lanes.at(a, a_stride, r))
            for v in range(self._vectors):
                total = lanes.fma(factor, row[v], self.read(r, v))
                lanes.builder.store(total.ir, self._places[r * self._vectors + v])


def _emit_cell(lanes: Lanes, z: Any, before: Any, after: Any, h: Any, kept: Any) -> None:
    """A step of one row and block, from ``z`` (4, L); keeps (5, L) for the way back."""
    c_before = lanes.load(before)
    i, f, o = (sigmoid(lanes.load(lanes.at(z, lanes.size, k)), True) for k in range(3))
    g = tanh(lanes.load(lanes.at(z, lanes.size, 3)), True)
    c = lanes.fma(f, c_before, i * g)
    lanes.store(c, after)
    lanes.store(o * tanh(c), h)
    for k, vector in enumerate((i, f, o, g, c_before)):
        lanes.store(vector, lanes.at(kept, lanes.size, k))


def _emit_cell_inference(lanes: Lanes, z: Any, c: Any, h: Any) -> None:
    """A step of one row and block, from ``z`` (4, L) and the cell state, which is replaced.

    No gate is wanted for itself, so fractions are added and multiplied, and divided twice in all:
    a division takes as long as a dozen products. Denominators lie in 1 to 2.
    """
    i, f, o = (sigmoid_parts(lanes.load(lanes.at(z, lanes.size, k)), True) for k in range(3))
    g = tanh_parts(lanes.load(lanes.at(z, lanes.size, 3)), True)
    of_candidate = i[1] * g[1]
    kept = lanes.load(c) * f[0] * of_candidate
    after = lanes.fma(i[0] * g[0], f[1], kept) / (of_candidate * f[1])
    squashed = tanh_parts(after)
    lanes.store(after, c)
    lanes.store(o[0] * squashed[0] / (o[1] * squashed[1]), h)


def _emit_cell_backward(lanes: Lanes, kept: Any, dh: Any, dc: Any, dz: Any) -> None:
    """The reverse of ``_emit_cell``: ``dh`` and ``dc`` of a step to ``dz`` and ``dc`` before it.

    The cell state and its tanh are worked out again, which takes no longer than to read them.
    s' = s (1 - s) and tanh' = 1 - tanh^2 are written as p - p s.
    """
    i, f, o, g, c_before = (lanes.load(lanes.at(kept, lanes.size, k)) for k in range(5))
    squashed = tanh(lanes.fma(f, c_before, i * g))
    to_cell = lanes.load(dh) * o
    at_o = to_cell * squashed
    at_c = lanes.load(dc) + (to_cell - at_o * squashed)
    at_f, at_g = at_c * f, at_c * i
    lanes.store(at_f, dc)
    at_i, at_f = at_g * g, at_f * c_before
    slopes = (at_i - at_i * i, at_f - at_f * f, at_o - at_o * o, at_g - at_i * g)
    for k, slope in enumerate(slopes):
        lanes.store(slope, lanes.at(dz, lanes.size, k))


@intrinsic
def cell(context, z, i0, before, i1, after, i2, h, i3, kept, i4):
    return _intrinsic_of(_emit_cell, (z, i0, before, i1, after, i2, h, i3, kept, i4))


@intrinsic
def cell_inference(context, z, i0, c, i1, h, i2):
    return _intrinsic_of(_emit_cell_inference, (z, i0, c, i1, h, i2))


@intrinsic
def cell_backward(context, kept, i0, dh, i1, dc, i2, dz, i3):
    return _intrinsic_of(_emit_cell_backward, (kept, i0, dh, i1, dc, i2, dz, i3))


def _emit_copy(lanes: Lanes, x: Any, y: Any) -> None:
    lanes.store(lanes.load(x), y)


def _emit_addition(lanes: Lanes, x: Any, y: Any) -> None:
    lanes.store(lanes.load(y) + lanes.load(x), y)


@intrinsic
def copy_vector(context, x, i, y, j):
    return _intrinsic_of(_emit_copy, (x, i, y, j))


@intrinsic
def add_vector(context, x, i, y, j):
    return _intrinsic_of(_emit_addition, (x, i, y, j))


def _emit_scaling(lanes: Lanes, packed: Any) -> None:
    for k, scale in enumerate([SIGMOID_SCALE] * 3 + [TANH_SCALE]):
        place = lanes.at(packed, lanes.size, k)
        lanes.store(lanes.load(place) * scale, place)


@intrinsic
def scale_gates(context, packed, i):
    """A row of weights of all gates, (4, L), to the scale that the gates are computed in."""
    return _intrinsic_of(_emit_scaling, (packed, i))
