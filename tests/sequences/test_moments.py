"""Means and standard deviations of any finite scale, against NumPy and exact scaling."""

import numpy as np
import pytest

from sklstm.sequences._moments import (
    TILE_NUMBERS,
    column_extremes,
    merge,
    moments,
    segment_moments,
    standardize,
    unstandardize,
)

#: Powers of two near 1e154, 1e-165, 1e200, 1e-200 and the limits of float64.
POWERS = [512, -548, 664, -664, 1000, -1000]
by_power = pytest.mark.parametrize("power", POWERS)


@pytest.fixture
def values(rng):
    return rng.normal([3.0, -50.0], [1.0, 0.1], (40, 2))


def test_weighted_moments_equal_those_of_numpy(values, rng):
    weights = rng.uniform(0.5, 2, 40)
    weight, mean, deviation = moments(values, weights)
    expected = np.average(values, axis=0, weights=weights)
    np.testing.assert_allclose(weight, weights.sum(), rtol=1e-14)
    np.testing.assert_allclose(mean, expected, rtol=1e-14)
    variance = np.average((values - expected) ** 2, axis=0, weights=weights)
    np.testing.assert_allclose(deviation, np.sqrt(variance), rtol=1e-12)


@by_power
def test_a_power_of_two_changes_no_digit(power, values, rng):
    weights, factor = rng.uniform(0.5, 2, 40), 2.0**power
    _, mean, deviation = moments(values, weights)
    _, large_mean, large_deviation = moments(values * factor, weights)
    np.testing.assert_array_equal(large_mean, mean * factor)
    np.testing.assert_array_equal(large_deviation, deviation * factor)


@pytest.mark.parametrize("power", [1015, -1015])
def test_a_power_of_two_in_the_weights_changes_no_digit(power, values, rng):
    weights, values = rng.uniform(0.5, 2, 40), 1 + 1e-6 * values  # squares are 1e-12
    expected, found = moments(values, weights), moments(values, weights * 2.0**power)
    np.testing.assert_array_equal(found.weight, expected.weight * 2.0**power)
    np.testing.assert_array_equal(found.mean, expected.mean)
    np.testing.assert_array_equal(found.deviation, expected.deviation)


def test_segments_of_any_scale(rng):
    """Each segment has its own scale; the moments are those of the segment alone."""
    lengths, factors = np.array([5, 1, 7, 3]), 2.0 ** np.array([0, 900, -900, 600])
    parts = [rng.normal(size=(k, 2)) * factor for k, factor in zip(lengths, factors, strict=True)]
    found = segment_moments(np.concatenate(parts), np.cumsum(lengths) - lengths)
    for k, part in enumerate(parts):
        expected = moments(part / factors[k])
        np.testing.assert_array_equal(found.weight[k], lengths[k])
        np.testing.assert_array_equal(found.mean[k], expected.mean * factors[k])
        np.testing.assert_array_equal(found.deviation[k], expected.deviation * factors[k])


def test_missing_values_and_rows_of_weight_zero_do_not_count(values, rng):
    weights = rng.integers(0, 3, 40).astype(float)
    values[weights == 0] = 1e300
    values[rng.random(values.shape) < 0.3] = np.nan
    values[20:, 1] = np.nan
    weight, mean, deviation = segment_moments(values, np.array([0, 20]), weights)
    for k, rows in enumerate([slice(20), slice(20, 40)]):
        for column in range(2):
            known = ~np.isnan(values[rows, column]) & (weights[rows] > 0)
            kept, kept_weights = values[rows, column][known], weights[rows][known]
            assert weight[k, column] == kept_weights.sum()
            if k == column == 1:
                assert np.isnan(mean[k, column])
                assert np.isnan(deviation[k, column])
                continue
            expected = moments(kept[:, None], kept_weights)
            np.testing.assert_allclose(mean[k, column], expected.mean[0], rtol=1e-14)
            np.testing.assert_allclose(deviation[k, column], expected.deviation[0], rtol=1e-12)


@pytest.mark.parametrize("constant", [0.1, 1e300, -1.7e308, 1e-300, 5e-324, 0.0])
def test_a_constant_has_exactly_its_mean_and_no_deviation(constant, rng):
    column, weights = np.full((50_001, 1), constant), rng.uniform(0.1, 2, 50_001)
    found = moments(column, weights)
    assert (found.mean[0], found.deviation[0]) == (constant, 0)
    found = merge(found, moments(column[:7]))
    assert (found.mean[0], found.deviation[0]) == (constant, 0)


def test_moments_near_the_largest_number():
    found = moments(np.array([[1.7e308], [-1.7e308]]))
    assert (found.mean[0], found.deviation[0]) == (0, 1.7e308)


@by_power
def test_merged_moments_are_those_of_all_rows(power, values, rng):
    weights, factor = rng.uniform(0.5, 2, 40), 2.0**power
    expected = moments(values, weights)
    large = values * factor
    found = merge(moments(large[:9], weights[:9]), moments(large[9:], weights[9:]))
    np.testing.assert_allclose(found.weight, expected.weight, rtol=1e-14)
    np.testing.assert_allclose(found.mean / factor, expected.mean, rtol=1e-14)
    np.testing.assert_allclose(found.deviation / factor, expected.deviation, rtol=1e-12)


@by_power
def test_standardized_values_do_not_depend_on_a_power_of_two(power, values):
    _, mean, deviation = moments(values)
    factor = 2.0**power
    found = standardize(values * factor, mean * factor, deviation * factor / 2)
    np.testing.assert_array_equal(found, (values - mean) / deviation)
    back = unstandardize(found, mean * factor, deviation * factor / 2)
    np.testing.assert_allclose(back / factor, values, rtol=1e-14)


def test_differences_of_the_largest_numbers():
    values, center, half = np.array([[1.7e308], [-1.7e308]]), np.array([-1.7e308]), 1.7e308
    found = standardize(values, center, np.array([half]))
    np.testing.assert_array_equal(found, [[1], [0]])
    np.testing.assert_array_equal(unstandardize(found, center, np.array([half])), values)


@pytest.mark.parametrize("width", [1, 3, 8, TILE_NUMBERS, TILE_NUMBERS + 1])
@pytest.mark.parametrize("n_rows", [1, 2, 170, 171, 5000])
def test_extremes_of_columns_are_those_of_numpy(n_rows, width, rng):
    values = rng.standard_normal((n_rows, width)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[0] = 0.0
    low, high = column_extremes(values)
    np.testing.assert_array_equal(low, np.nanmin(values, axis=0))
    np.testing.assert_array_equal(high, np.nanmax(values, axis=0))
