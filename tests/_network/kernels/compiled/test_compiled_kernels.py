"""Parts that only the compiled kernels have: vectors, padding, tiles and addresses.

That both sets of kernels compute an LSTM is tested in ``test_kernels``, and the storage of compiled
code in ``test_disk_cache``.
"""

from __future__ import annotations  # the annotations of compiled functions are names

import functools

import numpy as np
import pytest
from numerics import draw_sequences

from sklstm._network.kernels import numpy_kernels
from sklstm._network.kernels.pooled import Pooled
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.kernels.weights import Weights

pytest.importorskip("llvmlite")

from sklstm._network.kernels.compiled import compiled_kernels, loading
from sklstm._network.kernels.compiled.compiling import compile_function
from sklstm._network.kernels.compiled.cpu import lanes_of
from sklstm._network.kernels.compiled.intrinsics import lanes, of_elements
from sklstm._network.kernels.compiled.recurrence import Reals
from sklstm._network.kernels.compiled.vectors import sigmoid, tanh

CLOSE = {np.float32: 1e-5, np.float64: 1e-11}
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


# --- sigmoid and tanh ---


def for_arrays(function):
    """Return a function of arrays whose size is a multiple of a vector."""

    @of_elements
    def apply_to_vector(lanes, x, y):
        lanes.store(function(lanes.load(x)), y)

    def apply_to_arrays(x: Reals, y: Reals, size: int) -> bool:
        for k in range(0, size, lanes(x)):
            apply_to_vector(x, k, y, k)
        return True

    @functools.cache
    def compiled(dtype):
        return loading.link(compile_function(apply_to_arrays, dtype, "apply"), "apply")

    def call(x, y):
        arguments = np.array([x.ctypes.data, y.ctypes.data, len(x)], np.int64)
        compiled(x.dtype)(arguments.ctypes.data)

    return call


def exact_sigmoid(x):
    """Sigmoid of arguments that have been multiplied, in extended precision."""
    x = x.astype(np.longdouble) * -np.log(np.longdouble(2))
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def exact_tanh(x):
    """Tanh, likewise."""
    e = np.expm1(-np.abs(x.astype(np.longdouble)) * np.log(np.longdouble(2)))
    return np.copysign(-e / (2 + e), x)


SIGMOID, TANH = for_arrays(sigmoid), for_arrays(tanh)
by_function = pytest.mark.parametrize(
    ("function", "exact"), [(SIGMOID, exact_sigmoid), (TANH, exact_tanh)], ids=["sigmoid", "tanh"]
)


def evaluate(function, x):
    step = lanes_of(x.dtype)
    padded = np.concatenate([x, np.zeros(-len(x) % step, x.dtype)])
    y = np.empty_like(padded)
    function(padded, y)
    return y[: len(x)]


def sample_points(dtype, rng):
    """Return floats of all magnitudes, and many of the range where the functions vary."""
    bits = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    random_bits = rng.integers(0, np.iinfo(bits).max, 400_000, bits, endpoint=True).view(dtype)
    dense = [np.linspace(-limit, limit, 200_001) for limit in (0.01, 1, 3, 20, 110, 760)]
    tiny = np.finfo(dtype).smallest_subnormal * np.arange(-1000, 1001)
    return np.concatenate([random_bits[np.isfinite(random_bits)], *dense, tiny]).astype(dtype)


@by_dtype
@by_function
def test_error_is_at_most_four_units_in_the_last_place(function, exact, dtype, rng):
    """Where the result is a normal float; others may be zero."""
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("long double is not more precise than double")
    x = sample_points(dtype, rng)
    with np.errstate(under="ignore"):
        true = exact(x)
        found = evaluate(function, x)
        units = np.abs(found - true) / np.spacing(np.abs(true).astype(dtype))
    normal = (np.abs(true) >= np.finfo(dtype).tiny) | (function is TANH)
    assert units[normal].max() <= 4, x[normal][units[normal].argmax()]
    assert (np.abs(found[~normal]) <= 2 * np.finfo(dtype).tiny).all()
    np.testing.assert_array_equal(np.signbit(found)[x != 0], np.signbit(true)[x != 0])


@by_dtype
def test_exact_values(dtype):
    x = np.array([-np.inf, -1e30, -0.0, 0.0, 1e30, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(evaluate(TANH, x), np.tanh(x))
    found = evaluate(SIGMOID, x)
    assert (found[[4, 5]] <= 2 * np.finfo(dtype).tiny).all()
    np.testing.assert_array_equal(found[[0, 1, 2, 3, 6]], np.array([1, 1, 0.5, 0.5, np.nan]))


# --- results of both sets of kernels, for many sizes ---

#: Sequences, hidden units, inputs. With 512-bit vectors the last block is narrow for 1, 17, 18, 33
#: and 50 units, and for 10 in float64. Gates of several tiles are computed at once for 30 inputs.
SIZES = [
    (1, 1, 1), (1, 64, 8), (5, 15, 1), (6, 16, 2), (13, 17, 3), (31, 40, 2), (64, 33, 30),
    (9, 10, 1), (7, 50, 2), (21, 18, 4), (133, 40, 30),
]  # fmt: skip


class Problem:
    """Arguments for both sets of kernels, and gradients at all results."""

    def __init__(self, size, dtype, reverse, ragged, rng):
        n, hidden, n_inputs = size

        def normal(*shape, scale=1.0):
            return (scale * rng.standard_normal(shape)).astype(dtype)

        self.size, self.dtype = size, dtype
        lengths = rng.integers(1, 8, n) if ragged else [7] * n
        batch = draw_sequences(rng, lengths, n_inputs, dtype).pack()
        self.x, self.layout = batch.values, SlotLayout(batch.batch_sizes, reverse)
        scale = hidden**-0.5
        self.weights = Weights(
            normal(n_inputs, 4 * hidden), normal(hidden, 4 * hidden, scale=scale),
            normal(4 * hidden),
        )  # fmt: skip
        self.h0, self.c0, self.mask = normal(n, hidden), normal(n, hidden), normal(n, hidden)
        self.at_final, self.wide = normal(2, n, hidden), normal(2, len(self.x), 2 * hidden)

    def results(self, kernel, masked):
        """Return all results of a set of kernels, by name."""
        hidden = self.size[1]
        mask = self.mask if masked else None
        h, c, cache = kernel.forward(self.x, self.weights, self.layout, self.h0, self.c0, mask)
        results = {"h": h[self.layout.outputs], "c": c[self.layout.outputs],
                   "h final": h[self.layout.final], "c final": c[self.layout.final]}  # fmt: skip
        gradient = Weights(*map(np.zeros_like, self.weights))
        dh, dc = self.at_final.copy()
        dy, dcells = self.wide[:, :, hidden:]  # views, as in a bidirectional layer
        dx = kernel.backward(cache, self.weights, gradient, dh, dc, dy, dcells, need_inputs=True)
        results |= {"dx": dx, "dh": dh, "dc": dc} | gradient._asdict()
        results |= self.pooled_results(kernel, mask)
        if not masked:
            h, c = self.h0.copy(), self.c0.copy()
            y = np.full((len(self.x), 2 * hidden), 7, self.dtype)
            kernel.infer(self.x, self.weights, self.layout, h, c, y[:, hidden:])
            results |= {"inferred": y, "inferred h": h, "inferred c": c}
            pooled = np.full((2, len(h), 2 * hidden), 0.1, self.dtype)
            states = self.h0.copy(), self.c0.copy()
            part = Pooled(*pooled[:, :, hidden:])
            kernel.infer(self.x, self.weights, self.layout, *states, None, part)
            results |= {"total": pooled[0], "maximum": pooled[1]}
        return results

    def pooled_results(self, kernel, mask):
        """Return the sum and the maximum of training, and the gradients from there."""
        hidden = self.size[1]
        no_steps = [[[0.0]], [[-np.inf]]]
        pooled = np.full((2, len(self.h0), 2 * hidden), no_steps, self.dtype)
        part = Pooled(*pooled[:, :, hidden:])
        arguments = self.x, self.weights, self.layout, self.h0, self.c0, mask, part
        *_, cache = kernel.forward(*arguments)
        gradient = Weights(*map(np.zeros_like, self.weights))
        dh, dc = np.zeros_like(self.at_final)
        dpooled = Pooled(*self.at_final)
        kernel.backward(cache, self.weights, gradient, dh, dc, dpooled=dpooled)
        found = {"total": part.total, "maximum": part.maximum, "h0": dh, "c0": dc}
        return {f"training {k}": array for k, array in {**found, **gradient._asdict()}.items()}


@by_dtype
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_results_equal_those_of_numpy(size, dtype, reverse, ragged, masked, rng):
    problem = Problem(size, dtype, reverse, ragged, rng)
    expected = problem.results(numpy_kernels, masked)
    found = problem.results(compiled_kernels, masked)
    for name, array in expected.items():
        size = np.abs(array).max(initial=1.0)
        np.testing.assert_allclose(found[name], array, 0, CLOSE[dtype] * size, err_msg=name)


@by_dtype
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("hidden", [5, 7, 9, 17])
def test_values_that_are_not_finite_spread_as_in_numpy(value, hidden, dtype, rng):
    problem = Problem((7, hidden, 2), dtype, reverse=False, ragged=True, rng=rng)
    problem.x[3, 1] = value
    with np.errstate(invalid="ignore"):
        expected = problem.results(numpy_kernels, False)
        found = problem.results(compiled_kernels, False)
    for name, array in expected.items():
        np.testing.assert_array_equal(np.isfinite(found[name]), np.isfinite(array), err_msg=name)


@by_dtype
def test_results_do_not_depend_on_other_sequences(dtype, rng):
    """Nor on the size of the tile in which a sequence is computed."""
    problem = Problem((13, 20, 3), dtype, reverse=False, ragged=False, rng=rng)
    for n in (1, 2, 5, 13):
        rows = problem.x.reshape(7, 13, 3)[:, :n].reshape(-1, 3)
        layout = SlotLayout(np.full(7, n), reverse=False)
        h, c = problem.h0[:n].copy(), problem.c0[:n].copy()
        compiled_kernels.infer(rows.copy(), problem.weights, layout, h, c)
        if n == 1:
            first = h[0].copy()
        assert np.abs(h[0] - first).max() <= CLOSE[dtype]


# --- addresses ---


@by_dtype
@pytest.mark.parametrize("writeable", [True, False])
def test_addresses_of_contiguous_arrays_of_one_dtype(dtype, writeable):
    """With other arrays, compiled code would access memory outside of them."""
    table = np.zeros((4, 6), dtype)
    table.flags.writeable = writeable
    for array in (table, table[1:], table[2:3, 2:4], table[:0]):
        assert loading.addresses(np.dtype(dtype), array) == [array.ctypes.data]
    for array in (table[:, ::2], table[:, 1:], table.T):
        with pytest.raises(TypeError, match="C-contiguous"):
            loading.addresses(np.dtype(dtype), array)
    for other in (np.float16, np.int64, np.dtype(dtype).newbyteorder()):
        with pytest.raises(TypeError, match="expected a C-contiguous array of"):
            loading.addresses(np.dtype(other), table)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "f2", "i4"])
def test_other_dtypes_raise_an_error(dtype):
    if np.dtype(dtype).isnative and dtype[0] == ">":
        pytest.skip("big-endian is the native byte order")
    rows, layout = np.zeros((2, 1), dtype), SlotLayout(np.array([1, 1]), reverse=False)
    weights = Weights(np.zeros((1, 4), dtype), np.zeros((1, 4), dtype), np.zeros(4, dtype))
    with pytest.raises(TypeError, match="expected float32 or float64"):
        compiled_kernels.infer(rows, weights, layout, rows[:1].copy(), rows[:1].copy())
