"""Arithmetic, sigmoid and tanh of vectors, as LLVM instructions.

Each operation on a ``Vector`` adds an instruction to the function that is being compiled. NaN and
infinity follow IEEE 754. Only ``fma`` may round once where a product and a sum round twice.

Sigmoid and tanh are fractions of powers of two: their arguments have been multiplied by
``SIGMOID_SCALE`` or ``TANH_SCALE`` before. For y = k + r with an integer k and a small r, 2^y is
2^k 2^r, and 2^r is close to a polynomial.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from sklstm._network.kernels.compiled.cpu import AVX512, VECTOR_BYTES


class Lanes:
    """Vectors of one dtype, in one function that is being compiled."""

    def __init__(self, builder: Any, dtype: np.dtype[np.floating]) -> None:
        self.builder, self.dtype = builder, dtype
        self.double = dtype == np.float64
        self.size = VECTOR_BYTES // (8 if self.double else 4)
        self.element = ir.DoubleType() if self.double else ir.FloatType()
        self.integer = ir.IntType(64 if self.double else 32)
        self.type = ir.VectorType(self.element, self.size)
        self.bits = ir.VectorType(self.integer, self.size)

    def value(self, number: float) -> Vector:
        """Return a vector of equal constants."""
        return self.values([number] * self.size)

    def values(self, numbers: list[float]) -> Vector:
        """Return a vector of constants."""
        return Vector(self, ir.Constant(self.type, numbers))

    def bit_value(self, number: int) -> Any:
        """Return a vector of equal integer constants, as wide as the elements."""
        return ir.Constant(self.bits, [number] * self.size)

    def at(self, pointer: Any, stride: Any, times: Any = 1) -> Any:
        """Return the pointer moved by ``times`` strides; both may be Python integers."""
        if isinstance(stride, int) and isinstance(times, int):
            return self.builder.gep(pointer, [index(stride * times)])
        stride, times = (index(k) if isinstance(k, int) else k for k in (stride, times))
        return self.builder.gep(pointer, [self.builder.mul(stride, times)])

    def declared(self, name: str, kind: Any) -> Any:
        """Return a function of the module, which is declared if it is not there."""
        module = self.builder.module
        return module.globals.get(name) or ir.Function(module, kind, name)

    def load(self, pointer: Any) -> Vector:
        pointer = self.builder.bitcast(pointer, self.type.as_pointer())
        return Vector(self, self.builder.load(pointer, align=self.element_bytes))

    def store(self, vector: Vector, pointer: Any) -> None:
        pointer = self.builder.bitcast(pointer, self.type.as_pointer())
        self.builder.store(vector.ir, pointer, align=self.element_bytes)

    @property
    def element_bytes(self) -> int:
        return 8 if self.double else 4

    def spread(self, pointer: Any) -> Vector:
        """Return a vector whose elements all equal the one at the pointer."""
        return Vector(self, self._spread(self.builder.load(pointer), self.type))

    def integers(self, number: Any) -> Any:
        """Return a vector of equal integers, as wide as the elements, from one of 64 bits."""
        if not self.double:
            number = self.builder.trunc(number, self.integer)
        return self._spread(number, self.bits)

    def _spread(self, value: Any, kind: Any) -> Any:
        undefined = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(undefined, value, _int32(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.size), [0] * self.size)
        return self.builder.shuffle_vector(one, undefined, zeros)

    def as_float(self, number: Any) -> Vector:
        """Return a vector with the bits of equal integers."""
        return Vector(self, self.builder.bitcast(self.integers(number), self.type))

    def select(self, condition: Any, yes: Vector, no: Vector) -> Vector:
        """Return elements of ``yes`` where the condition is true, of ``no`` elsewhere."""
        return Vector(self, self.builder.select(condition, yes.ir, no.ir))

    def prefetch(self, pointer: Any, into_second_level: bool = False) -> None:
        """Load a cache line ahead of its use; the address need not be valid."""
        kind, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        signature = ir.FunctionType(ir.VoidType(), [kind, number, number, number])
        function = self.builder.module.declare_intrinsic("llvm.prefetch", [kind], signature)
        level = number(2 if into_second_level else 3)
        options = [number(0), level, number(1)]  # for reading, level of the cache, data
        self.builder.call(function, [self.builder.bitcast(pointer, kind), *options])

    def fma(self, a: Vector, b: Vector, c: Vector) -> Vector:
        """Return ``a * b + c``, rounded once if the processor has such an instruction."""
        kind = ir.FunctionType(self.type, [self.type] * 3)
        name = f"llvm.fmuladd.v{self.size}f{8 * self.element_bytes}"
        function = self.declared(name, kind)
        return Vector(self, self.builder.call(function, [a.ir, b.ir, c.ir]))


class Vector:
    """A value of a vector type, with arithmetic."""

    def __init__(self, lanes: Lanes, value: Any) -> None:
        self.lanes = lanes
        self.ir = value

    def _binary(self, operation: str, other: Vector | float) -> Vector:
        other = other if isinstance(other, Vector) else self.lanes.value(other)
        return Vector(self.lanes, getattr(self.lanes.builder, operation)(self.ir, other.ir))

    def __add__(self, other: Vector | float) -> Vector:
        return self._binary("fadd", other)

    def __sub__(self, other: Vector | float) -> Vector:
        return self._binary("fsub", other)

    def __mul__(self, other: Vector | float) -> Vector:
        return self._binary("fmul", other)

    def __truediv__(self, other: Vector) -> Vector:
        return self._binary("fdiv", other)

    def at_least(self, bound: float) -> Vector:
        """Return the maximum of each element and ``bound``; NaN remains NaN."""
        limit = self.lanes.value(bound)
        below = self.lanes.builder.fcmp_ordered("<", self.ir, limit.ir)
        return Vector(self.lanes, self.lanes.builder.select(below, limit.ir, self.ir))

    def at_most(self, bound: float) -> Vector:
        """Return the minimum of each element and ``bound``; NaN remains NaN."""
        limit = self.lanes.value(bound)
        above = self.lanes.builder.fcmp_ordered(">", self.ir, limit.ir)
        return Vector(self.lanes, self.lanes.builder.select(above, limit.ir, self.ir))

    def maximum(self, other: Vector) -> Vector:
        """Return the larger elements, and this vector's where one of them is NaN."""
        larger = self.lanes.builder.fcmp_unordered(">", self.ir, other.ir)
        return Vector(self.lanes, self.lanes.builder.select(larger, self.ir, other.ir))

    def as_bits(self) -> Any:
        return self.lanes.builder.bitcast(self.ir, self.lanes.bits)


def index(number: int) -> Any:
    """Return a constant for indices and strides."""
    return ir.Constant(ir.IntType(64), number)


def _int32(number: int) -> Any:
    return ir.Constant(ir.IntType(32), number)


# --- sigmoid and tanh ---

#: By what the arguments of sigmoid and tanh have been multiplied.
SIGMOID_SCALE, TANH_SCALE = -float(1 / np.log(2.0)), 2 * float(1 / np.log(2.0))

#: Coefficients of polynomials close to (2^r - 1) / r for |r| <= 1/2, highest power first. Relative
#: errors are 1.1e-8 and 5.2e-17.
_EXP2M1 = {
    False: [
        0.00015461447765119374,
        0.0013390866806730628,
        0.009618056938052177,
        0.055503569543361664,
        0.24022650718688965,
        0.6931471824645996,
    ],
    True: [
        4.4549605981865186e-10,
        7.072585949269223e-09,
        1.0178062445845774e-07,
        1.321544258792169e-06,
        1.525273382983612e-05,
        0.0001540353044173605,
        0.0013333558146416936,
        0.009618129107606888,
        0.0555041086648216,
        0.24022650695910097,
        0.6931471805599453,
    ],
}
#: Those of 2^r for 0 <= r <= 1, exact for zero: 8.3e-8 and 8.1e-17.
_EXP2 = {
    False: [
        0.0018671300724357413,
        0.009017030315901519,
        0.0557999131096639,
        0.2401644501528742,
        0.6931513118048791,
        1.0,
    ],
    True: [
        6.123092916826387e-10,
        6.634445866251414e-09,
        1.0236023803275179e-07,
        1.3210583477765189e-06,
        1.5252998899728418e-05,
        0.00015403521219107733,
        0.001333355834393728,
        0.009618129105151757,
        0.05550410866498067,
        0.24022650695909673,
        0.6931471805599453,
        1.0,
    ],
}
#: Adding it to a number rounds to an integer, which is then in the lowest bits.
_ROUNDER = {False: 1.5 * 2.0**23, True: 1.5 * 2.0**52}
#: Bias of the exponent of a float, and the position of its lowest bit.
_EXPONENT = {False: (127, 23), True: (1023, 52)}
#: Powers of two with exponents of at most this size are normal floats.
_NORMAL = {False: 126.0, True: 1022.0}
#: For larger arguments, tanh is one: it is computed with the power of two of at most this exponent.
_LARGEST_TANH = {False: 30.0, True: 60.0}
#: Exponents to which ``sigmoid_denominator`` is limited. The product of two of these, that of tanh
#: and a cell state of less than 2^13 or 2^160 is finite.
_LARGEST_FRACTION = {False: 42.0, True: 400.0}


def _split(y: Vector) -> tuple[Vector, Vector]:
    """Return ``r`` and ``k`` for ``y = k + r``, where k is the nearest integer."""
    if AVX512:
        r = _avx512("reduce", y, _NEAREST)
        return r, y - r
    shifted = y + _ROUNDER[y.lanes.double]
    k = shifted - _ROUNDER[y.lanes.double]
    return y - k, k


def _times_power(factor: Vector, k: Vector) -> Vector:
    """Return the factor times ``2^k``, with AVX-512 for any k, which is rounded down."""
    lanes, builder = factor.lanes, factor.lanes.builder
    if AVX512:
        return _avx512("scalef", factor, k)
    bias, position = _EXPONENT[lanes.double]
    shifted = k + (_ROUNDER[lanes.double] + bias)
    bits = builder.shl(shifted.as_bits(), lanes.bit_value(position))
    return factor * Vector(lanes, builder.bitcast(bits, lanes.type))


def _avx512(name: str, x: Vector, other: Vector | int) -> Vector:
    """Return the result of an instruction for numbers in steps of one.

    "reduce" returns the distance from an integer, given how to round, and "scalef" a product with
    a power of two.
    """
    lanes = x.lanes
    mask, number = ir.IntType(lanes.size), ir.IntType(32)
    second = number(other) if isinstance(other, int) else other.ir
    arguments = [x.ir, second, x.ir, mask(-1), number(_CURRENT_ROUNDING)]
    kind = ir.FunctionType(lanes.type, [argument.type for argument in arguments])
    symbol = f"llvm.x86.avx512.mask.{name}.p{'d' if lanes.double else 's'}.512"
    return Vector(lanes, lanes.builder.call(lanes.declared(symbol, kind), arguments))


#: How "reduce" rounds; the rounding mode of the other instructions.
_NEAREST, _DOWN, _CURRENT_ROUNDING = 0, 1, 4


def _polynomial(r: Vector, coefficients: list[float]) -> Vector:
    """Evaluate a polynomial by Horner's method."""
    first, *others = coefficients
    value = r.lanes.value(first)
    for coefficient in others:
        value = r.lanes.fma(value, r, r.lanes.value(coefficient))
    return value


def _exp2(y: Vector) -> Vector:
    """Return ``2^y``; without AVX-512, of the nearest y for which it is a normal float."""
    double = y.lanes.double
    if AVX512:
        return _times_power(_polynomial(_avx512("reduce", y, _DOWN), _EXP2[double]), y)
    r, k = _split(y.at_least(-_NORMAL[double]).at_most(_NORMAL[double]))
    return _times_power(_polynomial(r, [*_EXP2M1[double], 1.0]), k)


def _exp2m1(y: Vector) -> Vector:
    """Return ``2^y - 1``, which is accurate for small y, too; y is not large."""
    double = y.lanes.double
    r, k = _split(y if AVX512 else y.at_least(-_NORMAL[double]))
    scale = _times_power(y.lanes.value(1.0), k)
    return y.lanes.fma(scale, _polynomial(r, _EXP2M1[double]) * r, scale - 1.0)


def sigmoid(x: Vector) -> Vector:
    """Return sigmoid of the argument that has been multiplied by ``SIGMOID_SCALE``.

    A result that is no normal float may be zero or, without AVX-512, the smallest normal float.
    """
    return x.lanes.value(1.0) / (_exp2(x) + 1.0)


def sigmoid_denominator(x: Vector) -> Vector:
    """Return the denominator of sigmoid, whose numerator is one; it is limited to a large number.

    ``x`` is as in ``sigmoid``.
    """
    return _exp2(x.at_most(_LARGEST_FRACTION[x.lanes.double])) + 1.0


def tanh_parts(x: Vector) -> tuple[Vector, Vector]:
    """Return numerator and denominator of tanh: ``(exp(2 x) - 1) / (exp(2 x) + 1)``.

    The argument ``x`` has been multiplied by ``TANH_SCALE``.
    """
    expm1 = _exp2m1(x.at_most(_LARGEST_TANH[x.lanes.double]))
    return expm1, expm1 + 2.0


def tanh(x: Vector) -> Vector:
    """Return tanh of the argument that has been multiplied by ``TANH_SCALE``."""
    numerator, denominator = tanh_parts(x)
    return numerator / denominator
