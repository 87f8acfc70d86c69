"""The pinball loss of one or several quantiles.

Shapes: ``S`` rows (samples, or time steps), ``K`` targets of a row, ``Q`` quantiles.
"""

from __future__ import annotations

from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm.metrics._flattening import flatten_steps
from sklstm.sequences._containers import open_container, read_numbers
from sklstm.sequences._reading import is_list_of_sequences

Array = NDArray[np.float64]


def mean_pinball_loss(
    y_true: Any, y_pred: Any, *, quantile: Any = 0.5, sample_weight: Any = None
) -> float:
    """Mean pinball loss of one or several quantiles.

    It is the mean of the pinball losses [1]_ over quantiles and targets, and over samples or time
    steps. Unlike `sklearn.metrics.mean_pinball_loss`, it takes the predictions of ``LSTMRegressor``
    for a list of quantiles, also with several targets of a sample, and for every time step.

    Parameters
    ----------
    y_true : array-like of shape (n_samples, ...) or list of array-like
        Numbers of any shape for each sample, or one array of shape (n_timesteps_i[, n_outputs]) for
        each sequence. Missing targets at a time step are ignored.
    y_pred : array-like of shape (n_samples, ...[, n_quantiles]) or list of array-like
        Predictions, with a last axis for the quantiles if ``quantile`` is a list.
    quantile : float or list of float, default=0.5
        The predicted quantile, or several in ascending order, as given to ``LSTMRegressor``.
    sample_weight : array-like of shape (n_samples,), or in the form of ``y_true``, default=None
        One weight for each sample, or one for each time step.

    Returns
    -------
    float
        At least 0; lower is better. With ``quantile=0.5`` it is half the mean absolute error.

    Raises
    ------
    ValueError
        If a quantile is not between 0 and 1, or the quantiles are not in ascending order, if the
        shapes of ``y_true`` and ``y_pred`` do not match, or if a prediction is missing.

    References
    ----------
    .. [1] Koenker & Bassett 1978, "Regression Quantiles", Equation 1.1.

    Examples
    --------
    >>> from sklstm.metrics import make_scorer, mean_pinball_loss
    >>> mean_pinball_loss([0.0, 4.0], [[-1.0, 2.0], [1.0, 3.0]], quantile=[0.25, 0.75])
    0.5625

    A scorer for ``GridSearchCV`` and ``cross_val_score``:

    >>> make_scorer(mean_pinball_loss, quantile=[0.25, 0.75], greater_is_better=False)
    make_scorer(mean_pinball_loss, greater_is_better=False, response_method='predict', \
quantile=[0.25, 0.75])
    """
    levels = _checked_levels(quantile)
    true, predicted = (_read(y, name) for y, name in ((y_true, "y_true"), (y_pred, "y_pred")))
    tail = () if isinstance(quantile, Real) else (len(levels),)
    has_steps = isinstance(true, list) or isinstance(predicted, list)
    if not has_steps and predicted.shape != (*true.shape, *tail):
        raise ValueError(
            f"y_pred: expected shape {(*true.shape, *tail)} for y_true of shape {true.shape} and "
            f"quantile={quantile!r}, got {predicted.shape}"
        )
    has_steps = has_steps or true.ndim > 1
    (true, width), (predicted, found) = (_by_step(y, has_steps) for y in (true, predicted))
    if found != (*width, *tail):
        raise ValueError(
            f"y_pred: expected shape {(*width, *tail)} at each step for y_true of shape {width} at "
            f"each step and quantile={quantile!r}, got {found}"
        )
    true, predicted, weight = flatten_steps(true, predicted, sample_weight)
    residual = true.reshape(len(true), -1, 1) - predicted.reshape(len(true), -1, len(levels))
    losses = np.maximum(levels * residual, (levels - 1) * residual).mean(axis=(1, 2))
    return float(np.average(losses, weights=weight))


def _checked_levels(quantile: Any) -> Array:
    try:
        levels = np.array([quantile] if isinstance(quantile, Real) else list(quantile), float)
    except (TypeError, ValueError):
        levels = np.empty(0)
    limits = [0.0, *levels.ravel(), 1.0]
    if levels.ndim != 1 or not len(levels) or not all(a < b for a, b in pairwise(limits)):
        raise ValueError(
            "quantile: expected a number, or numbers in ascending order without repetitions, all "
            f"between 0 and 1, got {quantile!r}"
        )
    return levels


def _read(y: Any, name: str) -> Any:
    """Return a list with one array for each sequence, or an array with an axis for the samples."""
    y = open_container(y, name)
    if is_list_of_sequences(y):
        return [read_numbers(part, f"{name}[{k}]") for k, part in enumerate(y)]
    array = read_numbers(y, name)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{name}: expected at least one number in an array or list, got {y!r}")
    return array


def _by_step(y: Any, has_steps: bool) -> tuple[Any, tuple[int, ...]]:
    """Return ``y`` with one axis for all numbers of a step, and the shape of these numbers.

    Samples without steps count as one step. Other axes of an array than the second belong to it.
    """
    if isinstance(y, list):
        return [part.reshape(len(part), -1) for part in y], y[0].shape[1:]
    if not has_steps:
        y = y[:, None]
    return y.reshape(*y.shape[:2], -1), y.shape[2:]
