"""Conversion with skl2onnx: of Pipelines with steps of scikit-learn, and registration with it.

skl2onnx calls a parser, which declares the outputs of a step, then a function that sets their
types, and then a converter, which adds the operators. The sequences between two steps are one
variable (n, T) or (n, T, D), followed by their lengths (n,) if these are given.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.base import MetaEstimatorMixin
from sklearn.utils.validation import check_is_fitted

from sklstm._estimators.classifier import LSTMClassifier
from sklstm._estimators.number_targets import NumberTargets
from sklstm._estimators.regressor import LSTMRegressor
from sklstm._estimators.targets import ClassTargets
from sklstm._persistence import PlainState
from sklstm.interop._fitted import describe, is_ours
from sklstm.interop.onnx._graph import BOOL, STRING, Graph, Tensors
from sklstm.interop.onnx._models import check_vocabulary, first_step, form_of, steps_of
from sklstm.interop.onnx._network import add_network
from sklstm.interop.onnx._operators import convert_operator, tensors_of
from sklstm.interop.onnx._outputs import add_outputs, class_constant
from sklstm.interop.onnx._step_rows import register_step_transformer
from sklstm.interop.onnx._steps import (
    add_step,
    convertible_types,
    is_convertible,
    n_features_out,
    returns_table,
)
from sklstm.interop.onnx._voting import is_voting
from sklstm.preprocessing import StepTransformer

#: The names that skl2onnx gives to the outputs of a classifier, and those of our own models.
NAMES = {"label": "output_label", "probabilities": "output_probability"}


def convert_with_skl2onnx(model: Any, opset: int) -> Any:
    """Convert a model that has steps of scikit-learn, and rename its outputs."""
    last = _last(model)
    if not is_ours(last):
        raise TypeError(
            "expected a fitted LSTMClassifier or LSTMRegressor, a Pipeline that ends with one, or "
            f"an ensemble that votes among them, got {_described(model)}"
        )
    for step in steps_of(model):
        known = is_ours(step) or is_convertible(step) or isinstance(step, StepTransformer)
        if isinstance(step, PlainState) and not known:
            raise ValueError(f"{type(step).__name__} cannot be converted to ONNX")
    if find_spec("skl2onnx") is None:
        raise ImportError(
            "the steps of scikit-learn are converted by skl2onnx: pip install skl2onnx"
        )
    import skl2onnx

    register()
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    proto = skl2onnx.to_onnx(
        model, initial_types=_initial_types(model), target_opset=opset, options=options
    )
    _rename_outputs(proto)
    targets = describe(last).form.targets
    if isinstance(targets, NumberTargets) and targets.prediction_shape == ():
        _squeeze_output(proto)
    return proto


def _last(model: Any) -> Any:
    """The estimator at the end of a Pipeline, or within a fitted meta-estimator."""
    last = steps_of(model)[-1]
    if isinstance(last, MetaEstimatorMixin) or is_voting(last):
        check_is_fitted(last)
    if is_voting(last):
        found = [_last(member) for member in last.estimators_]
        return next(filter(is_ours, found), found[0])
    if hasattr(last, "estimator_") and not hasattr(last, "estimators_"):
        return _last(last.estimator_)
    return last


def _described(model: Any) -> str:
    if isinstance(model, type):
        return f"the class {model.__name__}"
    name, last = type(model).__name__, steps_of(model)[-1]
    return name if last is model else f"{name} that ends with {type(last).__name__}"


def _initial_types(model: Any) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    first = first_step(model)
    form = form_of(first)
    if form is None or form.table:
        return [("X", FloatTensorType([None, first.n_features_in_]))]
    return [
        ("X", FloatTensorType([None, None, form.n_features])),
        ("lengths", Int64TensorType([None])),
    ]


def _rename_outputs(proto: Any) -> None:
    """Give the outputs of a classifier the names that models of sklstm alone have."""
    from onnx import helper

    for output in proto.graph.output:
        if output.name in NAMES:
            old, output.name = output.name, NAMES[output.name]
            proto.graph.node.append(helper.make_node("Identity", [old], [output.name]))


def _squeeze_output(proto: Any) -> None:
    """Remove the last axis of the output, which skl2onnx expects of every regressor."""
    from onnx import helper, numpy_helper

    (output,) = proto.graph.output
    column = f"{output.name}_column"
    for node in proto.graph.node:
        node.output[:] = [column if name == output.name else name for name in node.output]
    axes = numpy_helper.from_array(np.array([-1]), f"{column}_axis")
    proto.graph.initializer.append(axes)
    proto.graph.node.append(helper.make_node("Squeeze", [column, axes.name], [output.name]))
    del output.type.tensor_type.shape.dim[-1]


# --- registration ---


def register() -> None:
    """Register the estimators and transformers of sklstm with skl2onnx."""
    from skl2onnx import update_registered_converter

    zipmap = {"zipmap": [True, False, "columns"], "output_class_labels": [False, True]}
    for estimator, options in (
        (LSTMClassifier, {**zipmap, "nocl": [True, False]}),
        (LSTMRegressor, None),
    ):
        update_registered_converter(
            estimator, f"Sklstm{estimator.__name__}", _set_estimator_types, _convert_estimator,
            options=options,
        )  # fmt: skip
    for transformer in convertible_types():
        update_registered_converter(
            transformer, f"Sklstm{transformer.__name__}", _set_step_types, _convert_step,
            parser=_parse_step,
        )  # fmt: skip
    register_step_transformer()


def _parse_step(scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    """Declare the outputs of a transformer: the sequences, and their lengths if these are given."""
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    operator = scope.declare_local_operator(f"Sklstm{type(model).__name__}", model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("variable", FloatTensorType()))
    if len(inputs) > 1:
        operator.outputs.append(scope.declare_local_variable("lengths", Int64TensorType()))
    return list(operator.outputs)


def _set_step_types(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    step, tensors = operator.raw_operator, tensors_of(operator)
    n_features = n_features_out(step, step._form.n_channels)
    table = returns_table(step, tensors.table)
    shape = [None, step.n_features_in_] if table else [None, None, n_features]
    operator.outputs[0].type = FloatTensorType(shape)
    if len(operator.outputs) > 1:
        operator.outputs[1].type = Int64TensorType([None])


def _set_estimator_types(operator: Any) -> None:
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

    form = describe(operator.raw_operator).form
    targets = form.targets
    rows: list[int | None] = [None, None] if form.per_step else [None]
    if isinstance(targets, NumberTargets):
        operator.outputs[0].type = FloatTensorType([*rows, *(targets.prediction_shape or (1,))])
        return
    labels, n_columns = rows, targets.n_outputs
    kind = Int64TensorType
    if isinstance(targets, ClassTargets):
        n_columns = len(targets.classes)
        element_type = class_constant(targets.classes)[1]
        kind = {STRING: StringTensorType, BOOL: BooleanTensorType}.get(element_type, kind)
    else:
        labels = [*rows, n_columns]
    operator.outputs[0].type = kind(labels)
    operator.outputs[1].type = FloatTensorType([*rows, n_columns])


def _convert_step(scope: Any, operator: Any, container: Any) -> None:
    def add(graph: Graph, tensors: Tensors) -> list[str | None]:
        result = add_step(graph, operator.raw_operator, tensors)
        return [result.values, result.lengths]

    convert_operator(scope, operator, container, add)


def _convert_estimator(scope: Any, operator: Any, container: Any) -> None:
    def add(graph: Graph, tensors: Tensors) -> list[str | None]:
        network = describe(operator.raw_operator)
        check_vocabulary(network.form.inputs.vocabulary_size)
        raw = add_network(graph, network, tensors)
        mask = graph.mask(tensors) if network.form.per_step else None
        outputs = add_outputs(graph, network.form, raw, mask, keep_column=True)
        return [output.tensor for output in outputs]

    convert_operator(scope, operator, container, add)
