"""Full-batch training by SciPy's L-BFGS-B, in float64 whatever the parameters' dtype."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._solvers.observers import (
    NonFiniteLossError,
    Observer,
    Outcome,
    Progress,
    Status,
    Tell,
    Vector,
    notify,
)
from sklstm._solvers.updates import global_norm

Vector64 = NDArray[np.float64]
Problem = Callable[[Vector64], tuple[float, Vector]]

_SCIPY_STATUS: dict[int, Status] = {0: "converged", 1: "max_iter", 2: "abnormal"}


class _Run:
    """The last iterate, and the two functions that SciPy calls."""

    def __init__(
        self, problem: Problem, start: Vector64, observers: Iterable[Observer], tell: Tell | None
    ) -> None:
        self._problem = problem
        self._observers = tuple(observers)
        self._tell = tell
        self.iterate = start
        self.loss = math.nan
        self.n_iterations = 0
        self.verdict: tuple[Status, str] | None = None
        self._gradient_norm = math.nan

    def evaluate(self, x: Vector64) -> tuple[float, Vector]:
        """Value and gradient, or a stand-in for them where they are not finite."""
        value, gradient = self._problem(x)
        value, self._gradient_norm = float(value), global_norm(gradient)
        finite = math.isfinite(value) and math.isfinite(self._gradient_norm)
        if math.isnan(self.loss):
            self._start(value, finite)
        return (value, gradient) if finite else self._stand_in()

    def _start(self, value: float, finite: bool) -> None:
        """Accept the first evaluation, or refuse it."""
        if not finite:
            raise NonFiniteLossError(
                f"The objective is not finite at the initial parameters: the loss is {value:g} and "
                f"the norm of its gradient {self._gradient_norm:g}. Scale the inputs and targets."
            )
        self.loss = value

    def _stand_in(self) -> tuple[float, Vector64]:
        """Finite value and gradient that make the line search back off to a third of the step.

        Its interpolation makes nothing of NaN or infinity: it fails, or claims convergence far
        from a minimum. A hair above the last iterate, and flat, is a bracket that it can shrink.
        """
        return math.nextafter(self.loss, math.inf), np.zeros_like(self.iterate)

    def iteration_done(self, intermediate_result: Any) -> None:
        """Keep the new iterate and tell of it; the search has just evaluated it."""
        self.iterate = intermediate_result.x.copy()
        self.loss = float(intermediate_result.fun)
        self.n_iterations += 1
        n = self.n_iterations
        progress = Progress(n, n, self.loss, math.nan, self._gradient_norm, self.iterate)
        self.verdict = notify(progress, self._observers, self._tell)
        if self.verdict is not None:
            raise StopIteration


def minimize_lbfgs(
    problem: Problem,
    parameters: Vector,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    observers: Iterable[Observer] = (),
    tell: Tell | None = None,
) -> Outcome:
    """Minimise in place (Byrd, Lu, Nocedal & Zhu, 1995; Zhu et al., 1997).

    Converged means that no gradient component exceeds tol, or that an iteration lowered the value
    by less than 2.2e-9 of it (SciPy's default; in proportion less for tol below 1e-4, so that a
    small tol is not pre-empted and tol=0 turns both off).
    Every exit leaves the last iterate in parameters.
    """
    run = _Run(problem, parameters.astype(np.float64), observers, tell)
    try:
        status, message = _minimize(run, max_iter, max_fun, tol)
    except KeyboardInterrupt:
        status, message = "interrupted", "interrupted by the user"
    parameters[...] = run.iterate
    return Outcome(run.n_iterations, run.n_iterations, run.loss, status, message)


def _minimize(run: _Run, max_iter: int, max_fun: int, tol: float) -> tuple[Status, str]:
    """Call SciPy; status and message of the run."""
    from scipy.optimize import minimize

    options: dict[str, Any] = {
        "maxiter": max_iter,
        "maxfun": max_fun,
        "gtol": tol,
        "ftol": min(2.2e-9, 2.2e-5 * tol),
    }
    result = minimize(
        run.evaluate,
        run.iterate,
        jac=True,
        method="L-BFGS-B",
        callback=run.iteration_done,
        options=options,
    )
    return run.verdict or (_SCIPY_STATUS[result.status], str(result.message))
