"""Convert sequences from and to data frames whose cells are series.

Neither pandas nor polars is imported. A frame is any object with ``columns`` that can be converted
to arrays.

Shapes: ``T_i`` time steps of the i-th row, ``D`` channels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sklstm.sequences._containers import is_sequence, read_numbers
from sklstm.sequences._long_frames import column_of, feature_names, listed, names_in
from sklstm.sequences._ragged import as_columns, as_sequences

Array = NDArray[Any]
Frame = TypeVar("Frame")


def from_nested_frame(
    frame: Any, *, features: Hashable | Sequence[Hashable] | None = None
) -> list[NDArray[np.floating]]:
    """Convert a data frame whose cells are series to sequences.

    Each row is a sequence, and each column a channel. sktime calls this format ``nested_univ``.

    Parameters
    ----------
    frame : pandas.DataFrame or polars.DataFrame
        Its cells are pandas series, arrays, or lists. The cells of a row have equal lengths. A cell
        may also be a 2-D array or a frame, whose columns are channels. The index of a cell is
        ignored.
    features : column name or list of column names, default=None
        The columns to convert. If None, all columns.

    Returns
    -------
    list of ndarray of shape (n_timesteps_i, n_features)
        Missing values are NaN. The dtype is float32 if all cells are float32, and float64
        otherwise.

    Raises
    ------
    ValueError
        If a column does not exist, if a cell holds no numbers, if a row has cells of different
        lengths, or if rows differ in their channels. The message names the row and the column.

    See Also
    --------
    sklstm.preprocessing.AppendStatic : Also reads columns with one number or word in each row.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklstm.sequences import from_nested_frame
    >>> frame = pd.DataFrame(
    ...     {
    ...         "pulse": [pd.Series([80.0, 81.0]), pd.Series([64.0])],
    ...         "oxygen": [pd.Series([98.0, 97.0]), pd.Series([99.0])],
    ...     }
    ... )
    >>> from_nested_frame(frame)
    [array([[80., 98.],
           [81., 97.]]), array([[64., 99.]])]
    """
    names = names_in(frame) if features is None else listed(features)
    if not names:
        raise ValueError("features: expected at least one column, got none")
    parts = [series_in(frame, name) for name in names]
    return beside_each_other(parts, names)


def to_nested_frame(
    X: Any,
    frame_type: Callable[[dict[Any, Any]], Frame],
    *,
    features: Hashable | Sequence[Hashable] | None = None,
) -> Frame:
    """Convert sequences to a data frame whose cells are series.

    This is the inverse of `from_nested_frame`.

    Parameters
    ----------
    X : array, or list of arrays of shape (n_timesteps_i[, n_features])
        Sequences in any form that the estimators take.
    frame_type : callable
        Makes the frame from a dict of columns: ``pandas.DataFrame``, ``polars.DataFrame``, or
        ``dict`` to get the columns themselves.
    features : column name or list of column names, default=None
        Names of the channels. If None, the columns of the frames in ``X``, or "feature_0",
        "feature_1" and so on.

    Returns
    -------
    frame
        A frame with one row for each sequence and one column for each channel. Its cells are pandas
        series in a pandas frame, lists in a polars frame, and otherwise 1-D arrays.

    Raises
    ------
    ValueError
        If sequences are malformed (the message names the sequence), or if the number of names is
        wrong or a name is used twice.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from sklstm.sequences import to_nested_frame
    >>> to_nested_frame([np.array([1.0, 2.0]), np.array([3.0])], pl.DataFrame, features="x").rows()
    [([1.0, 2.0],), ([3.0],)]
    """
    parts = [as_columns(part) for part in as_sequences(X)]
    n_features = parts[0].shape[1]
    names = feature_names(X, n_features) if features is None else listed(features)
    if len(names) != n_features or len(set(names)) != len(names):
        raise ValueError(f"features: expected {n_features} different column names, got {names}")
    make_cell: Callable[[Array], Any] = np.asarray
    if str(getattr(frame_type, "__module__", "")).partition(".")[0] == "pandas":
        make_cell = sys.modules["pandas"].Series
    return frame_type(
        {name: [make_cell(part[:, k]) for part in parts] for k, name in enumerate(names)}
    )


def series_in(frame: Any, name: Hashable, argument: str = "frame") -> list[Array]:
    """The cells of a column as arrays (T_i, d) of numbers."""
    cells = column_of(frame, name, argument)
    return [_numbers(cell, f"{argument}[{name!r}][{row}]") for row, cell in enumerate(cells)]


def beside_each_other(
    parts: list[list[Array]], names: Sequence[Hashable], argument: str = "frame"
) -> list[NDArray[np.floating]]:
    """Sequences whose channels are those of several columns."""
    for cells, name in zip(parts, names, strict=True):
        for row, (cell, first) in enumerate(zip(cells, parts[0], strict=True)):
            if len(cell) != len(first):
                raise ValueError(
                    f"{argument}[{name!r}][{row}]: expected {len(first)} step(s) as in the same "
                    f"row of {names[0]!r}, got {len(cell)}"
                )
            if cell.shape[1] != cells[0].shape[1]:
                raise ValueError(
                    f"{argument}[{name!r}][{row}]: expected {cells[0].shape[1]} channel(s) as in "
                    f"row 0, got {cell.shape[1]}"
                )
    single = all(cell.dtype == np.float32 for cells in parts for cell in cells)
    dtype = np.float32 if single else np.float64
    return [np.concatenate(row, axis=1, dtype=dtype) for row in zip(*parts, strict=True)]


def _numbers(cell: Any, where: str) -> Array:
    if not is_sequence(cell):
        raise ValueError(f"{where}: expected a series of numbers, got {type(cell).__name__}")
    numbers = read_numbers(_opened(cell, where), where)
    if numbers.ndim not in (1, 2) or numbers.size == 0:
        raise ValueError(
            f"{where}: expected a series of at least one time step, (n_timesteps,) or "
            f"(n_timesteps, n_features), got shape {numbers.shape}"
        )
    return as_columns(numbers)


def _opened(cell: Any, where: str) -> Any:
    """A cell, with the lists in a series as rows of a 2-D array."""
    if not hasattr(cell, "to_list") or not len(cell) or not is_sequence(cell[0:1].to_list()[0]):
        return cell
    try:
        return np.stack([np.asarray(steps) for steps in cell.to_list()])
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{where}: expected an array of regular shape: {error}") from error
