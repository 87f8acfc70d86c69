import numpy as np
import pytest

from sklstm._solvers.schedules import Adaptive, Constant, Cosine


def test_constant_does_not_change_and_stops_at_a_plateau():
    schedule = Constant(0.3)
    assert [schedule(step) for step in (1, 10, 10**6)] == [0.3] * 3
    assert schedule.on_plateau() is False
    assert schedule(1) == 0.3


def test_cosine_at_start_middle_and_end():
    schedule = Cosine(0.2, n_steps=100)
    assert schedule(1) == 0.2
    assert schedule(51) == pytest.approx(0.1)  # half of the updates done
    assert schedule(26) == pytest.approx(0.1 * (1 + np.sqrt(0.5)))
    assert 0 < schedule(100) < 1e-4
    assert schedule(101) == schedule(10**6) == schedule(100)
    assert schedule.on_plateau() is False


def test_cosine_decreases_at_each_step():
    schedule = Cosine(1.0, n_steps=37)
    rates = [schedule(step) for step in range(1, 38)]
    assert np.all(np.diff(rates) < 0)


def test_cosine_of_one_step_uses_the_full_rate():
    assert Cosine(0.5, n_steps=1)(1) == Cosine(0.5, n_steps=1)(9) == 0.5


def test_cosine_can_begin_at_a_later_step():
    first, later = Cosine(0.5, n_steps=10), Cosine(0.5, n_steps=10, first_step=31)
    assert [later(step) for step in range(31, 45)] == [first(step) for step in range(1, 15)]


def test_adaptive_divides_at_each_plateau_until_the_minimum():
    schedule = Adaptive(0.1, factor=10, minimum=1e-3)
    rates = [schedule(1)]
    while schedule.on_plateau():
        rates.append(schedule(1))
    np.testing.assert_allclose(rates, [0.1, 0.01, 0.001])
    assert schedule(99) == rates[-1]


def test_adaptive_follows_scikit_learn_by_default():
    schedule = Adaptive(1e-3)
    n_plateaus = 0
    while schedule.on_plateau():
        n_plateaus += 1
    assert n_plateaus == 5  # 2e-4, 4e-5, 8e-6, 1.6e-6, 3.2e-7
    assert schedule(1) == pytest.approx(3.2e-7)
