"""From tokens to vectors: rows of a table, looked up forward and added to backward.

Shapes: ``P`` packed rows, ``V`` tokens in the vocabulary, ``E`` numbers a token.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sklstm._network.parameters import Views

Array = NDArray[np.floating]
Tokens = NDArray[np.intp]

NAME = "embedding"


def shapes(vocabulary_size: int, embedding_size: int) -> dict[str, tuple[int, ...]]:
    return {f"{NAME}.weight": (vocabulary_size, embedding_size)}


def initialize(params: Views, rng: np.random.RandomState) -> None:
    """Standard normal, so that the layer above sees inputs of unit variance."""
    weight = params[f"{NAME}.weight"]
    weight[...] = rng.standard_normal(weight.shape)


def forward(params: Views, tokens: Tokens) -> Array:
    """(P, 1) to (P, E)."""
    return params[f"{NAME}.weight"][tokens[:, 0]]


def backward(tokens: Tokens, dy: Array, grad: Views) -> None:
    """Adds to the rows of ``grad`` whose tokens occur, and touches no other."""
    order = np.argsort(tokens[:, 0], kind="stable")
    ordered = tokens[order, 0]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    grad[f"{NAME}.weight"][ordered[first]] += np.add.reduceat(dy[order], first, axis=0)
