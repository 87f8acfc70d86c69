"""Starting values of the parameters; each draws from the generator it is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Standard deviation that inputs of unit variance give to a gate's input.
INPUT_GAIN = 2.0


def glorot_uniform(rng: np.random.RandomState, n_in: int, n_out: int) -> NDArray[np.float64]:
    """Uniform in +-sqrt(6 / (n_in + n_out)), (n_in, n_out): Glorot & Bengio 2010, eq. 16."""
    bound = np.sqrt(6.0 / (n_in + n_out))
    return rng.uniform(-bound, bound, (n_in, n_out))


def input_uniform(rng: np.random.RandomState, n_in: int, n_out: int) -> NDArray[np.float64]:
    """Uniform with standard deviation INPUT_GAIN / sqrt(n_in), (n_in, n_out).

    Not for the number of units, but for that of inputs: LeCun, Bottou, Orr & Müller 1998, eq. 16.
    Inputs of unit variance then move gates from the start, also if there is but one of them.
    """
    bound = INPUT_GAIN * np.sqrt(3.0 / n_in)
    return rng.uniform(-bound, bound, (n_in, n_out))


def orthogonal(rng: np.random.RandomState, n: int) -> NDArray[np.float64]:
    """A random (n, n) rotation or reflection, Haar distributed: Saxe et al. 2014, section 3."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.where(np.diag(r) < 0, -1.0, 1.0)


def lstm_bias(hidden: int, forget_bias: float) -> NDArray[np.float64]:
    """Zero but for the forget gate's block: Gers, Schmidhuber & Cummins 2000, section 4."""
    bias = np.zeros(4 * hidden)
    bias[hidden : 2 * hidden] = forget_bias
    return bias
