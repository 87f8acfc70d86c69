"""The functions of the textbook LSTM.

Shapes: ``T`` time steps, ``N`` sequences, ``D`` inputs, ``H`` hidden units, ``K`` outputs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sklstm._network import dense, losses
from sklstm._threads import with_single_blas_thread
from sklstm.functional._passes import (
    LSTM,
    OUTPUT_LAYER,
    Array,
    Cache,
    Parameters,
    State,
    backward,
    check_cache,
    check_shapes,
    checked,
    floats,
    forward,
    named,
    upstream,
)

_GATES = "ifoc"  # textbooks name the candidate "c", after the cell


def sigmoid(x: ArrayLike) -> Array:
    """Compute the logistic function, 1 / (1 + exp(-x)), without overflow.

    Parameters
    ----------
    x : array-like
        Real numbers of any shape.

    Returns
    -------
    ndarray
        Values in [0, 1] in the shape of ``x``; float32 if ``x`` is float32, else float64.

    Examples
    --------
    >>> from sklstm.functional import sigmoid
    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    values = floats("x", x)
    return losses.sigmoid(values).astype(values.dtype, copy=False)


def softmax(x: ArrayLike, axis: int = -1) -> Array:
    """Compute the softmax along an axis, without overflow.

    Parameters
    ----------
    x : array-like
        Logits, real numbers with at least one axis.
    axis : int, default=-1
        The result sums to one along this axis.

    Returns
    -------
    ndarray
        Values in [0, 1] in the shape of ``x``; float32 if ``x`` is float32, else float64.

    Examples
    --------
    >>> from sklstm.functional import softmax
    >>> softmax([[1000, 1000], [0, 0]]).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    values = np.moveaxis(floats("x", x), axis, -1)
    return np.moveaxis(losses.softmax(values), -1, axis)


def lstm_cell_forward(
    x_t: ArrayLike, h: ArrayLike, c: ArrayLike, parameters: Parameters
) -> tuple[Array, Array, Cache]:
    """Compute one time step of an LSTM.

    The LSTM has forget gates and no peephole connections (Hochreiter & Schmidhuber 1997, Gers et
    al. 2000; equations 1 to 6 in :doc:`/textbook`).

    Parameters
    ----------
    x_t : array-like of shape (N, D)
        Inputs at the time step.
    h, c : array-like of shape (N, H)
        Hidden and cell state before the step.
    parameters : dict of str to array-like
        ``weight_ih`` (D, 4 H), ``weight_hh`` (H, 4 H) and ``bias`` (4 H,), with the gates in the
        order input, forget, output, candidate.

    Returns
    -------
    h, c : ndarray of shape (N, H)
        Hidden and cell state after the step.
    cache : object
        An argument of :func:`lstm_cell_backward`.

    Raises
    ------
    ValueError
        If a parameter is missing, or if an argument has a wrong shape or is not real.

    Examples
    --------
    >>> from sklstm.functional import lstm_cell_backward, lstm_cell_forward
    >>> parameters = {"weight_ih": [[1] * 4], "weight_hh": [[1] * 4], "bias": [0] * 4}
    >>> h, c, cache = lstm_cell_forward([[0]], [[0]], [[1]], parameters)  # gates half open
    >>> h, c
    (array([[0.23105858]]), array([[0.5]]))
    >>> lstm_cell_backward(dh=None, dc=[[1]], cache=cache)["c"]  # through the forget gate
    array([[0.5]])
    """
    return forward("lstm_cell_forward", "ND", {"x_t": x_t, "h": h, "c": c}, parameters)


def lstm_cell_backward(dh: State, dc: State, cache: Cache) -> dict[str, Array]:
    """Compute the gradients of one time step of an LSTM.

    Parameters
    ----------
    dh, dc : array-like of shape (N, H) or None
        Gradients with respect to the hidden and cell state after the step. ``dc`` must not include
        the gradient that reaches the cell state through the hidden state. None means zeros.
    cache : object
        The cache returned by :func:`lstm_cell_forward`.

    Returns
    -------
    dict of str to ndarray
        Gradients with respect to ``x_t``, ``h`` and ``c`` (the states before the step),
        ``weight_ih``, ``weight_hh`` and ``bias``.

    Raises
    ------
    TypeError or ValueError
        If ``cache`` was returned by another function, or if a gradient has a wrong shape.

    Examples
    --------
    >>> from sklstm.functional import lstm_cell_backward, lstm_cell_forward
    >>> parameters = {"weight_ih": [[1] * 4], "weight_hh": [[1] * 4], "bias": [0] * 4}
    >>> h, c, cache = lstm_cell_forward([[0]], [[0]], [[1]], parameters)
    >>> sorted(lstm_cell_backward(dh=[[1]], dc=None, cache=cache))
    ['bias', 'c', 'h', 'weight_hh', 'weight_ih', 'x_t']
    """
    check_cache(cache, "lstm_cell_forward")
    return backward(cache, dh, dc)


def lstm_forward(
    x: ArrayLike, parameters: Parameters, h0: State = None, c0: State = None
) -> tuple[Array, Array, Cache]:
    """Compute the states of an LSTM at every time step: equations 1 to 6 in :doc:`/textbook`.

    Parameters
    ----------
    x : array-like of shape (T, N, D)
        Inputs, with the time steps on the first axis.
    parameters : dict of str to array-like
        As for :func:`lstm_cell_forward`.
    h0, c0 : array-like of shape (N, H), default=None
        Hidden and cell state before the first step. None means zeros.

    Returns
    -------
    h, c : ndarray of shape (T, N, H)
        Hidden and cell state after each step.
    cache : object
        An argument of :func:`lstm_backward`.

    Raises
    ------
    ValueError
        If a parameter is missing, or if an argument has a wrong shape or is not real.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_backward, lstm_forward
    >>> parameters = {"weight_ih": np.ones((2, 4)), "weight_hh": np.ones((1, 4)), "bias": [0] * 4}
    >>> h, c, cache = lstm_forward(np.ones((7, 5, 2)), parameters)
    >>> h.shape, c.shape
    ((7, 5, 1), (7, 5, 1))
    >>> {name: array.shape for name, array in lstm_backward(np.ones_like(h), cache).items()}
    {'x': (7, 5, 2), 'h0': (5, 1), 'c0': (5, 1),
     'weight_ih': (2, 4), 'weight_hh': (1, 4), 'bias': (4,)}
    """
    return forward("lstm_forward", "TND", {"x": x, "h0": h0, "c0": c0}, parameters)


def lstm_backward(dh: State, cache: Cache, dc: State = None) -> dict[str, Array]:
    """Compute the gradients of an LSTM by backpropagation through time.

    See Graves 2012, chapter 4, and equations 8 to 12 in :doc:`/textbook`.

    Parameters
    ----------
    dh : array-like of shape (T, N, H) or None
        Gradients of the objective with respect to the hidden state of each step. They must not
        include the gradient that reaches a hidden state through later steps. None means zeros.
    cache : object
        The cache returned by :func:`lstm_forward`.
    dc : array-like of shape (T, N, H), default=None
        The same for the cell state of each step.

    Returns
    -------
    dict of str to ndarray
        Gradients with respect to ``x``, ``h0``, ``c0`` (also if they were None), ``weight_ih``,
        ``weight_hh`` and ``bias``.

    Raises
    ------
    TypeError or ValueError
        If ``cache`` was returned by another function, or if a gradient has a wrong shape.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_backward, lstm_forward
    >>> parameters = {"weight_ih": np.ones((2, 4)), "weight_hh": np.ones((1, 4)), "bias": [0] * 4}
    >>> h, c, cache = lstm_forward(np.ones((7, 5, 2)), parameters)
    >>> gradients = lstm_backward(2 * h, cache)  # of the sum of squared hidden states
    >>> gradients["weight_ih"].shape, gradients["x"].shape
    ((2, 4), (7, 5, 2))
    """
    check_cache(cache, "lstm_forward")
    return backward(cache, dh, dc)


def lstm_predict_forward(
    x: ArrayLike, parameters: Parameters, h0: State = None, c0: State = None
) -> tuple[Array, Array, Array, Cache]:
    """Compute an LSTM followed by a dense output layer and a softmax at every time step.

    Parameters
    ----------
    x : array-like of shape (T, N, D)
        Inputs, with the time steps on the first axis.
    parameters : dict of str to array-like
        As for :func:`lstm_cell_forward`, and the parameters of the output layer,
        ``dense.weight`` (H, K) and ``dense.bias`` (K,).
    h0, c0 : array-like of shape (N, H), default=None
        As for :func:`lstm_forward`.

    Returns
    -------
    h, c : ndarray of shape (T, N, H)
        Hidden and cell state after each step.
    y : ndarray of shape (T, N, K)
        Probabilities at each step: the softmax of the logits ``h @ dense.weight + dense.bias``.
    cache : object
        An argument of :func:`lstm_predict_backward`.

    Raises
    ------
    ValueError
        If a parameter is missing, or if an argument has a wrong shape or is not real.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_predict_backward, lstm_predict_forward
    >>> parameters = {"weight_ih": np.ones((2, 4)), "weight_hh": np.ones((1, 4)), "bias": [0] * 4}
    >>> parameters |= {"dense.weight": np.ones((1, 2)), "dense.bias": [0, 0]}
    >>> h, c, y, cache = lstm_predict_forward(np.ones((7, 5, 2)), parameters)
    >>> y.shape, y[-1, 0]
    ((7, 5, 2), array([0.5, 0.5]))
    >>> lstm_predict_backward(y - [0, 1], cache)["dense.bias"]  # 7 times 5 labels, all the second
    array([ 17.5, -17.5])
    """
    arguments = {"x": x, "h0": h0, "c0": c0}
    h, c, cache = forward("lstm_predict_forward", "TND", arguments, parameters, *OUTPUT_LAYER)
    logits = with_single_blas_thread(dense.forward, cache.output_layer, cache.hidden)
    return h, c, losses.softmax(logits).reshape(*h.shape[:-1], -1), cache


def lstm_predict_backward(
    dy: ArrayLike, cache: Cache, dh: State = None, dc: State = None
) -> dict[str, Array]:
    """Compute the gradients of an LSTM with an output layer by backpropagation through time.

    Parameters
    ----------
    dy : array-like of shape (T, N, K)
        Gradients of the objective with respect to the logits. For the cross-entropy of one-hot
        labels they are ``y - labels``.
    cache : object
        The cache returned by :func:`lstm_predict_forward`.
    dh, dc : array-like of shape (T, N, H), default=None
        Further gradients with respect to the states of each step. They must not include those that
        reach a state through the output layer or through later steps. None means zeros.

    Returns
    -------
    dict of str to ndarray
        Gradients as in :func:`lstm_backward`, and for ``dense.weight`` and ``dense.bias``.

    Raises
    ------
    TypeError or ValueError
        If ``cache`` was returned by another function, or if a gradient has a wrong shape.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_predict_backward, lstm_predict_forward
    >>> parameters = {"weight_ih": np.ones((2, 4)), "weight_hh": np.ones((1, 4)), "bias": [0] * 4}
    >>> parameters |= {"dense.weight": np.ones((1, 2)), "dense.bias": [0, 0]}
    >>> h, c, y, cache = lstm_predict_forward(np.ones((7, 5, 2)), parameters)
    >>> gradients = lstm_predict_backward(y - [0, 1], cache)  # of the cross-entropy
    >>> gradients["dense.weight"].shape, gradients["weight_hh"].shape
    ((1, 2), (1, 4))
    """
    check_cache(cache, "lstm_predict_forward")
    gradient = {name: np.zeros_like(array) for name, array in cache.output_layer.items()}
    at_logits = upstream("dy", dy, cache, K=len(cache.output_layer[OUTPUT_LAYER[1]]))
    at_hidden = with_single_blas_thread(
        dense.backward, cache.output_layer, cache.hidden, at_logits, gradient
    )
    if dh is not None:
        at_hidden += upstream("dh", dh, cache)
    return backward(cache, at_hidden.reshape(*cache.shape[:-1], -1), dc) | gradient


def parameters_from_gates(gates: Parameters) -> dict[str, Array]:
    """Convert parameters of the single gates, as in textbooks, to the parameters of this module.

    Parameters
    ----------
    gates : dict of str to array-like
        Weights ``Wi``, ``Wf``, ``Wo``, ``Wc`` (H, H + D), which multiply the hidden state stacked
        on the inputs, and biases ``bi``, ``bf``, ``bo``, ``bc`` (H, 1). With an output layer, also
        ``Wy`` (K, H) and ``by`` (K, 1). Other keys are ignored.

    Returns
    -------
    dict of str to ndarray
        ``weight_ih`` (D, 4 H), ``weight_hh`` (H, 4 H) and ``bias`` (4 H,). With an output layer,
        also ``dense.weight`` (H, K) and ``dense.bias`` (K,).

    Raises
    ------
    ValueError
        If a parameter is missing, has a wrong shape or is not real.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import parameters_from_gates
    >>> gates = {f"W{gate}": np.ones((3, 3 + 2)) for gate in "ifoc"}
    >>> gates |= {f"b{gate}": np.zeros((3, 1)) for gate in "ifoc"}
    >>> {name: array.shape for name, array in parameters_from_gates(gates).items()}
    {'weight_ih': (2, 12), 'weight_hh': (3, 12), 'bias': (12,)}
    """
    has_output_layer = "Wy" in gates or "by" in gates
    names = [kind + gate for kind in "Wb" for gate in _GATES]
    found = named("gates", gates, [*names, "Wy", "by"] if has_output_layer else names)
    hidden, width = checked("Wi", found["Wi"], {"H": None, "H + D": None}).shape
    if width <= hidden:
        raise ValueError(f"Wi: expected shape (H, H + D), D at least 1, got {(hidden, width)}")
    for gate in _GATES:
        checked(f"W{gate}", found[f"W{gate}"], {"H": hidden, "H + D": width})
        checked(f"b{gate}", found[f"b{gate}"], {"H": hidden, "1": 1})
    weights, bias = (np.concatenate([found[kind + gate] for gate in _GATES]) for kind in "Wb")
    parameters = dict(zip(LSTM, (weights.T[hidden:], weights.T[:hidden], bias[:, 0]), strict=True))
    if has_output_layer:
        n_outputs = len(checked("Wy", found["Wy"], {"K": None, "H": hidden}))
        checked("by", found["by"], {"K": n_outputs, "1": 1})
        parameters |= zip(OUTPUT_LAYER, (found["Wy"].T, found["by"][:, 0]), strict=True)
    return {name: np.array(value, order="C") for name, value in parameters.items()}


def parameters_to_gates(parameters: Parameters) -> dict[str, Array]:
    """Convert parameters or gradients to those of single gates, as in textbooks.

    Parameters
    ----------
    parameters : dict of str to array-like
        Parameters as returned by :func:`parameters_from_gates`. Other keys are ignored.

    Returns
    -------
    dict of str to ndarray
        The argument ``gates`` of :func:`parameters_from_gates`.

    Raises
    ------
    ValueError
        If a parameter is missing, has a wrong shape or is not real.

    Examples
    --------
    >>> from sklstm.functional import parameters_to_gates
    >>> parameters = {"weight_ih": [[0] * 4], "weight_hh": [[0] * 4], "bias": [1, 2, 3, 4]}
    >>> parameters_to_gates(parameters)["bf"]
    array([[2.]])
    """
    has_output_layer = any(name in parameters for name in OUTPUT_LAYER)
    found = named("parameters", parameters, LSTM + OUTPUT_LAYER if has_output_layer else LSTM)
    check_shapes(found, None)
    weights = np.concatenate([found["weight_hh"], found["weight_ih"]]).T
    gates: dict[str, Array] = {}
    for kind, array in (("W", weights), ("b", found["bias"][:, None])):
        gates |= zip((kind + gate for gate in _GATES), np.split(array, 4), strict=True)
    if has_output_layer:
        weight, bias = (found[name] for name in OUTPUT_LAYER)
        gates |= {"Wy": weight.T, "by": bias[:, None]}
    return {name: np.array(value, order="C") for name, value in gates.items()}
