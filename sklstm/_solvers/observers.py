"""What a solver tells of its progress, and the observers that listen.

An observer is called with a `Progress` after every epoch (iteration, for L-BFGS) and returns None,
or the reason to stop. `Progress.parameters` is the live vector: copy it to keep it.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating[Any]]
Status = Literal["converged", "max_iter", "stopped", "interrupted", "abnormal"]


class NonFiniteLossError(ValueError):
    """The loss or its gradient is no longer finite."""


class BatchDone(NamedTuple):
    """One update has been made; epoch, batch and step count from 1."""

    epoch: int
    batch: int
    n_batches: int
    step: int
    loss: float


class Progress(NamedTuple):
    """One epoch is over.

    `step` is the number of updates so far, `rate` the last one's (NaN for L-BFGS, which searches
    along a line), `gradient_norm` the largest of the epoch before clipping.
    """

    epoch: int
    step: int
    loss: float
    rate: float
    gradient_norm: float
    parameters: Vector


Observer = Callable[[Progress], str | None]
Tell = Callable[[BatchDone | Progress], bool | None]


class Outcome(NamedTuple):
    """How a solver ended.

    `n_epochs` counts whole epochs of this run, `step` all updates; `loss` is the last epoch's.
    Status "abnormal" is L-BFGS's line search finding no lower value along its direction.
    """

    n_epochs: int
    step: int
    loss: float
    status: Status
    message: str


def notify(
    progress: Progress, observers: Iterable[Observer], tell: Tell | None
) -> tuple[Status, str] | None:
    """Tell everyone; status and message if anyone wants to stop."""
    reasons = [reason for observe in observers if (reason := observe(progress))]
    told_to_stop = tell is not None and tell(progress)
    if reasons:
        return "converged", reasons[0]
    return ("stopped", "a callback asked to stop") if told_to_stop else None


class _CanPlateau(Protocol):
    """The part of a schedule that knows what to do about a plateau."""

    def on_plateau(self) -> bool: ...


class _Patience:
    """Counts epochs whose score did not beat the best by tol, as scikit-learn's MLP does."""

    def __init__(self, tol: float, patience: float, schedule: _CanPlateau) -> None:
        self.tol = tol
        self.patience = patience
        self.schedule = schedule
        self.best = -math.inf
        self.n_without_improvement = 0

    def exhausted(self, score: float) -> bool:
        """Whether patience is over and the schedule has no smaller rate to offer."""
        improved = score >= self.best + self.tol  # False for NaN
        self.n_without_improvement = 0 if improved else self.n_without_improvement + 1
        self.best = max(self.best, score)
        if self.n_without_improvement <= self.patience:
            return False
        self.n_without_improvement = 0
        return not self.schedule.on_plateau()

    def reason(self, what: str) -> str:
        """Message for the user."""
        return f"{what} did not improve by tol={self.tol:g} for more than {self.patience} epochs"


class History:
    """Loss of every epoch, and the lowest; given earlier losses, it goes on from them."""

    def __init__(self, loss_curve: list[float] | None = None) -> None:
        self.loss_curve: list[float] = [] if loss_curve is None else loss_curve
        self.best_loss = min(self.loss_curve, default=math.inf)

    def __call__(self, progress: Progress) -> None:
        """Record the epoch."""
        self.loss_curve.append(progress.loss)
        self.best_loss = min(self.best_loss, progress.loss)


class Tolerance:
    """Stops once the training loss has settled and the schedule has no smaller rate to offer."""

    def __init__(self, tol: float, patience: float, schedule: _CanPlateau) -> None:
        self._patience = _Patience(tol, patience, schedule)

    def __call__(self, progress: Progress) -> str | None:
        """Compare the epoch's loss with the best."""
        if self._patience.exhausted(-progress.loss):
            return self._patience.reason("training loss")
        return None


class EarlyStopping:
    """Watches a validation score, larger is better, and keeps the parameters of the best."""

    def __init__(
        self,
        validate: Callable[[Vector], float],
        tol: float,
        patience: float,
        schedule: _CanPlateau,
    ) -> None:
        self._validate = validate
        self._patience = _Patience(tol, patience, schedule)
        self.validation_scores: list[float] = []
        self.best_score = -math.inf
        self.best_parameters: Vector | None = None

    def __call__(self, progress: Progress) -> str | None:
        """Score the epoch's parameters."""
        score = float(self._validate(progress.parameters))
        self.validation_scores.append(score)
        if score > self.best_score:
            self.best_score = score
            self.best_parameters = progress.parameters.copy()
        if self._patience.exhausted(score):
            return self._patience.reason("validation score")
        return None

    def restore(self, parameters: Vector) -> None:
        """Write the best parameters seen, if any, into the given vector."""
        if self.best_parameters is not None:
            parameters[...] = self.best_parameters


class Verbosity:
    """One line every so many epochs; with `validation`, observed before, its score too."""

    def __init__(
        self,
        every: int = 1,
        stream: Callable[[str], object] = print,
        validation: EarlyStopping | None = None,
    ) -> None:
        self.every = every
        self.stream = stream
        self.validation = validation

    def __call__(self, progress: Progress) -> None:
        """Report the epoch."""
        if progress.epoch % self.every:
            return
        line = f"epoch {progress.epoch}: loss {progress.loss:.6g}"
        if self.validation is not None and self.validation.validation_scores:
            line += f", validation score {self.validation.validation_scores[-1]:.6g}"
        if not math.isnan(progress.rate):
            line += f", learning rate {progress.rate:.3g}"
        self.stream(f"{line}, gradient norm {progress.gradient_norm:.3g}")
