"""One LSTM layer, with one or two directions.

Shapes: ``n`` sequences, ``P`` packed rows, ``D`` inputs, ``H`` hidden units. The output of a
bidirectional layer has the width 2 H, with the states of the forward direction first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network import kernels
from sklstm._network.hidden import HiddenStates
from sklstm._network.initializers import input_uniform, lstm_bias, orthogonal
from sklstm._network.kernels.pooled import Pooled
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.parameters import Views

Array = NDArray[np.floating]
#: Hidden and cell state (n, H) of each direction, or gradients at them.
LayerState = list[tuple[Array, Array]]
#: The cache of each direction for the backward pass.
LayerCache = list["kernels.Cache"]
#: ``map``, or a function like it that uses several threads.
MapFunction = Callable[..., Iterable[Any]]


class LSTMLayer(NamedTuple):
    """Shapes and names of a layer, without any arrays: each call is given parameters and states."""

    name: str
    n_inputs: int
    hidden: int
    bidirectional: bool

    @property
    def directions(self) -> tuple[str, ...]:
        """The prefix of the parameters' names in each direction."""
        return (self.name, f"{self.name}_reverse") if self.bidirectional else (self.name,)

    @property
    def width(self) -> int:
        """The number of hidden units of all directions."""
        return self.hidden * len(self.directions)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name in self.directions:
            shapes[f"{name}.weight_ih"] = (self.n_inputs, 4 * self.hidden)
            shapes[f"{name}.weight_hh"] = (self.hidden, 4 * self.hidden)
            shapes[f"{name}.bias"] = (4 * self.hidden,)
        return shapes

    def initialize(self, params: Views, rng: np.random.RandomState, forget_bias: float) -> None:
        """Draw initial weights for each gate separately; recurrent weights are orthogonal."""
        normal = np.empty((4, self.hidden, self.hidden))
        for name in self.directions:
            for gate in range(4):
                part = slice(gate * self.hidden, (gate + 1) * self.hidden)
                draw = input_uniform(rng, self.n_inputs, self.hidden)
                params[f"{name}.weight_ih"][:, part] = draw
                normal[gate] = rng.standard_normal(normal[gate].shape)
            params[f"{name}.weight_hh"][...] = np.concatenate(list(orthogonal(normal)), axis=1)
            params[f"{name}.bias"][...] = lstm_bias(self.hidden, forget_bias)

    def forward(
        self,
        params: Views,
        x: Array,
        layouts: tuple[SlotLayout, ...],
        masks: dict[str, Array],
        need_steps: bool = True,
        state: LayerState | None = None,
        parallel_map: MapFunction = map,
        pooled: Pooled | None = None,
    ) -> tuple[HiddenStates, LayerState, LayerCache]:
        """Return hidden states, the final state, and the cache for the backward pass.

        ``x`` (P, D) are the packed inputs, ``layouts`` has one entry per direction, and ``state``
        is the initial state (None: zero). ``parallel_map`` may compute both directions at the same
        time. The states of all steps are added to ``pooled``.
        """

        def one_direction(k: int, name: str) -> tuple[Array, Array, kernels.Cache]:
            h0, c0 = (None, None) if state is None else state[k]
            mask = masks.get(f"{name}.recurrent")
            part = self._part(pooled, k)
            return kernels.forward(x, _weights(params, name), layouts[k], h0, c0, mask, part)

        results = list(parallel_map(one_direction, count(), self.directions))
        pairs = list(zip(results, layouts, strict=True))
        steps = None
        if need_steps:
            steps = join_directions([h[layout.outputs] for (h, _, _), layout in pairs])
        final = [(h[layout.final], c[layout.final]) for (h, c, _), layout in pairs]
        hidden = HiddenStates(steps, join_directions([h for h, _ in final]), pooled)
        return hidden, final, [cache for _, _, cache in results]

    def infer(
        self,
        params: Views,
        x: Array,
        layouts: tuple[SlotLayout, ...],
        need_steps: bool = True,
        state: LayerState | None = None,
        parallel_map: MapFunction = map,
        pooled: Pooled | None = None,
    ) -> tuple[HiddenStates, LayerState]:
        """Return the same as ``forward``, without a cache; ``pooled`` replaces all steps."""
        assert not need_steps or pooled is None
        steps = np.empty((len(x), self.width), x.dtype) if need_steps else None

        def one_direction(k: int, name: str) -> tuple[Array, Array]:
            h, c = self._copy_state(layouts[k].n_sequences, x.dtype, state, k)
            y = None if steps is None else steps[:, self.columns(k)]
            part = self._part(pooled, k)
            kernels.infer(x, _weights(params, name), layouts[k], h, c, y, part)
            return h, c

        final = list(parallel_map(one_direction, count(), self.directions))
        return HiddenStates(steps, join_directions([h for h, _ in final]), pooled), final

    def stepper(
        self, params: Views, n: int, output_layer: kernels.OutputWeights | None = None
    ) -> kernels.Stepper:
        """Return a stepper that computes one step of ``n`` sequences per call."""
        return kernels.stepper(_weights(params, self.name), n, output_layer)

    def backward(
        self,
        params: Views,
        gradient: HiddenStates,
        cache: LayerCache,
        grad: Views,
        dstate: LayerState | None = None,
        need_inputs: bool = False,
        parallel_map: MapFunction = map,
    ) -> tuple[Array | None, LayerState]:
        """Add the gradients of the parameters to ``grad``.

        Returns the gradients at the inputs and at the initial state. ``gradient`` is the gradient
        at the hidden states, and ``dstate`` at the final state.
        """

        def one_direction(
            k: int, name: str, cache: kernels.Cache
        ) -> tuple[Array | None, Array, Array]:
            dh, dc = self._copy_state(cache.layout.n_sequences, cache.cells.dtype, dstate, k)
            if gradient.last is not None:
                dh += gradient.last[:, self.columns(k)]
            dy = None if gradient.steps is None else gradient.steps[:, self.columns(k)]
            weights, weight_grad = _weights(params, name), _weights(grad, name)
            dpooled = self._part(gradient.pooled, k)
            dx = kernels.backward(
                cache, weights, weight_grad, dh, dc, dy, None, need_inputs, dpooled
            )
            return dx, dh, dc

        results = list(parallel_map(one_direction, count(), self.directions, cache))
        dx = results[0][0]
        for other, _, _ in results[1:]:
            dx = other if dx is None or other is None else dx + other
        return dx, [(dh, dc) for _, dh, dc in results]

    def columns(self, k: int) -> slice:
        """Return the columns of a direction in the output of the layer."""
        return slice(k * self.hidden, (k + 1) * self.hidden)

    def _part(self, pooled: Pooled | None, k: int) -> Pooled | None:
        """Return the columns of a direction, or None if nothing is pooled."""
        if pooled is None or pooled.is_empty:
            return None
        if not self.bidirectional:
            return pooled
        return pooled.part(columns=self.columns(k))

    def weights(self, params: Views) -> kernels.Weights:
        """Return the weights of the forward direction."""
        return _weights(params, self.name)

    def _copy_state(
        self, n: int, dtype: np.dtype[np.floating], state: LayerState | None, k: int
    ) -> tuple[Array, Array]:
        """Return writable copies of the state of a direction; zeros if there is none."""
        if state is None:
            return np.zeros((n, self.hidden), dtype), np.zeros((n, self.hidden), dtype)
        return state[k][0].astype(dtype), state[k][1].astype(dtype)


def join_directions(parts: list[Array]) -> Array:
    """Concatenate the states of all directions."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _weights(views: Views, name: str) -> kernels.Weights:
    return kernels.Weights(
        views[f"{name}.weight_ih"], views[f"{name}.weight_hh"], views[f"{name}.bias"]
    )
