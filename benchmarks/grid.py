"""Compare one LSTM layer of sklstm with other libraries, over the grid of sizes."""

from __future__ import annotations

import argparse
from typing import Any

import report
from layer import Layer
from problem import Problem, Shape, disagreements
from rivals import load
from timing import Turns, interleaved

from sklstm._threads import ParallelMap, with_workers

#: For each kind of measurement, the method that is timed and the rivals that have it.
KINDS = {"training": ("train", ["torch"]), "inference": ("infer", ["torch", "onnxruntime"])}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the times of all libraries by number of threads, kind and shape."""
    return {str(threads): _measure(threads, options) for threads in options.threads}


def _measure(threads: int, options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def measure_all(parallel_map: ParallelMap) -> None:
        for kind, (call, rivals) in KINDS.items():
            wanted = [rival for rival in rivals if rival in options.rivals]
            print(report.grid_title(kind, threads, options.kernels, wanted))
            found[kind] = {}
            for shape in options.shapes:
                sides = _sides(shape, options.kernels, wanted, threads, parallel_map)
                row = _times(sides, call, threads, options)
                found[kind][str(shape)] = row
                print(report.grid_line(shape, row, options.kernels, wanted), flush=True)

    with_workers(threads, measure_all)
    print()
    return found


def _sides(
    shape: Shape, kernels: list[str], rivals: list[str], threads: int, parallel_map: ParallelMap
) -> list[Any]:
    """Return the layers to measure, ours first, after a check that their results agree."""
    problem = Problem.random(shape)
    ours = [Layer(problem, parallel_map, name) for name in kernels]
    theirs = [load(name).layer(problem, threads) for name in rivals]
    for side in ours:
        results = side.results()
        for rival in theirs:
            if errors := disagreements(results, rival.results()):
                who = f"({shape}): {side.name} and {rival.name} disagree: "
                raise SystemExit(who + ", ".join(errors))
    return [*ours, *theirs]


def _times(
    sides: list[Any], call: str, threads: int, options: argparse.Namespace
) -> dict[str, Any]:
    calls = {side.name: getattr(side, call) for side in sides}
    return interleaved(calls, Turns.of(options, threads))
