"""The passes behind the functions of this package: checks of arguments, kernels and caches.

Shapes: ``T`` time steps, ``N`` sequences, ``D`` inputs, ``H`` hidden units, ``K`` outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklstm._network import dense, kernels
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.parameters import Views
from sklstm._threads import with_single_blas_thread
from sklstm.sequences._containers import read_numbers

Array = NDArray[np.floating]
Parameters = Mapping[str, ArrayLike]
State = ArrayLike | None
Axes = Mapping[str, int | None]  # the length of each axis by its name; None if any is allowed

LSTM = ("weight_ih", "weight_hh", "bias")
OUTPUT_LAYER = (f"{dense.NAME}.weight", f"{dense.NAME}.bias")


class Cache(NamedTuple):
    """Results of a forward pass for the backward pass; it shares no memory with the arguments."""

    made_by: str  # name of the function
    arguments: tuple[str, ...]  # names of the inputs, the hidden state and the cell state
    shape: tuple[int, ...]  # of the inputs
    weights: kernels.Weights
    output_layer: Views  # empty if there is none
    hidden: Array  # (T N, H)
    recurrence: kernels.Cache


def forward(
    made_by: str, axes: str, arguments: Mapping[str, State], parameters: Parameters, *extra: str
) -> tuple[Array, Array, Cache]:
    """Return the states and a cache. ``extra`` are the names of more parameters to cache."""
    (x_name, value), *initial_states = arguments.items()
    x = checked(x_name, value, dict.fromkeys(axes))
    found = named("parameters", parameters, (*LSTM, *extra))
    hidden, n = check_shapes(found, x.shape[-1]), x.shape[-2]
    h0, c0 = (v if v is None else checked(k, v, {"N": n, "H": hidden}) for k, v in initial_states)
    dtype = np.result_type(*(a for a in (x, h0, c0, *found.values()) if a is not None))
    copies = {name: np.array(array, dtype, order="C") for name, array in found.items()}
    weights = kernels.Weights(*(copies.pop(name) for name in LSTM))
    packed = x.reshape(-1, x.shape[-1]).astype(dtype, copy=False)
    slots = SlotLayout(np.full(len(packed) // n, n, np.intp), reverse=False)
    h, c, recurrence = with_single_blas_thread(  # as in the estimators, for bitwise equal results
        kernels.forward, packed, weights, slots, h0, c0, None
    )
    h, c = h[slots.outputs], c[slots.outputs]
    cache = Cache(made_by, tuple(arguments), x.shape, weights, copies, h, recurrence)
    shape = (*x.shape[:-1], hidden)
    return h.reshape(shape).copy(), c.reshape(shape).copy(), cache


def backward(cache: Cache, dh: State, dc: State) -> dict[str, Array]:
    """Return the gradients by the names of the arguments and parameters."""
    dy = None if dh is None else upstream("dh", dh, cache)
    dcells = None if dc is None else upstream("dc", dc, cache)
    into = kernels.Weights(*(np.zeros_like(weight) for weight in cache.weights))
    h, c = np.zeros((2, cache.shape[-2], cache.hidden.shape[1]), cache.hidden.dtype)
    dx = with_single_blas_thread(
        kernels.backward, cache.recurrence, cache.weights, into, h, c, dy, dcells, True
    )
    assert dx is not None
    names = (*cache.arguments, *LSTM)
    return dict(zip(names, (dx.reshape(cache.shape), h, c, *into), strict=True))


def check_cache(cache: Cache, maker: str) -> None:
    made_by = cache.made_by if isinstance(cache, Cache) else f"a {type(cache).__name__}"
    if made_by != maker:
        raise TypeError(f"cache: expected the cache of {maker}, got {made_by}")


def upstream(name: str, value: ArrayLike, cache: Cache, **width: int) -> Array:
    """Return a gradient with respect to values of every step, as (T N, width)."""
    leading = dict(zip("TND"[-len(cache.shape) : -1], cache.shape[:-1], strict=True))
    axes = leading | (width or {"H": cache.hidden.shape[1]})
    array = checked(name, value, axes).reshape(len(cache.hidden), -1)
    return array.astype(cache.hidden.dtype, copy=False)


def check_shapes(found: Mapping[str, Array], n_inputs: int | None) -> int:
    """Return the number of hidden units; raise if a parameter has a wrong shape."""
    h = len(checked("weight_hh", found["weight_hh"], {"H": None, "4 H": None}))
    shapes: list[Axes] = [{"D": n_inputs, "4 H": 4 * h}, {"H": h, "4 H": 4 * h}, {"4 H": 4 * h}]
    for name, axes in zip(LSTM, shapes, strict=True):
        checked(name, found[name], axes)
    if OUTPUT_LAYER[0] in found:
        weight, bias = (found[name] for name in OUTPUT_LAYER)
        n_outputs = checked(OUTPUT_LAYER[0], weight, {"H": h, "K": None}).shape[1]
        checked(OUTPUT_LAYER[1], bias, {"K": n_outputs})
    return h


def named(what: str, arrays: Parameters, names: Iterable[str]) -> dict[str, Array]:
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(f"{what}: missing {', '.join(missing)}; the keys are {', '.join(arrays)}")
    return {name: floats(name, arrays[name]) for name in names}


def checked(name: str, value: ArrayLike | None, axes: Axes) -> Array:
    """Return real numbers; raise unless they have these axes and are not empty."""
    array = floats(name, value)
    fits = (n in (None, m) for n, m in zip(axes.values(), array.shape, strict=False))
    if array.ndim != len(axes) or 0 in array.shape or not all(fits):
        lengths = (a if n is None or a == str(n) else f"{a}={n}" for a, n in axes.items())
        raise ValueError(f"{name}: expected shape ({', '.join(lengths)}), got {array.shape}")
    return array


def floats(name: str, value: ArrayLike | None) -> Array:
    """Return real numbers as float32 if they are float32, else as float64."""
    array = read_numbers(value, name)
    return array.astype(np.float32 if array.dtype == np.float32 else np.float64, copy=False)
