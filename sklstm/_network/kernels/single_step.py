"""One step of ``with_numba``, to be compiled; shapes as in ``compiled``."""

from __future__ import annotations

import numpy as np

from sklstm._network.kernels.compiled import MOST_ROWS, gates_product
from sklstm._network.kernels.intrinsics import cell_inference
from sklstm._network.kernels.panels import pack_gates
from sklstm._network.kernels.vectors import VECTOR_BYTES


def pack_into(ih, hh, bias, packed):
    """Weights as ``step`` wants them."""
    packed[:] = pack_gates(ih, hh, bias)


def step(x, packed, states, cells, read_out, out):
    """One step, after which ``states`` (n, D + 1 + U) and ``cells`` (n, U) have changed.

    ``out`` (n, K) is filled by the weights and, in its last row, the bias of ``read_out``
    (H + 1, K). Where ``x`` is not finite nothing changes, and the answer is no.
    """
    (n, n_inputs), (_, stride), width = x.shape, states.shape, cells.shape[1]
    for r in range(n):
        for k in range(n_inputs):
            if not np.isfinite(x[r, k]):
                return False
    size, at = VECTOR_BYTES // x.itemsize, 0
    depth = len(packed) // (4 * width)
    # All blocks are multiplied, into (B, rows, 4, L), before the first state is written.
    z = np.empty(4 * width * MOST_ROWS, x.dtype)
    states[:, :n_inputs] = x
    while at < n:
        done = 0
        for block in range(width // size):
            done = gates_product(
                n - at, states, at * stride, packed, 4 * size * depth * block,
                z, 4 * size * MOST_ROWS * block, stride, 1, 4 * size, 1, 0, depth,
            )  # fmt: skip
        for block in range(width // size):
            for r in range(done):
                cell_inference(
                    z, 4 * size * (MOST_ROWS * block + r),
                    cells, (at + r) * width + block * size,
                    states, (at + r) * stride + n_inputs + 1 + block * size,
                )  # fmt: skip
        at += done
    hidden = len(read_out) - 1
    for r in range(len(out)):
        for k in range(out.shape[1]):
            total = read_out[hidden, k]
            for u in range(hidden):
                total += states[r, n_inputs + 1 + u] * read_out[u, k]
            out[r, k] = total
    return True
