"""From a fitted estimator or a Pipeline to an ONNX model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklstm._persistence import PlainState
from sklstm.interop._fitted import describe, is_ours
from sklstm.interop.onnx._graph import FLOAT, INT64, Graph, Tensors
from sklstm.interop.onnx._network import add_network
from sklstm.interop.onnx._outputs import Output, add_outputs
from sklstm.interop.onnx._steps import add_step, is_convertible
from sklstm.interop.onnx._voting import add_average, check_voting, is_voting
from sklstm.interop.onnx._window_scaling import add_scaled_windows, in_units
from sklstm.preprocessing import WindowScaledRegressor

#: From this opset on, all operators of these graphs exist.
MIN_OPSET = 15

#: The largest number up to which float32 holds every integer.
MAX_TOKENS = 2**24


class Converted(NamedTuple):
    """A graph and what its model is given and returns."""

    graph: Graph
    n_features: int  # columns of a table, or features of a time step
    table: bool
    per_step: bool
    outputs: list[Output]


def steps_of(model: Any) -> list[Any]:
    """The steps of a Pipeline without "passthrough", or the estimator itself.

    A search over parameters stands for the best estimator that it found.
    """
    if hasattr(model, "best_estimator_"):
        return steps_of(model.best_estimator_)
    if not hasattr(model, "steps"):
        return [model]
    steps = [step for _, step in model.steps if step is not None and step != "passthrough"]
    return [inner for step in steps for inner in steps_of(step)]


def all_ours(model: Any) -> bool:
    """Whether every step is a transformer or an estimator of sklstm."""
    *transformers, last = steps_of(model)
    if not all(map(is_convertible, transformers)):
        return False
    inner = models_within(last)
    return all(map(all_ours, inner)) if inner else is_ours(last)


def models_within(model: Any) -> list[Any]:
    """The fitted models of a WindowScaledRegressor or an ensemble that votes; none of others."""
    if isinstance(model, WindowScaledRegressor):
        check_is_fitted(model)
        return [model.regressor_]
    if is_voting(model):
        check_is_fitted(model)
        return list(model.estimators_)
    return []


def first_step(model: Any) -> Any:
    """The first object that is given X; of an ensemble, the first one of its first model."""
    first = steps_of(model)[0]
    return first_step(first.estimators_[0]) if is_voting(first) else first


def form_of(first: Any) -> Any:
    """The form of the data that the first step was fitted on; None if it is of scikit-learn."""
    if is_ours(first):
        return describe(first).form.inputs
    if isinstance(first, PlainState):
        check_is_fitted(first)
    return getattr(first, "_form", None)


def convert(model: Any, opset: int) -> Converted:
    """The graph of an estimator, or of a Pipeline, of which all steps are of sklstm."""
    form = form_of(first_step(model))
    graph = Graph(opset)
    tensors = Tensors("X", None if form.table else "lengths", form.table)
    outputs, per_step = _add(graph, model, tensors)
    for output in outputs:
        graph.copy_to(output.tensor, output.name)
    graph.remove_unused({output.name for output in outputs})
    return Converted(graph, form.n_features, form.table, per_step, outputs)


def _add(graph: Graph, model: Any, tensors: Tensors) -> tuple[list[Output], bool]:
    """Add all steps; return the outputs, and whether there is a prediction for each step."""
    *transformers, last = steps_of(model)
    for transformer in transformers:
        tensors = add_step(graph, transformer, tensors)
    if isinstance(last, WindowScaledRegressor):
        scaled, units = add_scaled_windows(graph, last, tensors)
        outputs, per_step = _add(graph, last.regressor_, scaled)
        if per_step:
            raise ValueError(
                "WindowScaledRegressor with return_sequences=True cannot be converted to ONNX"
            )
        return [in_units(graph, last, output, units) for output in outputs], False
    if is_voting(last):
        check_voting(last)
        members = [_add(graph, member, tensors)[0] for member in last.estimators_]
        return add_average(graph, last, members), False
    network = describe(last)
    check_vocabulary(network.form.inputs.vocabulary_size)
    raw = add_network(graph, network, tensors)
    mask = graph.mask(tensors) if network.form.per_step else None
    return add_outputs(graph, network.form, raw, mask), network.form.per_step


def check_vocabulary(vocabulary_size: int | None) -> None:
    """Raise an error if float32, the type of X, does not hold every token."""
    if vocabulary_size is not None and vocabulary_size > MAX_TOKENS:
        raise ValueError(
            f"the input X of the ONNX model is float32: expected a vocabulary_size of at most "
            f"{MAX_TOKENS}, got {vocabulary_size}"
        )


def model_proto(converted: Converted, name: str) -> Any:
    """The model of a graph, an ``onnx.ModelProto``."""
    from onnx import helper, numpy_helper

    info = helper.make_tensor_value_info
    steps = ("n_timesteps",) if converted.per_step else ()
    inputs = [info("X", FLOAT, ["n_samples", converted.n_features])]
    if not converted.table:
        shape = ["n_samples", "n_timesteps", converted.n_features]
        inputs = [info("X", FLOAT, shape), info("lengths", INT64, ["n_samples"])]
    outputs = [
        info(output.name, output.element_type, ["n_samples", *steps, *output.axes])
        for output in converted.outputs
    ]
    constants = [numpy_helper.from_array(v, k) for k, v in converted.graph.constants.items()]
    nodes = [
        helper.make_node(node.operator, node.inputs, node.outputs, f"{k}_{node.operator}",
                         **node.attributes)
        for k, node in enumerate(converted.graph.nodes)
    ]  # fmt: skip
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    opsets = [helper.make_opsetid("", converted.graph.opset)]
    return helper.make_model(
        graph,
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets),
        producer_name="sklstm",
    )


def check_opset(opset: Any) -> int:
    """The version of the operators; an error if this version of onnx does not know it."""
    from onnx import defs

    newest = defs.onnx_opset_version()
    if not isinstance(opset, int | np.integer) or not MIN_OPSET <= opset <= newest:
        raise ValueError(f"opset: expected an integer from {MIN_OPSET} to {newest}, got {opset!r}")
    return int(opset)
