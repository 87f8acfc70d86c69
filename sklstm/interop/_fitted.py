"""What other libraries need to know of a fitted estimator: arrays, and the form of the data.

Shapes: ``D`` inputs of a layer, ``H`` hidden units, ``K`` outputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.base import BaseLSTM
from sklstm._estimators.reading import DataForm
from sklstm._network.lstm import LSTMLayer
from sklstm._network.parameters import Views

Array = NDArray[np.floating]


class Direction(NamedTuple):
    """The weights of one direction of a layer, with sklstm's order of the gates."""

    weight_ih: Array  # (D, 4 H)
    weight_hh: Array  # (H, 4 H)
    bias: Array  # (4 H,)

    @property
    def hidden(self) -> int:
        """The number of hidden units."""
        return len(self.weight_hh)


class FittedNetwork(NamedTuple):
    """The arrays of a fitted estimator, and the form of its data."""

    form: DataForm
    layers: tuple[tuple[Direction, ...], ...]
    dense_weight: Array  # (pooled width, K)
    dense_bias: Array  # (K,)
    embedding: Array | None
    pooling: str | None  # None: a prediction for each step
    input_mean: NDArray[np.float64] | None = None  # (D,), None: inputs are not scaled
    input_scale: NDArray[np.float64] | None = None

    @property
    def table(self) -> bool:
        """Whether the estimator was fitted on a 2-D array."""
        return self.form.inputs.table


def is_ours(estimator: Any) -> bool:
    """Whether the estimator is an LSTMClassifier or an LSTMRegressor."""
    return isinstance(estimator, BaseLSTM)


def describe(estimator: Any) -> FittedNetwork:
    """Return the arrays of a fitted estimator.

    Raises
    ------
    TypeError
        If it is no LSTMClassifier or LSTMRegressor.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    """
    if not is_ours(estimator):
        raise TypeError(
            "expected a fitted LSTMClassifier or LSTMRegressor, got an object of type "
            f"{type(estimator).__name__}"
        )
    model = estimator._fitted_model()
    views: Views = model.views
    scaling = model.form.scaling
    return FittedNetwork(
        form=model.form,
        layers=tuple(_directions(views, layer) for layer in model.network.layers),
        dense_weight=views["dense.weight"],
        dense_bias=views["dense.bias"],
        embedding=views.get("embedding.weight"),
        pooling=model.network.pooling,
        input_mean=None if scaling is None else scaling.mean,
        input_scale=None if scaling is None else scaling.scale,
    )


def _directions(views: Views, layer: LSTMLayer) -> tuple[Direction, ...]:
    return tuple(
        Direction(*(views[f"{name}.{part}"] for part in ("weight_ih", "weight_hh", "bias")))
        for name in layer.directions
    )
