"""ToSequences: rows of a table to sequences, and the inverse."""

import numpy as np
import pandas as pd
import pytest
from data import cut, padded, problem
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklstm.preprocessing import ToSequences

widths = pytest.mark.parametrize("n_features", [1, 2, 3, 12])


@widths
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_are_sorted_by_time_step(n_features, dtype, rng):
    X = rng.normal(size=(5, 12)).astype(dtype)
    to_sequences = ToSequences(n_features)
    out = to_sequences.fit_transform(X)
    assert to_sequences.n_features_in_ == 12
    assert to_sequences.n_timesteps_ == out.shape[1] == 12 // n_features
    for step in range(12 // n_features):
        columns = X[:, step * n_features : (step + 1) * n_features]
        np.testing.assert_array_equal(out[:, step], columns, strict=True)
    np.testing.assert_array_equal(to_sequences.inverse_transform(out), X, strict=True)


@widths
@pytest.mark.parametrize("container", [list, tuple])
def test_lists_of_rows_of_different_lengths(n_features, container, rng):
    lengths = rng.integers(1, 9, size=10)
    rows = container(rng.normal(size=k * n_features) for k in lengths)
    to_sequences = ToSequences(n_features).fit(rows)
    out = to_sequences.transform(rows)
    assert to_sequences.n_features_in_ == 1
    assert to_sequences.n_timesteps_ is None
    assert isinstance(out, container)
    for row, x in zip(rows, out, strict=True):
        expected = row.reshape(-1, n_features)
        np.testing.assert_array_equal(x, row if n_features == 1 else expected, strict=True)
    back = to_sequences.inverse_transform(out)
    assert isinstance(back, container)
    for row, found in zip(rows, back, strict=True):
        np.testing.assert_array_equal(found, row, strict=True)


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_padded_univariate_sequences(extra, rng):
    rows = [rng.normal(size=(2 * k, 1)) for k in (3, 1, 2)]
    to_sequences = ToSequences(2)
    out = to_sequences.fit_transform(padded(rows, extra))
    expected = padded([row.reshape(-1, 2) for row in rows], extra // 2)
    np.testing.assert_array_equal(out, expected)
    back = to_sequences.inverse_transform(out)
    np.testing.assert_array_equal(back, padded(rows, extra // 2 * 2))


@pytest.mark.parametrize("form", [list, padded])
def test_sequences_with_n_features_do_not_change(form, rng):
    X = form(cut(problem(rng)[0], rng))
    to_sequences = ToSequences(2).fit(X)
    for out in (to_sequences.transform(X), to_sequences.inverse_transform(X)):
        assert type(out) is type(X)
        for x, found in zip(X, out, strict=True):
            np.testing.assert_array_equal(found, x)
            assert not np.shares_memory(found, x)


def test_missing_values_are_kept_and_may_become_padding(rng):
    X = rng.normal(size=(3, 8))
    X[0, 1] = X[1, 6:] = X[2, 7] = np.nan
    to_sequences = ToSequences(2)
    out = to_sequences.fit_transform(X)
    np.testing.assert_array_equal(out, X.reshape(3, 4, 2))
    np.testing.assert_array_equal(to_sequences.inverse_transform(out), X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((2, 7)), "number of columns that is a multiple of n_features=3, got 7"),
        ([np.ones(6), np.ones(7)], r"X\[1\]: expected a number of values .*n_features=3, got 7"),
        (np.ones((2, 5, 1)), r"X\[0\]: expected a number of values .*n_features=3, got 5"),
        (np.ones((2, 6, 2)), r"expected univariate sequences or .* 3 feature\(s\), got 2"),
    ],
)
def test_rows_that_cannot_be_reshaped_are_an_error(X, message):
    with pytest.raises(ValueError, match=message):
        ToSequences(3).fit(X)


def test_transform_of_rows_that_cannot_be_reshaped_is_an_error():
    to_sequences = ToSequences(3).fit([np.ones(6), np.ones(3)])
    with pytest.raises(ValueError, match=r"X\[1\]: expected a number of values .* got 4"):
        to_sequences.transform([np.ones(9), np.ones(4)])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((2, 4, 3)), r"expected 2 feature\(s\), got 3"),
        (np.ones((2, 3, 2)), r"expected 4 time step\(s\), as in the table .* got 3"),
        ([np.ones((4, 2)), np.ones((5, 2))], r"expected 4 time step\(s\), .* got 5"),
        (np.ones((2, 8)), r"expected 2 feature\(s\), got 1"),
    ],
)
def test_inverse_transform_of_other_shapes_is_an_error(X, message):
    to_sequences = ToSequences(2).fit(np.ones((3, 8)))
    with pytest.raises(ValueError, match=message):
        to_sequences.inverse_transform(X)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["t0_a", "t0_b", "t1_a", "t1_b"], ["a", "b"]),
        (["t0_a", "t0_b", "t1_b", "t1_a"], ["f0", "f1"]),
        (["a", "b", "c", "d"], ["f0", "f1"]),
    ],
)
def test_names_of_channels_come_from_the_columns(columns, expected):
    X = pd.DataFrame(np.ones((3, 4)), columns=columns)
    assert ToSequences(2).fit(X).get_feature_names_out().tolist() == expected
    assert ToSequences(4).fit(X).get_feature_names_out().tolist() == columns
    flat = ToSequences(2).fit([np.ones(4)])
    assert flat.get_feature_names_out().tolist() == ["f0", "f1"]


def test_after_a_column_transformer(rng):
    columns = [f"t{t}_{name}" for t in range(4) for name in ("a", "b")]
    X = pd.DataFrame(rng.normal(5, 3, size=(20, 8)), columns=columns)[columns[::-1]]
    transformer = make_column_transformer(
        (StandardScaler(), columns), verbose_feature_names_out=False
    ).set_output(transform="pandas")
    pipeline = make_pipeline(transformer, ToSequences(2))
    expected = StandardScaler().fit_transform(X[columns].to_numpy()).reshape(20, 4, 2)
    np.testing.assert_array_equal(pipeline.fit_transform(X), expected)
    assert pipeline.get_feature_names_out().tolist() == ["a", "b"]
