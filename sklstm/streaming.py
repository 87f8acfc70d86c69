"""Predictions as the steps come in, with the state carried from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sklstm._base import BaseLSTM
from sklstm._checks import as_tokens
from sklstm._network import dense, pooling
from sklstm._network.kernels.walk import Walk
from sklstm._network.lstm import State
from sklstm._network.network import SequenceNetwork
from sklstm._threads import single_blas_thread
from sklstm.sequences import Sequences

__all__ = ["SequenceStream"]

Array = NDArray[np.floating]


class SequenceStream:
    """Feed a fitted estimator one step at a time, for one sequence or for many side by side.

    A step costs the same however many came before. What it returns is what the estimator's
    ``predict`` (or ``predict_proba``) gives for all the steps so far.

    Parameters
    ----------
    estimator : LSTMClassifier or LSTMRegressor
        A fitted one that reads sequences forward only. The stream goes on with the parameters of
        this moment, also if the estimator is fitted again.

    n_streams : int, default=1
        Sequences that are fed side by side, each with a state of its own.

    Attributes
    ----------
    n_steps : ndarray of shape (n_streams,)
        Steps that each stream has seen since it began.

    Raises
    ------
    TypeError
        If ``estimator`` is something else, a pipeline for example: transform the steps yourself.
    ValueError
        If it is bidirectional: a walk from the end cannot begin before the end is there.

    See Also
    --------
    sklstm.LSTMClassifier.predict : The same for whole sequences.

    Notes
    -----
    Of a model fitted on a 2-D array the steps are its columns, and the prediction for the whole row
    comes with the last of them. In double precision, streamed and whole predictions agree to 1e-12.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMRegressor
    >>> from sklstm.streaming import SequenceStream
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 10, 2))
    >>> reg = LSTMRegressor(8, max_iter=50, tol=1e-2, random_state=0).fit(X, X.mean(axis=(1, 2)))
    >>> stream = SequenceStream(reg)
    >>> for x_t in X[0]:
    ...     y = stream.step(x_t)
    >>> bool(np.isclose(y[0], reg.predict(X[:1])[0]))
    True
    """

    def __init__(self, estimator: Any, n_streams: int = 1) -> None:
        if not isinstance(estimator, BaseLSTM):
            raise TypeError(
                "estimator: expected a fitted LSTMClassifier or LSTMRegressor, got "
                f"{type(estimator).__name__}"
            )
        check_is_fitted(estimator)
        if n_streams < 1:
            raise ValueError(f"n_streams: expected at least 1, got {n_streams}")
        if estimator._network.layers[0].bidirectional:
            raise ValueError(
                f"estimator: a bidirectional {type(estimator).__name__} reads each sequence from "
                "its end too, and cannot predict step by step; fit one with bidirectional=False"
            )
        self._model = copy(estimator)  # a later fit gives the original other attributes
        self._network: SequenceNetwork = estimator._network
        self._params = self._network.layout.views(estimator._parameters)
        self._n_features = 1 if estimator._table else estimator.n_features_in_
        self._walks = (Walk(np.array([n_streams]), reverse=False),)
        self.n_steps: NDArray[np.intp] = np.zeros(n_streams, np.intp)
        self._states: list[State] = [
            [tuple(np.zeros((2, n_streams, layer.hidden), estimator._dtype))]
            for layer in self._network.layers
        ]
        self._pooled = self._network.start_pooling(n_streams, self._params, winners=False)

    @property
    def n_streams(self) -> int:
        """How many sequences are fed side by side."""
        return len(self.n_steps)

    def step(self, X_t: ArrayLike) -> NDArray[Any]:
        """Take in one step of every stream, and predict.

        Parameters
        ----------
        X_t : array-like of shape (n_streams, n_features)
            The step's features; (n_streams,) for a single feature or for tokens, (n_features,) for
            a single stream.

        Returns
        -------
        ndarray of shape (n_streams,) or (n_streams, n_outputs)
            What ``predict`` gives for the steps so far; with ``return_sequences``, for this step.

        Raises
        ------
        ValueError
            If the step has another shape or values that are not finite, or names a token outside
            the vocabulary; the streams then are as they were.
        """
        return self._model._decode(self._advance(X_t))

    def step_proba(self, X_t: ArrayLike) -> Array:
        """Take in one step of every stream, and predict probabilities.

        Parameters
        ----------
        X_t : array-like of shape (n_streams, n_features)
            As for :meth:`step`.

        Returns
        -------
        ndarray of shape (n_streams, n_classes)
            What ``predict_proba`` gives for the steps so far; with ``return_sequences``, for this
            step.

        Raises
        ------
        AttributeError
            If the estimator is a regressor.
        ValueError
            As :meth:`step`.
        """
        if not hasattr(self._model, "predict_proba"):
            raise AttributeError(
                f"step_proba: expected a classifier, got {type(self._model).__name__}"
            )
        return self._model._loss.probabilities(self._advance(X_t))

    def reset(self, streams: ArrayLike | None = None) -> None:
        """Begin anew.

        Parameters
        ----------
        streams : int or array-like of int or bool, default=None
            Which of them; None is all.

        Raises
        ------
        IndexError
            If there is no such stream.
        """
        which = np.s_[:] if streams is None else np.asarray(streams)
        for name, array in self._arrays().items():
            array[which] = -np.inf if name == "maximum" else 0

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Copy the state of all streams.

        Returns
        -------
        dict of str to ndarray
            One array (n_streams, ...) a name, which :func:`numpy.savez` can store.
        """
        return {name: array.copy() for name, array in self._arrays().items()}

    def set_state(self, state: Mapping[str, ArrayLike]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict of str to array-like
            From :meth:`get_state` of a stream over the same estimator, with as many streams.

        Raises
        ------
        ValueError
            If it is of another kind of network or of another number of streams; the streams then
            are as they were.
        """
        own = self._arrays()
        given = {name: np.asarray(state[name]) for name in state}
        shapes = {name: array.shape for name, array in given.items()}
        expected = {name: array.shape for name, array in own.items()}
        if shapes != expected:
            raise ValueError(f"state: expected arrays of shapes {expected}, got {shapes}")
        for name, array in own.items():
            array[...] = given[name]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """All that changes from step to step."""
        arrays: dict[str, NDArray[Any]] = {"n_steps": self.n_steps}
        for layer, [(h, c)] in zip(self._network.layers, self._states, strict=True):
            arrays |= {f"{layer.name}.h": h, f"{layer.name}.c": c}
        if self._pooled is not None and self._pooled.total is not None:
            arrays["total"] = self._pooled.total
        if self._pooled is not None and self._pooled.maximum is not None:
            arrays["maximum"] = self._pooled.maximum
        return arrays

    def _advance(self, X_t: ArrayLike) -> Array:
        """Raw predictions (n_streams, K) after one more step."""
        states = self._network.inputs(self._params, self._check(X_t))
        with single_blas_thread:
            for layer, state in zip(self._network.layers, self._states, strict=True):
                _, ends = layer.infer(self._params, states, self._walks, False, state)
                for array, end in zip(state[0], ends[0], strict=True):
                    array[...] = end
                states = ends[0][0]
            self.n_steps += 1
            return dense.forward(self._params, self._pool(states))

    def _pool(self, states: Array) -> Array:
        if self._pooled is None:
            return states
        if self._pooled.total is not None:
            np.add(self._pooled.total, states, out=self._pooled.total)
        if self._pooled.maximum is not None:
            np.maximum(self._pooled.maximum, states, out=self._pooled.maximum)
        kind = self._network.pooling
        assert kind is not None
        return pooling.finish(kind, self._pooled, states, self.n_steps)

    def _check(self, X_t: ArrayLike) -> NDArray[Any]:
        """One row a stream: (n_streams, n_features), or tokens (n_streams, 1)."""
        with np.errstate(over="ignore"):
            x = np.asarray(X_t, self._model._dtype)
        expected = (self.n_streams, self._n_features)
        if x.ndim == 1 and 1 in expected:
            x = x.reshape(-1, 1) if self._n_features == 1 else x[np.newaxis]
        if x.shape != expected:
            raise ValueError(
                f"X_t: expected shape {expected}, (n_streams, n_features), got {np.shape(X_t)}"
            )
        wrong = ~np.isfinite(x).all(axis=1)
        if wrong.any():
            k = int(np.argmax(wrong))
            raise ValueError(f"X_t[{k}]: expected finite numbers, got {x[k]}")
        vocabulary_size = self._model._vocabulary_size
        if vocabulary_size is None:
            return x
        tokens = Sequences(x, np.ones(len(x), np.intp), "list")
        return as_tokens(tokens, vocabulary_size, name="X_t").values
