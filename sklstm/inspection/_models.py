"""The LSTM of an estimator or a pipeline, and its input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.utils.validation import check_is_fitted

from sklstm._estimators.base import BaseLSTM
from sklstm._estimators.model import FittedModel
from sklstm.sequences import Sequences


def lstm_and_input(estimator: Any, X: Any) -> tuple[BaseLSTM, Any]:
    """Return the LSTM, and X as the steps of a pipeline before it transform it."""
    from sklearn.pipeline import Pipeline

    if isinstance(estimator, Pipeline):
        check_is_fitted(estimator[-1])
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        return lstm_and_input(estimator[-1], X)
    if not isinstance(estimator, BaseLSTM):
        hint = ""
        if hasattr(estimator, "best_estimator_"):
            hint = "; pass its best_estimator_"
        raise TypeError(
            "estimator: expected a fitted LSTMClassifier or LSTMRegressor, or a Pipeline that ends "
            f"with one, got {type(estimator).__name__}{hint}"
        )
    check_is_fitted(estimator)
    return estimator, X


def parts_of(model: FittedModel, X: Any, estimator: BaseLSTM) -> Iterator[tuple[Sequences, int]]:
    """Yield X validated, a list part by part, with the index of the first sample."""
    first_sample = 0
    for part in model.parts(X, estimator):
        yield part, first_sample
        first_sample += len(part)
