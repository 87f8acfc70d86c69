"""The transformers and the last estimator of a Pipeline."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from sklstm._estimators.base import BaseLSTM
from sklstm._persistence import shallow_copy


def frozen(estimator: Any) -> Any:
    """A copy that a later fit does not change."""
    if isinstance(estimator, type) or not hasattr(estimator, "__dict__"):
        return estimator  # no estimator; `split` refuses it
    copy = shallow_copy(estimator)
    if _is_pipeline(estimator):
        copy.steps = [(name, frozen(step)) for name, step in estimator.steps]
    return copy


def split(estimator: Any) -> tuple[list[tuple[str, Any]], BaseLSTM]:
    """The transformers with their names, and the LSTM that follows them; all are fitted."""
    *transformers, (_, last) = _steps(estimator, "")
    if not isinstance(last, BaseLSTM):
        got = type(last).__name__
        if last is not estimator:
            got = f"a Pipeline that ends with {last if isinstance(last, str) else got}"
        raise TypeError(
            "estimator: expected a fitted LSTMClassifier or LSTMRegressor, or a Pipeline that ends "
            f"with one, got {got}"
        )
    for _, step in [*transformers, ("", last)]:
        check_is_fitted(step)
    return transformers, last


def _steps(estimator: Any, name: str) -> list[tuple[str, Any]]:
    """The steps of a Pipeline and of the Pipelines in it, without those that change nothing."""
    if not _is_pipeline(estimator):
        return [(name, estimator)]
    *others, (last_name, last) = estimator.steps
    kept = [step for step in others if step[1] is not None and step[1] != "passthrough"]
    return [
        part
        for key, step in [*kept, (last_name, last)]
        for part in _steps(step, f"{name}__{key}" if name else key)
    ]


def _is_pipeline(estimator: Any) -> bool:
    if isinstance(estimator, BaseLSTM):
        return False  # importing pipelines takes time
    from sklearn.pipeline import Pipeline

    return isinstance(estimator, Pipeline)
