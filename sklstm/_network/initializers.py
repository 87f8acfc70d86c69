"""Initial weights; each function draws from the generator that it is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Standard deviation of a gate's input, if the inputs of the layer have unit variance.
INPUT_GAIN = 2.0


def glorot_uniform(rng: np.random.RandomState, n_in: int, n_out: int) -> NDArray[np.float64]:
    """Draw uniformly from +-sqrt(6 / (n_in + n_out)): Glorot & Bengio 2010, eq. 16."""
    bound = np.sqrt(6.0 / (n_in + n_out))
    return rng.uniform(-bound, bound, (n_in, n_out))


def input_uniform(rng: np.random.RandomState, n_in: int, n_out: int) -> NDArray[np.float64]:
    """Draw (n_in, n_out) uniformly with standard deviation INPUT_GAIN / sqrt(n_in).

    The deviation depends on the number of inputs alone, not on the number of units: LeCun, Bottou,
    Orr & Müller 1998, eq. 16. So even a single input of unit variance has an effect on the gates
    from the first epoch.
    """
    bound = INPUT_GAIN * np.sqrt(3.0 / n_in)
    return rng.uniform(-bound, bound, (n_in, n_out))


def orthogonal(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return orthogonal (k, n, n) matrices, Haar distributed: Saxe et al. 2014, section 3.

    ``normal`` (k, n, n) are draws from a standard normal.
    """
    q, r = np.linalg.qr(normal)
    return q * np.where(np.diagonal(r, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, None]


def lstm_bias(hidden: int, forget_bias: float) -> NDArray[np.float64]:
    """Return zeros, and ``forget_bias`` for the forget gate: Gers et al. 2000, section 4."""
    bias = np.zeros(4 * hidden)
    bias[hidden : 2 * hidden] = forget_bias
    return bias
