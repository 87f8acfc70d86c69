"""The largest input of a network: its square is finite in the network's dtype.

Larger inputs are refused, because their products with weights may overflow to infinity, and the
difference of two infinities is NaN.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class InputTooLargeError(ValueError):
    """An input is beyond `largest_input`."""


def largest_input(dtype: DTypeLike) -> float:
    """Return the largest absolute value of an input, 1.8e19 or 1.3e154."""
    return float(np.sqrt(np.finfo(np.dtype(dtype).type).max))


def all_accepted(values: NDArray[Any]) -> bool:
    """Return whether all values are numbers up to `largest_input`."""
    if isfinite(np.vdot(values, values)):  # the usual case, in one fast pass
        return True
    return bool((np.abs(values) <= largest_input(values.dtype)).all())
