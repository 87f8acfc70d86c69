"""Update rules and gradient clipping on flat vectors, in place.

A rule keeps nothing but its constants. What it must remember from one step to the next is the
list of arrays that `start` returns, so that storing them and the step count lets training resume
bit for bit. `apply` overwrites the gradient: it is the only scratch that the rules need.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating[Any]]


class SGD(NamedTuple):
    """Gradient descent with classical or Nesterov momentum (Sutskever et al., 2013, eq. 1-4)."""

    momentum: float = 0.9
    nesterov: bool = True

    def start(self, parameters: Vector) -> list[Vector]:
        """Zero velocity."""
        return [np.zeros_like(parameters)]

    def apply(
        self, parameters: Vector, gradient: Vector, moments: list[Vector], rate: float, step: int
    ) -> None:
        """Update parameters and velocity in place; the step number plays no part."""
        (velocity,) = moments
        gradient *= rate
        velocity *= self.momentum
        velocity -= gradient
        if not self.nesterov:
            parameters += velocity
            return
        parameters -= gradient
        np.multiply(velocity, self.momentum, out=gradient)
        parameters += gradient


class Adam(NamedTuple):
    """Adam (Kingma & Ba, 2015, Algorithm 1)."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def start(self, parameters: Vector) -> list[Vector]:
        """First and second moment, both zero."""
        return [np.zeros_like(parameters), np.zeros_like(parameters)]

    def apply(
        self, parameters: Vector, gradient: Vector, moments: list[Vector], rate: float, step: int
    ) -> None:
        """Update parameters and moments in place; step counts from 1 and corrects the bias."""
        first, second = moments
        first -= gradient  # first = beta_1 * (first - gradient) + gradient, without scratch
        first *= self.beta_1
        first += gradient
        gradient *= gradient
        gradient *= 1 - self.beta_2
        second *= self.beta_2
        second += gradient

        root_correction = math.sqrt(1 - self.beta_2**step)
        np.sqrt(second, out=gradient)
        gradient += self.epsilon * root_correction
        np.divide(first, gradient, out=gradient)
        gradient *= rate * root_correction / (1 - self.beta_1**step)
        parameters -= gradient


def global_norm(gradient: Vector) -> float:
    """Euclidean norm that neither overflows nor underflows before the gradient itself does."""
    limits = np.finfo(gradient.dtype)
    with np.errstate(all="ignore"):
        squared = float(np.dot(gradient, gradient))
    if float(limits.tiny / limits.eps) <= squared < math.inf:
        return math.sqrt(squared)
    peak = float(np.max(np.abs(gradient), initial=0.0))
    if peak == 0 or not math.isfinite(peak):
        return peak
    return peak * float(np.linalg.norm(gradient / peak))


def clip_by_global_norm(gradient: Vector, max_norm: float | None) -> float:
    """Scale the gradient in place to at most max_norm (Pascanu et al., 2013, Algorithm 1).

    Returns the norm before clipping. A norm that is not finite is returned and nothing clipped.
    """
    norm = global_norm(gradient)
    if max_norm is not None and max_norm < norm < math.inf:
        gradient *= max_norm / norm
    return norm
