"""Measure the matrix products of a training step alone, with NumPy and one thread.

The rest of the time of a step is the overhead of sklstm. The shards are those of the step.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from kernels import using
from layer import Layer
from problem import GRID, Problem, Shape
from timing import Turns, interleaved

from sklstm._network import costs
from sklstm._threads import ParallelMap, with_workers

HIDDEN = 128


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return, for each shape, both times and the time of the products as a fraction."""
    shapes = [shape for shape in GRID if shape.hidden == HIDDEN]
    return {str(shape): _measure(shape, options) for shape in shapes}


def _measure(shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    problem = Problem.random(shape)

    def compare(parallel_map: ParallelMap) -> dict[str, Any]:
        with using(options.kernels[0]):  # the shards depend on the kernels
            calls = {"products": products(problem)}
        layers = [Layer(problem, parallel_map, name) for name in options.kernels]
        calls |= {layer.name: layer.train for layer in layers}
        return interleaved(calls, Turns.of(options))

    found = with_workers(1, compare)
    seconds = found["seconds"]
    shares = {name: seconds["products"] / seconds[f"sklstm {name}"] for name in options.kernels}
    return found | {"shares": shares}


def products(problem: Problem) -> Callable[[], None]:
    """Return a function that computes the products of all shards, into existing arrays."""
    shards = [
        _of_shard(problem, len(rows)) for rows in costs.shards(problem.network, problem.lengths)
    ]

    def call() -> None:
        for shard in shards:
            shard()

    return call


def _of_shard(problem: Problem, n: int) -> Callable[[], None]:
    _, steps, inputs, hidden = problem.shape
    rng = np.random.default_rng(0)
    x, h, gates = (
        rng.standard_normal((steps, n, width), dtype=np.float32)
        for width in (inputs, hidden, 4 * hidden)
    )
    of_inputs, of_states = (np.empty((width, 4 * hidden), np.float32) for width in (inputs, hidden))
    dx, one_h, one_gates = np.empty_like(x), np.empty_like(h[0]), np.empty_like(gates[0])
    w_ih, w_hh = problem.weight_ih, problem.weight_hh
    w_back = np.ascontiguousarray(w_hh.T)
    flat_x, flat_h, flat_gates = (array.reshape(steps * n, -1) for array in (x, h, gates))
    all_gates = np.empty_like(flat_gates)

    def call() -> None:
        np.matmul(flat_x, w_ih, out=all_gates)
        for t in range(1, steps):
            np.matmul(h[t], w_hh, out=one_gates)
        for t in range(1, steps):
            np.matmul(gates[t], w_back, out=one_h)
        np.matmul(flat_x.T, flat_gates, out=of_inputs)
        np.matmul(flat_h[n:].T, flat_gates[n:], out=of_states)
        np.matmul(flat_gates, w_ih.T, out=dx.reshape(steps * n, -1))

    return call
