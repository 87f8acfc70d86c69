"""The output layer: an affine map of pooled hidden states, or of those of each step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sklstm._network.initializers import glorot_uniform
from sklstm._network.parameters import Views

Array = NDArray[np.floating]

NAME = "dense"


def shapes(n_inputs: int, n_outputs: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter."""
    return {f"{NAME}.weight": (n_inputs, n_outputs), f"{NAME}.bias": (n_outputs,)}


def initialize(params: Views, rng: np.random.RandomState) -> None:
    """Draw the initial weights, and set the bias to zero."""
    weight = params[f"{NAME}.weight"]
    weight[...] = glorot_uniform(rng, *weight.shape)
    params[f"{NAME}.bias"][...] = 0


def forward(params: Views, x: Array) -> Array:
    """Map (rows, n_inputs) to (rows, n_outputs)."""
    return x @ params[f"{NAME}.weight"] + params[f"{NAME}.bias"]


def backward(params: Views, x: Array, dy: Array, grad: Views) -> Array:
    """Add the gradients of the parameters to ``grad``, and return the gradient at ``x``."""
    grad[f"{NAME}.weight"] += x.T @ dy
    grad[f"{NAME}.bias"] += np.add.reduce(dy, axis=0)
    return gradient_at_inputs(params, dy)


def gradient_at_inputs(params: Views, dy: Array) -> Array:
    """Return the gradient at the inputs."""
    return dy @ params[f"{NAME}.weight"].T
