"""The adding problem: remember two marked numbers for a hundred steps, and add them.

S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, section
5.4 (experiment 4), with T = 100. A step is a number from [-1, 1] and a marker: 1 at one of the
first ten steps and at one of the first T/2 - 1 steps that is not yet marked, -1 at the first and
last step, and 0 at all others. If the first step is marked, its number counts as zero. Lengths are
between T and T + T/10. The target is 0.5 + (X1 + X2) / 4. A sequence is correct if its error is
below 0.04. The task is solved when the last 2,000 training sequences are all correct and the mean
error is below 0.01. In table 7 of the paper, this took 74,000 sequences, with one error in 2,560
test sequences.

Here each sequence is new and presented once. The errors of training sequences are those before the
update, as in online training. The model uses max pooling. With ``pooling="last"`` the task was also
solved, but only with some seeds.
"""

from __future__ import annotations

import numpy as np
from presentations import Recent, Report, until_solved

from sklstm import LSTMRegressor

PAPER, T = 74_000, 100


def draw(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    length = rng.integers(T, T + T // 10 + 1)
    x = np.zeros((length, 2), dtype=np.float32)
    x[:, 0] = rng.uniform(-1, 1, length)
    first = rng.integers(10)
    second = rng.choice(np.delete(np.arange(T // 2 - 1), first))
    x[[0, -1], 1] = -1
    x[[first, second], 1] = 1
    summands = [0.0 if step == 0 else x[step, 0] for step in (first, second)]
    return x, 0.5 + sum(summands) / 4


def batch(rng: np.random.Generator, size: int) -> tuple[list[np.ndarray], np.ndarray]:
    X, y = zip(*(draw(rng) for _ in range(size)), strict=True)
    return list(X), np.array(y)


def run(seed: int, size: int = 16) -> Report:
    rng, fresh = np.random.default_rng(seed), np.random.default_rng(10_000 + seed)
    model = LSTMRegressor(
        64,
        pooling="max",
        forget_bias=5.0,
        alpha=0,
        max_grad_norm=0.1,
        batch_size=size,
        random_state=seed,
    )
    recent, presented = Recent(), 0

    def learn() -> None:
        nonlocal presented
        X, y = batch(rng, size)
        if presented:
            recent.add(np.abs(model.predict(X) - y))
        presented += size
        model.set_params(learning_rate_init=0.01 * max(0.02, 1 - presented / 60_000))
        model.partial_fit(X, y)

    def solved() -> bool:
        return recent.all_within(0.04) and mean_error(model, fresh) < 0.01

    seen, done = until_solved(learn, size, solved, every=16, most=PAPER)
    error = mean_error(model, fresh)
    rule = f"last 2,000 errors below 0.04: {done}; mean error of 2,560 new ones {error:.4f} < 0.01"
    return Report("adding problem, T = 100", seen, PAPER, rule, done)


def mean_error(model: LSTMRegressor, rng: np.random.Generator) -> float:
    X, y = batch(rng, 2560)
    return float(np.abs(model.predict(X) - y).mean())
