"""Methods of a fitted estimator that show its hidden states, input gradients and parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.model import FittedModel, joined
from sklstm._threads import ParallelMap, with_workers
from sklstm._training.prediction import divide_into_chunks
from sklstm.sequences import PackedSequences, Sequences

Array = NDArray[np.floating]


class Introspection:
    """Hidden states, input gradients and parameters of a fitted estimator."""

    n_jobs: int | None
    _fitted_model: Callable[[], FittedModel]

    def hidden_states(self, X: Any) -> Any:
        """Compute the hidden states of the last LSTM layer at every time step.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_timesteps, n_units) or list of ndarray
            For a list, a list of arrays (n_timesteps_i, n_units); in a padded 3-D array the padding
            is NaN. ``n_units`` is the last of ``hidden_layer_sizes``, or twice that if
            bidirectional, with the states of the forward direction first.
        """
        model = self._fitted_model()
        params = model.views

        def on_chunk(batch: PackedSequences) -> Array:
            steps = model.network.hidden_states(params, batch).steps
            assert steps is not None
            return steps

        return self._by_step(model, X, on_chunk)

    def input_gradients(self, X: Any, target: Any = None) -> Any:
        """Compute the gradient of a prediction with respect to its inputs.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in ``fit``.
        target : label or int, default=None
            A class, for its logit, or the index of a regression output. None is the only output,
            or with three or more classes (or labels) the one with the highest logit.

        Returns
        -------
        ndarray of shape (n_samples, n_timesteps[, n_features]) or list of ndarray
            Partial derivatives in the form of ``X``; NaN where a 3-D array was padded. With
            ``vocabulary_size``, the derivatives by the embedding of each token, of shape
            (n_timesteps, embedding_size).

        Raises
        ------
        ValueError
            If ``target`` is no class or output, or is None where there are several outputs.
        """
        model = self._fitted_model()
        network, params = model.network, model.views

        def on_chunk(batch: PackedSequences) -> Array:
            raw, cache = network.forward(params, batch)
            unused = network.layout.views(np.zeros_like(model.state.parameters))
            draw = model.form.targets.gradient(raw, target)
            dx = network.backward(params, draw, cache, unused, need_inputs=True)
            assert dx is not None
            return dx

        return self._by_step(model, X, on_chunk, like_values=not network.embeds)

    def _by_step(
        self,
        model: FittedModel,
        X: Any,
        function: Callable[[PackedSequences], Array],
        like_values: bool = False,
    ) -> Any:
        """What ``function`` returns for each packed step, in the form of X."""

        def on_part(part: Sequences, parallel_map: ParallelMap) -> Any:
            def on_chunk(indices: NDArray[np.intp]) -> Array:
                batch = part.pack(indices, model.form.dtype)
                return batch.unpack(function(batch))

            chunks, chunk_map = divide_into_chunks(model.network, part.lengths, parallel_map)
            steps = np.concatenate(list(chunk_map(on_chunk, chunks)))
            return part.like_input(steps[:, 0] if like_values and part.flat else steps)

        return joined(
            with_workers(
                self.n_jobs,
                lambda parallel_map: [on_part(part, parallel_map) for part in model.parts(X, self)],
            )
        )

    @property
    def parameters_(self) -> dict[str, Array]:
        """The network's parameters by name, as read-only arrays.

        ``lstm_0.weight_ih`` (n_inputs, 4 * hidden), ``lstm_0.weight_hh`` (hidden, 4 * hidden) and
        ``lstm_0.bias`` (4 * hidden,), with the gates in the order input, forget, output, candidate;
        the same for ``lstm_0_reverse`` and further layers; ``dense.weight`` and ``dense.bias``;
        with ``vocabulary_size``, ``embedding.weight`` (vocabulary_size, embedding_size).
        """
        model = self._fitted_model()
        flat = model.state.parameters.view()
        flat.flags.writeable = False
        return model.network.layout.views(flat)
