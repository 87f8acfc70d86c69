"""Measure training batches and predictions with n_jobs 1 and 2."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import report
from kernels import using
from problem import Shape
from timing import Turns, interleaved

from sklstm._network.losses import CategoricalCrossEntropy
from sklstm._network.network import SequenceNetwork
from sklstm._threads import ParallelMap, serial_map, with_workers
from sklstm._training.objective import Objective
from sklstm._training.prediction import raw_predictions
from sklstm._training.samples import Samples
from sklstm.sequences import Sequences

#: From shapes that are too small for threads to shapes that benefit from them.
SHAPES = [
    Shape(1, 100, 8, 64),
    Shape(32, 8, 8, 64),
    Shape(32, 100, 8, 32),
    Shape(48, 100, 8, 64),
    Shape(64, 20, 8, 32),
    Shape(64, 100, 8, 64),
    Shape(128, 20, 8, 16),
    Shape(128, 100, 8, 32),
    Shape(200, 50, 1, 100),
    Shape(256, 100, 8, 16),
    Shape(512, 28, 28, 64),
]
N_CLASSES = 3


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return times of training and predicting a batch, by kernels, directions and shape."""
    found: dict[str, Any] = {}
    print(report.jobs_title())
    for name in options.kernels:
        found[name] = {}
        for bidirectional in (False, True):
            for shape in SHAPES:
                with using(name):
                    row = _times(shape, bidirectional, options)
                found[name][f"{shape}{', bidirectional' if bidirectional else ''}"] = row
                print(report.jobs_line(name, shape, bidirectional, row), flush=True)
    return found


def _times(shape: Shape, bidirectional: bool, options: argparse.Namespace) -> dict[str, Any]:
    turns = replace(Turns.of(options, threads=2), pause=0.0)  # there are no threads of OpenMP

    def compare(two_workers: ParallelMap) -> dict[str, Any]:
        maps, found = {1: serial_map, 2: two_workers}, {}
        for kind, make in (("training", _training), ("predictions", _predictions)):
            calls = {
                f"sklstm, n_jobs={n}": make(shape, bidirectional, parallel_map)
                for n, parallel_map in maps.items()
            }
            found[kind] = interleaved(calls, turns)
        return found

    return with_workers(2, compare)


def _training(shape: Shape, bidirectional: bool, parallel_map: ParallelMap) -> Any:
    network, parameters, sequences = _problem(shape, bidirectional)
    targets = np.arange(shape.batch) % N_CLASSES
    samples = Samples(sequences, targets, np.ones(shape.batch))
    return partial(
        Objective(network, CategoricalCrossEntropy(), samples, 0.0, parallel_map), parameters
    )


def _predictions(shape: Shape, bidirectional: bool, parallel_map: ParallelMap) -> Any:
    return partial(raw_predictions, *_problem(shape, bidirectional), parallel_map)


def _problem(shape: Shape, bidirectional: bool) -> tuple[SequenceNetwork, np.ndarray, Sequences]:
    rng = np.random.default_rng(0)
    network = SequenceNetwork(
        shape.inputs, (shape.hidden,), N_CLASSES, bidirectional=bidirectional, pooling="mean_max"
    )
    parameters = rng.standard_normal(network.layout.size, dtype=np.float32) / 10
    values = rng.standard_normal((shape.batch * shape.steps, shape.inputs), dtype=np.float32)
    return network, parameters, Sequences(values, np.full(shape.batch, shape.steps), "list")
