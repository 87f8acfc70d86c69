"""The LSTM of the textbooks as plain functions: a step or a sequence, forward and backward.

They run on the kernels of the estimators. A step is a sequence of length one; all sequences of a
batch are equally long. Shapes: ``T`` steps, ``N`` sequences, ``D`` inputs, ``H`` hidden units,
``K`` outputs.

Parameters are a dict: ``weight_ih`` (D, 4 H), ``weight_hh`` (H, 4 H) and ``bias`` (4 H,), with the
gates side by side in the order input, forget, output, candidate; where there is a read-out, also
``dense.weight`` (H, K) and ``dense.bias`` (K,). Other keys are ignored. Those of a fitted estimator
are ``{name.removeprefix("lstm_0."): value for name, value in estimator.parameters_.items()}``.

If every array is float32, so is every result; otherwise all are float64. No argument is modified,
and a cache stands for its forward pass however often it is used, whatever becomes of the arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from sklstm._network import dense, losses
from sklstm._network.kernels import with_numpy as kernel
from sklstm._network.kernels.walk import Walk
from sklstm._network.kernels.with_numpy import Weights
from sklstm._network.parameters import Views
from sklstm._threads import single_blas_thread

__all__ = [
    "lstm_backward",
    "lstm_cell_backward",
    "lstm_cell_forward",
    "lstm_forward",
    "lstm_predict_backward",
    "lstm_predict_forward",
    "parameters_from_gates",
    "parameters_to_gates",
    "sigmoid",
    "softmax",
]

Array = NDArray[np.floating]
#: What a shape is made of: the name of each axis, and its length where that is known.
Axes = dict[str, int | None]

LSTM = ("weight_ih", "weight_hh", "bias")
READ_OUT = (f"{dense.NAME}.weight", f"{dense.NAME}.bias")
#: Gate by gate, in our order; the textbook's candidate is "c", for the cell it updates.
GATES = ("i", "f", "o", "c")


def sigmoid(x: ArrayLike) -> Array:
    """Logistic function, 1 / (1 + exp(-x)), which overflows nowhere.

    Parameters
    ----------
    x : array-like
        Numbers of any shape.

    Returns
    -------
    ndarray
        Values in [0, 1], in the shape of ``x``; float32 if ``x`` is, else float64.

    Raises
    ------
    TypeError
        If ``x`` does not hold real numbers.

    Examples
    --------
    >>> from sklstm.functional import sigmoid
    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    values = _floats("x", x)
    return losses.sigmoid(values).astype(values.dtype, copy=False)


def softmax(x: ArrayLike, axis: int = -1) -> Array:
    """Exponentials that are divided by their sum, each row shifted by its own maximum before.

    Parameters
    ----------
    x : array-like
        Logits, with at least one axis.
    axis : int, default=-1
        The axis along which the result sums to one.

    Returns
    -------
    ndarray
        Values in [0, 1], in the shape of ``x``; float32 if ``x`` is, else float64.

    Raises
    ------
    TypeError
        If ``x`` does not hold real numbers.
    ValueError
        If ``x`` has no such axis, or nothing along it.

    Examples
    --------
    >>> from sklstm.functional import softmax
    >>> softmax([[1000.0, 1000.0], [-1000.0, -1000.0]])
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    values = _floats("x", x)
    return np.moveaxis(losses.softmax(np.moveaxis(values, axis, -1)), -1, axis)


def lstm_cell_forward(
    x_t: ArrayLike, h: ArrayLike, c: ArrayLike, parameters: Mapping[str, ArrayLike]
) -> tuple[Array, Array, _Cache]:
    """One step of an LSTM with forget gates and without peepholes.

    Parameters
    ----------
    x_t : array-like of shape (N, D)
        Inputs of this step.
    h, c : array-like of shape (N, H)
        Hidden and cell state before it.
    parameters : dict of str to array-like
        ``weight_ih`` (D, 4 H), ``weight_hh`` (H, 4 H) and ``bias`` (4 H,); gates in the order
        input, forget, output, candidate.

    Returns
    -------
    h, c : ndarray of shape (N, H)
        Hidden and cell state after it.
    cache : object
        What :func:`lstm_cell_backward` needs.

    Raises
    ------
    TypeError
        If an argument does not hold real numbers.
    ValueError
        If a parameter is missing, or shapes do not fit together.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber: Long Short-Term Memory. Neural Computation 9, 1997.
    .. [2] F. Gers, J. Schmidhuber, F. Cummins: Learning to Forget: Continual Prediction with LSTM.
       Neural Computation 12, 2000.
    .. [3] K. Greff et al.: LSTM: A Search Space Odyssey. IEEE Transactions on Neural Networks and
       Learning Systems 28, 2017; section II, without its peepholes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_cell_forward
    >>> parameters = {"weight_ih": np.ones((2, 12)), "weight_hh": np.ones((3, 12)),
    ...               "bias": np.zeros(12)}
    >>> h, c, cache = lstm_cell_forward(np.ones((5, 2)), np.zeros((5, 3)), np.zeros((5, 3)),
    ...                                 parameters)
    >>> h.shape, c.shape
    ((5, 3), (5, 3))
    """
    inputs = _checked("x_t", x_t, {"N": None, "D": None})
    h_next, c_next, cache = _forward("lstm_cell_forward", inputs, parameters, {"h": h, "c": c})
    return h_next, c_next, cache


def lstm_cell_backward(
    dh: ArrayLike | None, dc: ArrayLike | None, cache: _Cache
) -> dict[str, Array]:
    """Gradients of one step, from those at the states after it.

    Parameters
    ----------
    dh, dc : array-like of shape (N, H) or None
        Gradients at the hidden and cell state after the step; None stands for zeros. ``dc`` is what
        comes from later steps: what ``dh`` adds to it on the way through the output is added here.
    cache : object
        Of :func:`lstm_cell_forward`.

    Returns
    -------
    dict of str to ndarray
        Gradients under the names of the arguments: ``x_t``, ``h``, ``c`` (the states before the
        step), ``weight_ih``, ``weight_hh`` and ``bias``, each in the shape of its argument.

    Raises
    ------
    TypeError
        If ``cache`` comes from another function.
    ValueError
        If a gradient does not have the shape of the states.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_cell_backward, lstm_cell_forward
    >>> parameters = {"weight_ih": np.ones((2, 12)), "weight_hh": np.ones((3, 12)),
    ...               "bias": np.zeros(12)}
    >>> h, c, cache = lstm_cell_forward(np.ones((5, 2)), np.zeros((5, 3)), np.zeros((5, 3)),
    ...                                 parameters)
    >>> gradients = lstm_cell_backward(np.ones_like(h), None, cache)
    >>> gradients["x_t"].shape, gradients["weight_hh"].shape
    ((5, 2), (3, 12))
    """
    _check_cache(cache, "lstm_cell_forward")
    return _backward(cache, _upstream("dh", dh, cache), _upstream("dc", dc, cache))


def lstm_forward(
    x: ArrayLike,
    parameters: Mapping[str, ArrayLike],
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
) -> tuple[Array, Array, _Cache]:
    """Hidden and cell states of an LSTM at every step of equally long sequences.

    Parameters
    ----------
    x : array-like of shape (T, N, D)
        Inputs, time first.
    parameters : dict of str to array-like
        ``weight_ih`` (D, 4 H), ``weight_hh`` (H, 4 H) and ``bias`` (4 H,); gates in the order
        input, forget, output, candidate.
    h0, c0 : array-like of shape (N, H), default=None
        Hidden and cell state before the first step; None stands for zeros.

    Returns
    -------
    h, c : ndarray of shape (T, N, H)
        Hidden and cell state after each step.
    cache : object
        What :func:`lstm_backward` needs.

    Raises
    ------
    TypeError
        If an argument does not hold real numbers.
    ValueError
        If a parameter is missing, or shapes do not fit together.

    References
    ----------
    .. [1] A. Graves: Supervised Sequence Labelling with Recurrent Neural Networks. Springer, 2012;
       chapter 4, without its peepholes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_forward
    >>> parameters = {"weight_ih": np.ones((2, 12)), "weight_hh": np.ones((3, 12)),
    ...               "bias": np.zeros(12)}
    >>> h, c, cache = lstm_forward(np.ones((7, 5, 2)), parameters)
    >>> h.shape, c.shape
    ((7, 5, 3), (7, 5, 3))
    """
    inputs = _checked("x", x, {"T": None, "N": None, "D": None})
    return _forward("lstm_forward", inputs, parameters, {"h0": h0, "c0": c0})


def lstm_backward(
    dh: ArrayLike | None, cache: _Cache, dc: ArrayLike | None = None
) -> dict[str, Array]:
    """Backpropagation through time, from gradients at the states of every step.

    Parameters
    ----------
    dh : array-like of shape (T, N, H) or None
        How the objective depends on the hidden state of each step directly, not by way of later
        steps; None stands for zeros.
    cache : object
        Of :func:`lstm_forward`.
    dc : array-like of shape (T, N, H), default=None
        The same for the cell states.

    Returns
    -------
    dict of str to ndarray
        Gradients under the names of the arguments: ``x``, ``h0``, ``c0``, ``weight_ih``,
        ``weight_hh`` and ``bias``, each in the shape of its argument. Those of the initial states
        are there also where these were zero by default.

    Raises
    ------
    TypeError
        If ``cache`` comes from another function.
    ValueError
        If a gradient does not have the shape of the states.

    References
    ----------
    .. [1] A. Graves: Supervised Sequence Labelling with Recurrent Neural Networks. Springer, 2012;
       chapter 4, without its peepholes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_backward, lstm_forward
    >>> parameters = {"weight_ih": np.ones((2, 12)), "weight_hh": np.ones((3, 12)),
    ...               "bias": np.zeros(12)}
    >>> h, c, cache = lstm_forward(np.ones((7, 5, 2)), parameters)
    >>> gradients = lstm_backward(np.ones_like(h), cache)
    >>> sorted(gradients)
    ['bias', 'c0', 'h0', 'weight_hh', 'weight_ih', 'x']
    >>> gradients["h0"].shape
    (5, 3)
    """
    _check_cache(cache, "lstm_forward")
    return _backward(cache, _upstream("dh", dh, cache), _upstream("dc", dc, cache))


def lstm_predict_forward(
    x: ArrayLike,
    parameters: Mapping[str, ArrayLike],
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
) -> tuple[Array, Array, Array, _Cache]:
    """States of an LSTM at every step, and the softmax of a dense read-out of each.

    Parameters
    ----------
    x : array-like of shape (T, N, D)
        Inputs, time first.
    parameters : dict of str to array-like
        As for :func:`lstm_forward`, with ``dense.weight`` (H, K) and ``dense.bias`` (K,) of the
        read-out.
    h0, c0 : array-like of shape (N, H), default=None
        Hidden and cell state before the first step; None stands for zeros.

    Returns
    -------
    h, c : ndarray of shape (T, N, H)
        Hidden and cell state after each step.
    y : ndarray of shape (T, N, K)
        Probabilities at each step, the softmax of ``h @ dense.weight + dense.bias``.
    cache : object
        What :func:`lstm_predict_backward` needs.

    Raises
    ------
    TypeError
        If an argument does not hold real numbers.
    ValueError
        If a parameter is missing, or shapes do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_predict_forward
    >>> parameters = {"weight_ih": np.ones((2, 12)), "weight_hh": np.ones((3, 12)),
    ...               "bias": np.zeros(12), "dense.weight": np.ones((3, 4)),
    ...               "dense.bias": np.zeros(4)}
    >>> h, c, y, cache = lstm_predict_forward(np.ones((7, 5, 2)), parameters)
    >>> y.shape, y[-1, 0]
    ((7, 5, 4), array([0.25, 0.25, 0.25, 0.25]))
    """
    inputs = _checked("x", x, {"T": None, "N": None, "D": None})
    start = {"h0": h0, "c0": c0}
    h, c, cache = _forward("lstm_predict_forward", inputs, parameters, start, READ_OUT)
    with single_blas_thread:
        logits = dense.forward(cache.parameters, cache.hidden)
    return h, c, losses.softmax(logits).reshape(*h.shape[:-1], -1), cache


def lstm_predict_backward(
    dy: ArrayLike | None, cache: _Cache, dh: ArrayLike | None = None, dc: ArrayLike | None = None
) -> dict[str, Array]:
    """Backpropagation through read-out and time, from gradients at the logits of every step.

    Parameters
    ----------
    dy : array-like of shape (T, N, K) or None
        Gradients at the logits, not at the probabilities; None stands for zeros. For the
        cross-entropy of one-hot labels these are ``y - labels``.
    cache : object
        Of :func:`lstm_predict_forward`.
    dh, dc : array-like of shape (T, N, H), default=None
        How the objective depends on the hidden and cell state of each step besides, not by way of
        the read-out or later steps; None stands for zeros.

    Returns
    -------
    dict of str to ndarray
        As of :func:`lstm_backward`, with ``dense.weight`` and ``dense.bias``.

    Raises
    ------
    TypeError
        If ``cache`` comes from another function.
    ValueError
        If a gradient does not have the shape of what it belongs to.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_predict_backward, lstm_predict_forward
    >>> parameters = {"weight_ih": np.ones((2, 12)), "weight_hh": np.ones((3, 12)),
    ...               "bias": np.zeros(12), "dense.weight": np.ones((3, 4)),
    ...               "dense.bias": np.zeros(4)}
    >>> h, c, y, cache = lstm_predict_forward(np.ones((7, 5, 2)), parameters)
    >>> labels = np.eye(4)[np.zeros((7, 5), dtype=int)]
    >>> gradients = lstm_predict_backward(y - labels, cache)
    >>> gradients["dense.bias"]
    array([-26.25,   8.75,   8.75,   8.75])
    """
    _check_cache(cache, "lstm_predict_forward")
    n_outputs = len(cache.parameters[READ_OUT[1]])
    at_hidden, at_cells = _upstream("dh", dh, cache), _upstream("dc", dc, cache)
    at_logits = _upstream("dy", dy, cache, {"K": n_outputs})
    if at_logits is None:
        at_logits = np.zeros((len(cache.hidden), n_outputs), cache.hidden.dtype)
    read_out = {name: np.zeros_like(cache.parameters[name]) for name in READ_OUT}
    with single_blas_thread:
        through = dense.backward(cache.parameters, cache.hidden, at_logits, read_out)
    at_hidden = through if at_hidden is None else through + at_hidden
    return _backward(cache, at_hidden, at_cells) | read_out


def parameters_from_gates(gates: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Parameters out of those of each gate, as textbooks write them.

    Parameters
    ----------
    gates : dict of str to array-like
        For the input (i), forget (f) and output gate (o) and the candidate (c): ``Wi``, ``Wf``,
        ``Wo``, ``Wc`` (H, H + D), which multiply the hidden state stacked on the input, and ``bi``,
        ``bf``, ``bo``, ``bc`` (H, 1). With a read-out, also ``Wy`` (K, H) and ``by`` (K, 1). Other
        keys are ignored.

    Returns
    -------
    dict of str to ndarray
        ``weight_ih`` (D, 4 H), ``weight_hh`` (H, 4 H), ``bias`` (4 H,) and, with a read-out,
        ``dense.weight`` (H, K) and ``dense.bias`` (K,).

    Raises
    ------
    TypeError
        If a value does not hold real numbers.
    ValueError
        If one is missing, or shapes do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import parameters_from_gates
    >>> gates = {"W" + gate: np.ones((3, 3 + 2)) for gate in "ifoc"}
    >>> gates |= {"b" + gate: np.zeros((3, 1)) for gate in "ifoc"}
    >>> {name: value.shape for name, value in parameters_from_gates(gates).items()}
    {'weight_ih': (2, 12), 'weight_hh': (3, 12), 'bias': (12,)}
    """
    names = [kind + gate for kind in "Wb" for gate in GATES]
    found = _floats_of("gates", gates, names + (["Wy", "by"] if {"Wy", "by"} & set(gates) else []))
    hidden, width = _checked("Wi", found["Wi"], {"H": None, "H + D": None}).shape
    if width <= hidden:
        raise ValueError(f"Wi: expected shape (H, H + D) with D > 0, got {(hidden, width)}")
    for gate in GATES:
        _checked(f"W{gate}", found[f"W{gate}"], {"H": hidden, "H + D": width})
        _checked(f"b{gate}", found[f"b{gate}"], {"H": hidden, "1": 1})
    stacked = np.concatenate([found[f"W{gate}"] for gate in GATES]).T
    bias = np.concatenate([found[f"b{gate}"] for gate in GATES])[:, 0]
    parameters = dict(zip(LSTM, (stacked[hidden:].copy(), stacked[:hidden].copy(), bias), strict=True))
    if "Wy" in found:
        n_outputs = len(_checked("Wy", found["Wy"], {"K": None, "H": hidden}))
        _checked("by", found["by"], {"K": n_outputs, "1": 1})
        read_out = (np.array(found["Wy"].T, order="C"), found["by"][:, 0].copy())
        parameters |= dict(zip(READ_OUT, read_out, strict=True))
    return parameters
