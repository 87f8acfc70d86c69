"""SequenceDifferences against numpy's diff, sequence by sequence."""

import numpy as np
import pytest
from data import cut, padded, problem

from sklstm.preprocessing import SequenceDifferences


@pytest.fixture
def ragged(rng):
    return cut(problem(rng, n_timesteps=9)[0], rng, shortest=1)


def by_numpy(x):
    return np.concatenate([np.zeros_like(x[:1]), np.diff(x, axis=0)])


def test_append_adds_channels(ragged):
    for found, x in zip(SequenceDifferences().fit_transform(ragged), ragged, strict=True):
        np.testing.assert_array_equal(found, np.concatenate([x, by_numpy(x)], axis=1), strict=True)


def test_differences_of_a_padded_array(ragged):
    X = padded(ragged, 2)
    out = SequenceDifferences(append=False).fit_transform(X)
    assert out.shape == X.shape
    for found, x in zip(out, ragged, strict=True):
        np.testing.assert_array_equal(found[: len(x)], by_numpy(x))
        assert np.isnan(found[len(x) :]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_differences_of_a_2d_array(dtype, rng):
    X = rng.normal(size=(5, 7)).astype(dtype)
    expected = np.stack([by_numpy(x) for x in X])
    alone = SequenceDifferences(append=False).fit_transform(X)
    np.testing.assert_array_equal(alone, expected, strict=True)
    beside = SequenceDifferences().fit_transform(X)
    np.testing.assert_array_equal(beside, np.stack([X, expected], axis=2), strict=True)


def test_differences_do_not_depend_on_the_level(ragged):
    alone = SequenceDifferences(append=False)
    shifted = [x + 4 for x in ragged]
    for one, other in zip(*map(alone.fit_transform, (ragged, shifted)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_feature_names(rng):
    X = rng.normal(size=(4, 5, 2))
    names = SequenceDifferences().fit(X).get_feature_names_out(["a", "b"])
    assert names.tolist() == ["a", "b", "difference_a", "difference_b"]
    alone = SequenceDifferences(append=False)
    assert alone.fit(X).get_feature_names_out().tolist() == ["x0", "x1"]
    assert alone.fit(X[:, :2, 0]).get_feature_names_out().tolist() == ["x0", "x1"]
    table = SequenceDifferences().fit(X[:, :, 0])
    assert table.get_feature_names_out().tolist() == ["value", "difference"]
