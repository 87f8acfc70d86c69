"""Stack the targets, predictions and weights of all time steps.

Shapes: ``T_i`` time steps of the i-th sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm.sequences._ragged import as_list, check_alike, check_lengths
from sklstm.sequences._reading import is_list_of_sequences
from sklstm.sequences._weights import check_step_weights

Array = NDArray[Any]
Metric = Callable[..., Any]


def flatten_steps(
    y_true: Any, y_pred: Any, sample_weight: Any = None
) -> tuple[Array, Array, NDArray[np.float64] | None]:
    """Stack the time steps of all sequences, in the form that scikit-learn's metrics take.

    Parameters
    ----------
    y_true : array-like of shape (n_sequences, n_timesteps[, n_outputs]) or list of array-like
        One or several targets for each step.
    y_pred : array-like of shape (n_sequences, n_timesteps[, n_outputs]) or list of array-like
        Predictions or probabilities for the same steps. In an array, steps at the end of a
        sequence that are NaN (or None) in every output are padding and are dropped; an estimator
        predicts them where ``X`` was padded.
    sample_weight : array-like of shape (n_sequences,), or in the form of ``y_true``, default=None
        One weight for each sequence, or one for each step. Steps with weight zero are dropped.

    Returns
    -------
    y_true : ndarray of shape (n_steps[, n_outputs])
        Targets of all remaining steps.
    y_pred : ndarray of shape (n_steps[, n_outputs])
        Predictions for these steps.
    sample_weight : ndarray of shape (n_steps,) or None
        Weights of these steps. None if ``sample_weight`` is None.

    Raises
    ------
    ValueError
        If the sequences differ in number or length (the message names the first that differs), if
        a weight is negative or not finite, or if all weights are zero.

    Examples
    --------
    >>> from sklearn.metrics import cohen_kappa_score
    >>> from sklstm.metrics import flatten_steps
    >>> y_true, y_pred, weight = flatten_steps(
    ...     [["a", "b", "b"], ["a"]], [["a", "b", "a"], ["a"]], [[1, 1, 0], [2]]
    ... )
    >>> y_true.tolist(), y_pred.tolist(), weight.tolist()
    (['a', 'b', 'a'], ['a', 'b', 'a'], [1.0, 1.0, 2.0])
    >>> cohen_kappa_score(y_true, y_pred, sample_weight=weight)
    1.0
    """
    true, predicted = _steps(y_true, "y_true"), _steps(y_pred, "y_pred")
    n_timesteps = None
    if not is_list_of_sequences(y_pred):
        n_timesteps = len(predicted[0])
        predicted = [part[: _n_predicted(part)] for part in predicted]
        true = _without_padding(true, predicted, n_timesteps)
    check_lengths(predicted, true, "y_pred", "y_true")
    if sample_weight is None:
        return np.concatenate(true), np.concatenate(predicted), None
    weight = check_step_weights(sample_weight, [len(part) for part in true], n_timesteps)
    kept = weight > 0
    if not kept.any():
        raise ValueError("sample_weight: expected a weight above zero, all weights are zero")
    return np.concatenate(true)[kept], np.concatenate(predicted)[kept], weight[kept]


def score_steps(
    metric: Metric, y_true: Any, y_pred: Any, sample_weight: Any, **options: Any
) -> Any:
    """Return the metric of all stacked steps.

    The metric is called without weights if all of them are 0 or 1, so that it need not support
    any: steps with weight zero have been dropped.
    """
    true, predicted, weight = flatten_steps(y_true, y_pred, sample_weight)
    if weight is not None and (weight != 1).any():
        options["sample_weight"] = weight
    return metric(true, predicted, **options)


def _steps(y: Any, name: str) -> list[Array]:
    return check_alike(as_list(y, name), name)


def _n_predicted(steps: Array) -> int:
    """Return the number of steps before the padding, which is NaN or None in every output."""
    missing = steps == np.array(None) if steps.dtype.kind == "O" else steps != steps
    predicted = np.flatnonzero(~missing.reshape(len(steps), -1).all(axis=1))
    return int(predicted[-1]) + 1 if len(predicted) else 0


def _without_padding(parts: list[Array], like: list[Array], n_timesteps: int) -> list[Array]:
    """Cut each part that has ``n_timesteps`` steps, padding included, to the length of another."""
    if len(parts) != len(like):
        return parts
    pairs = zip(parts, like, strict=True)
    return [part[: len(other)] if len(part) == n_timesteps else part for part, other in pairs]
