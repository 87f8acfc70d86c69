"""Pooling over time: from the hidden states of a sequence to one vector for the output layer.

Shapes: ``n`` sequences, ``W`` the width of the layer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklstm._network.hidden import HiddenStates
from sklstm._network.kernels.pooled import Pooled

Array = NDArray[np.floating]
Lengths = NDArray[np.intp]

POOLINGS = ("last", "mean", "max", "mean_max")


def width(kind: str, hidden: int) -> int:
    """Return the number of values that the pooling makes of ``hidden`` units."""
    return 2 * hidden if kind == "mean_max" else hidden


def needs_steps(kind: str) -> bool:
    """Return whether the pooling uses the hidden states of all steps."""
    return kind != "last"


def initial(kind: str, n: int, width: int, dtype: DTypeLike, need_argmax: bool = False) -> Pooled:
    """Return the sum and the maximum of no steps, each if the pooling uses it."""
    total = np.zeros((n, width), dtype) if "mean" in kind else None
    maximum = argmax = None
    if "max" in kind:
        maximum = np.empty((n, width), dtype)
        maximum.fill(-np.inf)
        argmax = np.zeros((n, width), np.intp) if need_argmax else None
    return Pooled(total, maximum, argmax)


def finish(kind: str, pooled: Pooled, last: Array | None, lengths: Lengths) -> Array:
    """Return one row per sequence, (n, W) or, for "mean_max", (n, 2 W)."""
    if kind == "last":
        assert last is not None
        return last
    parts = [] if pooled.maximum is None else [pooled.maximum]
    if pooled.total is not None:
        parts.insert(0, pooled.total / lengths[:, None].astype(pooled.total.dtype))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def backward(kind: str, dy: Array, lengths: Lengths) -> HiddenStates:
    """Return the gradient at the last hidden states, or at the sum and the maximum of all.

    ``dy`` and ``lengths`` have one row for each sequence.
    """
    if kind == "last":
        return HiddenStates(last=dy)
    width = dy.shape[1] // 2 if kind == "mean_max" else dy.shape[1]
    total = dy[:, :width] / lengths[:, None].astype(dy.dtype) if "mean" in kind else None
    return HiddenStates(pooled=Pooled(total, dy[:, -width:] if "max" in kind else None))
