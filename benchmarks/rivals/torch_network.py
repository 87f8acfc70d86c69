"""The network of a whole fit in PyTorch, also for the libraries that use PyTorch."""

from __future__ import annotations

import torch
from fit_problem import HIDDEN
from torch import nn


class Network(nn.Module):
    """Compute logits (N, K) from x (N, T, D) and lengths (N,), or None if they are equal."""

    def __init__(self, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_inputs, HIDDEN, batch_first=True)
        self.dense = nn.Linear(HIDDEN, n_classes)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        if lengths is not None:
            x = nn.utils.rnn.pack_padded_sequence(
                x, lengths, batch_first=True, enforce_sorted=False
            )
        _, (h, _) = self.lstm(x)
        return self.dense(h[-1])
