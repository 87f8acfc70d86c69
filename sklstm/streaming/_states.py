"""Read steps and check saved states and masks; mark predictions that do not exist yet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklstm._network.kernels.limits import largest_input

Array = NDArray[np.floating]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def read_floats(
    X_t: Any, shape: tuple[int, int], dtypes: tuple[np.dtype[np.floating], ...]
) -> tuple[Array | None, Array | None]:
    """A step of plain floats in this shape and in one of these dtypes, and as it was given.

    Twice None for all else, and for all that is an error.
    """
    if type(X_t) is np.ndarray and X_t.shape == shape and X_t.dtype in dtypes:
        return X_t, X_t
    given = _plain_floats(X_t)
    if given is None:
        return None, None
    if given.shape != shape:
        if given.ndim != 1 or given.size != shape[0] * shape[1] or 1 not in shape:
            return None, None
        given = given.reshape(shape)
    if given.dtype in dtypes:
        return given, given
    with np.errstate(over="ignore"):  # the kernels refuse infinity
        return given.astype(dtypes[0]), given


def _plain_floats(X_t: Any) -> Array | None:
    """An array of floats, or one made of a list or a row of floats; None for all else."""
    if type(X_t) is np.ndarray:
        return X_t if X_t.dtype in _FLOATS else None
    if type(X_t) is not list:
        return None
    if len(X_t) == 1 and type(X_t[0]) is list:
        row = X_t[0]
        return np.array(row)[np.newaxis] if set(map(type, row)) == {float} else None
    return np.array(X_t) if set(map(type, X_t)) == {float} else None


def as_counts(name: str, given: ArrayLike, n_streams: int) -> NDArray[np.intp]:
    """The numbers of steps of a saved state, checked."""
    counts = _as_numbers(name, given, (n_streams,), "iuf")
    valid = (counts >= 0) & (counts == np.floor(counts)) & (counts < 2.0**62)
    if not valid.all():
        value = counts[np.argmin(valid)]
        raise ValueError(f"state[{name!r}]: expected whole numbers, zero or more, got {value}")
    return counts.astype(np.intp)


def as_state(
    name: str, given: ArrayLike, like: Array, may_be_minus_infinity: NDArray[np.bool_]
) -> Array:
    """An array of a saved state, checked, in the dtype of the current one.

    ``may_be_minus_infinity`` (n_streams,) tells in which streams the values may be minus infinity.
    """
    numbers = _as_numbers(name, given, like.shape, "fiu")
    valid = np.abs(numbers) <= largest_input(like.dtype)
    valid |= (numbers == -np.inf) & may_be_minus_infinity[:, None]
    if not valid.all():
        value = numbers[tuple(np.argwhere(~valid)[0])]
        raise ValueError(
            f"state[{name!r}]: expected finite numbers that a stream can have, got {value}"
        )
    return numbers.astype(like.dtype)


def _as_numbers(name: str, given: ArrayLike, shape: tuple[int, ...], kinds: str) -> NDArray[Any]:
    """An array of a saved state, if it has this shape and its dtype is of one of these kinds."""
    try:
        array = np.asarray(given)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"state[{name!r}]: expected an array of shape {shape}: {error}") from error
    if array.shape != shape or array.dtype.kind not in kinds:
        raise ValueError(
            f"state[{name!r}]: expected numbers of shape {shape}, got shape {array.shape} and "
            f"dtype {array.dtype}"
        )
    return array


def as_step_state(name: str, given: ArrayLike, like: NDArray[Any]) -> NDArray[Any]:
    """A state of a transformer, checked; NaN is a value that is not known yet."""
    if like.dtype.kind in "iu":
        return as_counts(name, given, len(like))
    numbers = _as_numbers(name, given, like.shape, "fiu")
    if np.isinf(numbers).any():
        raise ValueError(f"state[{name!r}]: expected finite numbers or NaN, got infinity")
    return numbers.astype(like.dtype)


def as_mask(mask: ArrayLike | None, n_streams: int) -> NDArray[np.bool_]:
    """A mask (n_streams,), checked."""
    if mask is None:
        return np.ones(n_streams, dtype=bool)
    array = np.asarray(mask)
    if array.shape != (n_streams,) or array.dtype != bool:
        raise ValueError(
            f"mask: expected booleans of shape ({n_streams},), got shape {array.shape} and dtype "
            f"{array.dtype}"
        )
    return array


def without(
    predictions: NDArray[Any], none_yet: NDArray[np.bool_] | None, mark: float | None
) -> NDArray[Any]:
    """The predictions, with ``mark`` where there is none yet."""
    if none_yet is None or not none_yet.any():
        return predictions
    marked = predictions.astype(object if mark is None else predictions.dtype)
    marked[none_yet] = mark
    return marked
