"""Operators of skl2onnx: their inputs, and the nodes that a graph adds for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklstm.interop.onnx._graph import STRING, Graph, Tensors


def tensors_of(operator: Any) -> Tensors:
    """The input of a step; a shape with two axes is that of a table."""
    values, *others = operator.inputs
    table = len(values.type.shape) == 2
    lengths = [other.onnx_name for other in others if len(other.type.shape) == 1]
    return Tensors(values.onnx_name, lengths[0] if lengths else None, table)


def convert_operator(
    scope: Any,
    operator: Any,
    container: Any,
    add: Callable[[Graph, Tensors], list[str | None]],
) -> None:
    """Add the nodes and constants of a graph to those of skl2onnx."""
    from onnx import numpy_helper

    graph = Graph(container.target_opset_any_domain(""), scope.get_unique_variable_name)
    results = add(graph, tensors_of(operator))
    for result, output in zip(results, operator.outputs, strict=False):
        graph.copy_to(str(result), output.onnx_name)
    for name, value in graph.constants.items():
        if value.dtype == object:
            container.add_initializer(name, STRING, list(value.shape), value.ravel().tolist())
        else:
            container.add_initializer(name, None, None, numpy_helper.from_array(value, name))
    for node in graph.nodes:
        name = scope.get_unique_operator_name(node.operator)
        container.add_node(
            node.operator, node.inputs, node.outputs, name=name, op_version=graph.opset,
            **node.attributes,
        )  # fmt: skip
