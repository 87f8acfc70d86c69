import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _solvers.problems import PROBLEMS, LeastSquares, rosenbrock

import sklstm._solvers
from sklstm._solvers.lbfgs import minimize_lbfgs
from sklstm._solvers.observers import EarlyStopping, History, NonFiniteLossError
from sklstm._solvers.schedules import Constant

DTYPES = [np.float32, np.float64]


def minimize(problem, x, **changes):
    return minimize_lbfgs(problem, x, **{"max_iter": 500, "max_fun": 15000, "tol": 1e-6, **changes})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_finds_known_minima(problem, dtype):
    x = np.array(problem.initial, dtype)
    outcome = minimize(problem.value_and_gradient, x, tol=1e-10)
    assert outcome.status == "converged"
    assert 0 < outcome.n_epochs == outcome.step < 100
    assert x.dtype == dtype
    assert problem.distance(x) < (1e-6 if dtype == np.float32 else 1e-8)


def test_reaches_the_least_squares_solution():
    problem = LeastSquares(seed=0)
    x = np.zeros(problem.n_features)
    outcome = minimize(lambda x: problem(x, None, None)[:2], x)
    np.testing.assert_allclose(x, problem.minimum, atol=1e-6)
    assert outcome.loss == pytest.approx(problem(problem.minimum, None, None)[0])


def test_tol_bounds_the_gradient_and_zero_turns_convergence_off():
    loose, tight = np.array([-1.2, 1.0]), np.array([-1.2, 1.0])
    first = minimize(rosenbrock, loose, tol=1.0)
    second = minimize(rosenbrock, tight, tol=1e-8)
    assert np.max(np.abs(rosenbrock(loose)[1])) <= 1.0
    assert np.max(np.abs(rosenbrock(tight)[1])) <= 1e-6
    assert first.n_epochs < second.n_epochs

    slow = np.full(3, 1.0)
    outcome = minimize(lambda x: (float(np.exp(-x).sum()), -np.exp(-x)), slow, tol=0.0, max_iter=12)
    assert outcome.status == "max_iter"
    assert outcome.n_epochs == 12


def test_evaluations_are_in_float64():
    dtypes = []

    def problem(x):
        dtypes.append(x.dtype)
        return rosenbrock(x)

    single, double = np.array([-1.25, 1.0], np.float32), np.array([-1.25, 1.0])
    minimize(problem, single)
    minimize(problem, double)
    assert set(dtypes) == {np.dtype(np.float64)}
    np.testing.assert_array_equal(single, double.astype(np.float32))


def test_a_problem_may_reuse_its_gradient_buffer():
    buffer = np.empty(2)

    def problem(x):
        value, buffer[:] = rosenbrock(x)
        return value, buffer

    fresh, reused = np.array([-1.2, 1.0]), np.array([-1.2, 1.0])
    minimize(rosenbrock, fresh)
    minimize(problem, reused)
    np.testing.assert_array_equal(fresh, reused)


def test_observers_cause_no_extra_evaluations():
    n_evaluations, history, events = [], History(), []

    def problem(x):
        n_evaluations.append(1)
        return rosenbrock(x)

    x, silent = np.array([-1.2, 1.0]), np.array([-1.2, 1.0])
    outcome = minimize(problem, x, observers=[history], callback=events.append)
    with_observers = len(n_evaluations)
    minimize(problem, silent)
    assert len(n_evaluations) == 2 * with_observers
    assert len(history.loss_curve) == outcome.n_epochs == events[-1].epoch == events[-1].step
    for event in events:
        value, gradient = rosenbrock(event.parameters)
        assert event.loss == value
        assert event.gradient_norm == pytest.approx(np.linalg.norm(gradient))
    assert outcome.loss == history.loss_curve[-1] == rosenbrock(x)[0]
    assert np.all(np.diff(history.loss_curve) < 0)


def test_an_observer_stops_at_the_current_iterate():
    iterates, x = [], np.array([-1.2, 1.0])

    def third(progress):
        iterates.append(progress.parameters.copy())
        return "enough" if progress.epoch == 3 else None

    outcome = minimize(rosenbrock, x, observers=[third])
    assert (outcome.status, outcome.message, outcome.n_epochs) == ("converged", "enough", 3)
    np.testing.assert_array_equal(x, iterates[-1])


def test_a_callback_stops():
    outcome = minimize(rosenbrock, np.array([-1.2, 1.0]), callback=lambda event: event.epoch == 2)
    assert (outcome.status, outcome.n_epochs) == ("stopped", 2)


def test_early_stopping_restores_the_best_iterate():
    problem = LeastSquares(seed=0)
    target = problem.minimum + 0.05
    stopper = EarlyStopping(lambda x: -float(np.sum((x - target) ** 2)), 0.0, 3, Constant(1.0))
    x = np.zeros(problem.n_features, np.float32)
    minimize(lambda x: problem(x, None, None)[:2], x, observers=[stopper])
    best = stopper.best.parameters
    assert -np.sum((best - target) ** 2) == stopper.best.score > stopper.validation_scores[-1]
    stopper.restore(x)
    np.testing.assert_array_equal(x, best.astype(np.float32))


@pytest.mark.parametrize("limit", ["max_iter", "max_fun"])
def test_limits_are_reported(limit):
    x = np.array([-1.2, 1.0])
    outcome = minimize(rosenbrock, x, **{limit: 5})
    assert outcome.status == "max_iter"
    assert 0 < outcome.n_epochs <= 5
    assert outcome.loss == rosenbrock(x)[0] < rosenbrock(np.array([-1.2, 1.0]))[0]


def test_an_initial_vector_at_the_minimum_converges_at_once():
    x = np.ones(2)
    outcome = minimize(rosenbrock, x)
    assert (outcome.status, outcome.n_epochs, outcome.loss) == ("converged", 0, 0.0)
    np.testing.assert_array_equal(x, np.ones(2))


@pytest.mark.parametrize("interrupt_at", [1, 12])
def test_an_interrupt_keeps_the_last_iterate(interrupt_at):
    n_evaluations, iterates = [], [np.array([-1.2, 1.0])]

    def problem(x):
        n_evaluations.append(1)
        if len(n_evaluations) == interrupt_at:
            raise KeyboardInterrupt
        return rosenbrock(x)

    x = iterates[0].copy()
    outcome = minimize(problem, x, observers=[lambda p: iterates.append(p.parameters.copy())])
    assert outcome.status == "interrupted"
    assert outcome.n_epochs == len(iterates) - 1
    np.testing.assert_array_equal(x, iterates[-1])
    assert interrupt_at == 1 or outcome.loss == rosenbrock(x)[0] < rosenbrock(iterates[0])[0]


@pytest.mark.parametrize(
    "first", [(np.nan, np.ones(2)), (np.inf, np.ones(2)), (1.0, np.array([1.0, np.nan]))]
)
def test_a_first_value_that_is_not_finite_is_refused(first):
    x = np.array([-1.2, 1.0])
    with pytest.raises(NonFiniteLossError, match=r"initial parameters.*Scale the inputs"):
        minimize(lambda x: first, x)
    np.testing.assert_array_equal(x, [-1.2, 1.0])


@pytest.mark.parametrize("outside", [np.nan, np.inf])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("initial", [1e-3, 10.0])
def test_the_line_search_avoids_values_that_are_not_finite(initial, scale, outside):
    """A log barrier: values are not finite if any x <= 0, which long steps reach."""
    weights, n_outside = np.arange(1.0, 7.0), []

    def barrier(x):
        if np.any(x <= 0):
            n_outside.append(1)
            return outside, np.full_like(x, np.nan)
        return scale * float(weights @ x - np.log(x).sum()), scale * (weights - 1 / x)

    x = np.full(6, initial)
    outcome = minimize(barrier, x, tol=1e-6 * min(scale, 1.0))
    assert n_outside
    assert outcome.status == "converged"
    np.testing.assert_allclose(x, 1 / weights, rtol=2e-3)


def test_a_value_that_is_not_finite_is_never_accepted():
    """The decrease that a line search demands is lost in rounding: equal values are accepted."""
    weights, n_outside = np.arange(1.0, 7.0), []

    def barrier(x):
        if np.any(x <= 0):
            n_outside.append(1)
            return np.inf, np.full_like(x, np.inf)
        value = 1e9 + 1e-5 * float(weights @ x - np.log(x).sum())
        return value, 1e-5 * (weights - 1 / x)

    x = np.full(6, 0.5)
    before = barrier(x)[0]
    outcome = minimize(barrier, x, tol=1e-9)
    assert n_outside
    assert np.all(x > 0)
    assert outcome.loss == barrier(x)[0] < before


def test_a_failed_line_search_has_not_converged():
    """The gradient points uphill: no step lowers the value."""
    x = np.ones(2)
    outcome = minimize(lambda x: (float(x @ x), -2 * x), x)
    assert outcome.status == "abnormal"
    np.testing.assert_array_equal(x, np.ones(2))


def test_importing_the_solvers_imports_neither_scipy_optimize_nor_scikit_learn():
    """A bare parent package replaces sklstm/__init__.py, which needs scikit-learn."""
    code = """if True:
        import sys, types
        sys.modules["sklstm"] = parent = types.ModuleType("sklstm")
        parent.__path__ = [sys.argv[1]]
        import sklstm._solvers
        slow = ("scipy.optimize", "sklearn")
        print(*(name for name in sys.modules if name.startswith(slow)))
    """
    folder = Path(sklstm._solvers.__file__).parents[1]
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
