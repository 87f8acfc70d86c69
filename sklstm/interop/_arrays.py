"""Networks as arrays for other libraries, and estimators made of such arrays.

Shapes: ``D`` inputs of a layer, ``H`` hidden units, ``W`` the width of the pooled states, ``K``
outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from sklstm._estimators.classifier import LSTMClassifier
from sklstm._estimators.model import FittedModel
from sklstm._estimators.number_targets import NumberTargets, rescale_output
from sklstm._estimators.parameters import own_generator
from sklstm._estimators.reading import DataForm
from sklstm._estimators.targets import ClassTargets, LabelTargets, Targets
from sklstm._network import pooling
from sklstm._network.network import SequenceNetwork
from sklstm._training.state import TrainingState
from sklstm.interop._fitted import Direction, FittedNetwork, describe, is_ours
from sklstm.sequences._input_form import InputForm

Array = NDArray[Any]


class Arrays(NamedTuple):
    """The arrays of a network, in sklstm's layout and order of gates."""

    layers: Sequence[Sequence[Direction]]
    dense_weight: Array  # (W, K)
    dense_bias: Array  # (K,)
    embedding: Array | None = None  # (vocabulary, embedding size)


# --- from an estimator ---


def plain_arrays(estimator: Any) -> Arrays:
    """The arrays of a plain network for raw inputs, whose outputs are those of the estimator.

    The outputs are logits or, of a regressor, predictions before the link function: the scaling of
    inputs and targets is part of the first and the last weights.
    """
    network = describe(estimator)
    dtype = network.dense_weight.dtype
    first, *others = network.layers
    weight, bias = _in_units(network)
    return Arrays(
        [[_for_raw_inputs(network, direction) for direction in first], *others],
        weight.astype(dtype),
        bias.astype(dtype),
        network.embedding,
    )


def _for_raw_inputs(network: FittedNetwork, direction: Direction) -> Direction:
    if network.input_mean is None or network.input_scale is None:
        return direction
    dtype = direction.bias.dtype
    weight = direction.weight_ih / network.input_scale[:, None]
    bias = direction.bias - network.input_mean @ weight
    return direction._replace(weight_ih=weight.astype(dtype), bias=bias.astype(dtype))


def _in_units(network: FittedNetwork) -> tuple[Array, Array]:
    """The output layer, with the units of the targets as part of it."""
    targets: Any = network.form.targets
    weight, bias = (x.astype(np.float64) for x in (network.dense_weight, network.dense_bias))
    if isinstance(targets, NumberTargets):
        rescale_output(targets, _without_units(targets), weight, bias)
    return weight, bias


def _without_units(targets: NumberTargets) -> NumberTargets:
    return targets.with_units(np.zeros(targets.n_outputs), np.ones(targets.n_outputs))


# --- to an estimator ---


def fitted(estimator: Any, arrays: Arrays, classes: Any, multilabel: bool) -> Any:
    """A copy of an estimator, fitted: its network has these arrays.

    Its parameters that the arrays determine are set to what they have.
    """
    if not is_ours(estimator):
        raise TypeError(
            "estimator: expected an LSTMClassifier or LSTMRegressor, got an object of type "
            f"{type(estimator).__name__}"
        )
    check_shapes(arrays)
    arrays = _with_one_logit(arrays, classes, multilabel, estimator)
    first, vectors = arrays.layers[0][0], arrays.embedding
    estimator = clone(estimator).set_params(
        hidden_layer_sizes=tuple(layer[0].hidden for layer in arrays.layers),
        bidirectional=len(arrays.layers[0]) == 2,
        vocabulary_size=None if vectors is None else len(vectors),
        **({} if vectors is None else {"embedding_size": vectors.shape[1]}),
    )
    estimator._validate_params()
    dtype = np.dtype(estimator.dtype or np.result_type(np.float32, *_all_arrays(arrays)))
    n_features = len(first.weight_ih) if vectors is None else 1
    form = DataForm(
        inputs=InputForm(False, n_features, None, estimator.vocabulary_size),
        targets=_targets(estimator, arrays, classes, multilabel, dtype),
        per_step=estimator.return_sequences,
        y_form="array",
        dtype=dtype,
    )
    network = estimator._new_network(form)
    _check_width(arrays, network)
    state = TrainingState(_flat(network, arrays, dtype), own_generator(estimator.random_state))
    estimator._set_model(FittedModel(form, network, state))
    return estimator


def check_shapes(arrays: Arrays) -> None:
    """Raise an error unless each layer reads what the one before it returns."""
    n_directions = len(arrays.layers[0])
    width = arrays.layers[0][0].weight_ih.shape[0]
    if arrays.embedding is not None:
        width = arrays.embedding.shape[1]
    for k, layer in enumerate(arrays.layers):
        if len(layer) != n_directions:
            raise ValueError(
                f"layer {k}: expected {n_directions} direction(s) as in layer 0, got {len(layer)}"
            )
        hidden = layer[0].weight_ih.shape[1] // 4
        for direction in layer:
            _check_direction(direction, k, width, hidden)
        width = hidden * n_directions
    n_outputs = arrays.dense_weight.shape[1]
    if arrays.dense_bias.shape != (n_outputs,):
        raise ValueError(
            f"output layer: expected bias of {n_outputs} value(s), got {len(arrays.dense_bias)}"
        )


def _check_direction(direction: Direction, layer: int, width: int, hidden: int) -> None:
    shapes = (width, 4 * hidden), (hidden, 4 * hidden), (4 * hidden,)
    for name, array, shape in zip(Direction._fields, direction, shapes, strict=True):
        if array.shape != shape:
            raise ValueError(
                f"layer {layer}: expected {name} of shape {shape} in sklstm's layout, got "
                f"{array.shape}"
            )


def _all_arrays(arrays: Arrays) -> list[Array]:
    parts = [part for layer in arrays.layers for direction in layer for part in direction]
    last = [arrays.dense_weight, arrays.dense_bias]
    return [*parts, *last, *([] if arrays.embedding is None else [arrays.embedding])]


def _with_one_logit(arrays: Arrays, classes: Any, multilabel: bool, estimator: Any) -> Arrays:
    """Two logits of two classes as their difference, which has the same probabilities."""
    two = len(arrays.dense_bias) == 2 and (classes is None or len(classes) == 2)
    if multilabel or not two or not isinstance(estimator, LSTMClassifier):
        return arrays
    weight = np.diff(arrays.dense_weight, axis=1)
    return arrays._replace(dense_weight=weight, dense_bias=np.diff(arrays.dense_bias))


def _targets(
    estimator: Any, arrays: Arrays, classes: Any, multilabel: bool, dtype: np.dtype[Any]
) -> Targets:
    n_outputs = len(arrays.dense_bias)
    if isinstance(estimator, LSTMClassifier):
        if multilabel:
            return LabelTargets(n_outputs, estimator.class_weight)
        return _class_targets(estimator, n_outputs, classes)
    if classes is not None or multilabel:
        raise ValueError("classes and multilabel: expected neither of them for an LSTMRegressor")
    # A list of quantiles, or a mean with its deviation, are several outputs for each target.
    n_raw = NumberTargets.of(np.zeros(1, dtype), estimator).n_raw
    if n_outputs % n_raw:
        raise ValueError(f"output layer: expected a multiple of {n_raw} outputs, got {n_outputs}")
    shape = () if n_outputs == n_raw else (n_outputs // n_raw,)
    return _without_units(NumberTargets.of(np.zeros((1, *shape), dtype), estimator))


def _class_targets(estimator: Any, n_outputs: int, classes: Any) -> ClassTargets:
    n_classes = max(n_outputs, 2)
    labels = np.arange(n_classes) if classes is None else np.asarray(classes)
    if labels.shape != (n_classes,) or not np.array_equal(np.unique(labels), labels):
        raise ValueError(
            f"classes: expected {n_classes} different labels in sorted order, one for each output, "
            f"got {classes!r}"
        )
    return ClassTargets(labels, estimator.class_weight)


def _check_width(arrays: Arrays, network: SequenceNetwork) -> None:
    width, kind = network.layers[-1].width, network.pooling
    expected = width if kind is None else pooling.width(kind, width)
    if len(arrays.dense_weight) != expected:
        raise ValueError(
            f"the output layer reads {len(arrays.dense_weight)} values, and pooling={kind!r} "
            f"returns {expected}; set pooling to what the network uses"
        )


def _flat(network: SequenceNetwork, arrays: Arrays, dtype: np.dtype[Any]) -> Array:
    """The flat vector of parameters."""
    flat = np.empty(network.layout.size, dtype)
    views = network.layout.views(flat)
    for layer, directions in zip(network.layers, arrays.layers, strict=True):
        for name, direction in zip(layer.directions, directions, strict=True):
            for part, array in zip(Direction._fields, direction, strict=True):
                views[f"{name}.{part}"][...] = array
    views["dense.weight"][...], views["dense.bias"][...] = arrays.dense_weight, arrays.dense_bias
    if arrays.embedding is not None:
        views["embedding.weight"][...] = arrays.embedding
    return flat


def as_array(value: Any, name: str, ndim: int) -> Array:
    """An array or a tensor of another library as an array of floats."""
    for method in ("detach", "cpu"):  # of a tensor that is part of a graph, or on a device
        value = getattr(value, method)() if hasattr(value, method) else value
    try:
        array = np.asarray(value)
    except (TypeError, RuntimeError) as error:
        kind = type(value).__name__
        raise ValueError(f"{name}: expected an array of floats, got {kind}: {error}") from error
    if array.dtype.kind != "f" or array.ndim != ndim:
        raise ValueError(
            f"{name}: expected an array of floats with {ndim} axes, got dtype {array.dtype} and "
            f"shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite weights, got NaN or infinity")
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)
