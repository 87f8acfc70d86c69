"""Compare one step of one sequence with the cells of PyTorch and onnxruntime.

The time of sklstm is that of `SequenceStream.step`: the check of the input, the recurrence, the
output layer and the prediction. The other libraries compute the cell only, so the ratios favour
them.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from kernels import using
from problem import Problem, Shape
from rivals import load
from timing import Turns, interleaved

from sklstm import LSTMRegressor
from sklstm.streaming import SequenceStream

SHAPE = Shape(batch=1, steps=100, inputs=8, hidden=64)
TOLERANCE = 1e-4


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure a step of each library, after a check that all predictions agree."""
    regressor = _fitted()
    problem = _problem(regressor)
    cells = {name: load(name).cell(problem).step for name in options.rivals}
    for name, step in cells.items():
        _check(name, step, regressor, problem.x)
    calls = {name: _call(step, problem.x) for name, step in cells.items()}
    for name in options.kernels:
        calls[f"sklstm {name}"] = _our_call(name, regressor, problem.x)
    return _for_one_step(interleaved(calls, Turns.of(options)))


def _for_one_step(found: dict[str, Any]) -> dict[str, Any]:
    """Divide the times of a call, which is a whole sequence, by the number of steps."""
    seconds = {side: value / SHAPE.steps for side, value in found["seconds"].items()}
    quartiles = {
        side: [q / SHAPE.steps for q in values] for side, values in found["quartiles"].items()
    }
    return found | {"seconds": seconds, "quartiles": quartiles}


def _fitted() -> LSTMRegressor:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 20, SHAPE.inputs), dtype=np.float32)
    regressor = LSTMRegressor(SHAPE.hidden, pooling="last", max_iter=1, random_state=0)
    with warnings.catch_warnings(action="ignore"):
        return regressor.fit(x, x[:, :, 0].mean(axis=1))


def _problem(regressor: LSTMRegressor) -> Problem:
    """Return a problem with the weights of the regressor."""
    of_layer = ("weight_ih", "weight_hh", "bias")
    weights = [regressor.parameters_[f"lstm_0.{name}"].copy() for name in of_layer]
    random = Problem.random(SHAPE)
    return Problem(SHAPE, random.x, random.dy, *weights, random.lengths)


def _check(
    name: str,
    step: Callable[[np.ndarray], np.ndarray],
    regressor: LSTMRegressor,
    x: np.ndarray,
) -> None:
    """Check that the cell, with the output layer of the regressor, gives the same predictions."""
    weight, bias = (regressor.parameters_[f"dense.{part}"] for part in ("weight", "bias"))
    stream, ours, theirs = SequenceStream(regressor), [], []
    for x_t in _steps(x):
        ours.append(stream.step(x_t)[0])
        theirs.append((step(x_t) @ weight + bias)[0, 0])
    # The regressor's predictions are an affine function of the network's outputs.
    fit = np.polyfit(theirs, ours, 1)
    error = np.abs(np.polyval(fit, theirs) - ours).max() / np.abs(ours).max()
    if not error <= TOLERANCE:
        raise SystemExit(f"streamed step: sklstm and {name} disagree by {error:.1e}")


def _steps(x: np.ndarray) -> list[np.ndarray]:
    return [np.ascontiguousarray(x[:, t]) for t in range(x.shape[1])]


def _call(step: Callable[[np.ndarray], Any], x: np.ndarray) -> Callable[[], None]:
    steps = _steps(x)

    def call() -> None:
        for x_t in steps:
            step(x_t)

    return call


def _our_call(kernels: str, regressor: LSTMRegressor, x: np.ndarray) -> Callable[[], None]:
    with using(kernels):
        call = _call(SequenceStream(regressor).step, x)

    def with_kernels() -> None:
        with using(kernels):
            call()

    return with_kernels
