"""Weights of sequences and of steps, in every form."""

import numpy as np
import pandas as pd
import pytest

from sklstm.sequences import check_sequences
from sklstm.sequences._step_values import stack_weights
from sklstm.sequences._weights import check_step_weights, check_weights

LENGTHS = [3, 1, 2]


def padded(parts, value):
    array = np.full((len(parts), 4), value)
    for k, part in enumerate(parts):
        array[k, : len(part)] = part
    return array


@pytest.mark.parametrize("form", [list, tuple, np.array, pd.Series, np.float32])
def test_one_weight_for_each_sequence(form):
    weights = form([1.0, 2.0, 0.5])
    np.testing.assert_array_equal(check_weights(weights, 3), [1, 2, 0.5], strict=True)
    expected = np.repeat([1, 2, 0.5], LENGTHS)
    np.testing.assert_array_equal(check_step_weights(weights, LENGTHS), expected, strict=True)


def test_none_is_one_for_each():
    np.testing.assert_array_equal(check_weights(None, 3), np.ones(3), strict=True)
    np.testing.assert_array_equal(check_step_weights(None, LENGTHS), np.ones(6), strict=True)


@pytest.mark.parametrize("beside", [1.0, np.nan, -1.0])
def test_one_weight_for_each_step(beside, rng):
    parts = [rng.uniform(size=length) for length in LENGTHS]
    array = padded(parts, beside)
    X = padded(parts, np.nan)[:, :, None]
    for form in (parts, tuple(parts), [part.tolist() for part in parts]):
        found = stack_weights(form, check_sequences([part[:, None] for part in parts]))
        np.testing.assert_array_equal(found, np.concatenate(parts), strict=True)
    for form in (array, array.tolist(), list(array), pd.DataFrame(array), parts):
        found = stack_weights(form, check_sequences(X))
        np.testing.assert_array_equal(found, np.concatenate(parts), strict=True)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (1.0, "^sample_weight: expected an array of weights, got 1.0"),
        ([1, 1], r"^sample_weight\.shape == \(2,\), expected \(3,\): one weight for each sample"),
        ([1, "a", 1], r"^sample_weight\[1\]: expected numbers: could not convert"),
        ([1, 1, np.inf], r"^sample_weight\[2\]: expected a finite weight, zero or more, got inf"),
        ([[1] * 3, [1]], r"^sample_weight: expected weights of 3 sequence\(s\), got 2"),
        ([[1] * 3, [1], [1, -2]], r"^sample_weight\[2\]\[1\]: expected a finite weight, .* got -2"),
        ([[1] * 3, [1], [1, "a"]], r"^sample_weight\[2\]: expected numbers: could not convert"),
        ([[1] * 3, [1], [1] * 3], r"^sample_weight\[2\]: expected one weight for each of the 2 t"),
        (np.ones((3, 5)), r"^sample_weight\[0\]: expected one weight for each of the 3 time step"),
        (np.ones((3, 4, 1)), r"^sample_weight\[0\]: expected one .* got shape \(4, 1\)"),
    ],
)
def test_error_messages_name_the_weight(weights, message):
    with pytest.raises(ValueError, match=message):
        check_step_weights(weights, LENGTHS, 4)
