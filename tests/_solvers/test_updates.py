import numpy as np
import pytest
from _solvers.problems import PROBLEMS, rosenbrock

from sklstm._solvers.updates import SGD, Adam, clip_by_global_norm, global_norm

DTYPES = [np.float32, np.float64]


def descend(rule, x, function, rate, n_steps):
    moments = rule.initial_moments(x)
    for step in range(1, n_steps + 1):
        rule.apply(x, function(x)[1], moments, rate, step)
    return moments


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_gradients_and_minima_of_the_problems(problem):
    from scipy.optimize import check_grad

    function = problem.value_and_gradient
    initial = np.array(problem.initial)
    error = check_grad(lambda x: function(x)[0], lambda x: function(x)[1], initial)
    assert error < 1e-6 * np.linalg.norm(function(initial)[1])
    for minimum in problem.minima:
        value, gradient = function(np.array(minimum, dtype=float))
        assert value < 1e-20
        assert np.max(np.abs(gradient)) < 1e-10


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_steps_of_adam_computed_by_hand(dtype):
    x = np.array([1.0, -1.0], dtype)
    rule = Adam(beta_1=0.5, beta_2=0.75, epsilon=0.5)
    moments = rule.initial_moments(x)

    rule.apply(x, np.array([2.0, -4.0], dtype), moments, 0.1, 1)
    # m = g / 2, v = g^2 / 4; corrected: g and g^2, so the step is g / (|g| + 1/2)
    np.testing.assert_allclose(x, [1 - 0.1 * 2 / 2.5, -1 + 0.1 * 4 / 4.5], rtol=1e-6)
    np.testing.assert_allclose(moments, [[1.0, -2.0], [1.0, 4.0]], rtol=1e-6)

    before = x.copy()
    rule.apply(x, np.array([0.0, 4.0], dtype), moments, 0.1, 2)
    # m = (0.5, 1), m / 0.75; v = (0.75, 7), v / 0.4375
    first, second = np.array([0.5, 1.0]) / 0.75, np.array([0.75, 7.0]) / 0.4375
    np.testing.assert_allclose(x, before - 0.1 * first / (np.sqrt(second) + 0.5), rtol=1e-6)


def test_first_steps_of_sgd_computed_by_hand():
    x, rule = np.array([1.0]), SGD(momentum=0.5, nesterov=False)
    moments = rule.initial_moments(x)
    rule.apply(x, np.array([2.0]), moments, 0.1, 1)
    rule.apply(x, np.array([4.0]), moments, 0.1, 2)
    np.testing.assert_allclose(moments, [[-0.5]])  # 0.5 * -0.2 - 0.4
    np.testing.assert_allclose(x, [1 - 0.2 - 0.5])


def test_nesterov_uses_the_new_velocity():
    x, rule = np.array([1.0]), SGD(momentum=0.5, nesterov=True)
    moments = rule.initial_moments(x)
    rule.apply(x, np.array([2.0]), moments, 0.1, 1)
    np.testing.assert_allclose(moments, [[-0.2]])
    np.testing.assert_allclose(x, [1 + 0.5 * -0.2 - 0.2])


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_velocity_of_sgd_includes_the_learning_rate(nesterov):
    """As in scikit-learn's MLP, but not in torch: a new rate does not change the old velocity."""
    gradient, x = np.array([1.0]), np.zeros(1)
    rule = SGD(momentum=0.9, nesterov=nesterov)
    moments = rule.initial_moments(x)
    rule.apply(x, gradient.copy(), moments, 1.0, 1)
    rule.apply(x, gradient.copy(), moments, 0.1, 2)
    np.testing.assert_allclose(moments, [[-0.9 - 0.1]])


RULES = [
    ("adam", Adam(), lambda torch, p: torch.optim.Adam(p, lr=0.01)),
    (
        "adam-others",
        Adam(beta_1=0.5, beta_2=0.9, epsilon=1e-3),
        lambda torch, p: torch.optim.Adam(p, lr=0.01, betas=(0.5, 0.9), eps=1e-3),
    ),
    ("adam-0", Adam(0.0, 0.9), lambda torch, p: torch.optim.Adam(p, lr=0.01, betas=(0.0, 0.9))),
    (
        "momentum",
        SGD(0.8, nesterov=False),
        lambda torch, p: torch.optim.SGD(p, lr=0.01, momentum=0.8),
    ),
    (
        "nesterov",
        SGD(0.8, nesterov=True),
        lambda torch, p: torch.optim.SGD(p, lr=0.01, momentum=0.8, nesterov=True),
    ),
    ("plain", SGD(0.0, nesterov=False), lambda torch, p: torch.optim.SGD(p, lr=0.01)),
]


@pytest.mark.parametrize(("rtol", "dtype"), [(1e-5, np.float32), (1e-12, np.float64)])
@pytest.mark.parametrize(("name", "rule", "reference"), RULES, ids=[name for name, _, _ in RULES])
def test_each_step_equals_torch(name, rule, reference, rtol, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.RandomState(0)
    x = rng.standard_normal(20).astype(dtype)
    theirs = torch.from_numpy(x.copy()).requires_grad_()
    optimizer, moments = reference(torch, [theirs]), rule.initial_moments(x)
    for step in range(1, 51):
        gradient = (rng.standard_normal(20) * 10.0 ** rng.uniform(-3, 3, 20)).astype(dtype)
        theirs.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        rule.apply(x, gradient, moments, 0.01, step)
        scale = np.max(np.abs(x))
        np.testing.assert_allclose(x, theirs.detach().numpy(), rtol=0, atol=rtol * scale)


@pytest.mark.parametrize("rule", [SGD(), SGD(nesterov=False), Adam()], ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_apply_updates_in_place_and_keeps_the_dtype(rule, dtype):
    x = np.array([-1.2, 1.0], dtype)
    view, moments = x[:], rule.initial_moments(x)
    kept = [moment[:] for moment in moments]
    rule.apply(x, rosenbrock(x)[1], moments, np.float64(1e-3), 1)
    assert np.shares_memory(view, x)
    assert view[0] != dtype(-1.2)
    for moment, array in zip(moments, kept, strict=True):
        assert moment.dtype == dtype
        assert array.any()


@pytest.mark.parametrize("rule", [SGD(), Adam()], ids=repr)
def test_training_continues_from_moments_and_step(rule):
    once, twice = np.array([-1.2, 1.0]), np.array([-1.2, 1.0])
    descend(rule, once, rosenbrock, 1e-3, 20)
    moments = descend(rule, twice, rosenbrock, 1e-3, 10)
    copies = [moment.copy() for moment in moments]
    for step in range(11, 21):
        rule.apply(twice, rosenbrock(twice)[1], copies, 1e-3, step)
    np.testing.assert_array_equal(once, twice)


@pytest.mark.parametrize("dtype", DTYPES)
def test_clipping_scales_to_max_norm_in_place(dtype):
    gradient = np.array([3.0, 4.0], dtype)
    assert clip_by_global_norm(gradient, 0.5) == pytest.approx(5.0)
    np.testing.assert_allclose(gradient, [0.3, 0.4], rtol=1e-6)
    assert gradient.dtype == dtype


@pytest.mark.parametrize("max_norm", [None, np.inf, 5.0, 6.0])
def test_clipping_does_not_change_small_gradients(max_norm):
    gradient = np.array([3.0, 4.0])
    assert clip_by_global_norm(gradient, max_norm) == 5.0
    np.testing.assert_array_equal(gradient, [3.0, 4.0])


@pytest.mark.parametrize(
    ("dtype", "size"),
    [(np.float32, 3e38), (np.float32, 1e30), (np.float32, 1e-22), (np.float32, 1e-30),
     (np.float64, 1e200), (np.float64, 1e-161), (np.float64, 1e-200)],
)  # fmt: skip
def test_the_norm_is_correct_if_squares_overflow_or_underflow(dtype, size):
    gradient = np.full(100, size, dtype)
    assert global_norm(gradient) == pytest.approx(10 * size, rel=1e-6)
    clip_by_global_norm(gradient, size)
    np.testing.assert_allclose(gradient, np.full(100, size / 10), rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_not_clipped(bad):
    gradient = np.array([1.0, bad], np.float32)
    assert not np.isfinite(clip_by_global_norm(gradient, 0.5))
    np.testing.assert_array_equal(gradient, np.array([1.0, bad], np.float32))


def test_the_norm_of_zeros_is_zero():
    assert global_norm(np.zeros(3)) == 0.0
    assert global_norm(np.zeros(0)) == 0.0
