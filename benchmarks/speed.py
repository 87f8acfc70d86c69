"""Speed of one LSTM layer beside PyTorch's, of ragged batches, and of the import.

python benchmarks/speed.py [--shapes 1,100,8,64 ...] [--threads 2] [--json out.json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import import_time
import ragged
import report
from layer import Layer
from problem import GRID, Problem, Shape, disagreements
from rivals import torch_lstm
from timing import CLOCKS, interleaved, median, quartiles

from sklstm._threads import Run, workers

#: OpenMP's threads spin for some milliseconds after their last work.
PAUSE_SECONDS = 0.01


def main() -> None:
    options = parse()
    torch_lstm.set_threads(options.threads)
    found = report.environment(options.threads, options.clock, {"torch": torch_lstm.version()})
    print(report.header(found))
    clock = CLOCKS[options.clock]
    with workers(options.threads) as run:
        if "grid" in options.parts:
            found |= measure_grid(options, run)
        if "ragged" in options.parts:
            found["ragged"] = ragged.measure(run, options.seconds, options.repeats, clock)
            print(report.ragged_line(found["ragged"]))
    if "import" in options.parts:
        found["import"] = import_time.measure(options.repeats, clock)
        print(report.import_line(found["import"]))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--shapes", nargs="+", type=Shape.parse, default=GRID, metavar="BATCH,STEPS,INPUTS,HIDDEN"
    )
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each pair that takes turns")
    parser.add_argument("--repeats", type=int, help="turns of each, in place of --seconds")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: on a busy machine")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parts = ("grid", "ragged", "import")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    if options.clock == "cpu" and options.threads > 1:
        parser.error("CPU time adds up over threads: --clock cpu needs --threads 1")
    return options


def measure_grid(options: argparse.Namespace, run: Run) -> dict[str, Any]:
    print(report.TITLES)
    rows = []
    for shape in options.shapes:
        rows.append(measure_shape(shape, options, run))
        print(report.row_line(rows[-1]), flush=True)
    found = report.summary(rows)
    print(report.summary_lines(found, options.threads, options.shapes == GRID))
    return {"grid": rows, "summary": found}


def measure_shape(shape: Shape, options: argparse.Namespace, run: Run) -> dict[str, Any]:
    problem = Problem.random(shape)
    ours, theirs = Layer(problem, run), torch_lstm.TorchLSTM(problem)
    errors = disagreements(ours.results(), theirs.results())
    if errors:
        raise SystemExit(f"({shape}): results disagree: " + ", ".join(errors))
    row: dict[str, Any] = {"shape": list(shape)}
    for kind, call in (("training", "train"), ("inference", "infer")):
        calls = {side.name: getattr(side, call) for side in (ours, theirs)}
        pause = PAUSE_SECONDS if options.threads > 1 else 0.0
        times = interleaved(calls, options.seconds, options.repeats, CLOCKS[options.clock], pause)
        row[kind] = compared(times)
    return row


def compared(times: dict[str, list[float]]) -> dict[str, Any]:
    """Medians and quartiles in seconds, and torch's median over ours."""
    medians = {name: median(turns) for name, turns in times.items()}
    return {
        "seconds": medians,
        "quartiles": {name: quartiles(turns) for name, turns in times.items()},
        "turns": len(times["sklstm"]),
        "ratio": medians["torch"] / medians["sklstm"],
    }


if __name__ == "__main__":
    main()
