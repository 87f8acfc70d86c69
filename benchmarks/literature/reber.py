"""The embedded Reber grammar: predict the symbols that may follow, at each step.

S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, section
5.1 (experiment 1), with the grammar of A. Cleeremans, D. Servan-Schreiber and J. L. McClelland,
"Finite state automata and simple recurrent networks", Neural Computation 1(3), 1989. A string is B,
then T or P, then a string of the Reber grammar, then the same T or P again, then E. Inputs and
outputs have seven symbols. A string is correct if, at each step, the largest outputs are those of
the symbols that may follow. For the second-last symbol, the network must remember the second
symbol. The authors train on 256 strings and test on 256 others. The fastest of their networks that
always solved the task needed 8,440 presentations of a string (table 2).

Here each string is new and presented once. Training ends when the predictions for 256 validation
strings are all correct. The test set has 512 other strings.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from presentations import Report, until_solved

from sklstm import LSTMClassifier

PAPER = 8440
SYMBOLS = "BTPSXVE"
#: For each state, the symbols that may follow and their next states; state 0 is after B.
GRAMMAR = {
    0: {"T": 1, "P": 2},
    1: {"S": 1, "X": 3},
    2: {"T": 2, "V": 4},
    3: {"X": 2, "S": 5},
    4: {"P": 3, "V": 5},
    5: {"E": 6},
}


def draw(rng: np.random.Generator) -> tuple[str, list[str]]:
    """Return a string, and the symbols that may follow each of its symbols except the last."""
    inner, legal, state = "B", [], 0
    while state != 6:
        legal.append("".join(GRAMMAR[state]))
        symbol = legal[-1][rng.integers(len(legal[-1]))]
        inner, state = inner + symbol, GRAMMAR[state][symbol]
    branch = "TP"[rng.integers(2)]
    return f"B{branch}{inner}{branch}E", ["TP", "B", *legal, branch, "E"]


def encode(string: str) -> np.ndarray:
    """Return one-hot symbols, without the last symbol."""
    return np.eye(len(SYMBOLS), dtype=np.float32)[[SYMBOLS.index(s) for s in string[:-1]]]


def batch(rng: np.random.Generator, size: int) -> tuple[list[np.ndarray], list[list[str]]]:
    strings = [draw(rng)[0] for _ in range(size)]
    return [encode(string) for string in strings], [list(string[1:]) for string in strings]


def correct(model: LSTMClassifier, strings: list[tuple[str, list[str]]]) -> np.ndarray:
    """Return whether the predictions for each string are correct at all steps."""
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
    validation = [draw(rng) for _ in range(256)]
    learn = partial(model.partial_fit, classes=list(SYMBOLS))
    seen, solved = until_solved(
        lambda: learn(*batch(rng, 8)),
        8,
        lambda: correct(model, validation).all(),
        every=16,
        most=PAPER,
    )
    test = correct(model, [draw(fresh) for _ in range(512)])
    rule = f"correct predictions for all of 512 new strings: {100 * test.mean():.2f} percent"
    return Report("embedded Reber grammar", seen, PAPER, rule, bool(solved and test.all()))
