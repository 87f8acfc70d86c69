"""From samples and settings to trained parameters: which solver, which batches, who watches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sklstm._network.losses import Loss
from sklstm._network.network import SequenceNetwork
from sklstm._solvers import (
    SGD,
    Adam,
    Adaptive,
    Constant,
    Cosine,
    EarlyStopping,
    History,
    NonFiniteLossError,
    Outcome,
    Progress,
    Schedule,
    Tolerance,
    Verbosity,
    minimize_lbfgs,
    minimize_stochastic,
)
from sklstm._solvers.observers import Callback, Observer
from sklstm._threads import ParallelMap
from sklstm._training.objective import Objective
from sklstm._training.samples import Samples

Array = NDArray[np.floating]

#: The learning rates that "auto" stands for.
LEARNING_RATES = {"adam": 1e-2, "sgd": 0.1}

#: With batch_size="auto", up to so many samples are one batch, and more go in such batches.
FULL_BATCH = 32
BATCH_SIZE = 32

#: With max_iter="auto", as many epochs as make so many updates, within these limits.
UPDATES = 1000
FEWEST_EPOCHS, MOST_EPOCHS = 20, 100

#: With max_iter="auto", the most iterations of L-BFGS.
LBFGS_ITERATIONS = 200


class Settings(Protocol):
    """The estimator's parameters that training reads; it writes none."""

    solver: str
    alpha: float
    batch_size: Any
    dropout: float
    recurrent_dropout: float
    forget_bias: float
    learning_rate: str
    learning_rate_init: Any
    max_iter: Any
    max_fun: int
    max_grad_norm: float | None
    shuffle: bool
    tol: float
    n_iter_no_change: float
    early_stopping: bool
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    verbose: Any


@dataclass(eq=False, repr=False)
class State:
    """What training changes in place, and what it can go on from."""

    network: SequenceNetwork
    loss: Loss
    parameters: Array
    moments: list[Array]
    rng: np.random.RandomState
    step: int = 0
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    best_score: float | None = None


def canonical(samples: Samples, settings: Settings) -> Samples:
    """Where one batch holds all samples and no masks are drawn, their order is that of content."""
    drawing = settings.dropout > 0 or settings.recurrent_dropout > 0
    if drawing or _batch_size(settings, len(samples)) < len(samples):
        return samples
    return samples.merged()


def start(
    network: SequenceNetwork,
    loss: Loss,
    settings: Settings,
    dtype: np.dtype[np.floating],
    rng: np.random.RandomState,
) -> State:
    """A network with its starting values."""
    return State(network, loss, network.initialize(rng, dtype, settings.forget_bias), [], rng)


def train(
    state: State,
    settings: Settings,
    samples: Samples,
    held_out: Samples | None,
    n_epochs: int | str | None,
    parallel_map: ParallelMap,
    tell: Callback | None,
) -> Outcome:
    """Change ``state`` in place; ``n_epochs=None`` stands for one epoch that nothing ends early."""
    batch_size = _batch_size(settings, len(samples))
    dtype = np.dtype(np.float64) if settings.solver == "lbfgs" else state.parameters.dtype
    objective = Objective(
        state.network, state.loss, samples.astype(dtype), settings.alpha, parallel_map
    )
    _match_moments(state, settings)
    n_batches = -(-len(samples) // batch_size)
    if isinstance(n_epochs, str):
        n_epochs = _automatic_epochs(settings, n_batches)
    schedule = _schedule(settings, n_epochs and n_epochs * n_batches, state.step)
    watch = None
    if held_out is not None:
        watch = _watch(state, settings, held_out.astype(dtype), schedule, parallel_map)
    observers: list[Observer] = [_follow(state, settings), History(state.loss_curve)]
    if watch is not None:
        observers.append(watch)
    if n_epochs is not None and not settings.early_stopping and not _anneals(settings):
        observers.append(Tolerance(settings.tol, settings.n_iter_no_change, schedule))
    if settings.verbose:
        observers.append(Verbosity(int(settings.verbose), validation=watch))
    if settings.solver == "lbfgs":
        outcome = _minimize_lbfgs(objective, state, settings, n_epochs or 1, observers, tell)
    else:
        outcome = _minimize_stochastic(
            objective, state, settings, schedule, batch_size, n_epochs or 1, observers, tell
        )
        if outcome.status == "max_iter" and _anneals(settings):
            outcome = outcome._replace(status="converged", message="the learning rate fell to zero")
    if watch is not None:
        state.best_score = watch.best_score
        if settings.early_stopping:
            watch.restore(state.parameters)
    if not np.isfinite(state.parameters).all():
        raise NonFiniteLossError(
            f"Training diverged at its last update, step {state.step}: the parameters are no "
            "longer finite. Try a smaller learning_rate_init, a (smaller) max_grad_norm, or inputs "
            "and targets scaled to unit variance."
        )
    return outcome


def _minimize_stochastic(
    objective: Objective,
    state: State,
    settings: Settings,
    schedule: Schedule,
    batch_size: int,
    n_epochs: int,
    observers: list[Observer],
    tell: Callback | None,
) -> Outcome:
    outcome = minimize_stochastic(
        objective,
        state.parameters,
        update=_update(settings),
        moments=state.moments,
        step=state.step,
        schedule=schedule,
        n_samples=len(objective.samples),
        batch_size=batch_size,
        max_epochs=n_epochs,
        shuffle=settings.shuffle,
        rng=state.rng,
        max_grad_norm=settings.max_grad_norm,
        observers=observers,
        callback=tell,
    )
    state.step = outcome.step
    return outcome


def _minimize_lbfgs(
    objective: Objective,
    state: State,
    settings: Settings,
    n_epochs: int,
    observers: list[Observer],
    tell: Callback | None,
) -> Outcome:
    """All samples at once, with one draw of the dropout masks for the whole run.

    A line search needs the same function at every point.
    """
    seed = state.rng.randint(np.iinfo(np.int32).max)

    def evaluate(parameters: Array) -> tuple[float, Array]:
        value, gradient, _ = objective(parameters, None, np.random.RandomState(seed))
        return value, gradient

    outcome = minimize_lbfgs(
        evaluate,
        state.parameters,
        max_iter=n_epochs,
        max_fun=settings.max_fun,
        tol=settings.tol,
        observers=observers,
        callback=tell,
    )
    if not state.loss_curve:  # it began at a minimum
        state.loss_curve.append(outcome.loss)
    return outcome


def _batch_size(settings: Settings, n_samples: int) -> int:
    """At most all samples; for L-BFGS always all."""
    if settings.solver == "lbfgs":
        return n_samples
    if settings.batch_size == "auto":
        return n_samples if n_samples <= FULL_BATCH else BATCH_SIZE
    return min(int(settings.batch_size), n_samples)


def _update(settings: Settings) -> SGD | Adam:
    if settings.solver == "sgd":
        return SGD(settings.momentum, settings.nesterovs_momentum)
    return Adam(settings.beta_1, settings.beta_2, settings.epsilon)


def _match_moments(state: State, settings: Settings) -> None:
    """Begin the solver's moments, also where training goes on with another solver."""
    moments = (
        [] if settings.solver == "lbfgs" else _update(settings).initial_moments(state.parameters)
    )
    if len(moments) != len(state.moments):
        state.moments, state.step = moments, 0


def _automatic_epochs(settings: Settings, n_batches: int) -> int:
    if settings.solver == "lbfgs":
        return LBFGS_ITERATIONS
    return min(max(FEWEST_EPOCHS, -(-UPDATES // n_batches)), MOST_EPOCHS)


def _anneals(settings: Settings) -> bool:
    """Whether the rate falls to zero by itself: a loss that stands still before is no end."""
    return settings.learning_rate == "cosine" and settings.solver != "lbfgs"


def _schedule(settings: Settings, n_steps: int | None, steps_before: int) -> Schedule:
    """The schedule of a run of ``n_steps`` updates; None is a run that others may follow."""
    rate = settings.learning_rate_init
    if rate == "auto":
        rate = LEARNING_RATES.get(settings.solver, 1.0)
    if settings.learning_rate == "cosine" and n_steps is not None:
        return Cosine(rate, n_steps, first_step=steps_before + 1)
    return Adaptive(rate) if settings.learning_rate == "adaptive" else Constant(rate)


def _follow(state: State, settings: Settings) -> Observer:
    """Keep the state up to date, for whoever looks at it between two epochs."""
    steps_before = state.step if settings.solver == "lbfgs" else 0

    def follow(progress: Progress) -> None:
        state.parameters[...] = progress.parameters
        state.step = steps_before + progress.step

    return follow


def _watch(
    state: State,
    settings: Settings,
    held_out: Samples,
    schedule: Schedule,
    parallel_map: ParallelMap,
) -> EarlyStopping:
    """Record the validation loss after every epoch; without early stopping, only record."""
    objective = Objective(state.network, state.loss, held_out, 0.0, parallel_map)
    patience = settings.n_iter_no_change if settings.early_stopping else np.inf
    watch = EarlyStopping(
        lambda parameters: -objective.mean_loss(parameters), settings.tol, patience, schedule
    )
    watch.validation_scores = state.validation_scores
    if state.loss_curve:  # training goes on: what it has must be beaten
        watch.best_score = -objective.mean_loss(state.parameters)
        watch.best_parameters = state.parameters.copy()
    return watch
