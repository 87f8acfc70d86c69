"""One step of the recurrence for a ``Stepper``, to be compiled; shapes as in ``recurrence``."""

from __future__ import annotations

from sklstm._network.kernels.compiled.cpu import MAX_FORWARD_ROWS
from sklstm._network.kernels.compiled.intrinsics import cell_inference, is_finite, lanes
from sklstm._network.kernels.compiled.panels import pack_gates, whole, width_of_gates
from sklstm._network.kernels.compiled.recurrence import Reals, gates_product


def pack(ih: Reals, hh: Reals, bias: Reals, packed: Reals, n_inputs: int, hidden: int) -> bool:
    """Pack weights for ``step``, see ``panels``."""
    pack_gates(ih, hh, bias, n_inputs, hidden, packed)
    return True


def step(
    x: Reals, packed: Reals, operands: Reals, cells: Reals, z: Reals, output: Reals, out: Reals,
    n: int, n_inputs: int, hidden: int, n_outputs: int,
) -> bool:  # fmt: skip
    """Replace ``operands`` (n, D + 1 + U) and ``cells`` (n, U) by those after a step.

    ``output`` (H + 1, K) has the weights of the output layer and, in its last row, the bias; the
    result is written to ``out`` (n, K). Returns False, and changes nothing, unless the square of
    each input is finite, see ``limits``.
    """
    for k in range(n * n_inputs):
        if not is_finite(x[k] * x[k]):
            return False
    n_lanes, depth, at = lanes(x), n_inputs + 1 + hidden, 0
    width = whole(hidden, n_lanes)
    stride = n_inputs + 1 + width
    _copy_inputs(x, operands, n, n_inputs, stride)
    # The gates of all blocks, (B, rows, 4, L), are computed before any hidden state is overwritten.
    while at < n:
        done = 0
        for u in range(0, hidden, n_lanes):
            done = gates_product(
                n - at, width_of_gates(hidden - u, n_lanes), operands, at * stride,
                packed, 4 * u * depth, z, 4 * u * MAX_FORWARD_ROWS, stride, depth,
            )  # fmt: skip
        for u in range(0, hidden, n_lanes):
            gate_width = width_of_gates(hidden - u, n_lanes)
            for r in range(done):
                cell_inference(
                    z, 4 * (u * MAX_FORWARD_ROWS + r * n_lanes), cells, (at + r) * width + u,
                    operands, (at + r) * stride + n_inputs + 1 + u, gate_width,
                )  # fmt: skip
        at += done
    _output_layer(operands, stride, n_inputs + 1, hidden, output, out, n, n_outputs)
    return True


def _copy_inputs(x, operands, n, n_inputs, stride):
    """Copy the inputs; for so few elements a plain loop is faster than copying by vectors."""
    for r in range(n):
        for k in range(n_inputs):
            operands[r * stride + k] = x[r * n_inputs + k]


def _output_layer(operands, stride, begin, hidden, output, out, n, n_outputs):
    """Compute the affine map of the hidden states, which begin at ``begin`` in each row."""
    for r in range(n):
        for k in range(n_outputs):
            total = output[hidden * n_outputs + k]
            for u in range(hidden):
                total += operands[r * stride + begin + u] * output[u * n_outputs + k]
            out[r * n_outputs + k] = total
