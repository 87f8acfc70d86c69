"""The embedding layer: one vector for each token of the vocabulary.

Shapes: ``P`` packed rows, ``V`` tokens in the vocabulary, ``E`` the embedding dimension.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sklstm._network.parameters import Views

Array = NDArray[np.floating]
Tokens = NDArray[np.intp]

NAME = "embedding"


def shapes(vocabulary_size: int, embedding_size: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of the parameter."""
    return {f"{NAME}.weight": (vocabulary_size, embedding_size)}


def initialize(params: Views, rng: np.random.RandomState) -> None:
    """Draw from a standard normal: the next layer expects inputs of unit variance."""
    weight = params[f"{NAME}.weight"]
    weight[...] = rng.standard_normal(weight.shape)


def forward(params: Views, tokens: Tokens) -> Array:
    """Map tokens (P, 1) to their vectors (P, E)."""
    return params[f"{NAME}.weight"].take(tokens[:, 0], axis=0)


def backward(tokens: Tokens, dy: Array, grad: Views) -> None:
    """Add the gradients of the tokens that occur to their rows of ``grad``."""
    order = np.argsort(tokens[:, 0], kind="stable")
    ordered = tokens[order, 0]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.concatenate([first[1:], [len(order)]]) - first
    sums, repeated = dy.take(order[first], axis=0), counts > 1
    if repeated.any():  # sums of single rows would take most of the time
        rows = dy.take(order[np.repeat(repeated, counts)], axis=0)
        ends = np.cumsum(counts[repeated])
        sums[repeated] = np.add.reduceat(rows, ends - counts[repeated], axis=0)
    weight_gradient = grad[f"{NAME}.weight"]
    if len(first) == len(weight_gradient):  # all tokens occur: no index is needed
        weight_gradient += sums
    else:
        weight_gradient[ordered[first]] += sums
