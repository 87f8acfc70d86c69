"""Metrics for single samples, made metrics and scorers for the steps of sequences.

Shapes: ``T_i`` time steps of the i-th sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.utils.metadata_routing import MetadataRequest

from sklstm.sequences._ragged import (
    as_list,
    as_numbers,
    check_alike,
    check_count,
    check_lengths,
    has_axes,
    is_array,
)

Array = NDArray[Any]
Metric = Callable[..., Any]


def flatten_steps(
    y_true: Any, y_pred: Any, sample_weight: Any = None
) -> tuple[Array, Array, NDArray[np.float64] | None]:
    """The steps of all sequences one below the other, for any metric that knows no sequences.

    Parameters
    ----------
    y_true : array-like of shape (n_sequences, n_timesteps[, n_outputs]) or list of array-like
        One target, or several, a step.
    y_pred : array-like of shape (n_sequences, n_timesteps[, n_outputs]) or list of array-like
        Predictions or probabilities for the same steps. A tail of an array's steps that is NaN (or
        None) in every output, as predictions are where `X` was padded, is left out.
    sample_weight : array-like of shape (n_sequences,), or in the form of ``y_true``, optional
        One weight a sequence or one a step. Steps of weight zero are dropped.

    Returns
    -------
    y_true : ndarray of shape (n_steps[, n_outputs])
        Targets of the steps that count.
    y_pred : ndarray of shape (n_steps[, n_outputs])
        Predictions for them.
    sample_weight : ndarray of shape (n_steps,) or None
        Their weights; None where none were given.

    Raises
    ------
    ValueError
        If the sequences differ in number or length (the message names the first that does), a
        weight is negative or not finite, or no step has a weight.

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
    if is_array(y_pred):
        whole = len(predicted[0])
        predicted = [part[: _n_predicted(part)] for part in predicted]
        true = _cut(true, predicted, whole)
        if sample_weight is not None and is_array(sample_weight) and np.ndim(sample_weight) > 1:
            sample_weight = _cut(list(np.asarray(sample_weight)), predicted, whole)
    check_lengths(predicted, true, "y_pred", "y_true")
    if sample_weight is None:
        return np.concatenate(true), np.concatenate(predicted), None
    weight = np.concatenate(_step_weights(sample_weight, true))
    counts = weight > 0
    if not counts.any():
        raise ValueError("sample_weight: expected a step with a weight above zero, got none")
    return np.concatenate(true)[counts], np.concatenate(predicted)[counts], weight[counts]


def flat(metric: Metric, y_true: Any, y_pred: Any, sample_weight: Any, **options: Any) -> Any:
    """The metric of the steps that count; weights of one are none, and trouble no metric."""
    true, predicted, weight = flatten_steps(y_true, y_pred, sample_weight)
    if weight is not None and (weight != 1).any():
        options["sample_weight"] = weight
    return metric(true, predicted, **options)


def _steps(y: Any, name: str) -> list[Array]:
    return check_alike(as_list(y, name), name)


def _n_predicted(steps: Array) -> int:
    """How many steps come before the padding: NaN in every output or, for labels, None."""
    missing = steps == np.array(None) if steps.dtype.kind == "O" else steps != steps
    predicted = np.flatnonzero(~missing.reshape(len(steps), -1).all(axis=1))
    return int(predicted[-1]) + 1 if len(predicted) else 0


def _cut(parts: list[Array], like: list[Array], whole: int) -> list[Array]:
    """What stands beside the padding of ``like`` left out, where a part has ``whole`` steps."""
    if len(parts) != len(like):
        return parts
    pairs = zip(parts, like, strict=True)
    return [part[: len(other)] if len(part) == whole else part for part, other in pairs]


def _step_weights(sample_weight: Any, like: list[Array]) -> list[Array]:
    """One array of weights a sequence."""
    given = np.asarray(sample_weight) if is_array(sample_weight) else sample_weight
    if not isinstance(given, list | tuple) and not has_axes(given):
        raise ValueError(f"sample_weight: expected an array or a list, got {given!r}")
    if any(has_axes(weight) or isinstance(weight, list | tuple) for weight in given):
        parts = as_list(given, "sample_weight")
    else:
        check_count(given, len(like), "sample_weight", "y_true")
        weights = as_numbers(given, "sample_weight")
        parts = [np.full(len(steps), w) for steps, w in zip(like, weights, strict=True)]
    check_lengths(parts, like, "sample_weight", "y_true")
    return [_checked_weights(part, f"sample_weight[{k}]") for k, part in enumerate(parts)]


def _checked_weights(weights: Array, name: str) -> NDArray[np.float64]:
    if weights.ndim > 1:
        raise ValueError(f"{name}: expected one weight a step, got shape {weights.shape}")
    weights = as_numbers(weights, name).astype(np.float64)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        step = int(np.argmax(wrong))
        raise ValueError(
            f"{name}: expected finite weights, zero or more, got {weights[step]} at step {step}"
        )
    return weights


# --- scorers ---


class FlatMetric:
    """A metric for single samples as one for the steps of sequences."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.__name__ = getattr(metric, "__name__", repr(metric))

    def __call__(
        self, y_true: Any, y_pred: Any, *, sample_weight: Any = None, **options: Any
    ) -> Any:
        return flat(self.metric, y_true, y_pred, sample_weight, **options)


class ProbabilityScorer:
    """A scorer of probabilities.

    scikit-learn's own takes one column of the probabilities of two classes, in the belief that an
    array has one row a sample; of a list or a 3-D array it would be the wrong one, or none.
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
        if _takes(getattr(self._metric, "metric", self._metric), "labels"):
            options.setdefault("labels", estimator.classes_)
        y_pred = getattr(estimator, self._response_method)(X)
        return self._sign * self._metric(y_true, y_pred, sample_weight=sample_weight, **options)

    def __repr__(self) -> str:
        sign = "" if self._sign > 0 else ", greater_is_better=False"
        options = "".join(f", {name}={value}" for name, value in self._options.items())
        method = f", response_method={self._response_method!r}"
        return f"make_scorer({self._metric.__name__}{sign}{method}{options})"

    def _accept_sample_weight(self) -> bool:
        """What scikit-learn asks before it hands on the weights of a search."""
        return True

    def set_score_request(self, *, sample_weight: bool | str | None = None) -> ProbabilityScorer:
        """Ask for sample_weight, by that or another name, where metadata are routed."""
        if not sklearn.get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "requests matter only with sklearn.set_config(enable_metadata_routing=True)"
            )
        self._requested = {"sample_weight": sample_weight}
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """What is asked for."""
        request = MetadataRequest(owner=repr(self))
        for param, alias in self._requested.items():
            request.score.add_request(param=param, alias=alias)
        return request


def _takes(metric: Metric, parameter: str) -> bool:
    try:
        return parameter in signature(metric).parameters
    except (TypeError, ValueError):  # a builtin
        return False
