import numpy as np
import pytest
from _solvers.problems import PROBLEMS, LeastSquares

from sklstm._solvers.observers import (
    BatchDone,
    EarlyStopping,
    History,
    NonFiniteLossError,
    Progress,
    Tolerance,
)
from sklstm._solvers.schedules import Adaptive, Constant, Cosine
from sklstm._solvers.stochastic import batches, minimize_stochastic
from sklstm._solvers.updates import SGD, Adam

DTYPES = [np.float32, np.float64]


def minimize(problem, x, *, rule=None, rng=None, **changes):
    rule = rule if rule is not None else Adam()
    options = {
        "update": rule,
        "moments": rule.initial_moments(x),
        "step": 0,
        "schedule": Constant(0.01),
        "n_samples": getattr(problem, "n_samples", 1),
        "batch_size": 16,
        "max_epochs": 5,
        "shuffle": True,
        "rng": rng if rng is not None else np.random.RandomState(0),
    }
    return minimize_stochastic(problem, x, **{**options, **changes})


RATES = {
    "bowl": (0.3, 0.003),
    "rosenbrock": (0.1, 0.001),
    "booth": (0.3, 0.02),
    "himmelblau": (0.3, 0.003),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", [Adam(), SGD(), SGD(nesterov=False)], ids=repr)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_finds_known_minima(problem, rule, dtype):
    x = np.array(problem.initial, dtype)
    rate = RATES[problem.name][0 if isinstance(rule, Adam) else 1]
    n_steps = 6000
    outcome = minimize(
        problem.full_batch, x, rule=rule, schedule=Cosine(rate, n_steps), max_epochs=n_steps
    )
    assert outcome.status == "max_iter"
    assert outcome.n_epochs == outcome.step == n_steps
    assert x.dtype == dtype
    assert problem.distance(x) < (1e-3 if dtype == np.float32 else 1e-4)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("rule", [Adam(), SGD()], ids=repr)
def test_minibatches_reach_the_weighted_least_squares_solution(rule, shuffle):
    problem = LeastSquares(seed=0)
    x = np.zeros(problem.n_features)
    minimize(problem, x, rule=rule, schedule=Cosine(0.05, 6 * 400), max_epochs=400, shuffle=shuffle)
    # uneven batch weights bias the mean of the batch gradients, the more so the smaller the batch
    np.testing.assert_allclose(x, problem.minimum, atol=0.02)


def test_a_full_batch_reaches_the_exact_solution():
    problem = LeastSquares(seed=0)
    x = np.zeros(problem.n_features)
    minimize(problem, x, batch_size=96, schedule=Cosine(0.3, 2000), max_epochs=2000)
    np.testing.assert_allclose(x, problem.minimum, rtol=1e-8)


def test_the_loss_of_an_epoch_is_the_weighted_mean_over_batches():
    problem = LeastSquares(seed=1)
    history, x = History(), np.zeros(problem.n_features)
    minimize(problem, x, schedule=Constant(0.0), observers=[history], max_epochs=2)
    expected, _, _ = problem(x, None, None)
    np.testing.assert_allclose(history.loss_curve, [expected] * 2, rtol=1e-12)


@pytest.mark.parametrize(
    ("n_samples", "batch_size", "sizes"),
    [(10, 10, None), (10, 32, None), (1, 1, None), (33, 32, [16, 17]), (10, 3, [2, 3, 2, 3]),
     (12, 4, [4, 4, 4]), (3, 1, [1, 1, 1])],
)  # fmt: skip
def test_batches_are_few_and_nearly_equal(n_samples, batch_size, sizes):
    split = batches(n_samples, batch_size, True, np.random.RandomState(0))
    if sizes is None:
        assert split == [None]
        return
    assert [len(batch) for batch in split] == sizes
    np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(n_samples))


@pytest.mark.parametrize("n_samples", [2, 7, 97, 100, 1001])
def test_no_batch_is_larger_than_batch_size_or_very_small(n_samples):
    for batch_size in range(1, n_samples):
        sizes = [len(b) for b in batches(n_samples, batch_size, False, np.random.RandomState(0))]
        assert sum(sizes) == n_samples
        assert len(sizes) == -(-n_samples // batch_size)
        assert max(sizes) <= batch_size
        assert max(sizes) - min(sizes) <= 1


def test_without_shuffling_batches_keep_the_order_and_draw_nothing():
    rng = np.random.RandomState(0)
    split = batches(10, 4, False, rng)
    np.testing.assert_array_equal(np.concatenate(split), np.arange(10))
    assert rng.randint(2**31) == np.random.RandomState(0).randint(2**31)


def test_a_full_batch_draws_nothing_and_passes_no_indices():
    problem, rng = LeastSquares(seed=0), np.random.RandomState(0)
    minimize(problem, np.zeros(problem.n_features), batch_size=96, rng=rng)
    assert problem.batches == [None] * 5
    assert rng.randint(2**31) == np.random.RandomState(0).randint(2**31)


def test_each_epoch_has_its_own_order_of_all_samples():
    problem = LeastSquares(seed=0)
    minimize(problem, np.zeros(problem.n_features), max_epochs=2)
    first, second = np.concatenate(problem.batches[:6]), np.concatenate(problem.batches[6:])
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.sort(first), np.arange(96))
    np.testing.assert_array_equal(np.sort(second), np.arange(96))


def test_the_problem_draws_from_the_same_rng():
    def problem(x, indices, rng):
        return 0.0, rng.standard_normal(2), 1.0

    first, again, other = np.zeros(2), np.zeros(2), np.zeros(2)
    minimize(problem, first, rng=np.random.RandomState(3))
    minimize(problem, again, rng=np.random.RandomState(3))
    minimize(problem, other, rng=np.random.RandomState(4))
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", [Adam(), SGD()], ids=repr)
def test_two_calls_of_five_epochs_equal_one_of_ten_bit_for_bit(rule, dtype):
    problem = LeastSquares(seed=2)
    once = np.zeros(problem.n_features, dtype)
    whole = minimize(problem, once, rule=rule, schedule=Cosine(0.05, 60), max_epochs=10)

    twice, rng = np.zeros(problem.n_features, dtype), np.random.RandomState(0)
    moments, step = rule.initial_moments(twice), 0
    for _ in range(2):
        outcome = minimize(
            problem,
            twice,
            rule=rule,
            schedule=Cosine(0.05, 60),
            moments=moments,
            step=step,
            rng=rng,
        )
        step = outcome.step
    np.testing.assert_array_equal(once, twice)
    assert whole.step == step == 60
    assert whole.loss == outcome.loss


def test_the_schedule_is_called_with_steps_from_one():
    steps = []
    problem = LeastSquares(seed=0)
    minimize(problem, np.zeros(5), schedule=lambda step: steps.append(step) or 0.01, max_epochs=2)
    assert steps == list(range(1, 13))


def test_the_callback_is_called_after_each_batch_and_epoch():
    events, problem = [], LeastSquares(seed=0)
    x = np.zeros(problem.n_features)
    outcome = minimize(problem, x, batch_size=32, step=100, max_epochs=2, callback=events.append)
    assert [type(event) for event in events] == ([BatchDone] * 3 + [Progress]) * 2
    batches_done = [event for event in events if isinstance(event, BatchDone)]
    assert [(e.epoch, e.batch, e.n_batches, e.step) for e in batches_done] == [
        (1, 1, 3, 101), (1, 2, 3, 102), (1, 3, 3, 103),
        (2, 1, 3, 104), (2, 2, 3, 105), (2, 3, 3, 106),
    ]  # fmt: skip
    last = events[-1]
    assert (last.epoch, last.step, last.rate) == (2, 106, 0.01)
    np.testing.assert_array_equal(last.parameters, x)
    assert last.loss == outcome.loss
    assert outcome.step == 106


def test_progress_has_the_largest_norm_before_clipping():
    def problem(x, indices, rng):
        return 0.0, np.array([norms.pop(0), 0.0]), 1.0

    norms, events = [1.0, 7.0, 2.0], []
    minimize(
        problem, np.zeros(2), n_samples=3, batch_size=1, max_epochs=1, max_grad_norm=0.5,
        observers=[events.append],
    )  # fmt: skip
    assert events[0].gradient_norm == 7.0


def test_clipping_limits_the_update():
    def problem(x, indices, rng):
        return 0.0, np.array([300.0, 400.0]), 1.0

    x = np.zeros(2)
    minimize(
        problem, x, rule=SGD(0.0, False), schedule=Constant(1.0), max_epochs=1, max_grad_norm=1.0
    )
    np.testing.assert_allclose(x, [-0.6, -0.8])


@pytest.mark.parametrize("stop_at", [4, 6])
def test_the_callback_stops_after_a_batch(stop_at):
    problem = LeastSquares(seed=0)
    x, expected = np.zeros(5), np.zeros(5)
    outcome = minimize(problem, x, callback=lambda event: event.step == stop_at)
    assert (outcome.status, outcome.n_epochs, outcome.step) == ("stopped", 0, stop_at)

    calls = []
    minimize(problem, expected, callback=lambda event: calls.append(event) or len(calls) == stop_at)
    np.testing.assert_array_equal(x, expected)
    assert np.any(x != 0)


def test_the_callback_stops_after_an_epoch():
    history = History()
    outcome = minimize(
        LeastSquares(seed=0), np.zeros(5), observers=[history],
        callback=lambda event: isinstance(event, Progress) and event.epoch == 2,
    )  # fmt: skip
    assert (outcome.status, outcome.n_epochs, outcome.step) == ("stopped", 2, 12)
    assert len(history.loss_curve) == 2
    assert outcome.loss == history.loss_curve[-1]


def test_an_adaptive_rate_is_lowered_before_convergence():
    problem, schedule, history = LeastSquares(seed=0), Adaptive(0.05), History()
    x = np.zeros(problem.n_features)
    outcome = minimize(
        problem, x, rule=SGD(), schedule=schedule, max_epochs=1000,
        observers=[history, Tolerance(1e-4, 2, schedule)],
    )  # fmt: skip
    assert outcome.status == "converged"
    assert "training loss" in outcome.message
    assert outcome.n_epochs == len(history.loss_curve) < 1000
    assert schedule(1) <= 1e-6
    np.testing.assert_allclose(x, problem.minimum, atol=0.05)


def test_convergence_in_the_last_epoch_is_reported():
    outcome = minimize(
        LeastSquares(seed=0), np.zeros(5), observers=[lambda p: "done"], max_epochs=1
    )
    assert outcome.status == "converged"
    assert outcome.message == "done"


def test_early_stopping_restores_the_best_epoch():
    problem = LeastSquares(seed=0)
    target = problem.minimum / 2  # parameters come close to it on their path to the minimum
    stopper = EarlyStopping(lambda x: -float(np.linalg.norm(x - target)), 0.0, 5, Constant(0.01))
    kept, x = [], np.zeros(problem.n_features)
    outcome = minimize(
        problem, x, max_epochs=500, observers=[lambda p: kept.append(p.parameters.copy()), stopper]
    )
    assert outcome.status == "converged"
    assert outcome.n_epochs < 500
    best = int(np.argmax(stopper.validation_scores))
    assert best == outcome.n_epochs - 7  # six epochs without improvement are more than five
    assert not np.array_equal(x, kept[best])
    stopper.restore(x)
    np.testing.assert_array_equal(x, kept[best])


def test_an_interrupt_keeps_the_updates_so_far():
    problem, history = LeastSquares(seed=0), History()

    def interrupted(x, indices, rng):
        if len(problem.batches) == 9:
            raise KeyboardInterrupt
        return problem(x, indices, rng)

    x, expected = np.zeros(5), np.zeros(5)
    outcome = minimize(interrupted, x, n_samples=96, observers=[history])
    assert (outcome.status, outcome.n_epochs, outcome.step) == ("interrupted", 1, 9)
    assert outcome.loss == history.loss_curve[0]
    minimize(LeastSquares(seed=0), expected, callback=lambda event: event.step == 9)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("where", ["value", "gradient"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_error_of_a_loss_that_is_not_finite_names_the_step(where, bad):
    problem = LeastSquares(seed=0)

    def diverges(x, indices, rng):
        value, gradient, weight = problem(x, indices, rng)
        if len(problem.batches) == 9:
            value, gradient[1] = (bad, gradient[1]) if where == "value" else (value, bad)
        return value, gradient, weight

    x, expected = np.zeros(5), np.zeros(5)
    message = r"step 109 \(epoch 2, batch 3 of 6, learning rate 0.01\).*learning_rate_init.*max_gra"
    with pytest.raises(NonFiniteLossError, match=message):
        minimize(diverges, x, n_samples=96, step=100, max_grad_norm=1.0)
    minimize(
        LeastSquares(seed=0),
        expected,
        step=100,
        max_grad_norm=1.0,
        callback=lambda e: e.step == 108,
    )
    np.testing.assert_array_equal(x, expected)  # the bad gradient has not been applied
    assert issubclass(NonFiniteLossError, ValueError)


@pytest.mark.parametrize("dtype", DTYPES)
def test_divergence_is_reported_before_the_parameters_overflow(dtype):
    x = np.ones(3, dtype)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteLossError, match="smaller"):
        minimize(PROBLEMS[0].full_batch, x, rule=SGD(), schedule=Constant(10.0), max_epochs=1000)
    assert np.all(np.isfinite(x))


def test_a_gradient_whose_square_overflows_is_refused_unless_clipped():
    def steep(x, indices, rng):
        return 1.0, np.full(2, 1e25, np.float32), 1.0

    with pytest.raises(NonFiniteLossError, match="step 1 "):
        minimize(steep, np.zeros(2, np.float32))
    x = np.zeros(2, np.float32)
    minimize(steep, x, max_grad_norm=1.0)
    np.testing.assert_allclose(x, -0.05, rtol=1e-4)  # five Adam steps of 0.01


def test_zero_epochs_change_nothing():
    x = np.ones(5)
    outcome = minimize(LeastSquares(seed=0), x, max_epochs=0)
    assert (outcome.status, outcome.n_epochs, outcome.step) == ("max_iter", 0, 0)
    np.testing.assert_array_equal(x, np.ones(5))
