"""Networks of PyTorch that compute what estimators of sklstm do."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")


class Network(torch.nn.Module):
    """Embedding, LSTM layers, pooling and output layer, for one sequence at a time."""

    def __init__(self, n_inputs, sizes, n_outputs, *, bidirectional, pooling, vocabulary_size=None):
        super().__init__()
        self.pooling = pooling
        if vocabulary_size is not None:
            self.embedding = torch.nn.Embedding(vocabulary_size, n_inputs)
        names, width, n_directions = [], n_inputs, 1 + bidirectional
        for k, size in enumerate(sizes):
            names.append(f"lstm_{k}")
            module = torch.nn.LSTM(width, size, batch_first=True, bidirectional=bidirectional)
            self.add_module(names[-1], module)
            width = size * n_directions
        self.names = names
        self.linear = torch.nn.Linear(width * (1 + (pooling == "mean_max")), n_outputs)

    def forward(self, x):
        if hasattr(self, "embedding"):
            x = self.embedding(x[:, :, 0].long())
        for name in self.names:
            x, (h, _) = getattr(self, name)(x)
        parts = {"last": torch.cat(list(h), dim=-1), "mean": x.mean(1), "max": x.amax(1)}
        if self.pooling is None:
            return self.linear(x)
        return self.linear(torch.cat([parts[name] for name in self.pooling.split("_")], dim=-1))


def outputs(network, X):
    """The outputs for each sequence, as arrays."""
    with torch.inference_mode():
        rows = [network(torch.from_numpy(np.reshape(x, (1, len(x), -1))))[0] for x in X]
    return [row.numpy() for row in rows]
