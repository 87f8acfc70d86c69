"""Measure several functions in turns, so that a slow moment of the machine affects all of them."""

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

#: CPU time does not include other programs. It is the sum over all threads, so it is only useful
#: for measurements with one thread.
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}

#: Minimum time of a turn; short calls are repeated.
TURN_SECONDS = 0.01
MIN_ROUNDS = 7

#: Threads of OpenMP stay active for some milliseconds after their last work.
PAUSE_SECONDS = 0.05
#: After a pause, the system may need some time to move a second thread to another core. A turn with
#: several threads therefore begins with calls that are not timed. Training has no pauses either.
RUN_UP_SECONDS = 0.1


@dataclass(frozen=True)
class Turns:
    """Duration, clock and number of threads of the measurements."""

    seconds: float
    repeats: int | None  # number of rounds, instead of seconds
    clock: Clock
    patience: float  # additional seconds to wait for moments without other load
    threads: int = 1
    pause: float = PAUSE_SECONDS  # after a turn with several threads

    @classmethod
    def of(cls, options: argparse.Namespace, threads: int = 1) -> Turns:
        clock = CLOCKS["wall" if threads > 1 else options.clock]
        return cls(options.seconds, options.repeats, clock, options.patience, threads)


def interleaved(calls: Mapping[str, Callable[[], object]], turns: Turns) -> dict[str, Any]:
    """Return medians and quartiles of the time of a call, in seconds, over all rounds.

    The order is reversed in every second round. Rounds that were disturbed by other programs are
    dropped if there are enough other rounds; in this case ``quiet`` is true in the result.
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
    enough = len(kept) >= min(MIN_ROUNDS, len(rounds))
    if not enough:
        kept = [times for times, _ in rounds]
    found = summarised({name: [times[name] for times in kept] for name in calls})
    return found | {"quiet": enough, "threads": turns.threads}


def _enough(rounds: list[tuple[dict[str, float], bool]], elapsed: float, turns: Turns) -> bool:
    if turns.repeats is not None:
        return len(rounds) >= turns.repeats
    if len(rounds) < MIN_ROUNDS or elapsed < turns.seconds:
        return False
    n_undisturbed = sum(undisturbed for _, undisturbed in rounds)
    return n_undisturbed >= MIN_ROUNDS or elapsed >= turns.seconds + turns.patience


def _round(
    calls: dict[str, tuple[Callable[[], object], int]], turns: Turns, until: float
) -> tuple[dict[str, float], bool]:
    """Time one turn of each function, and return whether no turn was disturbed."""
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
    """Return medians and quartiles in seconds, in the format that compare.py reads."""
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
    """Call until caches and thread pools are warm; return the number of calls in a turn."""
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
