"""A whole fit by a typical training loop in PyTorch."""

from __future__ import annotations

import math

import torch
from fit_problem import BATCH, LEARNING_RATE, MAX_EPOCHS, FitProblem, Fitted
from torch import nn

from rivals.torch_network import Network


def fit(problem: FitProblem) -> Fitted:
    torch.manual_seed(problem.seed)
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    lengths = torch.from_numpy(problem.lengths) if problem.ragged else None
    network = Network(x.shape[2], problem.n_classes)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    epochs, loss = 0, math.inf
    while loss > problem.loss and epochs < MAX_EPOCHS:
        loss = _epoch(network, optimizer, x, lengths, y)
        epochs += 1
    return Fitted(epochs, loss)


def _epoch(
    network: Network,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    lengths: torch.Tensor | None,
    y: torch.Tensor,
) -> float:
    total = 0.0
    for indices in torch.randperm(len(x)).split(BATCH):
        logits = network(x[indices], None if lengths is None else lengths[indices])
        loss = nn.functional.cross_entropy(logits, y[indices])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(indices)
    return total / len(x)
