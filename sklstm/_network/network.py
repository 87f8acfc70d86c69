"""The network: embedding, LSTM layers, pooling and output layer, with one layout of parameters.

Shapes: ``n`` sequences, ``P`` packed rows, ``K`` outputs.
"""

from __future__ import annotations

from copy import copy
from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklstm._network import dense, dropout, embedding, pooling
from sklstm._network.hidden import HiddenStates
from sklstm._network.kernels.limits import InputTooLargeError, all_accepted, largest_input
from sklstm._network.kernels.pooled import Pooled
from sklstm._network.kernels.slots import SlotLayout, slot_layout
from sklstm._network.lstm import LayerCache, LSTMLayer, MapFunction
from sklstm._network.parameters import ParameterLayout, Views

Array = NDArray[np.floating]
#: Dropout masks by name, with one row for each sequence.
Masks = dict[str, Array]


class Batch(Protocol):
    """The attributes of a packed batch that the network uses."""

    @property
    def row_of(self) -> NDArray[np.intp]: ...  # (P,), the sequence of each packed row
    @property
    def values(self) -> NDArray[Any]: ...  # (P, n_inputs), or tokens (P, 1)
    @property
    def batch_sizes(self) -> NDArray[np.intp]: ...  # (n_steps,), number of sequences at each step
    @property
    def lengths(self) -> NDArray[np.intp]: ...  # (n,), longest first


class NetworkCache(NamedTuple):
    """Values of a forward pass that the backward pass needs."""

    batch: Batch
    masks: Masks
    layers: list[LayerCache]
    pooled_states: Array  # the input of the output layer


class SequenceNetwork:
    """Stacked LSTM layers, a pooling over time and an output layer.

    The network holds no parameters: each call is given views of a flat vector.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Number of features of a step (for tokens, the embedding dimension), and number of values of
        a prediction.
    hidden_layer_sizes : tuple of int
        Number of hidden units of each LSTM layer, in each direction.
    bidirectional : bool
        Add a second LSTM to each layer that reads the sequences in reverse.
    pooling : {"last", "mean", "max", "mean_max"} or None
        Pooling of the last layer's hidden states; with None, each step has its own prediction.
    dropout, recurrent_dropout : float
        Dropout rates of each layer's output and of the hidden state that each step reads.
    vocabulary_size : int or None
        Number of different tokens, if the steps are tokens.
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
        self.n_inputs = int(n_inputs)
        self.hidden_layer_sizes = tuple(int(size) for size in hidden_layer_sizes)
        self.n_outputs = int(n_outputs)
        self.bidirectional = bool(bidirectional)
        self.pooling = None if pooling is None else str(pooling)
        self.dropout = float(dropout)
        self.recurrent_dropout = float(recurrent_dropout)
        self.vocabulary_size = None if vocabulary_size is None else int(vocabulary_size)
        self.layers: list[LSTMLayer] = []
        width = self.n_inputs
        for k, hidden in enumerate(self.hidden_layer_sizes):
            self.layers.append(LSTMLayer(f"lstm_{k}", width, hidden, self.bidirectional))
            width = self.layers[-1].width
        shapes = [shape for layer in self.layers for shape in layer.shapes().values()]
        #: Number of weights of the LSTM layers that each step multiplies.
        self.weights_per_step = sum(map(prod, shapes))
        self.embeds = self.vocabulary_size is not None
        self.layout = self._layout()

    def settings(self) -> dict[str, Any]:
        """Return the arguments of the constructor: ``SequenceNetwork(**settings)`` is equal.

        Values are None, bool, int, float, str or a tuple of int, so that any format can store them.
        """
        return {
            "n_inputs": self.n_inputs,
            "hidden_layer_sizes": self.hidden_layer_sizes,
            "n_outputs": self.n_outputs,
            "bidirectional": self.bidirectional,
            "pooling": self.pooling,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "vocabulary_size": self.vocabulary_size,
        }

    def with_vocabulary(self, size: int) -> SequenceNetwork:
        """Return the network for another number of tokens."""
        network = copy(self)
        network.vocabulary_size, network.layout = size, self.layout.with_rows(size)
        return network

    def _layout(self) -> ParameterLayout:
        """Return the parameters of all layers in their order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in self.layers:
            shapes |= layer.shapes()
        width = self.layers[-1].width
        n_pooled = width if self.pooling is None else pooling.width(self.pooling, width)
        shapes |= dense.shapes(n_pooled, self.n_outputs)
        if self.vocabulary_size is not None:
            shapes |= embedding.shapes(self.vocabulary_size, self.n_inputs)
        return ParameterLayout(shapes)

    def initialize(
        self, rng: np.random.RandomState, dtype: DTypeLike, forget_bias: float
    ) -> NDArray[np.floating]:
        """Return a flat vector of initial weights."""
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
        """Whether training draws dropout masks."""
        return self.dropout > 0 or self.recurrent_dropout > 0

    def draw_masks(self, rng: np.random.RandomState, n: int, dtype: DTypeLike) -> Masks:
        """Draw the dropout masks of ``n`` sequences, in the order of the caller."""
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
        self,
        params: Views,
        batch: Batch,
        masks: Masks | None = None,
        parallel_map: MapFunction = map,
    ) -> tuple[Array, NetworkCache]:
        """Return raw predictions, (n, K) or (P, K) in packed order, and the cache for ``backward``.

        ``masks`` have one row for each sequence of the batch, in packed order. ``parallel_map``
        may compute both directions of a layer at the same time.
        """
        masks = masks or {}
        layouts = _layouts(batch, self.layers[0].bidirectional)
        caches = []
        hidden = HiddenStates(self.inputs(params, batch.values))
        pooled = self.initial_pooled(len(batch.lengths), params)
        for layer in self.layers:
            assert hidden.steps is not None
            added_to = pooled if layer is self.layers[-1] else None
            hidden, _, cache = layer.forward(
                params,
                hidden.steps,
                layouts,
                masks,
                need_steps=added_to is None,
                parallel_map=parallel_map,
                pooled=added_to,
            )
            hidden = drop(hidden, layer, masks, batch)
            caches.append(cache)
        states = self._pool(hidden, batch)
        return dense.forward(params, states), NetworkCache(batch, masks, caches, states)

    def predict(self, params: Views, batch: Batch, parallel_map: MapFunction = map) -> Array:
        """Return raw predictions without dropout, and keep the states of one layer at a time."""
        pooled = self.initial_pooled(len(batch.lengths), params)
        hidden = self.hidden_states(params, batch, pooled, parallel_map)
        return dense.forward(params, self._pool(hidden, batch))

    def hidden_states(
        self,
        params: Views,
        batch: Batch,
        pooled: Pooled | None = None,
        parallel_map: MapFunction = map,
    ) -> HiddenStates:
        """Return the hidden states of the last layer.

        Those of each step are added to ``pooled`` or, without it, returned.
        """
        layouts = _layouts(batch, self.layers[0].bidirectional)
        hidden = HiddenStates(self.inputs(params, batch.values))
        for layer in self.layers:
            assert hidden.steps is not None
            added_to = pooled if layer is self.layers[-1] else None
            hidden, _ = layer.infer(
                params,
                hidden.steps,
                layouts,
                need_steps=added_to is None,
                parallel_map=parallel_map,
                pooled=added_to,
            )
        return hidden

    def backward(
        self,
        params: Views,
        draw: Array,
        cache: NetworkCache,
        grad: Views,
        need_inputs: bool = False,
        parallel_map: MapFunction = map,
    ) -> Array | None:
        """Add the gradients of all parameters to ``grad``, and return the gradient at the inputs.

        ``draw`` is the gradient at the raw predictions. The inputs are those of the first LSTM
        layer: for tokens, their vectors.
        """
        d = dense.backward(params, cache.pooled_states, draw, grad)
        needed = need_inputs or self.embeds
        dx = self._backward_layers(params, d, cache, grad, needed, parallel_map)
        if self.embeds and dx is not None:
            embedding.backward(cache.batch.values, dx, grad)
        return dx

    def input_gradients(
        self, params: Views, draw: Array, cache: NetworkCache, parallel_map: MapFunction = map
    ) -> Array:
        """Return the gradient at the inputs of the first LSTM layer."""
        d = dense.gradient_at_inputs(params, draw)
        unused = self.unused_gradients(params)
        dx = self._backward_layers(params, d, cache, unused, True, parallel_map)
        assert dx is not None
        return dx

    def unused_gradients(self, params: Views) -> Views:
        """Return arrays for gradients of the LSTM layers that are computed, but not used."""
        names = [name for layer in self.layers for name in layer.shapes()]
        return {name: np.zeros_like(params[name]) for name in names}

    def _backward_layers(
        self,
        params: Views,
        d: Array,
        cache: NetworkCache,
        grad: Views,
        need_inputs: bool,
        parallel_map: MapFunction,
    ) -> Array | None:
        """Compute the backward pass of the LSTM layers; ``d`` is the gradient after the pooling."""
        gradient = self._unpool(d, cache)
        dx: Array | None = None
        for layer, layer_cache in zip(self.layers[::-1], cache.layers[::-1], strict=True):
            gradient = drop(gradient, layer, cache.masks, cache.batch)
            needed = need_inputs or layer is not self.layers[0]
            dx, _ = layer.backward(params, gradient, layer_cache, grad, None, needed, parallel_map)
            gradient = HiddenStates(dx)
        return dx

    def inputs(self, params: Views, values: NDArray[Any]) -> Array:
        """Return the input of the first LSTM layer, (P, n_inputs).

        Raises InputTooLargeError if a value is beyond `limits.largest_input`.
        """
        if self.embeds:
            return embedding.forward(params, values)
        if not all_accepted(values):
            limit = largest_input(values.dtype)
            raise InputTooLargeError(f"expected inputs of at most {limit:.2g} in absolute value")
        return values

    def initial_pooled(self, n: int, params: Views, need_argmax: bool = False) -> Pooled | None:
        """Return the pooled states of ``n`` sequences before the first step, or None."""
        if self.pooling is None:
            return None
        dtype = params[f"{dense.NAME}.bias"].dtype
        return pooling.initial(self.pooling, n, self.layers[-1].width, dtype, need_argmax)

    def _pool(self, hidden: HiddenStates, batch: Batch) -> Array:
        """Return the input of the output layer."""
        if self.pooling is None or hidden.pooled is None:
            assert hidden.steps is not None
            return hidden.steps
        return pooling.finish(self.pooling, hidden.pooled, hidden.last, batch.lengths)

    def _unpool(self, d: Array, cache: NetworkCache) -> HiddenStates:
        """Return the gradient at the last layer's hidden states."""
        if self.pooling is None:
            return HiddenStates(d)
        return pooling.backward(self.pooling, d, cache.batch.lengths)


def drop(hidden: HiddenStates, layer: LSTMLayer, masks: Masks, batch: Batch) -> HiddenStates:
    """Multiply the output of a layer, or the gradient at it, by its dropout mask."""
    mask = masks.get(f"{layer.name}.output")
    return hidden if mask is None else dropout.apply(hidden, mask, batch.row_of)


def _layouts(batch: Batch, bidirectional: bool) -> tuple[SlotLayout, ...]:
    """Return the slot layout of each direction."""
    directions = (False, True) if bidirectional else (False,)
    return tuple([slot_layout(batch.batch_sizes, reverse) for reverse in directions])
