"""What only the compiled kernels can get wrong: vectors, padding and tiles.

That they compute an LSTM is tested together with the others, in ``test_kernels``; how their code
is kept on disk, in ``test_stored``.
"""

import numpy as np
import pytest
from numerics import draw_sequences

from sklstm._network.kernels import numpy_kernels
from sklstm._network.kernels.slots import Walk
from sklstm._network.kernels.weights import Weights

numba = pytest.importorskip("numba")

from numba.extending import intrinsic  # noqa: E402  only now is it known to be there

from sklstm._network.kernels.compiled import compiled_kernels, loading  # noqa: E402
from sklstm._network.kernels.compiled.cpu import lanes_of  # noqa: E402
from sklstm._network.kernels.compiled.vectors import Lanes, sigmoid, tanh  # noqa: E402

CLOSE = {np.float32: 1e-5, np.float64: 1e-11}
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


# --- sigmoid and tanh ---


def of_all(function, scaled):
    """A function of vectors, compiled for arrays of whole vectors."""

    @intrinsic
    def of_vector(context, x, k, y):
        def build(context, builder, signature, args):
            lanes = Lanes(builder, x.dtype)
            read, written = (
                builder.gep(context.make_array(kind)(context, builder, array).data, [args[1]])
                for kind, array in ((x, args[0]), (y, args[2]))
            )
            lanes.store(function(lanes.load(read), scaled), written)
            return context.get_dummy_value()

        return numba.types.void(x, numba.types.intp, y), build

    @numba.njit
    def of_arrays(x, y, step):
        for k in range(0, len(x), step):
            of_vector(x, k, y)

    return of_arrays


def exact_sigmoid(x):
    """In extended precision, by the formula that does not cancel."""
    e = np.exp(-np.abs(x.astype(np.longdouble)))
    return np.where(x >= 0, 1, e) / (1 + e)


def exact_tanh(x):
    """In extended precision, by the formula that does not cancel."""
    e = np.expm1(-2 * np.abs(x.astype(np.longdouble)))
    return np.copysign(-e / (2 + e), x)


def exact_scaled_sigmoid(x):
    return exact_sigmoid(x.astype(np.longdouble) * np.log(np.longdouble(2)))


def exact_scaled_tanh(x):
    return exact_tanh(x.astype(np.longdouble) * np.log(np.longdouble(2)) / 2)


SIGMOIDS = [of_all(sigmoid, scaled) for scaled in (False, True)]
TANHS = [of_all(tanh, scaled) for scaled in (False, True)]
FUNCTIONS = [
    (SIGMOIDS[0], exact_sigmoid), (SIGMOIDS[1], exact_scaled_sigmoid),
    (TANHS[0], exact_tanh), (TANHS[1], exact_scaled_tanh),
]  # fmt: skip
NAMES = ["sigmoid", "scaled sigmoid", "tanh", "scaled tanh"]
by_function = pytest.mark.parametrize(("function", "exact"), FUNCTIONS, ids=NAMES)


def evaluated(function, x):
    step = lanes_of(x.dtype)
    padded = np.concatenate([x, np.zeros(-len(x) % step, x.dtype)])
    y = np.empty_like(padded)
    function(padded, y, step)
    return y[: len(x)]


def numbers(dtype, rng):
    """All magnitudes: every so many bit patterns, and densely where the functions bend."""
    bits = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    every = rng.integers(0, np.iinfo(bits).max, 400_000, bits, endpoint=True).view(dtype)
    dense = [np.linspace(-reach, reach, 200_001) for reach in (0.01, 1, 3, 20, 110, 760)]
    tiny = np.finfo(dtype).smallest_subnormal * np.arange(-1000, 1001)
    return np.concatenate([every[np.isfinite(every)], *dense, tiny]).astype(dtype)


@by_dtype
@by_function
def test_within_four_units_in_the_last_place_of_the_true_value(function, exact, dtype, rng):
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("long double is no more than double here")
    x = numbers(dtype, rng)
    with np.errstate(under="ignore"):
        true = exact(x)
        found = evaluated(function, x)
        units = np.abs(found - true) / np.spacing(np.abs(true).astype(dtype))
    assert units.max() <= 4, x[units.argmax()]
    np.testing.assert_array_equal(np.signbit(found), np.signbit(true))


@by_dtype
def test_values_without_rounding(dtype):
    x = np.array([-np.inf, -1e30, -0.0, 0.0, 1e30, np.inf, np.nan], dtype)
    expected = np.array([0, 0, 0.5, 0.5, 1, 1, np.nan], dtype)
    for function in SIGMOIDS:
        np.testing.assert_array_equal(evaluated(function, x), expected)
    for function in TANHS:
        found = evaluated(function, x)
        np.testing.assert_array_equal(found, np.tanh(x))
        np.testing.assert_array_equal(np.signbit(found[:-1]), np.signbit(np.tanh(x)[:-1]))


# --- the same as NumPy, at all kinds of sizes ---

SIZES = [(1, 1, 1), (1, 64, 8), (5, 15, 1), (6, 16, 2), (13, 17, 3), (31, 40, 2), (64, 33, 30)]


class Both:
    """A problem for both kernels, with gradients at all results."""

    def __init__(self, size, dtype, reverse, ragged, rng):
        n, hidden, n_inputs = size

        def normal(*shape, scale=1.0):
            return (scale * rng.standard_normal(shape)).astype(dtype)

        self.size, self.dtype = size, dtype
        lengths = rng.integers(1, 8, n) if ragged else [7] * n
        batch = draw_sequences(rng, lengths, n_inputs, dtype).pack()
        self.x, self.walk = batch.values, Walk(batch.batch_sizes, reverse)
        scale = hidden**-0.5
        self.weights = Weights(
            normal(n_inputs, 4 * hidden), normal(hidden, 4 * hidden, scale=scale),
            normal(4 * hidden),
        )  # fmt: skip
        self.h0, self.c0, self.mask = normal(n, hidden), normal(n, hidden), normal(n, hidden)
        self.at_final, self.wide = normal(2, n, hidden), normal(2, len(self.x), 2 * hidden)

    def of(self, kernel, masked):
        """All that a kernel gives, by name."""
        hidden = self.size[1]
        mask = self.mask if masked else None
        h, c, cache = kernel.forward(self.x, self.weights, self.walk, self.h0, self.c0, mask)
        results = {"h": h[self.walk.outputs], "c": c[self.walk.outputs],
                   "h final": h[self.walk.final], "c final": c[self.walk.final]}  # fmt: skip
        gradient = Weights(*map(np.zeros_like, self.weights))
        dh, dc = self.at_final.copy()
        of_half = self.wide[:, :, hidden:]  # a view, as one direction of a bidirectional layer has
        dx = kernel.backward(cache, self.weights, gradient, dh, dc, *of_half, need_inputs=True)
        results |= {"dx": dx, "dh": dh, "dc": dc} | gradient._asdict()
        if not masked:
            h, c = self.h0.copy(), self.c0.copy()
            y = np.full((len(self.x), 2 * hidden), 7, self.dtype)
            kernel.infer(self.x, self.weights, self.walk, h, c, y[:, hidden:])
            results |= {"inferred": y, "inferred h": h, "inferred c": c}
        return results


@by_dtype
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_results_are_those_of_numpy(size, dtype, reverse, ragged, masked, rng):
    both = Both(size, dtype, reverse, ragged, rng)
    expected, found = both.of(numpy_kernels, masked), both.of(compiled_kernels, masked)
    for name, array in expected.items():
        reach = np.abs(array).max(initial=1.0)
        np.testing.assert_allclose(found[name], array, 0, CLOSE[dtype] * reach, err_msg=name)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_spreads_as_it_does_in_numpy(value, rng):
    both = Both((7, 5, 2), np.float64, reverse=False, ragged=True, rng=rng)
    both.x[3, 1] = value
    with np.errstate(invalid="ignore"):
        expected, found = both.of(numpy_kernels, False), both.of(compiled_kernels, False)
    for name, array in expected.items():
        np.testing.assert_array_equal(np.isfinite(found[name]), np.isfinite(array), err_msg=name)


@by_dtype
def test_neighbours_in_a_batch_do_not_matter(dtype, rng):
    """A row is computed the same in every tile: to the last bit."""
    both = Both((13, 20, 3), dtype, reverse=False, ragged=False, rng=rng)
    for n in (1, 2, 5, 13):
        rows = both.x.reshape(7, 13, 3)[:, :n].reshape(-1, 3)
        walk = Walk(np.full(7, n), reverse=False)
        h, c = both.h0[:n].copy(), both.c0[:n].copy()
        compiled_kernels.infer(rows.copy(), both.weights, walk, h, c, None)
        if n == 1:
            first = h[0].copy()
        assert np.abs(h[0] - first).max() <= CLOSE[dtype]


# --- addresses ---


@by_dtype
@pytest.mark.parametrize("writeable", [True, False])
def test_addresses_are_those_of_whole_arrays_of_one_dtype(dtype, writeable):
    """Compiled code would read, or write, what lies beside others."""
    table = np.zeros((4, 6), dtype)
    table.flags.writeable = writeable
    for array in (table, table[1:], table[2:3, 2:4], table[:0]):
        assert loading.addresses(np.dtype(dtype), array) == [array.ctypes.data]
    for array in (table[:, ::2], table[:, 1:], table.T):
        with pytest.raises(TypeError, match="one piece"):
            loading.addresses(np.dtype(dtype), array)
    for other in (np.float16, np.int64, np.dtype(dtype).newbyteorder()):
        with pytest.raises(TypeError, match="expected an array of"):
            loading.addresses(np.dtype(other), table)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "f2", "i4"])
def test_other_dtypes_are_refused(dtype):
    """Also where all arrays have them."""
    if np.dtype(dtype).isnative and dtype[0] == ">":
        pytest.skip("the order of this machine")
    rows, walk = np.zeros((2, 1), dtype), Walk(np.array([1, 1]), reverse=False)
    weights = Weights(np.zeros((1, 4), dtype), np.zeros((1, 4), dtype), np.zeros(4, dtype))
    with pytest.raises(TypeError, match="expected float32 or float64"):
        compiled_kernels.infer(rows, weights, walk, rows[:1].copy(), rows[:1].copy(), None)
