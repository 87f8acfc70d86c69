"""Minibatch training: epochs over batches of sample indices."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sklstm._solvers.observers import (
    BatchDone,
    NonFiniteLossError,
    Observer,
    Outcome,
    Progress,
    Status,
    Tell,
    Vector,
    notify,
)
from sklstm._solvers.updates import clip_by_global_norm

Indices = NDArray[np.intp] | None  # None: every sample, in its own order


class StochasticProblem(Protocol):
    """Objective over some of the samples; rng is for its own draws, such as dropout masks."""

    def __call__(
        self, parameters: Vector, indices: Indices, rng: np.random.RandomState, /
    ) -> tuple[float, Vector, float]:
        """Weighted mean objective, its gradient (ours to overwrite), and the total weight."""


class Update(Protocol):
    """A rule of `updates`."""

    def apply(
        self, parameters: Vector, gradient: Vector, moments: list[Vector], rate: float, step: int
    ) -> None:
        """Make one update in place."""


class _Stopped(Exception):
    """Told to stop between two batches."""


def batches(
    n_samples: int, batch_size: int, shuffle: bool, rng: np.random.RandomState
) -> list[Indices]:
    """Indices of one epoch's batches: as few as batch_size allows, of sizes that differ by one."""
    if batch_size >= n_samples:
        return [None]
    order = rng.permutation(n_samples) if shuffle else np.arange(n_samples)
    n_batches = -(-n_samples // batch_size)
    bounds = [n_samples * batch // n_batches for batch in range(n_batches + 1)]
    return [order[start:end] for start, end in pairwise(bounds)]


@dataclass(eq=False, repr=False)
class _Training:
    """The state of one run: everything that a batch reads or moves."""

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
    tell: Tell | None
    n_epochs: int = 0
    loss: float = math.nan

    def run_epoch(self) -> Progress:
        """Update once for every batch."""
        epoch = self.n_epochs + 1
        total, total_weight, largest_norm, rate = 0.0, 0.0, 0.0, math.nan
        order = batches(self.n_samples, self.batch_size, self.shuffle, self.rng)
        for batch, indices in enumerate(order, start=1):
            rate = float(self.schedule(self.step + 1))
            where = f"epoch {epoch}, batch {batch} of {len(order)}, learning rate {rate:g}"
            value, weight, norm = self._take_step(indices, rate, where)
            total += value * weight
            total_weight += weight
            largest_norm = max(largest_norm, norm)
            event = BatchDone(epoch, batch, len(order), self.step, value)
            if self.tell is not None and self.tell(event):
                raise _Stopped
        self.n_epochs, self.loss = epoch, total / total_weight
        return Progress(epoch, self.step, self.loss, rate, largest_norm, self.parameters)

    def _take_step(self, indices: Indices, rate: float, where: str) -> tuple[float, float, float]:
        """One update; the batch's value and weight, and the norm of its gradient."""
        value, gradient, weight = self.problem(self.parameters, indices, self.rng)
        norm = clip_by_global_norm(gradient, self.max_grad_norm)
        self._check_finite(float(value), norm, where)
        self.update.apply(self.parameters, gradient, self.moments, rate, self.step + 1)
        self.step += 1
        return float(value), float(weight), norm

    def _check_finite(self, value: float, norm: float, where: str) -> None:
        """Refuse what no later step could mend."""
        clipped = norm if self.max_grad_norm is None else min(norm, self.max_grad_norm)
        # Adam squares the gradient: past this an infinite moment would stall training silently.
        usable = clipped <= math.sqrt(float(np.finfo(self.parameters.dtype).max))
        if math.isfinite(value) and math.isfinite(norm) and usable:
            return
        raise NonFiniteLossError(
            f"Training diverged at update step {self.step + 1} ({where}): the loss is {value:g} "
            f"and the norm of its gradient {norm:g}. Try a smaller learning_rate_init, a (smaller) "
            f"max_grad_norm, or inputs and targets scaled to unit variance."
        )

    def outcome(self, status: Status, message: str) -> Outcome:
        """How far it came."""
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
    tell: Tell | None = None,
) -> Outcome:
    """Train parameters and moments in place for at most max_epochs.

    `step` is the number of updates made before, by earlier runs with these moments. The rng draws
    one permutation an epoch, unless a batch holds all samples. `tell` hears of every batch and
    epoch and stops the run by returning True. An interrupt keeps what was learnt.
    """
    training = _Training(
        problem, parameters, update, moments, step, schedule, n_samples, batch_size, shuffle, rng,
        max_grad_norm, tell,
    )  # fmt: skip
    observers = tuple(observers)
    try:
        while training.n_epochs < max_epochs:
            if verdict := notify(training.run_epoch(), observers, tell):
                return training.outcome(*verdict)
    except _Stopped:
        return training.outcome("stopped", "a callback asked to stop")
    except KeyboardInterrupt:
        return training.outcome("interrupted", "interrupted by the user")
    return training.outcome("max_iter", f"reached the limit of {max_epochs} epochs")
