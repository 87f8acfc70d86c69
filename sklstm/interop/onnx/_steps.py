"""The transformers of sklstm.preprocessing as ONNX operators.

Shapes: ``n`` sequences, ``T`` time steps, ``D`` features. Inside, tensors are (n, T, D).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sklstm.interop.onnx._graph import DOUBLE, FLOAT, Graph, Tensors
from sklstm.preprocessing import (
    RandomConvolutions,
    SequenceDifferences,
    SequenceImputer,
    SequenceScaler,
    SlidingWindow,
    ToSequences,
)
from sklstm.sequences._moments import CONSTANT

#: A slice up to the end of an axis.
END = np.iinfo(np.int64).max


def is_convertible(step: Any) -> bool:
    """Whether the object is a transformer of sklstm that `add_step` knows."""
    return type(step) in _CONVERTERS


def convertible_types() -> list[type]:
    """The transformers that `add_step` knows."""
    return list(_CONVERTERS)


def returns_table(step: Any, table: bool) -> bool:
    """Whether a transformer returns a 2-D array, if it is given one or not."""
    if isinstance(step, RandomConvolutions | SlidingWindow | ToSequences):
        return False
    appends = getattr(step, "append", False) or getattr(step, "add_indicator", False)
    return table and not appends


def n_features_out(step: Any, n_features: int) -> int:
    """The number of features of a time step that a transformer returns."""
    if isinstance(step, SlidingWindow):
        return n_features * int(step.width)
    if isinstance(step, ToSequences):
        return int(step.n_features)
    if isinstance(step, RandomConvolutions):
        return len(step.kernels_) + (n_features if step.append else 0)
    appends = getattr(step, "append", False) or getattr(step, "add_indicator", False)
    return n_features * (2 if appends else 1)


def add_step(graph: Graph, step: Any, tensors: Tensors) -> Tensors:
    """Add a fitted transformer; return the transformed sequences.

    Raises
    ------
    ValueError
        If its settings have no counterpart in ONNX.
    """
    table = returns_table(step, tensors.table)
    if tensors.table:
        values = graph.add("Unsqueeze", tensors.values, graph.ints(2))
        tensors = Tensors(values, tensors.lengths, False)
    values, lengths = _CONVERTERS[type(step)](graph, step, tensors)
    if table:
        values = graph.add("Squeeze", values, graph.ints(2))
    return Tensors(values, lengths, table)


Result = tuple[str, str | None]


def _refuse(step: Any, what: str) -> ValueError:
    return ValueError(
        f"{type(step).__name__} with {what} cannot be converted to ONNX; convert the steps after "
        "it, and apply this one to the inputs of the model"
    )


def _add_scaler(graph: Graph, scaler: SequenceScaler, tensors: Tensors) -> Result:
    x = graph.cast(tensors.values, DOUBLE)
    if scaler.per_sequence:
        center, scale = _add_statistics(graph, scaler, tensors, x)
    else:
        center = graph.constant(scaler.center_, np.float64, "center")
        scale = graph.constant(scaler.scale_, np.float64, "scale")
    x = graph.add("Div", graph.add("Sub", x, center), scale)
    if scaler.method == "minmax":
        x = graph.add("Add", x, graph.constant(scaler.feature_range[0], np.float64))
    return graph.cast(x, FLOAT), tensors.lengths


def _add_statistics(
    graph: Graph, scaler: SequenceScaler, tensors: Tensors, x: str
) -> tuple[str, str]:
    """Center and scale of each sequence, (n, 1, D)."""
    if scaler.method == "robust":
        raise _refuse(scaler, 'method="robust" and per_sequence=True')
    mask = graph.mask(tensors)
    if scaler.method == "standard":
        center, scale = _add_moments(graph, tensors, x)
        return center, _without_constants(graph, center, scale)
    low, high = (
        graph.reduce(name, graph.fill(mask, x, other, np.float64), axis=1, keepdims=True)
        for name, other in (("ReduceMin", np.inf), ("ReduceMax", -np.inf))
    )
    scale = _without_constants(graph, low, graph.add("Sub", high, low))
    width = float(scaler.feature_range[1]) - float(scaler.feature_range[0])
    return low, graph.add("Div", scale, graph.constant(width, np.float64))


def average(graph: Graph, tensors: Tensors, values: str) -> str:
    """The mean over the steps of each sequence, (n, 1, D) in float64."""
    if tensors.lengths is None:
        count = graph.cast(graph.n_steps(values), DOUBLE)
    else:
        count = graph.cast(graph.add("Unsqueeze", tensors.lengths, graph.ints(1, 2)), DOUBLE)
    kept = graph.fill(graph.mask(tensors), values, 0.0, np.float64)
    return graph.add("Div", graph.reduce("ReduceSum", kept, 1, keepdims=True), count)


def _add_moments(graph: Graph, tensors: Tensors, x: str) -> tuple[str, str]:
    """Mean and standard deviation of each sequence, (n, 1, D)."""
    mean = average(graph, tensors, x)
    distance = graph.add("Sub", x, mean)
    variance = average(graph, tensors, graph.add("Mul", distance, distance))
    return mean, graph.add("Sqrt", variance)


def is_constant(graph: Graph, center: str, scale: str) -> str:
    """Whether a scale consists of rounding errors."""
    limit = graph.add("Mul", graph.add("Abs", center), graph.constant(CONSTANT, np.float64))
    return graph.add("LessOrEqual", scale, limit)


def _without_constants(graph: Graph, center: str, scale: str) -> str:
    """The scale, or one where it consists of rounding errors."""
    one = graph.constant(1, np.float64)
    return graph.add("Where", is_constant(graph, center, scale), one, scale)


def _add_imputer(graph: Graph, imputer: SequenceImputer, tensors: Tensors) -> Result:
    if imputer.strategy not in ("mean", "constant"):
        raise _refuse(imputer, f'strategy="{imputer.strategy}"')
    missing = graph.add("IsNaN", tensors.values)
    statistics = graph.constant(imputer.statistics_, np.float32, "statistics")
    values = graph.add("Where", missing, statistics, tensors.values)
    if imputer.add_indicator:
        values = graph.add("Concat", values, graph.cast(missing, FLOAT), axis=2)
    return values, tensors.lengths


def _add_differences(graph: Graph, step: SequenceDifferences, tensors: Tensors) -> Result:
    x, axis = tensors.values, graph.ints(1)
    first = graph.add("Slice", x, graph.ints(0), graph.ints(1), axis)
    later = graph.add("Slice", x, graph.ints(1), graph.ints(END), axis)
    earlier = graph.add("Slice", x, graph.ints(0), graph.ints(-1), axis)
    parts = graph.add("Sub", first, first), graph.add("Sub", later, earlier)
    differences = graph.add("Concat", *parts, axis=1)
    if step.skip_sparse:
        factors = graph.constant(~step.sparse_channels_, np.float32)
        differences = graph.add("Mul", differences, factors)
    if step.append:
        differences = graph.add("Concat", x, differences, axis=2)
    return differences, tensors.lengths


def _add_convolutions(graph: Graph, step: RandomConvolutions, tensors: Tensors) -> Result:
    center = graph.constant(step.center_, np.float64, "center")
    scale = graph.constant(step.scale_, np.float64, "scale")
    x = graph.add("Sub", graph.cast(tensors.values, DOUBLE), center)
    scaled = graph.cast(graph.add("Div", x, scale), FLOAT)
    by_channel = graph.add(
        "Transpose", graph.fill(graph.mask(tensors), scaled, 0.0), perm=[0, 2, 1]
    )
    parts = []
    for dilation in np.unique(step.dilations_).tolist():
        kernels = step.kernels_[step.dilations_ == dilation].transpose(0, 2, 1)
        weights = graph.constant(kernels, np.float32, "kernels")
        span = (kernels.shape[2] - 1) * dilation
        pads = [span // 2, span - span // 2]
        parts.append(graph.add("Conv", by_channel, weights, dilations=[dilation], pads=pads))
    convolutions = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
    values = graph.add("Transpose", convolutions, perm=[0, 2, 1])
    if step.append:
        values = graph.add("Concat", tensors.values, values, axis=2)
    return values, tensors.lengths


def _add_to_sequences(graph: Graph, step: ToSequences, tensors: Tensors) -> Result:
    if not step._flat:
        return graph.add("Identity", tensors.values), tensors.lengths
    values = graph.add("Reshape", tensors.values, graph.ints(0, -1, step.n_features))
    lengths = tensors.lengths
    if lengths is not None:
        lengths = graph.add("Div", lengths, graph.constant(step.n_features, np.int64))
    return values, lengths


def _add_windows(graph: Graph, step: SlidingWindow, tensors: Tensors) -> Result:
    """Windows (n, number, width * D)."""
    width, stride = int(step.width), int(step.stride)

    def count(length: str) -> str:
        rest = graph.add("Sub", length, graph.constant(width, np.int64))
        return graph.add("Add", graph.add("Div", rest, graph.constant(stride, np.int64)), one)

    one = graph.constant(1, np.int64)
    n_steps = graph.n_steps(tensors.values)
    starts = graph.add("Mul", graph.range(count(n_steps)), graph.constant(stride, np.int64))
    steps = graph.add(
        "Add", graph.add("Unsqueeze", starts, graph.ints(1)), graph.constant(np.arange(width))
    )
    lengths = None if tensors.lengths is None else count(tensors.lengths)
    if step.align == "end":
        windows = _add_windows_at_end(graph, step, tensors, steps, lengths or count(n_steps))
    else:
        windows = graph.add("Gather", tensors.values, steps, axis=1)
    n_features = int(step._form.n_channels) * width
    return graph.add("Reshape", windows, graph.ints(0, -1, n_features)), lengths


def _add_windows_at_end(
    graph: Graph, step: SlidingWindow, tensors: Tensors, steps: str, counts: str
) -> str:
    """Windows (n, number, width, D), of which the last ends with its sequence."""
    length = tensors.lengths or graph.n_steps(tensors.values)
    before_last = graph.add("Sub", counts, graph.constant(1, np.int64))
    covered = graph.add("Mul", before_last, graph.constant(step.stride, np.int64))
    rest = graph.add("Sub", length, graph.constant(step.width, np.int64))
    dropped = graph.add("Sub", rest, covered)
    if tensors.lengths is None:
        return graph.add("Gather", tensors.values, graph.add("Add", steps, dropped), axis=1)
    dropped = graph.add("Unsqueeze", dropped, graph.ints(1, 2))
    steps = graph.add("Add", graph.add("Unsqueeze", steps, graph.ints(0)), dropped)
    last = graph.add("Sub", graph.n_steps(tensors.values), graph.constant(1, np.int64))
    steps = graph.add("Min", steps, last)  # beyond the end of short sequences
    return graph.add(
        "GatherND", tensors.values, graph.add("Unsqueeze", steps, graph.ints(3)), batch_dims=1
    )


_CONVERTERS: dict[type, Callable[[Graph, Any, Tensors], Result]] = {
    RandomConvolutions: _add_convolutions,
    SequenceDifferences: _add_differences,
    SequenceImputer: _add_imputer,
    SequenceScaler: _add_scaler,
    SlidingWindow: _add_windows,
    ToSequences: _add_to_sequences,
}
