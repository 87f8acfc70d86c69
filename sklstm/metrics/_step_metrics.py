"""Metrics of predictions for every time step."""

from __future__ import annotations

from typing import Any

import sklearn.metrics
from numpy.typing import NDArray

from sklstm.metrics._flattening import score_steps
from sklstm.sequences._moments import moderate


def accuracy_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Fraction of the time steps whose label is predicted correctly.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps) or list of array-like
        One label for each step.
    sample_weight : array-like of shape (n_sequences,), or in the form of ``y_true``, default=None
        One weight for each sequence, or one for each step.

    Returns
    -------
    float
        Between 0 and 1; higher is better.

    Examples
    --------
    >>> from sklstm.metrics import accuracy_score
    >>> accuracy_score([["a", "b"], ["a", "b", "a"]], [["a", "b"], ["a", "b", "b"]])
    0.8
    """
    return score_steps(
        sklearn.metrics.accuracy_score, y_true, y_pred, sample_weight, labels_only=True
    )


def balanced_accuracy_score(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, adjusted: bool = False
) -> float:
    """Mean of the recall of each label over the time steps.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps) or list of array-like
        One label for each step.
    sample_weight : array-like of shape (n_sequences,), or in the form of ``y_true``, default=None
        One weight for each sequence, or one for each step.
    adjusted : bool, default=False
        Adjust the score for chance: random predictions score 0 and perfect ones 1.

    Returns
    -------
    float
        At most 1; higher is better.

    Examples
    --------
    >>> from sklstm.metrics import balanced_accuracy_score
    >>> balanced_accuracy_score([[0, 0, 0], [1]], [[0, 0, 0], [0]])
    0.5
    """
    metric = sklearn.metrics.balanced_accuracy_score
    return score_steps(metric, y_true, y_pred, sample_weight, labels_only=True, adjusted=adjusted)


def f1_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None, **options: Any) -> Any:
    """Harmonic mean of precision and recall over the time steps.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps) or list of array-like
        One label for each step.
    sample_weight : array-like of shape (n_sequences,), or in the form of ``y_true``, default=None
        One weight for each sequence, or one for each step.
    **options : dict
        Passed to `sklearn.metrics.f1_score`: ``average`` ("binary", "macro", "micro", "weighted" or
        None), ``pos_label``, ``labels``, ``zero_division``.

    Returns
    -------
    float or ndarray of shape (n_labels,)
        Between 0 and 1; higher is better. An array if ``average=None``.

    Examples
    --------
    >>> from sklstm.metrics import f1_score
    >>> f1_score([["a", "b"], ["a", "c"]], [["a", "b"], ["a", "a"]], average="micro")
    0.75
    """
    return score_steps(
        sklearn.metrics.f1_score, y_true, y_pred, sample_weight, labels_only=True, **options
    )


def log_loss(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, labels: Any = None, **options: Any
) -> float:
    """Cross-entropy loss, averaged over the time steps.

    Parameters
    ----------
    y_true : array-like of shape (n_sequences, n_timesteps) or list of array-like
        One label for each step.
    y_pred : array-like of shape (n_sequences, n_timesteps, n_classes) or list of array-like
        Probabilities, as returned by ``predict_proba``.
    sample_weight : array-like of shape (n_sequences,), or in the form of ``y_true``, default=None
        One weight for each sequence, or one for each step.
    labels : array-like of shape (n_classes,), default=None
        The label of each column of ``y_pred``: ``classes_`` of the estimator. If None, these are
        the sorted labels that occur in ``y_true``; pass them if ``y_true`` may lack one.
    **options : dict
        Passed to `sklearn.metrics.log_loss`: ``normalize``.

    Returns
    -------
    float
        At least 0; lower is better.

    Examples
    --------
    >>> from sklstm.metrics import log_loss
    >>> round(log_loss([["a"], ["a"]], [[[0.5, 0.5]], [[1.0, 0.0]]], labels=["a", "b"]), 4)
    0.3466
    """
    metric = sklearn.metrics.log_loss
    return score_steps(
        metric, y_true, y_pred, sample_weight, labels_only=True, labels=labels, **options
    )


def r2_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None, **options: Any) -> Any:
    """Coefficient of determination over the time steps.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps[, n_outputs]) or list of them
        One or several values for each step.
    sample_weight : array-like of shape (n_sequences,) or (n_sequences, n_timesteps), or list of \
            array-like, default=None
        One weight for each sequence, or one for each step.
    **options : dict
        Passed to `sklearn.metrics.r2_score`: ``multioutput``, ``force_finite``.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        At most 1; higher is better. An array if ``multioutput="raw_values"``.

    Examples
    --------
    >>> from sklstm.metrics import r2_score
    >>> r2_score([[1.0, 2.0], [3.0]], [[2.0, 2.0], [2.0]])
    0.0
    """
    return score_steps(r2_of_any_unit, y_true, y_pred, sample_weight, labels_only=False, **options)


def r2_of_any_unit(y_true: NDArray[Any], y_pred: NDArray[Any], **options: Any) -> Any:
    """Return R^2, which has no unit, also where squares of the targets overflow or underflow."""
    return sklearn.metrics.r2_score(*moderate(y_true, y_pred), **options)


def mean_squared_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, **options: Any
) -> Any:
    """Mean squared error over the time steps.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps[, n_outputs]) or list of them
        One or several values for each step.
    sample_weight : array-like of shape (n_sequences,) or (n_sequences, n_timesteps), or list of \
            array-like, default=None
        One weight for each sequence, or one for each step.
    **options : dict
        Passed to `sklearn.metrics.mean_squared_error`: ``multioutput``.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        At least 0; lower is better. An array if ``multioutput="raw_values"``.

    Examples
    --------
    >>> from sklstm.metrics import mean_squared_error
    >>> mean_squared_error([[1.0, 2.0], [3.0]], [[1.0, 2.0], [6.0]])
    3.0
    """
    return score_steps(
        sklearn.metrics.mean_squared_error,
        y_true,
        y_pred,
        sample_weight,
        labels_only=False,
        **options,
    )


def mean_absolute_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, **options: Any
) -> Any:
    """Mean absolute error over the time steps.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps[, n_outputs]) or list of them
        One or several values for each step.
    sample_weight : array-like of shape (n_sequences,) or (n_sequences, n_timesteps), or list of \
            array-like, default=None
        One weight for each sequence, or one for each step.
    **options : dict
        Passed to `sklearn.metrics.mean_absolute_error`: ``multioutput``.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        At least 0; lower is better. An array if ``multioutput="raw_values"``.

    Examples
    --------
    >>> from sklstm.metrics import mean_absolute_error
    >>> mean_absolute_error([[1.0, 2.0], [3.0]], [[1.0, 2.0], [6.0]], sample_weight=[1, 2])
    1.5
    """
    return score_steps(
        sklearn.metrics.mean_absolute_error,
        y_true,
        y_pred,
        sample_weight,
        labels_only=False,
        **options,
    )
