"""Compare whole calls of `fit` (ten epochs) and `predict_proba` with a plain loop in PyTorch.

Both get float32 arrays with twice as many samples as a batch, use the same network (the last hidden
state, a dense layer, three classes) and optimiser, and run on one thread.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import report
from kernels import using
from problem import Shape
from timing import Turns, interleaved

from sklstm import LSTMClassifier

SHAPES = [
    Shape(32, 50, 4, 16),
    Shape(32, 100, 8, 32),
    Shape(64, 100, 8, 64),
    Shape(128, 128, 16, 128),
    Shape(200, 50, 1, 100),
    Shape(32, 300, 1, 64),
    Shape(256, 28, 28, 128),
]
N_CLASSES, EPOCHS, TOLERANCE = 3, 10, 1e-4

#: What the loop in PyTorch does; other parameters have their defaults.
SETTINGS = {
    "pooling": "last", "alpha": 0.0, "max_grad_norm": None, "random_state": 0,
    "learning_rate": "constant", "tol": 0.0, "n_iter_no_change": EPOCHS,
}  # fmt: skip


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the times of all libraries by call and shape."""
    rivals = [name for name in options.rivals if name == "torch"]
    found: dict[str, Any] = {"fit": {}, "predict_proba": {}}
    print(report.grid_title("fit and predict_proba", 1, options.kernels, rivals))
    for shape in SHAPES:
        for kind, calls in _calls(shape, options.kernels, rivals).items():
            row = interleaved(calls, Turns.of(options))
            found[kind][str(shape)] = row
            print(report.grid_line(shape, row, options.kernels, rivals) + f"  {kind}", flush=True)
    return found


def _calls(
    shape: Shape, kernels: list[str], rivals: list[str]
) -> dict[str, dict[str, Callable[[], object]]]:
    """Return the calls to measure, after a check that all probabilities agree."""
    rng = np.random.default_rng(0)
    n = 2 * shape.batch
    x = rng.standard_normal((n, shape.steps, shape.inputs), dtype=np.float32)
    y = np.arange(n) % N_CLASSES
    settings = {"batch_size": shape.batch, "max_iter": EPOCHS, **SETTINGS}
    fitted = fit(LSTMClassifier(shape.hidden, **settings), x, y)
    fits: dict[str, Callable[[], object]] = {}
    predictions: dict[str, Callable[[], object]] = {}
    for name in kernels:
        new = LSTMClassifier(shape.hidden, **settings)
        fits[f"sklstm {name}"] = in_kernels(name, partial(fit, new, x, y))
        predictions[f"sklstm {name}"] = in_kernels(name, partial(fitted.predict_proba, x))
    if rivals:
        from rivals import torch_calls as rival

        make = partial(rival.Network, shape.inputs, shape.hidden, N_CLASSES)
        fits["torch"] = partial(rival.fit, make, x, y, shape.batch, EPOCHS)
        predictions["torch"] = partial(rival.predict_proba, rival.copied(fitted.parameters_), x)
    check(predictions)
    return {"fit": fits, "predict_proba": predictions}


def fit(classifier: LSTMClassifier, x: np.ndarray, y: np.ndarray) -> LSTMClassifier:
    with warnings.catch_warnings(action="ignore"):  # the maximum number of epochs was reached
        return classifier.fit(x, y)


def in_kernels(name: str, call: Callable[[], object]) -> Callable[[], object]:
    def with_kernels() -> object:
        with using(name):
            return call()

    return with_kernels


def check(predictions: dict[str, Callable[[], Any]]) -> None:
    """Raise an error if the libraries predict other probabilities."""
    (name, first), *others = ((name, call()) for name, call in predictions.items())
    for other, probabilities in others:
        error = np.abs(probabilities - first).max()
        if not error <= TOLERANCE:
            raise SystemExit(f"the probabilities of {name} and {other} differ by {error:.1e}")
