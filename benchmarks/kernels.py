"""The kernel sets of sklstm that this machine can run."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import sklstm


def available() -> list[str]:
    """Fastest first."""
    return ["numba", "numpy"] if find_spec("numba") else ["numpy"]


def using(name: str) -> AbstractContextManager[None]:
    return sklstm.config_context(kernels=name)


def import_path() -> dict[str, str]:
    """An environment in which other processes import this sklstm."""
    paths = [str(Path(sklstm.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
