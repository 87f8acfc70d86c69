"""Methods of a fitted estimator that show its hidden states, input gradients and parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.model import FittedModel, diverged, joined
from sklstm._estimators.summary import summarize
from sklstm._network.segments import WriteSteps
from sklstm._threads import ParallelMap, with_workers
from sklstm._training.prediction import hidden_states, input_gradients
from sklstm.sequences import Sequences

Array = NDArray[np.floating]
_ALL = slice(None)


class StepValues(NamedTuple):
    """What is computed for each step, and whether it has the features of the inputs."""

    name: str
    width: int
    dtype: np.dtype[Any]
    like_inputs: bool = False


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

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMRegressor
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = X.mean(axis=(1, 2))
        >>> LSTMRegressor(8, random_state=0).fit(X, y).hidden_states(X).shape
        (40, 6, 8)
        """
        model = self._fitted_model()
        network, parameters = model.network, model.state.parameters

        def compute(part: Sequences, parallel_map: ParallelMap, write: WriteSteps) -> None:
            hidden_states(network, parameters, part, parallel_map, write)

        values = StepValues("hidden states", network.layers[-1].width, parameters.dtype)
        return self._by_step(model, X, values, compute)

    def input_gradients(self, X: Any, target: Any = None) -> Any:
        """Compute the gradient of a prediction with respect to its inputs.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in ``fit``.
        target : label, int or tuple of int, default=None
            A class, for its logit, or the index of a regression output: a number or, for targets
            with several axes, a tuple. None is the only output, or with three or more classes (or
            labels) the one with the highest logit.

        Returns
        -------
        ndarray of shape (n_samples, n_timesteps[, n_features]) or list of ndarray
            Partial derivatives in the form of ``X``; NaN where a 3-D array was padded. With
            ``vocabulary_size``, the derivatives by the embedding of each token, of shape
            (n_timesteps, embedding_size). Of a regressor, they have at least the precision of its
            predictions. They are float64 if ``input_scale_`` is beyond 1e30 or below 1e-30.

        Raises
        ------
        ValueError
            If ``target`` is no class or output, or is None where there are several outputs.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMRegressor
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = X.mean(axis=(1, 2))
        >>> LSTMRegressor(8, random_state=0).fit(X, y).input_gradients(X[:3]).shape
        (3, 6, 2)
        """
        model = self._fitted_model()
        network, parameters = model.network, model.state.parameters
        targets = model.form.targets

        def gradient(raw: Array, rows: NDArray[np.intp]) -> Array:
            return targets.gradient(raw, target)

        def compute(part: Sequences, parallel_map: ParallelMap, write: WriteSteps) -> None:
            input_gradients(network, parameters, part, parallel_map, gradient, write)

        values = StepValues(
            "input gradients", network.n_inputs, model.gradient_dtype, not network.embeds
        )
        return self._by_step(model, X, values, compute, targets.gradient_unit(target))

    def _by_step(
        self,
        model: FittedModel,
        X: Any,
        values: StepValues,
        compute: Callable[[Sequences, ParallelMap, WriteSteps], None],
        unit: float = 1.0,
    ) -> Any:
        """What ``compute`` writes for each step, times ``unit``, in the form of X."""

        def on_parts(parallel_map: ParallelMap) -> list[Any]:
            forms: list[Any] = []
            first_sample = 0
            for part in model.parts(X, self):
                result = StepResult(part, values.width, values.dtype)
                with model.naming_large_inputs(part, first_sample):
                    compute(part, parallel_map, result.write)
                if not result.is_finite:
                    raise diverged(values.name, model.form.dtype, self)
                first_sample += len(part)
                result.multiply(unit)
                forms.append(result.like_input(squeezed=values.like_inputs and part.flat))
            return forms

        return joined(with_workers(self.n_jobs, on_parts))

    def summary(self) -> str:
        """Describe the layers of the fitted network.

        Returns
        -------
        str
            A table with the shape of each layer's output for one sequence, and the number of its
            parameters.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(20, 5, 3))
        >>> clf = LSTMClassifier((16, 8), bidirectional=True).fit(X, np.arange(20) % 4)
        >>> print(clf.summary())
        LSTMClassifier
        ----------------------------------------------------
        layer                  output             parameters
        ----------------------------------------------------
        lstm_0, bidirectional  (n_timesteps, 32)       2,560
        lstm_1, bidirectional  (n_timesteps, 16)       2,624
        pooling "mean_max"     (32,)                       0
        dense                  (4,)                      132
        ----------------------------------------------------
        total                                          5,316
        """
        return summarize(self._fitted_model().network, type(self).__name__)

    @property
    def parameters_(self) -> dict[str, Array]:
        """The parameters by name of the network for ``X`` as it is, as read-only copies.

        ``lstm_0.weight_ih`` (n_inputs, 4 * hidden), ``lstm_0.weight_hh`` (hidden, 4 * hidden) and
        ``lstm_0.bias`` (4 * hidden,), with the gates in the order input, forget, output, candidate;
        the same for ``lstm_0_reverse`` and further layers; ``dense.weight`` and ``dense.bias``;
        with ``vocabulary_size``, ``embedding.weight`` (vocabulary_size, embedding_size).

        With ``scale_inputs``, the first layer is converted to inputs that are not scaled: in
        float64, its input weights are divided by ``input_scale_``, and its biases take account of
        ``input_mean_``. Predictions scale the inputs instead, which is more accurate: where a
        channel has a mean of r standard deviations, the rounding errors of the converted parameters
        are about r times as large.
        """
        return self._fitted_model().folded


class StepResult:
    """Values of each time step, which are written once, at their place in the form of the input."""

    def __init__(self, sequences: Sequences, width: int, dtype: np.dtype[np.floating]) -> None:
        self._sequences = sequences
        n_rows = len(sequences.values)
        n_places = len(sequences) * (sequences.n_timesteps or 0)
        self.is_finite = True
        #: The row of the result at which each sequence starts, if the input was padded.
        self._starts: NDArray[np.intp] | None = None
        if n_places > n_rows:
            self._starts = np.arange(0, n_places, sequences.n_timesteps)
            self._values = np.full((n_places, width), np.nan, dtype)
        else:
            self._values = np.empty((n_rows, width), dtype)

    def write(
        self, rows: NDArray[np.intp], values: Array, columns: slice = _ALL, add: bool = False
    ) -> None:
        """Write values of these stacked rows, or add to them."""
        if not np.isfinite(values).all():
            self.is_finite = False
        if self._starts is not None:
            first = self._sequences.starts
            samples = np.searchsorted(first, rows, side="right") - 1
            rows = rows + (self._starts - first)[samples]
        if add:
            self._values[rows, columns] += values
        else:
            self._values[rows, columns] = values

    def multiply(self, unit: float) -> None:
        """Multiply all values; a product that is too large for the dtype is infinite."""
        if unit != 1:
            with np.errstate(over="ignore"):
                self._values *= unit

    def like_input(self, squeezed: bool) -> Any:
        """Return the values in the form of the input, ``squeezed`` without an axis for features."""
        values = self._values[:, 0] if squeezed else self._values
        if self._starts is None:
            return self._sequences.like_input(values)
        return values.reshape(len(self._sequences), -1, *values.shape[1:])
