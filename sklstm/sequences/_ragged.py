"""Convert sequences of any form to a list with one array for each sequence.

Shapes: ``T_i`` time steps of the i-th sequence, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm.sequences._containers import open_container, read_numbers, read_values
from sklstm.sequences._reading import is_list_of_sequences

Array = NDArray[Any]


def as_list(X: Any, name: str = "X") -> list[Array]:
    """Return one array (T_i, ...) for each sequence; the rows of an array are its sequences.

    The arrays are views where ``X`` is or holds arrays.
    """
    X = open_container(X, name)
    elements = X if isinstance(X, list | tuple) else read_values(X, name)
    if isinstance(elements, np.ndarray) and elements.ndim == 0:
        raise ValueError(
            f"{name}: expected an array or a list with one array for each sequence, "
            f"got {type(X).__name__}"
        )
    parts = [_one_sequence(x, f"{name}[{k}]") for k, x in enumerate(elements)]
    if not parts:
        raise ValueError(f"{name}: expected at least one sequence, got none")
    return parts


def _one_sequence(x: Any, name: str) -> Array:
    part = read_values(x, name)
    if part.ndim not in (1, 2):
        raise ValueError(
            f"{name}: expected one sequence of shape (n_timesteps,) or (n_timesteps, n_features), "
            + (f"got shape {part.shape}" if part.ndim else f"got {x!r}")
        )
    if part.size == 0:
        raise ValueError(f"{name}: expected at least one time step, got shape {part.shape}")
    return part


def as_sequences(X: Any, name: str = "X") -> list[Array]:
    """Return one array for each sequence, all with the same features and without padding."""
    X = open_container(X, name)
    if not is_list_of_sequences(X):
        array = read_values(X, name)
        if array.ndim == 3 and array.dtype.kind == "f":
            return unpadded(array, name)
    return check_alike(as_list(X, name), name)


def unpadded(array: Array, name: str = "X") -> list[Array]:
    """Return a view of each sequence in a 3-D array, without the NaN steps at its end."""
    if array.size == 0:
        raise ValueError(
            f"{name}: expected at least one sequence, one time step and one feature, "
            f"got shape {array.shape}"
        )
    valid = (array == array).any(axis=2)
    lengths = np.where(valid.any(axis=1), array.shape[1] - np.argmax(valid[:, ::-1], axis=1), 0)
    for k in np.flatnonzero(lengths == 0)[:1]:
        raise ValueError(f"{name}[{k}]: expected at least one time step that is not NaN, got none")
    return [sample[:length] for sample, length in zip(array, lengths, strict=True)]


def as_columns(part: Array) -> Array:
    """Return the array with an axis for features."""
    return part[:, None] if part.ndim == 1 else part


def check_alike(parts: list[Array], name: str = "X") -> list[Array]:
    """Return the arrays if all have the same shape apart from the number of steps."""
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


def concatenated(parts: list[Array], name: str = "X") -> Array:
    """Return the arrays joined along the steps; an error names the first of another kind."""
    try:
        return np.concatenate(parts)
    except TypeError:
        dates = [part.dtype.kind in "mM" for part in parts]
        k = dates.index(not dates[0]) if not all(dates) else 1
        raise ValueError(
            f"{name}[{k}]: expected values of the same kind as in {name}[0], got dtype "
            f"{parts[k].dtype} and {parts[0].dtype}"
        ) from None


def check_count(items: Sequence[Any] | Array, expected: int, name: str, like: str = "X") -> None:
    """Raise unless there is one item for each sequence of ``like``."""
    if not isinstance(items, list | tuple) and np.ndim(items) == 0:
        raise ValueError(f"{name}: expected one for each of the {expected} sequence(s) in {like}")
    if len(items) != expected:
        raise ValueError(
            f"{name}: expected {expected}, one for each sequence in {like}, got {len(items)}"
        )


def check_lengths(parts: list[Array], others: list[Array], name: str, like: str) -> None:
    """Raise unless the arrays have the same number of steps as the others, one by one."""
    check_count(parts, len(others), name, like)
    for k, (part, other) in enumerate(zip(parts, others, strict=True)):
        if len(part) != len(other):
            raise ValueError(
                f"{name}[{k}]: expected {len(other)} step(s) as in {like}[{k}], got {len(part)}"
            )


def as_numbers(x: Any, name: str) -> Array:
    """Return an array of numbers; objects are converted to float64."""
    try:
        return read_numbers(x, name)
    except TypeError as error:
        raise ValueError(str(error)) from error
