"""Hidden states, cell states and gates of an LSTM layer."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sklstm._estimators.introspection import StepResult
from sklstm._estimators.model import FittedModel, diverged, joined
from sklstm._network.layer_states import QUANTITIES
from sklstm._threads import ParallelMap, with_workers
from sklstm._training.prediction import layer_states
from sklstm.inspection._models import lstm_and_input, parts_of
from sklstm.sequences import Sequences

Array = NDArray[np.floating]


def lstm_states(estimator: Any, X: Any, *, layer: int = -1) -> Bunch:
    """Compute hidden states, cell states and gates of an LSTM layer at every time step.

    The equations are those of :doc:`/textbook`: with the input gate *i*, the forget gate *f*, the
    output gate *o* and the candidate *g*, the cell state is ``c_t = f_t * c_{t-1} + i_t * g_t`` and
    the hidden state is ``h_t = o_t * tanh(c_t)``.

    Parameters
    ----------
    estimator : LSTMClassifier, LSTMRegressor or Pipeline
        A fitted estimator, or a fitted pipeline that ends with one.
    X : array-like, dataframe or list of n_samples sequences
        As in ``fit``. The steps of a pipeline before the last one transform it.
    layer : int, default=-1
        Index of the layer in ``hidden_layer_sizes``; negative indices count from the last layer.

    Returns
    -------
    states : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with these attributes. Each is an array of shape (n_samples,
        n_timesteps, n_units) or, if the LSTM reads a list, a list of arrays
        (n_timesteps_i, n_units); in a padded 3-D array the padding is NaN. ``n_units`` is the size
        of the layer, or twice that if bidirectional, with the forward direction first.

        hidden_states
            The output of the layer.
        cell_states
            The cell states.
        input_gates, forget_gates, output_gates
            The gates, between 0 and 1.
        candidates
            The candidates for the cell state, between -1 and 1.

    Raises
    ------
    TypeError
        If the estimator is no LSTM, and no pipeline that ends with one.
    ValueError
        If the estimator has no such layer, or if ``X`` is malformed.

    See Also
    --------
    sklstm.plotting.StatesDisplay : Show the states of one sequence.

    Notes
    -----
    The states are computed in chunks that keep within scikit-learn's ``working_memory``, long
    sequences in segments; the result itself is not counted. The reverse direction reads a sequence
    from its end, so its state at the first step is the last one.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMClassifier
    >>> from sklstm.inspection import lstm_states
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(length, 2)) for length in rng.integers(3, 9, size=20)]
    >>> y = [int(x[:, 0].mean() > 0) for x in X]
    >>> clf = LSTMClassifier((8, 4), random_state=0).fit(X, y)
    >>> states = lstm_states(clf, X[:2])
    >>> [gates.shape for gates in states.forget_gates] == [(len(x), 4) for x in X[:2]]
    True
    >>> lstm_states(clf, X[:2], layer=0).cell_states[0].shape[1]
    8
    """
    lstm, X = lstm_and_input(estimator, X)
    model = lstm._fitted_model()
    layer = _checked_layer(layer, len(model.network.layers))

    def on_parts(parallel_map: ParallelMap) -> list[dict[str, Any]]:
        return [
            _states_of(model, part, first, layer, parallel_map, lstm)
            for part, first in parts_of(model, X, lstm)
        ]

    parts = with_workers(lstm.n_jobs, on_parts)
    return Bunch(**{name: joined([part[name] for part in parts]) for name in QUANTITIES})


def _checked_layer(layer: int, n_layers: int) -> int:
    found = index(layer)
    if not -n_layers <= found < n_layers:
        raise ValueError(
            f"layer: expected an index from {-n_layers} to {n_layers - 1}, the estimator has "
            f"{n_layers} layer(s), got {layer}"
        )
    return found % n_layers


def _states_of(
    model: FittedModel,
    part: Sequences,
    first_sample: int,
    layer: int,
    parallel_map: ParallelMap,
    lstm: Any,
) -> dict[str, Any]:
    """Return each quantity in the form of X."""
    parameters, width = model.state.parameters, model.network.layers[layer].width
    results = {name: StepResult(part, width, parameters.dtype) for name in QUANTITIES}

    def write(name: str, rows: NDArray[np.intp], values: Array, columns: slice) -> None:
        results[name].write(rows, values, columns)

    with model.naming_large_inputs(part, first_sample):
        layer_states(model.network, parameters, part, parallel_map, layer, write)
    if not all(result.is_finite for result in results.values()):
        raise diverged("states", parameters.dtype, lstm)
    return {name: result.like_input(squeezed=False) for name, result in results.items()}
