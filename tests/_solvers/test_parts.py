"""Updates of a part of the parameters, as for the tokens that occur in a batch."""

import numpy as np
import pytest

from sklstm._solvers.observers import NonFiniteLossError
from sklstm._solvers.parts import Part, PartialGradient
from sklstm._solvers.schedules import Constant
from sklstm._solvers.stochastic import minimize_stochastic
from sklstm._solvers.updates import SGD, Adam

N_FIRST, N_ROWS, WIDTH = 4, 6, 3
RULES = [Adam(epsilon=1e-3), SGD(), SGD(nesterov=False), SGD(0.0, nesterov=False)]


def table(flat):
    return flat[N_FIRST:].reshape(N_ROWS, WIDTH)


class Rows:
    """Some rows occur in each batch; the gradient is a fixed one at these rows, plus x / 10."""

    def __init__(self, rng, n_batches, rows=None):
        self.gradients = rng.normal(size=(n_batches, N_FIRST + N_ROWS * WIDTH))
        sizes = rng.integers(1, N_ROWS + 1, n_batches)
        self.rows = [np.sort(rng.permutation(N_ROWS)[:size]) for size in sizes]
        if rows is not None:
            self.rows = [rows] * n_batches
        self.n_calls = 0

    def __call__(self, x, indices, rng):
        part = Part(N_FIRST, self.rows[self.n_calls], WIDTH)
        gradient = part.take(self.gradients[self.n_calls].astype(x.dtype)) + part.take(x) / 10
        self.n_calls += 1
        return 1.0, PartialGradient(gradient, part, part.take(x)), 1

    def dense(self, x, indices, rng):
        _, (values, part, _), _ = self(x, indices, rng)
        gradient = np.zeros_like(x)
        part.put(gradient, values)
        return 1.0, gradient, 1


def minimize(problem, x, rule, n_batches, **options):
    moments = options.pop("moments", None) or rule.initial_moments(x)
    settings = {
        "schedule": Constant(0.05), "n_samples": n_batches, "batch_size": 1, "max_epochs": 1,
        "shuffle": False, "rng": np.random.RandomState(0), "max_grad_norm": 2.0, "step": 0,
    }  # fmt: skip
    minimize_stochastic(problem, x, update=rule, moments=moments, **settings | options)
    return moments


def reference(problem, x, rule, rate=0.05, max_norm=2.0):
    """Clip the gradient of the part by its norm, and update each of its elements by itself."""
    x, moments = x.copy(), rule.initial_moments(x)
    for step in range(1, len(problem.rows) + 1):
        _, (values, part, _), _ = problem(x, None, None)
        occurs = np.zeros(len(x), bool)
        occurs[:N_FIRST] = True
        table(occurs)[part.rows] = True
        values *= min(1.0, max_norm / np.linalg.norm(values))
        for k, g in zip(np.flatnonzero(occurs), values, strict=True):
            one, of_k = x[k : k + 1], [moment[k : k + 1] for moment in moments]
            rule.apply(one, np.array([g]), of_k, rate, step)
    return x, moments


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_an_update_changes_the_part_alone(rule, rng):
    seed, start = int(rng.integers(1000)), rng.normal(size=N_FIRST + N_ROWS * WIDTH)
    expected, moments = reference(Rows(np.random.default_rng(seed), 20), start, rule)
    x = start.copy()
    found = minimize(Rows(np.random.default_rng(seed), 20), x, rule, 20)
    np.testing.assert_allclose(x, expected, rtol=1e-12)
    for moment, wanted in zip(found, moments, strict=True):
        np.testing.assert_allclose(moment, wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_rows_that_never_occur_stay(rule, rng):
    rows, start = np.array([1, 4]), rng.normal(size=N_FIRST + N_ROWS * WIDTH)
    x = start.copy()
    moments = minimize(Rows(rng, 9, rows), x, rule, 9)
    others = np.delete(np.arange(N_ROWS), rows)
    np.testing.assert_array_equal(table(x)[others], table(start)[others])
    assert (table(x)[rows] != table(start)[rows]).all()
    for moment in moments:
        assert not table(moment)[others].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_with_all_rows_the_bits_are_those_of_a_whole_gradient(rule, dtype, rng):
    seed, start = int(rng.integers(1000)), rng.normal(size=N_FIRST + N_ROWS * WIDTH).astype(dtype)
    found, expected = start.copy(), start.copy()
    every = np.arange(N_ROWS)
    moments = minimize(Rows(np.random.default_rng(seed), 9, every), found, rule, 9)
    whole = Rows(np.random.default_rng(seed), 9, every)
    wanted = minimize(whole.dense, expected, rule, 9)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(moments, wanted)


def test_parts_and_whole_gradients_may_alternate(rng):
    """Each of them continues from the last iterate, in whatever arrays it is."""
    seed, start = int(rng.integers(1000)), rng.normal(size=N_FIRST + N_ROWS * WIDTH)
    every = np.arange(N_ROWS)
    mixed, whole = (Rows(np.random.default_rng(seed), 10, every) for _ in "ab")

    def alternating(x, indices, rng):
        return (mixed if mixed.n_calls % 3 else mixed.dense)(x, indices, rng)

    found, expected = start.copy(), start.copy()
    minimize(alternating, found, Adam(), 10)
    minimize(whole.dense, expected, Adam(), 10)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rule", RULES[:2], ids=repr)
def test_a_later_call_continues_from_the_moments(rule, rng):
    seed, start = int(rng.integers(1000)), rng.normal(size=N_FIRST + N_ROWS * WIDTH)
    once, twice = start.copy(), start.copy()
    minimize(Rows(np.random.default_rng(seed), 20), once, rule, 20)
    problem = Rows(np.random.default_rng(seed), 20)
    moments = minimize(problem, twice, rule, 10)
    minimize(problem, twice, rule, 10, moments=moments, step=10)
    np.testing.assert_array_equal(twice, once)


def test_a_gradient_that_is_not_finite_changes_nothing(rng):
    problem, start = Rows(rng, 3), rng.normal(size=N_FIRST + N_ROWS * WIDTH)
    problem.gradients[2] = np.nan
    x, expected = start.copy(), start.copy()
    with pytest.raises(NonFiniteLossError, match="step 3"):
        minimize(problem, x, Adam(), 3)
    problem.n_calls = 0
    minimize(problem, expected, Adam(), 2)
    np.testing.assert_array_equal(x, expected)


def test_each_step_equals_the_sparse_adam_of_torch(rng):
    torch = pytest.importorskip("torch")
    start, n_batches = rng.normal(size=N_FIRST + N_ROWS * WIDTH), 30
    problem, x = Rows(rng, n_batches), start.copy()
    weights = torch.from_numpy(table(start).copy()).requires_grad_()
    optimizer = torch.optim.SparseAdam([weights], lr=0.05, eps=1e-30)
    moments, rule = Adam().initial_moments(x), Adam(epsilon=1e-30)
    for step in range(n_batches):
        part = Part(N_FIRST, problem.rows[step], WIDTH)
        rows = torch.from_numpy(part.rows)[None]
        values = torch.from_numpy(table(problem.gradients[step])[part.rows])
        weights.grad = torch.sparse_coo_tensor(rows, values, (N_ROWS, WIDTH), check_invariants=True)
        optimizer.step()

        def fixed(x, _, __, part=part, step=step):
            gradient = part.take(problem.gradients[step])
            return 1.0, PartialGradient(gradient, part, part.take(x)), 1

        moments = minimize(fixed, x, rule, 1, moments=moments, step=step, max_grad_norm=None)
        np.testing.assert_allclose(table(x), weights.detach().numpy(), rtol=1e-10)
