import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import DataConversionWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight

from sklstm._estimators.targets import TargetScaler, check_labels, check_numbers, class_factors

# --- scaling ---


def test_scales_each_output_as_scikit_learn_does(rng):
    y, weight = rng.normal([1e4, -3.0], [1e3, 0.1], (50, 2)), rng.uniform(0.5, 2, 50)
    scaler = TargetScaler.fit(y, weight, centre=True)
    rival = StandardScaler().fit(y, sample_weight=weight)
    np.testing.assert_allclose(scaler.mean, rival.mean_, rtol=1e-12)
    np.testing.assert_allclose(scaler.scale, rival.scale_, rtol=1e-10)
    scaled = scaler.transform(y)
    np.testing.assert_allclose(scaled, rival.transform(y), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(scaler.inverse_transform(scaled), y, rtol=1e-12)


@pytest.mark.parametrize("centre", [True, False])
def test_a_weight_of_two_counts_as_two_targets(centre, rng):
    y, factors = rng.gamma(2.0, 3.0, (20, 2)), rng.integers(0, 4, 20)
    weighted = TargetScaler.fit(y, factors.astype(float), centre=centre)
    repeated = np.repeat(y, factors, axis=0)
    expected = TargetScaler.fit(repeated, np.ones(len(repeated)), centre=centre)
    np.testing.assert_allclose(weighted.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale, expected.scale, rtol=1e-12)


def test_without_centring_the_mean_is_the_scale():
    """For a log link, which can shift by its bias alone."""
    y = np.array([[1.0, 0.0], [3.0, 0.0]])
    scaler = TargetScaler.fit(y, np.ones(2), centre=False)
    np.testing.assert_array_equal(scaler.mean, [0, 0])
    np.testing.assert_array_equal(scaler.scale, [2, 1])
    np.testing.assert_array_equal(scaler.transform(y), [[0.5, 0], [1.5, 0]])


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e100, 1e-300])
def test_a_constant_target_is_not_blown_up(constant, rng):
    y, weight = np.full((30, 1), constant), rng.uniform(0.1, 1, 30)
    scaler = TargetScaler.fit(y, weight, centre=True)
    np.testing.assert_allclose(scaler.transform(y), 0, atol=1e-14 * max(1, abs(constant)))
    assert scaler.inverse_transform(np.full((1, 1), 1e9)).item() == scaler.mean.item()


@pytest.mark.parametrize("spread", [1e-9, 1e-100])
def test_a_small_spread_is_no_constant(spread):
    y = spread * np.array([[-1.0], [1.0]])
    assert TargetScaler.fit(y, np.ones(2), centre=True).scale == pytest.approx(spread)


# --- class weights ---


def test_balanced_weights_equal_scikit_learns(rng):
    codes = np.concatenate([[0, 1, 2], rng.integers(0, 3, 40)])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=codes)[codes]
    found = class_factors("balanced", codes, np.ones(len(codes)), np.arange(3))
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_balanced_weights_give_every_class_that_occurs_the_same_total(rng):
    """Sample weights count; a class without any does not."""
    codes, weights = np.array([0, 0, 0, 1, 3, 3]), rng.uniform(0.5, 2, 6)
    factors = class_factors("balanced", codes, weights, np.array(list("abcd")))
    totals = np.bincount(codes, weights * factors)
    np.testing.assert_allclose(totals, weights.sum() / 3 * np.array([1, 1, 0, 1]), rtol=1e-14)


def test_balanced_weights_leave_out_what_weighs_nothing():
    codes, weights = np.array([0, 0, 1, 2]), np.array([1.0, 1.0, 1.0, 0.0])
    found = class_factors("balanced", codes, weights, np.arange(3))
    np.testing.assert_allclose(found, [0.75, 0.75, 1.5, 0])


def test_a_dict_weighs_the_labels_it_names():
    codes, classes = np.array([0, 1, 2, 1]), np.array(["a", "b", "c"])
    found = class_factors({"b": 5, "c": 0.5}, codes, np.ones(4), classes)
    np.testing.assert_array_equal(found, [1, 5, 0.5, 5])


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({"a": 1, "z": 2}, r"label\(s\) \['z'\], which do not occur in y; expected a subset of"),
        ({"a": -1}, "finite, non-negative factors, got {'a': -1}"),
        ({"a": np.nan}, "finite, non-negative factors"),
        ({"a": np.inf}, "finite, non-negative factors"),
        ([1, 2], r"class_weight: expected a dict or .balanced., got \[1, 2\]"),
    ],
)
def test_other_class_weights_are_refused(class_weight, message):
    with pytest.raises(ValueError, match=message):
        class_factors(class_weight, np.array([0, 1]), np.ones(2), np.array(["a", "b"]))


# --- labels and numbers ---


@pytest.mark.parametrize(
    "y", [[0, 1, 1], ["a", "b", "c"], [True, False, True], [3.0, 1.0, 2.0], [5, 5, 5]], ids=str
)
def test_labels_come_through(y):
    forms = [y, tuple(y), np.array(y)]
    if isinstance(y[0], str):
        forms.append(np.array(y, dtype=object))
    for form in forms:
        labels, is_multilabel = check_labels(form)
        assert not is_multilabel
        assert labels.tolist() == y


@pytest.mark.parametrize("form", [np.array, csr_array, lambda y: y])
def test_several_labels_come_as_dense_zeros_and_ones(form):
    y = [[0, 1, 1], [1, 0, 0]]
    labels, is_multilabel = check_labels(form(y))
    assert is_multilabel
    assert isinstance(labels, np.ndarray)
    assert labels.tolist() == y


def test_a_column_of_labels_is_flattened_with_a_warning():
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        labels, is_multilabel = check_labels([[1], [2], [3]])
    assert (labels.tolist(), is_multilabel) == ([1, 2, 3], False)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.5, 1.5, 2.25], "Unknown label type: continuous"),
        ([[0.5, 1.5], [2.5, 1.0]], "Unknown label type: continuous-multioutput"),
        ([[0, 1], [2, 1]], r"several labels a sample, shape \(2, 2\)"),
        ([0, 1, np.nan], "NaN"),
        (np.zeros((2, 2, 2)), "dim 3"),
    ],
)
def test_what_is_no_label_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_labels(y)


@pytest.mark.parametrize(
    ("y", "shape"), [([1, 2, 3], (3,)), ([[1, 2], [3, 4]], (2, 2)), ([True, False], (2,))], ids=str
)
def test_numbers_come_as_float64(y, shape):
    for form in (y, np.array(y), np.array(y, dtype=np.float32), np.array(y, dtype=object)):
        numbers = check_numbers(form)
        assert (numbers.dtype, numbers.shape) == (np.float64, shape)
        np.testing.assert_array_equal(numbers, np.array(y, dtype=float))


def test_a_column_of_numbers_is_flattened_with_a_warning():
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        assert check_numbers([[1.0], [2.0]]).shape == (2,)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0, np.nan], "Input y contains NaN"),
        ([1.0, np.inf], "Input y contains infinity"),
        (["a", "b"], "could not convert string to float"),
        (np.zeros((2, 2, 2)), "dim 3"),
        (np.array([1j, 2.0]), "Complex data not supported"),
    ],
)
def test_what_is_no_number_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_numbers(y)


@pytest.mark.parametrize("check", [check_labels, check_numbers])
def test_one_number_for_all_samples_is_refused(check):
    with pytest.raises(ValueError, match=r"Unknown label type|should be a 1d array|shape"):
        check(5.0)
