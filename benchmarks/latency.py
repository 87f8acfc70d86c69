"""Measure calls for one sample: `predict_proba`, and a step of a stream from several inputs.

PyTorch computes LSTM, dense layer and softmax, with the conversion from and to NumPy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from calls import N_CLASSES, SETTINGS, check, fit, in_kernels
from kernels import using
from timing import Turns, interleaved

from sklstm import LSTMClassifier
from sklstm.streaming import SequenceStream

STEPS, INPUTS, HIDDEN = 50, 8, 64


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the times of a prediction and of a step."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, STEPS, INPUTS), dtype=np.float32)
    fitted = fit(LSTMClassifier(HIDDEN, max_iter=1, **SETTINGS), x, np.arange(40) % N_CLASSES)
    one = x[:1].copy()
    predictions = _predictions(fitted, one, options)
    check(predictions)
    turns = Turns.of(options)
    return {
        "predict_proba": interleaved(predictions, turns),
        "step": interleaved(_steps(fitted, one[0], options.kernels), turns),
    }


def _predictions(
    fitted: LSTMClassifier, x: np.ndarray, options: argparse.Namespace
) -> dict[str, Callable[[], object]]:
    calls: dict[str, Callable[[], object]] = {}
    for name in options.kernels:
        calls[f"sklstm {name}"] = in_kernels(name, partial(fitted.predict_proba, x))
        listed = partial(fitted.predict_proba, [x[0]])
        calls[f"sklstm {name}, list"] = in_kernels(name, listed)
    if "torch" in options.rivals:
        from rivals import torch_calls as rival

        calls["torch"] = partial(rival.predict_proba, rival.copied(fitted.parameters_), x)
    return calls


def _steps(
    fitted: LSTMClassifier, x: np.ndarray, kernels: list[str]
) -> dict[str, Callable[[], object]]:
    inputs = {
        "float32 array": x[0][None].copy(),
        "float64 array": x[0][None].astype(np.float64),
        "list": [x[0].tolist()],
    }
    calls: dict[str, Callable[[], object]] = {}
    for name in kernels:
        with using(name):
            step = SequenceStream(fitted).step_proba
        for kind, x_t in inputs.items():
            calls[f"sklstm {name}, {kind}"] = in_kernels(name, partial(step, x_t))
    return calls
