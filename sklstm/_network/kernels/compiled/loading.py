"""Calls of compiled functions, which are loaded from the disk cache or else compiled first.

A compiled function takes one pointer to an array of 64-bit integers: its arguments, which are
addresses and sizes. Each function is loaded once per process and dtype.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from ctypes import CFUNCTYPE, addressof, c_char, c_int64, c_void_p
from functools import partial
from struct import Struct
from threading import Lock
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels.compiled import disk_cache
from sklstm._network.kernels.compiled.cpu import target_machine


def call(name: str, dtype: np.dtype[np.floating], *arguments: int) -> None:
    """Call a compiled function with these addresses and integers."""
    function, pack = _loaded.get((name, dtype)) or _load_once(name, dtype, len(arguments))
    function(pack(*arguments))


def bind(name: str, dtype: np.dtype[np.floating], *arguments: int) -> Callable[[], int]:
    """Return a compiled function with all its arguments bound; it returns whether it succeeded."""
    function, pack = _loaded.get((name, dtype)) or _load_once(name, dtype, len(arguments))
    return partial(function, pack(*arguments))


def _renew_lock() -> None:
    """Replace the lock in a forked process, where the thread that held it does not exist."""
    global _lock
    _lock = Lock()


_lock = Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)

#: Loaded functions, each with a function that packs its arguments into an array.
_loaded: dict[tuple[str, np.dtype[np.floating]], tuple[Any, Callable[..., bytes]]] = {}


def _load_once(name: str, dtype: np.dtype[np.floating], n_arguments: int) -> Any:
    """Load a function unless another thread has loaded it in the meantime."""
    with _lock:
        if (name, dtype) not in _loaded:
            _loaded[name, dtype] = _load(name, dtype), Struct(f"{n_arguments}q").pack
        return _loaded[name, dtype]


def _load(name: str, dtype: np.dtype[np.floating]) -> Any:
    if dtype not in (np.float32, np.float64):  # a different byte order is refused too
        raise TypeError(f"expected float32 or float64 in native byte order, got {dtype!r}")
    symbol = f"sklstm_{name}_{dtype.name}"
    code = disk_cache.read(symbol)
    if code is None:
        try:
            from sklstm._network.kernels.compiled.compiling import object_code
        except ImportError as error:
            raise ImportError(f"Numba is needed to compile {symbol}: {error}") from error
        code = object_code(name, dtype, symbol)
        disk_cache.write(symbol, code)
    return link(code, symbol)


def link(code: bytes, symbol: str) -> Any:
    """Return the function of an object file; it releases the GIL while it runs."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return CFUNCTYPE(c_int64, c_void_p)(engine.get_function_address(symbol))


#: The engines own the machine code of loaded functions.
_engines: list[Any] = []

_from_buffer: Callable[[Any], c_char] = c_char.from_buffer


def addresses(dtype: np.dtype[Any], *arrays: NDArray[Any]) -> list[int]:
    """Return the addresses of C-contiguous arrays of this dtype; raise an error for others.

    The check matters: compiled code reads and writes memory without looking at shapes.
    """
    try:  # the fast path, several times as fast
        found = [addressof(_from_buffer(array)) for array in arrays if array.dtype == dtype]
    except (TypeError, ValueError):  # an array is read-only, empty or not contiguous
        found = []
    return found if len(found) == len(arrays) else [_address(array, dtype) for array in arrays]


def _address(array: NDArray[Any], dtype: np.dtype[Any]) -> int:
    if array.dtype != dtype or not array.flags.c_contiguous:
        about = f"{array.dtype} with strides {array.strides}"
        raise TypeError(f"expected a C-contiguous array of {dtype}, got one of {about}")
    found: int = array.__array_interface__["data"][0]
    return found
