"""From functions in Python to object code that needs neither Python nor Numba.

Imported, with Numba, where a function is not found on disk.
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
    """A file in memory, as a linker takes it, with one function for one dtype.

    In C its type is ``int64_t symbol(int64_t *)``. It reads what it is to be given, pointers
    and numbers, from there.
    """
    entry = _entry(FUNCTIONS[name], from_dtype(dtype))
    module = llvm.parse_assembly(entry.inspect_llvm())
    module.get_function(entry.native_name).name = symbol
    _check_needs_nobody(module)
    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    return bytes(target_machine(cpu, features).emit_object(module))


def _entry(function: Callable[..., bool], dtype: Any) -> Any:
    *kinds, _ = function.__annotations__.values()
    arguments = _arguments(kinds, dtype)
    inner = njit(error_model="numpy", forceinline=True)(function)

    @cfunc(types.int64(types.CPointer(types.int64)), error_model="numpy")
    def entry(numbers: Any) -> Any:
        return inner(*arguments(numbers))

    return entry


def _arguments(kinds: list[str], dtype: Any) -> Any:
    """An intrinsic that reads the arguments of a function, by their annotations."""
    known = {"Integers": types.CPointer(types.int64), "Reals": types.CPointer(dtype)}
    wanted = types.Tuple([known.get(kind, types.int64) for kind in kinds])

    @intrinsic
    def arguments(context: Any, numbers: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = []
            for k, kind in enumerate(wanted):
                place = builder.gep(args[0], [ir.Constant(ir.IntType(64), k)])
                value = builder.load(place)
                if isinstance(kind, types.CPointer):
                    value = builder.inttoptr(value, context.get_value_type(kind))
                values.append(value)
            return context.make_tuple(builder, wanted, values)

        return wanted(numbers), build

    return arguments


def _check_needs_nobody(module: Any) -> None:
    """Later processes find the C library's ``memset`` and the like, but nothing of Numba."""
    missing = [
        value.name
        for value in (*module.functions, *module.global_variables)
        if value.is_declaration and not value.name.startswith("llvm.")
    ]
    if missing:
        raise RuntimeError(f"this version of Numba compiles to code that needs {missing}")
