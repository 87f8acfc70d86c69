"""Object code on disk, so that later processes neither compile nor import Numba.

There is one file for each function and dtype. Its name contains a digest of everything that the
code depends on: the sources of this package, the versions of NumPy, Numba and llvmlite, and the
processor. So a change of any of them leads to a new file, and old code is never loaded. The file
begins with a checksum; a file that is damaged or cannot be read is ignored.
"""

from __future__ import annotations

import functools
import os
import sys
from contextlib import suppress
from hashlib import blake2b
from importlib import import_module, metadata
from pathlib import Path
from uuid import uuid4

import numpy as np

from sklstm._network.kernels.compiled.cpu import DESCRIPTION

CHECKSUM_BYTES = 16


def read(name: str) -> bytes | None:
    """Return the object code stored under this name, or None if no intact file exists."""
    for folder in folders():
        try:
            content = (folder / _file_name(name)).read_bytes()
        except OSError:
            continue
        code = content[CHECKSUM_BYTES:]
        if content[:CHECKSUM_BYTES] == _checksum(name, code):
            return code
    return None


def write(name: str, code: bytes) -> None:
    """Store object code in the first writable folder, if there is one.

    The file is renamed when it is complete, so other processes never see a part of it.
    """
    for folder in folders():
        part = folder / f"{uuid4().hex}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(_checksum(name, code) + code)
            part.replace(folder / _file_name(name))
            return
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def has_code() -> bool:
    """Return whether any function has been stored with these sources, versions and processor."""
    return any(any(folder.glob(_file_name("*"))) for folder in folders())


def folders() -> list[Path]:
    """Return the folders of the cache, in the order in which they are tried.

    These are ``$NUMBA_CACHE_DIR/sklstm`` if that is set, otherwise ``__pycache__`` beside the
    sources and the cache folder of the user. Without source files, as in some frozen applications,
    there is no cache, because a change of the sources could not be noticed.
    """
    if not _sources():
        return []
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        return [Path(given) / "sklstm"]
    beside = Path(__file__).parent / "__pycache__"
    try:
        return [beside, _user_cache() / "sklstm"]
    except RuntimeError:  # the user has no home folder
        return [beside]


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _file_name(name: str) -> str:
    return f"{name}-{key()}.native"


def _checksum(name: str, code: bytes) -> bytes:
    return blake2b(code, digest_size=CHECKSUM_BYTES, key=_file_name(name).encode()).digest()


@functools.cache
def key() -> str:
    """Return a digest of the sources, the versions of llvmlite and NumPy, and the processor."""
    digest = blake2b(digest_size=8)
    for path in _sources():
        digest.update(path.read_bytes())
    versions = (_version("llvmlite"), np.__version__)
    digest.update(repr((versions, DESCRIPTION)).encode())
    return digest.hexdigest()


def _sources() -> list[Path]:
    return sorted(Path(__file__).parent.glob("*.py"))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # frozen applications do not contain package metadata
        version: str = import_module(name).__version__
        return version
