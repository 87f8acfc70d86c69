"""Count the presented sequences until a task is solved."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass
class Report:
    """The result of a task. ``paper`` is None if the task only has a target accuracy."""

    task: str
    presented: int
    paper: int | None
    rule: str
    met: bool

    @property
    def fewer(self) -> bool:
        return self.paper is None or self.presented < self.paper


def until_solved(
    learn: Callable[[], object], size: int, solved: Callable[[], bool], *, every: int, most: int
) -> tuple[int, bool]:
    """Train on batches of ``size``, and call ``solved`` after ``every`` batches.

    Return the number of presented sequences, and whether the task was solved.
    """
    presented = 0
    while presented + every * size <= most:
        for _ in range(every):
            learn()
        presented += every * size
        if solved():
            return presented, True
    return presented, False


class Recent:
    """The errors of the last 2,000 training sequences, each from before its update."""

    def __init__(self, size: int = 2000) -> None:
        self._errors: deque[float] = deque(maxlen=size)

    def add(self, errors: np.ndarray) -> None:
        self._errors.extend(errors.tolist())

    def all_within(self, bound: float) -> bool:
        return len(self._errors) == self._errors.maxlen and max(self._errors) < bound
