"""A few problems with known minima."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Problem:
    """A function of a flat vector, with an initial vector and all of its minima."""

    name: str
    value_and_gradient: Callable[[Array], tuple[float, Array]]
    initial: tuple[float, ...]
    minima: tuple[tuple[float, ...], ...]

    def distance(self, x: Array) -> float:
        """Return the largest coordinate difference from the nearest minimum."""
        return min(float(np.max(np.abs(x - np.array(minimum)))) for minimum in self.minima)

    def full_batch(self, x: Array, indices: object, rng: object) -> tuple[float, Array, float]:
        """The function as a problem of a stochastic solver with one batch."""
        value, gradient = self.value_and_gradient(x)
        return value, gradient, 1.0


def bowl(x: Array) -> tuple[float, Array]:
    """Quadratic of condition number 100 about (1, -2, 3)."""
    residual = x - np.array([1, -2, 3], x.dtype)
    gradient = np.array([1, 10, 100], x.dtype) * residual
    return float(residual @ gradient) / 2, gradient


def rosenbrock(x: Array) -> tuple[float, Array]:
    """Rosenbrock (1960): a curved valley."""
    first, second = 1 - x[0], x[1] - x[0] ** 2
    gradient = np.array([-2 * first - 400 * x[0] * second, 200 * second], x.dtype)
    return float(first**2 + 100 * second**2), gradient


def booth(x: Array) -> tuple[float, Array]:
    """Booth's function: a tilted quadratic."""
    first, second = x[0] + 2 * x[1] - 7, 2 * x[0] + x[1] - 5
    gradient = np.array([2 * first + 4 * second, 4 * first + 2 * second], x.dtype)
    return float(first**2 + second**2), gradient


def himmelblau(x: Array) -> tuple[float, Array]:
    """Himmelblau (1972): four minima of value zero."""
    first, second = x[0] ** 2 + x[1] - 11, x[0] + x[1] ** 2 - 7
    gradient = np.array([4 * x[0] * first + 2 * second, 2 * first + 4 * x[1] * second], x.dtype)
    return float(first**2 + second**2), gradient


PROBLEMS = (
    Problem("bowl", bowl, (4.0, 4.0, -4.0), ((1, -2, 3),)),
    Problem("rosenbrock", rosenbrock, (-1.2, 1.0), ((1, 1),)),
    Problem("booth", booth, (-3.0, 4.0), ((1, 3),)),
    Problem(
        "himmelblau",
        himmelblau,
        (0.0, 0.5),
        (
            (3, 2),
            (-2.8051180869527448, 3.1313125182505730),
            (-3.7793102533777469, -3.2831859912861694),
            (3.5844283403304917, -1.8481265269644034),
        ),
    ),
)


class LeastSquares:
    """Weighted mean of squared residuals / 2, over minibatches; the minimum by lstsq."""

    def __init__(self, seed: int, n_samples: int = 96, n_features: int = 5) -> None:
        rng = np.random.RandomState(seed)
        self.n_samples, self.n_features = n_samples, n_features
        self.inputs = rng.standard_normal((n_samples, n_features))
        noise = 0.1 * rng.standard_normal(n_samples)
        self.targets = self.inputs @ np.arange(1.0, n_features + 1) + noise
        self.weights = rng.uniform(0.5, 2.0, n_samples)
        self.batches: list[NDArray[np.integer] | None] = []
        root = np.sqrt(self.weights)
        self.minimum = np.linalg.lstsq(
            root[:, None] * self.inputs, root * self.targets, rcond=None
        )[0]

    def __call__(
        self, x: Array, indices: NDArray[np.integer] | None, rng: object
    ) -> tuple[float, Array, float]:
        self.batches.append(indices)
        rows = slice(None) if indices is None else indices
        inputs, weights = self.inputs[rows].astype(x.dtype), self.weights[rows].astype(x.dtype)
        residual = inputs @ x - self.targets[rows].astype(x.dtype)
        total = float(weights.sum())
        gradient = inputs.T @ (weights * residual) / weights.sum()
        return float(weights @ residual**2) / (2 * total), gradient, total
