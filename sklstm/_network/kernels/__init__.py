"""The recurrence of an LSTM layer over a packed batch, in one direction.

There are two implementations with the same interface: ``numpy_kernels``, and
``compiled.compiled_kernels``. The configuration (``sklstm.set_config``) selects one of them; with
"auto", NumPy takes the place of compiled functions that cannot be loaded or compiled. All functions
that training needs are loaded before it begins (``prepare``). ``backward`` uses the kernels that
made its cache, even if the configuration has changed since.

Shapes: ``n`` sequences, ``P`` packed rows, ``S`` slots (see ``slots``), ``D`` inputs, ``H`` hidden
units. Inputs ``x`` are (P, D). Initial and final states ``h`` and ``c`` and their gradients are
(n, H), as is the ``mask`` of recurrent dropout. The gradients ``dy`` and ``dcells`` at the hidden
and cell states of all steps are (P, H). ``pooled`` are the sum and the maximum of the hidden states
(n, H). ``forward`` needs those of no steps, 0 and minus infinity, and ``infer`` adds to any; the
cache has the step of each maximum.
"""

from __future__ import annotations

import functools
import logging
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sklstm import _config
from sklstm._network.kernels import load_lock, numpy_kernels
from sklstm._network.kernels.pooled import Pooled
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.kernels.weights import OutputWeights, Weights

if TYPE_CHECKING:
    from sklstm._network.kernels.compiled import compiled_kernels

    Cache = compiled_kernels.Cache | numpy_kernels.Cache
    Stepper = compiled_kernels.Stepper | numpy_kernels.Stepper

__all__ = [
    "OutputWeights",
    "Pooled",
    "Weights",
    "backward",
    "describe",
    "forward",
    "in_use",
    "infer",
    "min_rows",
    "prepare",
    "stepper",
    "store_all",
    "threads_pay",
    "uses_blas",
    "values_per_unit",
]

Array = NDArray[np.floating]
DType = np.dtype[np.floating]

#: The compiled functions that are loaded together.
_TRAINING, _INFERENCE, _STEP = ("forward", "backward"), ("infer",), ("pack", "step")
_FIT = _TRAINING + _INFERENCE

#: Seconds after which the time of compilation is logged.
MAX_SILENT = 1.0

_logger = logging.getLogger("sklstm")


def prepare(dtype: DType, verbose: bool = False) -> None:
    """Load or compile all that training in this dtype needs, or use NumPy for all of it."""
    _chosen(_FIT, dtype, verbose)


def forward(
    x: Array,
    weights: Weights,
    layout: SlotLayout,
    h0: Array | None,
    c0: Array | None,
    mask: Array | None,
    pooled: Pooled | None = None,
) -> tuple[Array, Array, Cache]:
    """Return hidden and cell states in their slots (S, H), and the cache for ``backward``."""
    return _chosen(_TRAINING, x.dtype).forward(x, weights, layout, h0, c0, mask, pooled)


def infer(
    x: Array,
    weights: Weights,
    layout: SlotLayout,
    h: Array,
    c: Array,
    y: Array | None = None,
    pooled: Pooled | None = None,
) -> None:
    """Replace the initial ``h`` and ``c`` by the final ones, and write all hidden states to ``y``.

    Either ``y`` (P, H) or ``pooled`` may be given.
    """
    _chosen(_INFERENCE, x.dtype).infer(x, weights, layout, h, c, y, pooled)


def backward(
    cache: Cache,
    weights: Weights,
    gradient: Weights,
    dh: Array,
    dc: Array,
    dy: Array | None = None,
    dcells: Array | None = None,
    need_inputs: bool = False,
    dpooled: Pooled | None = None,
) -> Array | None:
    """Add the gradients of the weights to ``gradient``; return those of the inputs, or None.

    The gradients ``dh`` and ``dc`` at the final states are replaced by those at the initial states.
    Either ``dy`` or the gradients ``dpooled`` at the sum and the maximum may be given.
    """
    made_by_numpy = isinstance(cache, numpy_kernels.Cache)
    kernels: ModuleType = numpy_kernels if made_by_numpy else _compiled_kernels()
    dx: Array | None = kernels.backward(
        cache, weights, gradient, dh, dc, dy, dcells, need_inputs, dpooled
    )
    return dx


def stepper(weights: Weights, n: int, output: OutputWeights | None) -> Stepper:
    """Return a callable that advances ``n`` sequences by one step at each call."""
    return _chosen(_STEP, weights.hh.dtype).Stepper(weights, n, output)


def min_rows(work: float) -> int:
    """Return the number of sequences from which a shard is efficient; ``work`` as below."""
    rows: int = _chosen().min_rows(work)
    return rows


def values_per_unit() -> int:
    """Return how many values ``forward`` stores for each packed row and hidden unit."""
    values: int = _chosen().VALUES_PER_UNIT
    return values


def uses_blas() -> bool:
    """Return whether the recurrence is computed by BLAS, which may use several threads."""
    return _chosen() is numpy_kernels


def threads_pay(work: float, values: float) -> bool:
    """Return whether several threads are faster than one.

    ``work`` is the number of packed rows times the number of weights, ``values`` the number of
    sequences in the part of one thread times the number of hidden units.
    """
    chosen = _chosen()
    return bool(work >= chosen.MIN_WORK and values >= chosen.MIN_VALUES)


def in_use() -> str:
    """Return which kernels compute the recurrence, or why none can."""
    try:
        return "NumPy" if _chosen() is numpy_kernels else "compiled"
    except (ImportError, RuntimeError) as error:
        return f"none, {error}"


def describe() -> dict[str, str]:
    """Return the processor and the place of compiled code, or why there is none."""
    try:
        from sklstm._network.kernels.compiled import description

        return description.describe()
    except Exception as error:  # a report must not fail
        return {"compiled code": f"cannot be used: {type(error).__name__}: {error}"}


def store_all() -> Iterator[tuple[str, Path | None]]:
    """Compile all functions that are not on disk; see ``compiled.loading``."""
    from sklstm._network.kernels.compiled import loading

    return loading.store_all()


def _chosen(
    names: tuple[str, ...] = (), dtype: DType | None = None, verbose: bool = False
) -> ModuleType:
    """Return the kernels that the configuration selects, with these functions loaded."""
    option = _config.get_config()["kernels"]
    if option == "numpy":
        return numpy_kernels
    loaded = _loaded.get((names, dtype))
    if loaded is not None:
        return loaded
    if option == "auto" and _failed:
        return numpy_kernels
    start = time.perf_counter()
    with load_lock.lock:
        chosen = _load_or_numpy(names, dtype) if option == "auto" else _load(names, dtype)
    _tell_time(time.perf_counter() - start, dtype, verbose)
    return chosen


def _tell_time(seconds: float, dtype: DType | None, verbose: bool) -> None:
    if seconds > MAX_SILENT:
        about = "" if dtype is None else f" for {dtype}"
        line = f"compiling or loading the kernels{about} took {seconds:.1f} s"
        _logger.info(line)
        if verbose:
            print(line)


#: The compiled kernels, for all functions and dtypes that have been loaded.
_loaded: dict[tuple[tuple[str, ...], DType | None], ModuleType] = {}

#: Whether NumPy takes the place of everything that has not been loaded.
_failed = False


def _load_or_numpy(names: tuple[str, ...], dtype: DType | None) -> ModuleType:
    """Load compiled functions; after the first error, return the kernels of NumPy."""
    global _failed
    if not _failed:
        try:
            return _load(names, dtype)
        except Exception as error:
            _failed = True
            _forget(names, dtype)
            if find_spec("llvmlite") is not None:
                _warn(error)
    return numpy_kernels


def _forget(names: tuple[str, ...], dtype: DType | None) -> None:
    """Forget compiled kernels that must not be used beside those of NumPy."""
    if names == _FIT:  # another call may have loaded some of these functions before
        for part in (_TRAINING, _INFERENCE):
            _loaded.pop((part, dtype), None)
    if _loaded.keys() <= {((), None)}:  # sizes are those of the kernels that are used
        _loaded.clear()


def _warn(error: Exception) -> None:
    warnings.warn(
        f"NumPy computes the recurrence, several times as slowly as compiled kernels: {error}. "
        'Set kernels="numpy" or SKLSTM_KERNELS=numpy to use NumPy without this warning.',
        RuntimeWarning,
        stacklevel=2,
    )


def _load(names: tuple[str, ...], dtype: DType | None) -> ModuleType:
    """Load compiled functions, or raise an error that says why this is not possible."""
    try:
        kernels = _compiled_kernels()
        if dtype is not None:
            _load_functions(names, dtype)
    except Exception as error:
        kind = ImportError if isinstance(error, ImportError) else RuntimeError
        raise kind(_reason(error)) from error
    for part in (names, _TRAINING, _INFERENCE) if names == _FIT else (names,):
        _loaded[part, dtype] = kernels
    return kernels


def _reason(error: Exception) -> str:
    if find_spec("llvmlite") is None:
        needed = "which `pip install llvmlite` installs"
        return f'kernels="compiled" needs llvmlite, {needed}: {error}'
    return f"llvmlite cannot load or compile the kernels: {type(error).__name__}: {error}"


def _load_functions(names: tuple[str, ...], dtype: DType) -> None:
    from sklstm._network.kernels.compiled import loading

    for name in names:
        loading.load(name, dtype)


@functools.cache
def _compiled_kernels() -> ModuleType:
    from sklstm._network.kernels.compiled import compiled_kernels

    return compiled_kernels
