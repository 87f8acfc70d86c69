"""PyTorch's nn.LSTM, with inputs in its internal layout (T, N, D)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from problem import Problem, Results

#: From sklstm's gate order i, f, o, g to PyTorch's i, f, g, o, and in reverse.
GATES = [0, 1, 3, 2]


class TorchLSTM:
    """One layer of nn.LSTM with the weights of a problem, for sequences of equal lengths."""

    name = "torch"

    def __init__(self, problem: Problem) -> None:
        self._lstm = torch.nn.LSTM(problem.shape.inputs, problem.shape.hidden)
        self._lstm.load_state_dict(_weights(problem, suffix="_l0"))
        self._x = _time_major(problem.x)
        self._x_leaf = self._x.clone().requires_grad_()
        self._dy = _time_major(problem.dy)

    def train(self) -> tuple[Any, ...]:
        y, (h, _) = self._lstm(self._x_leaf)
        wanted = [self._x_leaf, *self._lstm.parameters()]
        return y, h, torch.autograd.grad(y, wanted, self._dy)

    def infer(self) -> tuple[Any, Any]:
        with torch.inference_mode():
            y, (h, _) = self._lstm(self._x)
        return y, h

    def results(self) -> Results:
        y, h, (dx, dw_ih, dw_hh, db_ih, _) = self.train()
        y_inferred, h_inferred = self.infer()
        return {
            "training outputs": _batch_major(y),
            "training final state": h[0].detach().numpy(),
            "inference outputs": _batch_major(y_inferred),
            "inference final state": h_inferred[0].numpy(),
            "gradient of inputs": _batch_major(dx),
            "gradient of weight_ih": _from_torch(dw_ih),
            "gradient of weight_hh": _from_torch(dw_hh),
            "gradient of bias": _from_torch(db_ih[:, None])[0],
        }


class TorchCell:
    """nn.LSTMCell, for one step at a time."""

    name = "torch"

    def __init__(self, problem: Problem) -> None:
        self._cell = torch.nn.LSTMCell(problem.shape.inputs, problem.shape.hidden)
        self._cell.load_state_dict(_weights(problem))
        self._state = tuple(torch.zeros(1, problem.shape.hidden) for _ in "hc")

    def step(self, x: np.ndarray) -> np.ndarray:
        """Return the hidden state (1, H) after the next step (1, D)."""
        with torch.inference_mode():
            self._state = self._cell(torch.from_numpy(x), self._state)
        return self._state[0].numpy()


def layer(problem: Problem, threads: int) -> TorchLSTM:
    torch.set_num_threads(threads)
    return TorchLSTM(problem)


def cell(problem: Problem) -> TorchCell:
    torch.set_num_threads(1)
    return TorchCell(problem)


def version() -> str:
    return str(torch.__version__)


def _weights(problem: Problem, suffix: str = "") -> dict[str, torch.Tensor]:
    weights = {
        "weight_ih": _to_torch(problem.weight_ih),
        "weight_hh": _to_torch(problem.weight_hh),
        "bias_ih": _to_torch(problem.bias[None])[:, 0],
        "bias_hh": torch.zeros(4 * problem.shape.hidden),
    }
    return {name + suffix: value for name, value in weights.items()}


def _to_torch(weights: np.ndarray) -> torch.Tensor:
    """Convert (K, 4H) to (4H, K)."""
    by_gate = weights.reshape(len(weights), 4, -1)[:, GATES]
    return torch.from_numpy(np.ascontiguousarray(by_gate.reshape(len(weights), -1).T))


def _from_torch(weights: torch.Tensor) -> np.ndarray:
    by_gate = weights.numpy().T.reshape(weights.shape[1], 4, -1)[:, GATES]
    return by_gate.reshape(weights.shape[1], -1)


def _time_major(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1)))


def _batch_major(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().swapaxes(0, 1)
