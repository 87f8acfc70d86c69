"""Compare two result files of speed.py; exits with 1 if a time became slower.

python benchmarks/compare.py old.json new.json [--tolerance 0.1]

The speed of a machine changes. The times of sklstm are therefore compared relative to those of the
other libraries in the same measurement or, if there are none, relative to the mean change of the
other libraries in all measurements. A time is slower if it increased by more than the tolerance and
by more than the uncertainty of the medians. A mean over the grid has less noise; it is slower if it
increased by more than half of the tolerance. Times with several threads are not compared if other
programs were running.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from targets import usable

OURS = "sklstm"
TOLERANCE = 0.1

#: The uncertainty of a median of n turns is about this times the interquartile range over sqrt(n).
NOTCH = 1.57


class Change(NamedTuple):
    name: str
    factor: float  # new time of sklstm divided by old time; above 1 is slower
    noise: float  # differences of the factor from 1 up to this value are noise

    @property
    def slower(self) -> bool:
        return self.factor > 1 + self.noise

    @property
    def faster(self) -> bool:
        return self.factor < 1 / (1 + self.noise)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    options = parser.parse_args()
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (options.old, options.new))
    found = changes(old, new, options.tolerance)
    if not found:
        parser.error("the two files have no measurement in common")
    print(*environment_lines(old, new), *report(found), sep="\n")
    gone = sorted(measurements(old).keys() - measurements(new).keys())
    print(*(f"no longer measured: {name}" for name in gone), sep="\n", end="\n" * bool(gone))
    sys.exit(any(change.slower for change in found))


def changes(old: Any, new: Any, tolerance: float = TOLERANCE) -> list[Change]:
    """Compare all times of sklstm that are in both files, and their means over each grid."""
    before, after = measurements(old), measurements(new)
    both = [
        name for name in before if name in after and usable(before[name]) and usable(after[name])
    ]
    drift = _drift([(before[name], after[name]) for name in both])
    found = []
    for name in both:
        found += _of_measurement(name, before[name], after[name], drift, tolerance)
    return found + _means(found, tolerance / 2)


def measurements(tree: Any, path: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Return all parts of a file that have medians and quartiles, by their path."""
    if not isinstance(tree, dict):
        return {}
    found = {"/".join(path): tree} if "seconds" in tree and "quartiles" in tree else {}
    for key, value in tree.items():
        found |= measurements(value, (*path, key))
    return found


def _of_measurement(
    name: str, old: dict[str, Any], new: dict[str, Any], drift: float, tolerance: float
) -> Iterator[Change]:
    theirs = _rivals(old, new)
    yardstick = _mean([_factor(side, old, new) for side in theirs]) if theirs else drift
    for side in _both(old, new):
        if side not in theirs:
            factor = _factor(side, old, new) / yardstick
            noise = math.hypot(*(_spread(s, of) for of in (old, new) for s in (side, *theirs)))
            yield Change(f"{name}: {side}", factor, max(tolerance, noise))


def _means(found: list[Change], tolerance: float) -> list[Change]:
    """Return the mean change over all shapes, for each number of threads, kind and side."""
    groups: dict[str, list[float]] = {}
    for change in found:
        place, side = change.name.rsplit(": ", 1)
        parts = place.split("/")
        if parts[0] == "grid":
            groups.setdefault(f"{'/'.join(parts[:-1])}, mean: {side}", []).append(change.factor)
    return [Change(name, _mean(factors), tolerance) for name, factors in groups.items()]


def _both(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [side for side in old["seconds"] if side in new["seconds"]]


def _rivals(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [side for side in _both(old, new) if not side.startswith(OURS)]


def _drift(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> float:
    """Return the mean change of the rivals' times, caused by the machine or their versions."""
    factors = [_factor(side, old, new) for old, new in pairs for side in _rivals(old, new)]
    return _mean(factors) if factors else 1.0


def _factor(side: str, old: dict[str, Any], new: dict[str, Any]) -> float:
    return new["seconds"][side] / old["seconds"][side]


def _spread(side: str, of: dict[str, Any]) -> float:
    low, high = of["quartiles"][side]
    return NOTCH * (high - low) / of["seconds"][side] / math.sqrt(of["turns"])


def _mean(factors: list[float]) -> float:
    return math.exp(sum(map(math.log, factors)) / len(factors))


def environment_lines(old: Any, new: Any) -> list[str]:
    """Describe other differences between the files, for instance new versions of libraries."""
    before, after = old.get("environment", {}), new.get("environment", {})
    lines = [f"old: {before.get('commit')}, new: {after.get('commit')}"]
    if before.get("cpu") != after.get("cpu"):
        lines.append(f"different machine: {before.get('cpu')}, then {after.get('cpu')}")
    versions = before.get("versions", {}), after.get("versions", {})
    for name in sorted(versions[0].keys() & versions[1].keys()):
        was, now = (found[name] for found in versions)
        if was != now:
            lines.append(f"different version of {name}: {was}, then {now}")
    return lines


def report(found: list[Change]) -> list[str]:
    lines = []
    for change in sorted(found, key=lambda change: -change.factor):
        if change.slower or change.faster:
            word = "SLOWER" if change.slower else "faster"
            lines.append(f"{word} {change.factor:5.2f} times the time, {change.name}")
    slower = sum(change.slower for change in found)
    return [*lines, f"{len(found)} times compared, {slower} of them slower beyond noise"]


if __name__ == "__main__":
    main()
