"""Scorers of predictions for every time step."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import sklearn.metrics
from sklearn.utils.metadata_routing import MetadataRequest

from sklstm.metrics._flattening import score_steps
from sklstm.metrics._pinball import mean_pinball_loss
from sklstm.metrics._step_metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)

Metric = Callable[..., Any]

_STEP_METRICS = (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
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


def make_scorer(
    score_func: Metric,
    *,
    response_method: str = "predict",
    greater_is_better: bool = True,
    **kwargs: Any,
) -> Any:
    """Make a scorer of per-step predictions from a metric.

    Parameters
    ----------
    score_func : callable
        A metric ``score_func(y_true, y_pred, **kwargs)`` of `sklearn.metrics` or of this module. It
        is called with the stacked steps of all sequences, except those with weight zero. It also
        gets ``sample_weight`` if any weight is neither 0 nor 1, and ``labels=estimator.classes_``
        if ``response_method`` returns probabilities and the metric has a parameter ``labels``.
    response_method : str, default="predict"
        Method of the estimator that returns ``y_pred``. With "predict_proba" or
        "predict_log_proba" the metric gets one column for each class, also with two classes.
    greater_is_better : bool, default=True
        If False, the scorer returns the metric with its sign flipped.
    **kwargs : dict
        Passed to ``score_func``.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, sample_weight=None)``, for the parameter ``scoring`` of
        scikit-learn. With metadata routing enabled, call ``set_score_request(sample_weight=True)``
        to request weights.

    Examples
    --------
    >>> from sklearn.metrics import cohen_kappa_score
    >>> from sklstm.metrics import make_scorer
    >>> make_scorer(cohen_kappa_score, weights="linear")
    make_scorer(cohen_kappa_score, response_method='predict', weights=linear)
    """
    metric = score_func if score_func in _STEP_METRICS else _StepMetric(score_func)
    if response_method in ("predict_proba", "predict_log_proba"):
        sign = 1 if greater_is_better else -1
        return _ProbabilityScorer(metric, sign, kwargs, response_method)
    return sklearn.metrics.make_scorer(
        metric, response_method=response_method, greater_is_better=greater_is_better, **kwargs
    )


def get_scorer(name: str) -> Any:
    """Return a scorer of per-step predictions by its name in scikit-learn.

    Parameters
    ----------
    name : str
        One of the names that `get_scorer_names` returns.

    Returns
    -------
    callable
        A new ``scorer(estimator, X, y, *, sample_weight=None)``. Higher scores are better.

    Raises
    ------
    ValueError
        If there is no scorer of this name.

    Notes
    -----
    "neg_log_loss" takes the classes from the estimator, so a class may be absent from the scored
    sequences. "f1" expects the labels 0 and 1; for other labels use
    ``make_scorer(sklearn.metrics.f1_score, pos_label=...)``.

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
    """Return the names that `get_scorer` accepts, sorted.

    Returns
    -------
    list of str
        Names that start with ``"neg_"`` are errors or losses with their sign flipped.

    Examples
    --------
    >>> from sklstm.metrics import get_scorer_names
    >>> get_scorer_names()[:2]
    ['accuracy', 'balanced_accuracy']
    """
    return sorted(_SCORERS)


class _StepMetric:
    """A metric of the time steps of sequences, computed by a metric of single samples."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.__name__ = getattr(metric, "__name__", repr(metric))

    def __call__(
        self, y_true: Any, y_pred: Any, *, sample_weight: Any = None, **options: Any
    ) -> Any:
        return score_steps(self.metric, y_true, y_pred, sample_weight, **options)


class _ProbabilityScorer:
    """A scorer of probabilities.

    scikit-learn's scorer does not serve here: with two classes it takes one column of an array in
    which each row is a sample, but here probabilities are a list or a 3-D array.
    """

    def __init__(
        self, metric: Metric, sign: int, options: dict[str, Any], response_method: str
    ) -> None:
        self._metric = metric
        self._sign = sign
        self._options = options
        self._response_method = response_method
        self._requested: dict[str, Any] = {"sample_weight": None}

    def __call__(self, estimator: Any, X: Any, y_true: Any, *, sample_weight: Any = None) -> Any:
        options = dict(self._options)
        if _has_parameter(getattr(self._metric, "metric", self._metric), "labels"):
            options.setdefault("labels", estimator.classes_)
        y_pred = getattr(estimator, self._response_method)(X)
        return self._sign * self._metric(y_true, y_pred, sample_weight=sample_weight, **options)

    def __repr__(self) -> str:
        sign = "" if self._sign > 0 else ", greater_is_better=False"
        options = "".join(f", {name}={value}" for name, value in self._options.items())
        method = f", response_method={self._response_method!r}"
        return f"make_scorer({self._metric.__name__}{sign}{method}{options})"

    def _accept_sample_weight(self) -> bool:
        """Return True. scikit-learn checks this before it passes the weights of a search."""
        return True

    def set_score_request(self, *, sample_weight: bool | str | None = None) -> _ProbabilityScorer:
        """Request ``sample_weight``, by this or another name, if metadata routing is enabled."""
        if not sklearn.get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "set_score_request needs sklearn.set_config(enable_metadata_routing=True)"
            )
        self._requested = {"sample_weight": sample_weight}
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Return the request for ``sample_weight``."""
        request = MetadataRequest(owner=repr(self))
        for param, alias in self._requested.items():
            request.score.add_request(param=param, alias=alias)
        return request


def _has_parameter(metric: Metric, parameter: str) -> bool:
    try:
        return parameter in signature(metric).parameters
    except (TypeError, ValueError):  # a function written in C may have no signature
        return False
