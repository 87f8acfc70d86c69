"""Full-batch training with SciPy's L-BFGS-B, in float64 for any dtype of the parameters."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._solvers.observers import (
    Callback,
    NonFiniteLossError,
    Observer,
    Outcome,
    Progress,
    Status,
    Vector,
    report,
)
from sklstm._solvers.updates import global_norm

Vector64 = NDArray[np.float64]
Problem = Callable[[Vector64], tuple[float, Vector]]

_SCIPY_STATUS: dict[int, Status] = {0: "converged", 1: "max_iter", 2: "abnormal"}


class _Point(NamedTuple):
    """The last iterate, its value, and the number of iterations."""

    x: Vector64
    loss: float
    n_iterations: int


class _Minimization:
    """The last iterate, and the two functions that SciPy calls."""

    def __init__(
        self,
        problem: Problem,
        initial: Vector64,
        observers: Iterable[Observer],
        callback: Callback | None,
    ) -> None:
        self._problem = problem
        self._observers = tuple(observers)
        self._callback = callback
        self.point = _Point(initial, math.nan, 0)
        self.stop: tuple[Status, str] | None = None
        self._gradient_norm = math.nan

    def evaluate(self, x: Vector64) -> tuple[float, Vector]:
        """Return value and gradient, or substitutes if they are not finite."""
        value, gradient = self._problem(x)
        value, self._gradient_norm = float(value), global_norm(gradient)
        finite = math.isfinite(value) and math.isfinite(self._gradient_norm)
        if math.isnan(self.point.loss):
            self._check_first(value, finite)
        return (value, gradient) if finite else self._substitute()

    def _check_first(self, value: float, finite: bool) -> None:
        """Raise an error if the first evaluation is not finite."""
        if not finite:
            raise NonFiniteLossError(
                f"The objective is not finite at the initial parameters: the loss is {value:g} and "
                f"the norm of its gradient {self._gradient_norm:g}. Scale the inputs and targets."
            )
        self.point = self.point._replace(loss=value)

    def _substitute(self) -> tuple[float, Vector64]:
        """Return a finite value and gradient that make the line search take a third of the step.

        With NaN or infinity, the interpolation of the line search fails, or reports convergence far
        from a minimum. With a zero gradient and a value just above that of the last iterate, the
        line search tries a shorter step.
        """
        return math.nextafter(self.point.loss, math.inf), np.zeros_like(self.point.x)

    def iteration_done(self, intermediate_result: Any) -> None:
        """Keep the new iterate, which has just been evaluated, and report it."""
        n = self.point.n_iterations + 1
        self.point = _Point(intermediate_result.x.copy(), float(intermediate_result.fun), n)
        progress = Progress(n, n, self.point.loss, math.nan, self._gradient_norm, self.point.x)
        self.stop = report(progress, self._observers, self._callback)
        if self.stop is not None:
            raise StopIteration


def minimize_lbfgs(
    problem: Problem,
    parameters: Vector,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    observers: Iterable[Observer] = (),
    callback: Callback | None = None,
) -> Outcome:
    """Minimize in place (Byrd, Lu, Nocedal & Zhu, 1995; Zhu et al., 1997).

    It has converged if no component of the gradient is larger than tol, or if an iteration lowers
    the value by a fraction less than ftol. ftol is 2.2e-9, as in SciPy. For tol below 1e-4 it is
    proportional to tol, so that a small tol has an effect and tol=0 turns both criteria off.
    The last iterate is always written to parameters, also after a KeyboardInterrupt.
    """
    minimization = _Minimization(problem, parameters.astype(np.float64), observers, callback)
    try:
        status, message = _minimize(minimization, max_iter, max_fun, tol)
    except KeyboardInterrupt:
        status, message = "interrupted", "interrupted by the user"
    parameters[...], loss, n_iterations = minimization.point
    return Outcome(n_iterations, n_iterations, loss, status, message)


def _minimize(
    minimization: _Minimization, max_iter: int, max_fun: int, tol: float
) -> tuple[Status, str]:
    """Call SciPy, and return status and message."""
    from scipy.optimize import minimize

    options: dict[str, Any] = {
        "maxiter": max_iter,
        "maxfun": max_fun,
        "gtol": tol,
        "ftol": min(2.2e-9, 2.2e-5 * tol),
    }
    result = minimize(
        minimization.evaluate,
        minimization.point.x,
        jac=True,
        method="L-BFGS-B",
        callback=minimization.iteration_done,
        options=options,
    )
    return minimization.stop or (_SCIPY_STATUS[result.status], str(result.message))
