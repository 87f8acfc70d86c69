"""The recurrence and its reverse over packed steps, by the kernels that ``_config`` names.

A cache goes back to the kernels that made it, whatever was chosen meanwhile.
"""

from __future__ import annotations

from functools import cache as cached
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sklstm import _config
from sklstm._network.kernels import numpy_kernels
from sklstm._network.kernels.slots import Walk
from sklstm._network.kernels.weights import ReadOut, Weights

if TYPE_CHECKING:
    from sklstm._network.kernels.compiled import compiled_kernels

    Cache = compiled_kernels.Cache | numpy_kernels.Cache
    Stepper = compiled_kernels.Stepper | numpy_kernels.Stepper

__all__ = [
    "ReadOut",
    "Weights",
    "backward",
    "forward",
    "infer",
    "least_rows",
    "numbers_a_unit",
    "stepper",
    "threads_pay",
]

Array = NDArray[np.floating]


def forward(
    x: Array, weights: Weights, walk: Walk, h0: Array | None, c0: Array | None, mask: Array | None
) -> tuple[Array, Array, Cache]:
    """See ``numpy_kernels.forward``."""
    return _chosen().forward(x, weights, walk, h0, c0, mask)


def infer(x: Array, weights: Weights, walk: Walk, h: Array, c: Array, y: Array | None) -> None:
    """See ``numpy_kernels.infer``."""
    _chosen().infer(x, weights, walk, h, c, y)


def backward(cache: Cache, *arguments: Any, **options: Any) -> Array | None:
    """See ``numpy_kernels.backward``."""
    if isinstance(cache, numpy_kernels.Cache):
        return numpy_kernels.backward(cache, *arguments, **options)
    return _numba_kernels().backward(cache, *arguments, **options)


def stepper(weights: Weights, n: int, read_out: ReadOut | None) -> Stepper:
    """See ``numpy_kernels.Stepper``."""
    return _chosen().Stepper(weights, n, read_out)


def least_rows(work: float) -> int:
    """Sequences of a step that lose little by being worked on apart; for ``work`` see below."""
    rows: int = _chosen().least_rows(work)
    return rows


def numbers_a_unit() -> int:
    """What ``forward`` keeps for each packed row and hidden unit; of the inputs not to speak."""
    numbers: int = _chosen().NUMBERS_A_UNIT
    return numbers


def threads_pay(work: float, values: float) -> bool:
    """Whether threads save time.

    ``work`` is all steps of all sequences times the weights of a step, ``values`` those of one gate
    in a step of what a thread works on.
    """
    chosen = _chosen()
    return bool(work >= chosen.LEAST_WORK and values >= chosen.LEAST_VALUES)


def _chosen() -> ModuleType:
    kernels = _config.get_config()["kernels"]
    if kernels == "numpy" or (kernels == "auto" and not _numba_is_there()):
        return numpy_kernels
    return _numba_kernels()


@cached
def _numba_is_there() -> bool:
    try:
        _numba_kernels()
    except ImportError:
        return False
    return True


@cached
def _numba_kernels() -> ModuleType:
    """Numba refuses a NumPy that it does not know; where it has compiled, it is known to work."""
    try:
        from sklstm._network.kernels.compiled import compiled_kernels, disk_cache

        if not disk_cache.anything():
            import_module("numba")
    except ImportError as error:
        message = 'kernels="numba" needs Numba, which `pip install "sklstm[numba]"` installs'
        raise ImportError(f"{message}: {error}") from error
    return compiled_kernels
