"""Checks of targets: labels and numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from sklstm.sequences._containers import read_numbers, read_values
from sklstm.sequences._step_values import missing_values

#: From the number of a row of the targets to its name in errors.
Name = Callable[[int], str]


def name_of_row(row: int) -> str:
    """The name of a target in errors."""
    return f"y[{row}]"


def check_classes(classes: Any) -> NDArray[Any]:
    """The classes (n_classes,) given to partial_fit."""
    array = read_values(classes, "classes")
    if array.ndim != 1:
        raise ValueError(f"classes: expected labels of shape (n_classes,), got {classes!r}")
    missing = missing_values(array)
    if missing.any():
        k = int(np.argmax(missing))
        raise ValueError(f"classes[{k}]: expected a label, got {array[k]}")
    return array


def check_labels(y: Any) -> tuple[NDArray[Any], bool]:
    """Labels (n,), or (n, K) zeros and ones; and which of the two."""
    if getattr(getattr(y, "dtype", None), "kind", "") in ("m", "M") and np.isnat(y).any():
        k = int(np.argwhere(np.isnat(y))[0][0])
        raise ValueError(f"y[{k}]: expected a label, got NaT")
    if _are_usual_labels(y):
        return y, False
    try:
        y = check_array(
            y,
            accept_sparse="csr",
            ensure_2d=False,
            dtype=None,
            input_name="y",
            ensure_min_samples=0,
        )
        kind = type_of_target(y, input_name="y")
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"y: expected labels: {error}") from error
    if kind == "multiclass-multioutput":
        raise ValueError(
            f"y: expected labels (n_samples,) or zeros and ones (n_samples, n_labels), got several "
            f"labels a sample, shape {y.shape}: fit one classifier for each column, or set "
            "return_sequences=True to fit one label for each time step"
        )
    try:
        check_classification_targets(y)
    except ValueError as error:
        raise ValueError(f"y: {error}") from error
    if kind == "multilabel-indicator":
        return (y.toarray() if issparse(y) else y), True
    return column_or_1d(y, warn=True), False


def _are_usual_labels(y: Any) -> bool:
    """Whether these are integers, booleans or texts that scikit-learn accepts without a warning."""
    if type(y) is not np.ndarray or y.ndim != 1 or y.dtype.kind not in "iubU" or len(y) == 0:
        return False
    n_classes = len(np.unique(y))
    return n_classes <= 2 or n_classes <= len(y) // 2


def check_numbers(y: Any, name: Name = name_of_row, warn: bool = True) -> NDArray[np.float64]:
    """Finite targets (n, ...), a single column as (n,); ``name`` tells what errors call a row."""
    try:
        y = read_numbers(y, "y").astype(np.float64, copy=False)
    except TypeError as error:
        raise ValueError(str(error)) from error
    _check_finite(y, name)
    if y.ndim == 0 or 0 in y.shape[1:]:
        raise ValueError(f"y: expected shape (n_samples,) or (n_samples, ...), got {y.shape}")
    return column_or_1d(y, warn=warn) if y.shape[1:] == (1,) else y


def shape_of_targets(shape: tuple[int, ...]) -> str:
    """How errors write the shape of the targets of all samples."""
    return f"(n_samples, {', '.join(map(str, shape))})" if shape else "(n_samples,)"


def _check_finite(y: NDArray[np.float64], name: Name) -> None:
    place = np.argwhere(~np.isfinite(y))
    if len(place) and y.ndim:
        row, *rest = map(int, place[0])
        value = y[(row, *rest)]
        found = "NaN" if np.isnan(value) else "infinity or a value too large for dtype('float64')"
        where = name(row) + (f"[{', '.join(map(str, rest))}]" if len(rest) > 1 else "")
        raise ValueError(f"Input y contains {found}: {where} is {value if rest[1:] else y[row]}")
