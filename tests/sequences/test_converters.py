"""Conversion from and to the layouts of other libraries; windows of long series."""

import datetime
import re
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklstm.sequences import (
    check_sequences,
    from_channels_first,
    from_concatenated,
    from_long_frame,
    from_nan_padded,
    make_windows,
    to_channels_first,
    to_concatenated,
    to_long_frame,
    to_nan_padded,
)

FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


@pytest.fixture(params=FRAMES)
def frame_type(request):
    return FRAMES[request.param]


def draw(rng, n_features=2, dtype=np.float64, n=None):
    """Sequences of random lengths, (n_timesteps_i, n_features), or 1-D for 0."""
    lengths = rng.integers(1, 8, size=n or rng.integers(1, 7))
    shapes = [(k, n_features) if n_features else (k,) for k in lengths]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def objects(parts):
    array = np.empty(len(parts), dtype=object)
    for k, part in enumerate(parts):
        array[k] = part
    return array


def assert_same(found, expected):
    assert isinstance(found, list)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


# --- long data frames ---


def shuffled(rng, frame_type, columns):
    """A frame with its rows in random order, and this order."""
    order = rng.permutation(len(next(iter(columns.values()))))
    return frame_type({name: np.asarray(values)[order] for name, values in columns.items()}), order


def long_columns(rng, n=5):
    """Columns of n sequences with unordered ids and distinct times."""
    lengths = rng.integers(1, 8, size=n)
    ids = np.repeat(rng.permutation(n) + 100, lengths)
    times = np.concatenate([rng.permutation(20)[:k] for k in lengths])
    return {
        "id": ids,
        "time": times,
        "a": rng.normal(size=len(ids)),
        "b": rng.normal(size=len(ids)),
    }


def test_sequences_of_a_long_frame_equal_its_pivot_table(frame_type, rng):
    frame, _ = shuffled(rng, frame_type, long_columns(rng))
    X, ids = from_long_frame(frame)
    table = pd.DataFrame({name: frame[name].to_numpy() for name in frame.columns})
    assert ids.tolist() == list(dict.fromkeys(table["id"]))
    for j, name in enumerate("ab"):
        pivot = table.pivot(index="id", columns="time", values=name).sort_index(axis=1)
        expected = [row[~np.isnan(row)] for row in pivot.loc[ids].to_numpy()]
        assert_same([x[:, j] for x in X], expected)
    assert check_sequences(X).form == "list"


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("targets", [1, 2])
def test_long_frames_round_trip(targets, per_step, frame_type, rng):
    X = draw(rng, 3)
    times = [np.sort(rng.permutation(50)[: len(x)]) for x in X]
    ids = rng.permutation(len(X)).astype(str).astype(object)
    heads = [len(x) if per_step else 1 for x in X]
    y = [rng.integers(5, size=(k, targets) if targets > 1 else k) for k in heads]
    y = y if per_step else np.concatenate(y)
    names = {"target": "y" if targets == 1 else ["y", "z"], "per_step": per_step}
    roles = {"id": "who", "time": "when"}
    frame = to_long_frame(
        X, frame_type, ids=ids, times=times, y=y, features=["c", "b", "a"], **roles, **names
    )
    assert isinstance(frame, frame_type)
    extra = ["y", "z"][:targets]
    assert list(frame.columns) == ["who", "when", "c", "b", "a", *extra]
    order = rng.permutation(len(frame))
    for one in (frame, frame.iloc[order] if frame_type is pd.DataFrame else frame[order]):
        found_X, found_ids, found_y, found_times = from_long_frame(
            one, return_times=True, **roles, **names
        )
        place = [found_ids.tolist().index(k) for k in ids]
        assert_same([found_X[k] for k in place], X)
        assert_same([found_times[k] for k in place], times)
        if per_step:
            assert_same([found_y[k] for k in place], y)
        else:
            np.testing.assert_array_equal(found_y[place], y, strict=True)


def test_features_are_the_named_or_all_other_columns(frame_type):
    frame = frame_type({"b": [1.0, 2.0], "id": [0, 0], "y": [3, 3], "time": [0, 1], "a": [4, 5]})
    everything = [[1.0, 3.0, 4.0], [2.0, 3.0, 5.0]]
    assert from_long_frame(frame)[0][0].tolist() == everything
    (X,), _, y = from_long_frame(frame, target="y")
    assert X.tolist() == [[1.0, 4.0], [2.0, 5.0]]
    assert y.tolist() == [3]
    assert from_long_frame(frame, features="a")[0][0].tolist() == [[4.0], [5.0]]
    for features in (["a", "time"], np.array(["a", "time"]), pd.Index(["a", "time"])):
        found = from_long_frame(frame, features=features)[0][0]
        assert found.tolist() == [[4.0, 0.0], [5.0, 1.0]]
    assert from_long_frame(frame, target=["y"])[2].tolist() == [[3]]


def test_rows_keep_their_order_without_a_time_column(frame_type):
    frame = frame_type({"id": [2, 1, 2, 1], "x": [1.0, 9.0, 0.0, 8.0]})
    X, ids = from_long_frame(frame, time=None)
    assert ids.tolist() == [2, 1]
    assert_same(X, [np.array([[1.0], [0.0]]), np.array([[9.0], [8.0]])])


TIMES = {
    "integers": [3, 1, 2],
    "floats": [0.3, 0.1, 0.2],
    "texts": ["c", "a", "b"],
    "dates": [datetime.datetime(2024, 1, day) for day in (3, 1, 2)],
    "dates with a zone": [datetime.datetime(2024, 1, d, tzinfo=datetime.UTC) for d in (3, 1, 2)],
    "days": [datetime.date(2024, 1, day) for day in (3, 1, 2)],
}


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("ids", [["u", "u", "u"], [1.5] * 3, [True] * 3])
def test_ids_and_times_may_be_of_any_type(ids, times, frame_type):
    frame = frame_type({"id": ids, "time": TIMES[times], "x": [3.0, 1.0, 2.0]})
    X, found = from_long_frame(frame)
    assert found.tolist() == ids[:1]
    assert_same(X, [np.array([[1.0], [2.0], [3.0]])])


NUMBERS = [
    ([1, 2], np.float64),
    ([True, False], np.float64),
    ([1.5, None], np.float64),
    ([1, None], np.float64),
    ([True, None], np.float64),
    ([Decimal("1.5"), None], np.float64),
    (np.array([1, 2], dtype=np.float32), np.float32),
    (np.array([1, 2], dtype=np.uint8), np.float64),
]


@pytest.mark.parametrize(("values", "dtype"), NUMBERS)
def test_features_become_floats_and_missing_values_nan(values, dtype, frame_type):
    frame = frame_type({"id": [0, 0], "time": [0, 1], "x": values})
    expected = [[np.nan if value is None else float(value)] for value in values]
    assert_same(from_long_frame(frame)[0], [np.array(expected, dtype=dtype)])


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean"])
@pytest.mark.parametrize("last", [1, None])
def test_nullable_columns_of_pandas(dtype, last):
    frame = pd.DataFrame({"id": [0, 0], "x": pd.array([0, last], dtype=dtype)})
    frame["time"], frame["id"] = (pd.array(x, dtype="Int64") for x in ([0, 1], [7, 7]))
    frame["y"] = pd.array([5, 5], dtype="Int64")
    X, ids, y = from_long_frame(frame, target="y")
    assert_same(X, [np.array([[0.0], [np.nan if last is None else 1.0]])])
    assert (ids.dtype.kind, y.dtype.kind) == ("i", "i")
    assert (ids.tolist(), y.tolist()) == ([7], [5])


def test_ids_and_targets_may_be_categories(frame_type):
    frame = frame_type({"id": ["b", "a", "b"], "time": [1, 1, 0], "x": [1, 2, 3], "y": [*"pqp"]})
    if frame_type is pd.DataFrame:
        frame = frame.astype({"id": "category", "y": "category"})
    else:
        frame = frame.cast({"id": pl.Categorical, "y": pl.Categorical})
    X, ids, y = from_long_frame(frame, target="y")
    assert (ids.tolist(), y.tolist()) == (["b", "a"], ["p", "q"])
    assert_same(X, [np.array([[3.0], [1.0]]), np.array([[2.0]])])


@pytest.mark.parametrize("target", [[1.5, None, 2.0], ["u", None, "v"], [1, None, 2]])
def test_missing_targets_are_kept(target, frame_type):
    frame = frame_type({"id": [0, 1, 1, 2], "x": [1.0] * 4, "y": [target[k] for k in (0, 1, 1, 2)]})
    y = from_long_frame(frame, time=None, target="y")[2]
    assert pd.isna(y[1])
    assert y[[0, 2]].tolist() == [target[0], target[2]]


def test_columns_with_levels_are_named_by_tuples():
    frame = pd.DataFrame({("k", "id"): [1, 1], ("k", "t"): [1, 0], ("x", "u"): [3.0, 4.0]})
    X, ids = from_long_frame(frame, id=("k", "id"), time=("k", "t"))
    assert ids.tolist() == [1]
    assert_same(X, [np.array([[4.0], [3.0]])])


BASE = {"id": ["u", "v", "v"], "time": [0, 0, 1], "x": [1.0, 2.0, 3.0], "y": [1, 2, 2]}
FRAME_ERRORS = [
    ({"time": [0, 4, 4]}, {}, "id v: expected each 'time' once, got 4 more than once"),
    ({"time": [0.0, None, 4.0]}, {}, "id v: a row has no 'time'"),
    ({"id": ["u", None, "v"]}, {}, "row 1 of the frame has no 'id'"),
    (
        {"y": [1, 2, 3]},
        {"target": "y"},
        "id v: expected one 'y' for the whole sequence, got 2 and 3; per_step=True",
    ),
    ({"y": ["p", "p", None]}, {"target": "y"}, "id v: expected one 'y' for the whole sequence"),
    ({"x": ["1", "2", "3"]}, {}, "expected numbers in the feature column 'x'"),
    ({"x": TIMES["dates"]}, {}, "expected numbers in the feature column 'x'"),
    ({}, {"features": ["x", "w"]}, "there is no column 'w', the columns are ['id', 'time'"),
    ({}, {"id": "patient"}, "there is no column 'patient'"),
    ({}, {"target": "label"}, "there is no column 'label'"),
    ({}, {"target": ["x", "y"]}, "expected at least one feature column"),
    ({}, {"features": []}, "expected at least one feature column"),
    ({}, {"time": None, "return_times": True}, "expected a time column to return times from"),
    ({name: [] for name in BASE}, {}, "expected at least one row, got none"),
]


@pytest.mark.parametrize(("change", "options", "message"), FRAME_ERRORS)
def test_error_messages_about_a_frame_name_the_id(change, options, message, frame_type):
    with pytest.raises(ValueError, match=re.escape(message)):
        from_long_frame(frame_type(BASE | change), **options)


def test_other_tables_are_an_error():
    for frame in (BASE, pl.DataFrame(BASE).lazy(), [[1, 2]]):
        with pytest.raises(ValueError, match="expected a pandas or polars data frame, got"):
            from_long_frame(frame)
    twice = pd.DataFrame([[0, 0, 1, 2]], columns=["id", "time", "x", "x"])
    with pytest.raises(ValueError, match="more than one column 'x'"):
        from_long_frame(twice)
    with pytest.raises(ValueError, match="expected times that can be sorted in 'time'"):
        from_long_frame(pd.DataFrame({"id": [0, 0], "time": ["a", 1], "x": [1, 2]}))


def test_default_names_of_a_long_frame(rng):
    predicted = draw(rng, 0, n=3)
    columns = to_long_frame(predicted, dict, y=[*"abc"])
    lengths = [len(x) for x in predicted]
    assert list(columns) == ["id", "time", "feature_0", "target"]
    assert columns["id"].tolist() == np.repeat(range(3), lengths).tolist()
    assert columns["time"].tolist() == [t for k in lengths for t in range(k)]
    assert columns["target"].tolist() == [*np.repeat([*"abc"], lengths)]
    frames = [pd.DataFrame(x, columns=["u", "v"]) for x in draw(rng, 2)]
    assert list(to_long_frame(frames, dict)) == ["id", "time", "u", "v"]


TO_FRAME_ERRORS = [
    ({"ids": [1]}, "ids: expected 2, one for each sequence in X, got 1"),
    ({"ids": 1}, "ids: expected one for each of the 2 sequence(s) in X"),
    ({"times": [[0, 1], [0]]}, "times[1]: expected 3 step(s) as in X[1], got 1"),
    ({"y": [1]}, "y: expected 2, one for each sequence in X, got 1"),
    ({"y": [[1, 1], [1]], "per_step": True}, "y[1]: expected 3 step(s) as in X[1], got 1"),
    ({"features": ["a", "b"]}, "expected 3 different column names, got ['id', 'time', 'a', 'b']"),
    ({"features": "id"}, "expected 3 different column names, got ['id', 'time', 'id']"),
    ({"y": [[1, 2], [3, 4]]}, "expected 5 different column names"),
]


@pytest.mark.parametrize(("options", "message"), TO_FRAME_ERRORS)
def test_arguments_that_do_not_fit_a_frame_are_an_error(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        to_long_frame([np.zeros(2), np.zeros(3)], pd.DataFrame, **options)


def test_pandas_and_polars_are_not_imported():
    code = (
        "import sys, numpy as np, sklstm\n"
        "before = set(sys.modules)\n"
        "import sklstm.sequences as c\n"
        "c.to_long_frame([np.zeros(2)], dict)\n"
        "print([m for m in ('pandas', 'polars') if m in set(sys.modules) - before])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- channels first ---


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_channels_first_arrays_are_transposed_views(dtype, rng):
    X = rng.normal(size=rng.integers(1, 6, size=3)).astype(dtype)
    found = from_channels_first(X)
    assert np.shares_memory(found, X)
    n, channels, steps = X.shape
    assert found.shape == (n, steps, channels)
    i, c, t = (rng.integers(k) for k in X.shape)
    assert found[i, t, c] == X[i, c, t]
    back = to_channels_first(found)
    assert np.shares_memory(back, X)
    np.testing.assert_array_equal(back, X, strict=True)


@pytest.mark.parametrize("container", [list, tuple, objects])
def test_channels_first_lists_are_lists_of_views(container, rng):
    X = draw(rng, 3)
    found = to_channels_first(container(X))
    assert_same(found, [x.T for x in X])
    assert all(map(np.shares_memory, found, X))
    back = from_channels_first(container(found))
    assert_same(back, X)
    assert all(map(np.shares_memory, back, X))


def test_univariate_series_have_one_channel(rng):
    X = draw(rng, 0)
    assert_same(to_channels_first(X), [x[None] for x in X])
    assert_same(from_channels_first(X), [x[:, None] for x in X])
    table = rng.normal(size=(4, 6))
    np.testing.assert_array_equal(to_channels_first(table), table[:, None, :], strict=True)


def test_frames_of_channels(rng):
    X = draw(rng, 2)
    assert_same(from_channels_first([pd.DataFrame(x.T) for x in X]), X)
    assert_same(to_channels_first([pl.DataFrame(x) for x in X]), [x.T for x in X])


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 4, 2, 1)])
def test_channels_first_arrays_that_are_not_3d_are_an_error(shape):
    message = f"expected a 3-D array (n_sequences, n_channels, n_timesteps), got shape {shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        from_channels_first(np.zeros(shape))


# --- NaN padding ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_padding_round_trips(dtype, rng):
    X = draw(rng, 2, dtype)
    extra = rng.integers(3)
    longest = max(map(len, X)) + extra
    padded = to_nan_padded(X, longest) if extra else to_nan_padded(X)
    assert (padded.shape, padded.dtype) == ((len(X), longest, 2), dtype)
    assert np.isnan(padded).sum() == 2 * sum(longest - len(x) for x in X)
    found = from_nan_padded(padded)
    assert_same(found, X)
    assert all(np.shares_memory(x, padded) for x in found)
    assert_same([*check_sequences(padded)], X)


def test_nan_before_the_last_valid_step_is_not_padding():
    nan = np.nan
    X = np.array([[[nan, 1], [nan, nan], [2, nan], [nan, nan]], [[nan, nan]] * 3 + [[nan, 1]]])
    assert_same(from_nan_padded(X), [X[0, :3], X[1]])
    assert_same(from_nan_padded(X[:, :, 1]), [X[0, :1, 1:], X[1, :, 1:]])
    np.testing.assert_array_equal(from_nan_padded([[1, 2]])[0], [[1], [2]])


def test_numbers_of_any_kind_are_padded_as_floats(rng):
    padded = to_nan_padded([np.array([1, 2]), np.array([True]), np.array([1.5], dtype=object)])
    expected = np.array([[1, 2], [1, np.nan], [1.5, np.nan]])[:, :, None]
    np.testing.assert_array_equal(padded, expected, strict=True)
    mixed = [np.ones((2, 1), dtype=np.float32), np.ones((1, 1))]
    assert to_nan_padded(mixed).dtype == np.float64


PADDED_ERRORS = [
    (lambda: from_nan_padded(np.zeros(3)), "X: expected an array (n_sequences, n_timesteps, n_f"),
    (lambda: from_nan_padded([[1, 2], [np.nan] * 2]), "X[1]: expected at least one time step that"),
    (lambda: from_nan_padded(np.zeros((2, 0, 1))), "one feature, got shape (2, 0, 1)"),
    (lambda: to_nan_padded([np.zeros(2), np.zeros(5)], 3), "X[1]: expected at most 3 steps, got 5"),
    (
        lambda: to_nan_padded([np.zeros(2), np.array(["a"])]),
        "X[1]: expected numbers: could not convert string",
    ),
]


@pytest.mark.parametrize(("call", "message"), PADDED_ERRORS)
def test_arguments_of_nan_padding_that_do_not_fit_are_an_error(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


# --- concatenated steps ---


@pytest.mark.parametrize("n_features", [0, 1, 3])
def test_concatenated_sequences_round_trip(n_features, rng):
    X = draw(rng, n_features)
    stacked, lengths = to_concatenated(X)
    assert stacked.shape == (sum(map(len, X)), *X[0].shape[1:])
    assert lengths.tolist() == [len(x) for x in X]
    found = from_concatenated(stacked, lengths)
    assert_same(found, X)
    assert all(np.shares_memory(x, stacked) for x in found)
    assert_same(from_concatenated(stacked.tolist()), [stacked])


def test_arrays_are_concatenated_without_padding(rng):
    X = draw(rng, 2)
    stacked, lengths = to_concatenated(to_nan_padded(X, 10))
    np.testing.assert_array_equal(stacked, np.concatenate(X), strict=True)
    assert lengths.tolist() == [len(x) for x in X]
    table = rng.integers(5, size=(3, 4))
    stacked, lengths = to_concatenated(table)
    np.testing.assert_array_equal(stacked, table.ravel(), strict=True)
    assert lengths.tolist() == [4, 4, 4]


def test_labels_are_converted_like_features():
    labels = from_concatenated(["noun", "verb", "noun"], [1, 2])
    assert [y.tolist() for y in labels] == [["noun"], ["verb", "noun"]]
    assert to_concatenated(labels)[0].tolist() == ["noun", "verb", "noun"]


LENGTH_ERRORS = [
    ([2, 2], "lengths: expected a sum of 5, the rows of X, got 4"),
    ([5, 0], "lengths[1]: expected at least one time step, got 0"),
    ([6, -1], "lengths[1]: expected at least one time step, got -1"),
    ([2.0, 3.0], "lengths: expected integers of shape (n_sequences,), got [2.0, 3.0]"),
    (5, "lengths: expected integers of shape (n_sequences,), got 5"),
    ([[5]], "lengths: expected integers of shape (n_sequences,)"),
]


@pytest.mark.parametrize(("lengths", "message"), LENGTH_ERRORS)
def test_lengths_that_do_not_fit_are_an_error(lengths, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        from_concatenated(np.zeros((5, 2)), lengths)


LIST_ERRORS = [
    ([np.zeros((2, 3)), np.zeros((2, 4))], "X[1]: expected 3 feature(s) as in X[0], got 4 feature"),
    ([np.zeros((2, 3)), np.zeros(2)], "X[1]: expected 3 feature(s) as in X[0], got a 1-D sequence"),
    ([np.zeros((2, 3)), np.zeros((0, 3))], "X[1]: expected at least one time step, got shape (0, "),
    ([np.zeros((2, 3)), 5], "X[1]: expected one sequence of shape"),
    ([np.zeros((2, 3)), np.zeros((1, 2, 3))], "X[1]: expected one sequence of shape"),
    ([[[1, 2]], [[1], [2, 3]]], "X[1]: expected an array of regular shape"),
    ([], "X: expected at least one sequence, got none"),
    (None, "got None"),
    ("text", "got 'text'"),
]


@pytest.mark.parametrize(("X", "message"), LIST_ERRORS)
def test_error_messages_about_a_list_name_the_sequence(X, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        to_concatenated(X)


def test_different_numbers_of_channels_are_an_error():
    with pytest.raises(
        ValueError, match=re.escape("X[1]: expected 3 feature(s) as in X[0], got 2")
    ):
        from_channels_first([np.zeros((3, 5)), np.zeros((2, 5))])


def test_empty_channels_first_list_is_an_error():
    with pytest.raises(ValueError, match="X: expected at least one sequence, got none"):
        from_channels_first([])


# --- windows ---


def naive_windows(series, width, horizon, stride):
    """Inputs, targets, and the series and first step of each window, from a loop."""
    X, y, index = [], [], []
    for k, steps in enumerate(series):
        for start in range(0, len(steps), stride):
            if start + width + horizon <= len(steps):
                X.append(steps[start : start + width])
                y.append(steps[start + width : start + width + horizon])
                index.append([k, start])
    return np.array(X), np.array(y), np.array(index)


def draw_series(rng, width, horizon, n_features, n=4):
    lengths = width + horizon + rng.integers(0, 12, size=n)
    shapes = [(k, n_features) if n_features else (k,) for k in lengths]
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("n_features", [0, 1, 3])
@pytest.mark.parametrize("horizon", [1, 3])
def test_windows_equal_those_of_a_loop(horizon, n_features, rng):
    width, stride = rng.integers(1, 6, size=2)
    series = draw_series(rng, width, horizon, n_features)
    for given, each in ((series, series), (objects(series), series), (series[0], series[:1])):
        X, y, index = make_windows(given, width, horizon, stride, return_index=True)
        expected_X, expected_y, expected_index = naive_windows(each, width, horizon, stride)
        expected_X = expected_X.reshape(len(X), width, n_features or 1)
        expected_y = expected_y[:, 0] if horizon == 1 else expected_y
        if n_features == 1:
            expected_y = expected_y[..., 0]
        np.testing.assert_array_equal(X, expected_X, strict=True)
        np.testing.assert_array_equal(y, expected_y, strict=True)
        np.testing.assert_array_equal(index, expected_index, strict=True)
        assert len(make_windows(given, width, horizon, stride)) == 2


def test_windows_and_targets_lie_within_one_series(rng):
    width, horizon = rng.integers(1, 6, size=2)
    lengths = width + horizon + rng.integers(0, 9, size=6)
    series = [np.full(length, k) for k, length in enumerate(lengths)]
    X, y, index = make_windows(series, width, horizon, return_index=True)
    assert len(X) == (lengths - width - horizon + 1).sum()
    assert (X[:, :, 0] == index[:, :1]).all()
    assert (y.reshape(len(X), -1) == index[:, :1]).all()


def test_targets_are_the_steps_that_follow_a_window():
    X, y, index = make_windows(np.arange(20), 4, 2, 3, return_index=True)
    np.testing.assert_array_equal(y, X[:, -1] + [[1, 2]])
    np.testing.assert_array_equal(X[:, 0, 0], index[:, 1])
    assert index[:, 1].tolist() == [0, 3, 6, 9, 12]
    assert X.dtype == y.dtype == np.arange(1).dtype


@pytest.mark.parametrize("horizon", [1, 2])
def test_windows_of_one_series_are_read_only_views(horizon, rng):
    series = rng.normal(size=(30, 2))
    X, y = make_windows(series, 5, horizon, 2)
    assert np.shares_memory(X, series)
    assert np.shares_memory(y, series)
    assert not X.flags.writeable
    np.testing.assert_array_equal(check_sequences(X).values.reshape(X.shape), X)


@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.parametrize("kind", ["array", "pandas", "polars"])
def test_targets_may_be_some_of_the_columns(kind, horizon, rng):
    series = draw_series(rng, 3, horizon, 3)
    names = ["u", "v", "w"]
    given = {
        "array": list,
        "pandas": lambda parts: [pd.DataFrame(x, columns=names) for x in parts],
        "polars": lambda parts: [pl.DataFrame(x, schema=names) for x in parts],
    }[kind](series)
    X, y = make_windows(series, 3, horizon)
    for target in (0, 2, [2], [2, 0]):
        picked = target if kind == "array" else np.array(names)[target].tolist()
        found_X, found_y = make_windows(given, 3, horizon, target=picked)
        np.testing.assert_array_equal(found_X, X, strict=True)
        np.testing.assert_array_equal(found_y, y[..., target], strict=True)
        one_y = make_windows(given[0], 3, horizon, target=picked)[1]
        np.testing.assert_array_equal(one_y, found_y[: len(one_y)], strict=True)


def test_every_form_of_series(rng):
    series = rng.normal(size=(2, 9, 2))
    expected = make_windows(list(series), 3)
    forms = [series, series.tolist(), [x.tolist() for x in series], tuple(series)]
    padded = np.concatenate([series, np.full((2, 4, 2), np.nan)], axis=1)
    for form in (*forms, padded):
        for found, other in zip(make_windows(form, 3), expected, strict=True):
            np.testing.assert_array_equal(found, other, strict=True)
    one = make_windows(series[0], 3)
    for form in (series[0].tolist(), pd.DataFrame(series[0]), pl.DataFrame(series[0])):
        for found, other in zip(make_windows(form, 3), one, strict=True):
            np.testing.assert_array_equal(found, other, strict=True)
    line = make_windows(series[0, :, 0], 3)
    values = series[0, :, 0]
    for form in (values.tolist(), pd.Series(values), pl.Series(values), values.astype(object)):
        for found, other in zip(make_windows(form, 3), line, strict=True):
            np.testing.assert_array_equal(found, other, strict=True)
    ragged = make_windows([[1, 2, 3], [4, 5, 6, 7]], 2)[1]
    assert ragged.tolist() == [3, 6, 7]


WINDOW_ERRORS = [
    (
        [np.zeros(9), np.zeros(4)],
        {},
        "series[1]: expected at least width + horizon = 5 steps, got 4",
    ),
    (np.zeros(4), {}, "series: expected at least width + horizon = 5 steps, got 4"),
    (
        [np.zeros(9), np.zeros((9, 2))],
        {},
        "series[1]: expected 1 feature(s) as in series[0], got 2",
    ),
    (
        [np.zeros(9), np.array(["a"] * 9)],
        {},
        "series[1]: expected numbers: could not convert string",
    ),
    ([np.zeros(9), np.zeros((1, 9, 1))], {}, "series[1]: expected shape (n_timesteps,) or (n_"),
    (np.zeros((9, 0)), {}, "series: expected shape (n_timesteps,) or (n_timesteps, n_features)"),
    (5.0, {}, "series: expected shape (n_timesteps,) or (n_timesteps, n_features), got ()"),
    (np.zeros(9), {"width": 0}, "width: expected a positive integer, got 0"),
    (np.zeros(9), {"horizon": 1.5}, "horizon: expected a positive integer, got 1.5"),
    (np.zeros(9), {"stride": -1}, "stride: expected a positive integer, got -1"),
    (np.zeros((9, 2)), {"target": 2}, "target: expected columns among [0, 1], got 2"),
    (pd.DataFrame({"u": [0.0] * 9}), {"target": "v"}, "target: expected columns among ['u'], got"),
    (
        [pd.DataFrame(np.zeros((9, 2)), columns=[*names]) for names in ("uv", "vu")],
        {},
        "series[1]: expected the columns ['u', 'v'] as in series[0], got ['v', 'u']",
    ),
]


@pytest.mark.parametrize(("series", "options", "message"), WINDOW_ERRORS)
def test_error_messages_about_windows_name_the_series(series, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_windows(series, **({"width": 4} | options))
