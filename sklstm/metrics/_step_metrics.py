"""Metrics and scorers of predictions for every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sklearn.metrics

from sklstm.metrics._flattening import FlatMetric, ProbabilityScorer, flat

Metric = Callable[..., Any]


def accuracy_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Share of the steps whose label is predicted.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps) or list of array-like
        One label a step.
    sample_weight : array-like of shape (n_sequences,), or in the form of ``y_true``, optional
        One weight a sequence or one a step.

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
    return flat(sklearn.metrics.accuracy_score, y_true, y_pred, sample_weight)


def balanced_accuracy_score(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, adjusted: bool = False
) -> float:
    """Mean over the labels of the share of their steps that is predicted.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps) or list of array-like
        One label a step.
    sample_weight : array-like of shape (n_sequences,), or in the form of ``y_true``, optional
        One weight a sequence or one a step.
    adjusted : bool, default=False
        Shift and scale so that chance gives 0 and perfection 1.

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
    return flat(metric, y_true, y_pred, sample_weight, adjusted=adjusted)


def f1_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None, **options: Any) -> Any:
    """Harmonic mean of precision and recall over the steps.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps) or list of array-like
        One label a step.
    sample_weight : array-like of shape (n_sequences,), or in the form of ``y_true``, optional
        One weight a sequence or one a step.
    **options : dict
        Passed to `sklearn.metrics.f1_score`: ``average`` ("binary", "macro", "micro", "weighted" or
        None), ``pos_label``, ``labels``, ``zero_division``.

    Returns
    -------
    float or ndarray of shape (n_labels,)
        Between 0 and 1; higher is better. An array with ``average=None``.

    Examples
    --------
    >>> from sklstm.metrics import f1_score
    >>> f1_score([["a", "b"], ["a", "c"]], [["a", "b"], ["a", "a"]], average="micro")
    0.75
    """
    return flat(sklearn.metrics.f1_score, y_true, y_pred, sample_weight, **options)


def log_loss(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, labels: Any = None, **options: Any
) -> float:
    """Mean over the steps of minus the log-probability of the true label.

    Parameters
    ----------
    y_true : array-like of shape (n_sequences, n_timesteps) or list of array-like
        One label a step.
    y_pred : array-like of shape (n_sequences, n_timesteps, n_classes) or list of array-like
        Probabilities, as of ``predict_proba``.
    sample_weight : array-like of shape (n_sequences,), or in the form of ``y_true``, optional
        One weight a sequence or one a step.
    labels : array-like of shape (n_classes,), optional
        What the columns of ``y_pred`` stand for, ``classes_`` of the estimator. By default the
        labels in ``y_true``, sorted; needed where not all of them occur there.
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
    return flat(metric, y_true, y_pred, sample_weight, labels=labels, **options)


def r2_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None, **options: Any) -> Any:
    """Coefficient of determination over the steps.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps[, n_outputs]) or list of them
        One value, or several, a step.
    sample_weight : array-like of shape (n_sequences,), or one weight a step, optional
        One weight a sequence or one a step.
    **options : dict
        Passed to `sklearn.metrics.r2_score`: ``multioutput``, ``force_finite``.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        At most 1; higher is better. An array with ``multioutput="raw_values"``.

    Examples
    --------
    >>> from sklstm.metrics import r2_score
    >>> r2_score([[1.0, 2.0], [3.0]], [[2.0, 2.0], [2.0]])
    0.0
    """
    return flat(sklearn.metrics.r2_score, y_true, y_pred, sample_weight, **options)


def mean_squared_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, **options: Any
) -> Any:
    """Mean of the squared errors of the steps.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps[, n_outputs]) or list of them
        One value, or several, a step.
    sample_weight : array-like of shape (n_sequences,), or one weight a step, optional
        One weight a sequence or one a step.
    **options : dict
        Passed to `sklearn.metrics.mean_squared_error`: ``multioutput``.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        At least 0; lower is better. An array with ``multioutput="raw_values"``.

    Examples
    --------
    >>> from sklstm.metrics import mean_squared_error
    >>> mean_squared_error([[1.0, 2.0], [3.0]], [[1.0, 2.0], [6.0]])
    3.0
    """
    return flat(sklearn.metrics.mean_squared_error, y_true, y_pred, sample_weight, **options)


def mean_absolute_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, **options: Any
) -> Any:
    """Mean of the absolute errors of the steps.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_sequences, n_timesteps[, n_outputs]) or list of them
        One value, or several, a step.
    sample_weight : array-like of shape (n_sequences,), or one weight a step, optional
        One weight a sequence or one a step.
    **options : dict
        Passed to `sklearn.metrics.mean_absolute_error`: ``multioutput``.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        At least 0; lower is better. An array with ``multioutput="raw_values"``.

    Examples
    --------
    >>> from sklstm.metrics import mean_absolute_error
    >>> mean_absolute_error([[1.0, 2.0], [3.0]], [[1.0, 2.0], [6.0]], sample_weight=[1, 2])
    1.5
    """
    return flat(sklearn.metrics.mean_absolute_error, y_true, y_pred, sample_weight, **options)


# --- scorers ---


def make_scorer(
    score_func: Metric,
    *,
    response_method: str = "predict",
    greater_is_better: bool = True,
    **kwargs: Any,
) -> Any:
    """A scorer for per-step targets from any metric for single samples.

    Parameters
    ----------
    score_func : callable
        A metric ``score_func(y_true, y_pred, **kwargs)``, of `sklearn.metrics` or of this module.
        It is given all steps that count, one below the other, and ``sample_weight`` if one of them
        is neither 0 nor 1; for probabilities ``labels=estimator.classes_`` too, if it takes that.
    response_method : str, default="predict"
        The method of the estimator that makes ``y_pred``, for example "predict_proba", which gives
        the metric a column for each class, for two classes too.
    greater_is_better : bool, default=True
        If False, the scorer turns the sign of the metric.
    **kwargs : dict
        Passed to the metric.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, sample_weight=None)``, for ``scoring=`` in scikit-learn. With
        metadata routing enabled, ``set_score_request(sample_weight=True)`` asks for weights.

    Examples
    --------
    >>> from sklearn.metrics import cohen_kappa_score
    >>> from sklstm.metrics import make_scorer
    >>> make_scorer(cohen_kappa_score, weights="linear")
    make_scorer(cohen_kappa_score, response_method='predict', weights=linear)
    """
    metric = score_func if score_func in _PER_STEP else FlatMetric(score_func)
    if response_method in ("predict_proba", "predict_log_proba"):
        sign = 1 if greater_is_better else -1
        return ProbabilityScorer(metric, sign, kwargs, response_method)
    return sklearn.metrics.make_scorer(
        metric, response_method=response_method, greater_is_better=greater_is_better, **kwargs
    )


def get_scorer(name: str) -> Any:
    """A scorer for per-step targets, by the name that scikit-learn has for it.

    Parameters
    ----------
    name : str
        One of `get_scorer_names`.

    Returns
    -------
    callable
        A new ``scorer(estimator, X, y, *, sample_weight=None)``; higher is better.

    Raises
    ------
    ValueError
        If there is none of that name.

    Notes
    -----
    A class that occurs in training and not in the fold that is scored is no trouble:
    "neg_log_loss" takes the classes from the estimator. "f1" expects the labels 0 and 1; others
    need ``make_scorer(sklearn.metrics.f1_score, pos_label=...)``.

    Examples
    --------
    >>> from sklstm.metrics import get_scorer
    >>> get_scorer("f1_macro")
    make_scorer(f1_score, response_method='predict', average=macro)
    """
    if name not in _SCORERS:
        raise ValueError(f"name: expected one of {get_scorer_names()}, got {name!r}")
    metric, options = _SCORERS[name]
    return make_scorer(metric, **options)


def get_scorer_names() -> list[str]:
    """The names that `get_scorer` knows, sorted.

    Returns
    -------
    list of str
        Those that begin with ``"neg_"`` are losses with their sign turned.

    Examples
    --------
    >>> from sklstm.metrics import get_scorer_names
    >>> get_scorer_names()[:2]
    ['accuracy', 'balanced_accuracy']
    """
    return sorted(_SCORERS)


_PER_STEP = (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)
_LOSS = {"greater_is_better": False}
_SCORERS: dict[str, tuple[Metric, dict[str, Any]]] = {
    "accuracy": (accuracy_score, {}),
    "balanced_accuracy": (balanced_accuracy_score, {}),
    "f1": (f1_score, {"average": "binary"}),
    "f1_macro": (f1_score, {"average": "macro"}),
    "f1_micro": (f1_score, {"average": "micro"}),
    "f1_weighted": (f1_score, {"average": "weighted"}),
    "neg_log_loss": (log_loss, {**_LOSS, "response_method": "predict_proba"}),
    "neg_mean_absolute_error": (mean_absolute_error, _LOSS),
    "neg_mean_squared_error": (mean_squared_error, _LOSS),
    "r2": (r2_score, {}),
}
