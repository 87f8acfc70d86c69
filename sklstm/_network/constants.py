"""The loss of the best constant prediction, which every network should surpass.

Shapes: ``n`` rows, ``K`` outputs, ``R`` raw predictions of a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._network.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Gaussian,
    Loss,
    Poisson,
    Quantile,
    Quantiles,
)

Array = NDArray[np.float64]

#: Number of values in a block for which the loss is computed; it limits the memory.
BLOCK_NUMBERS = 2**18


def loss_of_constant(loss: Loss, targets: NDArray[Any], weights: Array, n_raw: int) -> float:
    """Return the weighted mean loss of the same raw prediction (n_raw,) for all rows.

    It is the prediction with the least loss; for Huber's loss, the better of mean and median. For
    the Gaussian loss, the deviation of a target that is constant is one.
    """
    shares = weights / weights.sum()
    if targets.dtype.kind == "f":
        targets = targets.astype(np.float64, copy=False)
    constants = _constants(loss, targets, shares, n_raw)
    return min(_mean_loss(loss, targets, shares, raw) for raw in constants)


def _mean_loss(loss: Loss, targets: NDArray[Any], shares: Array, raw: Array) -> float:
    size = max(1, BLOCK_NUMBERS // len(raw))
    total = 0.0
    for first in range(0, len(targets), size):
        rows = slice(first, first + size)
        part = np.tile(raw, (len(targets[rows]), 1))
        total += loss.loss_gradient(targets[rows], part, shares[rows])[0]
    return total


def _constants(loss: Loss, targets: NDArray[Any], shares: Array, n_raw: int) -> list[Array]:
    """Return raw predictions (R,), of which one has the least loss."""
    tiny = np.finfo(np.float64).tiny
    if isinstance(loss, CategoricalCrossEntropy):
        counts = np.bincount(targets, shares, minlength=n_raw)
        return [np.log(np.maximum(loss.smoothed(counts, n_raw), tiny))]
    mean = shares @ targets
    if isinstance(loss, BinaryCrossEntropy):
        mean = loss.smoothed(mean, 2)
        return [np.log(np.maximum(mean, tiny)) - np.log(np.maximum(1 - mean, tiny))]
    if isinstance(loss, Poisson):
        return [np.log(np.maximum(mean, tiny))]
    if isinstance(loss, Gaussian):
        deviation = np.sqrt(shares @ (targets - mean) ** 2)
        # The loss of a constant target falls for as long as training lasts, so that no fit comes
        # close to the least one.
        varies = deviation > Gaussian.NOISE
        return [np.concatenate([mean, np.log(np.where(varies, deviation, 1.0))])]
    if isinstance(loss, Quantile | Quantiles | AbsoluteError):
        return [quantiles(targets, shares, _levels(loss)).ravel()]
    return [mean, quantiles(targets, shares, np.array([0.5])).ravel()]


def _levels(loss: Loss) -> Array:
    if isinstance(loss, Quantiles):
        return loss.levels
    return np.array([loss.quantile if isinstance(loss, Quantile) else 0.5])


def quantiles(values: Array, shares: Array, levels: Array) -> Array:
    """Return weighted quantiles (K, Q) of the columns of ``values`` (n, K)."""
    found = np.empty((values.shape[1], len(levels)))
    for k, column in enumerate(values.T):
        order = np.argsort(column, kind="stable")
        cumulative = np.cumsum(shares[order])
        rows = np.searchsorted(cumulative, levels * cumulative[-1])
        found[k] = column[order[np.minimum(rows, len(column) - 1)]]
    return found
