"""Learning-rate schedules: functions of the update step, which is counted from 1."""

import math
from typing import NamedTuple, Protocol


class Schedule(Protocol):
    """A learning rate for each update step."""

    def __call__(self, step: int, /) -> float:
        """Return the learning rate of an update."""

    def on_plateau(self) -> bool:
        """Lower the rate and return True, or return False if training should stop."""


class Constant(NamedTuple):
    """The same rate at each step."""

    rate: float

    def __call__(self, step: int, /) -> float:
        """Return the learning rate of an update."""
        return self.rate

    def on_plateau(self) -> bool:
        """Return False: there is no smaller rate."""
        return False


class Cosine(NamedTuple):
    """Half a cosine from rate towards zero (Loshchilov & Hutter, 2017, eq. 5, one cycle).

    The updates from first_step on follow the curve for n_steps. The rate of the last one is still
    positive, and later updates have the same rate.
    """

    rate: float
    n_steps: int
    first_step: int = 1

    def __call__(self, step: int, /) -> float:
        """Return the learning rate of an update."""
        n_done = min(step - self.first_step, self.n_steps - 1)
        return self.rate * 0.5 * (1 + math.cos(math.pi * n_done / self.n_steps))

    def on_plateau(self) -> bool:
        """Return False: the rate does not depend on the loss."""
        return False


class Adaptive:
    """A constant rate that each plateau divides, until it is at most ``minimum``."""

    def __init__(self, rate: float, *, factor: float = 5.0, minimum: float = 1e-6) -> None:
        self.initial_rate = self.rate = rate
        self.factor = factor
        self.minimum = minimum

    def __call__(self, step: int, /) -> float:
        """Return the learning rate of an update."""
        return self.rate

    def on_plateau(self) -> bool:
        """Divide the rate and return True, unless it has reached the minimum."""
        if self.rate <= self.minimum:
            return False
        self.rate /= self.factor
        return True
