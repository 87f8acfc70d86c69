"""The layers in order, over one layout of parameters.

Shapes: ``n`` sequences, ``P`` packed rows, ``K`` outputs.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklstm._network import dense, dropout, embedding, pooling
from sklstm._network.hidden import Hidden
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.lstm import Caches, LSTMLayer, Run
from sklstm._network.parameters import ParameterLayout, Views

Array = NDArray[np.floating]
Masks = dict[str, Array]


class Batch(pooling.Batch, Protocol):
    """What the network asks of a packed batch."""

    @property
    def values(self) -> NDArray[Any]: ...  # (P, n_inputs), or tokens (P, 1)
    @property
    def batch_sizes(self) -> NDArray[np.intp]: ...  # sequences that run at each step
    @property
    def lengths(self) -> NDArray[np.intp]: ...  # (n,), falling


class Cache(NamedTuple):
    """What ``backward`` needs; a pickle never sees it."""

    batch: Batch
    masks: Masks
    layers: list[Caches]
    pooled: pooling.Pooled | None
    read_out: Array  # what the dense layer saw


class SequenceNetwork:
    """Stacked LSTM layers, a pooling over time and a dense read-out.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Channels of a step (for tokens, the size of their vectors), and values of a prediction.
    hidden_layer_sizes : tuple of int
        Units of each LSTM layer and direction.
    bidirectional : bool
        Let a second set of weights walk each layer backward in time.
    pooling : {"last", "mean", "max", "mean_max"} or None
        What the read-out sees of the last layer; None gives one output a step.
    dropout, recurrent_dropout : float
        Rates for each layer's output and for the state that each step reads.
    vocabulary_size : int or None
        Where steps are tokens, how many there are.
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
        vocabulary_size: int | None = None,
    ) -> None:
        self.pooling = pooling
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.layers: list[LSTMLayer] = []
        width = n_inputs
        for k, hidden in enumerate(hidden_layer_sizes):
            self.layers.append(LSTMLayer(f"lstm_{k}", width, hidden, bidirectional))
            width = self.layers[-1].width
        shapes = [shape for layer in self.layers for shape in layer.shapes().values()]
        #: How many weights of LSTM layers a step multiplies.
        self.weights_a_step = sum(map(prod, shapes))
        self.embeds = vocabulary_size is not None
        self.layout = self._layout(width, n_outputs, vocabulary_size)

    def _layout(self, width: int, n_outputs: int, vocabulary_size: int | None) -> ParameterLayout:
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in self.layers:
            shapes |= layer.shapes()
        seen = width if self.pooling is None else pooling.width(self.pooling, width)
        shapes |= dense.shapes(seen, n_outputs)
        if vocabulary_size is not None:
            shapes |= embedding.shapes(vocabulary_size, self.layers[0].n_inputs)
        return ParameterLayout(shapes)

    def initialize(
        self, rng: np.random.RandomState, dtype: DTypeLike, forget_bias: float
    ) -> NDArray[np.floating]:
        """A flat vector of starting values."""
        flat = np.empty(self.layout.size, dtype)
        params = self.layout.views(flat)
        for layer in self.layers:
            layer.initialize(params, rng, forget_bias)
        dense.initialize(params, rng)
        if self.embeds:
            embedding.initialize(params, rng)
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
        self, params: Views, batch: Batch, masks: Masks | None = None, run: Run = map
    ) -> tuple[Array, Cache]:
        """Raw predictions, (n, K) or (P, K) in packed order, and what ``backward`` needs.

        ``masks`` have a row for each sequence of the batch, in packed order. ``run`` may walk both
        directions of a layer at once.
        """
        masks = masks or {}
        walks = _walks(batch, self.layers[0].bidirectional)
        caches = []
        hidden = Hidden(self.inputs(params, batch.values), None)
        for layer in self.layers:
            assert hidden.steps is not None
            needed = self.needs_steps or layer is not self.layers[-1]
            hidden, _, cache = layer.forward(params, hidden.steps, walks, masks, needed, run=run)
            hidden = drop(hidden, layer, masks, batch)
            caches.append(cache)
        pooled = self.start_pooling(len(batch.lengths), params)
        seen = self._pool(pooled, hidden, batch)
        return dense.forward(params, seen), Cache(batch, masks, caches, pooled, seen)

    def predict(self, params: Views, batch: Batch, run: Run = map) -> Array:
        """Raw predictions without dropout, holding no more than one layer's states."""
        hidden = self.hidden_states(params, batch, self.needs_steps, run)
        pooled = self.start_pooling(len(batch.lengths), params, winners=False)
        return dense.forward(params, self._pool(pooled, hidden, batch))

    def hidden_states(
        self, params: Views, batch: Batch, need_steps: bool = True, run: Run = map
    ) -> Hidden:
        """The last layer's states, at every step where they are needed."""
        walks = _walks(batch, self.layers[0].bidirectional)
        hidden = Hidden(self.inputs(params, batch.values), None)
        for layer in self.layers:
            assert hidden.steps is not None
            needed = need_steps or layer is not self.layers[-1]
            hidden, _ = layer.infer(params, hidden.steps, walks, needed, run=run)
        return hidden

    def backward(
        self,
        params: Views,
        draw: Array,
        cache: Cache,
        grad: Views,
        need_inputs: bool = False,
        run: Run = map,
    ) -> Array | None:
        """Adds the gradients of all parameters to ``grad``; returns that of the inputs.

        ``draw`` is the gradient at the raw predictions, in their shape. The inputs are what the
        first LSTM layer sees: of tokens, their vectors.
        """
        gradient = self._unpool(dense.backward(params, cache.read_out, draw, grad), cache)
        dx: Array | None = None
        for layer, caches in zip(self.layers[::-1], cache.layers[::-1], strict=True):
            gradient = drop(gradient, layer, cache.masks, cache.batch)
            needed = need_inputs or self.embeds or layer is not self.layers[0]
            dx, _ = layer.backward(params, gradient, caches, grad, None, needed, run)
            gradient = Hidden(dx, None)
        if self.embeds and dx is not None:
            embedding.backward(cache.batch.values, dx, grad)
        return dx

    @property
    def needs_steps(self) -> bool:
        """Whether the read-out sees the last layer's states at every step."""
        return self.pooling is None or pooling.needs_steps(self.pooling)

    def inputs(self, params: Views, values: NDArray[Any]) -> Array:
        """What the first LSTM layer sees, (P, n_inputs)."""
        return embedding.forward(params, values) if self.embeds else values

    def start_pooling(self, n: int, params: Views, winners: bool = True) -> pooling.Pooled | None:
        """Nothing pooled yet of ``n`` sequences; None where each step is read out by itself."""
        if self.pooling is None:
            return None
        dtype = params[f"{dense.NAME}.bias"].dtype
        return pooling.start(self.pooling, n, self.layers[-1].width, dtype, winners)

    def _pool(self, pooled: pooling.Pooled | None, hidden: Hidden, batch: Batch) -> Array:
        if self.pooling is None or pooled is None:
            assert hidden.steps is not None
            return hidden.steps
        if hidden.steps is not None:
            pooling.add(pooled, hidden.steps, batch)
        return pooling.finish(self.pooling, pooled, hidden.last, batch.lengths)

    def _unpool(self, d: Array, cache: Cache) -> Hidden:
        if self.pooling is None or cache.pooled is None:
            return Hidden(d, None)
        return pooling.backward(self.pooling, d, cache.pooled, cache.batch, cache.batch.lengths)


def drop(hidden: Hidden, layer: LSTMLayer, masks: Masks, batch: Batch) -> Hidden:
    """A layer's output, or the gradient at it, times its mask."""
    mask = masks.get(f"{layer.name}.output")
    return hidden if mask is None else dropout.apply(hidden, mask, batch.row_of)


def _walks(batch: Batch, bidirectional: bool) -> tuple[SlotLayout, ...]:
    """One walk for each direction."""
    return tuple(
        SlotLayout(batch.batch_sizes, reverse) for reverse in (False, True)[: 1 + bidirectional]
    )
