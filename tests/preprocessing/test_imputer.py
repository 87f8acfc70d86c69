"""SequenceImputer against pandas, sequence by sequence, and scikit-learn's SimpleImputer."""

import numpy as np
import pandas as pd
import pytest
from data import cut, padded, problem
from sklearn.impute import SimpleImputer

from sklstm.preprocessing import SequenceImputer

STRATEGIES = ["mean", "constant", "forward", "linear"]
strategies = pytest.mark.parametrize("strategy", STRATEGIES)


@pytest.fixture
def with_nan(rng):
    """Ragged sequences with NaN; some have a channel of NaN only, and none ends in padding."""
    X = cut(problem(rng, n_timesteps=12, n_features=3)[0], rng)
    for k, x in enumerate(X):
        x[rng.random(x.shape) < 0.4] = np.nan
        x[-1, 0] = k
        if k % 5 == 0:
            x[:, 1] = np.nan
    return X


@pytest.fixture
def mean(with_nan):
    return np.nanmean(np.concatenate(with_nan), axis=0)


def by_pandas(x, strategy, mean):
    frame = pd.DataFrame(x)
    filled = {
        "mean": lambda: frame,
        "constant": lambda: frame.fillna(-3.0),
        "forward": frame.ffill,
        "linear": lambda: frame.interpolate(limit_direction="both"),
    }[strategy]()
    return filled.fillna(dict(enumerate(mean))).to_numpy()


@strategies
@pytest.mark.parametrize("form", [list, padded])
def test_imputed_values_equal_those_of_pandas(strategy, form, with_nan, mean):
    imputer = SequenceImputer(strategy, fill_value=-3.0).fit(form(with_nan))
    for x, filled in zip(with_nan, imputer.transform(with_nan), strict=True):
        np.testing.assert_allclose(filled, by_pandas(x, strategy, mean), rtol=1e-12, atol=1e-12)
    for x, filled in zip(with_nan, imputer.transform(padded(with_nan, extra=2)), strict=True):
        np.testing.assert_allclose(
            filled[: len(x)], by_pandas(x, strategy, mean), rtol=1e-12, atol=1e-12
        )
        assert np.isnan(filled[len(x) :]).all()


@pytest.mark.parametrize("parameters", [{}, {"strategy": "constant", "fill_value": 2.5}])
def test_imputed_values_equal_those_of_scikit_learn(parameters, with_nan):
    stacked = np.concatenate(with_nan)
    reference = SimpleImputer(**parameters).fit(stacked)
    imputer = SequenceImputer(**parameters).fit(with_nan)
    np.testing.assert_allclose(imputer.statistics_, reference.statistics_.astype(float), rtol=1e-12)
    found = np.concatenate(imputer.transform(with_nan))
    np.testing.assert_allclose(found, reference.transform(stacked), rtol=1e-12)


@strategies
def test_each_row_of_a_2d_array_is_a_series(strategy, rng):
    X = rng.normal(size=(30, 8))
    X[rng.random(X.shape) < 0.5] = np.nan
    X[0], X[1, -1] = np.nan, 3.0
    imputer = SequenceImputer(strategy, fill_value=-3.0)
    filled = imputer.fit_transform(X)
    mean = np.nanmean(X)
    expected = [by_pandas(x[:, None], strategy, [mean])[:, 0] for x in X]
    np.testing.assert_allclose(filled, expected, rtol=1e-12, atol=1e-12)
    if strategy != "constant":
        np.testing.assert_allclose(imputer.statistics_, [mean], rtol=1e-12)


@strategies
def test_observed_values_do_not_change(strategy, with_nan):
    for x, filled in zip(with_nan, SequenceImputer(strategy).fit_transform(with_nan), strict=True):
        observed = ~np.isnan(x)
        np.testing.assert_array_equal(filled[observed], x[observed])
        assert np.isfinite(filled).all()


@strategies
def test_imputed_values_do_not_depend_on_other_sequences(strategy, with_nan, rng):
    imputer = SequenceImputer(strategy).fit(with_nan)
    expected = imputer.transform(with_nan)
    order = rng.permutation(len(with_nan))
    for k, found in zip(order, imputer.transform([with_nan[k] for k in order]), strict=True):
        np.testing.assert_array_equal(found, expected[k])


def test_forward_uses_no_later_steps(with_nan):
    imputer = SequenceImputer("forward").fit(with_nan)
    for x in with_nan:
        whole = imputer.transform([x])[0]
        for k in range(1, len(x) + 1):
            np.testing.assert_array_equal(imputer.transform([x[:k]])[0], whole[:k])


@strategies
def test_a_channel_without_observed_values_in_fit(strategy, rng):
    X = rng.normal(size=(4, 5, 2))
    X[:, :, 1] = np.nan
    imputer = SequenceImputer(strategy, fill_value=9).fit(X)
    filled = imputer.transform(X)
    assert (filled[:, :, 1] == 9).all()
    assert imputer.statistics_[1] == 9
    if strategy == "linear":
        X[:, 2, 1] = 4
        assert (imputer.transform(X)[:, :, 1] == 4).all()


def test_linear_interpolation_over_many_steps():
    x = np.full((10_001, 2), np.nan)
    x[0], x[-1] = (1, 5), (2, 5)
    filled = SequenceImputer("linear").fit_transform([x])[0]
    expected = np.c_[np.linspace(1, 2, 10_001), np.full(10_001, 5)]
    np.testing.assert_allclose(filled, expected, rtol=1e-14)


@strategies
@pytest.mark.parametrize("form", [list, padded])
def test_indicator_channels(strategy, form, with_nan):
    plain = SequenceImputer(strategy).fit_transform(form(with_nan))
    out = SequenceImputer(strategy, add_indicator=True).fit_transform(form(with_nan))
    for x, filled, both in zip(with_nan, plain, out, strict=True):
        np.testing.assert_array_equal(both[:, :3], filled)
        np.testing.assert_array_equal(both[: len(x), 3:], np.isnan(x))
        assert np.isnan(both[len(x) :]).all()


def test_the_indicator_of_a_2d_array_makes_two_channels(rng):
    X = rng.normal(size=(6, 5))
    X[2, 3] = X[0] = np.nan
    imputer = SequenceImputer(add_indicator=True).fit(X)
    out = imputer.transform(X)
    np.testing.assert_array_equal(out[:, :, 0], SequenceImputer().fit_transform(X))
    np.testing.assert_array_equal(out[:, :, 1], np.isnan(X))
    assert imputer.get_feature_names_out().tolist() == ["value", "missingindicator"]


@strategies
def test_sequences_without_missing_values_do_not_change(strategy, rng):
    X = rng.normal(size=(4, 5, 2))
    np.testing.assert_array_equal(SequenceImputer(strategy).fit_transform(X), X)


def test_missing_values_of_pandas():
    frame = pd.DataFrame({"a": pd.array([1.0, pd.NA, 3.0], dtype="Float64")})
    found = SequenceImputer("linear").fit_transform([frame, frame])
    np.testing.assert_array_equal(found[1], [[1], [2], [3]])


@strategies
def test_a_sample_without_valid_steps_is_an_error(strategy, rng):
    X = rng.normal(size=(4, 5, 2))
    X[2] = np.nan
    with pytest.raises(ValueError, match=r"X\[2\]: expected at least one time step that is not"):
        SequenceImputer(strategy).fit(X)


@pytest.mark.parametrize(
    ("power", "dtype"), [(1015, "f8"), (-900, "f8"), (115, "f4"), (-90, "f4")], ids=str
)
@strategies
def test_a_power_of_two_changes_no_digit(strategy, power, dtype, with_nan):
    X = [x.astype(dtype) for x in with_nan]
    expected = SequenceImputer(strategy).fit(X)
    large = [np.ldexp(x, power) for x in X]
    imputer = SequenceImputer(strategy).fit(large)
    np.testing.assert_array_equal(imputer.statistics_, np.ldexp(expected.statistics_, power))
    for x, found in zip(expected.transform(X), imputer.transform(large), strict=True):
        np.testing.assert_array_equal(found, np.ldexp(x, power))


def test_means_and_differences_near_the_largest_number():
    X = np.array([[1.7e308, np.nan, -1.7e308], [1.7e308, 1.7e308, np.nan]])
    imputer = SequenceImputer("linear").fit(X)
    np.testing.assert_allclose(imputer.statistics_, [0.85e308], rtol=1e-14)
    np.testing.assert_array_equal(imputer.transform(X)[:, 1:], [[0, -1.7e308], [1.7e308] * 2])
