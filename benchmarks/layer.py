"""An LSTM layer of sklstm, used as in the estimators.

A batch is split into shards for training and into chunks for prediction, which run in threads.
Each timed call includes packing the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from kernels import using
from problem import Problem, Results

from sklstm._network import costs
from sklstm._network.hidden import HiddenStates
from sklstm._network.kernels.arenas import ArenaPool
from sklstm._network.kernels.slots import SlotLayout, slot_layout
from sklstm._network.lstm import LSTMLayer
from sklstm._network.parameters import ParameterLayout
from sklstm._threads import ParallelMap, serial_map
from sklstm._training.prediction import size_of
from sklstm.sequences import PackedSequences, Sequences


class Layer:
    """One LSTM layer of sklstm with methods to be timed."""

    def __init__(self, problem: Problem, parallel_map: ParallelMap, kernels: str) -> None:
        shape = problem.shape
        self.name = f"sklstm {kernels}"
        self._kernels = kernels
        self._layer = LSTMLayer("lstm", shape.inputs, shape.hidden, bidirectional=False)
        self._layout = ParameterLayout(self._layer.shapes())
        self._params = self._layout.views(np.empty(self._layout.size, np.float32))
        for name in ("weight_ih", "weight_hh", "bias"):
            self._params[f"lstm.{name}"][...] = getattr(problem, name)
        self._valid = np.arange(shape.steps) < problem.lengths[:, None]
        self._sequences = Sequences(problem.x[self._valid], problem.lengths, "list")
        self._parallel_map, self._arenas = parallel_map, ArenaPool(max_bytes=2**27)
        self._network = problem.network
        with using(kernels):
            self._upstream = self._packed_upstream(problem.dy[self._valid])

    def train(self) -> np.ndarray:
        """Run the forward and backward pass, and return the flat gradient of all weights."""
        return self._train(self._train_in_arena)[0]

    def _train(self, train_shard: Any) -> tuple[np.ndarray, list[Any]]:
        """Return the gradient, and all results of each shard."""
        with using(self._kernels):
            shards = costs.shards(self._network, self._sequences.lengths)
            parallel_map = self._where_it_pays(len(shards))
            parts = list(parallel_map(train_shard, shards, self._upstream))
        gradient = parts[0][0]
        for more, *_ in parts[1:]:
            gradient += more
        return gradient, parts

    def infer(self) -> list[tuple[PackedSequences, HiddenStates]]:
        """Return the hidden states of all steps and of the end of each sequence, by chunk."""
        with using(self._kernels):
            indices = costs.chunks(self._network, size_of(self._sequences))
            return list(self._where_it_pays(len(indices))(self._infer_chunk, indices))

    def _where_it_pays(self, n_parts: int) -> ParallelMap:
        pays = costs.threads_pay(self._network, size_of(self._sequences), n_parts)
        return self._parallel_map if pays else serial_map

    def results(self) -> Results:
        with using(self._kernels):
            return self._results()

    def _results(self) -> Results:
        gradient, parts = self._train(self._train_shard)
        views = self._layout.views(gradient)
        results = {f"gradient of {name[5:]}": view for name, view in views.items()}
        batches, hiddens, dxs = zip(*(part[1:] for part in parts), strict=True)
        indices = costs.shards(self._network, self._sequences.lengths)
        results |= self._outputs(indices, batches, hiddens, "training ")
        results["gradient of inputs"] = self._in_order(indices, batches, dxs)
        batches, hiddens = zip(*self.infer(), strict=True)
        return results | self._outputs(
            costs.chunks(self._network, size_of(self._sequences)), batches, hiddens, "inference "
        )

    def _packed_upstream(self, dy: np.ndarray) -> list[HiddenStates]:
        """Pack the gradients of the outputs; in a network they are already packed."""
        upstream = Sequences(dy, self._sequences.lengths, "list")
        shards = costs.shards(self._network, self._sequences.lengths)
        return [HiddenStates(upstream.pack(indices).values, None) for indices in shards]

    def _train_shard(self, indices: np.ndarray, upstream: HiddenStates) -> tuple[Any, ...]:
        batch = self._sequences.pack(indices)
        gradient = np.zeros(self._layout.size, np.float32)
        views = self._layout.views(gradient)
        hidden, _, cache = self._layer.forward(self._params, batch.values, _layouts(batch), {})
        dx, _ = self._layer.backward(self._params, upstream, cache, views, need_inputs=True)
        return gradient, batch, hidden, dx

    def _train_in_arena(self, indices: np.ndarray, upstream: HiddenStates) -> tuple[Any, ...]:
        """Train with scratch memory, as in the estimators; only the gradient is valid later."""
        with self._arenas.borrow():
            return self._train_shard(indices, upstream)

    def _infer_chunk(self, indices: np.ndarray) -> tuple[PackedSequences, HiddenStates]:
        batch = self._sequences.pack(indices)
        return batch, self._layer.infer(self._params, batch.values, _layouts(batch))[0]

    def _outputs(self, indices: Any, batches: Any, hiddens: Any, prefix: str) -> Results:
        last = np.empty((len(self._sequences), self._layer.hidden), np.float32)
        for rows, batch, hidden in zip(indices, batches, hiddens, strict=True):
            last[rows] = batch.restore(hidden.last)
        steps = self._in_order(indices, batches, [hidden.steps for hidden in hiddens])
        return {prefix + "outputs": steps, prefix + "final state": last}

    def _in_order(self, indices: Any, batches: Any, parts: Any) -> np.ndarray:
        """Return the packed rows of all parts as (N, T, width), with zeros after each sequence."""
        whole = np.zeros((*self._valid.shape, parts[0].shape[1]), np.float32)
        for rows, batch, part in zip(indices, batches, parts, strict=True):
            whole[rows[batch.order[batch.row_of]], batch.step_of] = part
        return whole


def _layouts(batch: PackedSequences) -> tuple[SlotLayout]:
    return (slot_layout(batch.batch_sizes, reverse=False),)
