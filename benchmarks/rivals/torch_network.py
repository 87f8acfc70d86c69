"""The network of a whole fit in PyTorch, for the plain loop and for what is built on PyTorch."""

from __future__ import annotations

import torch
from fit_problem import HIDDEN
from torch import nn


class Network(nn.Module):
    """x (N, T, D) and lengths (N,), or None where all are equal, to logits (N, K)."""

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
