"""One step of ``compiled_kernels``, to be compiled; shapes as in ``compiled``."""

from __future__ import annotations

import numpy as np

from sklstm._network.kernels.compiled.cpu import MOST_ROWS
from sklstm._network.kernels.compiled.intrinsics import cell_inference, lanes
from sklstm._network.kernels.compiled.panels import pack_gates, part, whole
from sklstm._network.kernels.compiled.recurrence import Reals, gates_product


def pack(ih: Reals, hh: Reals, bias: Reals, packed: Reals, n_inputs: int, hidden: int) -> bool:
    """Weights as ``step`` wants them."""
    pack_gates(ih, hh, bias, n_inputs, hidden, packed)
    return True


def step(
    x: Reals, packed: Reals, states: Reals, cells: Reals, z: Reals, read_out: Reals, out: Reals,
    n: int, n_inputs: int, hidden: int, n_outputs: int,
) -> bool:  # fmt: skip
    """One step, after which ``states`` (n, D + 1 + U) and ``cells`` (n, U) have changed.

    ``out`` (n, K) is filled by the weights and, in its last row, the bias of ``read_out``
    (H + 1, K). Where ``x`` is not finite nothing changes, and the answer is no.
    """
    for k in range(n * n_inputs):
        if not np.isfinite(x[k]):
            return False
    size, depth, at = lanes(x), n_inputs + 1 + hidden, 0
    width = whole(hidden, size)
    stride = n_inputs + 1 + width
    for r in range(n):
        for k in range(n_inputs):
            states[r * stride + k] = x[r * n_inputs + k]
    # All blocks are multiplied, into (B, rows, 4, L), before the first state is written.
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
    _read(states, stride, n_inputs + 1, hidden, read_out, out, n, n_outputs)
    return True


@part
def _read(states, stride, begin, hidden, read_out, out, n, n_outputs):
    """The affine map of hidden states."""
    for r in range(n):
        for k in range(n_outputs):
            total = read_out[hidden * n_outputs + k]
            for u in range(hidden):
                total += states[r * stride + begin + u] * read_out[u * n_outputs + k]
            out[r * n_outputs + k] = total
