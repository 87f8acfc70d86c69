"""The LSTM of the textbooks as plain functions: a step or a sequence, forward and backward.

They run on the kernels of the estimators. A step is a sequence of length one; all sequences of a
batch are equally long. Shapes: ``T`` steps, ``N`` sequences, ``D`` inputs, ``H`` hidden units,
``K`` outputs.

Parameters are a dict: ``weight_ih`` (D, 4 H), ``weight_hh`` (H, 4 H) and ``bias`` (4 H,), with the
gates side by side in the order input, forget, output, candidate; where there is a read-out, also
``dense.weight`` (H, K) and ``dense.bias`` (K,). Other keys are ignored. Those of a fitted estimator
are ``{name.removeprefix("lstm_0."): value for name, value in estimator.parameters_.items()}``.

If all arrays of a forward pass are float32, so are its results and gradients; otherwise all are
float64. No argument is modified, and a cache stands for its forward pass however often it is used
and whatever becomes of the arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
#: A shape: what each axis is called, and its length where that is known.
Axes = Mapping[str, int | None]

LSTM = ("weight_ih", "weight_hh", "bias")
READ_OUT = (f"{dense.NAME}.weight", f"{dense.NAME}.bias")
#: In our order; textbooks name the candidate after the cell.
GATES = ("i", "f", "o", "c")


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
    """Exponentials divided by their sum, each row shifted by its own maximum before.

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

    Raises
    ------
    ValueError
        If ``x`` has no such axis, or nothing along it.

    Examples
    --------
    >>> from sklstm.functional import softmax
    >>> softmax([[1000.0, 1000.0], [-1000.0, -1000.0]])
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    values = np.moveaxis(_floats("x", x), axis, -1)
    return np.moveaxis(losses.softmax(values), -1, axis)


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
    ValueError
        If a parameter is missing, or an argument has not the right shape or no real numbers.

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
    >>> parameters = {"weight_ih": np.ones((2, 4)), "weight_hh": np.ones((1, 4)), "bias": [0] * 4}
    >>> h, c, cache = lstm_cell_forward([[0.0, 0.0]], [[0.0]], [[1.0]], parameters)
    >>> h, c
    (array([[0.23105858]]), array([[0.5]]))
    """
    arguments = {"x_t": x_t, "h": h, "c": c}
    return _forward("lstm_cell_forward", "ND", arguments, parameters)


def lstm_cell_backward(
    dh: ArrayLike | None, dc: ArrayLike | None, cache: _Cache
) -> dict[str, Array]:
    """Gradients of one step, from those at the states after it.

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
    TypeError
        If ``cache`` comes from another function.
    ValueError
        If a gradient has not the shape of the states.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_cell_backward, lstm_cell_forward
    >>> parameters = {"weight_ih": np.ones((2, 4)), "weight_hh": np.ones((1, 4)), "bias": [0] * 4}
    >>> h, c, cache = lstm_cell_forward([[0.0, 0.0]], [[0.0]], [[1.0]], parameters)
    >>> lstm_cell_backward(None, [[1.0]], cache)["c"]  # the forget gate
    array([[0.5]])
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

    References
    ----------
    .. [1] A. Graves: Supervised Sequence Labelling with Recurrent Neural Networks. Springer, 2012;
       chapter 4, without its peepholes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_forward
    >>> parameters = {"weight_ih": np.ones((2, 4)), "weight_hh": np.ones((1, 4)), "bias": [0] * 4}
    >>> h, c, cache = lstm_forward(np.ones((7, 5, 2)), parameters)
    >>> h.shape, c.shape
    ((7, 5, 1), (7, 5, 1))
    """
    return _forward("lstm_forward", "TND", {"x": x, "h0": h0, "c0": c0}, parameters)


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
    TypeError
        If ``cache`` comes from another function.
    ValueError
        If a gradient has not the shape of the states.

    References
    ----------
    .. [1] A. Graves: Supervised Sequence Labelling with Recurrent Neural Networks. Springer, 2012;
       chapter 4, without its peepholes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_backward, lstm_forward
    >>> parameters = {"weight_ih": np.ones((2, 4)), "weight_hh": np.ones((1, 4)), "bias": [0] * 4}
    >>> h, c, cache = lstm_forward(np.ones((7, 5, 2)), parameters)
    >>> {name: array.shape for name, array in lstm_backward(np.ones_like(h), cache).items()}
    {'x': (7, 5, 2), 'h0': (5, 1), 'c0': (5, 1),
     'weight_ih': (2, 4), 'weight_hh': (1, 4), 'bias': (4,)}
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
        As for :func:`lstm_cell_forward`, and of the read-out ``dense.weight`` (H, K) and
        ``dense.bias`` (K,).
    h0, c0 : array-like of shape (N, H), default=None
        Hidden and cell state before the first step; None stands for zeros.

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
    >>> from sklstm.functional import lstm_predict_forward
    >>> parameters = {
    ...     "weight_ih": np.ones((2, 4)),
    ...     "weight_hh": np.ones((1, 4)),
    ...     "bias": [0] * 4,
    ...     "dense.weight": np.ones((1, 2)),
    ...     "dense.bias": [0, 0],
    ... }
    >>> h, c, y, cache = lstm_predict_forward(np.ones((7, 5, 2)), parameters)
    >>> y.shape, y[-1, 0]
    ((7, 5, 2), array([0.5, 0.5]))
    """
    arguments = {"x": x, "h0": h0, "c0": c0}
    h, c, cache = _forward("lstm_predict_forward", "TND", arguments, parameters, READ_OUT)
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
        Gradients at the logits, not at the probabilities: for the cross-entropy of one-hot labels
        ``y - labels``. None stands for zeros.
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
    TypeError
        If ``cache`` comes from another function.
    ValueError
        If a gradient has not the shape of the logits or states.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import lstm_predict_backward, lstm_predict_forward
    >>> parameters = {
    ...     "weight_ih": np.ones((2, 4)),
    ...     "weight_hh": np.ones((1, 4)),
    ...     "bias": [0] * 4,
    ...     "dense.weight": np.ones((1, 2)),
    ...     "dense.bias": [0, 0],
    ... }
    >>> h, c, y, cache = lstm_predict_forward(np.ones((7, 5, 2)), parameters)
    >>> lstm_predict_backward(y - [0, 1], cache)["dense.bias"]  # 7 times 5 labels, all the second
    array([ 17.5, -17.5])
    """
    _check_cache(cache, "lstm_predict_forward")
    k = len(cache.parameters[READ_OUT[1]])
    at_hidden, at_cells = _upstream("dh", dh, cache), _upstream("dc", dc, cache)
    at_logits = _upstream("dy", dy, cache, {"K": k})
    if at_logits is None:
        at_logits = np.zeros((len(cache.hidden), k), cache.hidden.dtype)
    gradient = {name: np.zeros_like(cache.parameters[name]) for name in READ_OUT}
    with single_blas_thread:
        through = dense.backward(cache.parameters, cache.hidden, at_logits, gradient)
    at_hidden = through if at_hidden is None else through + at_hidden
    return _backward(cache, at_hidden, at_cells) | gradient


def parameters_from_gates(gates: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Parameters out of those of each gate, as textbooks write them.

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
    names = [kind + gate for kind in "Wb" for gate in GATES]
    found = _named("gates", gates, [*names, "Wy", "by"] if has_read_out else names)
    hidden, width = _checked("Wi", found["Wi"], {"H": None, "H + D": None}).shape
    if width <= hidden:
        raise ValueError(f"Wi: expected shape (H, H + D), D at least 1, got {(hidden, width)}")
    for gate in GATES:
        _checked(f"W{gate}", found[f"W{gate}"], {"H": hidden, "H + D": width})
        _checked(f"b{gate}", found[f"b{gate}"], {"H": hidden, "1": 1})
    weights, bias = (np.concatenate([found[kind + gate] for gate in GATES]) for kind in "Wb")
    parameters = dict(zip(LSTM, (weights.T[hidden:], weights.T[:hidden], bias[:, 0]), strict=True))
    if has_read_out:
        n_outputs = len(_checked("Wy", found["Wy"], {"K": None, "H": hidden}))
        _checked("by", found["by"], {"K": n_outputs, "1": 1})
        parameters |= zip(READ_OUT, (found["Wy"].T, found["by"][:, 0]), strict=True)
    return {name: np.array(value, order="C") for name, value in parameters.items()}


def parameters_to_gates(parameters: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Parameters, or their gradients, gate by gate: what undoes :func:`parameters_from_gates`.

    Parameters
    ----------
    parameters : dict of str to array-like
        ``weight_ih`` (D, 4 H), ``weight_hh`` (H, 4 H), ``bias`` (4 H,) and, with a read-out,
        ``dense.weight`` (H, K) and ``dense.bias`` (K,). Other keys are ignored.

    Returns
    -------
    dict of str to ndarray
        ``Wi``, ``Wf``, ``Wo``, ``Wc`` (H, H + D), ``bi``, ``bf``, ``bo``, ``bc`` (H, 1) and, with a
        read-out, ``Wy`` (K, H) and ``by`` (K, 1).

    Raises
    ------
    ValueError
        If one is missing, or has not the right shape or no real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.functional import parameters_to_gates
    >>> gates = parameters_to_gates(
    ...     {"weight_ih": np.ones((2, 12)), "weight_hh": np.ones((3, 12)), "bias": np.arange(12)}
    ... )
    >>> gates["Wf"].shape, gates["bf"].ravel()
    ((3, 5), array([3., 4., 5.]))
    """
    has_read_out = any(name in parameters for name in READ_OUT)
    found = _named("parameters", parameters, LSTM + READ_OUT if has_read_out else LSTM)
    _check_shapes(found, None)
    weights = np.concatenate([found["weight_hh"], found["weight_ih"]]).T
    gates: dict[str, Array] = {}
    for kind, array in (("W", weights), ("b", found["bias"][:, None])):
        gates |= zip((kind + gate for gate in GATES), np.split(array, 4), strict=True)
    if has_read_out:
        weight, bias = (found[name] for name in READ_OUT)
        gates |= {"Wy": weight.T, "by": bias[:, None]}
    return {name: np.array(value, order="C") for name, value in gates.items()}


class _Cache(NamedTuple):
    """A forward pass, for the reverse pass to start from; it shares nothing with the caller."""

    made_by: str
    arguments: tuple[str, ...]  # what inputs, hidden and cell state are called
    shape: tuple[int, ...]  # of the inputs
    parameters: Views
    hidden: Array  # (T N, H)
    recurrence: kernel.Cache


def _forward(
    made_by: str,
    axes: str,
    arguments: Mapping[str, ArrayLike | None],
    parameters: Mapping[str, ArrayLike],
    read_out: tuple[str, ...] = (),
) -> tuple[Array, Array, _Cache]:
    """States with the leading ``axes`` of the inputs, which are the first of ``arguments``."""
    (x_name, value), *start = arguments.items()
    x = _checked(x_name, value, dict.fromkeys(axes))
    found = _named("parameters", parameters, LSTM + read_out)
    hidden, n = _check_shapes(found, x.shape[-1]), x.shape[-2]
    h0, c0 = (v if v is None else _checked(k, v, {"N": n, "H": hidden}) for k, v in start)
    dtype = np.result_type(*(a for a in (x, h0, c0, *found.values()) if a is not None))
    own = {name: np.array(array, dtype, order="C") for name, array in found.items()}
    packed = x.reshape(-1, x.shape[-1]).astype(dtype, copy=False)
    walk = Walk(np.full(len(packed) // n, n, np.intp), reverse=False)
    with single_blas_thread:  # as in the estimators, for the same results to the last bit
        h, c, recurrence = kernel.forward(packed, _weights(own), walk, h0, c0, None)
    cache = _Cache(made_by, tuple(arguments), x.shape, own, h[walk.outputs], recurrence)
    shape = (*x.shape[:-1], hidden)
    return h[walk.outputs].reshape(shape).copy(), c[walk.outputs].reshape(shape).copy(), cache


def _backward(cache: _Cache, dh: Array | None, dc: Array | None) -> dict[str, Array]:
    """Gradients by the names of the arguments, from those at the states (T N, H)."""
    weights, pass_ = _weights(cache.parameters), cache.recurrence
    gradient = {name: np.zeros_like(cache.parameters[name]) for name in LSTM}
    into = _weights(gradient)
    h, c = np.zeros((2, pass_.walk.n_sequences, len(weights.hh)), weights.hh.dtype)
    with single_blas_thread:
        dx = kernel.backward(pass_, weights, into, h, c, dh, dc, need_inputs=True)
    assert dx is not None
    return dict(zip(cache.arguments, (dx.reshape(cache.shape), h, c), strict=True)) | gradient


def _weights(parameters: Views) -> Weights:
    return Weights(*(parameters[name] for name in LSTM))


def _check_cache(cache: _Cache, maker: str) -> None:
    if not isinstance(cache, _Cache):
        raise TypeError(f"cache: expected that of {maker}, got {type(cache).__name__}")
    if cache.made_by != maker:
        raise TypeError(f"cache: expected that of {maker}, got that of {cache.made_by}")


def _upstream(
    name: str, value: ArrayLike | None, cache: _Cache, last: Axes | None = None
) -> Array | None:
    """A gradient at states or at the logits of every step, as (T N, width)."""
    if value is None:
        return None
    leading = cache.shape[:-1]
    axes = dict(zip("TN"[-len(leading) :], leading, strict=True))
    array = _checked(name, value, axes | (last or {"H": cache.hidden.shape[1]}))
    return array.reshape(len(cache.hidden), -1).astype(cache.hidden.dtype, copy=False)


def _check_shapes(found: Mapping[str, Array], n_inputs: int | None) -> int:
    """The number of hidden units, if all parameters agree on it."""
    h = len(_checked("weight_hh", found["weight_hh"], {"H": None, "4 H": None}))
    shapes: dict[str, Axes] = {
        "weight_hh": {"H": h, "4 H": 4 * h},
        "weight_ih": {"D": n_inputs, "4 H": 4 * h},
        "bias": {"4 H": 4 * h},
    }
    if READ_OUT[0] in found:
        n_outputs = _checked(READ_OUT[0], found[READ_OUT[0]], {"H": h, "K": None}).shape[1]
        shapes[READ_OUT[1]] = {"K": n_outputs}
    for name, axes in shapes.items():
        _checked(name, found[name], axes)
    return h


def _named(what: str, arrays: Mapping[str, ArrayLike], names: Iterable[str]) -> dict[str, Array]:
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(f"{what}: expected also {', '.join(missing)}, got {', '.join(arrays)}")
    return {name: _floats(name, arrays[name]) for name in names}


def _checked(name: str, value: ArrayLike | None, axes: Axes) -> Array:
    """Numbers in a shape that has these axes, none of them empty."""
    array = _floats(name, value)
    lengths = axes.values()
    if array.ndim != len(axes) or not all(
        n > 0 if length is None else n == length
        for n, length in zip(array.shape, lengths, strict=True)
    ):
        expected = f"({', '.join(axes)})"
        if any(length is not None for length in lengths):
            known = (str(length or symbol) for symbol, length in axes.items())
            expected += f" = ({', '.join(known)})"
        raise ValueError(f"{name}: expected shape {expected}, got {array.shape}")
    return array


def _floats(name: str, value: ArrayLike | None) -> Array:
    """float32 as it is, other real numbers as float64."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected real numbers, got dtype {array.dtype}")
    return array.astype(np.float32 if array.dtype == np.float32 else np.float64, copy=False)
