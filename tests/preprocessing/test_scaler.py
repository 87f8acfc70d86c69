"""SequenceScaler against scikit-learn's scalers on the stacked steps."""

import numpy as np
import pytest
from data import cut, padded, problem
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from sklstm.preprocessing import SequenceScaler

#: Our parameters, and the scaler of scikit-learn that gives the same result for stacked steps.
PAIRS = [
    ({}, StandardScaler()),
    ({"method": "minmax"}, MinMaxScaler()),
    ({"method": "minmax", "feature_range": (-3, 0.5)}, MinMaxScaler(feature_range=(-3, 0.5))),
    ({"method": "robust"}, RobustScaler()),
    (
        {"method": "robust", "quantile_range": (5, 60)},
        RobustScaler(quantile_range=(5, 60)),
    ),
]
pairs = pytest.mark.parametrize(("parameters", "reference"), PAIRS, ids=str)
METHODS = ["standard", "minmax", "robust"]
methods = pytest.mark.parametrize("method", METHODS)


@pytest.fixture
def ragged(rng):
    """Three channels of different level and scale; the last is constant."""
    X = cut(problem(rng, n_features=3)[0], rng)
    return [x * [1, 300, 0] + [5, -1e4, 0.1] for x in X]


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pairs
@pytest.mark.parametrize("form", [list, padded])
def test_statistics_are_those_of_all_valid_steps(parameters, reference, form, ragged):
    stacked = np.concatenate(ragged)
    expected = reference.fit(stacked)
    scaler = SequenceScaler(**parameters).fit(form(ragged))
    out = scaler.transform(ragged)
    assert [len(x) for x in out] == [len(x) for x in ragged]
    assert_close(np.concatenate(out), expected.transform(stacked))
    assert_close(np.concatenate(scaler.inverse_transform(out)), stacked)
    assert scaler.n_steps_seen_ == len(stacked) or parameters.get("per_sequence")


@pairs
def test_per_sequence_scales_each_sequence_independently(parameters, reference, ragged):
    out = SequenceScaler(**parameters, per_sequence=True).fit_transform(ragged)
    for x, scaled in zip(ragged, out, strict=True):
        assert_close(scaled, reference.fit_transform(x))


@pairs
def test_a_2d_array_has_one_channel(parameters, reference, rng):
    X = rng.normal(size=(20, 7)) * np.arange(1, 8) + 10
    expected = reference.fit_transform(X.reshape(-1, 1)).reshape(20, 7)
    scaler = SequenceScaler(**parameters).fit(X)
    assert_close(scaler.transform(X), expected)
    assert_close(scaler.inverse_transform(expected), X)
    assert scaler.n_features_in_ == 7
    assert scaler.center_.shape == scaler.scale_.shape == (1,)
    alone = SequenceScaler(**parameters, per_sequence=True).fit_transform(X)
    assert_close(alone, reference.fit_transform(X.T).T)


@methods
def test_new_sequences_are_scaled_by_the_fitted_statistics(method, ragged, rng):
    scaler = SequenceScaler(method).fit(ragged)
    later = rng.normal(size=(2, 40, 3))
    assert_close(scaler.transform(later), (later - scaler.center_) / scaler.scale_)


@methods
@pytest.mark.parametrize("value", [0.1, -1e10, 0.0, 1e-300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("alone", [False, True])
def test_a_constant_channel_has_scale_one(method, value, dtype, alone):
    X = np.full((50, 1001, 1), value, dtype)
    scaler = SequenceScaler(method, per_sequence=alone).fit(X)
    np.testing.assert_array_equal(scaler.transform(X), np.zeros_like(X))
    if not alone:
        assert scaler.scale_.tolist() == [1]
        np.testing.assert_array_equal(scaler.inverse_transform(np.zeros_like(X)), X)


@methods
def test_rounding_errors_have_scale_one(method):
    X = np.full((4, 5, 1), 0.3)
    X[1, 2] = np.nextafter(0.3, 1)
    X[2] = np.nextafter(0.3, 0)
    assert SequenceScaler(method).fit(X).scale_.tolist() == [1]


@methods
def test_small_values_are_scaled(method, rng):
    X = rng.normal(size=(5, 6, 1))
    expected = SequenceScaler(method).fit_transform(X)
    assert_close(SequenceScaler(method).fit_transform(1e-100 * X), expected)


@pytest.mark.parametrize("alone", [False, True])
def test_a_large_mean_loses_no_precision(alone, rng):
    small = rng.integers(-50, 50, size=(30, 20, 1)).astype(np.float64)
    small[:, :2, 0] = -1, 1
    expected = SequenceScaler(per_sequence=alone).fit_transform(small)
    shifted = SequenceScaler(per_sequence=alone).fit_transform(small + 2.0**40)
    np.testing.assert_allclose(shifted, expected, rtol=0, atol=1e-3)
    single = SequenceScaler(per_sequence=alone).fit_transform((small + 2.0**17).astype("f4"))
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["standard", "minmax"])
@pytest.mark.parametrize("form", [list, padded])
def test_partial_fit_of_parts_equals_fit(method, form, ragged, rng):
    whole = SequenceScaler(method).fit(ragged)
    parts = SequenceScaler(method)
    for indices in np.array_split(rng.permutation(24), 5):
        assert parts.partial_fit(form([ragged[k] for k in indices])) is parts
    assert parts.n_steps_seen_ == whole.n_steps_seen_
    np.testing.assert_allclose(parts.center_, whole.center_, rtol=1e-12)
    np.testing.assert_allclose(parts.scale_, whole.scale_, rtol=1e-12)


def test_fit_discards_earlier_statistics(ragged):
    expected = SequenceScaler().fit(ragged)
    scaler = SequenceScaler().partial_fit([1000 * x for x in ragged]).fit(ragged)
    np.testing.assert_array_equal(scaler.center_, expected.center_)
    assert scaler.partial_fit(ragged).n_steps_seen_ == 2 * expected.n_steps_seen_


def test_a_failed_partial_fit_changes_nothing(ragged):
    scaler = SequenceScaler().partial_fit(ragged)
    center = scaler.center_
    for wrong in ([x[:, :2] for x in ragged], [*ragged[:4], np.full((3, 3), np.nan)]):
        with pytest.raises(ValueError, match="X"):
            scaler.partial_fit(wrong)
        assert scaler.center_ is center


def test_partial_fit_checks_parameters(ragged):
    with pytest.raises(ValueError, match="'method' parameter"):
        SequenceScaler("l2").partial_fit(ragged)


def test_methods_that_are_not_available(ragged):
    robust = SequenceScaler("robust").fit(ragged)
    assert not hasattr(robust, "partial_fit")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as error:
        robust.partial_fit(ragged)
    assert "quantiles" in str(error.value.__cause__)
    alone = SequenceScaler(per_sequence=True).fit(ragged)
    assert not hasattr(alone, "inverse_transform")
    with pytest.raises(AttributeError, match="has no attribute 'inverse_transform'") as error:
        alone.inverse_transform(ragged)
    assert "per_sequence=True" in str(error.value.__cause__)


def test_per_sequence_stores_no_statistics(ragged):
    scaler = SequenceScaler(per_sequence=True).fit(ragged)
    assert scaler.center_ is scaler.scale_ is scaler.n_steps_seen_ is None
    out = scaler.partial_fit(ragged[:2]).transform(ragged)
    np.testing.assert_array_equal(np.concatenate(out), np.concatenate(scaler.fit_transform(ragged)))


@methods
@pytest.mark.parametrize("form", [list, tuple, padded])
def test_inverse_transform_in_every_form(method, form, ragged):
    X = form(ragged)
    scaler = SequenceScaler(method, feature_range=(-1, 7)).fit(X)
    back = scaler.inverse_transform(scaler.transform(X))
    assert type(back) is type(X)
    for x, found in zip(X, back, strict=True):
        assert_close(found, x)
    single = scaler.inverse_transform([x.astype(np.float32) for x in ragged])
    assert {x.dtype for x in single} == {np.dtype(np.float32)}


# --- very large and very small values ---


def scaled_exactly(X, power, dtype):
    return [np.ldexp(x.astype(dtype), power) for x in X]


@methods
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    ("power", "dtype"),
    [(664, "f8"), (-664, "f8"), (1000, "f8"), (-1000, "f8"), (80, "f4"), (-80, "f4")],
)
def test_a_power_of_two_changes_only_the_scale(power, dtype, alone, method, rng):
    X = [x.astype(dtype) for x in cut(problem(rng, n_features=3)[0], rng)]
    plain, scaler = (SequenceScaler(method, per_sequence=alone) for _ in range(2))
    expected = plain.fit_transform(X)
    large = scaled_exactly(X, power, dtype)
    found = scaler.fit_transform(large)
    for x, x_found in zip(expected, found, strict=True):
        np.testing.assert_array_equal(x_found, x)
        assert x_found.dtype == dtype
    if not alone:
        np.testing.assert_array_equal(scaler.center_, np.ldexp(plain.center_, power))
        np.testing.assert_array_equal(scaler.scale_, np.ldexp(plain.scale_, power))
        for x, x_back in zip(large, scaler.inverse_transform(found), strict=True):
            np.testing.assert_allclose(x_back, x, rtol=1e-12 if dtype == "f8" else 1e-4)


@methods
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("factor", [1e200, 1e-200])
def test_scaled_values_do_not_depend_on_the_unit(factor, alone, method, rng):
    X = rng.normal(size=(5, 6, 2))
    scaler = SequenceScaler(method, per_sequence=alone)
    expected, found = scaler.fit_transform(X), scaler.fit_transform(X * factor)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_per_sequence_scales_each_sequence_by_its_own_unit(rng):
    X = rng.normal(size=(4, 6, 2))
    expected = SequenceScaler(per_sequence=True).fit_transform(X)
    units = np.ldexp(1.0, [900, -900, 0, -600])[:, None, None]
    found = SequenceScaler(per_sequence=True).fit_transform(X * units)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", ["standard", "minmax"])
@pytest.mark.parametrize("power", [664, -664])
def test_partial_fit_in_any_unit(power, method, ragged, rng):
    parts, expected = SequenceScaler(method), SequenceScaler(method).fit(ragged)
    for indices in np.array_split(rng.permutation(24), 5):
        parts.partial_fit(scaled_exactly([ragged[k] for k in indices], power, "f8"))
    np.testing.assert_allclose(np.ldexp(parts.center_, -power), expected.center_, rtol=1e-12)
    varies = [0, 1]  # the scale of a constant channel is one in any unit
    scale = np.ldexp(parts.scale_, -power)
    np.testing.assert_allclose(scale[varies], expected.scale_[varies], rtol=1e-12)


LARGEST = [
    ("standard", [1, -1, 1, -1]),
    ("minmax", [1, 0, 1, 0]),
    ("robust", [0.5, -0.5, 0.5, -0.5]),
]


@pytest.mark.parametrize(("method", "expected"), LARGEST)
@pytest.mark.parametrize(("value", "dtype"), [(1.7e308, "f8"), (3e38, "f4")])
@pytest.mark.parametrize("alone", [False, True])
def test_differences_near_the_largest_number_do_not_overflow(method, expected, value, dtype, alone):
    X = np.array([[value, -value, value, -value]], dtype)
    scaler = SequenceScaler(method, per_sequence=alone).fit(X)
    np.testing.assert_array_equal(scaler.transform(X), [expected])
    if not alone:
        np.testing.assert_array_equal(scaler.inverse_transform(scaler.transform(X)), X)
