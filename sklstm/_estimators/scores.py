"""The score of a regressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.target_checks import check_numbers

Array = NDArray[np.floating]


def numbers_to_score(y: Any) -> Array:
    """Finite targets, a column as (n,) without a warning."""
    return check_numbers(y, warn=False)


def r2_of_rows(y_true: Any, y_pred: Array, sample_weight: Any) -> float:
    """The mean R^2 of all columns, into which more than two axes are flattened."""
    from sklstm.metrics._step_metrics import r2_of_any_unit  # slow to import

    y_true = numbers_to_score(y_true)
    if y_pred.ndim > 2:
        if y_true.shape != y_pred.shape:
            raise ValueError(f"y: expected targets of shape {y_pred.shape}, got {y_true.shape}")
        y_true, y_pred = (rows.reshape(len(rows), -1) for rows in (y_true, y_pred))
    return float(r2_of_any_unit(y_true, y_pred, sample_weight=sample_weight))
