"""What an LSTM layer hands to the next: its states at every step, and at each sequence's end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Hidden(NamedTuple):
    """Hidden states of a packed batch, or gradients at them; None stands for "not needed"."""

    steps: NDArray[np.floating] | None  # (n_packed, width)
    last: NDArray[np.floating] | None  # (n_sequences, width): where each direction ends
