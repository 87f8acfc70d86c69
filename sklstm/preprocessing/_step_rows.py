"""Read time steps as the rows of one table, for transformers of tables.

Unlike `check_sequences`, this keeps the dtype: steps may hold words or categories, and frames stay
frames.

Shapes: ``S`` steps of all sequences, ``D`` channels.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, check_consistent_length

from sklstm.sequences import Sequences
from sklstm.sequences._containers import is_frame, open_container, read_values
from sklstm.sequences._input_form import has_text_index, join_dicts
from sklstm.sequences._ragged import concatenated
from sklstm.sequences._reading import is_list_of_sequences, too_few_dimensions
from sklstm.sequences._step_values import missing_values, stack_steps

Array = NDArray[Any]


def read_rows(X: Any, estimator: Any) -> Sequences:
    """Sequences whose ``values`` are an array or a frame of S rows, in the dtype of X."""
    X = open_container(X)
    return _from_list(X) if is_list_of_sequences(X) else _from_array(X)


def read_step_rows(X_t: Any, names: list[str] | None, library: str | None) -> Any:
    """One time step of several streams, as an array (n, D) or a frame of n rows.

    A dict gives the features by name, in any order, and becomes a frame of the ``library``.
    """
    X_t = join_dicts(X_t)
    by_name = isinstance(X_t, Mapping) or (names is not None and has_text_index(X_t))
    if by_name and (names is None or library is None):
        raise ValueError(
            "X_t: expected an array, since the transformer was fitted without frames, got an "
            f"object of type {type(X_t).__name__}"
        )
    if by_name:
        found: Any = list(X_t.keys())
        if sorted(found) != sorted(names or []):
            raise ValueError(f"X_t: expected the features {names} once each, got {found}")
        return frame_of([np.atleast_1d(X_t[name]) for name in names or []], names, library)
    X_t = open_container(X_t, "X_t")
    if not _is_data_frame(X_t):
        return read_values(X_t, "X_t")
    if names is not None and list(X_t.columns) != names:
        raise ValueError(f"X_t: expected the columns {names}, got {list(X_t.columns)}")
    return X_t


def repeat_targets(y: Any, sequences: Sequences) -> tuple[Any, bool]:
    """Targets of the rows, and whether ``y`` has one for each time step.

    Otherwise it has one for each sequence, which is repeated.
    """
    if y is None:
        return None, False
    if is_list_of_sequences(y):
        if len(y) != len(sequences) or _has_value_for_each_step(y, sequences):
            return stack_steps(y, sequences, "y"), True
        y = [read_values(part, f"y[{k}]") for k, part in enumerate(y)]
    targets = check_array(
        y, dtype=None, ensure_2d=False, allow_nd=True, ensure_all_finite=False, input_name="y"
    )
    check_consistent_length(sequences, targets)
    steps = sequences.n_timesteps or int(sequences.lengths[0])
    equal = sequences.n_timesteps is not None or bool((sequences.lengths == steps).all())
    if equal and targets.ndim > 1 and targets.shape[1] == steps:
        return stack_steps(targets, sequences, "y"), True
    return np.repeat(targets, sequences.lengths, axis=0), False


def frame_of(columns: Iterable[Array], names: list[str] | None, library: str | None) -> Any:
    """A frame of pandas or polars, whose columns have these names."""
    # Lists, so that the library finds the dtype of a column of objects.
    values = [column.tolist() if column.dtype.kind == "O" else column for column in columns]
    return import_module(str(library)).DataFrame(dict(zip(names or [], values, strict=True)))


def _has_value_for_each_step(y: Any, sequences: Sequences) -> bool:
    """Whether the elements of a list are as long as the sequences."""
    lengths = [len(part) if hasattr(part, "__len__") else -1 for part in y]
    return bool((np.array(lengths) == sequences.lengths).all())


def as_rows(found: Any, n_rows: int, transformer: Any, unit: str = "time step") -> Array:
    """What a transformer returned, as an array (n_rows, k); an error if rows are missing."""
    if hasattr(found, "toarray"):  # a sparse matrix
        found = found.toarray()
    rows = found.to_numpy() if hasattr(found, "columns") else np.asarray(found)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or len(rows) != n_rows or rows.shape[1] == 0:
        raise ValueError(
            f"transformer: expected one row with at least one column for each of the {n_rows} "
            f"{unit}s, {type(transformer).__name__} returned shape {rows.shape}"
        )
    return rows


def take_rows(values: Any, rows: NDArray[np.intp]) -> Any:
    """Some rows of an array or a frame."""
    return values.iloc[rows] if hasattr(values, "iloc") else values[rows]


def where_not_finite(sequences: Sequences) -> str | None:
    """The sample, step and feature of the first value that is missing or infinite."""
    values: Any = sequences.values
    values = values.to_numpy() if hasattr(values, "columns") else values
    wrong = missing_values(values)
    if values.dtype.kind == "f":
        wrong |= np.isinf(values)
    if not wrong.any():
        return None
    row, feature = np.argwhere(wrong)[0]
    sample, step = sequences.where(row)
    return f"X[{sample}], time step {step}, feature {feature}: {values[row, feature]}"


def _from_list(X: Any) -> Sequences:
    frames = all(map(_is_data_frame, X))
    parts: list[Any] = list(X) if frames else [_one_sequence(x, k) for k, x in enumerate(X)]
    lengths = np.fromiter(map(len, parts), dtype=np.intp, count=len(parts))
    for k, (x, part) in enumerate(zip(X, parts, strict=True)):
        _check_like_first(part, parts[0], k)
        if frames and list(x.columns) != list(X[0].columns):
            raise ValueError(
                f"X[{k}]: expected the columns {list(X[0].columns)} as in X[0], got "
                f"{list(x.columns)}"
            )
    flat = not frames and all(np.ndim(x) == 1 for x in X)
    values: Any = _concatenated_frames(parts) if frames else concatenated(parts)
    return Sequences(values, lengths, "list", X[0] if frames else None, flat=flat)


def _is_data_frame(x: Any) -> bool:
    """Whether this is a frame of pandas or polars; a table of pyarrow is read as an array."""
    return is_frame(x) and hasattr(x, "to_numpy")


def _one_sequence(x: Any, sample: int) -> Array:
    """Return one element of a list as an array (n_timesteps, n_features) of any dtype."""
    array = read_values(x, f"X[{sample}]")
    if array.ndim not in (1, 2) or array.shape[1:] == (0,):
        raise ValueError(
            f"X[{sample}]: expected shape (n_timesteps, n_features) or (n_timesteps,), got "
            f"{array.shape}"
        )
    return array[:, None] if array.ndim == 1 else array


def _check_like_first(part: Any, first: Any, sample: int) -> None:
    if len(part) == 0:
        raise ValueError(f"X[{sample}]: an empty sequence; expected at least one time step")
    if part.shape[1] != first.shape[1]:
        raise ValueError(
            f"X[{sample}]: expected {first.shape[1]} feature(s) as in X[0], got {part.shape[1]}"
        )


def _concatenated_frames(frames: list[Any]) -> Any:
    """One frame of the rows of all, by the library that they are from, which is not imported."""
    libraries = [type(frame).__module__.partition(".")[0] for frame in frames]
    for k, library in enumerate(libraries):
        if library != libraries[0]:
            raise ValueError(
                f"X[{k}]: expected a frame of {libraries[0]} as in X[0], got one of {library}"
            )
    concat: Any = sys.modules[libraries[0]].concat
    return concat(frames, ignore_index=True) if hasattr(frames[0], "iloc") else concat(frames)


def _from_array(X: Any) -> Sequences:
    array = read_values(X, "X")
    if array.ndim < 2:
        raise ValueError(too_few_dimensions(array))
    _check_not_empty(array)
    if array.ndim == 2:
        frame = X if hasattr(X, "columns") else None
        lengths = np.full(len(array), array.shape[1])
        return Sequences(array.reshape(-1, 1), lengths, "2d", frame, array.shape[1], flat=True)
    if array.ndim > 3:
        raise ValueError(
            "X: expected a 2-D array (n_samples, n_timesteps), a 3-D array (n_samples, n_timesteps,"
            f" n_features) or a list of sequences, got an array of shape {array.shape}"
        )
    return _unpadded(array)


def _check_not_empty(array: Array) -> None:
    names = ["sample", "feature"] if array.ndim == 2 else ["sample", "time step", "feature"]
    for name, size in zip(names, array.shape, strict=False):
        if size == 0:  # in the words of scikit-learn, which its checks of estimators expect
            raise ValueError(
                f"X: Found array with 0 {name}(s) (shape={array.shape}) while a minimum of 1 is "
                "required."
            )


def _unpadded(array: Array) -> Sequences:
    """The sequences of a 3-D array, without the steps at the end that are missing everywhere."""
    given = np.logical_or.reduce(~missing_values(array), axis=2)
    lengths = np.where(given.any(axis=1), array.shape[1] - np.argmax(given[:, ::-1], axis=1), 0)
    if (lengths == array.shape[1]).all():
        values = array.reshape(-1, array.shape[2])
    else:
        for k in np.flatnonzero(lengths == 0)[:1]:
            raise ValueError(f"X[{k}]: expected at least one time step that is not missing")
        values = array[np.arange(array.shape[1]) < lengths[:, None]]
    return Sequences(values, lengths, "3d", None, array.shape[1])
