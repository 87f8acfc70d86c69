"""WindowScaledRegressor as ONNX operators.

Shapes: ``n`` sequences, ``T`` time steps, ``D`` channels; statistics are (n, 1, D), in float64.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sklstm.interop.onnx._graph import DOUBLE, FLOAT, Graph, Tensors
from sklstm.interop.onnx._outputs import Output
from sklstm.interop.onnx._steps import average, is_constant
from sklstm.preprocessing import WindowScaledRegressor


class Units(NamedTuple):
    """Names of the centers and scales of the windows."""

    center: str
    scale: str


def add_scaled_windows(
    graph: Graph, regressor: WindowScaledRegressor, tensors: Tensors
) -> tuple[Tensors, Units]:
    """Add the scaling of the windows; return the scaled ones and their units."""
    windows = tensors
    if tensors.table:
        values = graph.add("Unsqueeze", tensors.values, graph.ints(2))
        windows = Tensors(values, tensors.lengths, False)
    x = graph.cast(windows.values, DOUBLE)
    units = _add_units(graph, regressor, windows, x)
    scaled = graph.cast(graph.add("Div", graph.add("Sub", x, units.center), units.scale), FLOAT)
    if tensors.table:
        scaled = graph.add("Squeeze", scaled, graph.ints(2))
    return Tensors(scaled, tensors.lengths, tensors.table), units


def _add_units(graph: Graph, regressor: Any, windows: Tensors, x: str) -> Units:
    n_channels = len(regressor.least_scale_)
    mean = average(graph, windows, x)
    center = mean
    if regressor.center == "last":
        center = _add_last(graph, windows, x)
    elif regressor.center is None:
        center = graph.constant(np.zeros(n_channels))
    scale = graph.constant(np.ones(n_channels))
    if regressor.scale == "mean_abs":
        scale = average(graph, windows, graph.add("Abs", x))
    elif regressor.scale == "std":
        distance = graph.add("Sub", x, mean)
        variance = average(graph, windows, graph.add("Mul", distance, distance))
        deviation = graph.add("Sqrt", variance)
        zero = graph.constant(0.0)
        scale = graph.add("Where", is_constant(graph, mean, deviation), zero, deviation)
    scale = graph.add("Max", scale, graph.constant(regressor.least_scale_))
    positive = graph.add("Greater", scale, graph.constant(0.0))
    scale = graph.add("Where", positive, scale, graph.constant(1.0))
    shape = graph.ints(-1, 1, n_channels)  # also of constants
    return Units(graph.add("Reshape", center, shape), graph.add("Reshape", scale, shape))


def _add_last(graph: Graph, windows: Tensors, x: str) -> str:
    """The last values of each window, (n, D)."""
    one = graph.constant(1, np.int64)
    if windows.lengths is None:
        return graph.add("Gather", x, graph.constant(-1, np.int64), axis=1)
    last = graph.add("Unsqueeze", graph.add("Sub", windows.lengths, one), graph.ints(1))
    return graph.add("GatherND", x, last, batch_dims=1)


def in_units(
    graph: Graph, regressor: WindowScaledRegressor, output: Output, units: Units
) -> Output:
    """Add the inverse scaling of a prediction, or of its standard deviation."""
    scale = _like(graph, regressor, output, units.scale)
    values = graph.add("Mul", graph.cast(output.tensor, DOUBLE), scale)
    if output.name == "variable":
        values = graph.add("Add", values, _like(graph, regressor, output, units.center))
    return output._replace(tensor=graph.cast(values, FLOAT))


def _like(graph: Graph, regressor: Any, output: Output, statistic: str) -> str:
    """A statistic of the channels that are targets, with the axes of the prediction."""
    columns, axes = regressor._columns, regressor._axes
    channels = np.arange(len(regressor.least_scale_))[columns]
    if isinstance(columns, int) or axes == 1:
        chosen = graph.constant(np.ravel(channels)[:1], np.int64)
        shape = [-1] + [1] * len(output.axes)
    else:
        chosen = graph.constant(channels, np.int64)
        after = len(output.axes) + 1 - axes
        shape = [-1] + [1] * (axes - 2) + [len(channels)] + [1] * after
    return graph.add("Reshape", graph.add("Gather", statistic, chosen, axis=2), graph.ints(*shape))
