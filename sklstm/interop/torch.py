"""Weights of PyTorch modules, as arrays. PyTorch need not be installed.

A network of sklstm is an ``nn.Embedding``, if the steps are tokens, one or several ``nn.LSTM``, and
an ``nn.Linear``. Between the last two, the states are pooled over time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm.interop import _gates
from sklstm.interop._arrays import Arrays, as_array, fitted, plain_arrays
from sklstm.interop._fitted import Direction

__all__ = ["from_state_dict", "to_state_dict"]

Array = NDArray[Any]
StateDict = dict[str, Array]


def to_state_dict(
    estimator: Any,
    *,
    lstm: str | Sequence[str] = "lstm",
    linear: str = "linear",
    embedding: str = "embedding",
) -> StateDict:
    """Return the weights of a fitted estimator as a state dict of PyTorch.

    Parameters
    ----------
    estimator : LSTMClassifier or LSTMRegressor
        A fitted estimator.
    lstm : str or sequence of str, default="lstm"
        Name of the ``nn.LSTM``. All its layers have the same size; for layers of different sizes,
        give a name for each.
    linear, embedding : str, default="linear" and "embedding"
        Names of the ``nn.Linear`` and of the ``nn.Embedding``.

    Returns
    -------
    dict of str to ndarray
        With ``torch.from_numpy(array)`` for each array, a state dict for ``load_state_dict``. An
        empty name of a module stands for its own state dict.

        The network reads unscaled inputs. Its outputs are the logits of a classifier (for two
        classes one, that of the second) or the predictions of a regressor, for ``loss="poisson"``
        their logarithms. Several quantiles are not sorted; with ``loss="gaussian"`` the logarithms
        of the standard deviations follow the means.

    Raises
    ------
    ValueError
        If the layers have different sizes and ``lstm`` is one name.

    See Also
    --------
    from_state_dict : The inverse.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMClassifier
    >>> from sklstm.interop.torch import to_state_dict
    >>> X = np.random.default_rng(0).normal(size=(40, 5, 3))
    >>> clf = LSTMClassifier(8, random_state=0).fit(X, X.sum(axis=(1, 2)) > 0)
    >>> state_dict = to_state_dict(clf)
    >>> {name: array.shape for name, array in state_dict.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'lstm.weight_ih_l0': (32, 3), 'lstm.weight_hh_l0': (32, 8), 'lstm.bias_ih_l0': (32,),
     'lstm.bias_hh_l0': (32,), 'linear.weight': (1, 16), 'linear.bias': (1,)}
    """
    arrays = plain_arrays(estimator)
    state_dict: StateDict = {}
    for prefix, layers in _modules(arrays.layers, lstm):
        for k, layer in enumerate(layers):
            for suffix, direction in zip(("", "_reverse"), layer, strict=False):
                for name, array in _to_torch(direction).items():
                    state_dict[f"{prefix}{name}_l{k}{suffix}"] = array
    state_dict[f"{_prefix(linear)}weight"] = np.array(arrays.dense_weight.T, order="C")
    state_dict[f"{_prefix(linear)}bias"] = arrays.dense_bias.copy()
    if arrays.embedding is not None:
        state_dict[f"{_prefix(embedding)}weight"] = arrays.embedding.copy()
    return state_dict


def from_state_dict(
    state_dict: Mapping[str, Any],
    estimator: Any,
    *,
    classes: Any = None,
    multilabel: bool = False,
    lstm: str | Sequence[str] = "lstm",
    linear: str = "linear",
    embedding: str = "embedding",
) -> Any:
    """Return a fitted estimator with the weights of a state dict of PyTorch.

    With ``warm_start=True``, its ``fit`` continues to train them, and so does ``partial_fit``.

    Parameters
    ----------
    state_dict : mapping of str to tensor or array
        Weights of an ``nn.LSTM`` of any number of layers, with one or two directions and with or
        without biases, of an ``nn.Linear``, and of an ``nn.Embedding`` if the steps are tokens.
        Other names are ignored.
    estimator : LSTMClassifier or LSTMRegressor
        The kind of the model, and its other parameters: ``pooling`` and ``return_sequences`` say
        what the ``nn.Linear`` reads, ``loss="poisson"`` that the outputs are logarithms. It is not
        changed. ``hidden_layer_sizes``, ``bidirectional``, ``vocabulary_size`` and
        ``embedding_size`` are those of the weights.
    classes : array-like, default=None
        Labels of the classes, sorted; by default 0, 1 and so on. For two classes, the
        ``nn.Linear`` may have one output or two.
    multilabel : bool, default=False
        Whether each output of a classifier is the logit of a label of its own.
    lstm : str or sequence of str, default="lstm"
        Names of one or several ``nn.LSTM``. An empty name stands for names without a prefix.
    linear, embedding : str, default="linear" and "embedding"
        Names of the ``nn.Linear`` and of the ``nn.Embedding``.

    Returns
    -------
    LSTMClassifier or LSTMRegressor
        A fitted estimator for 3-D arrays and lists of sequences. It computes in float32 if all
        weights are float32, and else in float64.

    Raises
    ------
    ValueError
        If weights are missing, have other shapes than expected or are not finite, or if
        ``classes`` do not match the outputs. Projections (``proj_size``) are not supported.
    TypeError
        If ``state_dict`` is no mapping, or ``estimator`` is of another class.

    See Also
    --------
    to_state_dict : The inverse.

    Notes
    -----
    With two directions, ``pooling="last"`` reads the forward state at the last time step and the
    reverse state at the first one, which PyTorch returns as ``h_n``. ``output[:, -1]`` of PyTorch
    is the reverse state at the last step instead, which no pooling of sklstm reads.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMRegressor
    >>> from sklstm.interop.torch import from_state_dict
    >>> rng = np.random.default_rng(0)
    >>> state_dict = {  # of nn.LSTM(2, 3) and nn.Linear(3, 1)
    ...     "lstm.weight_ih_l0": rng.normal(size=(12, 2)),
    ...     "lstm.weight_hh_l0": rng.normal(size=(12, 3)),
    ...     "lstm.bias_ih_l0": rng.normal(size=12),
    ...     "lstm.bias_hh_l0": rng.normal(size=12),
    ...     "linear.weight": rng.normal(size=(1, 3)),
    ...     "linear.bias": np.zeros(1),
    ... }
    >>> reg = from_state_dict(state_dict, LSTMRegressor(pooling="last"))
    >>> reg.predict([rng.normal(size=(5, 2)), rng.normal(size=(3, 2))]).shape
    (2,)
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            "state_dict: expected a mapping of names to tensors or arrays, as state_dict() of a "
            f"module returns, got an object of type {type(state_dict).__name__}"
        )
    names = [lstm] if isinstance(lstm, str) else list(lstm)
    layers = [layer for name in names for layer in _layers(state_dict, _prefix(name))]
    if f"{_prefix(linear)}weight" not in state_dict:
        raise _missing(state_dict, f"{_prefix(linear)}weight", "the parameter linear is its name")
    weight = _take(state_dict, f"{_prefix(linear)}weight", 2)
    bias = _take(state_dict, f"{_prefix(linear)}bias", 1, default=np.zeros(len(weight), np.float32))
    vectors = None
    if f"{_prefix(embedding)}weight" in state_dict and embedding:
        vectors = _take(state_dict, f"{_prefix(embedding)}weight", 2)
    return fitted(estimator, Arrays(layers, weight.T, bias, vectors), classes, multilabel)


def _prefix(name: str) -> str:
    return f"{name}." if name else ""


def _modules(
    layers: Sequence[Sequence[Direction]], lstm: str | Sequence[str]
) -> list[tuple[str, Sequence[Sequence[Direction]]]]:
    """The prefix of each ``nn.LSTM``, and its layers."""
    sizes = [layer[0].hidden for layer in layers]
    if isinstance(lstm, str):
        if len(set(sizes)) > 1:
            raise ValueError(
                f"lstm: expected {len(sizes)} names, since the layers of one nn.LSTM have the same "
                f"size and these have the sizes {sizes}, got {lstm!r}"
            )
        return [(_prefix(lstm), layers)]
    if len(lstm) != len(layers):
        raise ValueError(f"lstm: expected {len(layers)} names, one for each layer, got {lstm!r}")
    return [(_prefix(name), [layer]) for name, layer in zip(lstm, layers, strict=True)]


def _to_torch(direction: Direction) -> StateDict:
    """The weights of one direction in PyTorch's layout; its second bias is zero."""
    ih, hh, bias = (_gates.to_order(array, _gates.TORCH) for array in direction)
    return {
        "weight_ih": np.array(ih.T, order="C"),
        "weight_hh": np.array(hh.T, order="C"),
        "bias_ih": bias,
        "bias_hh": np.zeros_like(bias),
    }


def _layers(state_dict: Mapping[str, Any], prefix: str) -> list[list[Direction]]:
    """The layers of one ``nn.LSTM``."""
    layers: list[list[Direction]] = []
    while f"{prefix}weight_ih_l{len(layers)}" in state_dict:
        k = len(layers)
        suffixes = ["", "_reverse"] if f"{prefix}weight_ih_l{k}_reverse" in state_dict else [""]
        layers.append([_direction(state_dict, prefix, f"_l{k}{suffix}") for suffix in suffixes])
    if not layers:
        raise _missing(state_dict, f"{prefix}weight_ih_l0", "the parameter lstm is its name")
    return layers


def _missing(state_dict: Mapping[str, Any], name: str, hint: str) -> ValueError:
    return ValueError(f"state_dict: expected {name}, got only {sorted(state_dict)}; {hint}")


def _direction(state_dict: Mapping[str, Any], prefix: str, suffix: str) -> Direction:
    if f"{prefix}weight_hr{suffix}" in state_dict:
        raise ValueError(f"{prefix}weight_hr{suffix}: projections (proj_size) are not supported")
    weight_ih = _take(state_dict, f"{prefix}weight_ih{suffix}", 2)
    weight_hh = _take(state_dict, f"{prefix}weight_hh{suffix}", 2)
    if len(weight_ih) % 4:
        raise ValueError(
            f"{prefix}weight_ih{suffix}: expected (4 * hidden, n_inputs), got {weight_ih.shape}"
        )
    bias = np.zeros(len(weight_ih), np.float32)
    names = [f"{prefix}bias_ih{suffix}", f"{prefix}bias_hh{suffix}"]
    for name in names if any(name in state_dict for name in names) else []:
        given = _take(state_dict, name, 1)
        if len(given) != len(weight_ih):
            raise ValueError(f"{name}: expected {len(weight_ih)} values, got {len(given)}")
        bias = bias + given
    arrays = weight_ih.T, weight_hh.T, bias
    return Direction(*(_gates.from_order(np.asarray(array), _gates.TORCH) for array in arrays))


def _take(
    state_dict: Mapping[str, Any], name: str, ndim: int, default: Array | None = None
) -> Array:
    if name not in state_dict:
        if default is not None:
            return default
        raise ValueError(f"state_dict: expected {name}, got only {sorted(state_dict)}")
    return as_array(state_dict[name], name, ndim)


# Pickles name these objects by the public path.
for _function in (from_state_dict, to_state_dict):
    _function.__module__ = __name__
