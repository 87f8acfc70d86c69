"""Update rules and gradient clipping on flat vectors.

A rule has only constants. The caller keeps its moments, the arrays that each step updates. Training
that continues from stored moments and their step count gives the same bits as training without a
break. `apply` uses the gradient as scratch memory. It writes the new parameters and moments to
`out`, by default in place; with other arrays, an interrupt never leaves half an update.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating[Any]]
#: Parameters and moments.
Arrays = tuple[Vector, list[Vector]]


class SGD(NamedTuple):
    """Gradient descent with classical or Nesterov momentum (Sutskever et al., 2013, eq. 1-4)."""

    momentum: float = 0.9
    nesterov: bool = True

    def initial_moments(self, parameters: Vector) -> list[Vector]:
        """Return a velocity of zero."""
        return [np.zeros_like(parameters)]

    def apply(
        self,
        parameters: Vector,
        gradient: Vector,
        moments: list[Vector],
        rate: float,
        step: int,
        out: Arrays | None = None,
    ) -> None:
        """Update parameters and velocity; the step number is not used."""
        new_parameters, (velocity,) = (parameters, moments) if out is None else out
        gradient *= rate
        np.multiply(moments[0], self.momentum, out=velocity)
        velocity -= gradient
        if not self.nesterov:
            np.add(parameters, velocity, out=new_parameters)
            return
        np.subtract(parameters, gradient, out=new_parameters)
        np.multiply(velocity, self.momentum, out=gradient)
        new_parameters += gradient


class Adam(NamedTuple):
    """Adam (Kingma & Ba, 2015, Algorithm 1)."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def initial_moments(self, parameters: Vector) -> list[Vector]:
        """Return first and second moments of zero."""
        return [np.zeros_like(parameters), np.zeros_like(parameters)]

    def apply(
        self,
        parameters: Vector,
        gradient: Vector,
        moments: list[Vector],
        rate: float,
        step: int,
        out: Arrays | None = None,
    ) -> None:
        """Update parameters and moments; the bias correction uses ``step``, from 1."""
        new_parameters, (first, second) = (parameters, moments) if out is None else out
        np.subtract(moments[0], gradient, out=first)
        first *= self.beta_1  # first = beta_1 * (moments[0] - gradient) + gradient
        first += gradient
        gradient *= gradient
        gradient *= 1 - self.beta_2
        np.multiply(moments[1], self.beta_2, out=second)
        second += gradient

        root_correction = math.sqrt(1 - self.beta_2**step)
        np.sqrt(second, out=gradient)
        gradient += self.epsilon * root_correction
        np.divide(first, gradient, out=gradient)
        gradient *= rate * root_correction / (1 - self.beta_1**step)
        np.subtract(parameters, gradient, out=new_parameters)


def global_norm(gradient: Vector) -> float:
    """Return the Euclidean norm, also if the squares overflow or underflow."""
    with np.errstate(all="ignore"):
        squared = float(np.dot(gradient, gradient))
    if _least_square(gradient.dtype) <= squared < math.inf:
        return math.sqrt(squared)
    peak = float(np.max(np.abs(gradient), initial=0.0))
    if peak == 0 or not math.isfinite(peak):
        return peak
    return peak * float(np.linalg.norm(gradient / peak))


@cache
def _least_square(dtype: np.dtype[np.floating[Any]]) -> float:
    """Return the least sum of squares that has no rounding errors of denormal numbers."""
    limits = np.finfo(dtype)
    return float(limits.tiny / limits.eps)


def clip_by_global_norm(gradient: Vector, max_norm: float | None) -> float:
    """Scale the gradient in place to a norm of at most max_norm, and return its previous norm.

    Pascanu et al., 2013, Algorithm 1. A gradient whose norm is not finite is not changed.
    """
    norm = global_norm(gradient)
    if max_norm is not None and max_norm < norm < math.inf:
        gradient *= max_norm / norm
    return norm
