"""Prediction one time step at a time, with the state kept between steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklstm._estimators.reading import accepted
from sklstm._network import pooling
from sklstm._network.kernels.limits import all_accepted
from sklstm._network.network import SequenceNetwork
from sklstm._persistence import checked, with_format
from sklstm._threads import with_single_blas_thread
from sklstm.preprocessing._streams import StepChain
from sklstm.sequences import Sequences
from sklstm.sequences._input_form import as_tokens
from sklstm.streaming._output import check_parameters, output_layer, pool, refuse
from sklstm.streaming._parts import frozen, split
from sklstm.streaming._states import (
    as_counts,
    as_mask,
    as_state,
    as_step_state,
    read_floats,
    without,
)

if TYPE_CHECKING:
    from sklstm._network.kernels import Stepper

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

#: Format of a saved stream.
FORMAT = 1

#: BLAS uses one thread for products with fewer multiplications, so that the guard is not needed.
SINGLE_THREAD_SIZE = 2**13


class SequenceStream:
    """Predict with a fitted estimator one time step at a time, for one or several streams.

    Each step takes the same time, however many steps came before. It returns what ``predict`` (or
    ``predict_proba``) of the estimator returns for all steps so far.

    Parameters
    ----------
    estimator : LSTMClassifier, LSTMRegressor or Pipeline
        A fitted estimator with ``bidirectional=False``, or a fitted Pipeline that ends with one.
        The stream keeps its parameters, also if the estimator is fitted again.

    n_streams : int, default=1
        Number of sequences to predict at the same time. Each has a state of its own.

    Raises
    ------
    TypeError
        If ``estimator`` is not an LSTMClassifier or LSTMRegressor, or a Pipeline that ends with
        one, or if a step of the Pipeline cannot be applied step by step.
    ValueError
        If the estimator is bidirectional: the reverse direction starts at the last time step, which
        a stream does not have. Also if its parameters have diverged, so that predictions might not
        be finite, or if the parameters of a step of the Pipeline need whole sequences.

    See Also
    --------
    sklstm.LSTMClassifier.predict : Prediction of whole sequences.

    Notes
    -----
    For a model fitted on a 2-D array, the time steps are the columns, and the last one gives the
    prediction for the row. In float64, the predictions of streams and of whole sequences agree to
    1e-12.

    The steps of a Pipeline may be SequenceScaler (not ``per_sequence``), StepTransformer,
    SequenceDifferences, SequenceImputer (not ``strategy="linear"``), SlidingWindow (not
    ``align="end"``), AppendStatic, TokenEncoder, and ToSequences if it does not change the number
    of steps. Before the first complete window of a SlidingWindow there is no prediction; it is NaN,
    or None for labels. Then it changes at the end of each window.

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
        self._whole = frozen(estimator)
        transformers, estimator = split(self._whole)
        if not isinstance(n_streams, int | np.integer) or n_streams < 1:
            raise ValueError(f"n_streams: expected a positive integer, got {n_streams!r}")
        if estimator._model.network.layers[0].bidirectional:
            raise ValueError(
                f"estimator: a bidirectional {type(estimator).__name__} needs the last time step "
                "first, and cannot predict step by step; fit one with bidirectional=False"
            )
        self._chain = StepChain(transformers, int(n_streams)) if transformers else None
        self._estimator: Any = estimator
        #: In place of a prediction that does not exist yet.
        self._mark = None if hasattr(estimator, "predict_proba") else np.nan
        self._model = self._estimator._model
        form, network = self._model.form, self._model.network
        self._network: SequenceNetwork = network
        self._targets: Any = form.targets
        self._params = self._model.views
        self._n_features = form.inputs.n_channels
        self._shape, self._dtype = (n_streams, self._n_features), form.dtype
        self._scaling = form.scaling
        self._scale = form.scaling and form.scaling.of_step(n_streams, form.dtype)
        # Inputs are scaled in float64, also those of a float32 model.
        self._input_dtype = self._dtype if form.scaling is None else np.dtype(np.float64)
        self._usual_dtypes = (self._dtype, self._input_dtype)
        self._embeds = network.embeds
        self._n_calls, self._begun = 0, np.zeros(n_streams, np.intp)
        check_parameters(network, self._params, self._dtype, type(estimator).__name__)
        self._pooled = None
        if network.pooling != "last":
            self._pooled = network.initial_pooled(n_streams, self._params)
        self._output_layer, self._in_target_units = output_layer(
            self._params, self._targets, self._dtype
        )
        self._steppers = self._make_steppers()
        largest = max(stepper.h.size * len(stepper.h[0]) for stepper in self._steppers)
        self._limits_blas = largest > SINGLE_THREAD_SIZE

    def _make_steppers(self) -> list[Stepper]:
        """One for each layer; without pooling, the last one computes the output layer too."""
        *lower, last = self._network.layers
        steppers = [layer.stepper(self._params, self.n_streams) for layer in lower]
        output = self._output_layer if self._pooled is None else None
        return [*steppers, last.stepper(self._params, self.n_streams, output)]

    def __getstate__(self) -> dict[str, Any]:
        return with_format({"estimator": self._whole, "state": self.get_state()}, FORMAT)

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = checked(state, FORMAT, ("estimator", "state"), type(self).__name__)
        SequenceStream.__init__(self, state["estimator"], len(state["state"]["n_steps"]))
        self.set_state(state["state"])

    @property
    def n_streams(self) -> int:
        """Number of streams."""
        return len(self._begun)

    @property
    def n_steps(self) -> NDArray[np.intp]:
        """Number of time steps of each stream since its beginning, shape (n_streams,)."""
        return self._n_predicted if self._chain is None else self._chain.n_steps.copy()

    @property
    def _n_predicted(self) -> NDArray[np.intp]:
        """Number of time steps of each stream that the transformers gave to the estimator."""
        return self._n_calls - self._begun

    def step(self, X_t: Any, return_std: bool = False, *, mask: ArrayLike | None = None) -> Any:
        """Predict after one more time step of every stream, or of some.

        Parameters
        ----------
        X_t : array-like of shape (n_streams, n_features), dict or list of dict
            Features of the time step. The shape may be (n_streams,) for a single feature or for
            tokens, and (n_features,) for a single stream. If the estimator was fitted with feature
            names, the columns of a frame must have the same names in the same order. A dict, a list
            with a dict for each stream, or a pandas Series whose index holds the names, gives the
            features by name in any order.
        return_std : bool, default=False
            Whether to return standard deviations too; only with ``loss="gaussian"``.
        mask : array-like of bool of shape (n_streams,), default=None
            Which streams have a time step. The rows of the others are ignored, whatever their
            values, and their predictions do not change. None means all.

        Returns
        -------
        y : ndarray of shape (n_streams,) or (n_streams, ...)
            What ``predict`` returns for the steps so far; with ``return_sequences``, for the last
            step. NaN, or None for labels, if there is no prediction yet.
        y_std : ndarray
            Standard deviations in the shape of ``y``. Only returned if ``return_std`` is True.

        Raises
        ------
        ValueError
            If the shape is wrong, a feature is missing or unknown, a value is not finite or too
            large (1.8e19 in float32, 1.3e154 in float64), a token is not in the vocabulary, or
            ``return_std`` is True and the estimator has no standard deviations. The streams are
            then unchanged.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> from sklstm.streaming import SequenceStream
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> clf = LSTMClassifier(8, random_state=0).fit(X, X[:, :, 0].sum(axis=1) > 0)
        >>> stream = SequenceStream(clf, n_streams=3)
        >>> for t in range(6):
        ...     labels = stream.step(X[:3, t])
        >>> bool(np.all(labels == clf.predict(X[:3])))
        True
        """
        if return_std:
            return self._step_with_deviation(X_t, mask)
        raw, none_yet = self._advance(X_t, mask)
        y = self._targets.shaped(raw) if self._in_target_units else self._targets.decode(raw)
        return y if none_yet is None else without(y, none_yet, self._mark)

    def _step_with_deviation(self, X_t: Any, mask: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        if not hasattr(self._targets, "check_deviation"):
            name = type(self._estimator).__name__
            raise ValueError(f'return_std=True: expected loss="gaussian", got a {name}')
        self._targets.check_deviation()
        raw, none_yet = self._advance(X_t, mask)
        both = without(self._targets.decode_with_deviation(raw), none_yet, np.nan)
        return both[..., 0].copy(), both[..., 1].copy()

    def step_proba(self, X_t: Any, *, mask: ArrayLike | None = None) -> Array:
        """Predict probabilities after one more time step of every stream, or of some.

        Parameters
        ----------
        X_t : array-like of shape (n_streams, n_features)
            As for :meth:`step`.
        mask : array-like of bool of shape (n_streams,), default=None
            As for :meth:`step`.

        Returns
        -------
        ndarray of shape (n_streams, n_classes)
            What ``predict_proba`` returns for the steps so far; with ``return_sequences``, for the
            last step. NaN if there is no prediction yet.

        Raises
        ------
        AttributeError
            If the estimator is a regressor.
        ValueError
            As :meth:`step`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> from sklstm.streaming import SequenceStream
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> clf = LSTMClassifier(8, random_state=0).fit(X, X[:, :, 0].sum(axis=1) > 0)
        >>> SequenceStream(clf, n_streams=3).step_proba(X[:3, 0]).shape
        (3, 2)
        """
        if not hasattr(self._estimator, "predict_proba"):
            raise AttributeError(
                f"step_proba: expected a classifier, got {type(self._estimator).__name__}"
            )
        raw, none_yet = self._advance(X_t, mask)
        return without(self._targets.loss.probabilities(raw), none_yet, np.nan)

    def reset(self, streams: ArrayLike | None = None, *, static: Any = None) -> None:
        """Start new sequences.

        Parameters
        ----------
        streams : int or array-like of int or bool, default=None
            The streams to reset; None resets all.
        static : pandas.DataFrame or polars.DataFrame, default=None
            If the estimator has a step AppendStatic: the facts of the new sequences, with one row
            for each stream that is reset. Such a stream must be reset before its first step.

        Raises
        ------
        IndexError
            If a stream does not exist.
        ValueError
            If ``static`` is missing, malformed or not needed. The streams are then unchanged.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> from sklstm.streaming import SequenceStream
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> clf = LSTMClassifier(8, random_state=0).fit(X, X[:, :, 0].sum(axis=1) > 0)
        >>> stream = SequenceStream(clf, n_streams=2)
        >>> label = stream.step(X[:2, 0])
        >>> stream.reset(1)  # the second stream begins again
        >>> stream.n_steps
        array([1, 0])
        """
        chosen = np.arange(self.n_streams)
        which = chosen if streams is None else np.atleast_1d(chosen[np.asarray(streams)])
        if self._chain is None and static is not None:
            raise ValueError("static: the estimator has no step AppendStatic")
        if self._chain is not None:
            self._chain.reset(which, static)
        self._begun[which] = self._n_calls
        for name, array in self._arrays().items():
            array[which] = -np.inf if name == "maximum" else 0

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Copy the state of all streams.

        Returns
        -------
        dict of str to ndarray
            Arrays of shape (n_streams, ...) by name, which :func:`numpy.savez` can save.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> from sklstm.streaming import SequenceStream
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> stream = SequenceStream(LSTMClassifier(8).fit(X, X[:, :, 0].sum(axis=1) > 0))
        >>> sorted(stream.get_state())
        ['lstm_0.c', 'lstm_0.h', 'maximum', 'n_steps', 'total']
        """
        arrays = self._arrays()
        if self._chain is not None:
            arrays = {"n_predicted": self._n_predicted, **self._chain.arrays(), **arrays}
        return {"n_steps": self.n_steps, **{name: array.copy() for name, array in arrays.items()}}

    def set_state(self, state: Mapping[str, ArrayLike]) -> None:
        """Continue from a state.

        Parameters
        ----------
        state : dict of str to array-like
            What :meth:`get_state` returned, for a stream with the same estimator and ``n_streams``.

        Raises
        ------
        ValueError
            If the state belongs to another network or another number of streams, or if one of its
            values is impossible. The message names the array, and the streams are unchanged.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> from sklstm.streaming import SequenceStream
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> clf = LSTMClassifier(8, random_state=0).fit(X, X[:, :, 0].sum(axis=1) > 0)
        >>> stream, copy = SequenceStream(clf), SequenceStream(clf)
        >>> label = stream.step(X[0, 0])
        >>> copy.set_state(stream.get_state())
        >>> bool(stream.step_proba(X[0, 1])[0, 0] == copy.step_proba(X[0, 1])[0, 0])
        True
        """
        expected = list(self.get_state())
        if set(state) != set(expected):
            raise ValueError(f"state: expected the keys {expected}, got {list(state)}")
        current, in_chain = self._arrays(), {} if self._chain is None else self._chain.arrays()
        n_steps = as_counts("n_steps", state["n_steps"], self.n_streams)
        all_steps, steps = n_steps, {k: as_step_state(k, state[k], v) for k, v in in_chain.items()}
        if self._chain is not None:
            n_steps = as_counts("n_predicted", state["n_predicted"], self.n_streams)
        # "maximum" is minus infinity before the first step.
        none_yet = n_steps == 0
        given = {
            name: as_state(name, state[name], array, none_yet & (name == "maximum"))
            for name, array in current.items()
        }
        if self._chain is not None:
            self._chain.set_arrays(steps, all_steps)
        self._begun = self._n_calls - n_steps
        for name, array in current.items():
            array[...] = given[name]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that each step changes."""
        arrays: dict[str, NDArray[Any]] = {}
        for layer, stepper in zip(self._network.layers, self._steppers, strict=True):
            arrays |= {f"{layer.name}.h": stepper.h, f"{layer.name}.c": stepper.c}
        if self._pooled is not None and self._pooled.total is not None:
            arrays["total"] = self._pooled.total
        if self._pooled is not None and self._pooled.maximum is not None:
            arrays["maximum"] = self._pooled.maximum
        return arrays

    def _advance(self, X_t: Any, mask: Any) -> tuple[Array, Mask | None]:
        """Raw predictions (n_streams, K) after one more step, and which streams have none yet."""
        if self._chain is None and mask is None:
            return self._advance_all(X_t), None
        ready = as_mask(mask, self.n_streams)
        if self._chain is None:
            raw = self._advance_some(X_t, ready)
        else:
            advance = self._chain.advance(X_t, ready)
            raw = self._advance_some(advance.rows, advance.ready)
            self._chain.commit(advance)
        none_yet = self._n_predicted == 0
        raw[none_yet] = 0
        return raw, none_yet

    def _advance_some(self, X_t: Any, ready: Mask) -> Array:
        """Raw predictions after one more step of some streams; the others keep theirs."""
        if ready.all():
            return self._advance_all(X_t)
        others = ~ready
        if not ready.any():
            return self._latest()
        x = self._check(X_t, ready)
        kept = {name: array[others] for name, array in self._arrays().items()}
        raw = self._run(x, x)
        self._begun[others] += 1
        for name, array in self._arrays().items():
            array[others] = kept[name]
        raw[others] = self._latest()[others]
        return raw

    def _latest(self) -> Array:
        """Raw predictions after the steps so far; any numbers for a stream without steps."""
        features, counts = self._steppers[-1].h, np.maximum(self._n_predicted, 1)
        if self._pooled is not None:
            assert self._network.pooling is not None
            features = pooling.finish(self._network.pooling, self._pooled, None, counts)
            features = np.where(np.isneginf(features), 0, features)
        return np.dot(features, self._output_layer.weight) + self._output_layer.bias

    def _advance_all(self, X_t: ArrayLike) -> Array:
        """Raw predictions (n_streams, K) after one more step of all streams."""
        x, given = None, None
        if not self._embeds:
            x, given = read_floats(X_t, self._shape, self._usual_dtypes)
        if x is None:
            x = given = self._check(X_t)
        return self._run(x, given)

    def _run(self, x: Any, given: Any) -> Array:
        if self._embeds:
            x = self._network.inputs(self._params, x)
        if self._limits_blas:
            return with_single_blas_thread(self._step, x, given)
        return self._step(x, given)

    def _step(self, x: Any, given: NDArray[Any]) -> Array:
        if self._scale is not None:
            x = self._scale(x)
        for stepper in self._steppers:
            x = stepper(x)
            if x is None:
                self._refuse(given.reshape(self._shape))
        self._n_calls += 1
        if self._pooled is None:
            return x
        x = pool(self._network.pooling, self._pooled, x, self._n_predicted)
        return np.dot(x, self._output_layer.weight) + self._output_layer.bias

    def _check(self, X_t: ArrayLike, ready: Mask | None = None) -> NDArray[Any]:
        """The step as an array (n_streams, n_features), or tokens (n_streams, 1).

        The streams that are not ``ready`` get accepted rows.
        """
        values = self._model.form.inputs.step_values(X_t, self._estimator)
        with np.errstate(over="ignore"):
            x = values.astype(self._input_dtype, copy=False)
        expected = self._shape
        if x.ndim == 1 and 1 in expected:
            x = x.reshape(-1, 1) if self._n_features == 1 else x[np.newaxis]
        if x.shape != expected:
            raise ValueError(
                f"X_t: expected shape {expected}, (n_streams, n_features), got {values.shape}"
            )
        if ready is not None:
            values, x = self._filled(values.reshape(expected), x, ready)
        if self._scale is None and not all_accepted(x):
            self._refuse(values.reshape(expected))
        vocabulary_size = self._model.form.inputs.vocabulary_size
        if vocabulary_size is None:
            return x
        tokens = Sequences(x, np.ones(len(x), np.intp), "list")
        return as_tokens(tokens, vocabulary_size, name="X_t").values

    def _filled(self, values: Any, x: Any, ready: Mask) -> tuple[Any, Any]:
        """The step, as given and converted, where the streams that are not ready have other rows.

        These are token 0, or the row of a stream that is ready.
        """
        if self._embeds:
            return np.where(ready[:, None], values, 0), np.where(ready[:, None], x, 0)
        if not accepted(x[ready], self._dtype, self._scaling).all():
            self._refuse(values, ready)
        rows = np.where(ready, np.arange(len(ready)), np.argmax(ready))
        return values[rows], x[rows]

    def _refuse(self, given: NDArray[Any], ready: Mask | None = None) -> NoReturn:
        refuse(given, self._dtype, self._scaling, self.n_steps, ready)
