"""Calls of compiled functions, which are loaded from the disk cache or else compiled first.

A compiled function takes one pointer to an array of 64-bit integers: its arguments, which are
addresses and sizes. Each function is loaded once per process and dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ctypes import CFUNCTYPE, addressof, c_char, c_int64, c_void_p
from functools import cache, partial
from pathlib import Path
from struct import Struct
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from sklstm._network.kernels import load_lock
from sklstm._network.kernels.compiled import disk_cache
from sklstm._network.kernels.compiled.cpu import target_machine


def call(name: str, dtype: np.dtype[np.floating], *arguments: int) -> None:
    """Call a compiled function with these addresses and integers."""
    load(name, dtype)(_packer(len(arguments))(*arguments))


def bind(name: str, dtype: np.dtype[np.floating], *arguments: int) -> Callable[[], int]:
    """Return a compiled function with all its arguments bound; it returns whether it succeeded."""
    return partial(load(name, dtype), _packer(len(arguments))(*arguments))


@cache
def _packer(n_arguments: int) -> Callable[..., bytes]:
    """Return a function that packs arguments into an array."""
    return Struct(f"{n_arguments}q").pack


_loaded: dict[tuple[str, np.dtype[np.floating]], Callable[[bytes], int]] = {}


def load(name: str, dtype: np.dtype[np.floating]) -> Callable[[bytes], int]:
    """Return a compiled function, which is loaded or compiled if this has not been done yet."""
    return _loaded.get((name, dtype)) or _load_once(name, dtype)


def _load_once(name: str, dtype: np.dtype[np.floating]) -> Callable[[bytes], int]:
    """Load a function unless another thread has loaded it in the meantime."""
    with load_lock.lock:
        if (name, dtype) not in _loaded:
            _loaded[name, dtype] = _load(name, dtype)
        return _loaded[name, dtype]


def _load(name: str, dtype: np.dtype[np.floating]) -> Callable[[bytes], int]:
    if dtype not in (np.float32, np.float64):  # a different byte order is refused too
        raise TypeError(f"expected float32 or float64 in native byte order, got {dtype!r}")
    symbol = _symbol(name, dtype)
    code = disk_cache.read(symbol)
    return link(code or _compile_once(name, dtype, symbol), symbol)


def _compile_once(name: str, dtype: np.dtype[np.floating], symbol: str) -> bytes:
    """Compile a function, unless another process does so in the meantime."""
    with disk_cache.compiling_alone():
        code = disk_cache.read(symbol)
        if code is None:
            code = _compile(name, dtype, symbol)
            disk_cache.write(symbol, code)
        return code


def _compile(name: str, dtype: np.dtype[np.floating], symbol: str) -> bytes:
    from sklstm._network.kernels.compiled.compiling import object_code

    return object_code(name, dtype, symbol)


#: The names of all compiled functions, each with the dtypes that they are compiled for.
_FUNCTIONS: list[tuple[str, np.dtype[np.floating]]] = [
    (name, np.dtype(kind))
    for kind in (np.float32, np.float64)
    for name in ("forward", "backward", "infer", "pack", "step")
]


def store_all() -> Iterator[tuple[str, Path | None]]:
    """Compile all functions that are not on disk for this processor, without loading them.

    Yields the symbol of each function and its file, or None if the code could not be stored.
    """
    for name, dtype in _FUNCTIONS:
        symbol = _symbol(name, dtype)
        if disk_cache.find(symbol, portable=False) is None:
            with disk_cache.compiling_alone():
                disk_cache.write(symbol, _compile(name, dtype, symbol))
        found = disk_cache.find(symbol, portable=False)
        yield symbol, None if found is None else found[0]


def stored() -> dict[str, Path | None]:
    """Return the symbol of each function, and the file from which it is loaded if there is one."""
    symbols = [_symbol(name, dtype) for name, dtype in _FUNCTIONS]
    files = map(disk_cache.find, symbols)
    return {symbol: file and file[0] for symbol, file in zip(symbols, files, strict=True)}


def _symbol(name: str, dtype: np.dtype[np.floating]) -> str:
    return f"sklstm_{name}_{dtype.name}"


def link(code: bytes, symbol: str) -> Callable[[bytes], int]:
    """Return the function of an object file; it releases the GIL while it runs."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(symbol)
    if not address:
        raise RuntimeError(f"the object code does not contain {symbol}")
    _engines.append(engine)
    return CFUNCTYPE(c_int64, c_void_p)(address)


#: The engines own the machine code of loaded functions.
_engines: list[Any] = []

_from_buffer: Callable[[Any], c_char] = c_char.from_buffer


def addresses(dtype: np.dtype[Any], *arrays: NDArray[Any]) -> list[int]:
    """Return the addresses of arrays, see ``address``."""
    try:  # without the calls, for speed
        found = [addressof(_from_buffer(array)) for array in arrays if array.dtype == dtype]
    except (TypeError, ValueError):
        found = []
    return found if len(found) == len(arrays) else [address(array, dtype) for array in arrays]


def address(array: NDArray[Any], dtype: np.dtype[Any]) -> int:
    """Return the address of a C-contiguous array of this dtype; raise an error for another.

    The check matters: compiled code reads and writes memory without looking at shapes.
    """
    if array.dtype == dtype:
        try:  # several times as fast as the attributes below
            return addressof(_from_buffer(array))
        except (TypeError, ValueError):  # the array is read-only, empty or not contiguous
            pass
    if array.dtype != dtype or not array.flags.c_contiguous:
        about = f"{array.dtype} with strides {array.strides}"
        raise TypeError(f"expected a C-contiguous array of {dtype}, got one of {about}")
    found: int = array.__array_interface__["data"][0]
    return found
