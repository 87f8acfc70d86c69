"""Check sequences of every accepted form and stack them."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from sklstm.sequences._containers import (
    NUMBERS,
    SCALARS,
    column_names,
    is_frame,
    is_sequence,
    open_container,
    read_numbers,
)
from sklstm.sequences._packing import Sequences

Array = NDArray[np.floating]

FLOATS = [np.float64, np.float32]
FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def check_sequences(
    X: Any, *, ensure_all_finite: bool = True, first_sample: int = 0, estimator: Any = None
) -> Sequences:
    """Check sequences of any accepted form and stack them.

    A C-contiguous array of dtype float32 or float64 is not copied, unless it has NaN padding. Other
    numbers are converted to float64.

    Parameters
    ----------
    X : array, dataframe or list
        - A 2-D array or frame (n_samples, n_timesteps): each row is a univariate series.
        - A 3-D array (n_samples, n_timesteps, n_features): time steps at the end of a sequence
          that are NaN in every feature are padding.
        - A list, tuple or object array: the elements are arrays or frames
          (n_timesteps_i, n_features), or 1-D arrays (n_timesteps_i,). Sequences may have any
          lengths.
        - Nested lists of numbers: an array if they are regular, and a list of sequences otherwise.
    ensure_all_finite : bool, default=True
        Whether to raise an error if a value is NaN or infinite. NaN padding is always allowed.
    first_sample : int, default=0
        Index of the first sample in error messages, if ``X`` is part of a larger list.
    estimator : object, default=None
        An estimator to name in error messages.

    Returns
    -------
    Sequences
        The stacked sequences. The dtype is float32 if all values in ``X`` are float32, and float64
        otherwise.

    Raises
    ------
    ValueError
        If ``X`` has another form, if it or one of its sequences is empty, if sequences differ in
        their number of features, or if a value is not finite. The message names the sample.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import check_sequences
    >>> check_sequences(np.zeros((4, 7))).form
    '2d'
    >>> check_sequences([[[1, 2]], [[3, 4], [5]]])
    Traceback (most recent call last):
    ...
    ValueError: X[1]: expected numbers of shape (n_timesteps, n_features) or (n_timesteps,), got ...
    """
    X = open_container(X)
    if is_list_of_sequences(X):
        sequences = _from_list(X, first_sample)
    else:
        sequences = _from_array(X, first_sample, estimator)
    if ensure_all_finite:
        _check_finite(sequences, first_sample, estimator)
    return sequences


def is_list_of_sequences(X: Any) -> bool:
    """Whether ``X`` is a list, tuple or 1-D object array with one array-like for each sequence.

    Nested lists of scalars that form a regular array are not: they are read as that array.
    """
    if getattr(getattr(X, "dtype", None), "kind", "") == "O" and X.ndim == 1:
        return len(X) > 0 and any(map(is_sequence, X))
    if not isinstance(X, list | tuple) or not any(map(is_sequence, X)):
        return False
    return _regular_shape(X) is None


def _regular_shape(nested: Any) -> tuple[int, ...] | None:
    """Return the shape of nested lists of scalars; None if they are ragged or hold arrays."""
    if not isinstance(nested, list | tuple):
        return None if is_sequence(nested) else ()
    if SCALARS.issuperset(map(type, nested)):
        return (len(nested),)
    shapes = {_regular_shape(element) for element in nested}
    if len(shapes) > 1 or None in shapes:
        return None
    inner = shapes.pop() if shapes else ()
    return None if inner is None else (len(nested), *inner)


def _from_array(X: Any, first_sample: int, estimator: Any) -> Sequences:
    array = read_numbers(X, "X")
    if array.ndim < 2:
        raise ValueError(too_few_dimensions(array))
    array = _check_not_too_small(array, estimator)
    frame = X if is_frame(X) else None
    if array.ndim == 2:
        lengths = np.full(len(array), array.shape[1])
        values = np.ascontiguousarray(array).reshape(-1, 1)
        return Sequences(values, lengths, "2d", frame, array.shape[1], flat=True)
    if array.ndim > 3:
        raise ValueError(
            "X: expected a 2-D array (n_samples, n_timesteps), a 3-D array (n_samples, n_timesteps,"
            f" n_features) or a list of sequences, got an array of shape {array.shape}"
        )
    _check_not_empty(array)
    lengths = _unpadded_lengths(array)
    if (lengths == array.shape[1]).all():
        values = np.ascontiguousarray(array).reshape(-1, array.shape[2])
    else:
        _raise_at(lengths == 0, first_sample, "expected at least one time step that is not NaN")
        values = array[np.arange(array.shape[1]) < lengths[:, None]]
    return Sequences(values, lengths, "3d", None, array.shape[1])


def _check_not_too_small(array: Array, estimator: Any) -> Array:
    """Return the array as floats; an error as of scikit-learn if it is empty."""
    if array.size and array.dtype in FLOAT_DTYPES:  # check_array would find nothing
        return array
    try:
        return check_array(
            array,
            dtype=FLOATS,
            allow_nd=True,
            ensure_all_finite=False,
            input_name="X",
            estimator=estimator,
        )
    except ValueError as error:
        raise ValueError(f"X: {error}") from error


def too_few_dimensions(array: Array) -> str:
    """Return the message for an array X with fewer than two axes."""
    shape = array.shape
    if not shape:
        return f"X: Expected 2D array, got scalar array instead: {array}; put sequences into a list"
    if shape == (0,):
        return (
            "X: expected at least one sequence, got none. Found array with 0 sample(s) (shape="
            f"{shape}) while a minimum of 1 is required."
        )
    return (
        f"X: Expected 2D array, got 1D array instead, of shape {shape}. Put a single series into a "
        "list, [x], and several series into a list of arrays. Reshape your data with "
        "x[:, np.newaxis] if each number is a sequence of one time step."
    )


def _check_not_empty(array: Array) -> None:
    for axis, name in ((1, "time step"), (2, "feature")):
        if array.shape[axis] == 0:
            raise ValueError(
                f"X: Found array with 0 {name}(s) (shape={array.shape}) while a minimum of 1 is "
                "required."
            )


def _unpadded_lengths(array: Array) -> NDArray[np.intp]:
    """Return the number of steps of each sample, without the NaN steps at its end."""
    n, n_steps = array.shape[:2]
    if all_finite(array):
        return np.full(n, n_steps)
    lengths = np.empty(n, dtype=np.intp)
    for k, sample in enumerate(array):
        valid = np.flatnonzero(~np.isnan(sample).all(axis=1))
        lengths[k] = valid[-1] + 1 if len(valid) else 0
    return lengths


def _from_list(X: Any, first_sample: int) -> Sequences:
    parts = [_one_sequence(x, first_sample + k) for k, x in enumerate(X)]
    lengths = np.fromiter(map(len, parts), dtype=np.intp, count=len(parts))
    _raise_at(lengths == 0, first_sample, "an empty sequence; expected at least one time step")
    widths = np.array([part.shape[1] for part in parts])
    expected = widths[0]
    _raise_at(
        widths != expected,
        first_sample,
        lambda k: f"expected {expected} feature(s) as in X[{first_sample}], got {widths[k]}",
    )
    dtype = np.float32 if all(part.dtype == np.float32 for part in parts) else np.float64
    values: Array = _stack(parts, np.dtype(dtype))
    frame = _common_frame(X, first_sample)
    return Sequences(values, lengths, "list", frame, flat=all(map(_is_flat, X)))


def _stack(parts: list[Array], dtype: np.dtype[Any]) -> Array:
    """Concatenate the sequences; a single sequence is copied only if necessary."""
    if len(parts) == 1:
        return np.asarray(np.ascontiguousarray(parts[0]), dtype)
    return np.ascontiguousarray(np.concatenate(parts, dtype=dtype))


def _is_flat(x: Any) -> bool:
    return np.ndim(x) == 1


def _one_sequence(x: Any, sample: int) -> Array:
    """Return one element of a list as numbers of shape (n_timesteps, n_features)."""
    if not (type(x) is np.ndarray and x.dtype.kind in NUMBERS and x.dtype.itemsize <= 8):
        x = _numbers_of_one(x, f"X[{sample}]")
    if x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[1] == 0):
        raise ValueError(
            f"X[{sample}]: expected shape (n_timesteps, n_features) or (n_timesteps,), got "
            f"{x.shape}"
        )
    return x[:, None] if x.ndim == 1 else x


def _numbers_of_one(x: Any, name: str) -> Array:
    try:
        return read_numbers(x, name)
    except (TypeError, ValueError) as error:
        message = str(error).removeprefix(f"{name}: ")
        raise ValueError(
            f"{name}: expected numbers of shape (n_timesteps, n_features) or (n_timesteps,), got "
            f"{type(x).__name__}: {message}"
        ) from error


def _common_frame(X: Any, first_sample: int) -> Any:
    """Return the first frame if all elements are frames with the same columns, else None."""
    if not all(map(is_frame, X)):
        return None
    expected = column_names(X[0])
    for k, x in enumerate(X):
        if column_names(x) != expected:
            raise ValueError(
                f"X[{first_sample + k}]: expected the columns {expected} as in "
                f"X[{first_sample}], got {column_names(x)}"
            )
    return X[0]


def _check_finite(sequences: Sequences, first_sample: int, estimator: Any) -> None:
    values = sequences.values
    if all_finite(values):
        return
    row, feature = np.argwhere(~np.isfinite(values))[0]
    sample, step = sequences.where(row)
    what = "NaN" if np.isnan(values[row, feature]) else "infinity"
    name = "the model" if estimator is None else type(estimator).__name__
    raise ValueError(
        f"Input X contains {what} at sample {first_sample + sample}, time step {step}, "
        f"feature {feature}. {name} expects finite numbers; impute missing values first. NaN is "
        "accepted only as padding: steps at the end of a sample in a 3-D array that are NaN in "
        "every feature."
    )


def all_finite(values: ArrayLike) -> bool:
    """Whether all values are finite."""
    # A sum needs no temporary array, and is not finite if a value is NaN or infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        if isfinite(np.add.reduce(values, axis=None)):
            return True
    return bool(np.isfinite(values).all())


def _raise_at(
    wrong: NDArray[np.bool_], first_sample: int, message: str | Callable[[int], str]
) -> None:
    """Raise an error for the first wrong sample, if there is one."""
    if wrong.any():
        k = int(np.argmax(wrong))
        text = message if isinstance(message, str) else message(k)
        raise ValueError(f"X[{first_sample + k}]: {text}")
