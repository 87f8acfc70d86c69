"""Compiled functions, one for each dtype, from disk where they have been compiled before."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import CFUNCTYPE, addressof, c_char, c_int64, c_void_p
from functools import partial
from struct import pack
from threading import Lock
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels import stored
from sklstm._network.kernels.machine import target_machine


def run(name: str, dtype: np.dtype[np.floating], *numbers: int) -> None:
    """A compiled function, given addresses and numbers."""
    _function(name, dtype)(pack(f"{len(numbers)}q", *numbers))


def bound(name: str, dtype: np.dtype[np.floating], *numbers: int) -> Callable[[], int]:
    """A compiled function with all that it is given; says whether it did what it is there for."""
    return partial(_function(name, dtype), pack(f"{len(numbers)}q", *numbers))


_ready: dict[tuple[str, np.dtype[np.floating]], Any] = {}
_lock = Lock()


def _function(name: str, dtype: np.dtype[np.floating]) -> Any:
    found = _ready.get((name, dtype))
    if found is None:
        with _lock:  # several threads may want it first
            found = _ready.get((name, dtype)) or _load(name, dtype)
            _ready[name, dtype] = found
    return found


def _load(name: str, dtype: np.dtype[np.floating]) -> Any:
    symbol = f"sklstm_{name}_{dtype.name}"
    code = stored.read(symbol)
    if code is None:
        from sklstm._network.kernels.compiling import object_code

        code = object_code(name, dtype, symbol)
        stored.write(symbol, code)
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


def address(array: NDArray[Any], dtype: np.dtype[Any]) -> int:
    """Of the first element; compiled code takes on trust that there is a whole array of them."""
    if array.dtype != dtype:
        raise TypeError(f"expected an array of {dtype}, got one of {array.dtype}")
    try:
        return addressof(_from_buffer(array))  # several times as fast as what follows
    except (TypeError, ValueError):  # it is read-only, or empty
        if not array.flags.c_contiguous:
            raise TypeError(
                f"expected an array in one piece, got strides {array.strides}"
            ) from None
    found: int = array.__array_interface__["data"][0]
    return found
