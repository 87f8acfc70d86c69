"""What both kernels take."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Weights(NamedTuple):
    """Weights of one layer and direction: (D, 4H), (H, 4H) and (4H,)."""

    ih: Array
    hh: Array
    bias: Array


class ReadOut(NamedTuple):
    """An affine map of hidden states: (H, K) and (K,)."""

    weight: Array
    bias: Array
