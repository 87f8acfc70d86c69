"""One LSTM layer, in one direction or both.

Shapes: ``n`` sequences, ``P`` packed rows, ``D`` inputs, ``H`` hidden units; a layer that walks
both ways is 2 H wide, the forward states first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network import kernels
from sklstm._network.hidden import Hidden
from sklstm._network.initializers import input_uniform, lstm_bias, orthogonal
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.parameters import Views

Array = NDArray[np.floating]
#: Hidden and cell state (n, H) of each direction.
State = list[tuple[Array, Array]]
Caches = list["kernels.Cache"]
#: ``map``, perhaps over threads.
Run = Callable[..., Iterable[Any]]


class LSTMLayer(NamedTuple):
    """Shapes and names of a layer; its parameters and activations are handed to each call."""

    name: str
    n_inputs: int
    hidden: int
    bidirectional: bool

    @property
    def directions(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}_reverse") if self.bidirectional else (self.name,)

    @property
    def width(self) -> int:
        return self.hidden * len(self.directions)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for name in self.directions:
            shapes[f"{name}.weight_ih"] = (self.n_inputs, 4 * self.hidden)
            shapes[f"{name}.weight_hh"] = (self.hidden, 4 * self.hidden)
            shapes[f"{name}.bias"] = (4 * self.hidden,)
        return shapes

    def initialize(self, params: Views, rng: np.random.RandomState, forget_bias: float) -> None:
        """By the number of inputs; orthogonal for recurrence; each gate by itself."""
        for name in self.directions:
            for gate in range(4):
                part = slice(gate * self.hidden, (gate + 1) * self.hidden)
                draw = input_uniform(rng, self.n_inputs, self.hidden)
                params[f"{name}.weight_ih"][:, part] = draw
                params[f"{name}.weight_hh"][:, part] = orthogonal(rng, self.hidden)
            params[f"{name}.bias"][...] = lstm_bias(self.hidden, forget_bias)

    def forward(
        self,
        params: Views,
        x: Array,
        walks: tuple[SlotLayout, ...],
        masks: dict[str, Array],
        need_steps: bool = True,
        state: State | None = None,
        run: Run = map,
    ) -> tuple[Hidden, State, Caches]:
        """Hidden states of the packed inputs (P, D), the final state, and the caches to go back.

        ``run`` may walk both directions at once.
        """

        def one_way(k: int, name: str) -> tuple[Array, Array, kernels.Cache]:
            h0, c0 = (None, None) if state is None else state[k]
            mask = masks.get(f"{name}.recurrent")
            return kernels.forward(x, _weights(params, name), walks[k], h0, c0, mask)

        found = list(run(one_way, count(), self.directions))
        finals = [(h[w.final], c[w.final]) for w, (h, c, _) in zip(walks, found, strict=False)]
        steps = None
        if need_steps:
            steps = _join([h[w.outputs] for w, (h, _, _) in zip(walks, found, strict=False)])
        return Hidden(steps, _join([h for h, _ in finals])), finals, [cache for *_, cache in found]

    def infer(
        self,
        params: Views,
        x: Array,
        walks: tuple[SlotLayout, ...],
        need_steps: bool = True,
        state: State | None = None,
        run: Run = map,
    ) -> tuple[Hidden, State]:
        """As ``forward``, without what ``backward`` would need."""
        steps = np.empty((len(x), self.width), x.dtype) if need_steps else None

        def one_way(k: int, name: str) -> tuple[Array, Array]:
            h, c = self._start(walks[k].n_sequences, x.dtype, state, k)
            y = None if steps is None else steps[:, self._part(k)]
            kernels.infer(x, _weights(params, name), walks[k], h, c, y)
            return h, c

        finals = list(run(one_way, count(), self.directions))
        return Hidden(steps, _join([h for h, _ in finals])), finals

    def stepper(
        self, params: Views, n: int, read_out: kernels.OutputWeights | None = None
    ) -> kernels.Stepper:
        """For ``n`` sequences, forward in time, one step at a time."""
        return kernels.stepper(_weights(params, self.name), n, read_out)

    def backward(
        self,
        params: Views,
        gradient: Hidden,
        caches: Caches,
        grad: Views,
        dstate: State | None = None,
        need_inputs: bool = False,
        run: Run = map,
    ) -> tuple[Array | None, State]:
        """Adds to ``grad``; returns the gradients at the inputs and at the state it began with."""

        def one_way(k: int, name: str, cache: kernels.Cache) -> tuple[Array | None, Array, Array]:
            dh, dc = self._start(cache.layout.n_sequences, cache.cells.dtype, dstate, k)
            if gradient.last is not None:
                dh += gradient.last[:, self._part(k)]
            dy = None if gradient.steps is None else gradient.steps[:, self._part(k)]
            weights, into = _weights(params, name), _weights(grad, name)
            dx = kernels.backward(cache, weights, into, dh, dc, dy, need_inputs=need_inputs)
            return dx, dh, dc

        found = list(run(one_way, count(), self.directions, caches))
        dx = found[0][0]
        for more, _, _ in found[1:]:
            dx = more if dx is None or more is None else dx + more
        return dx, [(dh, dc) for _, dh, dc in found]

    def _part(self, k: int) -> slice:
        """The columns of a direction."""
        return slice(k * self.hidden, (k + 1) * self.hidden)

    def _start(
        self, n: int, dtype: np.dtype[np.floating], state: State | None, k: int
    ) -> tuple[Array, Array]:
        """Writable copies of a state, or zeros."""
        if state is None:
            return np.zeros((n, self.hidden), dtype), np.zeros((n, self.hidden), dtype)
        return state[k][0].astype(dtype), state[k][1].astype(dtype)


def _weights(views: Views, name: str) -> kernels.Weights:
    return kernels.Weights(
        *(views[f"{name}.{part}"] for part in ("weight_ih", "weight_hh", "bias"))
    )


def _join(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
