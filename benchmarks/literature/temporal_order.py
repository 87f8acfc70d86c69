"""Temporal order: classify the order of two symbols from many steps ago.

S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, section
5.6 (experiment 6a). A sequence begins with E and ends with B. The symbols between are drawn from
{a, b, c, d}, except at two steps: t1 between 10 and 20, and t2 between 50 and 60, are X or Y.
Lengths are between 100 and 110. The four classes are XX, XY, YX and YY. A sequence is correct if
the error of each output at its end is below 0.3. The task is solved when the last 2,000 training
sequences are all correct and the mean error is below 0.1. In table 9 of the paper, this took 31,390
sequences, with one error in 2,560 test sequences.

Here each sequence is new and presented once. The outputs are probabilities, and the errors of
training sequences are those before the update, as in online training. The model uses max pooling.
With ``pooling="last"`` the task was also solved, but only with some seeds.
"""

from __future__ import annotations

import numpy as np
from presentations import Recent, Report, until_solved

from sklstm import LSTMClassifier

PAPER = 31_390
SYMBOLS = "EBabcdXY"
CLASSES = ["XX", "XY", "YX", "YY"]


def draw(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    symbols = rng.choice(list("abcd"), rng.integers(100, 111))
    label = CLASSES[rng.integers(4)]
    symbols[[0, -1]] = "E", "B"
    symbols[[rng.integers(10, 21), rng.integers(50, 61)]] = list(label)
    return np.array([SYMBOLS.index(symbol) for symbol in symbols]), label


def batch(rng: np.random.Generator, size: int) -> tuple[list[np.ndarray], list[str]]:
    X, y = zip(*(draw(rng) for _ in range(size)), strict=True)
    one_hot = np.eye(len(SYMBOLS), dtype=np.float32)
    return [one_hot[x] for x in X], list(y)


def output_errors(model: LSTMClassifier, X: list[np.ndarray], y: list[str]) -> np.ndarray:
    targets = np.eye(len(CLASSES))[[CLASSES.index(label) for label in y]]
    return np.abs(model.predict_proba(X) - targets)


def run(seed: int, size: int = 16) -> Report:
    rng, fresh = np.random.default_rng(seed), np.random.default_rng(10_000 + seed)
    model = LSTMClassifier(
        32,
        pooling="max",
        forget_bias=4.0,
        learning_rate_init=0.005,
        batch_size=size,
        random_state=seed,
    )
    model.partial_fit(*batch(rng, size), classes=CLASSES)
    recent = Recent()

    def learn() -> None:
        X, y = batch(rng, size)
        recent.add(output_errors(model, X, y).max(axis=1))
        model.partial_fit(X, y)

    def mean_error() -> float:
        return float(output_errors(model, *batch(fresh, 2560)).mean())

    seen, done = until_solved(
        learn,
        size,
        lambda: recent.all_within(0.3) and mean_error() < 0.1,
        every=16,
        most=PAPER - size,
    )
    wrong = int((output_errors(model, *batch(fresh, 2560)).max(axis=1) >= 0.3).sum())
    rule = f"last 2,000 errors below 0.3: {done}; {wrong} errors in 2,560 new sequences"
    return Report("temporal order 6a", seen + size, PAPER, rule, done)
