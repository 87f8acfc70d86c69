"""Check sample weights: one weight for each sequence, or one for each time step.

Shapes: ``n`` sequences, ``T_i`` time steps of the i-th sequence, ``S`` steps of all sequences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklstm.sequences._containers import open_container, read_numbers
from sklstm.sequences._ragged import as_list
from sklstm.sequences._reading import is_list_of_sequences

Array = NDArray[Any]
Weights = NDArray[np.float64]


def check_weights(sample_weight: Any, n_samples: int) -> Weights:
    """Return the weights as an array of shape (n_samples,); ones if they are None."""
    if sample_weight is None:
        return np.ones(n_samples)
    if np.isscalar(sample_weight):
        raise ValueError(f"sample_weight: expected an array of weights, got {sample_weight!r}")
    weights = _as_floats(sample_weight, "sample_weight")
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected {(n_samples,)}: one weight for each "
            "sample"
        )
    return _check_valid(weights, "sample_weight")


def check_step_weights(
    sample_weight: Any, lengths: ArrayLike, n_timesteps: int | None = None
) -> Weights:
    """Return one weight for each step of all sequences, shape (S,).

    ``sample_weight`` has one weight for each sequence (n,), or one for each step: arrays (T_i,),
    or one array (n, n_timesteps), whose weights of padded steps are ignored.
    """
    lengths = np.asarray(lengths)
    if sample_weight is None:
        return np.ones(int(lengths.sum()))
    sample_weight = open_container(sample_weight, "sample_weight")
    if not is_list_of_sequences(sample_weight) and np.ndim(sample_weight) < 2:
        return np.repeat(check_weights(sample_weight, len(lengths)), lengths)
    parts = as_list(sample_weight, "sample_weight")
    if len(parts) != len(lengths):
        raise ValueError(
            f"sample_weight: expected weights of {len(lengths)} sequence(s), got {len(parts)}"
        )
    weights = [
        _weights_of_one(part, length, n_timesteps, f"sample_weight[{k}]")
        for k, (part, length) in enumerate(zip(parts, lengths, strict=True))
    ]
    return np.concatenate(weights)


def _weights_of_one(weights: Array, length: int, n_timesteps: int | None, name: str) -> Weights:
    """Return the weights of the steps of one sequence, without padding, shape (T_i,)."""
    if weights.ndim != 1 or len(weights) not in (length, n_timesteps):
        raise ValueError(
            f"{name}: expected one weight for each of the {length} time step(s), got shape "
            f"{weights.shape}"
        )
    return _check_valid(_as_floats(weights[:length], name), name)


def _as_floats(weights: Any, name: str) -> Weights:
    if type(weights) is np.ndarray and weights.dtype.kind in "fiub":
        return weights.astype(np.float64, copy=False)  # check_array is slow for many sequences
    try:
        return read_numbers(weights, name).astype(np.float64, copy=False)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _check_valid(weights: Weights, name: str) -> Weights:
    """Return the weights if all are finite and none is negative."""
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ValueError(f"{name}[{k}]: expected a finite weight, zero or more, got {weights[k]}")
    return weights
