"""The processor: how long its vectors are, and how many registers there are for them.

It is asked by way of llvmlite, and the variables that Numba heeds are heeded. Numba itself is not
imported: where all functions have been compiled before, nobody needs it.
"""

from __future__ import annotations

import os
from typing import Any

import llvmlite.binding as llvm
import numpy as np


def _features() -> str:
    """Those that Numba compiles for: of this processor, if not told otherwise."""
    given = os.environ.get("NUMBA_CPU_FEATURES", "")
    if given or os.environ.get("NUMBA_CPU_NAME", "").lower() == "generic":
        return given
    try:
        features: str = llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # not known for this kind of processor
        return ""
    return features


_AVX = os.environ.get("NUMBA_ENABLE_AVX", "")
_FEATURES = _features()

#: All that compiled code depends on: system and processor, and how Numba was told to compile.
DESCRIPTION = (
    llvm.get_process_triple(),
    os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name(),
    _FEATURES,
    _AVX,
    *(os.environ.get(name, "") for name in ("NUMBA_OPT", "NUMBA_DEBUGINFO")),
)

#: Whether there are 32 registers of 64 bytes; if not, 16 of 32 bytes are reckoned with.
WIDE = "+avx512dq" in _FEATURES and _AVX != "0"
VECTOR_BYTES = 64 if WIDE else 32

#: Rows of a tile, largest first: with four gates, and with two vectors and one on the way back.
#: As many as the registers hold; the smaller ones take what is left.
FORWARD_ROWS = (6, 4, 2, 1) if WIDE else (3, 2, 1, 1)
BACKWARD_ROWS = (12, 6, 3, 1) if WIDE else (6, 3, 2, 1)
MOST_ROWS = FORWARD_ROWS[0]


def lanes_of(dtype: np.dtype[np.floating]) -> int:
    """Elements of a vector."""
    return VECTOR_BYTES // dtype.itemsize


def target_machine(cpu: str = "", features: str = "") -> Any:
    """What makes and loads machine code; set up as Numba sets it up."""
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
