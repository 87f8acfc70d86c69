"""Stack the targets, predictions and weights of all time steps.

Shapes: ``T_i`` time steps of the i-th sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm.sequences._ragged import as_list, check_alike, check_lengths, concatenated
from sklstm.sequences._reading import is_list_of_sequences
from sklstm.sequences._step_values import known_rows, known_values, missing_values
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
        One or several targets for each step. Steps whose target is missing (NaN; None or
        pandas.NA for labels) are dropped.
    y_pred : array-like of shape (n_sequences, n_timesteps[, n_outputs]) or list of array-like
        Predictions or probabilities for the same steps. In an array, steps at the end of a
        sequence that are NaN (or None) in every output may be padding: an estimator predicts them
        where ``X`` was padded. They are dropped if ``y_true`` ends before them or is missing there
        too. They are also dropped if ``y_true`` holds labels, because labels have no value for
        padding; floating targets are not labels.
    sample_weight : array-like of shape (n_sequences,), or in the form of ``y_true``, default=None
        One weight for each sequence, or one for each step. Steps with weight zero are dropped,
        whatever their target and prediction are.

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
        a weight is negative or not finite, if no step has a target and a weight above zero, or if a
        prediction is missing (the message names sequence and step) although its target is known.

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
    return _flattened(y_true, y_pred, sample_weight, None)


def score_steps(
    metric: Metric,
    y_true: Any,
    y_pred: Any,
    sample_weight: Any,
    *,
    labels_only: bool | None = None,
    **options: Any,
) -> Any:
    """Return the metric of all stacked steps.

    ``labels_only`` tells whether the metric takes only labels (True) or only numbers (False). If it
    is None, floating targets are numbers, and others are labels. The metric is called without
    weights if all of them are 0 or 1, so that it need not support any: steps with weight zero have
    been dropped.
    """
    true, predicted, weight = _flattened(y_true, y_pred, sample_weight, labels_only)
    if weight is not None and (weight != 1).any():
        options["sample_weight"] = weight
    return metric(true, predicted, **options)


def _flattened(
    y_true: Any, y_pred: Any, sample_weight: Any, labels_only: bool | None
) -> tuple[Array, Array, NDArray[np.float64] | None]:
    """Return stacked targets, predictions and weights, see `flatten_steps`."""
    true, predicted = _steps(y_true, "y_true"), _steps(y_pred, "y_pred")
    n_timesteps = None
    if not is_list_of_sequences(y_pred):
        n_timesteps = len(predicted[0])
        if labels_only is None:
            labels_only = all(part.dtype.kind != "f" for part in true)
        true, predicted = _without_padding(true, predicted, labels_only)
    check_lengths(predicted, true, "y_pred", "y_true")
    lengths = np.array([len(part) for part in true])
    weight = np.ones(lengths.sum())
    if sample_weight is not None:
        weight = check_step_weights(sample_weight, lengths, n_timesteps)
    all_true, all_predicted = concatenated(true, "y_true"), concatenated(predicted, "y_pred")
    known = known_rows(all_true, weight)
    _check_known(known, weight)
    _check_predicted(all_predicted, known, lengths)
    flat = known_values(all_true, known), known_values(all_predicted, known)
    return *flat, None if sample_weight is None else weight[known]


def _check_known(known: NDArray[np.intp], weight: NDArray[np.float64]) -> None:
    if not weight.any():
        raise ValueError("sample_weight: expected a weight above zero, all weights are zero")
    if len(known) == 0:
        raise ValueError("y_true: expected a known target at a step of weight above zero, got none")


def _check_predicted(predicted: Array, known: NDArray[np.intp], lengths: NDArray[np.intp]) -> None:
    """Raise an error that names the first known step whose prediction is missing."""
    missing = missing_values(predicted[known]).reshape(len(known), -1).any(axis=1)
    if missing.any():
        row = int(known[np.argmax(missing)])
        sequence = int(np.searchsorted(np.cumsum(lengths), row, side="right"))
        step = row - lengths[:sequence].sum()
        raise ValueError(
            f"y_pred[{sequence}], step {step}: expected a prediction, got {predicted[row]}. If "
            "this step is padding, set its value in y_true to NaN or its weight to zero."
        )


def _steps(y: Any, name: str) -> list[Array]:
    return check_alike(as_list(y, name), name)


def _without_padding(
    true: list[Array], predicted: list[Array], labels_only: bool
) -> tuple[list[Array], list[Array]]:
    """Drop the padding at the end of each sequence of predictions.

    At these steps, numbers must be missing among the targets too, but labels may have any value.
    """
    if len(true) != len(predicted):
        return true, predicted
    pairs = []
    for targets, part in zip(true, predicted, strict=True):
        n_steps = _n_known(part) or len(part)  # no sequence consists of padding only
        if len(targets) == len(part):
            n_steps = n_steps if labels_only else max(n_steps, _n_known(targets))
            targets = targets[:n_steps]
        pairs.append((targets, part[: max(n_steps, len(targets))]))
    return [targets for targets, _ in pairs], [part for _, part in pairs]


def _n_known(steps: Array) -> int:
    """Return the number of steps without those at the end that are missing in every output."""
    known = np.flatnonzero(~missing_values(steps).reshape(len(steps), -1).all(axis=1))
    return int(known[-1]) + 1 if len(known) else 0
