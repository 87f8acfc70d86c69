"""Compilation of Python functions to object code that needs neither Python nor Numba to run.

This module, and with it Numba, is imported only if a function is not in the disk cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import cfunc, njit, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

from sklstm._network.kernels.compiled import recurrence, single_step
from sklstm._network.kernels.compiled.cpu import target_machine

FUNCTIONS: dict[str, Callable[..., bool]] = {
    "forward": recurrence.forward,
    "infer": recurrence.infer,
    "backward": recurrence.backward,
    "pack": single_step.pack,
    "step": single_step.step,
}


def object_code(name: str, dtype: np.dtype[np.floating], symbol: str) -> bytes:
    """Return the contents of an object file that defines one function for one dtype.

    The function has the C type ``int64_t symbol(int64_t *)``. Its argument is an array with the
    arguments of the Python function: pointers and integers.
    """
    entry = _entry_point(FUNCTIONS[name], from_dtype(dtype))
    module = llvm.parse_assembly(entry.inspect_llvm())
    module.get_function(entry.native_name).name = symbol
    _check_self_contained(module)
    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    return bytes(target_machine(cpu, features).emit_object(module))


def _entry_point(function: Callable[..., bool], dtype: Any) -> Any:
    *kinds, _ = function.__annotations__.values()
    unpack = _unpack_arguments(kinds, dtype)
    inner = njit(error_model="numpy", forceinline=True)(function)

    @cfunc(types.int64(types.CPointer(types.int64)), error_model="numpy")
    def entry(arguments: Any) -> Any:
        return inner(*unpack(arguments))

    return entry


def _unpack_arguments(kinds: list[str], dtype: Any) -> Any:
    """Return an intrinsic that reads the arguments of a function with these annotations."""
    pointers = {"Integers": types.CPointer(types.int64), "Reals": types.CPointer(dtype)}
    argument_types = types.Tuple([pointers.get(kind, types.int64) for kind in kinds])

    @intrinsic
    def unpack(context: Any, arguments: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = []
            for k, kind in enumerate(argument_types):
                place = builder.gep(args[0], [ir.Constant(ir.IntType(64), k)])
                value = builder.load(place)
                if isinstance(kind, types.CPointer):
                    value = builder.inttoptr(value, context.get_value_type(kind))
                values.append(value)
            return context.make_tuple(builder, argument_types, values)

        return argument_types(arguments), build

    return unpack


def _check_self_contained(module: Any) -> None:
    """Raise an error if the code calls a function of Numba, which later processes do not load.

    Functions of the C library, such as ``memset``, are LLVM intrinsics at this point.
    """
    missing = [
        value.name
        for value in (*module.functions, *module.global_variables)
        if value.is_declaration and not value.name.startswith("llvm.")
    ]
    if missing:
        raise RuntimeError(f"this version of Numba compiles to code that needs {missing}")
