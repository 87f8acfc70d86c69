"""Times of things that take turns, so that a slow moment of the machine strikes all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np

Clock = Callable[[], float]

#: CPU time counts that of all threads, so it is for runs on one: there it leaves out what other
#: programs took of the machine.
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}

#: A turn lasts at least this long: short calls are repeated within it.
TURN_SECONDS = 0.01
FEWEST_TURNS = 7


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    seconds: float,
    repeats: int | None = None,
    clock: Clock = time.perf_counter,
    pause: float = 0.0,
) -> dict[str, list[float]]:
    """Seconds a call, one figure for each turn.

    Turns go on for ``seconds``, or for ``repeats`` rounds where that is given; in every second
    round the order is turned about. ``pause`` lets a rival's threads fall asleep between turns.
    """
    with _garbage_collection_off():
        sizes = {name: _warm_up(call, clock) for name, call in calls.items()}
        times: dict[str, list[float]] = {name: [] for name in calls}
        end = time.perf_counter() + seconds
        for turn in count():
            enough = turn >= FEWEST_TURNS and time.perf_counter() > end
            if turn == repeats or (repeats is None and enough):
                return times
            for name in list(calls)[:: 1 if turn % 2 else -1]:
                time.sleep(pause)
                times[name].append(_turn(calls[name], sizes[name], clock))
    raise AssertionError("unreachable")


def summarised(times: Mapping[str, list[float]]) -> dict[str, Any]:
    """Medians and quartiles in seconds; what compare.py looks for in a file."""
    return {
        "seconds": {name: median(turns) for name, turns in times.items()},
        "quartiles": {name: quartiles(turns) for name, turns in times.items()},
        "turns": min(map(len, times.values())),
    }


def median(times: list[float]) -> float:
    return float(np.median(times))


def quartiles(times: list[float]) -> list[float]:
    return [float(q) for q in np.percentile(times, [25, 75])]


def _warm_up(call: Callable[[], object], clock: Clock) -> int:
    """Calls until caches and thread pools are warm; returns how many calls fill a turn."""
    fastest = min(_turn(call, 1, clock) for _ in range(3))
    return max(1, round(TURN_SECONDS / fastest))


def _turn(call: Callable[[], object], n_calls: int, clock: Clock) -> float:
    start = clock()
    for _ in range(n_calls):
        call()
    return (clock() - start) / n_calls


@contextmanager
def _garbage_collection_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
