"""One step of ``with_numba``, to be compiled; shapes as in ``compiled``."""

from __future__ import annotations

import numpy as np

from sklstm._network.kernels.compiled import MOST_ROWS, gates_product, pack
from sklstm._network.kernels.intrinsics import cell_inference
from sklstm._network.kernels.vectors import VECTOR_BYTES


def pack_into(ih, hh, bias, packed):  # type: ignore[no-untyped-def]  # compiled
    """Weights as ``step`` wants them."""
    packed[:] = pack(ih, hh, bias)


def step(x, packed, states, cells, read_out, out):  # type: ignore[no-untyped-def]
    """One step, after which ``states`` (n, D + 1 + U) and ``cells`` (n, U) have changed.

    ``out`` (n, K) is filled by the weights and, in its last row, the bias of ``read_out``
    (H + 1, K). Where ``x`` is not finite nothing changes, and the answer is no.
    """
    (n, n_inputs), (_, stride), width = x.shape, states.shape, cells.shape[1]
    for r in range(n):
        for k in range(n_inputs):
            if not np.isfinite(x[r, k]):
                return False
    size = VECTOR_BYTES // x.itemsize
    depth = len(packed) // (4 * width)
    z, new = np.empty((MOST_ROWS, 4 * size), x.dtype), np.empty((n, width), x.dtype)
    states[:, :n_inputs] = x
    for block in range(width // size):
        at = 0
        while at < n:
            done = gates_product(
                n - at, states, at * stride, packed, 4 * size * depth * block, z, 0,
                stride, 1, 4 * size, 1, 0, depth,
            )  # fmt: skip
            for r in range(done):
                place = (at + r) * width + block * size
                cell_inference(z, 4 * size * r, cells, place, new, place)
            at += done
    states[:, n_inputs + 1 :] = new
    hidden = len(read_out) - 1
    for r in range(len(out)):
        for k in range(out.shape[1]):
            total = read_out[hidden, k]
            for u in range(hidden):
                total += new[r, u] * read_out[u, k]
            out[r, k] = total
    return True
