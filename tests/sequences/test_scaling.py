"""Mean and scale of channels: their statistics, and their use when a batch is packed."""

import numpy as np
import pytest

from sklstm.sequences import _scaling, check_sequences
from sklstm.sequences._scaling import Scaling

by_dtype = pytest.mark.parametrize("dtype", ["f4", "f8"])
channels = pytest.mark.parametrize("n_channels", [1, 2, 3, 12, 300, 700])


def draw(rng, n, n_channels, dtype="f8"):
    """Channels with different means and scales."""
    mean, scale = 10.0 ** rng.integers(-2, 3, (2, n_channels))
    return (mean + scale * rng.normal(size=(n, n_channels))).astype(dtype)


def expected_moments(values, weights):
    """What is subtracted, and the deviation: zero is a bound of no channel."""
    values = values.astype(np.float64)
    mean = np.average(values, axis=0, weights=weights)
    deviation = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    return mean, deviation


@pytest.mark.parametrize("sign", [-1, 1])
def test_zeros_remain_zeros_where_zero_is_a_bound_and_the_mean_is_small(sign, rng):
    rain, weights = np.maximum(rng.normal(size=400) - 1, 0), np.ones(400)
    both_signs, large = rain.copy(), rain + 3
    both_signs[7] = -1e-3
    scaling = Scaling.of(sign * np.column_stack([rain, both_signs, large]), weights)
    assert (scaling.mean != 0).tolist() == [False, True, True]
    assert not scaling.apply(np.zeros((3, 3)), "f4")[:, 0].any()
    np.testing.assert_allclose(scaling.scale[0], np.sqrt(np.mean(rain[rain > 0] ** 2)), 1e-9)
    np.testing.assert_allclose(scaling.scale[1:], [both_signs.std(), large.std()], 1e-9)
    weights[7] = 0  # a value that does not count
    assert Scaling.of(both_signs[:, None], weights).mean == 0
    later = Scaling.of(both_signs[:, None], np.ones(400))
    assert Scaling.of(rain[:, None], weights).merged(later).mean != 0
    assert Scaling.of(rain[:, None], weights).merged(Scaling.of(rain[:, None], weights)).mean == 0


def rain_and_indicator(rng, n):
    """A channel of values that are often zero, and one of zeros and ones."""
    rain = np.maximum(rng.normal(size=n) - 1, 0)
    return np.column_stack([rain, rng.random(n) < 0.2]).astype(float)


def test_values_other_than_zero_get_a_mean_square_of_one(rng):
    values, weights = rain_and_indicator(rng, 300), rng.uniform(0.1, 2, 300)
    weights[:20] = 0
    scaling = Scaling.of(values, weights)
    scaled = scaling.apply(values, "f8")
    np.testing.assert_allclose(scaled[:, 1], values[:, 1], 1e-12)  # an indicator does not change
    for channel in scaled.T:
        is_rain = channel != 0
        mean_square = np.average(channel[is_rain] ** 2, weights=weights[is_rain])
        assert mean_square == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1.7e308])
def test_rare_values_of_any_size(size, rng):
    values = rain_and_indicator(rng, 300) / 5
    scaling, expected = (Scaling.of(v, np.ones(300)) for v in (values * size, values))
    found = scaling.apply(values * size, "f8")
    np.testing.assert_allclose(found, expected.apply(values, "f8"), 1e-12)


def test_a_scaling_that_did_not_count_zeros_divides_by_the_deviation(rng):
    values, weights = rain_and_indicator(rng, 300), np.ones(300)
    saved = Scaling.of(values, weights).as_dict()
    del saved["nonzero_seen"]  # as in models saved by earlier versions
    old = Scaling(**saved)
    np.testing.assert_allclose(old.scale, values.std(axis=0), 1e-12)
    np.testing.assert_allclose(old.merged(Scaling.of(values, weights)).scale, old.scale, 1e-12)


@by_dtype
@channels
def test_mean_and_scale_are_the_weighted_moments(rng, n_channels, dtype, monkeypatch):
    monkeypatch.setattr(_scaling, "BLOCK_NUMBERS", 40 * n_channels)
    values = draw(rng, 130, n_channels, dtype)
    for weights in (rng.uniform(0.1, 2, 130), np.full(130, 3.0), rng.integers(0, 2, 130) + 0.0):
        scaling = Scaling.of(values, weights)
        mean, scale = expected_moments(values, weights)
        np.testing.assert_allclose(scaling.mean, mean, 1e-9, 1e-9)
        np.testing.assert_allclose(scaling.scale, scale, 1e-9)
        assert scaling.weight_seen == pytest.approx(weights.sum())


def test_merged_moments_are_those_of_both_parts(rng):
    values, weights = draw(rng, 50, 3), rng.uniform(0.1, 2, 50)
    values = np.column_stack([values, rain_and_indicator(rng, 50)])
    first, second = (Scaling.of(values[part], weights[part]) for part in np.s_[:7, 7:])
    both, merged = Scaling.of(values, weights), first.merged(second)
    np.testing.assert_allclose(merged.mean, both.mean, 1e-10)
    np.testing.assert_allclose(merged.scale, both.scale, 1e-10)


def test_extreme_weights_do_not_overflow(rng):
    values = draw(rng, 50, 2)
    weights = np.full(50, 1e308)
    weights[0] = 1e307
    scaling = Scaling.of(values, weights)
    merged = scaling.merged(scaling)
    mean, scale = expected_moments(values, weights / 1e308)
    for found in (scaling, merged):
        np.testing.assert_allclose(found.mean, mean, 1e-10)
        np.testing.assert_allclose(found.scale, scale, 1e-10)


@by_dtype
@pytest.mark.parametrize("to", ["f4", "f8"])
@channels
@pytest.mark.parametrize("n_rows", [1, 2, 37, 600])
def test_rows_are_scaled_in_float64_and_then_cast(rng, n_channels, dtype, to, n_rows):
    values = draw(rng, 50, n_channels, dtype)
    scaling = Scaling.of(values, np.ones(50))
    rows = rng.integers(0, 50, n_rows)
    expected = (values[rows].astype(np.float64) - scaling.mean) * (1 / scaling.scale)
    before = values.copy()
    found = scaling.take(values, rows, to)
    np.testing.assert_array_equal(found, expected.astype(to), strict=True)
    np.testing.assert_array_equal(scaling.apply(values[rows], to), found, strict=True)
    np.testing.assert_array_equal(scaling.of_step(len(rows), to)(values[rows]), found, strict=True)
    np.testing.assert_array_equal(values, before)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("size", [1e-320, 1e-300, 1e-160, 1e160, 1e300])
@pytest.mark.parametrize("mean", [0, 3])
def test_any_finite_scale(rng, size, mean):
    plain = np.column_stack([rng.uniform(-1, 1, 40) + mean, rng.normal(size=40)])
    values = plain * [size, 1]
    scaling, rows = Scaling.of(values, np.ones(40)), np.arange(40)
    restored = np.column_stack([values[:, 0] / size, values[:, 1]])  # rounded as the values are
    expected = Scaling.of(restored, np.ones(40)).take(restored, rows, "f8")
    tolerance = 1e-2 if size < 1e-308 else 1e-9
    np.testing.assert_allclose(scaling.take(values, rows, "f8"), expected, tolerance, tolerance)
    np.testing.assert_allclose(
        scaling.of_step(len(values), "f8")(values), expected, tolerance, tolerance
    )


@pytest.mark.parametrize("value", [0.0, 0.1, -1e20, 1e300])
def test_a_constant_channel_is_zero(rng, value):
    noise = 1 + np.finfo(float).eps * rng.integers(-2, 3, 40)  # rounding errors
    values = np.column_stack([value * noise, rng.normal(size=40)])
    scaling = Scaling.of(values, np.ones(40))
    assert scaling.scale[0] == np.inf
    values[3, 0] = 1e5
    assert not scaling.apply(values, "f8")[:, 0].any()
    assert scaling.apply(values, "f8")[:, 1].all()


def test_a_packed_batch_is_scaled_in_each_segment(rng):
    sequences = check_sequences([draw(rng, n, 3) for n in (4, 1, 6)])
    scaling = Scaling.of(sequences.values, np.ones(11))
    scaled = [scaling.apply(x, "f8") for x in sequences]
    plain = check_sequences(scaled).packing(dtype="f4")
    sequences = type(sequences)(sequences.values, sequences.lengths, "list", scaling=scaling)
    packing = sequences.take(np.arange(3)).packing(dtype="f4")
    for bounds in ((0, None), (0, 2), (2, 5)):
        found, expected = packing.segment(*bounds), plain.segment(*bounds)
        np.testing.assert_array_equal(found.values, expected.values, strict=True)
        np.testing.assert_array_equal(found.rows, expected.rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, 1e-200, 1e200])
def test_a_step_is_scaled_as_a_batch(scale, dtype, rng):
    """To the last bit, also where the result is not finite; without warnings."""
    seen = rng.normal(size=(50, 4)) * scale + [0, 3 * scale, 0, 0]
    seen[:, 3] = scale / 3  # constant
    scaling = Scaling.of(seen, np.ones(50))
    apply = scaling.of_step(2, dtype)
    largest = np.finfo(np.float64).max
    for factor in (0.0, 1.0, 1e10, 1e37, 1e38, 1e39, 1e100, 1e150, 1e160, 1e300, np.inf, np.nan):
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.clip(rng.normal(size=(2, 4)) * factor * scale, -largest, largest)
        for given in (
            (values, values.astype(np.float32)) if abs(factor * scale) < 1e37 else (values,)
        ):
            expected = scaling.apply(given, dtype)
            np.testing.assert_array_equal(apply(given.copy()), expected, strict=True)
