"""Stack targets and weights of time steps, and return predictions in the form of the targets.

Shapes: ``K`` outputs.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sklstm.sequences._containers import open_container, read_values
from sklstm.sequences._packing import Sequences
from sklstm.sequences._ragged import concatenated
from sklstm.sequences._reading import is_list_of_sequences
from sklstm.sequences._weights import check_step_weights

Rows = NDArray[Any]
TargetForm = Literal["array", "list", "object"]


def stack_steps(values: Any, sequences: Sequences, name: str) -> Rows:
    """Return one row for each time step of ``sequences``.

    ``values`` is an array (n_samples, n_timesteps[, K]), whose values at padded steps are dropped,
    or a list of arrays (n_timesteps_i[, K]). ``name`` is its name in error messages.
    """
    values = open_container(values, name)
    if is_list_of_sequences(values):
        return _stack_list(values, sequences, name)
    array = read_values(values, name)
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
    """Return which values are missing: NaN, NaT, None and pandas.NA."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
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


def form_of_targets(y: Any) -> TargetForm:
    """Return the form of targets of time steps: one array, a list, or an object array."""
    opened = open_container(y, "y")
    if not is_list_of_sequences(opened):
        return "array"
    return "list" if isinstance(y, list | tuple) or not isinstance(y, np.ndarray) else "object"


def like_targets(parts: list[tuple[Rows, Sequences]], form: TargetForm) -> Any:
    """Return the rows of all parts of X in the form of the targets.

    An array is not possible, and a list is returned, if the sequences of a list differ in length.
    """
    if form == "array" and parts[0][1].form != "list":
        ((rows, sequences),) = parts
        return sequences.like_input(rows)
    steps = [step for rows, sequences in parts for step in np.split(rows, sequences.starts[1:])]
    if form == "array" and len(set(map(len, steps))) == 1:
        return np.array(steps)
    return as_objects(steps) if form == "object" else steps


def as_objects(steps: list[Rows]) -> NDArray[Any]:
    """Return an object array (n_sequences,) of the arrays."""
    objects = np.empty(len(steps), dtype=object)
    for k, step in enumerate(steps):
        objects[k] = step
    return objects


def _stack_list(values: Any, sequences: Sequences, name: str) -> Rows:
    if len(values) != len(sequences):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: "
            f"[{len(sequences)}, {len(values)}] (X and {name})"
        )
    parts = [read_values(part, f"{name}[{k}]") for k, part in enumerate(values)]
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
    return concatenated(parts, name)
