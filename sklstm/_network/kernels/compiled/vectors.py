"""Arithmetic, sigmoid and tanh of vectors, as LLVM instructions.

Each operation on a ``Vector`` adds an instruction to the function that is being compiled. NaN and
infinity follow IEEE 754. Only ``fma`` may round once where a product and a sum round twice.

Sigmoid and tanh are fractions of exponentials. For y = k ln 2 + r with an integer k and a small r,
exp(y) is 2^k exp(r), and exp(r) is close to a polynomial. If the argument has been multiplied by
``SIGMOID_SCALE`` or ``TANH_SCALE`` before, 2^y is needed in place of exp(y): for y = k + r it is
2^k 2^r, which takes fewer instructions.
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

    def maximum(self, other: Vector) -> Vector:
        """Return the larger elements, and this vector's where one of them is NaN."""
        larger = self.lanes.builder.fcmp_unordered(">", self.ir, other.ir)
        return Vector(self.lanes, self.lanes.builder.select(larger, self.ir, other.ir))

    def where_negative(self, yes: Vector, no: Vector) -> Vector:
        """Return elements of ``yes`` where the sign bit is set, of ``no`` elsewhere."""
        builder, zero = self.lanes.builder, self.lanes.bit_value(0)
        negative = builder.icmp_signed("<", self.as_bits(), zero)
        return Vector(self.lanes, builder.select(negative, yes.ir, no.ir))

    def as_bits(self) -> Any:
        return self.lanes.builder.bitcast(self.ir, self.lanes.bits)

    def negative_magnitude(self) -> Vector:
        """Return ``-|x|``, by setting the sign bit."""
        return self._bitwise("or_", self.lanes.bit_value(_SIGN[self.lanes.double]))

    def with_sign_of(self, other: Vector) -> Vector:
        """Return non-negative elements with the signs of ``other``."""
        builder, sign = self.lanes.builder, self.lanes.bit_value(_SIGN[self.lanes.double])
        return self._bitwise("or_", builder.and_(other.as_bits(), sign))

    def _bitwise(self, operation: str, bits: Any) -> Vector:
        builder = self.lanes.builder
        result = getattr(builder, operation)(self.as_bits(), bits)
        return Vector(self.lanes, builder.bitcast(result, self.lanes.type))


_SIGN = {False: -(2**31), True: -(2**63)}


def index(number: int) -> Any:
    """Return a constant for indices and strides."""
    return ir.Constant(ir.IntType(64), number)


def _int32(number: int) -> Any:
    return ir.Constant(ir.IntType(32), number)


# --- sigmoid and tanh ---

LOG2_E = float(1 / np.log(2.0))
SIGMOID_SCALE, TANH_SCALE = LOG2_E, 2 * LOG2_E
#: Adding it to a number rounds to an integer, which is then in the lowest bits.
_ROUNDER = {False: 1.5 * 2.0**23, True: 1.5 * 2.0**52}
#: ln 2 as a sum. The products of the first summand with k are exact.
_LN2 = {
    False: (0.693359375, -2.12194440054690583e-4),
    True: (6.93145751953125e-1, 1.42860682030941723212e-6),
}
#: Coefficients of (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2, highest power first. Those of float32
#: are fitted, those of float64 are the Taylor coefficients.
_EXPM1 = {
    False: [
        0.001393372775055468,
        0.008363232016563416,
        0.041666463017463684,
        0.16666576266288757,
        0.5,
    ],
    True: [1.0 / float(np.prod(np.arange(1.0, k + 1))) for k in range(13, 1, -1)],
}
#: Coefficients of (2^r - 1) / r for |r| <= 1/2, likewise.
_EXP2M1 = {
    False: [
        0.00015461447765119374,
        0.0013390866806730628,
        0.009618056938052177,
        0.055503569543361664,
        0.24022650718688965,
        0.6931471824645996,
    ],
    True: [float(np.prod(np.log(2.0) / np.arange(1.0, k + 1))) for k in range(14, 0, -1)],
}
#: Bias of the exponent of a float, and the position of its lowest bit.
_EXPONENT = {False: (127, 23), True: (1023, 52)}


class _Power:
    """The power ``2^k``, as a factor whose products may be denormal."""

    def __init__(self, shifted: Vector, k: Vector) -> None:
        self._lanes, self._shifted, self._k = k.lanes, shifted, k

    def times(self, factor: Vector) -> Vector:
        """Return ``2^k`` times the factor.

        AVX-512 has an instruction for it. Otherwise ``2^k`` may be too small for a float, so the
        factor is multiplied by two powers with half the exponent.
        """
        if AVX512:
            return self._scaled(factor)
        lanes, builder = self._lanes, self._lanes.builder
        half = builder.ashr(self._integer(), lanes.bit_value(1))
        rest = builder.sub(self._integer(), half)
        return factor * self._power(rest) * self._power(half)

    def value(self) -> Vector:
        """Return the power itself, which must be a normal float."""
        return self._scaled(self._lanes.value(1.0)) if AVX512 else self._power(self._integer())

    def _integer(self) -> Any:
        rounder = self._lanes.value(_ROUNDER[self._lanes.double])
        return self._lanes.builder.sub(self._shifted.as_bits(), rounder.as_bits())

    def _power(self, k: Any) -> Vector:
        lanes = self._lanes
        bias, position = _EXPONENT[lanes.double]
        biased = lanes.builder.add(k, lanes.bit_value(bias))
        bits = lanes.builder.shl(biased, lanes.bit_value(position))
        return Vector(lanes, lanes.builder.bitcast(bits, lanes.type))

    def _scaled(self, factor: Vector) -> Vector:
        lanes = self._lanes
        mask, rounding = ir.IntType(lanes.size), ir.IntType(32)
        kind = ir.FunctionType(lanes.type, [lanes.type] * 3 + [mask, rounding])
        name = f"llvm.x86.avx512.mask.scalef.p{'d' if lanes.double else 's'}.512"
        function = lanes.declared(name, kind)
        arguments = [factor.ir, self._k.ir, factor.ir, mask(-1), rounding(_CURRENT_ROUNDING)]
        return Vector(lanes, lanes.builder.call(function, arguments))


#: The rounding mode of the other instructions.
_CURRENT_ROUNDING = 4


def _split_exp(y: Vector) -> tuple[Vector, _Power]:
    """Return ``exp(r) - 1`` and ``2^k`` with ``y = k ln 2 + r``."""
    lanes, double = y.lanes, y.lanes.double
    rounder, (high, low) = _ROUNDER[double], _LN2[double]
    shifted = lanes.fma(y, lanes.value(LOG2_E), lanes.value(rounder))
    k = shifted - rounder
    r = lanes.fma(k, lanes.value(-low), lanes.fma(k, lanes.value(-high), y))
    return lanes.fma(r * r, _polynomial(r, _EXPM1[double]), r), _Power(shifted, k)


def _split_exp2(y: Vector) -> tuple[Vector, _Power]:
    """Return ``2^r - 1`` and ``2^k`` with ``y = k + r``."""
    double = y.lanes.double
    shifted = y + _ROUNDER[double]
    k = shifted - _ROUNDER[double]
    r = y - k
    return _polynomial(r, _EXP2M1[double]) * r, _Power(shifted, k)


def _polynomial(r: Vector, coefficients: list[float]) -> Vector:
    """Evaluate a polynomial by Horner's method."""
    first, *others = coefficients
    value = r.lanes.value(first)
    for coefficient in others:
        value = r.lanes.fma(value, r, r.lanes.value(coefficient))
    return value


def sigmoid_parts(x: Vector, scaled: bool = False) -> tuple[Vector, Vector]:
    """Return numerator and denominator of sigmoid.

    They are those of ``1 / (1 + exp(-x))`` and, for negative x, of ``exp(x) / (1 + exp(x))``. If
    ``scaled``, ``x`` has been multiplied by ``SIGMOID_SCALE``.
    """
    lanes, split = x.lanes, _split_exp2 if scaled else _split_exp
    lowest = -1090.0 if lanes.double else -160.0  # the exponential is zero there
    expm1, power = split(x.negative_magnitude().at_least(lowest))
    e = power.times(expm1 + 1.0)
    return x.where_negative(e, lanes.value(1.0)), e + 1.0


def tanh_parts(x: Vector, scaled: bool = False) -> tuple[Vector, Vector]:
    """Return numerator and denominator of tanh.

    They are those of ``-expm1(-2 |x|) / (2 + expm1(-2 |x|))``, with the sign of ``x``. If
    ``scaled``, ``x`` has been multiplied by ``TANH_SCALE``.
    """
    lanes, split = x.lanes, _split_exp2 if scaled else _split_exp
    expm1, power = split((x if scaled else x + x).negative_magnitude().at_least(-80.0))
    scale = power.value()
    e = lanes.fma(scale, expm1, scale - 1.0)
    return (lanes.value(0.0) - e).with_sign_of(x), e + 2.0


def sigmoid(x: Vector, scaled: bool = False) -> Vector:
    numerator, denominator = sigmoid_parts(x, scaled)
    return numerator / denominator


def tanh(x: Vector, scaled: bool = False) -> Vector:
    numerator, denominator = tanh_parts(x, scaled)
    return numerator / denominator
