"""The recurrence of an LSTM layer over a packed batch, in one direction.

There are two implementations with the same interface: ``numpy_kernels``, and
``compiled.compiled_kernels``. The configuration (``sklstm.set_config``) selects one of them.
``backward`` uses the kernels that made its cache, even if the configuration has changed since.

Shapes: ``n`` sequences, ``P`` packed rows, ``S`` slots (see ``slots``), ``D`` inputs, ``H`` hidden
units. Inputs ``x`` are (P, D). Initial and final states ``h`` and ``c`` and their gradients are
(n, H), as is the ``mask`` of recurrent dropout. The hidden states ``y`` of all steps are (P, H), as
are the gradients ``dy`` and ``dcells`` at the hidden and cell states of all steps.
"""

from __future__ import annotations

import functools
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sklstm import _config
from sklstm._network.kernels import numpy_kernels
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.kernels.weights import OutputWeights, Weights

if TYPE_CHECKING:
    from sklstm._network.kernels.compiled import compiled_kernels

    Cache = compiled_kernels.Cache | numpy_kernels.Cache
    Stepper = compiled_kernels.Stepper | numpy_kernels.Stepper

__all__ = [
    "OutputWeights",
    "Weights",
    "backward",
    "forward",
    "infer",
    "min_rows",
    "stepper",
    "threads_pay",
    "values_per_unit",
]

Array = NDArray[np.floating]


def forward(
    x: Array,
    weights: Weights,
    layout: SlotLayout,
    h0: Array | None,
    c0: Array | None,
    mask: Array | None,
) -> tuple[Array, Array, Cache]:
    """Return hidden and cell states in their slots (S, H), and the cache for ``backward``."""
    return _chosen().forward(x, weights, layout, h0, c0, mask)


def infer(
    x: Array, weights: Weights, layout: SlotLayout, h: Array, c: Array, y: Array | None
) -> None:
    """Replace the initial ``h`` and ``c`` by the final ones; write all hidden states to ``y``."""
    _chosen().infer(x, weights, layout, h, c, y)


def backward(
    cache: Cache,
    weights: Weights,
    gradient: Weights,
    dh: Array,
    dc: Array,
    dy: Array | None = None,
    dcells: Array | None = None,
    need_inputs: bool = False,
) -> Array | None:
    """Add the gradients of the weights to ``gradient``; return those of the inputs, or None.

    The gradients ``dh`` and ``dc`` at the final states are replaced by those at the initial states.
    """
    made_by_numpy = isinstance(cache, numpy_kernels.Cache)
    kernels: ModuleType = numpy_kernels if made_by_numpy else _compiled_kernels()
    dx: Array | None = kernels.backward(cache, weights, gradient, dh, dc, dy, dcells, need_inputs)
    return dx


def stepper(weights: Weights, n: int, output: OutputWeights | None) -> Stepper:
    """Return a callable that advances ``n`` sequences by one step at each call."""
    return _chosen().Stepper(weights, n, output)


def min_rows(work: float) -> int:
    """Return the number of sequences from which a shard is efficient; ``work`` as below."""
    rows: int = _chosen().min_rows(work)
    return rows


def values_per_unit() -> int:
    """Return how many values ``forward`` stores for each packed row and hidden unit."""
    values: int = _chosen().VALUES_PER_UNIT
    return values


def threads_pay(work: float, values: float) -> bool:
    """Return whether several threads are faster than one.

    ``work`` is the number of packed rows times the number of weights, ``values`` the number of
    sequences in the part of one thread times the number of hidden units.
    """
    chosen = _chosen()
    return bool(work >= chosen.MIN_WORK and values >= chosen.MIN_VALUES)


def _chosen() -> ModuleType:
    """Return the kernels that the configuration selects."""
    name = _config.get_config()["kernels"]
    if name == "numpy" or (name == "auto" and not _compiled_kernels_available()):
        return numpy_kernels
    return _compiled_kernels()


@functools.cache
def _compiled_kernels_available() -> bool:
    try:
        _compiled_kernels()
    except ImportError:
        return False
    return True


@functools.cache
def _compiled_kernels() -> ModuleType:
    """Import the compiled kernels, if the compiler or code from an earlier compilation is there."""
    try:
        from sklstm._network.kernels.compiled import compiled_kernels, disk_cache

        if not disk_cache.has_code():
            import_module("sklstm._network.kernels.compiled.compiling")
    except ImportError as error:
        message = 'kernels="numba" needs Numba, which `pip install "sklstm[numba]"` installs'
        raise ImportError(f"{message}: {error}") from error
    return compiled_kernels
