"""Both sets of kernels against a plain LSTM, which computes one sequence and step at a time.

Shapes: ``n`` sequences, ``P`` packed rows, ``D`` inputs, ``H`` hidden units.
"""

from dataclasses import dataclass
from importlib import import_module
from itertools import product
from types import ModuleType

import numpy as np
import pytest
from numerics import (
    RAGGED,
    ROUNDING,
    assert_close,
    assert_gradient,
    draw_sequences,
    naive_lstm,
    naive_lstm_backward,
)

from sklstm._network.kernels import numpy_kernels, numpy_steps, runs
from sklstm._network.kernels import pooled as pooled_steps
from sklstm._network.kernels.arenas import ArenaPool
from sklstm._network.kernels.pooled import Pooled
from sklstm._network.kernels.slots import SlotLayout, slot_layout
from sklstm._network.kernels.weights import Weights
from sklstm.sequences import PackedSequences

D, H = 2, 3
EQUAL = (4, 4, 4)

KERNELS = ("numpy_kernels", "compiled.compiled_kernels")

by_direction = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
by_lengths = pytest.mark.parametrize("lengths", [RAGGED, EQUAL, (1,)], ids=str)
by_mask = pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(params=KERNELS)
def kernel(request):
    if request.param == "compiled.compiled_kernels":
        pytest.importorskip("llvmlite")
    return import_module(f"sklstm._network.kernels.{request.param}")


@dataclass
class Problem:
    """All arguments that kernels take, and gradients at all their results."""

    kernel: ModuleType
    batch: PackedSequences
    reverse: bool
    layout: SlotLayout
    weights: Weights
    h0: np.ndarray  # (n, H)
    c0: np.ndarray
    mask: np.ndarray | None  # (n, H)
    at_final: np.ndarray  # (2, n, H): gradients at hidden and cell state
    at_steps: np.ndarray  # (2, P, H)

    @classmethod
    def draw(cls, kernel, rng, lengths, reverse, masked=False, dtype=np.float64, hidden=H):
        def normal(*shape):
            return rng.standard_normal(shape).astype(dtype)

        batch = draw_sequences(rng, lengths, D, dtype).pack()
        n, p = len(lengths), sum(lengths)
        weights = Weights(normal(D, 4 * hidden), normal(hidden, 4 * hidden), normal(4 * hidden))
        mask = None
        if masked:
            mask = rng.choice([0, 2], (n, hidden)).astype(dtype)
            mask[:, 0] = 2  # a sequence with a mask of zeros has no gradient to compare
        layout = SlotLayout(batch.batch_sizes, reverse)
        h0, c0 = normal(n, hidden), normal(n, hidden)
        at_final, at_steps = normal(2, n, hidden), normal(2, p, hidden)
        return cls(kernel, batch, reverse, layout, weights, h0, c0, mask, at_final, at_steps)

    def forward(self, x=None, weights=None, h0=None, c0=None, pooled=None):
        """Return states of every step (2, P, H), final states (2, n, H), and the cache."""
        h, c, cache = self.kernel.forward(
            self.batch.values if x is None else x,
            self.weights if weights is None else weights,
            self.layout,
            self.h0 if h0 is None else h0,
            self.c0 if c0 is None else c0,
            self.mask,
            pooled,
        )
        outputs, final = self.layout.outputs, self.layout.final
        return np.stack([h[outputs], c[outputs]]), np.stack([h[final], c[final]]), cache

    def value(self, **changed):
        steps, final, _ = self.forward(**changed)
        return np.vdot(steps, self.at_steps) + np.vdot(final, self.at_final)

    def backward(self, pooled=None, **options):
        """Return gradients by name, at the inputs, the initial states and the weights."""
        *_, cache = self.forward(pooled=pooled)
        dh, dc = self.at_final.copy()
        gradient = Weights(*map(np.zeros_like, self.weights))
        options = {"dy": self.at_steps[0], "dcells": self.at_steps[1]} | options
        dx = self.kernel.backward(
            cache, self.weights, gradient, dh, dc, need_inputs=True, **options
        )
        return {"x": dx, "h0": dh, "c0": dc, **gradient._asdict()}


def naive(problem):
    """Return the same results by the plain LSTM; gradients of weights are sums over sequences."""
    p, batch = problem, problem.batch
    steps, final = np.empty_like(p.at_steps), np.empty_like(p.at_final)
    weights = Weights(*map(np.zeros_like, p.weights))
    gradients = {"x": np.empty_like(batch.values), "h0": np.empty_like(p.h0),
                 "c0": np.empty_like(p.c0), **weights._asdict()}  # fmt: skip
    for k in range(len(batch)):
        rows = np.flatnonzero(batch.row_of == k)
        rows = rows[::-1] if p.reverse else rows
        mask = np.ones_like(p.h0[k]) if p.mask is None else p.mask[k]
        hs, cs, cache = naive_lstm(batch.values[rows], p.weights, p.h0[k], p.c0[k], mask)
        steps[:, rows], final[:, k] = [hs, cs], [hs[-1], cs[-1]]
        at_steps = p.at_steps[:, rows]
        at_steps[:, -1] += p.at_final[:, k]
        found = naive_lstm_backward(cache, p.weights, *at_steps, mask)
        gradients["x"][rows], gradients["h0"][k], gradients["c0"][k] = found.x, found.h, found.c
        for total, part in zip(weights, found.weights, strict=True):
            total += part
    return steps, final, gradients


@by_dtype
@by_mask
@by_direction
@by_lengths
def test_results_equal_those_of_the_plain_lstm(lengths, reverse, masked, dtype, kernel, rng):
    problem = Problem.draw(kernel, rng, lengths, reverse, masked, dtype)
    steps, final, gradients = naive(problem)
    found_steps, found_final, _ = problem.forward()
    assert_close(found_steps, steps, ROUNDING[dtype], 1)
    assert_close(found_final, final, ROUNDING[dtype], 1)
    found = problem.backward()
    for name, gradient in gradients.items():
        assert_close(found[name], gradient, ROUNDING[dtype], 1)


@by_mask
@by_direction
@by_lengths
@pytest.mark.parametrize("at", ["x", "h0", "c0"])
def test_gradients_of_inputs_and_initial_states_by_differences(
    at, lengths, reverse, masked, kernel, rng
):
    problem = Problem.draw(kernel, rng, lengths, reverse, masked)
    point = {"x": problem.batch.values, "h0": problem.h0, "c0": problem.c0}[at]
    gradient = problem.backward()[at]
    rows = [slice(k, k + 1) for k in range(len(point))]
    assert_gradient(lambda v: problem.value(**{at: v}), point, gradient, rng, rows)


@by_mask
@by_direction
@by_lengths
@pytest.mark.parametrize("at", Weights._fields)
def test_gradients_of_weights_by_differences(at, lengths, reverse, masked, kernel, rng):
    problem = Problem.draw(kernel, rng, lengths, reverse, masked)
    point, gradient = getattr(problem.weights, at), problem.backward()[at]

    def value(changed):
        return problem.value(weights=problem.weights._replace(**{at: changed}))

    gates = [(..., slice(k * H, (k + 1) * H)) for k in range(4)]
    assert_gradient(value, point, gradient, rng, gates)


@by_direction
def test_gradients_of_weights_by_differences_at_realistic_size(reverse, kernel, rng):
    lengths = (100, 1, *rng.integers(2, 100, 6).tolist())
    problem = Problem.draw(kernel, rng, lengths, reverse, hidden=64)
    for weights in problem.weights:
        weights *= 0.1
    flat = np.concatenate([*map(np.ravel, problem.weights)])
    ends = np.cumsum([weights.size for weights in problem.weights])

    def value(changed):
        parts = np.split(changed, ends[:-1])
        shaped = [q.reshape(w.shape) for q, w in zip(parts, problem.weights, strict=True)]
        return problem.value(weights=Weights(*shaped))

    found = problem.backward()
    gradient = np.concatenate([found[name].ravel() for name in Weights._fields])
    parts = [slice(stop - w.size, stop) for stop, w in zip(ends, problem.weights, strict=True)]
    assert_gradient(value, flat, gradient, rng, parts)


@by_direction
def test_initial_states_are_zero_by_default(reverse, kernel, rng):
    problem = Problem.draw(kernel, rng, RAGGED, reverse)
    zero = np.zeros_like(problem.h0)
    h, c, _ = kernel.forward(
        problem.batch.values, problem.weights, problem.layout, None, None, None
    )
    steps, _, _ = problem.forward(h0=zero, c0=zero)
    np.testing.assert_array_equal([h[problem.layout.outputs], c[problem.layout.outputs]], steps)


@by_direction
def test_gradients_of_weights_are_added(reverse, kernel, rng):
    problem = Problem.draw(kernel, rng, RAGGED, reverse)
    expected, (*_, cache) = problem.backward(), problem.forward()
    gradient = Weights(*map(np.ones_like, problem.weights))
    dh, dc = problem.at_final.copy()
    nothing = kernel.backward(cache, problem.weights, gradient, dh, dc, *problem.at_steps)
    assert nothing is None
    for name, found in gradient._asdict().items():
        assert_close(found, 1 + expected[name], 1e-13)


@by_direction
@pytest.mark.parametrize("missing", ["dy", "dcells"])
def test_no_gradient_equals_a_gradient_of_zero(missing, reverse, kernel, rng):
    problem = Problem.draw(kernel, rng, RAGGED, reverse)
    without = problem.backward(**{missing: None})
    zero = problem.backward(**{missing: np.zeros_like(problem.at_steps[0])})
    for name, gradient in zero.items():
        assert_close(without[name], gradient, 1e-15)


@pytest.mark.parametrize("max_rows", [1, 2, 3, 5, 7, 11])
@by_mask
@by_direction
@by_lengths
def test_results_do_not_depend_on_the_size_of_runs(
    lengths, reverse, masked, max_rows, kernel, rng, monkeypatch
):
    problem = Problem.draw(kernel, rng, lengths, reverse, masked)
    expected = problem.backward()
    if hasattr(kernel, "RUN_SIZE"):
        monkeypatch.setattr(kernel, "RUN_SIZE", max_rows * H)
    else:
        monkeypatch.setattr(kernel, "RUN_ROWS", max_rows)
    found = problem.backward()
    for name, gradient in expected.items():
        assert_close(found[name], gradient, 1e-12)


@by_direction
def test_runs_cover_every_step_once(reverse):
    layout = SlotLayout(np.array([5, 5, 3, 2, 2, 1, 1]), reverse)
    tables = [run.table for run in runs.runs(layout, 5)]
    assert np.concatenate(tables).tolist() == layout.table[::-1].tolist()
    assert len(tables) > 2
    assert all(table[:, 0].sum() <= 5 for table in tables)


@by_dtype
@by_direction
@by_lengths
def test_inference_equals_forward(lengths, reverse, dtype, kernel, rng):
    problem = Problem.draw(kernel, rng, lengths, reverse, dtype=dtype)
    steps, final, _ = problem.forward()
    h, c = problem.h0.copy(), problem.c0.copy()
    y = np.empty_like(steps[0])
    kernel.infer(problem.batch.values, problem.weights, problem.layout, h, c, y)
    assert_close(y, steps[0], ROUNDING[dtype])
    assert_close([h, c], final, ROUNDING[dtype])
    again = problem.h0.copy(), problem.c0.copy()
    kernel.infer(problem.batch.values, problem.weights, problem.layout, *again)
    np.testing.assert_array_equal(again, [h, c])


@pytest.mark.parametrize("pooled_size", [1, 8, 2**16])
@by_direction
@by_lengths
def test_inference_pools_step_by_step(lengths, reverse, pooled_size, kernel, rng, monkeypatch):
    """In the order in which it computes the steps, and after those that were added before."""
    monkeypatch.setattr(pooled_steps, "MEMORY_SIZE", pooled_size)
    problem = Problem.draw(kernel, rng, lengths, reverse)
    y = np.empty((problem.layout.n_packed, H))
    states = problem.h0.copy(), problem.c0.copy()
    kernel.infer(problem.batch.values, problem.weights, problem.layout, *states, y)
    total, maximum = before = rng.normal(size=(2, len(lengths), H))
    expected_total, expected_maximum = before.copy()
    for size, row, _, _ in problem.layout.table:
        expected_total[:size] += y[row : row + size]
        expected_maximum[:size] = np.maximum(expected_maximum[:size], y[row : row + size])
    for pooled in (Pooled(total, None), Pooled(None, maximum)):
        again = problem.h0.copy(), problem.c0.copy()
        kernel.infer(problem.batch.values, problem.weights, problem.layout, *again, None, pooled)
        np.testing.assert_array_equal(again, states)
    np.testing.assert_array_equal(total, expected_total)
    np.testing.assert_array_equal(maximum, expected_maximum)


def initial_pooled(problem):
    """Return a sum and a maximum as views of the columns of a direction."""
    wide = np.full((2, len(problem.h0), 2 * H), [[[0.0]], [[-np.inf]]], problem.h0.dtype)
    return Pooled(*wide[:, :, H:])


@by_dtype
@by_mask
@by_direction
@by_lengths
def test_training_pools_all_steps(lengths, reverse, masked, dtype, kernel, rng):
    problem = Problem.draw(kernel, rng, lengths, reverse, masked, dtype)
    expected, final, _ = problem.forward()
    pooled = initial_pooled(problem)
    steps, final_again, _ = problem.forward(pooled=pooled)
    np.testing.assert_array_equal(steps, expected)
    np.testing.assert_array_equal(final_again, final)
    for k in range(len(lengths)):
        h = steps[0][problem.batch.row_of == k]
        assert_close(pooled.total[k], h.sum(axis=0), ROUNDING[dtype])
        np.testing.assert_array_equal(pooled.maximum[k], h.max(axis=0))
    for name in ("total", "maximum"):  # one of them without the other
        part = initial_pooled(problem)._replace(**{name: None})
        problem.forward(pooled=part)
        for found, known in zip(part[:2], pooled[:2], strict=True):
            if found is not None:
                np.testing.assert_array_equal(found, known)


@pytest.mark.parametrize("tied", [False, True], ids=["", "tied"])
@by_dtype
@by_mask
@by_direction
@by_lengths
def test_gradients_at_sum_and_maximum(lengths, reverse, masked, dtype, tied, kernel, rng):
    """They are gradients at each step and at the first one with the maximum."""
    problem = Problem.draw(kernel, rng, lengths, reverse, masked, dtype)
    if tied:  # the cell state is forgotten, and so all hidden states of a sequence are equal
        for weight in problem.weights[:2]:
            weight[...] = 0
        problem.weights.bias[H : 2 * H] = -np.inf if dtype == np.float32 else -1e6
    h = problem.forward()[0][0]
    at_total, at_maximum = problem.at_final.copy()
    at_argmax = np.zeros_like(h)
    for k in range(len(lengths)):
        rows = np.flatnonzero(problem.batch.row_of == k)
        at_argmax[rows[h[rows].argmax(axis=0)], range(H)] = at_maximum[k]
        if tied:
            assert (h[rows] == h[rows[0]]).all()
    expected = problem.backward(dy=at_total[problem.batch.row_of] + at_argmax, dcells=None)
    dpooled = Pooled(*np.concatenate([problem.at_final, problem.at_final], axis=2)[:, :, H:])
    pooled = initial_pooled(problem)
    found = problem.backward(pooled, dy=None, dcells=None, dpooled=dpooled)
    for name, gradient in expected.items():
        np.testing.assert_array_equal(found[name], gradient, err_msg=name)

    for absent, present in (("maximum", at_total[problem.batch.row_of]), ("total", at_argmax)):
        expected = problem.backward(dy=present, dcells=None)
        options = {"dy": None, "dcells": None, "dpooled": dpooled._replace(**{absent: None})}
        pooled = initial_pooled(problem)._replace(**{absent: None})
        found = problem.backward(pooled, **options)
        for name, gradient in expected.items():
            np.testing.assert_array_equal(found[name], gradient, err_msg=name)


def test_batches_in_an_arena_equal_those_in_fresh_memory(kernel, rng):
    """An arena keeps arrays and their views, which batches of other sizes must not use."""
    cases = product([EQUAL, EQUAL, RAGGED, (1,)], [False, True], [False, True])
    problems = [Problem.draw(kernel, rng, *case) for case in cases]
    for problem in problems:
        sizes = problem.layout.batch_sizes
        problem.layout = slot_layout(sizes, problem.reverse)  # shared by batches of equal lengths
    expected = [(problem.forward()[0], problem.backward()) for problem in problems]
    pool = ArenaPool(max_bytes=2**24)
    for _ in range(2):
        for problem, (steps, gradients) in zip(problems, expected, strict=True):
            with pool.borrow():
                np.testing.assert_array_equal(problem.forward()[0], steps)
            with pool.borrow():
                for name, gradient in problem.backward().items():
                    np.testing.assert_array_equal(gradient, gradients[name], err_msg=name)


@pytest.mark.parametrize("rows", [8, 16, 1000])
@by_direction
@pytest.mark.parametrize("lengths", [(4,) * 37, tuple(range(1, 41))], ids=["equal", "ragged"])
def test_products_may_be_divided_into_rows(lengths, reverse, rows, rng, monkeypatch):
    """As NumPy divides them where small products are faster: 37 rows are 16, 16 and 5."""
    problem = Problem.draw(numpy_kernels, rng, lengths, reverse)
    monkeypatch.setattr(numpy_steps, "is_fast_for_small_products", lambda: False)
    expected_steps, expected = problem.forward()[0], problem.backward()
    monkeypatch.setattr(numpy_steps, "is_fast_for_small_products", lambda: True)
    monkeypatch.setattr(numpy_steps, "SMALL_PRODUCT", rows * (H + D + 1) * H)
    sizes = []
    divided = numpy_steps.multiply_blocks

    def recorded(rows, weights, memory):
        sizes.append(memory[1].shape[2])
        divided(rows, weights, memory)

    monkeypatch.setattr(numpy_steps, "multiply_blocks", recorded)
    assert_close(problem.forward()[0], expected_steps, 1e-14)
    assert set(sizes) == ({rows} if rows < 40 else set())
    sizes.clear()
    found = problem.backward()
    assert set(sizes) - {rows} == ({8} if rows == 16 else set())  # the product has other weights
    for name, gradient in expected.items():
        assert_close(found[name], gradient, 1e-12)


@by_dtype
@by_direction
def test_saturated_gates_give_finite_results(reverse, dtype, kernel, rng):
    """Gates are 0 or 1 to rounding, and exp(1e6) would overflow."""
    problem = Problem.draw(kernel, rng, RAGGED, reverse, dtype=dtype)
    problem.weights.bias[...] = rng.choice([-1e6, 1e6], 4 * H)
    steps, _, _ = problem.forward()
    assert (np.abs(steps[0]) <= 1).all()
    assert np.isfinite(steps).all()
    assert all(np.isfinite(gradient).all() for gradient in problem.backward().values())
    h, c = problem.h0.copy(), problem.c0.copy()
    kernel.infer(problem.batch.values, problem.weights, problem.layout, h, c)
    assert np.isfinite([h, c]).all()


@by_mask
@by_direction
@by_lengths
@pytest.mark.parametrize("hidden", [H, 9, 17])
def test_results_do_not_depend_on_uninitialised_memory(
    hidden, lengths, reverse, masked, kernel, rng, monkeypatch
):
    problem = Problem.draw(kernel, rng, lengths, reverse, masked, hidden=hidden)
    expected_states, expected = problem.forward()[:2], problem.backward()

    def with_nan(empty):
        def filled(*args, **options):
            array = empty(*args, **options)
            array.view(np.uint8).fill(255)  # NaN for all kinds of floats
            return array

        return filled

    monkeypatch.setattr(np, "empty", with_nan(np.empty))
    monkeypatch.setattr(np, "empty_like", with_nan(np.empty_like))
    found_states, found = problem.forward()[:2], problem.backward()
    monkeypatch.undo()
    for found_array, array in zip(found_states, expected_states, strict=True):
        np.testing.assert_array_equal(found_array, array)
    for name, gradient in expected.items():
        np.testing.assert_array_equal(found[name], gradient)


@by_direction
def test_gradients_may_have_any_strides(reverse, kernel, rng):
    """Strides of zero, gaps between rows, and strides that are no multiple of an element."""
    problem = Problem.draw(kernel, rng, RAGGED, reverse)
    rows = np.dtype([("flag", "i1"), ("values", float, H)])
    packed = np.zeros(sum(RAGGED), rows)
    packed["values"] = problem.at_steps[0]
    gaps = np.zeros((sum(RAGGED), 2 * H + 1))
    gaps[:, 1 : H + 1] = problem.at_steps[0]
    repeated = np.broadcast_to(problem.at_steps[0, :1], problem.at_steps[0].shape)
    for given in (packed["values"], gaps[:, 1 : H + 1], repeated, np.asfortranarray(repeated)):
        expected = problem.backward(dy=given.copy(), dcells=given.copy())
        found = problem.backward(dy=given, dcells=given)
        for name, gradient in expected.items():
            np.testing.assert_array_equal(found[name], gradient)


@by_direction
@pytest.mark.parametrize("large", [1e38, -1e38])
def test_products_that_overflow_give_no_warning(large, reverse, kernel, rng):
    problem = Problem.draw(kernel, rng, RAGGED, reverse, dtype=np.float32)
    x = np.full_like(problem.batch.values, large)
    weights = problem.weights._replace(ih=np.abs(problem.weights.ih) + 3)
    h, _, _ = kernel.forward(x, weights, problem.layout, None, None, None)
    assert np.isfinite(h[problem.layout.outputs]).all()
    state = problem.h0.copy(), problem.c0.copy()
    kernel.infer(x, weights, problem.layout, *state)
    assert np.isfinite(state).all()
    weights = weights._replace(ih=weights.ih * 1e30)
    assert np.isfinite(kernel.Stepper(weights, len(x))(x / 1e20)).all()


@by_dtype
@pytest.mark.parametrize("n", [1, 3])
def test_a_stepper_refuses_inputs_whose_square_is_not_finite(n, dtype, kernel, rng):
    problem = Problem.draw(kernel, rng, (1,) * n, False, dtype=dtype)
    stepper, largest = kernel.Stepper(problem.weights, n), np.sqrt(np.finfo(dtype).max)
    x = np.full_like(problem.batch.values, largest)
    assert np.isfinite(stepper(x)).all()
    states = stepper.h.copy(), stepper.c.copy()
    for bad in (np.nextafter(largest, dtype(np.inf)), np.finfo(dtype).max, np.inf, np.nan):
        for sign in (1, -1):
            x[-1, -1] = sign * bad
            assert stepper(x) is None
            np.testing.assert_array_equal((stepper.h, stepper.c), states)


@by_direction
def test_arguments_are_not_modified(reverse, kernel, rng):
    problem = Problem.draw(kernel, rng, RAGGED, reverse, masked=True)
    for array in (problem.batch.values, *problem.weights, problem.h0, problem.c0, problem.mask,
                  problem.at_final, problem.at_steps):  # fmt: skip
        array.flags.writeable = False
    problem.backward()


@by_mask
@by_direction
@pytest.mark.parametrize("lengths", [RAGGED, EQUAL], ids=str)
@pytest.mark.parametrize("cuts", [(1,), (2,), (3,), (1, 3)], ids=str)
def test_segments_continue_from_the_states_of_the_one_before(
    cuts, lengths, reverse, masked, kernel, rng
):
    """A segment uses the first rows of the states: those of the sequences that reach it."""
    p = Problem.draw(kernel, rng, lengths, reverse, masked)
    steps, final, _ = p.forward()
    sizes, ends = p.batch.batch_sizes, np.cumsum(p.batch.batch_sizes)
    rows = np.split(np.arange(ends[-1]), ends[np.array(cuts) - 1])
    segments = list(zip(rows, np.split(sizes, cuts), strict=True))[:: -1 if reverse else 1]
    state, found_steps, caches = np.stack([p.h0, p.c0]), np.empty_like(steps), []
    for rows, sizes in segments:
        n, layout = sizes[0], SlotLayout(sizes, reverse)
        mask = None if p.mask is None else p.mask[:n]
        h, c, cache = kernel.forward(p.batch.values[rows], p.weights, layout, *state[:, :n], mask)
        found_steps[:, rows] = h[layout.outputs], c[layout.outputs]
        state[:, :n] = h[layout.final], c[layout.final]
        caches.append(cache)
    assert_close(found_steps, steps, 1e-12)
    assert_close(state, final, 1e-12)

    gradient, dx = Weights(*map(np.zeros_like, p.weights)), np.empty_like(p.batch.values)
    dh, dc = p.at_final.copy()
    for (rows, sizes), cache in zip(segments[::-1], caches[::-1], strict=True):
        n, at_steps = sizes[0], p.at_steps[:, rows]
        dx[rows] = kernel.backward(
            cache, p.weights, gradient, dh[:n], dc[:n], *at_steps, need_inputs=True
        )
    for name, expected in p.backward().items():
        found = {"x": dx, "h0": dh, "c0": dc, **gradient._asdict()}
        assert_close(found[name], expected, 1e-12)


@by_dtype
@pytest.mark.parametrize("n", [1, 2, 7, 13])
@pytest.mark.parametrize("hidden", [1, 16, 18, 21])
def test_a_stepper_equals_the_forward_pass(n, hidden, dtype, kernel, rng):
    problem = Problem.draw(kernel, rng, (9,) * n, False, dtype=dtype, hidden=hidden)
    steps, _, _ = problem.forward()
    stepper = kernel.Stepper(problem.weights, n)
    stepper.h[...], stepper.c[...] = problem.h0, problem.c0
    found = [(stepper(x).copy(), stepper.c.copy()) for x in np.split(problem.batch.values, 9)]
    for states, expected in zip(zip(*found, strict=True), steps, strict=True):
        assert_close(np.concatenate(states), expected, ROUNDING[dtype])
