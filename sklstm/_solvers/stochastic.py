"""Minibatch training: epochs over batches of samples."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, Protocol

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
from sklstm._solvers.parts import Part, PartialGradient
from sklstm._solvers.updates import Arrays, clip_by_global_norm

Indices = NDArray[np.intp] | None  # None: all samples in their order


class StochasticProblem(Protocol):
    """An objective over some of the samples; rng draws its dropout masks."""

    def __call__(
        self, parameters: Vector, indices: Indices, rng: np.random.RandomState, /
    ) -> tuple[float, Vector | PartialGradient, int]:
        """Return the objective of the samples, its gradient, and the number of samples.

        The solver overwrites the gradient. With a `PartialGradient`, an update changes parameters
        and moments of this part alone.
        """


class Update(Protocol):
    """An update rule, see `updates`."""

    def apply(
        self,
        parameters: Vector,
        gradient: Vector,
        moments: list[Vector],
        rate: float,
        step: int,
        out: Arrays | None,
    ) -> None:
        """Write updated parameters and moments to ``out``."""


class _Iterate(NamedTuple):
    """What an update changes."""

    parameters: Vector
    moments: list[Vector]
    step: int


class _Position(NamedTuple):
    """Where an update is in the training, for errors."""

    epoch: int
    batch: int
    n_batches: int
    rate: float

    def __str__(self) -> str:
        where = f"epoch {self.epoch}, batch {self.batch} of {self.n_batches}"
        return f"{where}, learning rate {self.rate:g}"


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
    iterate: _Iterate
    spare: Arrays
    update: Update
    schedule: Callable[[int], float]
    n_samples: int
    batch_size: int
    shuffle: bool
    rng: np.random.RandomState
    max_grad_norm: float | None
    callback: Callback | None
    n_epochs: int = 0
    loss: float = math.nan
    largest_usable: float = field(init=False)  # norm of a gradient whose square is finite
    unfinished: tuple[Part, Arrays] | None = None  # the part that is being updated, as it was

    def __post_init__(self) -> None:
        self.largest_usable = math.sqrt(float(np.finfo(self.iterate.parameters.dtype).max))

    def train_epoch(self) -> Progress:
        """Update the parameters once for each batch."""
        epoch = self.n_epochs + 1
        total, n_total, value, largest_norm, rate = 0.0, 0, math.nan, 0.0, math.nan
        order = batches(self.n_samples, self.batch_size, self.shuffle, self.rng)
        for batch, indices in enumerate(order, start=1):
            rate = float(self.schedule(self.iterate.step + 1))
            value, n, norm = self._take_step(indices, _Position(epoch, batch, len(order), rate))
            total += value * n
            n_total += n
            largest_norm = max(largest_norm, norm)
            if self.callback is not None:
                event = BatchDone(epoch, batch, len(order), self.iterate.step, value)
                if self.callback(event):
                    raise _Stopped
        self.n_epochs, self.loss = epoch, value if len(order) == 1 else total / n_total
        parameters, moments, step = self.iterate
        return Progress(epoch, step, self.loss, rate, largest_norm, parameters, moments)

    def _take_step(self, indices: Indices, position: _Position) -> tuple[float, int, float]:
        """Update once, and return value, number of samples and gradient norm of the batch."""
        value, gradient, n = self.problem(self.iterate.parameters, indices, self.rng)
        values = gradient.values if isinstance(gradient, PartialGradient) else gradient
        norm = clip_by_global_norm(values, self.max_grad_norm)
        self._check_finite(float(value), norm, position)
        if isinstance(gradient, PartialGradient):
            self._update_part(gradient, position.rate)
        else:
            self._update_all(gradient, position.rate)
        return float(value), n, norm

    def _update_all(self, gradient: Vector, rate: float) -> None:
        parameters, moments, step = self.iterate
        out = self.spare
        self.update.apply(parameters, gradient, moments, rate, step + 1, out)
        # The one assignment that an interrupt comes before or after: an update is never half made.
        self.iterate, self.spare = _Iterate(*out, step + 1), (parameters, moments)

    def _update_part(self, gradient: PartialGradient, rate: float) -> None:
        """Update in place: a copy of all arrays would take longer than the update."""
        (parameters, moments, step), part = self.iterate, gradient.part
        before = gradient.parameters, [part.take(moment) for moment in moments]
        after = np.empty_like(before[0]), [np.empty_like(moment) for moment in before[1]]
        self.update.apply(before[0], gradient.values, before[1], rate, step + 1, after)
        self.unfinished = part, before
        _put(part, after, (parameters, moments))
        # As above: an interrupt comes before, and the update is undone, or after.
        self.iterate, self.unfinished = _Iterate(parameters, moments, step + 1), None

    def finish(self, parameters: Vector, moments: list[Vector]) -> None:
        """Copy the last iterate to these arrays, without an update that was interrupted."""
        if self.unfinished is not None:
            part, before = self.unfinished
            _put(part, before, (self.iterate.parameters, self.iterate.moments))
        if self.iterate.parameters is not parameters:
            parameters[...] = self.iterate.parameters
            for moment, last in zip(moments, self.iterate.moments, strict=True):
                moment[...] = last

    def _check_finite(self, value: float, norm: float, position: _Position) -> None:
        """Raise an error if the value or the gradient cannot be used."""
        clipped = norm if self.max_grad_norm is None else min(norm, self.max_grad_norm)
        # Adam squares the gradient: an infinite moment would stop all updates without an error.
        usable = clipped <= self.largest_usable
        if math.isfinite(value) and math.isfinite(norm) and usable:
            return
        step = self.iterate.step + 1
        raise NonFiniteLossError(
            f"Training diverged at update step {step} ({position}): the loss is {value:g} "
            f"and the norm of its gradient {norm:g}. Try a smaller learning_rate_init, a (smaller) "
            f"max_grad_norm, or inputs and targets scaled to unit variance."
        )

    def outcome(self, status: Status, message: str) -> Outcome:
        """Return the result so far."""
        return Outcome(self.n_epochs, self.iterate.step, self.loss, status, message)


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
    spare = np.empty_like(parameters), [np.empty_like(moment) for moment in moments]
    training = _Training(
        problem, _Iterate(parameters, moments, step), spare, update, schedule, n_samples,
        batch_size, shuffle, rng, max_grad_norm, callback,
    )  # fmt: skip
    try:
        return _run(training, max_epochs, tuple(observers))
    finally:
        training.finish(parameters, moments)


def _run(training: _Training, max_epochs: int, observers: tuple[Observer, ...]) -> Outcome:
    """Train until an observer, a callback, an interrupt or the number of epochs ends it."""
    try:
        while training.n_epochs < max_epochs:
            if stop := report(training.train_epoch(), observers, training.callback):
                return training.outcome(*stop)
    except _Stopped:
        return training.outcome("stopped", "stopped by a callback")
    except KeyboardInterrupt:
        return training.outcome("interrupted", "interrupted by the user")
    return training.outcome("max_iter", f"reached the limit of {max_epochs} epochs")


def _put(part: Part, values: Arrays, arrays: Arrays) -> None:
    """Write the values of a part to parameters and moments."""
    part.put(arrays[0], values[0])
    for moment, of_part in zip(arrays[1], values[1], strict=True):
        part.put(moment, of_part)
