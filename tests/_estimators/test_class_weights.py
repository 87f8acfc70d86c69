import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from sklstm._estimators.class_weights import class_factors


def test_balanced_weights_equal_scikit_learns(rng):
    codes = np.concatenate([[0, 1, 2], rng.integers(0, 3, 40)])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=codes)[codes]
    found = class_factors("balanced", codes, np.ones(len(codes)), np.arange(3))[codes]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_balanced_weights_give_every_class_that_occurs_the_same_total(rng):
    """Sample weights count; a class without any does not."""
    codes, weights = np.array([0, 0, 0, 1, 3, 3]), rng.uniform(0.5, 2, 6)
    factors = class_factors("balanced", codes, weights, np.array(list("abcd")))[codes]
    totals = np.bincount(codes, weights * factors)
    np.testing.assert_allclose(totals, weights.sum() / 3 * np.array([1, 1, 0, 1]), rtol=1e-14)


def test_balanced_weights_ignore_samples_of_weight_zero():
    codes, weights = np.array([0, 0, 1, 2]), np.array([1.0, 1.0, 1.0, 0.0])
    found = class_factors("balanced", codes, weights, np.arange(3))
    np.testing.assert_allclose(found, [0.75, 1.5, 1])


def test_a_dict_gives_the_weights_of_classes():
    codes, classes = np.array([0, 1, 2, 1]), np.array(["a", "b", "c"])
    found = class_factors({"b": 5, "c": 0.5, "other": 7}, codes, np.ones(4), classes)
    np.testing.assert_array_equal(found, [1, 5, 0.5])


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({"a": "b"}, "expected numbers, got {'a': 'b'}"),
        ({"a": 10**400}, "class_weight: expected numbers"),
        ({"a": -1}, "finite, non-negative factors, got {'a': -1}"),
        ({"a": np.nan}, "finite, non-negative factors"),
        ({"a": np.inf}, "finite, non-negative factors"),
        ([1, 2], r"class_weight: expected a dict or .balanced., got \[1, 2\]"),
    ],
)
def test_other_class_weights_are_refused(class_weight, message):
    with pytest.raises(ValueError, match=message):
        class_factors(class_weight, np.array([0, 1]), np.ones(2), np.array(["a", "b"]))
