"""Targets and weights with one value a step: from what users give to stacked rows and back."""

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
    """One row for each step of ``sequences``, from a list of arrays or a padded array.

    ``values`` are (n_samples, n_timesteps[, K]), or (n_timesteps_i[, K]) for each sample; what
    stands beside padding is left out. ``name`` is what errors call them.
    """
    if is_list_of_sequences(values):
        return _stack_list(values, sequences, name)
    array = _as_array(values, name)
    steps = sequences.n_timesteps or int(sequences.lengths[0])
    even = sequences.n_timesteps is not None or bool((sequences.lengths == steps).all())
    if array.ndim < 2 or array.shape[:2] != (len(sequences), steps) or not even:
        expected = f"an array {(len(sequences), steps)}[, K]" if even else "a list of arrays"
        raise ValueError(
            f"{name}: expected one value for each step, {expected}, got shape {array.shape}"
        )
    return array[np.arange(steps) < sequences.lengths[:, None]]


def stack_weights(sample_weight: Any, sequences: Sequences) -> NDArray[np.float64]:
    """Return one weight for each step, from one for each sequence or for each step."""
    return check_step_weights(sample_weight, sequences.lengths, sequences.n_timesteps)


def like_targets(rows: Rows, sequences: Sequences, as_array: bool) -> Any:
    """Rows as an array where the targets were one and the lengths allow it, else as a list."""
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
        if part.ndim not in (1, 2) or len(part) != length:
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
    """Numbers or labels, as they are; NaN only beside padding, so it is checked later."""
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
