"""Compiled functions, one for each dtype, from the cache on disk where that has them.

Imported, with Numba, by the first use of these kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from types import FunctionType
from typing import Any

import numpy as np
from numba import njit, types
from numba.np.numpy_support import from_dtype

from sklstm._network.kernels.compiled import backward, forward, infer
from sklstm._network.kernels.single_step import pack_into, step


def compiled(name: str, dtype: np.dtype[np.floating]) -> Callable[..., None]:
    """A function for arrays of one dtype."""
    found = _ready.get((name, dtype))
    if found is None:
        with _lock:  # several threads may want it first
            found = _ready.get((name, dtype)) or _load(name, dtype)
            _ready[name, dtype] = found
    return found


_ready: dict[tuple[str, np.dtype[np.floating]], Callable[..., None]] = {}
_lock = Lock()


def _load(name: str, dtype: np.dtype[np.floating]) -> Callable[..., None]:
    """From the cache on disk where that has it."""
    function, signature = _signatures(from_dtype(dtype))[name]
    try:
        return _compile(function, signature, on_disk=True)
    except (RuntimeError, OSError):  # no folder for a cache may be written to
        return _compile(function, signature, on_disk=False)


def _compile(function: Callable[..., None], signature: Any, on_disk: bool) -> Callable[..., None]:
    copy = FunctionType(function.__code__, function.__globals__, function.__name__)
    copy.__qualname__ = f"{function.__name__}_{_digest()}"
    dispatcher = njit(nogil=True, error_model="numpy", cache=on_disk)(copy)
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


@cache
def _digest() -> str:
    """Of all sources: Numba looks at the file of a cached function, not at those that it calls.

    The files of the cache are named after the function.
    """
    digest = blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _signatures(dtype: Any) -> dict[str, tuple[Callable[..., None], Any]]:
    """One signature each: whether an array may be written to must not make another one."""
    read = types.Array(dtype, 2, "C", readonly=True)
    vector, write_vector = types.Array(dtype, 1, "C", readonly=True), types.Array(dtype, 1, "C")
    write, strided = types.Array(dtype, 2, "C"), types.Array(dtype, 2, "A")
    strided_read = types.Array(dtype, 2, "A", readonly=True)
    table, weights, number = types.Array(types.int64, 2, "C"), (read, read, vector), types.int64
    forward_of = (table, read, *weights, write, write, number, write, write, read)
    back_of = (table, number, write, write, read, read, write, write, read)
    back_to = (strided_read, strided_read, write, write, write, write_vector)
    return {
        "forward": (forward, types.void(*forward_of)),
        "infer": (infer, types.void(table, read, *weights, write, write, strided)),
        "backward": (backward, types.void(*back_of, *back_to)),
        "pack": (pack_into, types.void(*weights, write_vector)),
        "step": (
            step,
            types.boolean(strided_read, write_vector, write, write, read, write),
        ),
    }
