"""Versions and settings that a report of a problem needs."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from threadpoolctl import threadpool_info

from sklstm import _config
from sklstm._network import kernels

_PACKAGES = ("sklstm", "numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl", "llvmlite")
#: Listed only if they are installed.
_OPTIONAL = ("pandas", "polars", "pyarrow", "skops", "onnx", "onnxruntime", "dask")

#: Of the column of names; those of folders are longer.
_MAX_WIDTH = 24


def show_versions() -> None:
    """Print versions, kernels, BLAS, the processor and the place of compiled code.

    Reports of problems should contain this text. ``python -m sklstm`` prints it, too.

    Examples
    --------
    >>> import sklstm
    >>> sklstm.show_versions()  # doctest: +SKIP
    """
    lines = _system() | _versions() | _blas() | _kernels()
    width = min(max(map(len, lines)), _MAX_WIDTH)
    for name, value in lines.items():
        print(f"{name:<{width}}  {value}")


def _system() -> dict[str, str]:
    return {
        "python": f"{platform.python_version()}, {sys.executable}",
        "system": platform.platform(),
    }


def _versions() -> dict[str, str]:
    found = {name: _version(name) for name in (*_PACKAGES, *_OPTIONAL)}
    return {
        name: found[name] or "not installed" for name in found if found[name] or name in _PACKAGES
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _blas() -> dict[str, str]:
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return {f"BLAS {k}": _about(library) for k, library in enumerate(libraries, 1)}


def _about(library: dict[str, object]) -> str:
    parts = [library.get(key) for key in ("internal_api", "version", "architecture")]
    named = " ".join(str(part) for part in parts if part)
    return f"{named}, {library['num_threads']} threads, {library['filepath']}"


def _kernels() -> dict[str, str]:
    option = _config.get_config()["kernels"]
    return {"kernels": f'{kernels.in_use()} (the option is "{option}")'} | kernels.describe()
