"""Stack targets and weights of time steps, and return predictions in the form of the targets.

Shapes: ``K`` outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from sklstm.sequences._packing import Sequences
from sklstm.sequences._reading import is_list_of_sequences
from sklstm.sequences._weights import check_step_weights

Rows = NDArray[Any]


def stack_steps(values: Any, sequences: Sequences, name: str) -> Rows:
    """Return one row for each time step of ``sequences``.

    ``values`` is an array (n_samples, n_timesteps[, K]), whose values at padded steps are dropped,
    or a list of arrays (n_timesteps_i[, K]). ``name`` is its name in error messages.
    """
    if is_list_of_sequences(values):
        return _stack_list(values, sequences, name)
    array = _as_array(values, name)
    steps = sequences.n_timesteps or int(sequences.lengths[0])
    fits = sequences.n_timesteps is not None or bool((sequences.lengths == steps).all())
    if array.ndim < 2 or array.shape[:2] != (len(sequences), steps) or not fits:
        expected = f"an array {(len(sequences), steps)}[, K]" if fits else "a list of arrays"
        raise ValueError(
            f"{name}: expected one value for each step, {expected}, got shape {array.shape}"
        )
    return array[np.arange(steps) < sequences.lengths[:, None]]


def stack_weights(sample_weight: Any, sequences: Sequences) -> NDArray[np.float64]:
    """Return one weight for each time step, from one for each sequence or for each step."""
    return check_step_weights(sample_weight, sequences.lengths, sequences.n_timesteps)


def known_rows(values: Rows, weights: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the rows of weight above zero whose value is not missing.

    A row of several values is known if all of them are.
    """
    missing = missing_values(values).reshape(len(values), -1)
    return np.flatnonzero((weights > 0) & ~missing.any(axis=1))


def missing_values(values: Rows) -> NDArray[np.bool_]:
    """Return which values are missing: NaN, None and pandas.NA."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind == "O":
        missing = [_is_missing(value) for value in values.flat]
        return np.array(missing, dtype=bool).reshape(values.shape)
    return np.zeros(values.shape, dtype=bool)


def known_values(values: Rows, rows: NDArray[np.intp]) -> Rows:
    """Return these rows; objects in the dtype that they have without the missing values."""
    known = values[rows]
    return np.array(known.tolist()) if known.dtype.kind == "O" else known


def _is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN or pandas.NA; the name avoids an import of pandas."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def like_targets(rows: Rows, sequences: Sequences, as_array: bool) -> Any:
    """Return rows as an array if the targets were one and lengths allow it, else as a list."""
    if not as_array:
        return np.split(rows, sequences.starts[1:])
    lengths = sequences.lengths
    if sequences.form == "list" and (lengths == lengths[0]).all():
        return rows.reshape(len(lengths), lengths[0], *rows.shape[1:])
    return sequences.like_input(rows)


def _stack_list(values: Any, sequences: Sequences, name: str) -> Rows:
    if len(values) != len(sequences):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: "
            f"[{len(sequences)}, {len(values)}] (X and {name})"
        )
    parts = [_as_array(part, f"{name}[{k}]") for k, part in enumerate(values)]
    for k, (part, length) in enumerate(zip(parts, sequences.lengths, strict=True)):
        if part.ndim == 0 or len(part) != length:
            raise ValueError(
                f"{name}[{k}]: expected one value for each of the {length} steps of X[{k}], got "
                f"shape {part.shape}"
            )
        if part.shape[1:] != parts[0].shape[1:]:
            raise ValueError(
                f"{name}[{k}]: expected shape {(length, *parts[0].shape[1:])}, got {part.shape}"
            )
    return np.concatenate(parts)


def _as_array(values: Any, name: str) -> Rows:
    """Return numbers or labels without conversion. NaN is checked after padding is dropped."""
    return check_array(
        values,
        dtype=None,
        ensure_2d=False,
        allow_nd=True,
        ensure_all_finite=False,
        ensure_min_samples=0,
        ensure_min_features=0,
        input_name=name,
    )
