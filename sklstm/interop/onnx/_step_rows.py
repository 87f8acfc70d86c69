"""Conversion of StepTransformer with skl2onnx.

Its transformer is converted between two operators: one stacks the time steps to a table, and one
divides the transformed table into sequences again.

Shapes: ``n`` sequences, ``T`` time steps, ``D`` features.
"""

from __future__ import annotations

from typing import Any

from sklstm.interop.onnx._graph import FLOAT, Graph, Tensors
from sklstm.interop.onnx._operators import convert_operator, tensors_of
from sklstm.preprocessing import StepTransformer


class _Stacking:
    """The operator that stacks the steps of a StepTransformer."""

    def __init__(self, step: Any) -> None:
        self.step = step


class _Dividing(_Stacking):
    """The operator that divides the table of its results."""


def register_step_transformer() -> None:
    """Register StepTransformer, and its two operators, with skl2onnx."""
    from skl2onnx import update_registered_converter

    stacking = _set_stacked_type, _convert_stacking
    # The parser declares the two operators in place of this one.
    update_registered_converter(StepTransformer, "SklstmStepTransformer", *stacking, parser=_parse)
    update_registered_converter(_Stacking, "SklstmStacking", *stacking)
    update_registered_converter(_Dividing, "SklstmDividing", _set_divided_type, _convert_dividing)


def _parse(scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    """Declare the operators."""
    from skl2onnx._parse import _parse_sklearn  # noqa: PLC2701  there is no public name
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    stacking = scope.declare_local_operator("SklstmStacking", _Stacking(model))
    stacking.inputs = inputs
    rows = scope.declare_local_variable("rows", FloatTensorType([None, model._form.n_channels]))
    stacking.outputs.append(rows)
    found = _parse_sklearn(scope, model.transformer_, [rows], custom_parsers=custom_parsers)
    dividing = scope.declare_local_operator("SklstmDividing", _Dividing(model))
    dividing.inputs = [*inputs, found[0]]
    dividing.outputs.append(scope.declare_local_variable("variable", FloatTensorType()))
    if len(inputs) > 1:
        dividing.outputs.append(scope.declare_local_variable("lengths", Int64TensorType()))
    return list(dividing.outputs)


def _set_stacked_type(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    n_channels = operator.raw_operator.step._form.n_channels
    operator.outputs[0].type = FloatTensorType([None, n_channels])


def _convert_stacking(scope: Any, operator: Any, container: Any) -> None:
    def add(graph: Graph, tensors: Tensors) -> list[str | None]:
        values = tensors.values
        if not tensors.table:
            values = graph.fill(graph.mask(tensors), values, 0.0)
        n_channels = operator.raw_operator.step._form.n_channels
        return [graph.add("Reshape", values, graph.ints(-1, n_channels))]

    convert_operator(scope, operator, container, add)


def _set_divided_type(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    step, table = operator.raw_operator.step, tensors_of(operator).table
    last = [] if table and step._width == 1 else [step._width]
    n_steps = step.n_features_in_ if table else None
    operator.outputs[0].type = FloatTensorType([None, n_steps, *last])
    if len(operator.outputs) > 1:
        operator.outputs[1].type = Int64TensorType([None])


def _convert_dividing(scope: Any, operator: Any, container: Any) -> None:
    def add(graph: Graph, tensors: Tensors) -> list[str | None]:
        step = operator.raw_operator.step
        rows = graph.cast(operator.inputs[-1].onnx_name, FLOAT)
        steps = graph.add("Shape", tensors.values)
        if not tensors.table:
            steps = graph.add("Slice", steps, graph.ints(0), graph.ints(2))
        if not tensors.table or step._width > 1:
            steps = graph.add("Concat", steps, graph.ints(step._width), axis=0)
        return [graph.add("Reshape", rows, steps), tensors.lengths]

    convert_operator(scope, operator, container, add)
