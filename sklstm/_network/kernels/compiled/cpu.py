"""Properties of the processor: the length of its vectors, and the tiles that its registers hold.

They are found with llvmlite, and follow the environment variables of Numba that select a processor.
"""

from __future__ import annotations

import os
from typing import Any

import llvmlite.binding as llvm
import numpy as np

#: The processor that code is compiled for: this one by default.
NAME = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()


def _features() -> str:
    """Return the processor features that code is compiled for: those of this one by default."""
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

#: Everything outside the sources that object code depends on: the system and the processor.
DESCRIPTION = (llvm.get_process_triple(), NAME, FEATURES)

#: With AVX-512 there are 32 registers of 64 bytes, otherwise 16 registers of 32 bytes are assumed.
AVX512 = "+avx512dq" in FEATURES
VECTOR_BYTES = 64 if AVX512 else 32

#: Numbers of rows of tiles, largest first. The largest tile fills the registers, with four vectors
#: in the forward pass and two or one in the backward pass; smaller tiles compute remaining rows.
FORWARD_ROWS = (6, 4, 2, 1) if AVX512 else (3, 2, 1, 1)
BACKWARD_ROWS = (12, 6, 3, 1) if AVX512 else (6, 3, 2, 1)
MAX_FORWARD_ROWS = FORWARD_ROWS[0]

#: How many columns the loop of a large tile adds at once. With fewer registers a tile is smaller,
#: and the instructions of the loop itself count more.
UNROLLED_COLUMNS = 2 if AVX512 else 4


def lanes_of(dtype: np.dtype[np.floating]) -> int:
    """Return the number of elements of a vector."""
    return VECTOR_BYTES // dtype.itemsize


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
