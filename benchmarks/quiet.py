"""Detect load by other programs, on Linux only; elsewhere no load is reported."""

from __future__ import annotations

import os
import time
from pathlib import Path

LOADAVG, STAT = Path("/proc/loadavg"), Path("/proc/stat")
KNOWN = LOADAVG.exists() and STAT.exists()
LOOK_EVERY = 0.01


def now(threads: int) -> bool:
    """Whether each of these threads has a core for itself."""
    if not KNOWN:
        return True
    running, _, _ = LOADAVG.read_text().split()[3].partition("/")
    return int(running) - 1 + threads <= max(threads, os.cpu_count() or 1)


def wait(threads: int, until: float) -> None:
    """Wait until there is no other load, or until this time of ``perf_counter``."""
    while not now(threads) and time.perf_counter() < until:
        time.sleep(LOOK_EVERY)


class Others:
    """Measure the share of the machine that other programs use.

    Child processes of this program are not other programs, but are counted only after their end.
    """

    def __init__(self) -> None:
        self._start = self._clocks()

    def share(self) -> float:
        wall, machine, own = (b - a for a, b in zip(self._start, self._clocks(), strict=True))
        return max(0.0, machine - own) / (wall * (os.cpu_count() or 1))

    def _clocks(self) -> tuple[float, float, float]:
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        if not KNOWN:
            return time.perf_counter(), own, own
        fields = STAT.read_text().split("\n", 1)[0].split()[1:]
        user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
        busy = user + nice + system + irq + softirq + steal
        return time.perf_counter(), busy / os.sysconf("SC_CLK_TCK"), own
