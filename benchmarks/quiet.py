"""Whether other programs run beside us. Known on Linux alone; elsewhere it is always quiet."""

from __future__ import annotations

import os
import time
from pathlib import Path

LOADAVG, STAT = Path("/proc/loadavg"), Path("/proc/stat")
KNOWN = LOADAVG.exists() and STAT.exists()
LOOK_EVERY = 0.01


def now(threads: int) -> bool:
    """Whether so many threads would have a core each: few others run or want to."""
    if not KNOWN:
        return True
    running, _, _ = LOADAVG.read_text().split()[3].partition("/")
    return int(running) - 1 + threads <= max(threads, os.cpu_count() or 1)


def wait(threads: int, until: float) -> None:
    """Return when it is quiet, or at a time of ``perf_counter``."""
    while not now(threads) and time.perf_counter() < until:
        time.sleep(LOOK_EVERY)


class Others:
    """What other programs than this one and its children take of the machine, as a share.

    Children count when they have ended.
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
