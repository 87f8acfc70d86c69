import numpy as np
import pytest
from numerics import LOSSES, assert_close, assert_gradient
from scipy.special import expit, log_expit, xlogy
from scipy.special import log_softmax as scipy_log_softmax
from scipy.special import softmax as scipy_softmax
from scipy.stats import norm
from sklearn.metrics import (
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_error,
)

from sklstm._network import losses
from sklstm._network.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Gaussian,
    Huber,
    MultilabelCrossEntropy,
    Poisson,
    Quantile,
    Quantiles,
    SquaredError,
    log_sigmoid,
    log_softmax,
    sigmoid,
    softmax,
)

DTYPES = [np.float32, np.float64]
FAR = [-1000.0, -100.0, -30.0, -1.0, 0.0, 1.0, 30.0, 100.0, 1000.0]
LEVELS = [0.1, 0.5, 0.9]
CROSS_ENTROPIES = [BinaryCrossEntropy(), MultilabelCrossEntropy(), CategoricalCrossEntropy()]

by_dtype = pytest.mark.parametrize("dtype", DTYPES)
by_case = pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES)


def accuracy(dtype):
    return 4 * np.finfo(dtype).eps


# --- links ---


@by_dtype
def test_link_functions_equal_scipy_for_large_values(dtype):
    x = np.array([*FAR, 1e30, -1e30], dtype)
    for actual, reference in ((sigmoid(x), expit(x)), (log_sigmoid(x), log_expit(x))):
        least = np.finfo(dtype).tiny  # smaller numbers may round to zero
        assert actual.dtype == reference.dtype
        np.testing.assert_allclose(actual, reference, rtol=accuracy(dtype), atol=least)


@by_dtype
def test_softmax_of_large_values_is_finite(dtype):
    x = np.array([[1000, 999, 0], [-1000, -999, -2000], [0, 0, 0], [1e4, -1e4, 0]], dtype)
    expected = scipy_softmax(x, axis=1), scipy_log_softmax(x, axis=1)
    for actual, reference in zip((softmax(x), log_softmax(x)), expected, strict=True):
        assert actual.dtype == reference.dtype
        np.testing.assert_allclose(actual, reference, rtol=accuracy(dtype))
    assert np.isfinite(log_softmax(x)).all()
    np.testing.assert_allclose(softmax(x).sum(axis=1), 1, rtol=accuracy(dtype))


# --- probabilities ---


@by_dtype
@pytest.mark.parametrize("loss", CROSS_ENTROPIES, ids=lambda loss: type(loss).__name__)
def test_log_probabilities_are_finite_if_probabilities_round_to_zero(loss, dtype):
    raw = np.array(FAR, dtype)[:, None]
    if isinstance(loss, CategoricalCrossEntropy):
        raw = np.concatenate([-raw, raw], axis=1)
    p, log_p = loss.probabilities(raw), loss.log_probabilities(raw)
    assert p.dtype == log_p.dtype == dtype
    assert np.isfinite(log_p).all()
    assert ((p >= 0) & (p <= 1)).all()
    normal = p > np.finfo(dtype).tiny
    np.testing.assert_allclose(np.exp(log_p[normal]), p[normal], rtol=100 * np.finfo(dtype).eps)
    assert log_p.min() <= -1000


@by_dtype
def test_binary_and_multiclass_probabilities_sum_to_one(dtype, rng):
    raw = rng.normal(0, 20, (50, 1)).astype(dtype)
    p = BinaryCrossEntropy().probabilities(raw)
    np.testing.assert_allclose(p[:, 1], expit(raw[:, 0]), rtol=accuracy(dtype))
    np.testing.assert_allclose(p[:, 0], expit(-raw[:, 0]), rtol=accuracy(dtype))
    pair = CategoricalCrossEntropy().probabilities(np.concatenate([0 * raw, raw], axis=1))
    np.testing.assert_allclose(pair, p, rtol=100 * np.finfo(dtype).eps, atol=1e-30)


@by_dtype
def test_multilabel_probabilities_stay_strictly_between_zero_and_one(dtype):
    raw = np.array([[*FAR, 1e30, -1e30]], dtype)
    p = MultilabelCrossEntropy().probabilities(raw)
    assert p.dtype == dtype
    assert ((p > 0) & (p < 1)).all()
    np.testing.assert_allclose(p, expit(raw), rtol=np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)
    assert np.isfinite(np.log(p)).all()
    assert np.isfinite(np.log1p(-p)).all()


# --- values, compared with scikit-learn ---


def weighted_value(loss, y, raw, weight):
    return loss.loss_gradient(y, raw, weight)[0] / weight.sum()


def test_cross_entropies_equal_those_of_scikit_learn(rng):
    weight, raw = rng.uniform(0.5, 2, 40), rng.normal(0, 3, (40, 3))
    labels, classes = (
        rng.integers(0, 2, (40, 3)),
        np.concatenate([[0, 1, 2], rng.integers(0, 3, 37)]),
    )
    one = [log_loss(labels[:, k], expit(raw[:, k]), sample_weight=weight) for k in range(3)]
    several = log_loss(classes, scipy_softmax(raw, axis=1), sample_weight=weight)
    actual = weighted_value(BinaryCrossEntropy(), labels[:, :1], raw[:, :1], weight)
    assert actual == pytest.approx(one[0], rel=1e-12)
    actual = weighted_value(MultilabelCrossEntropy(), labels, raw, weight)
    assert actual == pytest.approx(sum(one), rel=1e-12)
    actual = weighted_value(CategoricalCrossEntropy(), classes, raw, weight)
    assert actual == pytest.approx(several, rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.1, 0.9])
def test_smoothed_labels_count_for_every_class(smoothing, rng):
    """As if a share of each sample had all of its possible labels."""
    weight, raw = rng.uniform(0.5, 2, 40), rng.normal(0, 3, (40, 3))
    labels, classes = rng.integers(0, 2, (40, 3)), rng.integers(0, 3, 40)
    for name, y, n_classes, every in [
        ("BinaryCrossEntropy", labels[:, :1], 2, [0 * labels[:, :1], 0 * labels[:, :1] + 1]),
        ("MultilabelCrossEntropy", labels, 2, [0 * labels, 0 * labels + 1]),
        ("CategoricalCrossEntropy", classes, 3, [0 * classes + k for k in range(3)]),
    ]:
        plain, smoothed = getattr(losses, name)(), getattr(losses, name)(smoothing)
        scores = raw[:, :1] if name == "BinaryCrossEntropy" else raw
        results = [plain.loss_gradient(k, scores, weight) for k in (y, *every)]
        shares = [1 - smoothing, *[smoothing / n_classes] * n_classes]
        value, gradient = smoothed.loss_gradient(y, scores, weight)
        pairs = list(zip(shares, results, strict=True))
        assert value == pytest.approx(sum(share * part for share, (part, _) in pairs), rel=1e-12)
        expected = sum(share * part for share, (_, part) in pairs)
        np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(smoothed.probabilities(scores), plain.probabilities(scores))


def test_infinite_predictions_have_no_loss_that_is_nan():
    raw, one = np.array([[np.inf]]), np.ones(1)
    assert BinaryCrossEntropy().loss_gradient(np.ones((1, 1)), raw, one)[0] == 0
    assert BinaryCrossEntropy().loss_gradient(np.zeros((1, 1)), raw, one)[0] == np.inf
    far = np.array([[1, -1, 0]], "f4") * (np.finfo("f4").max / 2)
    assert CategoricalCrossEntropy().loss_gradient(np.zeros(1, int), far, one)[0] == 0


def test_regression_losses_equal_those_of_scikit_learn(rng):
    """The loss of a row is the mean over its outputs."""
    weight, raw, y = rng.uniform(0.5, 2, 40), *rng.standard_normal((2, 40, 2))
    for loss, metric, factor in [
        (SquaredError(), mean_squared_error, 0.5),
        (AbsoluteError(), mean_absolute_error, 1.0),
        (Quantile(0.3), lambda *a, **k: mean_pinball_loss(*a, alpha=0.3, **k), 1.0),
        (Quantile(0.5), mean_absolute_error, 0.5),
    ]:
        expected = factor * metric(y, raw, sample_weight=weight)
        assert weighted_value(loss, y, raw, weight) == pytest.approx(expected, rel=1e-12)


def test_huber_computed_by_hand():
    """Half the squared residual up to delta, and its tangent beyond."""
    for residual, value, derivative in [
        (0.5, 0.125, 0.5),
        (-1.5, 1.125, -1.5),
        (4.0, 1.5 * (4 - 0.75), 1.5),
        (-5.0, 1.5 * (5 - 0.75), -1.5),
    ]:
        raw, y = np.array([[2 + residual]]), np.array([[2.0]])
        actual, gradient = Huber(1.5).loss_gradient(y, raw, np.ones(1))
        assert (actual, gradient.item()) == pytest.approx((value, derivative))


def test_poisson_loss_is_half_the_deviance(rng):
    """Except for y log y - y, which does not depend on the prediction."""
    y, raw = rng.poisson(2.0, (50, 2)).astype(float), rng.standard_normal((50, 2))
    weight = rng.uniform(0.5, 2, 50)
    deviance = [mean_poisson_deviance(y[:, k], np.exp(raw[:, k]), sample_weight=weight)
                for k in (0, 1)]  # fmt: skip
    constant = np.average(xlogy(y, y) - y, axis=0, weights=weight)
    actual = weighted_value(Poisson(), y, raw, weight)
    assert actual == pytest.approx(np.mean(0.5 * np.array(deviance) - constant), rel=1e-12)
    np.testing.assert_allclose(Poisson().predictions(raw), np.exp(raw))


# --- several raw predictions of an output ---


def test_the_loss_of_quantiles_is_that_of_each_raw_prediction(rng):
    weight, levels = rng.uniform(0.5, 2, 40), [0.1, 0.4, 0.8]
    y, raw = rng.standard_normal((40, 2)), rng.standard_normal((40, 6))
    expected = [
        mean_pinball_loss(y, raw[:, j::3], alpha=level, sample_weight=weight)
        for j, level in enumerate(levels)
    ]
    loss = Quantiles(levels)
    value = weighted_value(loss, y, raw, weight)
    assert value == pytest.approx(np.sum(expected) / np.sqrt(3), rel=1e-12)


def test_predicted_quantiles_are_the_sorted_raw_ones(rng):
    raw, loss = rng.standard_normal((40, 6)), Quantiles([0.1, 0.4, 0.8])
    expected = np.sort(raw.reshape(40, 2, 3), axis=2).reshape(40, 6)
    np.testing.assert_array_equal(loss.predictions(raw), expected)
    np.testing.assert_array_equal(np.take_along_axis(raw, loss.sources(raw), axis=1), expected)


def test_one_quantile_in_a_list_has_the_loss_of_a_number(rng):
    weight, y, raw = rng.uniform(0.5, 2, 40), *rng.standard_normal((2, 40, 2))
    value, gradient = Quantile(0.3).loss_gradient(y, raw, weight)
    found, found_gradient = Quantiles([0.3]).loss_gradient(y, raw, weight)
    assert found == pytest.approx(value, rel=1e-14)
    np.testing.assert_array_equal(found_gradient, gradient)


def test_sorting_never_raises_the_loss(rng):
    """The proposition of Chernozhukov et al., on random predictions."""
    y, raw, loss = rng.standard_normal((500, 1)), rng.standard_normal((500, 3)), Quantiles(LEVELS)
    for row in range(500):
        at = np.s_[row : row + 1]
        unsorted, _ = loss.loss_gradient(y[at], raw[at], np.ones(1))
        sorted_, _ = loss.loss_gradient(y[at], loss.predictions(raw[at]), np.ones(1))
        assert sorted_ <= unsorted + 1e-12


def test_quantiles_are_least_at_those_of_the_sample(rng):
    y, levels = rng.gamma(2.0, 1.0, (99, 1)), [0.1, 0.5, 0.9]  # 99: each minimum is one point
    best = np.sort(y[:, 0])[[9, 49, 89]]
    loss, weight = Quantiles(levels), np.ones(99)

    def value(raw):
        return loss.loss_gradient(y, np.tile(raw, (99, 1)), weight)[0]

    for j in range(3):
        for distance in (-0.01, 0.01):
            assert value(best + distance * np.eye(3)[j]) > value(best)


def test_gaussian_is_the_likelihood_of_scipy(rng):
    weight, y, raw = rng.uniform(0.5, 2, 40), rng.standard_normal((40, 2)), rng.normal(size=(40, 4))
    mean, deviation = raw[:, :2], np.hypot(np.exp(raw[:, 2:]), Gaussian.NOISE)
    losses = -norm.logpdf(y, mean, deviation) - np.log(2 * np.pi) / 2
    expected = np.average(losses.mean(axis=1), weights=weight)
    assert weighted_value(Gaussian(), y, raw, weight) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(Gaussian().predictions(raw), mean)
    np.testing.assert_allclose(Gaussian().deviations(raw), np.exp(raw[:, 2:]))


def test_gaussian_is_least_at_the_weighted_mean_and_deviation(rng):
    y, weight = rng.normal(3.0, 2.0, (50, 1)), rng.uniform(0.5, 2, 50)
    mean = np.average(y[:, 0], weights=weight)
    variance = np.average((y[:, 0] - mean) ** 2, weights=weight)
    raw = np.tile([mean, np.log(variance - Gaussian.NOISE**2) / 2], (50, 1))
    _, gradient = Gaussian().loss_gradient(y, raw, weight)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-10)


@by_dtype
def test_gaussian_is_bounded_where_targets_are_predicted_exactly(dtype):
    raw = np.array([[0, -1e4], [0, -30], [0, 1e4]], dtype)
    value, _ = Gaussian().loss_gradient(np.zeros((1, 1)), raw[:1], np.ones(1))
    assert value == pytest.approx(np.log(Gaussian.NOISE))
    for row in raw:
        value, gradient = Gaussian().loss_gradient(np.zeros((1, 1)), row[None], np.ones(1))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    assert np.isfinite(Gaussian().deviations(raw)).all()


def test_the_gradient_of_gaussian_near_the_noise(rng):
    """Where the predicted deviations are as small as the noise that the loss adds."""
    y = rng.standard_normal((12, 2))
    deviations = Gaussian.NOISE * np.exp(rng.uniform(-2, 2, (12, 2)))
    raw = np.hstack([y + deviations * rng.standard_normal((12, 2)), np.log(deviations)])
    weight = rng.uniform(0.5, 2, 12)
    _, gradient = Gaussian().loss_gradient(y, raw, weight)

    def value(log_deviations):
        at = np.hstack([raw[:, :2], log_deviations])
        return Gaussian().loss_gradient(y, at, weight)[0]

    assert_gradient(value, raw[:, 2:].copy(), gradient[:, 2:], rng)


def test_outputs_and_logarithms_of_raw_predictions():
    for loss, outputs, logarithms in [
        (SquaredError(), [0, 1], [0, 0]),
        (Poisson(), [0, 1], [1, 1]),
        (Quantiles([0.1, 0.5, 0.9]), [0, 0, 0, 1, 1, 1], [0] * 6),
        (Gaussian(), [0, 1, 0, 1], [0, 0, 1, 1]),
    ]:
        assert loss.outputs(2).tolist() == outputs
        assert loss.logarithms(2).tolist() == [bool(k) for k in logarithms]


def test_predictions_of_identity_losses_are_the_raw_ones():
    raw = np.array([[1.0, -2.0]])
    for loss in (SquaredError(), AbsoluteError(), Huber(1.0), Quantile(0.1)):
        np.testing.assert_array_equal(loss.predictions(raw), raw)


def test_out_activations_have_the_names_of_scikit_learns_mlp():
    expected = {"binary": "logistic", "multilabel": "logistic", "categorical": "softmax"}
    expected |= {"smoothed binary": "logistic", "smoothed labels": "logistic"}
    expected |= {"smoothed": "softmax"}
    expected |= dict.fromkeys(["squared", "absolute", "huber", "quantile", "gaussian"], "identity")
    assert {k: case.loss.out_activation for k, case in LOSSES.items()} == {
        **expected,
        "poisson": "exp",
        "quantiles": "sort",
    }


# --- values and gradients of all losses ---


@by_case
def test_gradient_against_differences(case, rng):
    raw = rng.uniform(-2, 2, (12, case.n_outputs))
    y, weight = case.draw(rng, 12), rng.uniform(0.5, 2, 12)
    _, gradient = case.loss.loss_gradient(y, raw, weight)
    rows = [slice(k, k + 1) for k in range(12)]
    assert_gradient(lambda r: case.loss.loss_gradient(y, r, weight)[0], raw, gradient, rng, rows)


@by_case
def test_the_value_is_the_weighted_sum_over_rows(case, rng):
    raw, y = rng.uniform(-2, 2, (6, case.n_outputs)), case.draw(rng, 6)
    weight = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
    value, gradient = case.loss.loss_gradient(y, raw, weight)
    rows = [case.loss.loss_gradient(y[k : k + 1], raw[k : k + 1], np.ones(1)) for k in range(6)]
    assert value == pytest.approx(weight @ [row for row, _ in rows], rel=1e-13)
    assert_close(gradient, weight[:, None] * np.concatenate([part for _, part in rows]), 1e-14)


@by_case
def test_float32_losses_are_summed_in_double_precision(case, rng):
    """Sums of 100,000 rows in float32 would be off by more than 1e-6."""
    raw = np.tile(rng.uniform(-2, 2, (1, case.n_outputs)).astype(np.float32), (100_000, 1))
    y = np.repeat(case.draw(rng, 1), 100_000, axis=0)
    y = y if y.dtype.kind == "i" else y.astype(np.float32)
    weight = np.ones(100_000, np.float32)
    value, gradient = case.loss.loss_gradient(y, raw, weight)
    one, _ = case.loss.loss_gradient(y[:1], raw[:1], weight[:1])
    assert isinstance(value, float)
    assert value == pytest.approx(100_000 * one, rel=1e-10)
    assert y.dtype.kind == "i" or gradient.dtype == np.float32


@by_dtype
@pytest.mark.parametrize("raw", [-1000.0, 1000.0])
@by_case
def test_values_and_gradients_of_large_predictions_are_finite(case, raw, dtype, rng):
    y = np.ones_like(case.draw(rng, 3))
    raw = np.full((3, case.n_outputs), raw, dtype)
    raw[1] = 0
    value, gradient = case.loss.loss_gradient(y, raw, np.ones(3, dtype))
    if case.loss.out_activation == "exp" and raw.max() > 0:
        assert value == np.inf  # the solver raises an error
        return
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert value < (1e15 if isinstance(case.loss, Gaussian) else 1e7)


@by_dtype
def test_the_loss_of_a_large_wrong_logit_is_the_logit(dtype):
    """log(1 + exp(1000)) is 1000, although exp(1000) overflows."""
    y, one = np.zeros((1, 1), int), np.ones(1, dtype)
    value, gradient = BinaryCrossEntropy().loss_gradient(y, np.full((1, 1), 1000, dtype), one)
    assert (value, gradient.item()) == (1000, 1)
    logits = np.array([[0, 1000]], dtype)
    value, gradient = CategoricalCrossEntropy().loss_gradient(np.array([0]), logits, one)
    assert (value, gradient.tolist()) == (1000, [[-1, 1]])


def test_the_derivative_at_a_residual_of_zero_is_zero():
    for loss in (SquaredError(), AbsoluteError(), Huber(1.0), Quantile(0.3)):
        value, gradient = loss.loss_gradient(np.ones((1, 2)), np.ones((1, 2)), np.ones(1))
        assert (value, gradient.tolist()) == (0, [[0, 0]])
