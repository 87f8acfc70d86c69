"""Learning-rate schedules: update step, counted from 1, to rate."""

import math
from typing import NamedTuple, Protocol


class Schedule(Protocol):
    """What the solver loop and its observers ask of a schedule."""

    def __call__(self, step: int, /) -> float:
        """Rate of this update."""

    def on_plateau(self) -> bool:
        """Answer to a plateau: True to go on, with a smaller rate; False to stop."""


class Constant(NamedTuple):
    """The same rate at every step."""

    rate: float

    def __call__(self, step: int, /) -> float:
        """Rate of this update."""
        return self.rate

    def on_plateau(self) -> bool:
        """Nothing left to try."""
        return False


class Cosine(NamedTuple):
    """Half a cosine from rate towards zero (Loshchilov & Hutter, 2017, eq. 5, one cycle).

    The n_steps updates after first_step follow the curve, the last of them with a rate still above
    zero; later ones keep that rate.
    """

    rate: float
    n_steps: int
    first_step: int = 1

    def __call__(self, step: int, /) -> float:
        """Rate of this update."""
        n_done = min(step - self.first_step, self.n_steps - 1)
        return self.rate * 0.5 * (1 + math.cos(math.pi * n_done / self.n_steps))

    def on_plateau(self) -> bool:
        """Nothing left to try: the rate falls by itself."""
        return False


class Adaptive:
    """A rate that is kept until a plateau divides it, down to the first value <= minimum."""

    def __init__(self, rate: float, *, factor: float = 5.0, minimum: float = 1e-6) -> None:
        self.rate = rate
        self.factor = factor
        self.minimum = minimum

    def __call__(self, step: int, /) -> float:
        """Rate of this update."""
        return self.rate

    def on_plateau(self) -> bool:
        """Divide the rate by factor and go on, unless it has reached the minimum."""
        if self.rate <= self.minimum:
            return False
        self.rate /= self.factor
        return True
