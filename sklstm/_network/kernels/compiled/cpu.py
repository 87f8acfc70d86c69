"""Properties of the processor: the length of its vectors, and the tiles that its registers hold.

They are found with llvmlite, and follow the environment variables of Numba that select a processor.
The variable SKLSTM_CPU is set by ``python -m sklstm --compile --cpu NAME`` alone, in a process that
runs no code that it compiles: LLVM ends the process if it does not know the name.
"""

from __future__ import annotations

import os
from typing import Any

import llvmlite.binding as llvm
import numpy as np

#: The name of another processor that code is compiled for.
_OTHER = os.environ.get("SKLSTM_CPU", "")

#: The processor that code is compiled for: this one by default.
NAME = _OTHER or os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()


def _features() -> str:
    """Return the processor features that code is compiled for: those of this one by default."""
    if _OTHER:
        return ""  # those that LLVM knows for this name
    given = os.environ.get("NUMBA_CPU_FEATURES", "")
    if given or NAME.lower() == "generic":
        return given
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell for this kind of processor
        return ""
    if os.environ.get("NUMBA_ENABLE_AVX") == "0":
        for name in features:
            features[name] = features[name] and not name.startswith("avx")
    flat: str = features.flatten()
    return flat


FEATURES = _features()


def target_machine(cpu: str = "", features: str = "") -> Any:
    """Return LLVM's compiler and loader of machine code."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    x86 = target.name.startswith("x86")
    return target.create_target_machine(
        cpu=cpu,
        features=features,
        opt=3,
        reloc="static" if x86 else "default",
        codemodel="jitdefault",
        jit=True,
    )


def _converts_long_vectors() -> bool:
    """Return whether code for the other processor converts 64 bytes with one instruction."""
    assembly = target_machine(NAME).emit_assembly(llvm.parse_assembly(_CONVERSION))
    return "zmm" in assembly and "ymm" not in assembly


_CONVERSION = """
define <8 x double> @convert(<8 x i64> %x) {
  %y = sitofp <8 x i64> %x to <8 x double>
  ret <8 x double> %y
}"""

#: With AVX-512 there are 32 registers of 64 bytes, otherwise 16 registers of 32 bytes are assumed.
AVX512 = _converts_long_vectors() if _OTHER else "+avx512dq" in FEATURES
VECTOR_BYTES = 64 if AVX512 else 32

#: Numbers of rows of tiles, largest first. The largest tile fills the registers, with four vectors
#: in the forward pass and two in the backward pass; smaller tiles compute remaining rows. With 32
#: registers, six rows of a single vector are as fast as twelve. Each tile takes time to compile.
FORWARD_ROWS = (6, 2, 1) if AVX512 else (3, 2, 1)
PAIR_ROWS = (12, 6, 2, 1) if AVX512 else (6, 3, 2, 1)
SINGLE_ROWS = (6, 2, 1) if AVX512 else (6, 3, 2, 1)
MAX_FORWARD_ROWS = FORWARD_ROWS[0]

#: Where a product has at least this many terms, the forward pass computes the gates of this many
#: rows before their states: the multiplication units then wait once for a result, and not for each
#: tile. With fewer terms, the processor computes the states of one tile beside the next product.
MANY_TERMS, ROWS_AT_ONCE = 64, 10 * MAX_FORWARD_ROWS

#: How many columns the loop of a large tile adds at once. With fewer registers a tile is smaller,
#: and the instructions of the loop itself count more.
UNROLLED_COLUMNS = 2 if AVX512 else 4

#: Everything outside the sources that object code depends on: the system and the processor.
DESCRIPTION = (llvm.get_process_triple(), NAME, FEATURES, VECTOR_BYTES)

#: The features of the levels of x86 processors that have 32 registers of 64 bytes, or 16 of 32.
_LEVEL_3 = {"avx2", "bmi", "bmi2", "cx16", "f16c", "fma", "lzcnt", "movbe", "popcnt", "xsave"}
_LEVEL_4 = _LEVEL_3 | {f"avx512{part}" for part in ("f", "bw", "cd", "dq", "vl")}


def portable_descriptions() -> list[tuple[str, str, str, int]]:
    """Return descriptions of code that was compiled on another machine and runs on this one.

    These are code for processors of this name and code for all processors of this level, if this
    one has the features of the level. A virtual machine may lack features of its processor.
    """
    system, _, _, size = DESCRIPTION
    level, needed = ("x86-64-v4", _LEVEL_4) if AVX512 else ("x86-64-v3", _LEVEL_3)
    missing = needed - {name[1:] for name in FEATURES.split(",") if name.startswith("+")}
    if missing or not system.startswith("x86_64"):
        return []
    return [(system, name, "", size) for name in (NAME, level)]


def lanes_of(dtype: np.dtype[np.floating]) -> int:
    """Return the number of elements of a vector."""
    return VECTOR_BYTES // dtype.itemsize
