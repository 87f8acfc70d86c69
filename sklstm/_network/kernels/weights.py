"""Named tuples of weights that both sets of kernels take.

Shapes: ``D`` inputs, ``H`` hidden units, ``K`` outputs. The four gates are side by side in the
order input, forget, output, candidate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Weights(NamedTuple):
    """Weights of one LSTM layer in one direction."""

    ih: Array  # (D, 4 H), applied to the inputs
    hh: Array  # (H, 4 H), applied to the hidden state
    bias: Array  # (4 H,)


class OutputWeights(NamedTuple):
    """Weights of the output layer, an affine map of the hidden state."""

    weight: Array  # (H, K)
    bias: Array  # (K,)
