"""The embedded Reber grammar: name the symbols that may come next, at every step.

S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, section
5.1 (experiment 1), with the grammar of A. Cleeremans, D. Servan-Schreiber and J. L. McClelland,
"Finite state automata and simple recurrent networks", Neural Computation 1(3), 1989. A string is
B, then T or P, then a string of the Reber grammar, then the same T or P again, then E. Seven
symbols come in and go out. A string is right if, at each step, the most active outputs are those of
the symbols that may follow; the second-last symbol asks for a memory as long as the string. They
train on 256 strings and test on 256 others; the fastest of their nets that always
solved the task took 8,440 presentations of a string (their table 2).

Here every string is drawn anew and presented once. Training stops when 256 strings that it never
learns from are all right; the fresh test set has 512 others.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from presentations import Report, until_solved

from sklstm import LSTMClassifier

PAPER = 8440
SYMBOLS = "BTPSXVE"
#: state -> the symbols that may come, and the state that each leads to; 0 comes after B.
GRAMMAR = {
    0: {"T": 1, "P": 2},
    1: {"S": 1, "X": 3},
    2: {"T": 2, "V": 4},
    3: {"X": 2, "S": 5},
    4: {"P": 3, "V": 5},
    5: {"E": 6},
}


def draw(rng: np.random.Generator) -> tuple[str, list[str]]:
    """A string, and which symbols may follow each of its symbols but the last."""
    inner, legal, state = "B", [], 0
    while state != 6:
        legal.append("".join(GRAMMAR[state]))
        symbol = legal[-1][rng.integers(len(legal[-1]))]
        inner, state = inner + symbol, GRAMMAR[state][symbol]
    branch = "TP"[rng.integers(2)]
    return f"B{branch}{inner}{branch}E", ["TP", "B", *legal, branch, "E"]


def encode(string: str) -> np.ndarray:
    """One-hot symbols, the last one excepted: nothing follows it."""
    return np.eye(len(SYMBOLS), dtype=np.float32)[[SYMBOLS.index(s) for s in string[:-1]]]


def batch(rng: np.random.Generator, size: int) -> tuple[list[np.ndarray], list[list[str]]]:
    strings = [draw(rng)[0] for _ in range(size)]
    return [encode(string) for string in strings], [list(string[1:]) for string in strings]


def right(model: LSTMClassifier, strings: list[tuple[str, list[str]]]) -> np.ndarray:
    """Whether each string is right at every step."""
    active = model.predict_proba([encode(string) for string, _ in strings])
    verdicts = []
    for rows, (_, legal) in zip(active, strings, strict=True):
        found = (
            set(model.classes_[np.argsort(row)[-len(may) :]])
            for row, may in zip(rows, legal, strict=True)
        )
        verdicts.append(all(set(may) == most for may, most in zip(legal, found, strict=True)))
    return np.array(verdicts)


def run(seed: int) -> Report:
    rng, fresh = np.random.default_rng(seed), np.random.default_rng(10_000 + seed)
    model = LSTMClassifier(
        32, return_sequences=True, learning_rate_init=0.02, batch_size=8, random_state=seed
    )
    watched = [draw(rng) for _ in range(256)]  # when to stop, by strings of their own
    learn = partial(model.partial_fit, classes=list(SYMBOLS))
    seen, solved = until_solved(
        lambda: learn(*batch(rng, 8)), 8, lambda: right(model, watched).all(), every=16, most=PAPER
    )
    test = right(model, [draw(fresh) for _ in range(512)])
    rule = (
        f"all most active outputs of 512 fresh strings are right: {100 * test.mean():.2f} percent"
    )
    return Report("embedded Reber grammar", seen, PAPER, rule, bool(solved and test.all()))
