"""Run the tasks of the literature on LSTM networks.

    python benchmarks/literature/run.py [--seeds 0 1 2] [reber adding order digits]

For each task, print the number of presented sequences (each presentation in training counts), that
number in the paper, the target, whether it is met, and the time. Exits with 1 if a target is not
met.
"""

from __future__ import annotations

import argparse
import time

import adding
import digits
import reber
import temporal_order
from presentations import Report

TASKS = {
    "reber": reber.run,
    "adding": adding.run,
    "order": temporal_order.run,
    "digits": digits.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="*", metavar="task", help=f"one of {', '.join(TASKS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    if unknown := set(options.tasks) - set(TASKS):
        parser.error(f"expected tasks of {list(TASKS)}, got {sorted(unknown)}")
    passed = [timed(name, seed) for name in options.tasks or TASKS for seed in options.seeds]
    raise SystemExit(not all(passed))


def timed(name: str, seed: int) -> bool:
    start = time.perf_counter()
    report = TASKS[name](seed)
    print(text(report, seed, time.perf_counter() - start), flush=True)
    return report.met and report.fewer


def text(report: Report, seed: int, seconds: float) -> str:
    paper = "" if report.paper is None else f" (in the paper: {report.paper:,})"
    verdict = "met" if report.met and report.fewer else "NOT met"
    return (
        f"{report.task}, seed {seed}: {verdict} after {report.presented:,} sequences{paper}, "
        f"{seconds:.0f} s\n    {report.rule}"
    )


if __name__ == "__main__":
    main()
