"""A look inside a fitted estimator: its states, its slopes and its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklstm._network.network import SequenceNetwork
from sklstm._threads import workers
from sklstm._training.prediction import divide_into_chunks
from sklstm.sequences import PackedSequences, Sequences

Array = NDArray[np.floating]


class Inside:
    """Methods of a fitted estimator that show how it comes to its predictions."""

    _network: SequenceNetwork
    _parameters: Array
    _dtype: np.dtype[np.floating]
    _parts: Callable[[Any], Iterator[Sequences]]
    _target_gradient: Callable[[Array, Any], Array]
    n_jobs: int | None

    def hidden_states(self, X: Any) -> Any:
        """States of the last LSTM layer at every step.

        Parameters
        ----------
        X : array-like, dataframe or list
            Sequences, as in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_timesteps, width) or list of ndarray
            For a list, a list of arrays (n_timesteps_i, width); the steps that padding took up in a
            3-D array are NaN. The width is the last of ``hidden_layer_sizes``, twice that if
            bidirectional, the forward states first.
        """
        check_is_fitted(self)
        params = self._network.layout.views(self._parameters)

        def on_chunk(batch: PackedSequences) -> Array:
            steps = self._network.hidden_states(params, batch).steps
            assert steps is not None
            return steps

        return self._by_step(X, on_chunk)

    def input_gradients(self, X: Any, target: Any = None) -> Any:
        """How a prediction changes with each input, by backpropagation through time.

        Parameters
        ----------
        X : array-like, dataframe or list
            Sequences, as in ``fit``.
        target : label or int, default=None
            A class, whose logit is meant, or the number of a regression output. None is the only
            output, or for three and more classes (or labels) the one with the highest logit.

        Returns
        -------
        ndarray of shape (n_samples, n_timesteps[, n_features]) or list of ndarray
            Partial derivatives, in the form of ``X``; NaN where a 3-D array was padded. With
            ``vocabulary_size``, those at each token's vector, ``embedding_size`` numbers a step.

        Raises
        ------
        ValueError
            If ``target`` is no class or output, or missing where there are several outputs.
        """
        check_is_fitted(self)
        params = self._network.layout.views(self._parameters)

        def on_batch(batch: PackedSequences) -> Array:
            raw, cache = self._network.forward(params, batch)
            unused = self._network.layout.views(np.zeros_like(self._parameters))
            draw = self._target_gradient(raw, target)
            dx = self._network.backward(params, draw, cache, unused, need_inputs=True)
            assert dx is not None
            return dx

        return self._by_step(X, on_batch, like_values=not self._network.embeds)

    def _by_step(
        self, X: Any, function: Callable[[PackedSequences], Array], like_values: bool = False
    ) -> Any:
        """What ``function`` gives for each packed step, in the form of X."""
        forms: list[Any] = []
        with workers(self.n_jobs) as parallel_map:
            for part in self._parts(X):

                def on_chunk(indices: NDArray[np.intp], part: Sequences = part) -> Array:
                    batch = part.pack(indices, self._dtype)
                    return batch.unpack(function(batch))

                chunks, chunk_map = divide_into_chunks(self._network, part.lengths, parallel_map)
                steps = np.concatenate(list(chunk_map(on_chunk, chunks)))
                forms.append(part.like_input(steps[:, 0] if like_values and part.flat else steps))
        return joined(forms)

    @property
    def parameters_(self) -> dict[str, Array]:
        """Read-only views of the network's parameters by name.

        ``lstm_0.weight_ih`` (n_inputs, 4 * hidden), ``lstm_0.weight_hh`` (hidden, 4 * hidden) and
        ``lstm_0.bias`` (4 * hidden,), gates in the order input, forget, output, candidate; the
        same for ``lstm_0_reverse`` and further layers; ``dense.weight`` and ``dense.bias``; with
        ``vocabulary_size``, ``embedding.weight`` (vocabulary_size, embedding_size).
        """
        check_is_fitted(self, "_parameters")
        flat = self._parameters.view()
        flat.flags.writeable = False
        return self._network.layout.views(flat)


def joined(forms: list[Any]) -> Any:
    """One list or array out of those of the parts."""
    if len(forms) == 1:
        return forms[0]
    return [steps for form in forms for steps in form]
