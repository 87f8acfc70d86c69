"""Compare an epoch over tokens of a large vocabulary with PyTorch's sparse embeddings.

Sequences of 20 tokens out of 50,000, embeddings of dimension 32, 64 units, batches of 32, float32,
one thread. PyTorch uses `Embedding(sparse=True)` with SparseAdam, and Adam for the other weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from calls import SETTINGS, fit, in_kernels
from timing import Turns, interleaved

from sklstm import LSTMClassifier

N, STEPS, VOCABULARY, EMBEDDING, HIDDEN, BATCH = 20_000, 20, 50_000, 32, 64, 32


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the times of an epoch."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, VOCABULARY, (N, STEPS))
    y = (x[:, 0] < VOCABULARY // 2).astype(np.int64)
    calls: dict[str, Callable[[], object]] = {}
    for name in options.kernels:
        classifier = LSTMClassifier(
            HIDDEN, vocabulary_size=VOCABULARY, embedding_size=EMBEDDING, batch_size=BATCH,
            max_iter=1, dtype="float32", **SETTINGS,
        )  # fmt: skip
        calls[f"sklstm {name}"] = in_kernels(name, partial(fit, classifier, x, y))
    if "torch" in options.rivals:
        from rivals import torch_calls as rival

        make = partial(rival.Network, EMBEDDING, HIDDEN, 2, VOCABULARY)
        calls["torch"] = partial(rival.fit, make, x, y, BATCH, 1)
    return interleaved(calls, Turns.of(options))
