"""Object code on disk, so that later processes need not compile, nor import Numba.

A file is named after all that its code depends on, and begins with a checksum. What cannot be read
or is not what it should be is as good as not there.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib import import_module, metadata
from pathlib import Path
from uuid import uuid4

import numpy as np

from sklstm._network.kernels.compiled.cpu import DESCRIPTION

CHECKSUM_BYTES = 16


def read(name: str) -> bytes | None:
    """What was written under this name, if it is all there."""
    for folder in folders():
        try:
            content = (folder / _file(name)).read_bytes()
        except OSError:
            continue
        code = content[CHECKSUM_BYTES:]
        if content[:CHECKSUM_BYTES] == _checksum(name, code):
            return code
    return None


def write(name: str, code: bytes) -> None:
    """To the first folder that takes it; other processes see a whole file or none."""
    for folder in folders():
        part = folder / f"{uuid4().hex}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(_checksum(name, code) + code)
            part.replace(folder / _file(name))
            return
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def anything() -> bool:
    """Whether there is a function from before: then Numba worked here, in all these versions."""
    return any(any(folder.glob(_file("*"))) for folder in folders())


def folders() -> list[Path]:
    """Numba's own folder for such files if it is set, else beside the sources, else the user's.

    None in applications without sources, which could not tell old code from new.
    """
    if not _sources():
        return []
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        return [Path(given) / "sklstm"]
    beside = Path(__file__).parent / "__pycache__"
    try:
        return [beside, _of_user() / "sklstm"]
    except RuntimeError:  # a user without a home
        return [beside]


def _of_user() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _file(name: str) -> str:
    return f"{name}-{key()}.native"


def _checksum(name: str, code: bytes) -> bytes:
    return blake2b(code, digest_size=CHECKSUM_BYTES, key=_file(name).encode()).digest()


@cache
def key() -> str:
    """A digest of the sources, of what compiles them, and of the processor.

    NumPy is in it because Numba refuses to be imported beside one that it does not know.
    """
    digest = blake2b(digest_size=8)
    for path in _sources():
        digest.update(path.read_bytes())
    versions = (_version("numba"), _version("llvmlite"), np.__version__)
    digest.update(repr((versions, DESCRIPTION)).encode())
    return digest.hexdigest()


def _sources() -> list[Path]:
    return sorted(Path(__file__).parent.glob("*.py"))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # frozen applications leave such files out
        version: str = import_module(name).__version__
        return version
