"""The layers in order, over one layout of parameters.

Shapes: ``n`` sequences, ``P`` packed rows, ``K`` outputs.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklstm._network import dense, dropout, pooling
from sklstm._network.hidden import Hidden
from sklstm._network.kernels.walk import Walk
from sklstm._network.lstm import Caches, LSTMLayer
from sklstm._network.parameters import ParameterLayout, Views

Array = NDArray[np.floating]
Masks = dict[str, Array]


class Batch(pooling.Batch, Protocol):
    """What the network asks of a packed batch."""

    @property
    def values(self) -> Array: ...  # (P, n_inputs)
    @property
    def batch_sizes(self) -> NDArray[np.intp]: ...  # sequences that run at each step


class Cache(NamedTuple):
    """What ``backward`` needs; a pickle never sees it."""

    batch: Batch
    masks: Masks
    layers: list[Caches]
    pooling: pooling.Cache | None
    read_out: Array  # what the dense layer saw


class SequenceNetwork:
    """Stacked LSTM layers, a pooling over time and a dense read-out.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Channels of a step, and values of a prediction.
    hidden_layer_sizes : tuple of int
        Units of each LSTM layer and direction.
    bidirectional : bool
        Let a second set of weights walk each layer backward in time.
    pooling : {"last", "mean", "max", "mean_max"} or None
        What the read-out sees of the last layer; None gives one output a step.
    dropout, recurrent_dropout : float
        Rates for each layer's output and for the state that each step reads.
    """

    def __init__(
        self,
        n_inputs: int,
        hidden_layer_sizes: tuple[int, ...],
        n_outputs: int,
        *,
        bidirectional: bool = False,
        pooling: str | None = "last",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        self.pooling = pooling
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.layers: list[LSTMLayer] = []
        width = n_inputs
        for k, hidden in enumerate(hidden_layer_sizes):
            self.layers.append(LSTMLayer(f"lstm_{k}", width, hidden, bidirectional))
            width = self.layers[-1].width
        self.layout = self._layout(width, n_outputs)

    def _layout(self, width: int, n_outputs: int) -> ParameterLayout:
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in self.layers:
            shapes |= layer.shapes()
        seen = width if self.pooling is None else pooling.width(self.pooling, width)
        return ParameterLayout(shapes | dense.shapes(seen, n_outputs))

    def initialize(
        self, rng: np.random.RandomState, dtype: DTypeLike, forget_bias: float
    ) -> NDArray[np.floating]:
        """A flat vector of starting values."""
        flat = np.empty(self.layout.size, dtype)
        params = self.layout.views(flat)
        for layer in self.layers:
            layer.initialize(params, rng, forget_bias)
        dense.initialize(params, rng)
        return flat

    @property
    def stochastic(self) -> bool:
        """Whether training draws masks."""
        return self.dropout > 0 or self.recurrent_dropout > 0

    def draw_masks(self, rng: np.random.RandomState, n: int, dtype: DTypeLike) -> Masks:
        """Masks of ``n`` sequences, a row for each, in the order in which a caller counts them."""
        masks: Masks = {}
        for layer in self.layers:
            if self.recurrent_dropout > 0:
                for name in layer.directions:
                    shape = (n, layer.hidden)
                    mask = dropout.draw_mask(rng, shape, self.recurrent_dropout, dtype)
                    masks[f"{name}.recurrent"] = mask
            if self.dropout > 0:
                mask = dropout.draw_mask(rng, (n, layer.width), self.dropout, dtype)
                masks[f"{layer.name}.output"] = mask
        return masks

    def forward(
        self, params: Views, batch: Batch, masks: Masks | None = None
    ) -> tuple[Array, Cache]:
        """Raw predictions, (n, K) or (P, K) in packed order, and what ``backward`` needs.

        ``masks`` have a row for each sequence of the batch, in packed order.
        """
        masks = masks or {}
        walks = _walks(batch, self.layers[0].bidirectional)
        caches = []
        hidden = Hidden(batch.values, None)
        for layer in self.layers:
            assert hidden.steps is not None
            needed = self._needs_steps or layer is not self.layers[-1]
            hidden, _, cache = layer.forward(params, hidden.steps, walks, masks, needed)
            hidden = _drop(hidden, layer, masks, batch)
            caches.append(cache)
        seen, pooled = self._pool(hidden, batch)
        return dense.forward(params, seen), Cache(batch, masks, caches, pooled, seen)

    def predict(self, params: Views, batch: Batch) -> Array:
        """Raw predictions without dropout, holding no more than one layer's states."""
        hidden = self.hidden_states(params, batch, self._needs_steps)
        return dense.forward(params, self._pool(hidden, batch)[0])

    def hidden_states(self, params: Views, batch: Batch, need_steps: bool = True) -> Hidden:
        """The last layer's states, at every step where they are needed."""
        walks = _walks(batch, self.layers[0].bidirectional)
        hidden = Hidden(batch.values, None)
        for layer in self.layers:
            assert hidden.steps is not None
            needed = need_steps or layer is not self.layers[-1]
            hidden, _ = layer.infer(params, hidden.steps, walks, needed)
        return hidden

    def backward(
        self, params: Views, draw: Array, cache: Cache, grad: Views, need_inputs: bool = False
    ) -> Array | None:
        """Adds the gradients of all parameters to ``grad``; returns that of the inputs.

        ``draw`` is the gradient at the raw predictions, in their shape.
        """
        d = dense.backward(params, cache.read_out, draw, grad)
        gradient = self._unpool(d, cache)
        dx: Array | None = None
        for layer, caches in zip(self.layers[::-1], cache.layers[::-1], strict=True):
            gradient = _drop(gradient, layer, cache.masks, cache.batch)
            first = layer is self.layers[0]
            dx, _ = layer.backward(
                params, gradient, caches, grad, need_inputs=need_inputs or not first
            )
            gradient = Hidden(dx, None)
        return dx

    @property
    def _needs_steps(self) -> bool:
        return self.pooling is None or pooling.needs_steps(self.pooling)

    def _pool(self, hidden: Hidden, batch: Batch) -> tuple[Array, pooling.Cache | None]:
        if self.pooling is None:
            assert hidden.steps is not None
            return hidden.steps, None
        return pooling.forward(self.pooling, hidden, batch)

    def _unpool(self, d: Array, cache: Cache) -> Hidden:
        if self.pooling is None or cache.pooling is None:
            return Hidden(d, None)
        return pooling.backward(self.pooling, d, cache.pooling, cache.batch)


def _walks(batch: Batch, bidirectional: bool) -> tuple[Walk, ...]:
    """One walk for each direction."""
    return tuple(Walk(batch.batch_sizes, reverse) for reverse in (False, True)[: 1 + bidirectional])


def _drop(hidden: Hidden, layer: LSTMLayer, masks: Masks, batch: Batch) -> Hidden:
    mask = masks.get(f"{layer.name}.output")
    return hidden if mask is None else dropout.apply(hidden, mask, batch.row_of)
