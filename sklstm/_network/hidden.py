"""The output of an LSTM layer: hidden states at each step and at the end of each sequence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class HiddenStates(NamedTuple):
    """Hidden states of a packed batch, or gradients at them; None if they are not needed."""

    steps: NDArray[np.floating] | None  # (n_packed, width)
    last: NDArray[np.floating] | None  # (n_sequences, width): the final state of each direction
