"""The order of the gates in other libraries. In sklstm it is input, forget, output, candidate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Order = tuple[int, int, int, int]

#: The position in sklstm's order of each gate of another library.
ONNX: Order = (0, 2, 1, 3)  # input, output, forget, candidate
TORCH: Order = (0, 1, 3, 2)  # input, forget, candidate, output
KERAS: Order = (0, 1, 3, 2)  # the same


def to_order(weights: NDArray[Any], order: Order) -> NDArray[Any]:
    """Return weights (..., 4 * hidden) with the gates in the order of another library."""
    gates = weights.reshape(*weights.shape[:-1], 4, -1)
    return np.ascontiguousarray(gates[..., list(order), :].reshape(weights.shape))


def from_order(weights: NDArray[Any], order: Order) -> NDArray[Any]:
    """Return weights (..., 4 * hidden) of another library in sklstm's order."""
    i, f, o, g = np.argsort(order).tolist()
    return to_order(weights, (i, f, o, g))
