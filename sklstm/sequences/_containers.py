"""Read containers of any library: which hold sequences, and which values are refused.

All functions that take ``X``, ``y`` or weights read them with this module first. Other libraries
are recognised by the attributes of their objects and are not imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array

Array = NDArray[Any]

#: Lists nested deeper than this hold no sequences, and may contain themselves.
MAX_DEPTH = 8

#: Kinds of NumPy dtypes that are numbers.
NUMBERS = "fiub"

_FORMS = (
    "a 2-D array (n_samples, n_timesteps), a 3-D array (n_samples, n_timesteps, n_features) or a "
    "list of arrays (n_timesteps_i, n_features)"
)
_ENCODE = (
    "encode texts with sklstm.preprocessing.TokenEncoder and set vocabulary_size of the estimator"
)


def _encode(name: str) -> str:
    return f"; {_ENCODE}" if name.startswith("X") else ""


# --- containers ---


def open_container(X: Any, name: str = "X", *, tokens: bool = False) -> Any:
    """Return an array, a frame, or a list or tuple of sequences.

    A column of sequences, in whatever container, becomes a list. With ``tokens``, nested lists are
    lists of sequences even if they are regular.
    """
    if type(X) is np.ndarray and X.dtype.kind in NUMBERS:
        return X
    refuse(X, name)
    if isinstance(X, list | tuple):
        _check_nested(X, name)
        return [_as_sequence(x) for x in X] if tokens else X
    X = _native(X)
    if type(X) is np.ndarray and X.dtype.kind == "O":
        return _opened_objects(X, name)
    if _is_arrow(X) and not is_frame(X):
        return _opened_nested(X.to_pylist())
    if _is_polars(X) and not is_frame(X):
        return _opened_nested(X.to_list()) if _is_nested(X.dtype) else X
    return _opened_columns(X, name) if hasattr(X, "iloc") or is_frame(X) else X


def refuse(X: Any, name: str) -> None:
    """Raise an error if X is a container or a scalar that is never read as an array."""
    if isinstance(X, np.ma.MaskedArray):
        raise ValueError(
            f"{name}: expected an array without a mask, got a masked array; mark masked values as "
            f"missing with {name}.filled(np.nan)"
        )
    if issparse(X) or _is_sparse_object(X):
        raise TypeError(
            f"{name}: Sparse data was passed, but dense data is required, got {type(X).__name__}; "
            f"convert it with {name}.toarray()"
        )
    advice = _advice(X, name)
    if advice is not None:
        what = _FORMS if name.startswith("X") else "an array or a list"
        raise ValueError(f"{name}: expected {what}, got {_described(X)}; {advice}")


def _advice(X: Any, name: str) -> str | None:
    """Return what to do about an object that holds no array; None if it may hold one."""
    if isinstance(X, str | bytes):
        return f"{_ENCODE}, and put a single text into a list"
    if isinstance(X, Mapping):
        return f"a list of its values is list({name}.values())"
    if isinstance(X, Set):
        return "a set has no order; use a list"
    if "GroupBy" in type(X).__name__:
        return f"a list of the groups is [group for _, group in {name}]"
    if isinstance(X, Iterator) or (_is_plain(X) and hasattr(X, "__iter__")):
        return f"convert it with list({name})"
    if X is None:
        return "nothing was given"
    return "it holds no values" if _is_plain(X) else None


def _is_plain(X: Any) -> bool:
    """Whether X is an object of Python that is neither a number nor array-like."""
    if isinstance(X, list | tuple) or np.isscalar(X):
        return False
    array_like = ("__array__", "__array_interface__", "__float__", "dtype", "shape")
    return not any(hasattr(X, name) for name in array_like) and not is_frame(X)


def _described(X: Any) -> str:
    return repr(X) if X is None or np.isscalar(X) else f"an object of type {type(X).__name__}"


def _check_nested(X: Any, name: str, depth: int = 1) -> None:
    """Raise an error if nested lists are too deep or hold what is refused below the first level."""
    if depth > MAX_DEPTH:
        raise ValueError(
            f"{name}: expected {_FORMS}, got lists nested more than {MAX_DEPTH} deep, or a list "
            "that contains itself"
        )
    for k, x in enumerate(X):
        if isinstance(x, list | tuple):
            _check_nested(x, f"{name}[{k}]" if depth == 1 else name, depth + 1)
        elif type(x) is not float and type(x) is not int and not _is_value(x):
            refuse(x, f"{name}[{k}]" if depth == 1 else name)


def _is_value(x: Any) -> bool:
    """Whether x is an array, a scalar, a text, or a missing value."""
    return type(x) is np.ndarray or x is None or np.isscalar(x)


def _as_sequence(x: Any) -> Any:
    """Return nested lists as an array if they are regular."""
    if not isinstance(x, list | tuple):
        return x
    try:
        return np.asarray(x)
    except ValueError:  # ragged: an error is raised where the sequence is read
        return x


def _opened_nested(values: Any) -> Any:
    """Return one array for each list of a column of lists; the values of another column."""
    if any(map(is_sequence, values)):
        return [_as_sequence(x) for x in values]
    return np.asarray(values)


def _opened_objects(X: Array, name: str) -> Any:
    """Return a list if an object array (n,) or (n, 1) holds sequences."""
    if X.ndim == 1 or (X.ndim == 2 and X.shape[1] == 1):
        values = list(X.reshape(-1))
        if any(map(is_sequence, values)):
            _check_nested(values, name)
            return [_as_sequence(x) for x in values]
    elif X.ndim == 2 and any(map(is_sequence, X.flat)):
        raise ValueError(f"{name}: {_nested_columns(X.shape[1])}")
    return X


def _opened_columns(X: Any, name: str) -> Any:
    """Return a list if a series, or the only column of a frame, holds sequences."""
    if not is_frame(X):
        values = list(X) if getattr(X.dtype, "kind", "O") == "O" else []
        return _opened_nested(values) if any(map(is_sequence, values)) else X
    nested = [k for k in range(X.shape[1]) if _holds_sequences(_column(X, k))]
    if not nested:
        return X
    if X.shape[1] == 1:
        return open_container(_column(X, 0), name)
    raise ValueError(f"{name}: {_nested_columns(X.shape[1])}")


def _holds_sequences(column: Any) -> bool:
    if _is_polars(column):
        return _is_nested(column.dtype)
    if _is_arrow(column):
        return "list" in str(column.type)
    kind = getattr(column.dtype, "kind", "O")
    return kind == "O" and any(map(is_sequence, column))


def _nested_columns(n_columns: int) -> str:
    return (
        f"expected one column of sequences, got sequences in the cells of {n_columns} columns; "
        "join the channels of each sample: [np.column_stack(row) for row in X.to_numpy()]"
    )


def is_sequence(element: Any) -> bool:
    """Whether ``element`` is array-like rather than a scalar or text."""
    if isinstance(element, list | tuple):
        return True
    return getattr(element, "shape", ()) != () or (
        hasattr(element, "__array__") and not np.isscalar(element)
    )


def is_frame(X: Any) -> bool:
    """Whether X is a data frame of pandas or polars, or a table of pyarrow."""
    return hasattr(X, "columns") and hasattr(X, "shape") and len(X.shape) == 2


def column_names(frame: Any) -> list[Any]:
    """Return the names of the columns of a frame."""
    return list(frame.column_names if _is_arrow(frame) else frame.columns)


# --- values ---


def read_values(x: Any, name: str, estimator: Any = None) -> Array:
    """Return the values of one array-like, of any dtype and shape."""
    if type(x) is np.ndarray and x.dtype.kind not in "Oc":
        return x
    refuse(x, name)
    if isinstance(x, list | tuple):
        _check_nested(x, name)
    x = _native(x)
    if getattr(getattr(x, "dtype", None), "kind", "") == "c":
        raise ValueError(f"{name}: {_no_numbers(x.dtype, name)}")
    if is_frame(x):
        x = _frame_values(x, name)
    elif hasattr(x, "iloc") or _is_polars(x) or _is_arrow(x):
        x = _column_values(x, name)
    try:
        return check_array(
            x,
            dtype=None,
            ensure_2d=False,
            allow_nd=True,
            ensure_all_finite=False,
            ensure_min_samples=0,
            ensure_min_features=0,
            input_name=name,
            estimator=estimator,
        )
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _error(error)(f"{name}: expected an array of regular shape: {error}") from error


def read_numbers(x: Any, name: str, estimator: Any = None) -> Array:
    """Return the numbers of one array-like, of a native dtype; objects become float64."""
    array = read_values(x, name, estimator)
    kind = array.dtype.kind
    if kind in "SUT":
        raise _error_of_strings(array, name)
    if kind == "O":
        return _numbers_of_objects(array, name)
    if kind not in NUMBERS:
        raise ValueError(f"{name}: {_no_numbers(array.dtype, name)}")
    if array.dtype.itemsize > 8 or not array.dtype.isnative:
        native = np.dtype(np.float64) if kind == "f" and array.dtype.itemsize > 4 else None
        with np.errstate(over="ignore"):
            return array.astype(native or array.dtype.newbyteorder("="))
    return array


def _no_numbers(dtype: Any, name: str) -> str:
    kind = getattr(dtype, "kind", "")
    if kind in "mM" and kind:
        return (
            f"expected numbers, got dates or time spans ({dtype}); convert them to numbers, for "
            "example to seconds with (t - t[0]) / np.timedelta64(1, 's')"
        )
    if kind == "c":
        return f"Complex data not supported, expected real numbers, got {dtype}"
    return f"expected numbers, got dtype {dtype}"


def _error_of_strings(array: Array, name: str) -> ValueError:
    """Return an error that names the first text that is no number, or the first text."""
    places = [place for place, value in np.ndenumerate(array) if not _is_float(value)]
    place = (*places, (0,) * array.ndim)[0]
    return _error_of_string(array[place] if array.size else "", _at(name, place))


def _error_of_string(value: Any, name: str) -> ValueError:
    return ValueError(
        f"{name}: expected numbers: could not convert string to float: {str(value)!r}"
        f"{_encode(name)}"
    )


def _is_float(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _numbers_of_objects(array: Array, name: str) -> Array:
    values = array.copy()
    for place, value in np.ndenumerate(array):
        if isinstance(value, str | bytes):
            raise _error_of_string(value, _at(name, place))
        if isinstance(value, np.datetime64 | np.timedelta64):
            raise ValueError(f"{_at(name, place)}: {_no_numbers(value.dtype, name)}")
        if type(value).__name__ in ("NAType", "NaTType"):
            values[place] = np.nan
    try:
        with np.errstate(over="ignore"):
            return np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _error(error)(f"{name}: expected numbers: {error}") from error


def _at(name: str, place: tuple[int, ...]) -> str:
    """Return the name of a sample; a value within a sample has the name of the sample."""
    return f"{name}[{place[0]}]" if place and not name.endswith("]") else name


def _error(error: Exception) -> type[Exception]:
    """Return the class of the error to raise: TypeError or ValueError."""
    return TypeError if isinstance(error, TypeError) else ValueError


def _frame_values(frame: Any, name: str) -> Any:
    """Return a frame that check_array can read, or its values; an error names the column."""
    dtypes = getattr(frame, "dtypes", None)
    if dtypes is not None and all(_is_plain_dtype(dtype) for dtype in dtypes):
        return frame.to_numpy()
    labels = column_names(frame)
    columns = [
        _column_values(_column(frame, k), f"{name}, column {label!r}")
        for k, label in enumerate(labels)
    ]
    for label, column in zip(labels, columns, strict=True):
        if column.dtype.kind not in NUMBERS + "O":
            raise ValueError(f"{name}, column {label!r}: {_no_numbers(column.dtype, name)}")
    return np.column_stack(columns) if columns else frame.to_numpy()


def _is_plain_dtype(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in NUMBERS


def _column(frame: Any, k: int) -> Any:
    if hasattr(frame, "iloc"):
        return frame.iloc[:, k]
    return frame.column(k) if _is_arrow(frame) else frame.to_series(k)


def _column_values(column: Any, name: str) -> Array:
    """Return the values of a series; missing numbers are NaN."""
    dtype = getattr(column, "dtype", None)
    if "Sparse" in type(dtype).__name__:
        raise TypeError(f"{name}: Sparse data was passed, but dense data is required, got {dtype}")
    categories = getattr(dtype, "categories", None)
    if categories is not None and getattr(categories.dtype, "kind", "O") in NUMBERS:
        return np.asarray(column.to_numpy(), np.float64)
    numpy_dtype = getattr(dtype, "numpy_dtype", None)
    if numpy_dtype is not None and numpy_dtype.kind in NUMBERS:
        single = numpy_dtype == np.float32
        return np.asarray(
            column.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
        )
    values = np.asarray(column.to_numpy())
    if values.dtype.kind == "O" and name.count("column"):
        return _numbers_of_objects(values, name)
    return values


# --- other libraries ---


def _module(X: Any) -> str:
    return type(X).__module__.partition(".")[0]


def _is_polars(X: Any) -> bool:
    return _module(X) == "polars"


def _is_arrow(X: Any) -> bool:
    return _module(X) == "pyarrow"


def _is_nested(dtype: Any) -> bool:
    """Whether the values of a polars series are lists or arrays."""
    return bool(dtype.is_nested()) if hasattr(dtype, "is_nested") else False


def _is_sparse_object(X: Any) -> bool:
    if _module(X) == "torch":
        return "strided" not in str(getattr(X, "layout", "strided"))
    return _module(X) == "sparse"


def _native(X: Any) -> Any:
    """Return a tensor of torch, or an array of xarray, as a NumPy array."""
    if _module(X) == "torch" and hasattr(X, "detach"):
        X = X.float() if str(X.dtype) == "torch.bfloat16" else X
        return X.numpy(force=True)
    if _module(X) == "xarray" and hasattr(X, "values"):
        return np.asarray(X.values)
    return X
