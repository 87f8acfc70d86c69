"""Read containers of any library: which hold sequences, and which values are refused.

All functions that take ``X``, ``y`` or weights read them with this module first. Other libraries
are recognised by the attributes of their objects and are not imported.

`open_container` returns an array, a frame, or a list of sequences. `read_values` and `read_numbers`
return the values of one of these, or of one sequence, as an array.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

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
#: The usual types of the scalars in lists.
SCALARS = frozenset({float, int, bool, str, type(None), np.float64, np.int64})
_NEVER_REFUSED = SCALARS | {np.ndarray}

_ERRORS = (TypeError, ValueError, OverflowError, RecursionError)


# --- containers ---


def open_container(X: Any, name: str = "X", *, tokens: bool = False) -> Any:
    """Return an array, a frame, or a list or tuple of sequences.

    A column of sequences, in whatever container, becomes a list. With ``tokens``, nested lists are
    lists of sequences even if they are regular.
    """
    if type(X) is np.ndarray and X.dtype.kind in NUMBERS:
        return X
    if not isinstance(X, list | tuple):
        refuse(X, name)
        X = _native(X)
        columns = _columns(X)
        if not any(map(_holds_sequences, columns)):
            return X
        if len(columns) > 1:
            raise ValueError(
                f"{name}: expected one column of sequences, got sequences in a table of "
                f"{len(columns)} columns; convert a data frame with "
                "sklstm.sequences.from_nested_frame or sklstm.preprocessing.AppendStatic"
            )
        X, tokens = _elements(columns[0]), True
    _check_nested(X, name)
    return [_as_sequence(x) for x in X] if tokens else X


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
        got = repr(X) if X is None or np.isscalar(X) else f"an object of type {type(X).__name__}"
        raise ValueError(f"{name}: expected {what}, got {got}; {advice}")


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
    if hasattr(X, "collect"):
        return f"read it with {name}.collect()"
    return "it holds no values" if _is_plain(X) else None


def _is_plain(X: Any) -> bool:
    """Whether X is an object of Python that is neither a number nor array-like."""
    if isinstance(X, list | tuple) or np.isscalar(X):
        return False
    array_like = ("__array__", "__array_interface__", "__float__", "dtype", "shape")
    return not any(hasattr(X, name) for name in array_like) and not is_frame(X)


def _check_nested(X: Any, name: str, depth: int = 1) -> None:
    """Raise an error if nested lists are too deep or hold what is refused below the first level."""
    if depth > MAX_DEPTH:
        raise ValueError(
            f"{name}: expected {_FORMS}, got lists nested more than {MAX_DEPTH} deep, or a list "
            "that contains itself"
        )
    if _NEVER_REFUSED.issuperset(map(type, X)):
        return
    for k, x in enumerate(X):
        if isinstance(x, list | tuple):
            _check_nested(x, f"{name}[{k}]" if depth == 1 else name, depth + 1)
        elif not (type(x) in _NEVER_REFUSED or np.isscalar(x)):
            refuse(x, f"{name}[{k}]" if depth == 1 else name)


def _as_sequence(x: Any) -> Any:
    """Return nested lists as an array if they are regular."""
    if not isinstance(x, list | tuple):
        return x
    try:
        return np.asarray(x)
    except ValueError:  # ragged: an error is raised where the sequence is read
        return x


def _columns(X: Any) -> list[Any]:
    """Return the columns of a frame or of objects; a series is one column, another array none."""
    if is_frame(X):
        return [] if _has_plain_dtypes(X) else [_column(X, k) for k in range(X.shape[1])]
    if isinstance(X, np.ndarray) and X.dtype.kind == "O" and X.ndim in (1, 2):
        return list(X.T) if X.ndim == 2 else [X]
    return [X] if _is_series(X) else []


def _column(frame: Any, k: int) -> Any:
    if hasattr(frame, "iloc"):
        return frame.iloc[:, k]
    return frame.column(k) if _is_arrow(frame) else frame.to_series(k)


def _holds_sequences(column: Any) -> bool:
    """Whether an element of a column is a sequence."""
    if getattr(getattr(column, "dtype", None), "kind", "O") != "O":
        return False
    if _is_arrow(column):
        return "list" in str(column.type)
    if _is_polars(column) and not (column.dtype.is_nested() or str(column.dtype) == "Object"):
        return False
    return any(map(is_sequence, column))


def _elements(column: Any) -> list[Any]:
    if _is_arrow(column):
        return list(column.to_pylist())
    return list(column.to_list() if _is_polars(column) else column)


def is_sequence(element: Any) -> bool:
    """Whether ``element`` is array-like rather than a scalar or text."""
    if isinstance(element, list | tuple):
        return True
    return getattr(element, "shape", ()) != () or (
        hasattr(element, "__array__") and not np.isscalar(element)
    )


def is_frame(X: Any) -> bool:
    """Whether X is a data frame of pandas or polars, or a table of pyarrow."""
    return hasattr(X, "shape") and len(X.shape) == 2 and hasattr(X, "columns")


def column_names(frame: Any) -> list[Any]:
    """Return the names of the columns of a frame."""
    return list(frame.column_names if _is_arrow(frame) else frame.columns)


# --- values ---


def read_values(x: Any, name: str) -> Array:
    """Return the values of one array-like, of any shape and of any dtype but complex numbers."""
    if type(x) is np.ndarray and x.dtype.kind != "c":
        return x
    if isinstance(x, list | tuple):
        _check_nested(x, name)
    else:
        refuse(x, name)
        x = _native(x)
    try:
        array = _frame_values(x) if is_frame(x) else np.asarray(_series_values(x, name))
    except _ERRORS as error:
        raise _error(error)(f"{name}: expected an array of regular shape: {error}") from error
    if array.dtype.kind == "c":
        raise ValueError(f"{name}: {_no_numbers(array.dtype)}")
    return array


def read_numbers(x: Any, name: str) -> Array:
    """Return the numbers of one array-like, of a native dtype; objects become float64."""
    if is_frame(x) and not _has_plain_dtypes(x):
        columns = [
            read_numbers(_column(x, k), f"{name}, column {label!r}")
            for k, label in enumerate(column_names(x))
        ]
        return np.column_stack(columns)
    array = read_values(x, name)
    kind = array.dtype.kind
    if kind in "OSUT":
        return _numbers_of_objects(array, name)
    if kind not in NUMBERS:
        raise ValueError(f"{name}: {_no_numbers(array.dtype)}")
    if array.dtype.itemsize > 8 or not array.dtype.isnative:
        native = np.dtype(np.float64) if kind == "f" and array.dtype.itemsize > 4 else None
        with np.errstate(over="ignore"):
            return array.astype(native or array.dtype.newbyteorder("="))
    return array


def _no_numbers(dtype: Any) -> str:
    if dtype.kind in "mM":
        return (
            f"expected numbers, got dates or time spans ({dtype}); convert them to numbers, for "
            "example to seconds with (t - t[0]) / np.timedelta64(1, 's')"
        )
    if dtype.kind == "c":
        return f"Complex data not supported, expected real numbers, got {dtype}"
    return f"expected numbers, got dtype {dtype}"


def _numbers_of_objects(array: Array, name: str) -> Array:
    """Return objects as float64; missing ones are NaN. A text is refused, even of a number."""
    values = array.astype(object)
    _check_no_texts(values, name)
    for place, value in np.ndenumerate(values):
        if isinstance(value, np.datetime64 | np.timedelta64):
            raise ValueError(f"{_at(name, place)}: {_no_numbers(value.dtype)}")
        if type(value).__name__ in ("NAType", "NaTType"):
            values[place] = np.nan
    try:
        with np.errstate(over="ignore"):
            return np.asarray(values, np.float64)
    except _ERRORS:
        for place, value in np.ndenumerate(values):
            _check_float(value, _at(name, place))
        raise


def _check_no_texts(values: Array, name: str) -> None:
    """Raise an error for the first text, or rather for the first that is not a number."""
    texts = [(k, x) for k, x in np.ndenumerate(values) if isinstance(x, str | bytes)]
    for place, text in texts:
        if not _is_float(text):
            advice = f"; {_ENCODE}" if name.startswith("X") else ""
            raise ValueError(
                f"{_at(name, place)}: expected numbers: could not convert string to float: "
                f"{str(text)!r}{advice}"
            )
    if texts:
        place, text = texts[0]
        raise ValueError(
            f"{_at(name, place)}: expected numbers, got the text {text!r}; convert texts with "
            "astype(float)"
        )


def _check_float(value: Any, name: str) -> None:
    try:
        np.asarray(value, np.float64)
    except _ERRORS as error:
        raise _error(error)(f"{name}: expected numbers: {error}") from error


def _is_float(text: str | bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _at(name: str, place: tuple[int, ...]) -> str:
    """Return the name of a sample; a value within a sample has the name of the sample."""
    if ", column" in name:
        return f"{name}, row {place[0]}"
    return f"{name}[{place[0]}]" if place and not name.endswith("]") else name


def _error(error: Exception) -> type[Exception]:
    """Return the class of the error to raise: TypeError or ValueError."""
    return TypeError if isinstance(error, TypeError) else ValueError


def _has_plain_dtypes(frame: Any) -> bool:
    """Whether the columns of a frame of pandas have dtypes of NumPy that are numbers."""
    dtypes = getattr(frame, "dtypes", [None])
    return all(isinstance(dtype, np.dtype) and dtype.kind in NUMBERS for dtype in dtypes)


def _frame_values(frame: Any) -> Array:
    if _has_plain_dtypes(frame):
        return np.asarray(frame.to_numpy())
    columns = [_series_values(_column(frame, k), "") for k in range(frame.shape[1])]
    return np.column_stack([np.asarray(column) for column in columns])


def _series_values(x: Any, name: str) -> Any:
    """Return the values of a series, whose missing numbers are NaN; another object unchanged."""
    if not _is_series(x):
        return x
    dtype = getattr(x, "dtype", None)
    if "Sparse" in type(dtype).__name__:
        raise TypeError(f"{name}: Sparse data was passed, but dense data is required, got {dtype}")
    categories = getattr(getattr(dtype, "categories", None), "dtype", None)
    if getattr(categories, "kind", "O") in NUMBERS:
        return x.to_numpy().astype(np.float64)
    numpy_dtype = getattr(dtype, "numpy_dtype", None)
    if numpy_dtype is not None and numpy_dtype.kind in NUMBERS:
        single = numpy_dtype == np.float32
        return x.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
    return x.to_numpy()


# --- other libraries ---


def _module(X: Any) -> str:
    return type(X).__module__.partition(".")[0]


def _is_polars(X: Any) -> bool:
    return _module(X) == "polars"


def _is_arrow(X: Any) -> bool:
    return _module(X) == "pyarrow"


def _is_series(X: Any) -> bool:
    return (hasattr(X, "iloc") or _is_polars(X) or _is_arrow(X)) and not is_frame(X)


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
