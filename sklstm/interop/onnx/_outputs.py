"""From raw predictions to labels, probabilities and numbers, as ONNX operators.

Shapes: raw predictions (n, K) or, with a prediction for each step, (n, T, K).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.number_targets import NumberTargets
from sklstm._estimators.reading import DataForm
from sklstm._estimators.targets import ClassTargets, LabelTargets
from sklstm.interop.onnx._graph import BOOL, DOUBLE, FLOAT, INT64, STRING, Graph


class Output(NamedTuple):
    """A result of the model: its tensor, its element type, and its axes after the steps."""

    name: str
    tensor: str
    element_type: int
    axes: tuple[int, ...]


def add_outputs(
    graph: Graph, form: DataForm, raw: str, mask: str | None, keep_column: bool = False
) -> list[Output]:
    """Add what makes predictions of raw predictions.

    Numbers after the end of a sequence, where ``mask`` (n, T, 1) is False, are NaN, as in
    ``predict``. With ``keep_column``, a single regression output keeps its axis.
    """
    targets: Any = form.targets
    if isinstance(targets, NumberTargets):
        return _Numbers(graph, form, targets, mask).outputs(raw, keep_column)
    add = _add_labels if isinstance(targets, LabelTargets) else _add_classes
    label, probability = add(graph, targets, raw)
    return [label, probability._replace(tensor=graph.fill(mask, probability.tensor, np.nan))]


def _add_classes(graph: Graph, targets: ClassTargets, raw: str) -> tuple[Output, Output]:
    if targets.n_outputs == 1:
        halves = graph.add("Sigmoid", graph.add("Neg", raw)), graph.add("Sigmoid", raw)
        probability = graph.add("Concat", *halves, axis=-1)
        positive = graph.add("Greater", raw, graph.constant(0, np.float32))
        code = graph.add("Squeeze", graph.cast(positive, INT64), graph.ints(-1))
    else:
        probability = graph.add("Softmax", raw, axis=-1)
        code = graph.add("ArgMax", raw, axis=-1, keepdims=0)
    classes, element_type = class_constant(targets.classes)
    label = graph.add("Gather", graph.constant(classes, name="classes"), code, axis=0)
    return (
        Output("output_label", label, element_type, ()),
        Output("output_probability", probability, FLOAT, (len(targets.classes),)),
    )


def _add_labels(graph: Graph, targets: LabelTargets, raw: str) -> tuple[Output, Output]:
    positive = graph.add("Greater", raw, graph.constant(0, np.float32))
    axes = (targets.n_outputs,)
    return (
        Output("output_label", graph.cast(positive, INT64), INT64, axes),
        Output("output_probability", graph.add("Sigmoid", raw), FLOAT, axes),
    )


class _Numbers:
    """Adds the predictions of a regressor."""

    def __init__(
        self, graph: Graph, form: DataForm, targets: NumberTargets, mask: str | None
    ) -> None:
        self._graph, self._targets, self._mask = graph, targets, mask
        self._rows = (0, 0) if form.per_step else (0,)  # axes that keep their lengths

    def outputs(self, raw: str, keep_column: bool) -> list[Output]:
        """The predictions and, of means with standard deviations, these too."""
        graph, targets = self._graph, self._targets
        shape = targets.prediction_shape or ((1,) if keep_column else ())
        units = (_single(np.repeat(x, len(targets.levels or [0]))) for x in targets.units)
        scale, mean = (graph.constant(unit, name="unit") for unit in units)
        if targets.loss_name != "gaussian":
            values = graph.add("Add", graph.add("Mul", self._linked(raw), scale), mean)
            return [self._output("variable", values, shape)]
        n_outputs = targets.n_outputs
        sizes = graph.ints(n_outputs, n_outputs)
        means, logarithms = graph.add_many("Split", raw, sizes, n_outputs=2, axis=-1)
        values = graph.add("Add", graph.add("Mul", means, scale), mean)
        deviations = graph.add("Mul", graph.add("Exp", logarithms), scale)
        return [
            self._output("variable", values, shape),
            self._output("variable_std", deviations, shape),
        ]

    def _linked(self, raw: str) -> str:
        """The predictions in the units of the loss, with the shape of the raw ones."""
        graph, targets = self._graph, self._targets
        if targets.loss_name == "poisson":
            return graph.add("Exp", raw)
        if targets.levels is None:
            return raw
        n_outputs, n_levels = targets.n_outputs, len(targets.levels)
        quantiles = graph.add("Reshape", raw, graph.ints(*self._rows, n_outputs, n_levels))
        ascending, _ = graph.add_many(
            "TopK", quantiles, graph.ints(n_levels), n_outputs=2, axis=-1, largest=0
        )
        return graph.add("Reshape", ascending, graph.ints(*self._rows, n_outputs * n_levels))

    def _output(self, name: str, values: str, shape: tuple[int, ...]) -> Output:
        graph = self._graph
        values = graph.fill(self._mask, values, np.nan)
        if len(shape) != 1:
            values = graph.add("Reshape", values, graph.ints(*self._rows, *shape))
        return Output(name, values, FLOAT, shape)


def _single(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Units of the targets in single precision; an error if they are too large for it."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if not np.isfinite(single).all():
        raise ValueError(
            "the ONNX model computes in float32: expected targets with a mean and scale below "
            f"3.4e38, got {np.abs(values).max():.3g}"
        )
    return single


def class_constant(classes: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """The labels of the classes as a constant, and their element type."""
    kind = classes.dtype.kind
    if kind in "iu":
        return classes.astype(np.int64), INT64
    if kind == "b":
        return classes, BOOL
    if kind == "f":
        return classes.astype(np.float64), DOUBLE
    if all(isinstance(label, str) for label in classes.tolist()):
        return classes.astype(object), STRING
    raise ValueError(
        f"expected classes that are numbers, booleans or strings, got {classes.tolist()}"
    )
