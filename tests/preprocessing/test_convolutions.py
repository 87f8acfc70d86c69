"""RandomConvolutions against loops over kernels, time steps and channels."""

import tracemalloc

import numpy as np
import pytest
from data import cut, padded, problem
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_info, threadpool_limits

from sklstm import LSTMClassifier
from sklstm.preprocessing import RandomConvolutions, _convolutions
from sklstm.streaming import SequenceStream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def ragged(rng):
    """Lengths from 1 to 30; three channels with another level and scale each."""
    X = cut(problem(rng, n_timesteps=30, n_features=3)[0], rng, shortest=1)
    return [x * [1, 5, 0.1] + [0, 100, -3] for x in X]


def by_loops(transformer, x):
    """The convolutions of one sequence; steps outside of it are zero after scaling."""
    n_kernels, size, n_channels = transformer.kernels_.shape
    scaled = (x - transformer.center_) / transformer.scale_
    out = np.zeros((len(x), n_kernels))
    for k, dilation in enumerate(transformer.dilations_):
        for t in range(len(x)):
            for j in range(size):
                step = t + j * dilation - (size - 1) * dilation // 2
                if 0 <= step < len(x):
                    for c in range(n_channels):
                        out[t, k] += transformer.kernels_[k, j, c] * scaled[step, c]
    return out


@pytest.mark.parametrize("kernel_size", [2, 3, 4, 9])
@pytest.mark.parametrize("n_kernels", [1, 7])
def test_convolutions_by_loops(n_kernels, kernel_size, ragged, seed):
    transformer = RandomConvolutions(n_kernels, kernel_size, random_state=seed).fit(ragged)
    for found, x in zip(transformer.transform(ragged), ragged, strict=True):
        assert found.shape == (len(x), n_kernels)
        np.testing.assert_allclose(found, by_loops(transformer, x), 1e-11, 1e-11)


def test_kernels_of_many_dilations(rng):
    X = rng.normal(size=(5, 200))
    transformer = RandomConvolutions(12, 3, random_state=3).fit(X)
    assert transformer.dilations_[0] < 3
    assert transformer.dilations_[-1] > 30
    expected = np.stack([by_loops(transformer, x[:, None]) for x in X])
    np.testing.assert_allclose(transformer.transform(X), expected, 1e-11, 1e-11)


def test_a_padded_array(ragged):
    transformer = RandomConvolutions(4, 3, random_state=0).fit(ragged)
    found = transformer.transform(padded(ragged, extra=2))
    assert found.shape == (24, 32, 4)
    for rows, expected in zip(found, transformer.transform(ragged), strict=True):
        np.testing.assert_array_equal(rows[: len(expected)], expected)
        assert np.isnan(rows[len(expected) :]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_append_keeps_the_channels(dtype, rng):
    X = rng.normal(size=(5, 12)).astype(dtype)
    alone = RandomConvolutions(4, 3, random_state=0).fit_transform(X)
    assert alone.shape == (5, 12, 4)
    found = RandomConvolutions(4, 3, append=True, random_state=0).fit_transform(X)
    np.testing.assert_array_equal(found, np.concatenate([X[:, :, None], alone], 2), strict=True)


def test_level_and_scale_do_not_matter(ragged):
    transformer = RandomConvolutions(random_state=0)
    expected = transformer.fit_transform(ragged)
    moved = transformer.fit_transform([x * [2.0, 1e3, 1e-9] + [1, 9, 1e-6] for x in ragged])
    for one, other in zip(expected, moved, strict=True):
        np.testing.assert_allclose(one, other, 1e-7, 1e-7)


def test_a_constant_becomes_zero(rng):
    """Away from the ends, and for a constant channel everywhere."""
    X = rng.normal(size=(10, 60))
    transformer = RandomConvolutions(8, 5, random_state=0).fit(X)
    reach = 4 * transformer.dilations_.max()
    (level,) = transformer.transform(np.full((1, 60), 7.0))
    np.testing.assert_allclose(level[reach // 2 : -reach // 2 - 1], 0, atol=1e-12)
    assert np.abs(level).max() > 0.1
    for unit in (0.3, 1e5 / 3):
        X = np.full((4, 60), unit)
        X[2, 7] = np.nextafter(unit, 1)  # a rounding error
        np.testing.assert_allclose(transformer.fit_transform(X), 0, atol=1e-9)
        assert transformer.scale_.tolist() == [1.0]


@pytest.mark.parametrize("n_channels", [1, 3, 40])
@pytest.mark.parametrize("n_timesteps", [1, 8, 100])
def test_the_kernels(n_timesteps, n_channels, rng, seed):
    X = rng.normal(size=(6, n_timesteps, n_channels))
    transformer = RandomConvolutions(300, 5, random_state=seed).fit(X)
    kernels, dilations = transformer.kernels_, transformer.dilations_
    np.testing.assert_allclose(kernels.sum(axis=1), 0, atol=1e-12)
    n_read = (kernels != 0).all(axis=1).sum(axis=1)
    np.testing.assert_array_equal(n_read, (kernels != 0).any(axis=1).sum(axis=1))
    assert set(n_read) == set(range(1, min(n_channels, 5) + 1))
    assert 0.8 < (kernels**2).sum() / (300 * 4 / 5) < 1.25  # variance 1, less that of the mean
    assert (np.diff(dilations) >= 0).all()
    longest = max(1, (n_timesteps - 1) // 4)
    assert set(dilations) <= set(range(1, longest + 1))
    assert dilations[0] == 1
    assert dilations[-1] > 0.8 * longest or longest <= 2


def test_dilations_follow_the_median_length(rng):
    """One long sequence among many short ones does not change the kernels much."""
    for lengths in ([9] * 20 + [5000], [5000] + [9] * 20):
        X = [rng.normal(size=n) for n in lengths]
        assert RandomConvolutions(100, 5, random_state=0).fit(X).dilations_.max() <= 2


def test_all_channels_are_read(rng, seed):
    """They are taken in turns."""
    X = rng.normal(size=(4, 20, 60))
    kernels = RandomConvolutions(100, 5, random_state=seed).fit(X).kernels_
    n_times = (kernels != 0).all(axis=1).sum(axis=0)
    assert n_times.min() >= 1
    assert n_times.max() - n_times.min() <= 1


@pytest.mark.parametrize("n_short", [3000, 1])
def test_memory_does_not_depend_on_the_kernels(n_short, rng):
    """Short sequences after a fit on long ones, and a kernel that is longer than they are."""
    transformer = RandomConvolutions(8, 9, random_state=0).fit(list(rng.normal(size=(2, 20_000))))
    assert transformer.dilations_.max() > 500
    X = [rng.normal(size=3) for _ in range(n_short)]
    expected = [by_loops(transformer, x[:, None]) for x in X[:5]]
    tracemalloc.start()
    found = transformer.transform(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e5 + 40 * 8 * 3 * 8 * n_short
    for one, other in zip(found, expected, strict=False):
        np.testing.assert_allclose(one, other, 1e-11, 1e-11)


@pytest.mark.parametrize("factor", [1e300, 1e-300])
def test_numbers_of_any_size(factor, ragged):
    expected = RandomConvolutions(5, random_state=0).fit_transform(ragged)
    found = RandomConvolutions(5, random_state=0).fit_transform([x * factor for x in ragged])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, 1e-6, 1e-6)


def test_differences_near_the_largest_number_do_not_overflow():
    X = np.full((6, 20), 1.7e308)
    X[0, 0] = -1.7e308
    small = RandomConvolutions(5, 3, random_state=0).fit_transform(X / 1e308)
    found = RandomConvolutions(5, 3, random_state=0).fit_transform(X)
    np.testing.assert_allclose(found, small, 1e-12, 1e-12)


def test_single_precision_with_a_large_mean(rng):
    X = (rng.normal(size=(6, 30)) + 1e6).astype(np.float32)
    found = RandomConvolutions(5, random_state=0).fit_transform(X)
    expected = RandomConvolutions(5, random_state=0).fit_transform(X.astype(np.float64))
    np.testing.assert_allclose(found, expected, 1e-5, 1e-5)


def test_values_that_are_too_large_beside_the_training_data(rng):
    X = [(0.01 * rng.normal(size=(n, 3))).astype(np.float32) for n in (9, 8, 12)]
    transformer = RandomConvolutions(20, 3, random_state=0).fit(X)
    X[1][7, 0] = 3e38
    X[2][11, 1] = 3e38
    message = r"X\[1\]: expected values whose convolutions are finite in float32"
    with pytest.raises(ValueError, match=message):
        transformer.transform(X)


def test_the_random_state(ragged):
    def kernels(random_state):
        return RandomConvolutions(5, random_state=random_state).fit(ragged).kernels_

    np.testing.assert_array_equal(kernels(3), kernels(3))
    np.testing.assert_array_equal(kernels(3), kernels(np.random.RandomState(3)))
    assert not np.array_equal(kernels(3), kernels(4))
    assert not np.array_equal(kernels(None), kernels(None))
    transformer = RandomConvolutions(5, random_state=3).fit(ragged)
    first = transformer.kernels_
    np.testing.assert_array_equal(first, transformer.fit(ragged).kernels_)


def test_feature_names(rng):
    X = rng.normal(size=(4, 12, 2))
    alone, beside = RandomConvolutions(2), RandomConvolutions(1, append=True)
    assert alone.fit(X).get_feature_names_out().tolist() == ["convolution0", "convolution1"]
    assert beside.fit(X).get_feature_names_out(["a", "b"]).tolist() == ["a", "b", "convolution0"]
    assert beside.fit(X[:, :, 0]).get_feature_names_out().tolist() == ["value", "convolution0"]
    fitted = alone.set_params(n_kernels=9)  # takes effect in the next fit
    assert fitted.get_feature_names_out().tolist() == ["convolution0", "convolution1"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_kernels": 0}, "'n_kernels' parameter .* int in the range \\[1, inf\\)"),
        ({"kernel_size": 1}, "'kernel_size' parameter .* int in the range \\[2, inf\\)"),
        ({"append": "yes"}, "'append' parameter"),
        ({"random_state": -1}, "'random_state' parameter"),
    ],
)
def test_invalid_parameters(parameters, message, ragged):
    with pytest.raises(ValueError, match=message):
        RandomConvolutions(**parameters).fit(ragged)


def test_products_use_one_thread_of_blas(ragged, monkeypatch):
    n_threads, convolution = [], _convolutions._convolution

    def recorded(*arguments):
        libraries = threadpool_info()
        n_threads.extend(lib["num_threads"] for lib in libraries if lib["user_api"] == "blas")
        return convolution(*arguments)

    monkeypatch.setattr(_convolutions, "_convolution", recorded)
    with threadpool_limits(2, user_api="blas"):
        RandomConvolutions(3, random_state=0).fit_transform(ragged)
    assert set(n_threads) == {1}


def test_in_a_search(ragged):
    y = [len(x) > 15 for x in ragged]
    model = make_pipeline(
        RandomConvolutions(random_state=0), LSTMClassifier(4, max_iter=2, random_state=0)
    )
    grid = {"randomconvolutions__n_kernels": [2, 5], "randomconvolutions__append": [False, True]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(ragged, y)
    n_kernels = search.best_params_["randomconvolutions__n_kernels"]
    assert len(search.best_estimator_[0].kernels_) == n_kernels


def test_streams_are_refused(ragged):
    y = [len(x) > 15 for x in ragged]
    model = make_pipeline(RandomConvolutions(2), LSTMClassifier(4, max_iter=2)).fit(ragged, y)
    message = r"'randomconvolutions' \(RandomConvolutions\).* it needs whole sequences"
    with pytest.raises(ValueError, match=message):
        SequenceStream(model)
