"""The kernel sets of sklstm that are available on this machine."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import sklstm


def available() -> list[str]:
    """Return the names of the kernel sets, the fastest first."""
    return ["compiled", "numpy"] if find_spec("llvmlite") else ["numpy"]


def using(name: str) -> AbstractContextManager[None]:
    return sklstm.config_context(kernels=name)


def import_path() -> dict[str, str]:
    """Return environment variables with which other processes import the same sklstm."""
    paths = [str(Path(sklstm.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
