"""The three kinds of targets, by themselves."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm._estimators.number_targets import NumberTargets, rescale_output
from sklstm._estimators.targets import ClassTargets, LabelTargets, from_dict

LEVELS = {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]}


def number_targets(y, weights=None, **settings):
    """Numbers whose mean and scale have been learned."""
    y = np.asarray(y, dtype=float)
    targets = NumberTargets.of(y, LSTMRegressor(**settings))
    return targets.fit_units(targets.encode(y), np.ones(len(y)) if weights is None else weights)


# --- numbers ---


def test_each_output_is_scaled_as_scikit_learn_does(rng):
    y, weights = rng.normal([1e4, -3.0], [1e3, 0.1], (50, 2)), rng.uniform(0.5, 2, 50)
    targets = number_targets(y, weights)
    peer = StandardScaler().fit(y, sample_weight=weights)
    scale, mean = targets.units
    np.testing.assert_allclose(mean, peer.mean_, rtol=1e-12)
    np.testing.assert_allclose(scale, peer.scale_, rtol=1e-10)
    scaled = targets.scale(y)
    np.testing.assert_allclose(scaled, peer.transform(y), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(targets.decode(scaled), y, rtol=1e-12)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_a_weight_of_two_counts_as_two_targets(loss, rng):
    y, counts = rng.gamma(2.0, 3.0, (20, 2)), rng.integers(0, 4, 20)
    weighted = number_targets(y, counts.astype(float), loss=loss)
    expected = number_targets(np.repeat(y, counts, axis=0), loss=loss)
    np.testing.assert_allclose(weighted.units, expected.units, rtol=1e-12)


def test_counts_are_scaled_by_their_mean_alone():
    """The bias of the output layer is a factor, because the link is a logarithm."""
    targets = number_targets([[1.0, 0.0], [3.0, 0.0]], loss="poisson")
    np.testing.assert_array_equal(targets.units, [[2, 1], [0, 0]])
    np.testing.assert_array_equal(targets.scale(np.array([[1.0, 0.0]])), [[0.5, 0]])


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e100, 1e-300])
def test_a_constant_target_is_predicted_exactly(constant, rng):
    y, weights = np.full(30, constant), rng.uniform(0.1, 1, 30)
    targets = number_targets(y, weights)
    atol = 1e-14 * max(1, abs(constant))
    np.testing.assert_allclose(targets.scale(y[:, None]), 0, atol=atol)
    _, mean = targets.units
    assert targets.decode(np.full((1, 1), 1e9)).item() == mean.item()


@pytest.mark.parametrize("spread", [1e-9, 1e-100])
def test_a_small_spread_is_not_constant(spread):
    scale, _ = number_targets([-spread, spread]).units
    assert scale == pytest.approx(spread)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_have_the_dtype_and_shape_of_the_targets(dtype):
    column = NumberTargets.of(np.zeros(3, dtype), LSTMRegressor())
    table = NumberTargets.of(np.zeros((3, 2), dtype), LSTMRegressor())
    for targets, shape in ((column, (3,)), (table, (3, 2))):
        rows = np.zeros((3, targets.n_outputs))
        decoded = targets.fit_units(rows, np.ones(3)).decode(rows)
        assert (decoded.dtype, decoded.shape) == (dtype, shape)


def test_only_a_log_link_is_not_affine():
    assert number_targets([1.0, 2.0], loss="huber").is_affine
    for other in ({"loss": "poisson"}, {"loss": "gaussian"}, LEVELS):
        assert not number_targets([1.0, 2.0], **other).is_affine


# --- classes and labels ---


@pytest.mark.parametrize("classes", [["a", "b"], ["a", "b", "c"]])
def test_decoding_inverts_encoding(classes):
    targets = ClassTargets.of(np.array(classes), None)
    codes = targets.encode(classes)
    logits = 2.0 * codes[:, None] - 1 if targets.n_outputs == 1 else np.eye(3)[codes]
    assert targets.decode(logits).tolist() == classes
    assert targets.logits(logits).shape == ((2,) if targets.n_outputs == 1 else (3, 3))


def test_labels_are_decoded_by_the_sign_of_their_logits():
    y = np.array([[0, 1, 1], [1, 0, 0]])
    targets = LabelTargets(3)
    assert targets.decode(targets.encode(y) - 0.5).tolist() == y.tolist()


def test_two_classes_have_one_column_of_zeros_and_ones():
    targets = ClassTargets.of(np.array(["no", "yes"]), None)
    np.testing.assert_array_equal(targets.scale(targets.encode(["yes", "no"])), [[1.0], [0.0]])


@pytest.mark.parametrize(
    ("targets", "target", "expected"),
    [
        (ClassTargets(np.array(["a", "b"])), "a", [[-1]]),
        (ClassTargets(np.array(["a", "b"])), "b", [[1]]),
        (ClassTargets(np.array(["a", "b", "c"])), "b", [[0, 1, 0]]),
        (ClassTargets(np.array(["a", "b", "c"])), None, [[0, 0, 1]]),
        (LabelTargets(3), 0, [[1, 0, 0]]),
        (number_targets([[0.0, 0.0], [2.0, 6.0]]), 1, [[0, 3]]),
        (number_targets([2.0, 2.0, 8.0], loss="poisson"), None, [[4 * np.e]]),
        (number_targets([[0.0, 0.0], [2.0, 6.0]], loss="gaussian"), 1, [[0, 3, 0, 0]]),
        (number_targets([[0.0, 0.0], [2.0, 6.0]], **LEVELS), (1, 2), [[0, 0, 0, 0, 0, 3]]),
        (number_targets([[0.0, 0.0], [2.0, 6.0]], **LEVELS), 2, [[0, 0, 1, 0, 0, 0]]),
    ],
)
def test_the_gradient_at_raw_predictions(targets, target, expected):
    raw = np.arange(1.0, targets.n_raw + 1)[None]
    found = targets.gradient(raw, target) * targets.gradient_unit(target)
    np.testing.assert_allclose(found, expected, rtol=1e-15)


# --- settings and saving ---


def test_later_settings_replace_earlier_ones():
    labels = ClassTargets(np.array([0, 1]))
    assert labels.with_settings(LSTMClassifier(class_weight={1: 2.0})).class_weight == {1: 2.0}
    numbers = number_targets([1.0, 2.0])
    later = numbers.with_settings(LSTMRegressor(loss="quantile", quantile=0.25))
    assert later.loss.quantile == 0.25
    assert later.units == numbers.units


def test_a_log_link_cannot_replace_another():
    with pytest.raises(ValueError, match="loss: expected one with the link of 'squared_error'"):
        number_targets([1.0, 2.0]).with_settings(LSTMRegressor(loss="poisson"))


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_the_units_of_two_calls_are_those_of_all_targets(loss, rng):
    y, weights = rng.gamma(2.0, 3.0, (20, 2)), rng.uniform(0.5, 2, 20)
    one = number_targets(y[:3], weights[:3], loss=loss)
    both = one.update_units(y[3:], weights[3:])
    np.testing.assert_allclose(both.units, number_targets(y, weights, loss=loss).units, rtol=1e-12)


@pytest.mark.parametrize("factor", [1e-200, 1e-150, 1e150, 1e300])
def test_targets_of_any_scale(factor, rng):
    y = rng.normal(1.0, 0.5, (20, 2))
    targets, plain = number_targets(factor * y), number_targets(y)
    np.testing.assert_allclose(targets.scale(factor * y), plain.scale(y), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(targets.decode(plain.scale(y)), factor * y, rtol=1e-10)


@pytest.mark.parametrize("loss", [{}, {"loss": "poisson"}, {"loss": "gaussian"}, LEVELS], ids=str)
def test_a_rescaled_output_layer_gives_the_same_predictions(loss, rng):
    earlier = number_targets(rng.gamma(2.0, 3.0, (20, 2)), **loss)
    later = earlier.update_units(rng.gamma(9.0, 30.0, (20, 2)), np.ones(20))
    hidden, weight = rng.normal(size=(5, 3)), rng.normal(size=(3, later.n_raw))
    bias = rng.normal(size=later.n_raw)
    decode = "decode_with_deviation" if "gaussian" in loss.values() else "decode"
    expected = getattr(earlier, decode)(hidden @ weight + bias)
    rescale_output(earlier, later, weight, bias)
    found = getattr(later, decode)(hidden @ weight + bias)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_deviation_of_a_target_that_was_constant_begins_at_that_of_all(rng):
    earlier = number_targets(np.full((5, 2), 3.0), loss="gaussian")
    later = earlier.update_units(rng.normal(3.0, 2.0, (20, 2)), np.ones(20))
    weight, bias = rng.normal(size=(3, 4)), rng.normal(size=4)
    rescale_output(earlier, later, weight, bias)
    mean, deviation = later.decode_with_deviation(rng.normal(size=(1, 3)) @ weight + bias)[0].T
    np.testing.assert_allclose(mean, 3.0)
    np.testing.assert_allclose(deviation, later.units[0])


@pytest.mark.parametrize(
    "targets",
    [
        ClassTargets(np.array(["a", "b"]), {"a": 2.0}),
        LabelTargets(3),
        number_targets([1.0, 3.0]),
        number_targets([[1.0, 2.0], [3.0, 5.0]], **LEVELS),
    ],
)
def test_saved_targets_are_plain_and_the_same(targets):
    values = targets.as_dict()
    plain = (str, int, float, bool, dict, list, np.ndarray, type(None))
    assert all(type(value) in plain for value in values.values())
    restored = from_dict(values)
    assert type(restored) is type(targets)
    raw = np.linspace(-1, 1, 2 * targets.n_raw).reshape(2, -1)
    np.testing.assert_array_equal(restored.decode(raw), targets.decode(raw))
