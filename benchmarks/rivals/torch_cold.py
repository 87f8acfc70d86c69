"""The same as `cold_ours.py` with PyTorch."""

import numpy as np
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 16, batch_first=True)
        self.dense = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (h, _) = self.lstm(x)
        return self.dense(h[-1])


rng = np.random.default_rng(0)
x = torch.from_numpy(rng.standard_normal((100, 20, 4), dtype=np.float32))
y = torch.from_numpy(rng.integers(0, 2, 100))
torch.manual_seed(0)
network = Network()
optimizer = torch.optim.Adam(network.parameters())
for _ in range(2):
    for indices in torch.randperm(len(x)).split(32):
        loss = nn.functional.cross_entropy(network(x[indices]), y[indices])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
with torch.inference_mode():
    print(network(x).argmax(1).numpy().mean())
