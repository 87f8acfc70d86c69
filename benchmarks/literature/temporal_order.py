"""Temporal order: which of two symbols came first, many steps ago.

S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, section
5.6 (experiment 6a). A sequence begins with E, ends with B, and is drawn from {a, b, c, d} between,
but for two places: t1 between 10 and 20 and t2 between 50 and 60 hold X or Y. Lengths are between
100 and 110. The four classes are XX, XY, YX and YY. A sequence is right if each output's error at
its end is below 0.3; a net has learnt when the last 2,000 training sequences are all right and
the mean error is below 0.1. Their table 9: 31,390 sequences, and one wrong of 2,560 in the test.

Here every sequence is drawn anew and presented once; outputs are probabilities, and the errors of
training sequences are those before the update, as in online training. The read-out sees the maximum
of each unit over time; with the last state alone (``pooling="last"``) the task was learnt too, but
from some seeds only.
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
    rule = f"the last 2,000 errors below 0.3: {done}; {wrong} of 2,560 fresh ones are wrong"
    return Report("temporal order 6a", seen + size, PAPER, rule, done)
