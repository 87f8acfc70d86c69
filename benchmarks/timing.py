"""Times of things that take turns, so that a slow moment of the machine strikes all of them."""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import quiet

Clock = Callable[[], float]

#: CPU time counts that of all threads, so it is for runs on one: there it leaves out what other
#: programs took of the machine.
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}

#: A turn lasts at least this long: short calls are repeated within it.
TURN_SECONDS = 0.01
FEWEST_ROUNDS = 7

#: OpenMP's threads spin for some milliseconds after their last work.
PAUSE_SECONDS = 0.05
#: After a pause it may take the system some time to give a second thread a core of its own: a turn
#: on several threads begins with a run that is not timed. In training batch follows batch as well.
RUN_UP_SECONDS = 0.1


@dataclass(frozen=True)
class Turns:
    """How long things take turns, by which clock, and how many threads each of them has."""

    seconds: float
    repeats: int | None  # rounds, in place of seconds
    clock: Clock
    patience: float  # more seconds, for rounds at moments when no other program is in the way
    threads: int = 1
    pause: float = PAUSE_SECONDS  # after a turn on several threads

    @classmethod
    def of(cls, options: argparse.Namespace, threads: int = 1) -> Turns:
        clock = CLOCKS["wall" if threads > 1 else options.clock]
        return cls(options.seconds, options.repeats, clock, options.patience, threads)


def interleaved(calls: Mapping[str, Callable[[], object]], turns: Turns) -> dict[str, Any]:
    """Medians and quartiles of seconds a call, each side's figures being one for each round.

    In every second round the order is turned about. Rounds that other programs disturbed are left
    out, if enough others are there at the end; ``quiet`` tells.
    """
    with _garbage_collection_off():
        sizes = {name: _warm_up(call, turns.clock) for name, call in calls.items()}
        jobs = {name: (calls[name], sizes[name]) for name in calls}
        rounds: list[tuple[dict[str, float], bool]] = []
        start = time.perf_counter()
        while not _enough(rounds, time.perf_counter() - start, turns):
            order = list(jobs)[:: -1 if len(rounds) % 2 else 1]
            until = start + turns.seconds + turns.patience
            rounds.append(_round({name: jobs[name] for name in order}, turns, until))
    kept = [times for times, undisturbed in rounds if undisturbed]
    enough = len(kept) >= min(FEWEST_ROUNDS, len(rounds))
    if not enough:
        kept = [times for times, _ in rounds]
    found = summarised({name: [times[name] for times in kept] for name in calls})
    return found | {"quiet": enough, "threads": turns.threads}


def _enough(rounds: list[tuple[dict[str, float], bool]], elapsed: float, turns: Turns) -> bool:
    if turns.repeats is not None:
        return len(rounds) >= turns.repeats
    if len(rounds) < FEWEST_ROUNDS or elapsed < turns.seconds:
        return False
    n_undisturbed = sum(undisturbed for _, undisturbed in rounds)
    return n_undisturbed >= FEWEST_ROUNDS or elapsed >= turns.seconds + turns.patience


def _round(
    calls: dict[str, tuple[Callable[[], object], int]], turns: Turns, until: float
) -> tuple[dict[str, float], bool]:
    """A turn of everybody, in this order, and whether none of them was disturbed."""
    times, undisturbed = {}, True
    for name, (call, n_calls) in calls.items():
        quiet.wait(turns.threads, until)
        undisturbed &= quiet.now(turns.threads)
        if turns.threads > 1:
            _run_up(call)
        times[name] = _turn(call, n_calls, turns.clock)
        if turns.threads > 1:
            time.sleep(turns.pause)
        undisturbed &= quiet.now(turns.threads)
    return times, undisturbed


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
    times = [_turn(call, 1, clock)]
    while len(times) < 3 and min(times) < 10 * TURN_SECONDS:
        times.append(_turn(call, 1, clock))
    return max(1, round(TURN_SECONDS / min(times)))


def _run_up(call: Callable[[], object]) -> None:
    until = time.perf_counter() + RUN_UP_SECONDS
    while time.perf_counter() < until:
        call()


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
