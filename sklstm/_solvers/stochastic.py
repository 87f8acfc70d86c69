"""Minibatch training: epochs over batches of samples."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sklstm._solvers.observers import (
    BatchDone,
    Callback,
    NonFiniteLossError,
    Observer,
    Outcome,
    Progress,
    Status,
    Vector,
    report,
)
from sklstm._solvers.updates import clip_by_global_norm

Indices = NDArray[np.intp] | None  # None: all samples in their order


class StochasticProblem(Protocol):
    """An objective over some of the samples; rng draws its dropout masks."""

    def __call__(
        self, parameters: Vector, indices: Indices, rng: np.random.RandomState, /
    ) -> tuple[float, Vector, float]:
        """Return the weighted mean, its gradient, and the total weight.

        The solver overwrites the gradient.
        """


class Update(Protocol):
    """An update rule, see `updates`."""

    def apply(
        self, parameters: Vector, gradient: Vector, moments: list[Vector], rate: float, step: int
    ) -> None:
        """Update parameters and moments in place."""


class _Stopped(Exception):
    """A callback stops training between two batches."""


def batches(
    n_samples: int, batch_size: int, shuffle: bool, rng: np.random.RandomState
) -> list[Indices]:
    """Return the indices of each batch: as few batches as possible, whose sizes differ by one."""
    if batch_size >= n_samples:
        return [None]
    order = rng.permutation(n_samples) if shuffle else np.arange(n_samples)
    n_batches = -(-n_samples // batch_size)
    bounds = [n_samples * batch // n_batches for batch in range(n_batches + 1)]
    return [order[start:end] for start, end in pairwise(bounds)]


@dataclass(eq=False, repr=False)
class _Training:
    """The settings and the state of one call of the solver."""

    problem: StochasticProblem
    parameters: Vector
    update: Update
    moments: list[Vector]
    step: int
    schedule: Callable[[int], float]
    n_samples: int
    batch_size: int
    shuffle: bool
    rng: np.random.RandomState
    max_grad_norm: float | None
    callback: Callback | None
    n_epochs: int = 0
    loss: float = math.nan

    def train_epoch(self) -> Progress:
        """Update the parameters once for each batch."""
        epoch = self.n_epochs + 1
        total, total_weight, largest_norm, rate = 0.0, 0.0, 0.0, math.nan
        order = batches(self.n_samples, self.batch_size, self.shuffle, self.rng)
        for batch, indices in enumerate(order, start=1):
            rate = float(self.schedule(self.step + 1))
            position = f"epoch {epoch}, batch {batch} of {len(order)}, learning rate {rate:g}"
            value, weight, norm = self._take_step(indices, rate, position)
            total += value * weight
            total_weight += weight
            largest_norm = max(largest_norm, norm)
            event = BatchDone(epoch, batch, len(order), self.step, value)
            if self.callback is not None and self.callback(event):
                raise _Stopped
        self.n_epochs, self.loss = epoch, total / total_weight
        return Progress(epoch, self.step, self.loss, rate, largest_norm, self.parameters)

    def _take_step(
        self, indices: Indices, rate: float, position: str
    ) -> tuple[float, float, float]:
        """Update once, and return value, weight and gradient norm of the batch."""
        value, gradient, weight = self.problem(self.parameters, indices, self.rng)
        norm = clip_by_global_norm(gradient, self.max_grad_norm)
        self._check_finite(float(value), norm, position)
        self.update.apply(self.parameters, gradient, self.moments, rate, self.step + 1)
        self.step += 1
        return float(value), float(weight), norm

    def _check_finite(self, value: float, norm: float, position: str) -> None:
        """Raise an error if the value or the gradient cannot be used."""
        clipped = norm if self.max_grad_norm is None else min(norm, self.max_grad_norm)
        # Adam squares the gradient: an infinite moment would stop all updates without an error.
        usable = clipped <= math.sqrt(float(np.finfo(self.parameters.dtype).max))
        if math.isfinite(value) and math.isfinite(norm) and usable:
            return
        raise NonFiniteLossError(
            f"Training diverged at update step {self.step + 1} ({position}): the loss is {value:g} "
            f"and the norm of its gradient {norm:g}. Try a smaller learning_rate_init, a (smaller) "
            f"max_grad_norm, or inputs and targets scaled to unit variance."
        )

    def outcome(self, status: Status, message: str) -> Outcome:
        """Return the result so far."""
        return Outcome(self.n_epochs, self.step, self.loss, status, message)


def minimize_stochastic(
    problem: StochasticProblem,
    parameters: Vector,
    *,
    update: Update,
    moments: list[Vector],
    step: int,
    schedule: Callable[[int], float],
    n_samples: int,
    batch_size: int,
    max_epochs: int,
    shuffle: bool,
    rng: np.random.RandomState,
    max_grad_norm: float | None = None,
    observers: Iterable[Observer] = (),
    callback: Callback | None = None,
) -> Outcome:
    """Update parameters and moments in place for at most max_epochs.

    `step` is the number of previous updates with these moments. The rng draws one permutation per
    epoch, unless a batch has all samples. `callback` is called after each batch and each epoch, and
    stops training by returning True. A KeyboardInterrupt stops it after the last complete update.
    """
    training = _Training(
        problem, parameters, update, moments, step, schedule, n_samples, batch_size, shuffle, rng,
        max_grad_norm, callback,
    )  # fmt: skip
    observers = tuple(observers)
    try:
        while training.n_epochs < max_epochs:
            if stop := report(training.train_epoch(), observers, callback):
                return training.outcome(*stop)
    except _Stopped:
        return training.outcome("stopped", "stopped by a callback")
    except KeyboardInterrupt:
        return training.outcome("interrupted", "interrupted by the user")
    return training.outcome("max_iter", f"reached the limit of {max_epochs} epochs")
