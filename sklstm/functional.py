"""The LSTM of the textbooks as plain functions: a step or a sequence, forward and backward.

They run on the kernels of the estimators. A step is a sequence of length one; all sequences of a
batch are equally long. Shapes: ``T`` steps, ``N`` sequences, ``D`` inputs, ``H`` hidden units,
``K`` outputs.

Parameters are a dict: ``weight_ih`` (D, 4 H), ``weight_hh`` (H, 4 H) and ``bias`` (4 H,), with the
gates side by side in the order input, forget, output, candidate; where there is a read-out, also
``dense.weight`` (H, K) and ``dense.bias`` (K,). Other keys are ignored. Those of a fitted estimator
are ``{name.removeprefix("lstm_0."): value for name, value in estimator.parameters_.items()}``.

If all arrays of a forward pass are float32, so are its results and gradients; otherwise all are
float64. No argument is modified; a cache holds copies, and serves any number of reverse passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklstm._network import dense, kernels, losses
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.parameters import Views
from sklstm._threads import single_blas_thread

__all__ = [
    "lstm_backward", "lstm_cell_backward", "lstm_cell_forward", "lstm_forward",
    "lstm_predict_backward", "lstm_predict_forward", "parameters_from_gates",
    "parameters_to_gates", "sigmoid", "softmax",
]  # fmt: skip

Array = NDArray[np.floating]
Parameters = Mapping[str, ArrayLike]
State = ArrayLike | None
_Axes = Mapping[str, int | None]  # what each is called, and its length where that is known

_LSTM = ("weight_ih", "weight_hh", "bias")
_READ_OUT = (f"{dense.NAME}.weight", f"{dense.NAME}.bias")
_GATES = "ifoc"  # in our order; textbooks name the candidate after the cell


def sigmoid(x: ArrayLike) -> Array:
    """Logistic function, 1 / (1 + exp(-x)), which overflows nowhere.

    Parameters
    ----------
    x : array-like
        Real numbers of any shape.

    Returns
    -------
    ndarray
        Values in [0, 1], in the shape of ``x``; float32 if ``x`` is, else float64.

    Examples
    --------
    >>> from sklstm.functional import sigmoid
    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    values = _floats("x", x)
    return losses.sigmoid(values).astype(values.dtype, copy=False)


def softmax(x: ArrayLike, axis: int = -1) -> Array:
    """Softmax along an axis, each row shifted by its own maximum before.

    Parameters
    ----------
    x : array-like
        Logits, real numbers with at least one axis.
    axis : int, default=-1
        The axis along which the result sums to one.

    Returns
    -------
    ndarray
        Values in [0, 1], in the shape of ``x``; float32 if ``x`` is, else float64.

    Examples
    --------
    >>> from sklstm.functional import softmax
    >>> softmax([[1000, 1000], [0, 0]]).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    values = np.moveaxis(_floats("x", x), axis, -1)
    return np.moveaxis(losses.softmax(values), -1, axis)


def lstm_cell_forward(
    x_t: ArrayLike, h: ArrayLike, c: ArrayLike, parameters: Parameters
) -> tuple[Array, Array, _Cache]:
    """One step of an LSTM with forget gates and without peepholes.

    Hochreiter & Schmidhuber 1997, Gers et al. 2000; equations 1 to 6 in :doc:`/textbook`.

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
    ValueError
        If a parameter is missing, or an argument has not the right shape or no real numbers.

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
    return _forward("lstm_cell_forward", "ND", {"x_t": x_t, "h": h, "c": c}, parameters)


def lstm_cell_backward(dh: State, dc: State, cache: _Cache) -> dict[str, Array]:
    """One step back, from gradients at the states after it.

    Parameters
    ----------
    dh, dc : array-like of shape (N, H) or None
        Gradients at the hidden and cell state after the step; None stands for zeros. What reaches
        the cell state through the hidden state of this step is no part of ``dc``.
    cache : object
        From :func:`lstm_cell_forward`.

    Returns
    -------
    dict of str to ndarray
        Gradients by the names of the arguments: ``x_t``, ``h`` and ``c`` (the states before the
        step), ``weight_ih``, ``weight_hh`` and ``bias``.

    Raises
    ------
    TypeError or ValueError
        If ``cache`` comes from another function, or a gradient has not the shape of the states.
    """
    _check_cache(cache, "lstm_cell_forward")
    return _backward(cache, dh, dc)


def lstm_forward(
    x: ArrayLike, parameters: Parameters, h0: State = None, c0: State = None
) -> tuple[Array, Array, _Cache]:
    """Hidden and cell states of an LSTM at every step of equally long sequences.

    Equations 1 to 6 in :doc:`/textbook`.

    Parameters
    ----------
    x : array-like of shape (T, N, D)
        Inputs, time first.
    parameters : dict of str to array-like
        As for :func:`lstm_cell_forward`.
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
    ValueError
        If a parameter is missing, or an argument has not the right shape or no real numbers.

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
    return _forward("lstm_forward", "TND", {"x": x, "h0": h0, "c0": c0}, parameters)


def lstm_backward(dh: State, cache: _Cache, dc: State = None) -> dict[str, Array]:
    """Backpropagation through time, from gradients at the states of every step.

    Graves 2012, chapter 4; equations 8 to 12 in :doc:`/textbook`.

    Parameters
    ----------
    dh : array-like of shape (T, N, H) or None
        How the objective depends on the hidden state of each step directly, not by way of later
        steps; None stands for zeros.
    cache : object
        From :func:`lstm_forward`.
    dc : array-like of shape (T, N, H), default=None
        The same for the cell states.

    Returns
    -------
    dict of str to ndarray
        Gradients by the names of the arguments: ``x``, ``h0``, ``c0`` (also where these were left
        out), ``weight_ih``, ``weight_hh`` and ``bias``.

    Raises
    ------
    TypeError or ValueError
        If ``cache`` comes from another function, or a gradient has not the shape of the states.
    """
    _check_cache(cache, "lstm_forward")
    return _backward(cache, dh, dc)


def lstm_predict_forward(
    x: ArrayLike, parameters: Parameters, h0: State = None, c0: State = None
) -> tuple[Array, Array, Array, _Cache]:
    """An LSTM with a dense read-out of every step, and its softmax.

    Parameters
    ----------
    x : array-like of shape (T, N, D)
        Inputs, time first.
    parameters : dict of str to array-like
        As for :func:`lstm_cell_forward`, and the read-out's ``dense.weight`` (H, K) and
        ``dense.bias`` (K,).
    h0, c0 : array-like of shape (N, H), default=None
        As for :func:`lstm_forward`.

    Returns
    -------
    h, c : ndarray of shape (T, N, H)
        Hidden and cell state after each step.
    y : ndarray of shape (T, N, K)
        Probabilities at each step: the softmax of the logits ``h @ dense.weight + dense.bias``.
    cache : object
        What :func:`lstm_predict_backward` needs.

    Raises
    ------
    ValueError
        If a parameter is missing, or an argument has not the right shape or no real numbers.

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
    h, c, cache = _forward("lstm_predict_forward", "TND", arguments, parameters, *_READ_OUT)
    with single_blas_thread:
        logits = dense.forward(cache.read_out, cache.hidden)
    return h, c, losses.softmax(logits).reshape(*h.shape[:-1], -1), cache


def lstm_predict_backward(
    dy: ArrayLike, cache: _Cache, dh: State = None, dc: State = None
) -> dict[str, Array]:
    """Backpropagation through read-out and time, from gradients at the logits of every step.

    Parameters
    ----------
    dy : array-like of shape (T, N, K)
        Gradients at the logits: for the cross-entropy of one-hot labels, ``y - labels``.
    cache : object
        From :func:`lstm_predict_forward`.
    dh, dc : array-like of shape (T, N, H), default=None
        How the objective depends on the states of each step otherwise, neither by way of the
        read-out nor of later steps; None stands for zeros.

    Returns
    -------
    dict of str to ndarray
        As of :func:`lstm_backward`, and ``dense.weight`` and ``dense.bias``.

    Raises
    ------
    TypeError or ValueError
        If ``cache`` comes from another function, or a gradient has another shape than its array.
    """
    _check_cache(cache, "lstm_predict_forward")
    gradient = {name: np.zeros_like(array) for name, array in cache.read_out.items()}
    at_logits = _upstream("dy", dy, cache, K=len(cache.read_out[_READ_OUT[1]]))
    with single_blas_thread:
        at_hidden = dense.backward(cache.read_out, cache.hidden, at_logits, gradient)
    if dh is not None:
        at_hidden += _upstream("dh", dh, cache)
    return _backward(cache, at_hidden.reshape(*cache.shape[:-1], -1), dc) | gradient


def parameters_from_gates(gates: Parameters) -> dict[str, Array]:
    """Join the parameters of single gates, as textbooks write them.

    Parameters
    ----------
    gates : dict of str to array-like
        For input, forget and output gate and candidate ``Wi``, ``Wf``, ``Wo``, ``Wc`` (H, H + D),
        which multiply the hidden state stacked on the inputs, and ``bi``, ``bf``, ``bo``, ``bc``
        (H, 1); with a read-out, also ``Wy`` (K, H) and ``by`` (K, 1). Other keys are ignored.

    Returns
    -------
    dict of str to ndarray
        ``weight_ih`` (D, 4 H), ``weight_hh`` (H, 4 H), ``bias`` (4 H,) and, with a read-out,
        ``dense.weight`` (H, K) and ``dense.bias`` (K,).

    Raises
    ------
    ValueError
        If one is missing, or has not the right shape or no real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import parameters_from_gates
    >>> gates = {f"W{gate}": np.ones((3, 3 + 2)) for gate in "ifoc"}
    >>> gates |= {f"b{gate}": np.zeros((3, 1)) for gate in "ifoc"}
    >>> {name: array.shape for name, array in parameters_from_gates(gates).items()}
    {'weight_ih': (2, 12), 'weight_hh': (3, 12), 'bias': (12,)}
    """
    has_read_out = "Wy" in gates or "by" in gates
    names = [kind + gate for kind in "Wb" for gate in _GATES]
    found = _named("gates", gates, [*names, "Wy", "by"] if has_read_out else names)
    hidden, width = _checked("Wi", found["Wi"], {"H": None, "H + D": None}).shape
    if width <= hidden:
        raise ValueError(f"Wi: expected shape (H, H + D), D at least 1, got {(hidden, width)}")
    for gate in _GATES:
        _checked(f"W{gate}", found[f"W{gate}"], {"H": hidden, "H + D": width})
        _checked(f"b{gate}", found[f"b{gate}"], {"H": hidden, "1": 1})
    weights, bias = (np.concatenate([found[kind + gate] for gate in _GATES]) for kind in "Wb")
    parameters = dict(zip(_LSTM, (weights.T[hidden:], weights.T[:hidden], bias[:, 0]), strict=True))
    if has_read_out:
        n_outputs = len(_checked("Wy", found["Wy"], {"K": None, "H": hidden}))
        _checked("by", found["by"], {"K": n_outputs, "1": 1})
        parameters |= zip(_READ_OUT, (found["Wy"].T, found["by"][:, 0]), strict=True)
    return {name: np.array(value, order="C") for name, value in parameters.items()}


def parameters_to_gates(parameters: Parameters) -> dict[str, Array]:
    """Split parameters, or their gradients, gate by gate; undoes :func:`parameters_from_gates`.

    Parameters
    ----------
    parameters : dict of str to array-like
        As that function returns them. Other keys, such as a gradient's ``x``, are ignored.

    Returns
    -------
    dict of str to ndarray
        As that function takes them, with ``Wy`` and ``by`` if there is a read-out.

    Raises
    ------
    ValueError
        If one is missing, or has not the right shape or no real numbers.

    Examples
    --------
    >>> from sklstm.functional import parameters_to_gates
    >>> parameters = {"weight_ih": [[0] * 4], "weight_hh": [[0] * 4], "bias": [1, 2, 3, 4]}
    >>> parameters_to_gates(parameters)["bf"]
    array([[2.]])
    """
    has_read_out = any(name in parameters for name in _READ_OUT)
    found = _named("parameters", parameters, _LSTM + _READ_OUT if has_read_out else _LSTM)
    _check_shapes(found, None)
    weights = np.concatenate([found["weight_hh"], found["weight_ih"]]).T
    gates: dict[str, Array] = {}
    for kind, array in (("W", weights), ("b", found["bias"][:, None])):
        gates |= zip((kind + gate for gate in _GATES), np.split(array, 4), strict=True)
    if has_read_out:
        weight, bias = (found[name] for name in _READ_OUT)
        gates |= {"Wy": weight.T, "by": bias[:, None]}
    return {name: np.array(value, order="C") for name, value in gates.items()}


class _Cache(NamedTuple):
    """A forward pass, for the reverse pass to start from; it shares nothing with the caller."""

    made_by: str
    arguments: tuple[str, ...]  # what inputs, hidden and cell state are called
    shape: tuple[int, ...]  # of the inputs
    weights: kernels.Weights
    read_out: Views  # empty, or of the dense layer
    hidden: Array  # (T N, H)
    recurrence: kernels.Cache


def _forward(
    made_by: str, axes: str, arguments: Mapping[str, State], parameters: Parameters, *read_out: str
) -> tuple[Array, Array, _Cache]:
    """States with the leading ``axes`` of the inputs, which are the first of ``arguments``."""
    (x_name, value), *start = arguments.items()
    x = _checked(x_name, value, dict.fromkeys(axes))
    found = _named("parameters", parameters, (*_LSTM, *read_out))
    hidden, n = _check_shapes(found, x.shape[-1]), x.shape[-2]
    h0, c0 = (v if v is None else _checked(k, v, {"N": n, "H": hidden}) for k, v in start)
    dtype = np.result_type(*(a for a in (x, h0, c0, *found.values()) if a is not None))
    own = {name: np.array(array, dtype, order="C") for name, array in found.items()}
    weights = kernels.Weights(*(own.pop(name) for name in _LSTM))
    packed = x.reshape(-1, x.shape[-1]).astype(dtype, copy=False)
    walk = SlotLayout(np.full(len(packed) // n, n, np.intp), reverse=False)
    with single_blas_thread:  # as in the estimators, for the same results to the last bit
        h, c, recurrence = kernels.forward(packed, weights, walk, h0, c0, None)
    cache = _Cache(made_by, tuple(arguments), x.shape, weights, own, h[walk.outputs], recurrence)
    shape = (*x.shape[:-1], hidden)
    return h[walk.outputs].reshape(shape).copy(), c[walk.outputs].reshape(shape).copy(), cache


def _backward(cache: _Cache, dh: State, dc: State) -> dict[str, Array]:
    """Gradients by the names of the arguments, from those at the states of every step."""
    dy = None if dh is None else _upstream("dh", dh, cache)
    dcells = None if dc is None else _upstream("dc", dc, cache)
    into = kernels.Weights(*(np.zeros_like(weight) for weight in cache.weights))
    h, c = np.zeros((2, cache.shape[-2], cache.hidden.shape[1]), cache.hidden.dtype)
    with single_blas_thread:
        dx = kernels.backward(cache.recurrence, cache.weights, into, h, c, dy, dcells, True)
    assert dx is not None
    names = (*cache.arguments, *_LSTM)
    return dict(zip(names, (dx.reshape(cache.shape), h, c, *into), strict=True))


def _check_cache(cache: _Cache, maker: str) -> None:
    made_by = cache.made_by if isinstance(cache, _Cache) else f"a {type(cache).__name__}"
    if made_by != maker:
        raise TypeError(f"cache: expected that of {maker}, got {made_by}")


def _upstream(name: str, value: ArrayLike, cache: _Cache, **width: int) -> Array:
    """A gradient with values for every step, as (T N, width)."""
    leading = dict(zip("TND"[-len(cache.shape) : -1], cache.shape[:-1], strict=True))
    axes = leading | (width or {"H": cache.hidden.shape[1]})
    array = _checked(name, value, axes).reshape(len(cache.hidden), -1)
    return array.astype(cache.hidden.dtype, copy=False)


def _check_shapes(found: Mapping[str, Array], n_inputs: int | None) -> int:
    """The number of hidden units, if all parameters agree on it."""
    h = len(_checked("weight_hh", found["weight_hh"], {"H": None, "4 H": None}))
    shapes: list[_Axes] = [{"D": n_inputs, "4 H": 4 * h}, {"H": h, "4 H": 4 * h}, {"4 H": 4 * h}]
    for name, axes in zip(_LSTM, shapes, strict=True):
        _checked(name, found[name], axes)
    if _READ_OUT[0] in found:
        weight, bias = (found[name] for name in _READ_OUT)
        n_outputs = _checked(_READ_OUT[0], weight, {"H": h, "K": None}).shape[1]
        _checked(_READ_OUT[1], bias, {"K": n_outputs})
    return h


def _named(what: str, arrays: Parameters, names: Iterable[str]) -> dict[str, Array]:
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(f"{what}: expected also {', '.join(missing)}, got {', '.join(arrays)}")
    return {name: _floats(name, arrays[name]) for name in names}


def _checked(name: str, value: ArrayLike | None, axes: _Axes) -> Array:
    """Numbers in a shape that has these axes, none of them empty."""
    array = _floats(name, value)
    fits = (n in (None, m) for n, m in zip(axes.values(), array.shape, strict=False))
    if array.ndim != len(axes) or 0 in array.shape or not all(fits):
        lengths = (a if n is None or a == str(n) else f"{a}={n}" for a, n in axes.items())
        raise ValueError(f"{name}: expected shape ({', '.join(lengths)}), got {array.shape}")
    return array


def _floats(name: str, value: ArrayLike | None) -> Array:
    """float32 as it is, other real numbers as float64."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected real numbers, got dtype {array.dtype}")
    return array.astype(np.float32 if array.dtype == np.float32 else np.float64, copy=False)
