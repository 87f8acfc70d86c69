"""What inference computes of the hidden states of all steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Outputs(NamedTuple):
    """Arrays that both sets of kernels write to; None if they are not needed.

    Either ``steps`` or the others are given. When inference begins, ``total`` and ``maximum`` have
    the values of earlier steps.
    """

    steps: Array | None = None  # (P, H), the hidden states themselves
    total: Array | None = None  # (n, H), their sum
    maximum: Array | None = None  # (n, H)
