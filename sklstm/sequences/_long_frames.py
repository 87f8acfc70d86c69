"""Convert sequences from and to data frames of pandas or polars with one row per time step.

Neither library is imported. A frame is any object with ``columns`` that can be converted to arrays.

Shapes: ``n`` sequences, ``S`` rows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, SupportsFloat, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklstm.sequences._containers import column_names, is_frame, is_sequence, open_container
from sklstm.sequences._ragged import (
    as_columns,
    as_list,
    as_sequences,
    check_count,
    check_lengths,
    concatenated,
)

Array = NDArray[Any]
Frame = TypeVar("Frame")


def from_long_frame(
    frame: Any,
    *,
    id: Hashable = "id",
    time: Hashable | None = "time",
    features: Hashable | Sequence[Hashable] | None = None,
    target: Hashable | Sequence[Hashable] | None = None,
    per_step: bool = False,
    return_times: bool = False,
) -> tuple[Any, ...]:
    """Convert a data frame with one row per time step to sequences.

    The sequences are in the order in which their ids first appear in the frame. The rows of each
    sequence are sorted by time; they need not be adjacent in the frame.

    Parameters
    ----------
    frame : pandas.DataFrame or polars.DataFrame
        A frame with one row per time step. Named levels of the index of a pandas frame can be used
        like columns.
    id : column name, default="id"
        The column that identifies the sequence of each row.
    time : column name or None, default="time"
        The column by which the rows of a sequence are sorted: numbers, dates or other values that
        can be sorted. If None, the rows keep their order.
    features : column name or list of column names, default=None
        Numeric columns. If None, all columns without another role. Missing values become NaN.
    target : column name or list of column names, default=None
        Columns to return as targets.
    per_step : bool, default=False
        Whether each time step has its own target. If False, each sequence has one target, which
        must be the same in all its rows.
    return_times : bool, default=False
        Whether to return the sorted times, in the form that `to_long_frame` takes.

    Returns
    -------
    X : list of ndarray of shape (n_timesteps_i, n_features)
        The dtype is float32 if all features are float32, and float64 otherwise.
    ids : ndarray of shape (n_sequences,)
        The id of each sequence.
    y : ndarray of shape (n_sequences[, n_targets]) or list of (n_timesteps_i[, n_targets])
        One target for each sequence, or a list with one target for each step. There is an axis for
        the targets if ``target`` is a list. Only returned if ``target`` is not None.
    times : list of ndarray of shape (n_timesteps_i,)
        The sorted times. Only returned if ``return_times`` is True.

    Raises
    ------
    ValueError
        If a column does not exist, if a feature is not numeric, if a row has no id or no time, if
        a time occurs twice in one sequence, or if a target differs within a sequence and
        ``per_step`` is False. The message names the column or the id.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklstm.sequences import from_long_frame
    >>> frame = pd.DataFrame(
    ...     {"id": ["b", "a", "b"], "time": [2, 1, 1], "x": [3.0, 5.0, 4.0], "y": [1, 0, 1]}
    ... )
    >>> X, ids, y = from_long_frame(frame, target="y")
    >>> ids.tolist(), y.tolist(), [x.tolist() for x in X]
    (['b', 'a'], [1, 0], [[[4.0], [3.0]], [[5.0]]])
    """
    frame = _with_index_levels(frame, [id, time, *listed(features), *listed(target)])
    names, targets = names_in(frame), listed(target)
    taken = {id, time, *targets}
    inputs = [name for name in names if name not in taken] if features is None else listed(features)
    if not inputs or (time is None and return_times):
        what = "a time column to return times from" if inputs else "at least one feature column"
        raise ValueError(f"frame: expected {what}, got the columns {names}")
    groups = _sorted_groups(frame, id, time)
    found: list[Any] = [groups.split(numeric_columns(frame, inputs)), groups.ids]
    if targets:
        columns = [_values(frame, name) for name in targets]
        if not per_step:
            for name in targets:
                _check_constant(frame, name, groups)
        y = np.column_stack(columns) if _is_several(target) else columns[0]
        found.append(groups.split(y) if per_step else y[groups.order[groups.starts]])
    if time is not None and return_times:
        found.append(groups.split(_values(frame, time)))
    return tuple(found)


def to_long_frame(
    X: Any,
    frame_type: Callable[[dict[Any, Array]], Frame],
    *,
    ids: ArrayLike | None = None,
    times: Any = None,
    y: Any = None,
    per_step: bool = False,
    id: Hashable = "id",
    time: Hashable = "time",
    features: Hashable | Sequence[Hashable] | None = None,
    target: Hashable | Sequence[Hashable] = "target",
) -> Frame:
    """Convert sequences to a data frame with one row per time step.

    This is the inverse of `from_long_frame`.

    Parameters
    ----------
    X : array, or list of arrays of shape (n_timesteps_i[, n_features])
        Sequences in any form that the estimators take, or predictions for each time step.
    frame_type : callable
        Makes the frame from a dict of columns: ``pandas.DataFrame``, ``polars.DataFrame``, or
        ``dict`` to get the columns themselves.
    ids : array-like of shape (n_sequences,), default=None
        The id of each sequence. If None, 0, 1, 2 and so on.
    times : list of array-like of shape (n_timesteps_i,), default=None
        The times of each sequence. If None, 0, 1, 2 and so on in each sequence.
    y : array-like, default=None
        One target for each sequence, of shape (n_sequences[, n_targets]), which is repeated in all
        its rows. If ``per_step`` is True, one target for each step, as a list or an array.
    per_step : bool, default=False
        Whether ``y`` holds one target for each time step.
    id, time : column name
        Names of the first two columns.
    features : column name or list of column names, default=None
        Names of the features. If None, the columns of the frames in ``X``, or "feature_0",
        "feature_1" and so on.
    target : column name or list of column names, default="target"
        One name for each column of ``y``.

    Returns
    -------
    frame
        A frame with the columns id, time, features and targets, and the rows in the order of ``X``.

    Raises
    ------
    ValueError
        If lengths do not match (the message names the sequence), or if the number of names is
        wrong or a name is used twice.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from sklstm.sequences import to_long_frame
    >>> predicted = [np.array([0.5, 0.25]), np.array([0.75])]
    >>> frame = to_long_frame(predicted, pl.DataFrame, ids=["a", "b"], features="risk")
    >>> frame.rows()
    [('a', 0, 0.5), ('a', 1, 0.25), ('b', 0, 0.75)]
    """
    parts = [as_columns(part) for part in as_sequences(X)]
    lengths = np.array([len(part) for part in parts])
    ids = np.arange(len(parts)) if ids is None else np.asarray(ids)
    check_count(ids, len(parts), "ids")
    steps = [np.arange(k) for k in lengths] if times is None else as_list(times, "times")
    check_lengths(steps, parts, "times", "X")
    values = concatenated(parts)
    names = feature_names(X, values.shape[1]) if features is None else listed(features)
    columns = [np.repeat(ids, lengths), np.concatenate(steps), *values.T]
    labels: list[Hashable] = [id, time, *names]
    if y is not None:
        columns += list(as_columns(_stacked_targets(y, parts, per_step)).T)
        labels += listed(target)
    if len(labels) != len(columns) or len(set(labels)) != len(labels):
        raise ValueError(f"expected {len(columns)} different column names, got {labels}")
    return frame_type(dict(zip(labels, columns, strict=True)))


# --- columns of a frame ---


def names_in(frame: Any, argument: str = "frame") -> list[Hashable]:
    """The names of the columns; errors name the argument."""
    if not (hasattr(frame, "to_numpy") and hasattr(frame, "columns")):
        raise ValueError(
            f"{argument}: expected a pandas or polars data frame, got {type(frame).__name__}"
        )
    if not len(frame):
        raise ValueError(f"{argument}: expected at least one row, got none")
    return list(frame.columns)


def _with_index_levels(frame: Any, wanted: list[Hashable]) -> Any:
    """The frame, with those levels of its index as columns that are wanted and not a column."""
    needed = [name for name in _levels(frame) if name in wanted and name not in list(frame.columns)]
    return frame.reset_index(level=needed) if needed else frame


def _levels(frame: Any) -> list[Hashable]:
    """The names of the levels of the index."""
    names = getattr(getattr(frame, "index", None), "names", [])
    return [name for name in names if name is not None]


def _is_several(names: Any) -> bool:
    """Whether these are several names. A tuple is one name, of a column with several levels."""
    return is_sequence(names) and not isinstance(names, tuple)


def listed(names: Any) -> list[Hashable]:
    if names is None:
        return []
    return list(names) if _is_several(names) else [names]


def column_of(frame: Any, name: Hashable, argument: str = "frame") -> Any:
    """The column with this name; errors name the argument."""
    names = list(frame.columns)
    if names.count(name) != 1:
        what = "no column" if name not in names else "more than one column"
        levels = [level for level in _levels(frame) if level not in names]
        index = f", and the levels of the index {levels}" if levels else ""
        raise ValueError(f"{argument}: there is {what} {name!r}, the columns are {names}{index}")
    return frame[name]


def _nulls(column: Any) -> NDArray[np.bool_]:
    """Return which values of a column are missing; NaN counts as missing."""
    nulls = np.array(column.isna() if hasattr(column, "isna") else column.is_null())
    values = column.to_numpy()
    return nulls | (values != values) if values.dtype.kind == "f" else nulls


def _values(frame: Any, name: Hashable) -> Array:
    """Return a column as an array (S,); a nullable dtype becomes a NumPy dtype if possible."""
    column = column_of(frame, name)
    dtype = getattr(column.dtype, "numpy_dtype", None)
    if dtype is not None and not column.isna().any():
        return column.to_numpy(dtype=dtype)
    return column.to_numpy()


def numeric_columns(frame: Any, names: list[Hashable]) -> NDArray[np.floating]:
    columns = [_numeric(frame, name) for name in names]
    single = all(column.dtype == np.float32 for column in columns)
    matrix = np.empty((len(columns[0]), len(columns)), np.float32 if single else np.float64)
    for k, column in enumerate(columns):
        matrix[:, k] = column
    return matrix


def _numeric(frame: Any, name: Hashable) -> Array:
    """Return a column as numbers (S,), with NaN for missing values."""
    values = _values(frame, name)
    if values.dtype.kind == "O":
        present = ~_nulls(column_of(frame, name))
        if all(isinstance(value, SupportsFloat) for value in values[present]):
            numbers = np.full(len(values), np.nan)
            numbers[present] = values[present]
            return numbers
    if values.dtype.kind not in "fiub":
        raise ValueError(
            f"frame: expected numbers in the feature column {name!r}, got {frame[name].dtype}"
        )
    return values


# --- sequences in a frame ---


class _Groups(NamedTuple):
    """Rows sorted by sequence, then time."""

    order: NDArray[np.intp]  # (S,), the sorted rows of the frame
    starts: NDArray[np.intp]  # (n,), the position in ``order`` at which each sequence starts
    ids: Array  # (n,)
    name: Hashable  # of the column of ids

    def split(self, rows: Array) -> list[Array]:
        """Return the rows of the frame as one array for each sequence."""
        return np.split(rows[self.order], self.starts[1:])

    def describe(self, position: int) -> str:
        """Return the name and value of the id at a position in ``order``, for error messages."""
        return f"{self.name} {self.ids[np.searchsorted(self.starts, position, side='right') - 1]}"


def _sorted_groups(frame: Any, id: Hashable, time: Hashable | None) -> _Groups:
    ids = _values(frame, id)
    _check_present(frame, id, lambda row: f"row {row} of the frame has no {id!r}")
    codes = _codes(ids)
    order = np.arange(len(ids))
    if time is not None:
        _check_present(frame, time, lambda row: f"{id} {ids[row]}: a row has no {time!r}")
        order = _by_time(_values(frame, time), time)
    order = order[np.argsort(codes[order], kind="stable")]
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    groups = _Groups(order, starts, ids[order[starts]], id)
    if time is not None:
        _check_each_time_once(_values(frame, time)[order], time, groups)
    return groups


def _check_each_time_once(times: Array, name: Hashable, groups: _Groups) -> None:
    repeated = np.append(False, times[1:] == times[:-1])
    repeated[groups.starts] = False
    if repeated.any():
        position = int(np.argmax(repeated))
        raise ValueError(
            f"{groups.describe(position)}: expected each {name!r} once, got {times[position]} more "
            "than once"
        )


def _check_present(frame: Any, name: Hashable, message: Callable[[int], str]) -> None:
    nulls = _nulls(column_of(frame, name))
    if nulls.any():
        raise ValueError(message(int(np.argmax(nulls))))


def _codes(ids: Array) -> NDArray[np.intp]:
    """Return a number for each id (S,): 0, 1, 2 and so on in the order of first appearance."""
    if ids.dtype.kind == "O":
        seen: dict[Any, int] = {}
        return np.array([seen.setdefault(value, len(seen)) for value in ids], dtype=np.intp)
    _, first, codes = np.unique(ids, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[codes]


def _by_time(times: Array, name: Hashable) -> NDArray[np.intp]:
    try:
        return np.argsort(times, kind="stable")
    except TypeError as error:
        raise ValueError(
            f"frame: expected times that can be sorted in {name!r}: {error}"
        ) from error


def _check_constant(frame: Any, name: Hashable, groups: _Groups) -> None:
    """Raise if a target differs within a sequence; missing targets are equal to each other."""
    values = _values(frame, name)[groups.order]
    nulls = _nulls(column_of(frame, name))[groups.order]
    lengths = np.diff(groups.starts, append=len(values))
    first = np.repeat(values[groups.starts], lengths)
    differs = nulls != np.repeat(nulls[groups.starts], lengths)
    present = ~nulls & ~differs
    differs[present] = values[present] != first[present]
    if differs.any():
        position = int(np.argmax(differs))
        raise ValueError(
            f"{groups.describe(position)}: expected one {name!r} for the whole sequence, got "
            f"{first[position]} and {values[position]}; per_step=True allows one for each step"
        )


# --- sequences to a frame ---


def feature_names(X: Any, n_features: int) -> list[Hashable]:
    X = open_container(X)
    if isinstance(X, list | tuple) and is_frame(X[0]):
        return column_names(X[0])
    return [f"feature_{k}" for k in range(n_features)]


def _stacked_targets(y: Any, parts: list[Array], per_step: bool) -> Array:
    """Return a target for each row, of shape (S,) or (S, n_targets)."""
    if per_step:
        steps = as_list(y, "y")
        check_lengths(steps, parts, "y", "X")
        return np.concatenate(steps)
    y = np.asarray(y)
    check_count(y, len(parts), "y")
    return np.repeat(y, [len(part) for part in parts], axis=0)
