"""Predictions as the steps come in, with the state carried from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sklstm._estimators.base import BaseLSTM
from sklstm._network import dense, pooling
from sklstm._network.kernels.weights import OutputWeights
from sklstm._network.network import SequenceNetwork
from sklstm._persistence import checked, shallow_copy, with_format
from sklstm._threads import single_blas_thread
from sklstm.sequences import Sequences
from sklstm.sequences._input_form import as_tokens

if TYPE_CHECKING:
    from sklstm._network.kernels import Stepper

__all__ = ["SequenceStream"]

Array = NDArray[np.floating]

#: Format of a saved stream.
FORMAT = 1

#: BLAS shares out no product with fewer multiplications for each gate, and the guard costs time.
ONE_THREAD_ANYWAY = 2**13


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
    >>> reg = LSTMRegressor(8, random_state=0).fit(X, X.mean(axis=(1, 2)))
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
        if estimator._model.network.layers[0].bidirectional:
            raise ValueError(
                f"estimator: a bidirectional {type(estimator).__name__} reads each sequence from "
                "its end too, and cannot predict step by step; fit one with bidirectional=False"
            )
        self._estimator = shallow_copy(estimator)  # a later fit changes the original alone
        self._model = self._estimator._model
        form, network = self._model.form, self._model.network
        self._network: SequenceNetwork = network
        self._targets: Any = form.targets
        self._params = self._model.views
        self._n_features = form.inputs.n_channels
        self._shape, self._dtype = (n_streams, self._n_features), form.dtype
        self._embeds = network.embeds
        self._n_calls, self._begun = 0, np.zeros(n_streams, np.intp)
        self._pooled = None
        if network.pooling != "last":
            self._pooled = network.initial_pooled(n_streams, self._params, need_argmax=False)
        self._read_out, self._in_units = self._make_read_out()
        self._steppers = self._make_steppers()
        largest = max(stepper.h.size * len(stepper.h[0]) for stepper in self._steppers)
        self._guard = single_blas_thread if largest > ONE_THREAD_ANYWAY else None

    def _make_read_out(self) -> tuple[OutputWeights, bool]:
        """The output layer, with the units of the targets where predictions are affine in it."""
        weight, bias = (self._params[f"{dense.NAME}.{part}"] for part in ("weight", "bias"))
        targets = self._targets
        if not getattr(targets, "is_affine", False) or targets.dtype != self._dtype.name:
            return OutputWeights(weight, bias), False
        deviation, mean = targets.units
        in_units = weight * deviation, bias * deviation + mean
        return OutputWeights(*(array.astype(self._dtype) for array in in_units)), True

    def _make_steppers(self) -> list[Stepper]:
        """One a layer; the last reads out, unless states are pooled before."""
        *lower, last = self._network.layers
        steppers = [layer.stepper(self._params, self.n_streams) for layer in lower]
        read_out = self._read_out if self._pooled is None else None
        return [*steppers, last.stepper(self._params, self.n_streams, read_out)]

    def __getstate__(self) -> dict[str, Any]:
        return with_format({"estimator": self._estimator, "state": self.get_state()}, FORMAT)

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = checked(state, FORMAT, ("estimator", "state"), type(self).__name__)
        SequenceStream.__init__(self, state["estimator"], len(state["state"]["n_steps"]))
        self.set_state(state["state"])

    @property
    def n_streams(self) -> int:
        """How many sequences are fed side by side."""
        return len(self._begun)

    @property
    def n_steps(self) -> NDArray[np.intp]:
        """Steps that each stream has seen since it began, shape (n_streams,)."""
        return self._n_calls - self._begun

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
        raw = self._advance(X_t)
        return self._targets.shaped(raw) if self._in_units else self._targets.decode(raw)

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
        if not hasattr(self._estimator, "predict_proba"):
            raise AttributeError(
                f"step_proba: expected a classifier, got {type(self._estimator).__name__}"
            )
        return self._targets.loss.probabilities(self._advance(X_t))

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
        self._begun[which] = self._n_calls
        for name, array in self._arrays().items():
            array[which] = -np.inf if name == "maximum" else 0

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Copy the state of all streams.

        Returns
        -------
        dict of str to ndarray
            One array (n_streams, ...) a name, which :func:`numpy.savez` can store.
        """
        copies = {name: array.copy() for name, array in self._arrays().items()}
        return {"n_steps": self.n_steps, **copies}

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
        given = {name: np.asarray(state[name]) for name in state}
        shapes = {name: array.shape for name, array in given.items()}
        expected = {name: array.shape for name, array in self.get_state().items()}
        if shapes != expected:
            raise ValueError(f"state: expected arrays of shapes {expected}, got {shapes}")
        self._begun = self._n_calls - given["n_steps"]
        for name, array in self._arrays().items():
            array[...] = given[name]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """All that changes from step to step, but for the count of steps."""
        arrays: dict[str, NDArray[Any]] = {}
        for layer, stepper in zip(self._network.layers, self._steppers, strict=True):
            arrays |= {f"{layer.name}.h": stepper.h, f"{layer.name}.c": stepper.c}
        if self._pooled is not None and self._pooled.total is not None:
            arrays["total"] = self._pooled.total
        if self._pooled is not None and self._pooled.maximum is not None:
            arrays["maximum"] = self._pooled.maximum
        return arrays

    def _advance(self, X_t: ArrayLike) -> Array:
        """What the read-out gives, (n_streams, K), after one more step."""
        usual = type(X_t) is np.ndarray and X_t.shape == self._shape and X_t.dtype == self._dtype
        x: Any = X_t if usual and not self._embeds else self._check(X_t)
        if self._embeds:
            x = self._network.inputs(self._params, x)
        if self._guard is None:
            return self._go(x)
        with self._guard:
            return self._go(x)

    def _go(self, x: Any) -> Array:
        for stepper in self._steppers:
            states = stepper(x)
            if states is None:
                self._check(x)  # raises, and says where
            x = states
        self._n_calls += 1
        if self._pooled is None:
            return x
        return np.dot(self._pool(self._pooled, x), self._read_out.weight) + self._read_out.bias

    def _pool(self, pooled: pooling.Pooled, states: Array) -> Array:
        if pooled.total is not None:
            np.add(pooled.total, states, out=pooled.total)
        if pooled.maximum is not None:
            np.maximum(pooled.maximum, states, out=pooled.maximum)
        kind = self._network.pooling
        assert kind is not None
        return pooling.finish(kind, pooled, None, self.n_steps)

    def _check(self, X_t: ArrayLike) -> NDArray[Any]:
        """One row a stream: (n_streams, n_features), or tokens (n_streams, 1)."""
        with np.errstate(over="ignore"):
            x = np.asarray(X_t, self._dtype)
        expected = self._shape
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
        vocabulary_size = self._model.form.inputs.vocabulary_size
        if vocabulary_size is None:
            return x
        tokens = Sequences(x, np.ones(len(x), np.intp), "list")
        return as_tokens(tokens, vocabulary_size, name="X_t").values
