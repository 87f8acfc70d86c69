"""SlidingWindow against numpy's sliding_window_view, sequence by sequence."""

import numpy as np
import pytest
from data import cut, padded, problem
from numpy.lib.stride_tricks import sliding_window_view

from sklstm.preprocessing import SlidingWindow

SIZES = [(1, 1), (1, 3), (2, 1), (3, 2), (3, 3), (3, 5), (4, 10)]
sizes = pytest.mark.parametrize(("width", "stride"), SIZES)
aligned = pytest.mark.parametrize("align", ["start", "end"])


@pytest.fixture
def ragged(rng):
    return cut(problem(rng, n_timesteps=15)[0], rng, shortest=4)


def by_numpy(x, width, stride, align):
    """Windows (n_windows, width * n_features) of one sequence."""
    windows = sliding_window_view(x, (width, x.shape[1]))[:, 0]
    first = (len(x) - width) % stride if align == "end" else 0
    return windows[first::stride].reshape(-1, width * x.shape[1])


@sizes
@aligned
def test_windows_of_ragged_sequences(width, stride, align, ragged):
    expected = [by_numpy(x, width, stride, align) for x in ragged]
    window = SlidingWindow(width, stride, align=align)
    for found, part in zip(window.fit_transform(ragged), expected, strict=True):
        np.testing.assert_array_equal(found, part)
    for extra in (0, 2):
        whole = window.fit_transform(padded(ragged, extra))
        assert whole.shape == (24, (15 + extra - width) // stride + 1, width * 2)
        for found, part in zip(whole, expected, strict=True):
            np.testing.assert_array_equal(found[: len(part)], part)
            assert np.isnan(found[len(part) :]).all()


@sizes
@aligned
def test_windows_of_a_2d_array(width, stride, align, rng):
    X = rng.normal(size=(5, 11))
    out = SlidingWindow(width, stride, align=align).fit_transform(X)
    expected = [by_numpy(x[:, None], width, stride, align) for x in X]
    np.testing.assert_array_equal(out, np.stack(expected))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_windows_that_cover_a_sequence_equal_a_reshape(dtype, rng):
    X = rng.normal(size=(3, 60, 2)).astype(dtype)
    for align in ("start", "end"):
        out = SlidingWindow(5, 5, align=align).fit_transform(X)
        np.testing.assert_array_equal(out, X.reshape(3, 12, 10), strict=True)


@sizes
def test_windows_do_not_change_when_steps_are_appended(width, stride, rng):
    x = rng.normal(size=(20, 2))
    window = SlidingWindow(width, stride).fit([x])
    whole = window.transform([x])[0]
    for length in range(width, 21):
        part = window.transform([x[:length]])[0]
        np.testing.assert_array_equal(part, whole[: len(part)])


@sizes
def test_align_end_keeps_the_last_step(width, stride, ragged):
    out = SlidingWindow(width, stride, align="end").fit_transform(ragged)
    for x, windows in zip(ragged, out, strict=True):
        np.testing.assert_array_equal(windows[-1, -2:], x[-1])


@pytest.mark.parametrize("form", [list, padded])
def test_a_sequence_shorter_than_a_window_is_an_error(form, ragged):
    window = SlidingWindow(4).fit(ragged)
    ragged[7] = ragged[7][:3]
    message = r"X\[7\]: expected at least width=4 time steps, got 3"
    for method in (window.transform, SlidingWindow(4).fit):
        with pytest.raises(ValueError, match=message):
            method(form(ragged))
    with pytest.raises(ValueError, match=r"X\[0\]: expected at least width=4 time steps, got 3"):
        SlidingWindow(4).fit(np.ones((5, 3)))


def test_feature_names():
    X = np.ones((2, 5, 2))
    window = SlidingWindow(3, 2).fit(X)
    expected = ["t0_a", "t0_b", "t1_a", "t1_b", "t2_a", "t2_b"]
    assert window.get_feature_names_out(["a", "b"]).tolist() == expected
    assert len(expected) == window.transform(X).shape[2]
    assert SlidingWindow(2).fit(X[:, :, 0]).get_feature_names_out().tolist() == ["t0", "t1"]
