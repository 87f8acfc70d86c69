"""The gradient of a prediction with respect to its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.introspection import StepResult
from sklstm._estimators.model import FittedModel, diverged, joined
from sklstm._threads import ParallelMap, with_workers
from sklstm._training import prediction
from sklstm.inspection._models import lstm_and_input, parts_of
from sklstm.inspection._outputs import Output
from sklstm.sequences import Sequences

Array = NDArray[np.floating]


def input_gradients(estimator: Any, X: Any, *, target: Any = None, step: int | None = None) -> Any:
    """Compute the gradient of a prediction with respect to its inputs.

    Parameters
    ----------
    estimator : LSTMClassifier, LSTMRegressor or Pipeline
        A fitted estimator, or a fitted pipeline that ends with one.
    X : array-like, dataframe or list of n_samples sequences
        As in ``fit``. The steps of a pipeline before the last one transform it.
    target : label, int or tuple of int, default=None
        A class, for its logit, or the index of a regression output: a number or, for targets with
        several axes, a tuple. None is the only output, or with three or more classes (or labels)
        the one with the highest logit.
    step : int, default=None
        With ``return_sequences``, the time step whose prediction is differentiated; negative steps
        count from the end of each sequence. None is the sum of the predictions of all steps.

    Returns
    -------
    ndarray of shape (n_samples, n_timesteps[, n_features]) or list of ndarray
        Partial derivatives in the form of ``X``; NaN where a 3-D array was padded. The inputs are
        those of the LSTM: for a pipeline, ``pipeline[:-1].transform(X)``. With ``vocabulary_size``,
        the derivatives by the embedding of each token, of shape (n_timesteps, embedding_size).

    Raises
    ------
    TypeError
        If the estimator is no LSTM, and no pipeline that ends with one.
    ValueError
        If ``target`` is no class or output, or is None where there are several outputs; if a
        sequence has no such ``step``; or if ``X`` is malformed.

    See Also
    --------
    integrated_gradients : Attributions that sum to the difference between two predictions.

    Notes
    -----
    The derivatives are those with respect to the raw inputs of the LSTM, also if it standardises
    them (``scale_inputs=True``). With a transformer in front that divides a feature by s, divide
    the derivatives by s to get those with respect to the feature before it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMRegressor
    >>> from sklstm.inspection import input_gradients
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(30, 6, 2))
    >>> y = X[:, :, 0].cumsum(axis=1)  # the running sum of the first feature
    >>> model = LSTMRegressor(8, return_sequences=True, random_state=0).fit(X, y)
    >>> gradients = input_gradients(model, X, step=3)
    >>> gradients.shape
    (30, 6, 2)
    >>> bool((gradients[:, 4:] == 0).all())  # the future has no influence
    True
    """
    lstm, X = lstm_and_input(estimator, X)
    model = lstm._fitted_model()

    def on_parts(parallel_map: ParallelMap) -> list[Any]:
        return [
            _gradients(
                model, part, Output.of(model, target, step, part, first), first, parallel_map, lstm
            )
            for part, first in parts_of(model, X, lstm)
        ]

    return joined(with_workers(lstm.n_jobs, on_parts))


def _gradients(
    model: FittedModel,
    part: Sequences,
    output: Output,
    first_sample: int,
    parallel_map: ParallelMap,
    lstm: Any,
) -> Any:
    """Return the gradients in the form of X."""
    network, parameters = model.network, model.state.parameters
    result = StepResult(part, network.n_inputs, model.gradient_dtype)
    with model.naming_large_inputs(part, first_sample):
        prediction.input_gradients(
            network, parameters, part, parallel_map, output.gradient, result.write
        )
    if not result.is_finite:
        raise diverged("input gradients", parameters.dtype, lstm)
    result.multiply(output.unit)
    return result.like_input(squeezed=part.flat and not network.embeds)
