import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import DataConversionWarning

from sklstm._estimators import target_checks
from sklstm._estimators.target_checks import check_labels, check_numbers


@pytest.mark.parametrize(
    "y", [[0, 1, 1], ["a", "b", "c"], [True, False, True], [3.0, 1.0, 2.0], [5, 5, 5]], ids=str
)
def test_labels_are_returned_unchanged(y):
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
def test_other_values_than_labels_are_refused(y, message):
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
        (np.zeros((2, 2, 0)), r"expected shape \(n_samples,\) or"),
        (np.array([1j, 2.0]), "Complex data not supported"),
    ],
)
def test_other_values_than_numbers_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_numbers(y)


@pytest.mark.parametrize("check", [check_labels, check_numbers])
def test_one_number_for_all_samples_is_refused(check):
    with pytest.raises(ValueError, match=r"Unknown label type|should be a 1d array|shape"):
        check(5.0)


#: Labels of which some are checked by a fast path, with the same results, errors and warnings.
LABELS = {
    "integers": np.arange(30) % 3,
    "unsigned": (np.arange(30) % 3).astype(np.uint8),
    "booleans": np.arange(30) % 2 == 0,
    "texts": np.array(["a", "b"])[np.arange(30) % 2],
    "bytes": np.array([b"a", b"b"])[np.arange(30) % 2],
    "objects": np.array(["a", "b"], dtype=object)[np.arange(30) % 2],
    "whole floats": np.arange(30) % 3 * 1.0,
    "floats": np.arange(30) / 7,
    "NaN": np.where(np.arange(30) == 3, np.nan, np.arange(30) % 3),
    "many": np.arange(30),
    "just many": np.minimum(np.arange(30), 15),
    "not too many": np.minimum(np.arange(30), 14),
    "many of few": np.arange(20),
    "one": np.zeros(30, int),
    "none": np.zeros(0, int),
    "a column": (np.arange(30) % 3)[:, None],
    "two columns": np.ones((30, 2), int),
    "several labels": np.arange(60).reshape(30, 2) % 3,
    "three axes": np.ones((30, 2, 2), int),
    "a number": np.array(1),
    "dates": np.arange(30).astype("datetime64[s]"),
    "complex": np.arange(30) * 1j,
    "a list": [0, 1] * 15,
    "a series": pd.Series([0, 1] * 15),
    "another byte order": (np.arange(30) % 3).astype(">i4"),
}


def outcome(y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            labels, multilabel = target_checks.check_labels(y)
            found = np.asarray(labels).tolist(), labels.dtype, multilabel
        except Exception as error:
            found = type(error), str(error)
    return found, [(warning.category, str(warning.message)) for warning in caught]


@pytest.mark.parametrize("kind", LABELS)
def test_usual_labels_are_checked_as_scikit_learn_does(kind, monkeypatch):
    found = outcome(LABELS[kind])
    monkeypatch.setattr(target_checks, "_are_usual_labels", lambda y: False)
    expected = outcome(LABELS[kind])
    assert str(found) == str(expected)  # NaN is not equal to itself
