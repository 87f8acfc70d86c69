"""Frames whose cells are series, and index levels of long frames."""

import re
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklstm.sequences import from_long_frame, from_nested_frame, to_nested_frame

FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


@pytest.fixture(params=FRAMES)
def frame_type(request):
    return FRAMES[request.param]


def draw(rng, n=5, n_features=2, dtype=np.float64):
    return [rng.normal(size=(length, n_features)).astype(dtype) for length in rng.integers(1, 7, n)]


def assert_same(found, expected):
    assert isinstance(found, list)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


# --- nested frames ---


@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nested_frames_round_trip(n_features, dtype, frame_type, rng):
    X = draw(rng, n_features=n_features, dtype=dtype)
    frame = to_nested_frame(X, frame_type)
    assert type(frame) is frame_type
    assert list(frame.columns) == [f"feature_{k}" for k in range(n_features)]
    assert len(frame) == 5
    assert_same(from_nested_frame(frame), X)


@pytest.mark.parametrize("equal", [True, False])
def test_cells_of_pandas_are_series_as_in_sktime(equal, rng):
    X = list(rng.normal(size=(4, 3, 2))) if equal else draw(rng, 4)
    frame = to_nested_frame(X, pd.DataFrame, features=["u", "v"])
    assert frame.shape == (4, 2)
    for k, x in enumerate(X):
        for channel, name in enumerate(["u", "v"]):
            cell = frame.loc[k, name]
            assert isinstance(cell, pd.Series)
            np.testing.assert_array_equal(cell, x[:, channel])
    assert_same(from_nested_frame(frame, features="v"), [x[:, 1:] for x in X])
    assert_same(from_nested_frame(frame, features=["v", "u"]), [x[:, ::-1] for x in X])


def test_every_form_of_x(rng):
    X = draw(rng)
    padded = np.full((5, 7, 2), np.nan)
    for k, x in enumerate(X):
        padded[k, : len(x)] = x
    frames = [pd.DataFrame(x, columns=["u", "v"]) for x in X]
    for form in (padded, tuple(X), frames):
        assert_same(from_nested_frame(to_nested_frame(form, pd.DataFrame)), X)
    assert list(to_nested_frame(frames, dict)) == ["u", "v"]
    assert to_nested_frame(X, partial(dict, v=1)).keys() == {"feature_0", "feature_1", "v"}
    assert to_nested_frame([np.arange(2)], dict)["feature_0"][0].tolist() == [0, 1]


CELLS = {
    "series": lambda x: pd.Series(x[:, 0], index=pd.date_range("2020", periods=len(x))),
    "nullable series": lambda x: pd.Series(x[:, 0]).astype("Float64"),
    "arrays": lambda x: x[:, 0],
    "lists": lambda x: x[:, 0].tolist(),
    "integers": lambda x: (x[:, 0] * 10).astype(int),
    "objects": lambda x: x[:, 0].astype(object),
    "columns": lambda x: x,
    "frames": lambda x: pd.DataFrame(x),
    "nested lists": lambda x: x.tolist(),
    "polars series": lambda x: pl.Series(x[:, 0]),
}


@pytest.mark.parametrize("kind", CELLS)
def test_cells_of_any_kind(kind, rng):
    X = draw(rng)
    cells = np.empty(5, dtype=object)
    for k, x in enumerate(X):
        cells[k] = CELLS[kind](x)
    found = from_nested_frame(pd.DataFrame({"a": cells}))
    for one, x in zip(found, X, strict=True):
        if kind in ("columns", "frames", "nested lists"):
            np.testing.assert_array_equal(one, x)
        else:
            expected = (x[:, 0] * 10).astype(int) if kind == "integers" else x[:, 0]
            np.testing.assert_array_equal(one, expected[:, None])
        assert one.dtype == np.float64


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], pl.List(pl.Float64)),
        ([[1.0, 2.0], [3.0, 4.0]], pl.Array(pl.Float64, 2)),
        ([[[1.0], [2.0]], [[3.0], [4.0]]], pl.List(pl.List(pl.Float64))),
        ([[[1.0], [2.0]], [[3.0], [4.0]]], pl.Array(pl.Float64, (2, 1))),
        ([np.array([1.0, 2.0]), np.array([3.0, 4.0])], pl.Object),
    ],
    ids=str,
)
def test_columns_of_polars(cells, dtype):
    frame = pl.DataFrame({"a": pl.Series(cells, dtype=dtype)})
    assert_same(from_nested_frame(frame), [np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]])])


def test_missing_values_become_nan(frame_type):
    (found,) = from_nested_frame(frame_type({"a": [[1.0, None, 3.0]]}))
    np.testing.assert_array_equal(found, [[1.0], [np.nan], [3.0]])
    frame = pd.DataFrame({"a": [pd.Series([1, None], dtype="Int64"), pd.Series([2], dtype="Int8")]})
    assert_same(from_nested_frame(frame), [np.array([[1.0], [np.nan]]), np.array([[2.0]])])


NESTED_ERRORS = [
    (
        {"a": [[1.0], [2.0]], "b": [[1.0], [2.0, 3.0]]},
        {},
        "frame['b'][1]: expected 1 step(s) as in the same row of 'a', got 2",
    ),
    ({"a": [[1.0], []]}, {}, "frame['a'][1]: expected a series of at least one time step"),
    ({"a": [[1.0], None]}, {}, "frame['a'][1]: expected a series of numbers, got"),
    ({"a": [1.0, 2.0]}, {}, "frame['a'][0]: expected a series of numbers, got float"),
    ({"a": [["x"], ["y"]]}, {}, "frame['a'][0]: expected numbers"),
    ({"a": [[[1.0], [2.0]], [[1.0, 2.0]]]}, {}, "frame['a'][1]: expected 1 channel(s) as in"),
    ({"a": [[[1.0], [2.0, 3.0]]]}, {}, "frame['a'][0]: expected an array of regular shape"),
    ({"a": [[1.0]]}, {"features": "b"}, "there is no column 'b'"),
    ({"a": [[1.0]]}, {"features": []}, "features: expected at least one column"),
    ({"a": []}, {}, "expected at least one row, got none"),
]


@pytest.mark.parametrize(("columns", "options", "message"), NESTED_ERRORS)
def test_malformed_nested_frames(columns, options, message, frame_type):
    with pytest.raises(ValueError, match=re.escape(message)):
        from_nested_frame(frame_type(columns), **options)


def test_other_tables_are_an_error(rng):
    for wrong in ([[1.0]], {"a": [[1.0]]}, np.zeros((2, 2))):
        with pytest.raises(ValueError, match="expected a pandas or polars data frame, got"):
            from_nested_frame(wrong)
    for names in ("a", ["a", "a"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="features: expected 2 different column names"):
            to_nested_frame(draw(rng), pd.DataFrame, features=names)


# --- index levels of long frames ---


@pytest.fixture
def long(rng):
    lengths = rng.integers(1, 5, 6)
    ids = np.repeat([*"fbdace"], lengths)
    times = np.concatenate([np.arange(k) for k in lengths])
    columns = {"id": ids, "time": times, "u": rng.normal(size=len(ids)), "v": times * 2.0}
    return pd.DataFrame(columns | {"y": np.repeat(rng.integers(3, size=6), lengths)}).sample(
        frac=1, random_state=int(rng.integers(100))
    )


ROLES = [["id"], ["time"], ["id", "time"], ["time", "y"], ["id", "time", "v", "y"], ["u"]]


@pytest.mark.parametrize("levels", ROLES, ids="-".join)
def test_index_levels_serve_as_columns(levels, long):
    options = {"features": ["u", "v"], "target": "y", "return_times": True}
    expected = from_long_frame(long, **options)
    indexed = long.set_index(levels)
    before = indexed.copy()
    for found, part in zip(from_long_frame(indexed, **options), expected, strict=True):
        for one, other in zip(found, part, strict=True):
            np.testing.assert_array_equal(one, other)
    pd.testing.assert_frame_equal(indexed, before)


def test_other_index_levels_are_no_features(long):
    expected = from_long_frame(long.drop(columns="u"))[0]
    assert_same(from_long_frame(long.set_index(["u", "id", "time"]))[0], expected)


def test_the_column_counts_if_a_level_has_the_same_name(long):
    indexed = long.set_index(pd.Index(np.zeros(len(long)), name="id"))
    assert from_long_frame(indexed)[1].tolist() == from_long_frame(long)[1].tolist()


def test_levels_of_sktime(long):
    multi = long.rename(columns={"id": "instances", "time": "timepoints"})
    multi = multi.set_index(["instances", "timepoints"]).sort_index()
    X, ids = from_long_frame(multi, id="instances", time="timepoints", features=["u", "v"])
    assert ids.tolist() == [*"abcdef"]
    for x, key in zip(X, ids, strict=True):
        np.testing.assert_array_equal(x, multi.loc[key, ["u", "v"]])


def test_a_name_that_is_neither_column_nor_level(long):
    indexed = long.set_index(["id", "time"])
    message = "there is no column 'patient', the columns are .*, and the levels of the index"
    with pytest.raises(ValueError, match=message + r" \['id'\]$"):
        from_long_frame(indexed, id="patient")
    with pytest.raises(ValueError, match=r"there is no column 'time', the columns are .*'y'\]$"):
        from_long_frame(long.drop(columns="time"))
