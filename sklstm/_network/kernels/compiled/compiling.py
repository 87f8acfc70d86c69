"""Compilation of Python functions to object code that needs no Python when it runs.

``translation`` turns functions into LLVM instructions, and LLVM turns these into machine code. This
module is imported only if a function is not in the disk cache.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from sklstm._network.kernels.compiled import backward_pass, cpu, recurrence, single_step
from sklstm._network.kernels.compiled.translation import INTEGER, definition, translate
from sklstm._network.kernels.compiled.vectors import Lanes

FUNCTIONS: dict[str, Callable[..., bool]] = {
    "forward": recurrence.forward,
    "infer": recurrence.infer,
    "backward": backward_pass.backward,
    "pack": single_step.pack,
    "step": single_step.step,
}


definition(recurrence.forward)  # raises an ImportError if there are no source files


def object_code(name: str, dtype: np.dtype[np.floating], symbol: str) -> bytes:
    """Return the contents of an object file that defines one function for one dtype."""
    return compile_function(FUNCTIONS[name], dtype, symbol)


def compile_function(
    function: Callable[..., Any], dtype: np.dtype[np.floating], symbol: str
) -> bytes:
    """Return the contents of an object file with the C function ``int64_t symbol(int64_t *)``.

    Its argument is an array with the arguments of the Python function: pointers and integers. The
    annotations of that function tell which are pointers.
    """
    machine = cpu.target_machine(cpu.NAME, cpu.FEATURES)
    with _without_garbage_collection():
        instructions = _instructions(function, dtype, symbol)
    module = llvm.parse_assembly(instructions)
    module.verify()
    _optimize(module, machine)
    _check_self_contained(module)
    return bytes(machine.emit_object(module))


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Instructions are many objects, of which none is garbage: a third of the time is saved."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _instructions(function: Callable[..., Any], dtype: np.dtype[np.floating], symbol: str) -> str:
    module = ir.Module()
    module.triple = llvm.get_process_triple()
    entry = ir.Function(module, ir.FunctionType(INTEGER, [INTEGER.as_pointer()]), symbol)
    builder = ir.IRBuilder(entry.append_basic_block())
    lanes = Lanes(builder, dtype)
    builder.ret(translate(lanes, function, *_arguments(lanes, function, entry.args[0])))
    return str(module)


def _arguments(lanes: Lanes, function: Callable[..., Any], array: Any) -> list[Any]:
    """Read the arguments of a function from the array."""
    builder = lanes.builder
    pointers = {"Integers": INTEGER.as_pointer(), "Reals": lanes.element.as_pointer()}
    *kinds, _ = function.__annotations__.values()
    values = []
    for k, kind in enumerate(kinds):
        value = builder.load(lanes.at(array, k))
        values.append(builder.inttoptr(value, pointers[kind]) if kind in pointers else value)
    return values


def _optimize(module: Any, machine: Any) -> None:
    """Run LLVM's passes of the lowest level, once.

    Vectors are written by ``intrinsics``. To vectorise or unroll further loops would take three
    times as long, for code that is no faster.
    """
    if not hasattr(llvm, "create_pass_builder"):  # llvmlite before 0.44
        _optimize_with_old_passes(module)
        return
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)


def _optimize_with_old_passes(module: Any) -> None:
    builder, passes = llvm.create_pass_manager_builder(), llvm.create_module_pass_manager()
    builder.opt_level, builder.disable_unroll_loops = 1, True
    builder.populate(passes)
    passes.run(module)


def _check_self_contained(module: Any) -> None:
    """Raise an error if the code calls a function that later processes do not load.

    Functions of the C library, such as ``memset``, are LLVM intrinsics at this point.
    """
    missing = [
        value.name
        for value in (*module.functions, *module.global_variables)
        if value.is_declaration and not value.name.startswith("llvm.")
    ]
    if missing:
        raise RuntimeError(f"compiled code needs {missing}")
