"""SequenceDifferences against numpy's diff, sequence by sequence."""

import numpy as np
import pytest
from data import cut, padded, problem
from sklearn.pipeline import make_pipeline

from sklstm import LSTMRegressor
from sklstm.preprocessing import SequenceDifferences
from sklstm.streaming import SequenceStream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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


def sparse_channels(rng):
    """Rainfall, an indicator, a large level, and values of both signs; ragged."""
    lengths = rng.integers(1, 9, 40)
    normal = [rng.normal(size=(n, 4)) for n in lengths]
    return [
        np.column_stack([np.maximum(x[:, 0] - 1, 0), x[:, 1] > 1, x[:, 2] + 9, x[:, 3]])
        for x in normal
    ]


@pytest.mark.parametrize("append", [False, True])
def test_sparse_channels_have_no_differences(append, rng):
    X = sparse_channels(rng)
    skipping = SequenceDifferences(append=append, skip_sparse=True).fit(X)
    assert skipping.sparse_channels_.tolist() == [True, True, False, False]
    plain = SequenceDifferences(append=append)
    for found, expected in zip(skipping.transform(X), plain.fit_transform(X), strict=True):
        expected[:, -4:-2] = 0
        np.testing.assert_array_equal(found, expected)


def test_the_training_data_decide_which_channels_are_sparse(rng):
    X = sparse_channels(rng)
    skipping = SequenceDifferences(append=False, skip_sparse=True).fit(X)
    new = np.array([[-5.0, 2.0, 1.0, 1.0], [3.0, 7.0, 2.0, 5.0]])
    np.testing.assert_array_equal(skipping.transform([new])[0][1], [0, 0, 1, 4])


def test_without_it_there_is_no_attribute(rng):
    assert not hasattr(SequenceDifferences().fit(sparse_channels(rng)), "sparse_channels_")


def test_streams_skip_sparse_channels(rng):
    X = sparse_channels(rng)
    y = [x[:, 0] for x in X]
    reg = LSTMRegressor(4, max_iter=2, return_sequences=True, random_state=0)
    model = make_pipeline(SequenceDifferences(skip_sparse=True), reg).fit(X, y)
    longest = max(X, key=len)
    stream = SequenceStream(model)
    found = [stream.step(row[None])[0] for row in longest]
    np.testing.assert_allclose(found, model.predict([longest])[0], 1e-12, 1e-12)
