"""VotingClassifier and VotingRegressor of scikit-learn as ONNX operators.

Shapes: ``n`` sequences, ``K`` classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sklstm.interop.onnx._graph import FLOAT, Graph
from sklstm.interop.onnx._outputs import Output, class_constant


def is_voting(model: Any) -> bool:
    """Whether the model averages the predictions of others, or counts their votes."""
    from sklearn.ensemble import VotingClassifier, VotingRegressor

    return isinstance(model, VotingClassifier | VotingRegressor)


def check_voting(model: Any) -> None:
    """Raise an error unless the model averages."""
    if getattr(model, "voting", "soft") != "soft":
        raise ValueError(
            f"{type(model).__name__} with voting={model.voting!r} cannot be converted to ONNX: "
            'expected voting="soft", the average of the probabilities'
        )


def add_average(graph: Graph, model: Any, members: list[list[Output]]) -> list[Output]:
    """Add the weighted average of the outputs of the fitted members."""
    by_name = [{output.name: output for output in outputs} for outputs in members]
    if "variable" in by_name[0]:
        outputs = [found["variable"] for found in by_name]
        if any(output.axes != () for output in outputs):
            raise ValueError(
                f"{type(model).__name__} cannot be converted to ONNX: expected estimators that "
                "predict one number for each sample"
            )
        return [Output("variable", _average(graph, model, outputs), FLOAT, ())]
    probability = _average(graph, model, [found["output_probability"] for found in by_name])
    classes, element_type = class_constant(model.classes_)
    code = graph.add("ArgMax", probability, axis=-1, keepdims=0)
    label = graph.add("Gather", graph.constant(classes, name="classes"), code, axis=0)
    return [
        Output("output_label", label, element_type, ()),
        Output("output_probability", probability, FLOAT, (len(classes),)),
    ]


def _average(graph: Graph, model: Any, outputs: list[Output]) -> str:
    """The average of tensors of the same shape, (n,) or (n, K)."""
    weights = np.ones(len(outputs))
    if model.weights is not None:
        given = zip(model.estimators, model.weights, strict=True)
        weights = np.array([weight for (_, member), weight in given if member != "drop"], float)
    parts = [
        graph.add("Mul", output.tensor, graph.constant(weight, np.float32, "weight"))
        for output, weight in zip(outputs, weights / weights.sum(), strict=True)
    ]
    return graph.add("Sum", *parts)
