"""Convert sequences from and to the layouts of other libraries; make windows of long series.

Shapes: ``D`` features (channels). The functions return views where possible.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from sklstm.sequences._containers import column_names, is_frame, open_container, read_values
from sklstm.sequences._ragged import (
    as_columns,
    as_list,
    as_numbers,
    as_sequences,
    check_alike,
    concatenated,
    unpadded,
)
from sklstm.sequences._reading import is_list_of_sequences

Array = NDArray[Any]


# --- channels first ---


def from_channels_first(X: Any) -> Array | list[Array]:
    """Convert sequences from the layout of sktime and aeon, with channels before time steps.

    Parameters
    ----------
    X : array-like of shape (n_sequences, n_channels, n_timesteps) or list of array-like
        The elements of a list have shape (n_channels, n_timesteps_i), or (n_timesteps_i,) for a
        single channel.

    Returns
    -------
    ndarray of shape (n_sequences, n_timesteps, n_channels) or list of ndarray
        An array if ``X`` is one, or a list of arrays (n_timesteps_i, n_channels) if ``X`` is a
        list. The arrays are views.

    Raises
    ------
    ValueError
        If an array is not 3-D, or if the sequences differ in their number of channels. The message
        names the sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import from_channels_first
    >>> from_channels_first(np.zeros((10, 3, 50))).shape
    (10, 50, 3)
    >>> [x.shape for x in from_channels_first([np.zeros((3, 50)), np.zeros((3, 70))])]
    [(50, 3), (70, 3)]
    """
    X = open_container(X)
    if _gives_list(X):
        parts = [part[:, None] if part.ndim == 1 else part.T for part in as_list(X)]
        return check_alike(parts)
    array = read_values(X, "X")
    if array.ndim != 3:
        raise ValueError(
            "X: expected a 3-D array (n_sequences, n_channels, n_timesteps), got shape "
            f"{array.shape}; a 2-D array with one series in each row needs no conversion, and a "
            "single sequence must be in a list"
        )
    return array.transpose(0, 2, 1)


def to_channels_first(X: Any) -> Array | list[Array]:
    """Convert sequences to the layout of sktime and aeon, with channels before time steps.

    This is the inverse of `from_channels_first`.

    Parameters
    ----------
    X : array-like of shape (n_sequences, n_timesteps[, n_features]) or list of array-like
        The elements of a list have shape (n_timesteps_i[, n_features]).

    Returns
    -------
    ndarray of shape (n_sequences, n_features, n_timesteps) or list of ndarray
        An array if ``X`` is one, or a list of arrays (n_features, n_timesteps_i) if ``X`` is a
        list. The arrays are views.

    Raises
    ------
    ValueError
        If the sequences differ in their number of features. The message names the sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import to_channels_first
    >>> to_channels_first(np.zeros((10, 50, 3))).shape
    (10, 3, 50)
    """
    X = open_container(X)
    if not _gives_list(X):
        array = read_values(X, "X")
        if array.ndim in (2, 3):
            return array[:, None] if array.ndim == 2 else array.transpose(0, 2, 1)
    return [as_columns(part).T for part in check_alike(as_list(X))]


def _gives_list(X: Any) -> bool:
    """Whether the result is a list. Nested lists of numbers give one even if they are regular."""
    return isinstance(X, list | tuple) or is_list_of_sequences(X)


# --- NaN padding ---


def from_nan_padded(X: ArrayLike) -> list[Array]:
    """Convert sequences from an array padded with NaN, the layout of tslearn.

    Parameters
    ----------
    X : array-like of shape (n_sequences, n_timesteps[, n_features])
        Steps at the end of a sequence that are NaN in every feature are padding.

    Returns
    -------
    list of ndarray of shape (n_timesteps_i, n_features)
        Views without the padding. NaN before the last valid step are kept.

    Raises
    ------
    ValueError
        If the array is not 2-D or 3-D, or if all values of a sequence are NaN. The message names
        the sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import from_nan_padded
    >>> [x.ravel().tolist() for x in from_nan_padded([[1, 2, np.nan], [3, np.nan, 4]])]
    [[1.0, 2.0], [3.0, nan, 4.0]]
    """
    array = read_values(open_container(X), "X")
    if array.ndim not in (2, 3):
        raise ValueError(
            "X: expected an array (n_sequences, n_timesteps, n_features) or (n_sequences, "
            f"n_timesteps), got shape {array.shape}"
        )
    return unpadded(array[:, :, None] if array.ndim == 2 else array)


def to_nan_padded(X: Any, n_timesteps: int | None = None) -> NDArray[np.floating]:
    """Convert sequences to an array padded with NaN.

    This is the inverse of `from_nan_padded`.

    Parameters
    ----------
    X : array, or list of arrays of shape (n_timesteps_i[, n_features])
        Sequences of numbers.
    n_timesteps : int, default=None
        Number of time steps of the result. If None, the length of the longest sequence.

    Returns
    -------
    ndarray of shape (n_sequences, n_timesteps, n_features)
        The dtype is float32 if all sequences are float32, and float64 otherwise.

    Raises
    ------
    ValueError
        If the sequences differ in their number of features, or if one is longer than
        ``n_timesteps``. The message names the sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import to_nan_padded
    >>> to_nan_padded([np.array([1.0, 2.0]), np.array([3.0])])[:, :, 0]
    array([[ 1.,  2.],
           [ 3., nan]])
    """
    parts = [as_columns(as_numbers(x, f"X[{k}]")) for k, x in enumerate(as_sequences(X))]
    longest = max(map(len, parts)) if n_timesteps is None else n_timesteps
    single = all(part.dtype == np.float32 for part in parts)
    shape = (len(parts), longest, parts[0].shape[1])
    padded = np.full(shape, np.nan, np.float32 if single else np.float64)
    for k, part in enumerate(parts):
        if len(part) > longest:
            raise ValueError(f"X[{k}]: expected at most {longest} steps, got {len(part)}")
        padded[k, : len(part)] = part
    return padded


# --- concatenated steps ---


def from_concatenated(X: ArrayLike, lengths: ArrayLike | None = None) -> list[Array]:
    """Convert sequences from one array of all time steps, the layout of hmmlearn and seqlearn.

    Parameters
    ----------
    X : array-like of shape (n_total_steps, ...)
        The time steps of the first sequence, followed by those of the second, and so on. It may
        also hold the target of each time step.
    lengths : array-like of int of shape (n_sequences,), default=None
        Number of time steps of each sequence. If None, all steps belong to one sequence.

    Returns
    -------
    list of ndarray of shape (n_timesteps_i, ...)
        Views of the rows of ``X``.

    Raises
    ------
    ValueError
        If a length is not a positive integer, or if the sum of the lengths is not the number of
        rows of ``X``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import from_concatenated
    >>> [x.shape for x in from_concatenated(np.zeros((5, 2)), [3, 2])]
    [(3, 2), (2, 2)]
    """
    array = read_values(X, "X")
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(
            "X: expected an array of shape (n_total_steps, n_features) or (n_total_steps,), "
            f"got {type(X).__name__} of shape {array.shape}"
        )
    counts = np.array([len(array)]) if lengths is None else read_values(lengths, "lengths")
    if counts.ndim != 1 or counts.dtype.kind not in "iu":
        raise ValueError(f"lengths: expected integers of shape (n_sequences,), got {lengths!r}")
    if (counts < 1).any():
        k = int(np.argmax(counts < 1))
        raise ValueError(f"lengths[{k}]: expected at least one time step, got {counts[k]}")
    total = sum(counts.tolist())  # integers of Python do not overflow
    if total != len(array):
        raise ValueError(f"lengths: expected a sum of {len(array)}, the rows of X, got {total}")
    return np.split(array, np.cumsum(counts)[:-1])


def to_concatenated(X: Any) -> tuple[Array, NDArray[np.intp]]:
    """Convert sequences to one array of all time steps.

    This is the inverse of `from_concatenated`.

    Parameters
    ----------
    X : array, or list of arrays of shape (n_timesteps_i, ...)
        Sequences, or the targets or weights of their time steps.

    Returns
    -------
    X : ndarray of shape (n_total_steps, ...)
        The time steps of the first sequence, followed by those of the second, and so on.
    lengths : ndarray of int of shape (n_sequences,)
        Number of time steps of each sequence, without padding.

    Raises
    ------
    ValueError
        If a sequence is empty, or if the sequences differ in their number of features. The message
        names the sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import to_concatenated
    >>> X, lengths = to_concatenated([np.zeros((3, 2)), np.ones((2, 2))])
    >>> X.shape, lengths.tolist()
    ((5, 2), [3, 2])
    """
    parts = as_sequences(X)
    return concatenated(parts), np.array([len(part) for part in parts], dtype=np.intp)


# --- windows ---


def make_windows(
    series: Any,
    width: int,
    horizon: int = 1,
    stride: int = 1,
    *,
    target: Any = None,
    return_index: bool = False,
) -> tuple[Array, ...]:
    """Cut series into windows and the time steps to forecast after each window.

    The input ``series[s : s + width]`` has the target ``series[s + width : s + width + horizon]``,
    for ``s`` = 0, ``stride``, ``2 * stride`` and so on. No window and no target extends over two
    series.

    Parameters
    ----------
    series : array-like of shape (n_timesteps,) or (n_timesteps, n_features), or many of them
        One series is an array or a frame. Several series are a list of arrays or frames of any
        lengths, or a 3-D array. Unlike in the rest of this package, a 2-D array is one series.
    width : int
        Number of time steps in a window.
    horizon : int, default=1
        Number of time steps after a window that are its target.
    stride : int, default=1
        Number of time steps between the starts of two consecutive windows.
    target : int, column name or list of these, default=None
        The columns to forecast, given by position or, for frames, by name. If None, all columns.
    return_index : bool, default=False
        Whether to return the position of each window.

    Returns
    -------
    X : ndarray of shape (n_windows, width, n_features)
        For one series, this is a read-only view of the series.
    y : ndarray of shape (n_windows[, horizon][, n_targets])
        There is no axis for the horizon if ``horizon`` is 1. There is no axis for the targets if
        ``target`` is one column and not a list, or if it is None and the series have one column.
    index : ndarray of int of shape (n_windows, 2)
        The position of the series among all series, and the time step at which the window starts.
        Only returned if ``return_index`` is True.

    Raises
    ------
    ValueError
        If a series has fewer than ``width + horizon`` time steps, another number of features than
        the first, or values that are not numbers. The message names the series.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import make_windows
    >>> X, y = make_windows(np.arange(6.0), width=3)
    >>> X[:, :, 0].tolist(), y.tolist()
    ([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]], [3.0, 4.0, 5.0])
    >>> X, y, index = make_windows([np.zeros(9), np.ones(5)], 3, 2, return_index=True)
    >>> X.shape, y.shape, index[-1].tolist()
    ((6, 3, 1), (6, 2), [1, 0])
    """
    for name, value in (("width", width), ("horizon", horizon), ("stride", stride)):
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name}: expected a positive integer, got {value!r}")
    series = open_container(series, "series")
    many = is_list_of_sequences(series) or np.ndim(series) == 3
    each = _series_in(series) if many else [series]
    names = [f"series[{k}]" for k in range(len(each))] if many else ["series"]
    values = [_one_series(x, name) for x, name in zip(each, names, strict=True)]
    check_alike(values, "series")
    _check_same_columns(each)
    columns = _target_columns(each[0], values[0].shape[1], target)
    cuts = []
    for name, steps in zip(names, values, strict=True):
        if len(steps) < width + horizon:
            raise ValueError(
                f"{name}: expected at least width + horizon = {width + horizon} steps, "
                f"got {len(steps)}"
            )
        cuts.append(_cut(steps, columns, width, horizon, stride))
    X, y = (
        arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        for arrays in zip(*cuts, strict=True)
    )
    if not return_index:
        return X, y
    counts = [len(windows) for windows, _ in cuts]
    starts = np.concatenate([stride * np.arange(count) for count in counts])
    return X, y, np.column_stack([np.repeat(np.arange(len(counts)), counts), starts])


def _series_in(series: Any) -> list[Any]:
    """Return the elements of a list as they are; those of a 3-D array without padding."""
    return list(series if is_list_of_sequences(series) else as_sequences(series, "series"))


def _one_series(x: Any, name: str) -> Array:
    """Return the series as numbers of shape (n_timesteps, n_features)."""
    steps = as_numbers(x, name)
    if steps.ndim not in (1, 2) or 0 in steps.shape[1:]:
        raise ValueError(
            f"{name}: expected shape (n_timesteps,) or (n_timesteps, n_features), got {steps.shape}"
        )
    return as_columns(steps)


def _check_same_columns(series: list[Any]) -> None:
    """Raise if two frames have different columns."""
    expected = column_names(series[0]) if is_frame(series[0]) else []
    for k, x in enumerate(series):
        if expected and is_frame(x) and column_names(x) != expected:
            raise ValueError(
                f"series[{k}]: expected the columns {expected} as in series[0], "
                f"got {column_names(x)}"
            )


def _target_columns(first: Any, n_features: int, target: Any) -> Any:
    """Return the index of the target columns."""
    if target is None:
        return 0 if n_features == 1 else slice(None)
    names = column_names(first) if is_frame(first) else list(range(n_features))
    if isinstance(target, list | tuple):
        return [_position(names, name) for name in target]
    return _position(names, target)


def _position(names: list[Any], name: Any) -> int:
    if name not in names:
        raise ValueError(f"target: expected columns among {names}, got {name!r}")
    return names.index(name)


def _cut(steps: Array, columns: Any, width: int, horizon: int, stride: int) -> tuple[Array, Array]:
    """Return the windows (n_windows, width, D) of one series and their targets, as views."""
    X = sliding_window_view(steps[:-horizon], width, axis=0)[::stride].transpose(0, 2, 1)
    targets = steps[width:, columns]
    y = np.moveaxis(sliding_window_view(targets, horizon, axis=0)[::stride], -1, 1)
    return X, (y[:, 0] if horizon == 1 else y)
