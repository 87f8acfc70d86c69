"""Compiled functions, one for each dtype, from disk where they have been compiled before."""

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


def run(name: str, dtype: np.dtype[np.floating], *numbers: int) -> None:
    """A compiled function, given addresses and numbers."""
    function, pack = _ready.get((name, dtype)) or _first(name, dtype, len(numbers))
    function(pack(*numbers))


def bound(name: str, dtype: np.dtype[np.floating], *numbers: int) -> Callable[[], int]:
    """A compiled function with all that it is given; says whether it did what it is there for."""
    function, pack = _ready.get((name, dtype)) or _first(name, dtype, len(numbers))
    return partial(function, pack(*numbers))


def _unlocked() -> None:
    """In a process forked while another thread compiled, nobody would ever unlock it."""
    global _lock
    _lock = Lock()


_lock = Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlocked)

#: Functions that take a block of numbers, and what makes one of them.
_ready: dict[tuple[str, np.dtype[np.floating]], tuple[Any, Callable[..., bytes]]] = {}


def _first(name: str, dtype: np.dtype[np.floating], count: int) -> Any:
    """Several threads may want it first."""
    with _lock:
        if (name, dtype) not in _ready:
            _ready[name, dtype] = _load(name, dtype), Struct(f"{count}q").pack
        return _ready[name, dtype]


def _load(name: str, dtype: np.dtype[np.floating]) -> Any:
    if dtype not in (np.float32, np.float64):  # or if its bytes are in the other order
        raise TypeError(f"expected float32 or float64 of this machine, got {dtype!r}")
    symbol = f"sklstm_{name}_{dtype.name}"
    code = disk_cache.read(symbol)
    if code is None:
        try:
            from sklstm._network.kernels.compiled.compiling import object_code
        except ImportError as error:
            raise ImportError(f"to compile {symbol} needs Numba: {error}") from error
        code = object_code(name, dtype, symbol)
        disk_cache.write(symbol, code)
    return _linked(code, symbol)


def _linked(code: bytes, symbol: str) -> Any:
    """A function that gives up the interpreter's lock while it runs."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return CFUNCTYPE(c_int64, c_void_p)(engine.get_function_address(symbol))


#: They hold the code.
_engines: list[Any] = []

_from_buffer: Callable[[Any], c_char] = c_char.from_buffer


def addresses(dtype: np.dtype[Any], *arrays: NDArray[Any]) -> list[int]:
    """Of first elements; compiled code takes on trust that a whole array of them lies there."""
    try:  # a usual array, several times as fast as others
        found = [addressof(_from_buffer(array)) for array in arrays if array.dtype == dtype]
    except (TypeError, ValueError):  # one is read-only, or empty
        found = []
    return found if len(found) == len(arrays) else [_address(array, dtype) for array in arrays]


def _address(array: NDArray[Any], dtype: np.dtype[Any]) -> int:
    if array.dtype != dtype or not array.flags.c_contiguous:
        about = f"{array.dtype} with strides {array.strides}"
        raise TypeError(f"expected an array of {dtype} in one piece, got one of {about}")
    found: int = array.__array_interface__["data"][0]
    return found
