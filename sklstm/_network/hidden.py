"""The output of an LSTM layer: hidden states at each step and at the end of each sequence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels.pooled import Pooled


class HiddenStates(NamedTuple):
    """Hidden states of a packed batch, or gradients at them; None if they are not needed."""

    steps: NDArray[np.floating] | None = None  # (n_packed, width)
    last: NDArray[np.floating] | None = None  # (n_sequences, width), final in each direction
    pooled: Pooled | None = None  # sum and maximum (n_sequences, width)
