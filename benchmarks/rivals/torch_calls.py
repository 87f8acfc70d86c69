"""Whole calls by a typical training loop in PyTorch: fit, and probabilities as a NumPy array."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn


class Network(nn.Module):
    """LSTM and dense layer of the last hidden state; tokens have sparse embeddings before."""

    def __init__(self, n_inputs: int, hidden: int, n_classes: int, n_tokens: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, n_inputs, sparse=True) if n_tokens else None
        self.lstm = nn.LSTM(n_inputs, hidden, batch_first=True)
        self.dense = nn.Linear(hidden, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.embedding is not None:
            x = self.embedding(x)
        _, (h, _) = self.lstm(x)
        return self.dense(h[-1])

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Return Adam, and SparseAdam for embeddings."""
        dense = [*self.lstm.parameters(), *self.dense.parameters()]
        found: list[torch.optim.Optimizer] = [torch.optim.Adam(dense, lr=0.01)]
        if self.embedding is not None:
            found.append(torch.optim.SparseAdam(list(self.embedding.parameters()), lr=0.01))
        return found


def fit(make: Callable[[], Network], x: np.ndarray, y: np.ndarray, batch: int, epochs: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    network = make()
    optimizers = network.optimizers()
    for _ in range(epochs):
        total = 0.0
        for indices in torch.randperm(len(inputs)).split(batch):
            loss = nn.functional.cross_entropy(network(inputs[indices]), targets[indices])
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            total += loss.item() * len(indices)


def predict_proba(network: Network, x: np.ndarray) -> np.ndarray:
    torch.set_num_threads(1)
    with torch.inference_mode():
        return network(torch.from_numpy(x)).softmax(1).numpy()


def copied(parameters: dict[str, np.ndarray]) -> Network:
    """Return a network with the parameters of a fitted classifier of sklstm."""
    from rivals.torch_lstm import _to_torch

    weight_ih, weight_hh, bias, weight, dense_bias = parameters.values()
    network = Network(len(weight_ih), len(weight_hh), weight.shape[1])
    state = {
        "lstm.weight_ih_l0": _to_torch(weight_ih),
        "lstm.weight_hh_l0": _to_torch(weight_hh),
        "lstm.bias_ih_l0": _to_torch(bias[None])[:, 0],
        "lstm.bias_hh_l0": torch.zeros(len(bias)),
        "dense.weight": torch.from_numpy(weight.T.copy()),
        "dense.bias": torch.from_numpy(dense_bias.copy()),
    }
    network.load_state_dict(state)
    return network
