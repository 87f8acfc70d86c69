"""The progress of a solver, and the observers that are called with it.

An observer is called with a `Progress` after each epoch (for L-BFGS, each iteration). It returns
None, or a reason to stop. The solver overwrites the arrays of `Progress` later, so an observer must
copy them to keep them.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating[Any]]
Status = Literal["converged", "max_iter", "stopped", "interrupted", "abnormal"]


class NonFiniteLossError(ValueError):
    """The loss or its gradient is not finite."""


class BatchDone(NamedTuple):
    """The event after each update; epoch, batch and step are counted from 1."""

    epoch: int
    batch: int
    n_batches: int
    step: int
    loss: float


class Progress(NamedTuple):
    """The event after each epoch.

    `step` is the number of updates so far. `rate` is the learning rate of the last update, or NaN
    for L-BFGS, which uses a line search. `gradient_norm` is the maximum over the epoch, before
    clipping.
    """

    epoch: int
    step: int
    loss: float
    rate: float
    gradient_norm: float
    parameters: Vector
    moments: Sequence[Vector] = ()


#: Returns a reason to stop, or None.
Observer = Callable[[Progress], str | None]
#: Called after each batch and each epoch; returns True to stop.
Callback = Callable[[BatchDone | Progress], bool | None]


class Shortfall(NamedTuple):
    """A training loss that is above the loss of a constant prediction."""

    loss: float
    loss_of_constant: float


class Outcome(NamedTuple):
    """The result of a solver.

    `n_epochs` is the number of complete epochs, and `step` the number of updates, including those
    before this call. `loss` is the loss of the last epoch. Status "abnormal" means that the line
    search of L-BFGS found no lower value. A solver leaves `shortfall` to its caller.
    """

    n_epochs: int
    step: int
    loss: float
    status: Status
    message: str
    shortfall: Shortfall | None = None


def report(
    progress: Progress, observers: Iterable[Observer], callback: Callback | None
) -> tuple[Status, str] | None:
    """Call all observers and the callback, and return status and message if training stops."""
    reasons = [reason for observe in observers if (reason := observe(progress))]
    stopped = callback is not None and callback(progress)
    if reasons:
        return "converged", reasons[0]
    return ("stopped", "stopped by a callback") if stopped else None


class _PlateauSchedule(Protocol):
    """The part of a schedule that observers use."""

    def on_plateau(self) -> bool: ...


class _Patience:
    """Count epochs without an improvement of at least tol, as scikit-learn's MLP does."""

    def __init__(self, tol: float, patience: float, schedule: _PlateauSchedule) -> None:
        self.tol = tol
        self.patience = patience
        self.schedule = schedule
        self.best = -math.inf
        self.n_without_improvement = 0

    def exhausted(self, score: float) -> bool:
        """Return whether there were too many such epochs and the schedule has no smaller rate."""
        improved = score >= self.best + self.tol  # False for NaN
        self.n_without_improvement = 0 if improved else self.n_without_improvement + 1
        self.best = max(self.best, score)
        if self.n_without_improvement <= self.patience:
            return False
        self.n_without_improvement = 0
        return not self.schedule.on_plateau()

    def reason(self, name: str) -> str:
        """Return a message for the user."""
        return f"{name} did not improve by tol={self.tol:g} for more than {self.patience} epochs"


class Epoch(NamedTuple):
    """The record of an epoch: its loss, and its validation score if there is one."""

    loss: float
    score: float | None = None


class History:
    """Record each epoch, after those of an earlier call; with `validation`, its score too.

    `validation` must be called before. An epoch is recorded in one piece, so that an interrupt
    leaves no loss without its score.
    """

    def __init__(
        self, epochs: list[Epoch] | None = None, validation: "EarlyStopping | None" = None
    ) -> None:
        self.epochs: list[Epoch] = [] if epochs is None else epochs
        self._validation = validation

    @property
    def loss_curve(self) -> list[float]:
        """The loss of each epoch."""
        return [epoch.loss for epoch in self.epochs]

    @property
    def best_loss(self) -> float:
        """The lowest loss."""
        return min(self.loss_curve, default=math.inf)

    def __call__(self, progress: Progress) -> None:
        """Append the epoch."""
        score = None if self._validation is None else self._validation.validation_scores[-1]
        self.epochs.append(Epoch(progress.loss, score))


class Tolerance:
    """Stop if the training loss no longer improves and the schedule has no smaller rate."""

    def __init__(self, tol: float, patience: float, schedule: _PlateauSchedule) -> None:
        self._patience = _Patience(tol, patience, schedule)

    def __call__(self, progress: Progress) -> str | None:
        """Compare the loss with the lowest one."""
        if self._patience.exhausted(-progress.loss):
            return self._patience.reason("training loss")
        return None


class Best(NamedTuple):
    """The best validation score, its parameters, and its epoch; 0 is before the first."""

    score: float
    parameters: Vector | None
    epoch: int


class EarlyStopping:
    """Stop if the validation score no longer improves, and keep the best parameters.

    A larger score is better.
    """

    def __init__(
        self,
        validate: Callable[[Vector], float],
        tol: float,
        patience: float,
        schedule: _PlateauSchedule,
    ) -> None:
        self._validate = validate
        self._patience = _Patience(tol, patience, schedule)
        self.validation_scores: list[float] = []
        self._bests = [Best(-math.inf, None, 0)]  # the last ones, oldest first

    def __call__(self, progress: Progress) -> str | None:
        """Compute the score, and compare it with the best one."""
        score = float(self._validate(progress.parameters))
        self.validation_scores.append(score)
        if score > self.best.score:
            better = Best(score, progress.parameters.copy(), progress.epoch)
            self._bests = [self.best, better]
        if self._patience.exhausted(score):
            return self._patience.reason("validation score")
        return None

    @property
    def best(self) -> Best:
        """The best of all epochs."""
        return self._bests[-1]

    @best.setter
    def best(self, best: Best) -> None:
        self._bests = [best]

    def best_of(self, n_epochs: int) -> Best:
        """The best of the first epochs: an interrupt may leave out the last one, at most."""
        return max((best for best in self._bests if best.epoch <= n_epochs), key=lambda b: b.epoch)

    def restore(self, parameters: Vector) -> None:
        """Copy the best parameters, if there are any, into the given vector."""
        if self.best.parameters is not None:
            parameters[...] = self.best.parameters


class Verbosity:
    """Print one line every ``every`` epochs.

    With ``validation``, the line has its score, or its loss if the score is a negative loss; that
    observer must be called first. With ``n_epochs``, the maximum number of epochs, it has the time
    that the remaining ones take at most, as estimated from those so far. ``n_before`` epochs were
    computed in earlier calls.
    """

    def __init__(
        self,
        every: int = 1,
        stream: Callable[[str], object] = print,
        validation: EarlyStopping | None = None,
        *,
        validates_loss: bool = False,
        n_epochs: int | None = None,
        n_before: int = 0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.every = every
        self.stream = stream
        self.validation = validation
        self.validates_loss = validates_loss
        self.n_epochs = n_epochs
        self.n_before = n_before
        self._clock = clock
        self._start = clock()

    def __call__(self, progress: Progress) -> None:
        """Print the line."""
        last = progress.epoch == self.n_epochs
        if progress.epoch % self.every and not last:
            return
        total = "" if self.n_epochs is None else f"/{self.n_epochs}"
        line = f"epoch {self.n_before + progress.epoch}{total}, loss {progress.loss:.4g}"
        if self.validation is not None and self.validation.validation_scores:
            score = self.validation.validation_scores[-1]
            name, value = ("loss", -score) if self.validates_loss else ("score", score)
            line += f", validation {name} {value:.4g}"
        if not math.isnan(progress.rate):
            line += f", learning rate {progress.rate:.3g}"
        self.stream(line + self._time_left(progress.epoch))

    def _time_left(self, epoch: int) -> str:
        if self.n_epochs is None:
            return ""
        seconds = (self._clock() - self._start) / epoch * (self.n_epochs - epoch)
        return f", {seconds:.0f} s left" if seconds >= 10 else f", {seconds:.1f} s left"
