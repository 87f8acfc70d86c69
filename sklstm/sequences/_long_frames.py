"""Data frames with one row a time step, to sequences and back; pandas and polars alike.

Neither is imported: a frame is whatever has ``columns``, and columns that turn into arrays.

Shapes: ``n`` sequences, ``S`` rows, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, SupportsFloat, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklstm.sequences._ragged import (
    as_columns,
    as_list,
    as_sequences,
    check_count,
    check_lengths,
)
from sklstm.sequences._reading import is_sequence

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
    """Read sequences from a data frame with one row a time step.

    Sequences come in the order in which their ids first appear; the rows of each are sorted by
    time, wherever in the frame they stand.

    Parameters
    ----------
    frame : pandas.DataFrame or polars.DataFrame
        The table, with a column that names the sequence each row belongs to.
    id : column name, default="id"
        Which sequence a row belongs to.
    time : column name or None, default="time"
        What the rows of a sequence are sorted by: numbers, dates, or anything else that can be
        sorted. None leaves them in the order of the frame.
    features : column name or list of them, optional
        Numeric columns; all that have no other role by default. Missing values become NaN.
    target : column name or list of them, optional
        Targets to return beside the features.
    per_step : bool, default=False
        Whether a target belongs to each step. Otherwise it belongs to the sequence, and has to be
        the same in all of its rows.
    return_times : bool, default=False
        Return the sorted times too, as `to_long_frame` takes them.

    Returns
    -------
    X : list of ndarray of shape (n_timesteps_i, n_features)
        Float32 where all features are, else float64.
    ids : ndarray of shape (n_sequences,)
        The id of each sequence.
    y : ndarray of shape (n_sequences[, n_targets]) or list of (n_timesteps_i[, n_targets])
        Only with ``target``: one target a sequence, or a list with one a step. The last axis is
        there where ``target`` is a list.
    times : list of ndarray of shape (n_timesteps_i,)
        Only with ``return_times``.

    Raises
    ------
    ValueError
        If a column is missing or not numeric, a row has no id or no time, a time occurs twice in
        one sequence, or a target that should be constant is not. The message names the id.

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
    names, targets = _names_in(frame), _listed(target)
    taken = {id, time, *targets}
    inputs = (
        [name for name in names if name not in taken] if features is None else _listed(features)
    )
    if not inputs or (time is None and return_times):
        what = "a time column to return times from" if inputs else "at least one feature column"
        raise ValueError(f"frame: expected {what}, got the columns {names}")
    groups = _sorted_groups(frame, id, time)
    found: list[Any] = [groups.split(_numeric_columns(frame, inputs)), groups.ids]
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
    """Write sequences to a data frame, one row a time step: the way back from `from_long_frame`.

    Parameters
    ----------
    X : array, or list of arrays of shape (n_timesteps_i[, n_features])
        Sequences in any form that the estimators take, or what they predict for each step.
    frame_type : callable
        What makes a frame of a dict of columns: ``pandas.DataFrame``, ``polars.DataFrame``, or
        ``dict`` for the columns themselves.
    ids : array-like of shape (n_sequences,), optional
        By default 0, 1, 2, and so on.
    times : list of array-like of shape (n_timesteps_i,), optional
        By default each sequence counts its steps from 0.
    y : array-like, optional
        One target a sequence (n_sequences[, n_targets]), repeated in all of its rows; or with
        ``per_step`` one a step, in the form of a list or an array.
    per_step : bool, default=False
        Whether ``y`` holds a target for each step.
    id, time : column name
        What the first two columns are called.
    features : column name or list of them, optional
        By default those of the frames in ``X``, or "feature_0", "feature_1", and so on.
    target : column name or list of them, default="target"
        One name for each column of ``y``.

    Returns
    -------
    frame
        The columns id, time, features and targets, in the order of ``X``.

    Raises
    ------
    ValueError
        If lengths do not match (the message names the sequence), or names are too few, too many
        or used twice.

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
    values = np.concatenate(parts)
    names = _feature_names(X, values.shape[1]) if features is None else _listed(features)
    columns = [np.repeat(ids, lengths), np.concatenate(steps), *values.T]
    labels: list[Hashable] = [id, time, *names]
    if y is not None:
        columns += list(as_columns(_stacked_targets(y, parts, per_step)).T)
        labels += _listed(target)
    if len(labels) != len(columns) or len(set(labels)) != len(labels):
        raise ValueError(f"expected {len(columns)} different column names, got {labels}")
    return frame_type(dict(zip(labels, columns, strict=True)))


# --- columns of a frame ---


def _names_in(frame: Any) -> list[Hashable]:
    if not (hasattr(frame, "to_numpy") and hasattr(frame, "columns")):
        raise ValueError(
            f"frame: expected a pandas or polars data frame, got {type(frame).__name__}"
        )
    if not len(frame):
        raise ValueError("frame: expected at least one row, got none")
    return list(frame.columns)


def _is_several(names: Any) -> bool:
    """Whether these are several names. A tuple is one name, of a column with several levels."""
    return is_sequence(names) and not isinstance(names, tuple)


def _listed(names: Any) -> list[Hashable]:
    if names is None:
        return []
    return list(names) if _is_several(names) else [names]


def _column(frame: Any, name: Hashable) -> Any:
    names = list(frame.columns)
    if names.count(name) != 1:
        what = "no column" if name not in names else "more than one column"
        raise ValueError(f"frame: there is {what} {name!r}, the columns are {names}")
    return frame[name]


def _nulls(column: Any) -> NDArray[np.bool_]:
    """Which entries of a column are missing, NaN among them."""
    nulls = np.array(column.isna() if hasattr(column, "isna") else column.is_null())
    values = column.to_numpy()
    return nulls | (values != values) if values.dtype.kind == "f" else nulls


def _values(frame: Any, name: Hashable) -> Array:
    """A column as an array (S,), with the dtype behind a nullable one where nothing is missing."""
    column = _column(frame, name)
    dtype = getattr(column.dtype, "numpy_dtype", None)
    if dtype is not None and not column.isna().any():
        return column.to_numpy(dtype=dtype)
    return column.to_numpy()


def _numeric_columns(frame: Any, names: list[Hashable]) -> NDArray[np.floating]:
    columns = [_numeric(frame, name) for name in names]
    single = all(column.dtype == np.float32 for column in columns)
    matrix = np.empty((len(columns[0]), len(columns)), np.float32 if single else np.float64)
    for k, column in enumerate(columns):
        matrix[:, k] = column
    return matrix


def _numeric(frame: Any, name: Hashable) -> Array:
    """Numbers (S,), NaN where they are missing."""
    values = _values(frame, name)
    if values.dtype.kind == "O":
        there = ~_nulls(_column(frame, name))
        wrong = [value for value in values[there] if not isinstance(value, SupportsFloat)]
        if not wrong:
            numbers = np.full(len(values), np.nan)
            numbers[there] = values[there]
            return numbers
    if values.dtype.kind not in "fiub":
        raise ValueError(
            f"frame: expected numbers in the feature column {name!r}, got {frame[name].dtype}"
        )
    return values


# --- sequences in a frame ---


class _Groups(NamedTuple):
    """Rows sorted by sequence, then time."""

    order: NDArray[np.intp]  # (S,) rows of the frame
    starts: NDArray[np.intp]  # (n,) where in that order each sequence begins
    ids: Array  # (n,)
    name: Hashable  # of the column of ids

    def split(self, rows: Array) -> list[Array]:
        """Rows of the frame, sequence by sequence."""
        return np.split(rows[self.order], self.starts[1:])

    def at(self, place: int) -> str:
        """What messages call the sequence at a place in the order."""
        return f"{self.name} {self.ids[np.searchsorted(self.starts, place, side='right') - 1]}"


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
    again = np.append(False, times[1:] == times[:-1])
    again[groups.starts] = False
    if again.any():
        place = int(np.argmax(again))
        raise ValueError(
            f"{groups.at(place)}: expected each {name!r} once, got {times[place]} more than once"
        )


def _check_present(frame: Any, name: Hashable, message: Callable[[int], str]) -> None:
    nulls = _nulls(_column(frame, name))
    if nulls.any():
        raise ValueError(message(int(np.argmax(nulls))))


def _codes(ids: Array) -> NDArray[np.intp]:
    """0, 1, 2, and so on in the order in which ids first appear, shape (S,)."""
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
    """One target in all rows of a sequence; missing ones are equal to each other."""
    values = _values(frame, name)[groups.order]
    nulls = _nulls(_column(frame, name))[groups.order]
    lengths = np.diff(groups.starts, append=len(values))
    first = np.repeat(values[groups.starts], lengths)
    differs = nulls != np.repeat(nulls[groups.starts], lengths)
    there = ~nulls & ~differs
    differs[there] = values[there] != first[there]
    if differs.any():
        place = int(np.argmax(differs))
        raise ValueError(
            f"{groups.at(place)}: expected one {name!r} for the whole sequence, got "
            f"{first[place]} and {values[place]}; per_step=True takes one a step"
        )


# --- sequences to a frame ---


def _feature_names(X: Any, n_features: int) -> list[Hashable]:
    if isinstance(X, list | tuple) and hasattr(X[0], "columns"):
        return list(X[0].columns)
    return [f"feature_{k}" for k in range(n_features)]


def _stacked_targets(y: Any, parts: list[Array], per_step: bool) -> Array:
    """A target for each row, (S,) or (S, n_targets)."""
    if per_step:
        steps = as_list(y, "y")
        check_lengths(steps, parts, "y", "X")
        return np.concatenate(steps)
    y = np.asarray(y)
    check_count(y, len(parts), "y")
    return np.repeat(y, [len(part) for part in parts], axis=0)
