"""Training: the settings of an estimator choose solver, batches, schedule and observers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sklstm._network import kernels
from sklstm._network.constants import loss_of_constant
from sklstm._network.kernels.limits import largest_input
from sklstm._network.losses import BinaryCrossEntropy, CategoricalCrossEntropy, Loss
from sklstm._network.network import SequenceNetwork
from sklstm._solvers import (
    SGD,
    Adam,
    Adaptive,
    Best,
    Callback,
    Constant,
    Cosine,
    EarlyStopping,
    History,
    NonFiniteLossError,
    Observer,
    Outcome,
    Progress,
    Schedule,
    Tolerance,
    Verbosity,
    minimize_lbfgs,
    minimize_stochastic,
)
from sklstm._solvers.observers import Shortfall, report
from sklstm._threads import ParallelMap
from sklstm._training.cluster import check_solver, evaluation
from sklstm._training.objective import NoiseLevels, Objective
from sklstm._training.prediction import working_memory
from sklstm._training.samples import Samples, Totals
from sklstm._training.state import TrainingState
from sklstm._training.token_objective import TokenObjective

Array = NDArray[np.floating]

#: The learning rates that "auto" stands for.
LEARNING_RATES = {"adam": 1e-2, "sgd": 0.1}

#: batch_size="auto": the largest number of samples in one batch.
BATCH_SIZE = 32

#: max_iter="auto": the number of epochs that makes this number of updates, within limits.
UPDATES = 1000
MIN_EPOCHS, MAX_EPOCHS = 20, 100

#: The fraction of the initial learning rate with which partial_fit continues after a fit with
#: learning_rate="cosine", at whose end the rate is zero.
RATE_AFTER_COSINE = 0.01

#: Training should end with a loss of at most this fraction above that of a constant prediction.
TOLERATED_SHORTFALL = 0.01

#: Inputs that take at most this share of the working memory are scaled once, not in each epoch.
SHARE_OF_SCALED_INPUTS = 1 / 16

#: label_smoothing="auto": the weight of the labels that is spread over the classes, and the maximum
#: of its share.
SMOOTHED_WEIGHT, MAX_SMOOTHING = 10.0, 0.2

#: max_iter="auto" with solver="lbfgs".
LBFGS_ITERATIONS = 200


class Settings(Protocol):
    """The estimator's parameters that training reads; it writes none."""

    solver: str
    alpha: float
    batch_size: Any
    dropout: float
    recurrent_dropout: float
    input_noise: float
    scale_noise: float
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
    scoring: Any
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    verbose: Any


class Task(NamedTuple):
    """What is trained, on which samples; ``held_out`` are for validation.

    ``score`` of parameters replaces the negative loss of ``held_out``. Labels are smoothed in
    training alone.
    """

    network: SequenceNetwork
    loss: Loss
    samples: Samples
    held_out: Samples | None = None
    score: Callable[[Array], float] | None = None
    label_smoothing: float | str = 0.0

    def training_loss(self, totals: Totals) -> Loss:
        """Return the loss of samples with this total weight, smoothed if it is one of labels."""
        if not isinstance(self.loss, BinaryCrossEntropy | CategoricalCrossEntropy):
            return self.loss
        share = self.label_smoothing
        if isinstance(share, str):
            share = min(MAX_SMOOTHING, SMOOTHED_WEIGHT / totals.weight)
        return type(self.loss)(float(share))

    def astype(self, dtype: np.dtype[np.floating]) -> Task:
        memory = working_memory() * SHARE_OF_SCALED_INPUTS
        held_out = None if self.held_out is None else self.held_out.astype(dtype, memory)
        return self._replace(samples=self.samples.astype(dtype, memory), held_out=held_out)


class _Plan(NamedTuple):
    """How long to train, and at which learning rates."""

    batch_size: int
    n_epochs: int
    schedule: Schedule
    one_of_many: bool  # an epoch of partial_fit, which no criterion ends


def in_fixed_order(samples: Samples, settings: Settings) -> Samples:
    """Samples merged and ordered by content, where one batch holds all and no masks are drawn."""
    noise = settings.input_noise, settings.scale_noise
    if max(settings.dropout, settings.recurrent_dropout, *noise) > 0 or _batch_size(
        settings, len(samples)
    ) < len(samples):
        return samples
    return samples.merged()


def train(
    task: Task,
    state: TrainingState,
    settings: Settings,
    n_epochs: int | str | None,
    parallel_map: ParallelMap,
    callback: Callback | None,
) -> Outcome:
    """Train ``state`` in place.

    ``n_epochs=None`` trains for one epoch of many, as partial_fit does.
    """
    check_solver(settings.solver)
    dtype = np.dtype(np.float64) if settings.solver == "lbfgs" else state.parameters.dtype
    kernels.prepare(dtype, bool(settings.verbose))
    noise = _noise(settings, task.samples, dtype)
    task = task.astype(dtype)
    n_recorded = len(state.epochs)
    _match_moments(state, settings)
    plan = _plan(settings, len(task.samples), n_epochs, state)
    validation = _validation(task, state, settings, plan.schedule, parallel_map)
    observers = _observers(state, settings, plan, validation)
    totals = _count(state, task.samples, plan)
    objective = Objective(
        task.network,
        task.training_loss(totals),
        task.samples,
        settings.alpha,
        parallel_map,
        totals,
        noise,
    )
    if settings.solver == "lbfgs":
        outcome = _minimize_lbfgs(objective, state, settings, plan, observers, callback)
    else:
        outcome = _minimize_stochastic(objective, state, settings, plan, observers, callback)
    n_epochs_done = len(state.epochs) - n_recorded
    if validation is not None:
        validation.best = validation.best_of(n_epochs_done)
        state.best_score = validation.best.score
        state.best_epoch = n_recorded + validation.best.epoch
        if settings.early_stopping:
            validation.restore(state.parameters)
    if not plan.one_of_many:
        state.rate_factor = _final_rate_factor(settings, plan.schedule)
    _check_finite(state)
    outcome = outcome._replace(n_epochs=n_epochs_done)
    if plan.one_of_many or outcome.status in ("stopped", "interrupted"):
        return outcome
    n_used = state.best_epoch if validation is not None and settings.early_stopping else None
    return outcome._replace(shortfall=_shortfall(objective, state, n_used or len(state.epochs)))


def _noise(
    settings: Settings, samples: Samples, dtype: np.dtype[np.floating]
) -> NoiseLevels | None:
    """The noise of training samples.

    There is none for tokens, for constant channels, and for those whose zeros have a meaning.
    """
    values, scaling = samples.sequences.values, samples.sequences.scaling
    levels = {"input_noise": settings.input_noise, "scale_noise": settings.scale_noise}
    if max(levels.values()) == 0 or values.dtype.kind == "i":
        return None
    limit = largest_input(dtype) ** 0.5 / 100  # no draw is beyond 100 standard deviations
    for name, level in levels.items():
        if level > limit:
            raise ValueError(
                f"{name}={level:g} is too large for dtype={dtype.name}, expected at most "
                f"{limit:.2g}"
            )
    has_noise = np.ones(values.shape[1])
    if scaling is not None:
        has_noise[np.isinf(scaling.scale) | scaling.keeps_zero] = 0
    return NoiseLevels(settings.input_noise * has_noise, settings.scale_noise * has_noise)


def _shortfall(objective: Objective, state: TrainingState, n_epochs: int) -> Shortfall | None:
    """The loss of the final parameters, where it is well above that of a constant prediction.

    The parameters are those after ``n_epochs``.
    """
    if objective.stochastic or not state.epochs:
        return None
    samples = objective.samples
    constant = loss_of_constant(
        objective.loss, samples.targets, samples.weights, objective.network.n_outputs
    )
    limit = constant + TOLERATED_SHORTFALL * abs(constant)
    if constant == 0 or state.epochs[n_epochs - 1].loss <= limit:
        return None
    # The loss of an epoch is a mean over all its updates, and includes the penalty.
    loss = objective.mean_loss(state.parameters)
    return Shortfall(loss, constant) if loss > limit else None


def _plan(
    settings: Settings, n_samples: int, n_epochs: int | str | None, state: TrainingState
) -> _Plan:
    """Batches, epochs and learning rates of a call that begins with ``state``."""
    batch_size = _batch_size(settings, n_samples)
    n_batches = -(-n_samples // batch_size)
    if isinstance(n_epochs, str):
        n_epochs = _automatic_epochs(settings, n_batches)
    schedule = _schedule(settings, n_epochs and n_epochs * n_batches, state)
    return _Plan(batch_size, n_epochs or 1, schedule, n_epochs is None)


def _count(state: TrainingState, samples: Samples, plan: _Plan) -> Totals:
    """Weight and number of all training sequences, for partial_fit those of all calls."""
    totals = samples.totals
    if plan.one_of_many:
        totals = totals.plus(Totals(state.weight_seen, state.n_seen))
    state.weight_seen, state.n_seen = totals
    return totals


def _observers(
    state: TrainingState, settings: Settings, plan: _Plan, validation: EarlyStopping | None
) -> list[Observer]:
    """What is called after each epoch, in this order."""
    observers: list[Observer] = [_update_state(state)]
    if validation is not None:
        observers.append(validation)
    observers.append(History(state.epochs, validation))
    watches_loss = not (plan.one_of_many or settings.early_stopping or _anneals(settings))
    if watches_loss:
        observers.append(Tolerance(settings.tol, settings.n_iter_no_change, plan.schedule))
    if settings.verbose:
        observers.append(_verbosity(state, settings, plan, validation))
    return observers


def _verbosity(
    state: TrainingState, settings: Settings, plan: _Plan, validation: EarlyStopping | None
) -> Verbosity:
    """An observer that prints a line for each epoch, or for each of several."""
    return Verbosity(
        int(settings.verbose),
        validation=validation,
        validates_loss=isinstance(settings.scoring, str) and settings.scoring == "loss",
        n_epochs=None if plan.one_of_many else plan.n_epochs,
        n_before=len(state.epochs) if plan.one_of_many else 0,
    )


def _check_finite(state: TrainingState) -> None:
    if not np.isfinite(state.parameters).all():
        raise NonFiniteLossError(
            f"Training diverged at its last update, step {state.step}: the parameters are no "
            "longer finite. Try a smaller learning_rate_init, a (smaller) max_grad_norm, or inputs "
            "and targets scaled to unit variance."
        )


def _minimize_stochastic(
    objective: Objective,
    state: TrainingState,
    settings: Settings,
    plan: _Plan,
    observers: list[Observer],
    callback: Callback | None,
) -> Outcome:
    parameters, moments = state.parameters, state.moments
    steps_before = state.step - state.moment_step
    outcome = minimize_stochastic(
        TokenObjective(objective) if objective.network.embeds else objective,
        parameters,
        update=_update(settings),
        moments=moments,
        step=state.moment_step,
        schedule=plan.schedule,
        n_samples=len(objective.samples),
        batch_size=plan.batch_size,
        max_epochs=plan.n_epochs,
        shuffle=settings.shuffle,
        rng=state.rng,
        max_grad_norm=settings.max_grad_norm,
        observers=observers,
        callback=callback,
    )
    state.parameters, state.moments = parameters, moments
    state.step, state.moment_step = steps_before + outcome.step, outcome.step
    if outcome.status == "max_iter" and _anneals(settings):
        return outcome._replace(status="converged", message="the learning rate fell to zero")
    return outcome


def _minimize_lbfgs(
    objective: Objective,
    state: TrainingState,
    settings: Settings,
    plan: _Plan,
    observers: list[Observer],
    callback: Callback | None,
) -> Outcome:
    """All samples at once, with the same dropout masks at each evaluation.

    A line search needs the same function at every point.
    """
    seed = state.rng.randint(np.iinfo(np.int32).max)

    parameters, steps_before = state.parameters, state.step
    with evaluation(objective, seed) as evaluate:
        outcome = minimize_lbfgs(
            evaluate,
            parameters,
            max_iter=plan.n_epochs,
            max_fun=settings.max_fun,
            tol=settings.tol,
            observers=observers,
            callback=callback,
        )
    state.parameters = parameters
    if not state.epochs and outcome.status == "converged":  # it began at a minimum
        report(Progress(1, 0, outcome.loss, np.nan, np.nan, parameters), observers, None)
    state.step, state.moment_step = steps_before + outcome.step, outcome.step
    return outcome


def _batch_size(settings: Settings, n_samples: int) -> int:
    """Samples of a batch: at most all, and for L-BFGS always all."""
    if settings.solver == "lbfgs":
        return n_samples
    size = BATCH_SIZE if settings.batch_size == "auto" else int(settings.batch_size)
    return min(size, n_samples)


def _update(settings: Settings) -> SGD | Adam:
    if settings.solver == "sgd":
        return SGD(settings.momentum, settings.nesterovs_momentum)
    return Adam(settings.beta_1, settings.beta_2, settings.epsilon)


def _match_moments(state: TrainingState, settings: Settings) -> None:
    """Start with new moments if those of the state belong to another solver."""
    moments = (
        [] if settings.solver == "lbfgs" else _update(settings).initial_moments(state.parameters)
    )
    if len(moments) != len(state.moments) or settings.solver == "lbfgs":
        state.moments, state.moment_step = moments, 0


def _automatic_epochs(settings: Settings, n_batches: int) -> int:
    if settings.solver == "lbfgs":
        return LBFGS_ITERATIONS
    return min(max(MIN_EPOCHS, -(-UPDATES // n_batches)), MAX_EPOCHS)


def _anneals(settings: Settings) -> bool:
    """Whether the learning rate falls to zero at max_iter, where training ends."""
    return settings.learning_rate == "cosine" and settings.solver != "lbfgs"


def _schedule(settings: Settings, n_steps: int | None, state: TrainingState) -> Schedule:
    """The schedule of ``n_steps`` updates; None for partial_fit, which continues an earlier one."""
    rate = settings.learning_rate_init
    if rate == "auto":
        rate = LEARNING_RATES.get(settings.solver, 1.0)
    if settings.learning_rate == "cosine" and n_steps is not None:
        return Cosine(rate, n_steps, first_step=state.moment_step + 1)
    if n_steps is None:
        rate *= state.rate_factor
    return Adaptive(rate) if settings.learning_rate == "adaptive" else Constant(rate)


def _final_rate_factor(settings: Settings, schedule: Schedule) -> float:
    """The fraction of the initial learning rate with which partial_fit continues after a fit."""
    if _anneals(settings):
        return RATE_AFTER_COSINE
    return schedule.rate / schedule.initial_rate if isinstance(schedule, Adaptive) else 1.0


def _update_state(state: TrainingState) -> Observer:
    """An observer that brings the state up to date after each epoch, for callbacks."""

    steps_before = state.step - state.moment_step

    def update_state(progress: Progress) -> None:
        state.parameters = progress.parameters.astype(state.parameters.dtype, copy=False)
        state.moments = list(progress.moments)
        state.step, state.moment_step = steps_before + progress.step, progress.step

    return update_state


def _validation(
    task: Task,
    state: TrainingState,
    settings: Settings,
    schedule: Schedule,
    parallel_map: ParallelMap,
) -> EarlyStopping | None:
    """An observer that records the score, and with early stopping ends training by it."""
    if task.held_out is None:
        return None
    objective = Objective(task.network, task.loss, task.held_out, 0.0, parallel_map)
    validate = task.score or (lambda parameters: -objective.mean_loss(parameters))
    patience = settings.n_iter_no_change if settings.early_stopping else np.inf
    validation = EarlyStopping(validate, settings.tol, patience, schedule)
    if state.epochs:  # training continues: the parameters so far are the best yet
        validation.best = Best(validate(state.parameters), state.parameters.copy(), 0)
    return validation
