"""Weights of Keras layers, as arrays. Keras need not be installed.

A network of sklstm is a ``Sequential`` model: ``Embedding``, if the steps are tokens, ``LSTM``
layers, each inside ``Bidirectional`` if it has two directions, a pooling over time, and ``Dense``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from sklstm.interop import _gates
from sklstm.interop._arrays import Arrays, as_array, fitted, plain_arrays
from sklstm.interop._fitted import Direction

__all__ = ["from_weights", "to_weights"]

Array = NDArray[Any]


def to_weights(estimator: Any) -> list[Array]:
    """Return the weights of a fitted estimator in the order of Keras.

    Parameters
    ----------
    estimator : LSTMClassifier or LSTMRegressor
        A fitted estimator.

    Returns
    -------
    list of ndarray
        What ``set_weights`` of a ``Sequential`` model takes: the vectors of the ``Embedding``, if
        the steps are tokens; for each ``LSTM`` layer and direction ``kernel``,
        ``recurrent_kernel`` and ``bias``; ``kernel`` and ``bias`` of the ``Dense`` layer.

        The network reads unscaled inputs. Its outputs are the logits of a classifier (for two
        classes one, that of the second) or the predictions of a regressor, for ``loss="poisson"``
        their logarithms. Several quantiles are not sorted; with ``loss="gaussian"`` the logarithms
        of the standard deviations follow the means.

    See Also
    --------
    from_weights : The inverse.

    Notes
    -----
    The pooling has no weights. "mean" is ``GlobalAveragePooling1D``, "max" ``GlobalMaxPooling1D``,
    and "mean_max" both, concatenated. "last" is an LSTM layer with ``return_sequences=False``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMClassifier
    >>> from sklstm.interop.keras import to_weights
    >>> X = np.random.default_rng(0).normal(size=(40, 5, 3))
    >>> clf = LSTMClassifier(8, pooling="last", random_state=0).fit(X, X.sum(axis=(1, 2)) > 0)
    >>> [array.shape for array in to_weights(clf)]
    [(3, 32), (8, 32), (32,), (8, 1), (1,)]
    """
    arrays = plain_arrays(estimator)
    weights = [] if arrays.embedding is None else [arrays.embedding.copy()]
    for layer in arrays.layers:
        for direction in layer:
            weights += [_gates.to_order(array, _gates.KERAS) for array in direction]
    return [*weights, arrays.dense_weight.copy(), arrays.dense_bias.copy()]


def from_weights(
    weights: Sequence[Any], estimator: Any, *, classes: Any = None, multilabel: bool = False
) -> Any:
    """Return a fitted estimator with the weights of a Keras model.

    With ``warm_start=True``, its ``fit`` continues to train them, and so does ``partial_fit``.

    Parameters
    ----------
    weights : sequence of ndarray
        What ``get_weights`` of a ``Sequential`` model returns: see :func:`to_weights`. The LSTM
        layers must have biases and the activations that Keras has by default.
    estimator : LSTMClassifier or LSTMRegressor
        The kind of the model, and its other parameters: ``bidirectional`` says whether each LSTM
        layer has two directions, ``pooling`` and ``return_sequences`` what the ``Dense`` layer
        reads, and ``loss="poisson"`` that the outputs are logarithms. It is not changed.
        ``hidden_layer_sizes``, ``vocabulary_size`` and ``embedding_size`` are those of the weights.
    classes : array-like, default=None
        Labels of the classes, sorted; by default 0, 1 and so on. For two classes, the ``Dense``
        layer may have one output or two.
    multilabel : bool, default=False
        Whether each output of a classifier is the logit of a label of its own.

    Returns
    -------
    LSTMClassifier or LSTMRegressor
        A fitted estimator for 3-D arrays and lists of sequences. It computes in float32 if all
        weights are float32, and else in float64.

    Raises
    ------
    ValueError
        If there are too few or too many weights, if they have other shapes than expected or are
        not finite, or if ``classes`` do not match the outputs.
    TypeError
        If ``weights`` is no sequence, or ``estimator`` is of another class.

    See Also
    --------
    to_weights : The inverse.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMRegressor
    >>> from sklstm.interop.keras import from_weights
    >>> rng = np.random.default_rng(0)
    >>> shapes = [(2, 12), (3, 12), (12,), (3, 1), (1,)]  # of LSTM(3) and Dense(1)
    >>> weights = [rng.normal(size=shape) for shape in shapes]
    >>> reg = from_weights(weights, LSTMRegressor(pooling="last"))
    >>> reg.predict([rng.normal(size=(5, 2)), rng.normal(size=(3, 2))]).shape
    (2,)
    """
    if not isinstance(weights, Sequence) or isinstance(weights, str):
        raise TypeError(
            "weights: expected the list of arrays that get_weights() of a model returns, got an "
            f"object of type {type(weights).__name__}"
        )
    n_directions = 2 if getattr(estimator, "bidirectional", False) else 1
    given = list(weights)
    n_layers, n_first = divmod(len(given) - 2, 3 * n_directions)
    if n_layers < 1 or n_first > 1:
        raise ValueError(
            f"weights: expected {3 * n_directions} arrays for each LSTM layer (bidirectional="
            f"{n_directions == 2}), 2 for the Dense layer and perhaps 1 for an Embedding, got "
            f"{len(given)} arrays"
        )
    arrays = [_array(value, k, n_first, len(given)) for k, value in enumerate(given)]
    embedding = arrays.pop(0) if n_first else None
    *recurrent, dense_weight, dense_bias = arrays
    directions = [
        Direction(*(_gates.from_order(array, _gates.KERAS) for array in recurrent[k : k + 3]))
        for k in range(0, len(recurrent), 3)
    ]
    layers = [directions[k : k + n_directions] for k in range(0, len(directions), n_directions)]
    parts = Arrays(layers, dense_weight, dense_bias, embedding)
    return fitted(estimator, parts, classes, multilabel)


def _array(value: Any, k: int, n_first: int, n_weights: int) -> Array:
    """One of the weights, with the number of axes that its place asks for."""
    if k < n_first or k == n_weights - 2:
        ndim = 2
    elif k == n_weights - 1:
        ndim = 1
    else:
        ndim = 1 if (k - n_first) % 3 == 2 else 2
    array = as_array(value, f"weights[{k}]", ndim)
    if n_first <= k < n_weights - 2 and array.shape[-1] % 4:
        raise ValueError(f"weights[{k}]: expected a multiple of 4 columns, got {array.shape}")
    return array


# Pickles name these objects by the public path.
for _function in (from_weights, to_weights):
    _function.__module__ = __name__
