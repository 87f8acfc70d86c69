"""Lists of arrays, one a sequence: what converters and metrics make of every form.

Shapes: ``T_i`` time steps of the i-th sequence, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def is_array(X: Any) -> bool:
    """Whether ``X`` is one array or frame, not a list or object array with one array a sequence."""
    if isinstance(X, list | tuple):
        return False
    shape = getattr(X, "shape", ())
    return len(shape) > 1 or (len(shape) == 1 and getattr(X.dtype, "kind", "") != "O")


def has_axes(element: Any) -> bool:
    """Whether ``element`` is an array, series or frame rather than a scalar."""
    return len(getattr(element, "shape", ())) > 0


def as_list(X: Any, name: str = "X") -> list[Array]:
    """One array (T_i, ...) a sequence, views of arrays; the rows of an array are its sequences."""
    if not is_array(X) and not isinstance(X, list | tuple) and not has_axes(X):
        raise ValueError(
            f"{name}: expected an array or a list of arrays, one a sequence, got {type(X).__name__}"
        )
    parts = [_one(x, f"{name}[{k}]") for k, x in enumerate(np.asarray(X) if is_array(X) else X)]
    if not parts:
        raise ValueError(f"{name}: expected at least one sequence, got none")
    return parts


def _one(x: Any, name: str) -> Array:
    try:
        part = np.asarray(x)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name}: expected one sequence, of regular shape: {error}") from error
    if part.ndim not in (1, 2):
        raise ValueError(
            f"{name}: expected one sequence, of shape (n_timesteps,) or (n_timesteps, n_features), "
            + (f"got shape {part.shape}" if part.ndim else f"got {x!r}")
        )
    if part.size == 0:
        raise ValueError(f"{name}: expected at least one time step, got shape {part.shape}")
    return part


def as_sequences(X: Any) -> list[Array]:
    """As `as_list`, without the padding of a 3-D array, and with one number of features for all."""
    array = np.asarray(X) if is_array(X) else None
    padded = array is not None and array.ndim == 3 and array.dtype.kind == "f"
    return check_alike(unpadded(array) if padded and array is not None else as_list(X))


def unpadded(array: Array) -> list[Array]:
    """The sequences of a 3-D array up to the last step that is not NaN in every feature, views."""
    if array.size == 0:
        raise ValueError(
            "X: expected at least one sequence, one time step and one feature, "
            f"got shape {array.shape}"
        )
    valid = (array == array).any(axis=2)
    lengths = np.where(valid.any(axis=1), array.shape[1] - np.argmax(valid[:, ::-1], axis=1), 0)
    for k in np.flatnonzero(lengths == 0)[:1]:
        raise ValueError(f"X[{k}]: expected at least one time step that is not NaN, got none")
    return [sample[:length] for sample, length in zip(array, lengths, strict=True)]


def as_columns(part: Array) -> Array:
    """With an axis for features."""
    return part[:, None] if part.ndim == 1 else part


def check_alike(parts: list[Array], name: str = "X") -> list[Array]:
    """The same, if all have the shape of the first beyond their steps."""
    expected = parts[0].shape[1:]
    for k, part in enumerate(parts):
        if part.shape[1:] != expected:
            raise ValueError(
                f"{name}[{k}]: expected {_features(expected)} as in {name}[0], "
                f"got {_features(part.shape[1:])}"
            )
    return parts


def _features(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} feature(s)" if shape else "a 1-D sequence"


def check_count(items: Sequence[Any] | Array, expected: int, name: str, like: str = "X") -> None:
    """One for each sequence."""
    if not isinstance(items, list | tuple) and np.ndim(items) == 0:
        raise ValueError(f"{name}: expected one for each of the {expected} sequence(s) in {like}")
    if len(items) != expected:
        raise ValueError(
            f"{name}: expected {expected}, one for each sequence in {like}, got {len(items)}"
        )


def check_lengths(parts: list[Array], others: list[Array], name: str, like: str) -> None:
    """As many sequences as ``others``, each with as many steps."""
    check_count(parts, len(others), name, like)
    for k, (part, other) in enumerate(zip(parts, others, strict=True)):
        if len(part) != len(other):
            raise ValueError(
                f"{name}[{k}]: expected {len(other)} step(s) as in {like}[{k}], got {len(part)}"
            )


def as_numbers(x: Any, name: str) -> Array:
    """An array of numbers; objects become float64."""
    try:
        array = np.asarray(x)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected numbers: {error}") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected numbers, got dtype {array.dtype}")
    return array
