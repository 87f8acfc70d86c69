"""Object code on disk, so that later processes do not compile.

There is one file for each function and dtype. Its name contains a digest of everything that the
code depends on: the sources of this package, the versions of NumPy and llvmlite, and the
processor. So a change of any of them leads to a new file, and old code is never loaded. The file
begins with a checksum; a file that is damaged or cannot be read is ignored.

Code that is loaded can do all that the user can do. So files and folders are ignored unless they
belong to the user or to root and no one else can write to them. Windows has no such permission
bits; there, the folder of the user is protected by default.
"""

from __future__ import annotations

import functools
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from importlib import import_module, metadata
from pathlib import Path
from uuid import uuid4

import numpy as np

from sklstm._network.kernels.compiled import cpu, process_lock

CHECKSUM_BYTES = 16

DAY = 86400  # seconds

#: Files with another key are removed when they have not been used for this time.
MAX_UNUSED = 30 * DAY

#: Maximum number of files of one function and dtype. Several environments may share a folder.
MAX_KEYS = 8

#: Unfinished files of this age are left from processes that have ended.
MAX_WRITING = 60

#: Seconds to wait for another process that compiles. Compilation takes a tenth of that at most.
MAX_WAIT = 30.0

#: Files are opened without following a link, and without waiting for the other end of a pipe.
_BINARY = getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY
_LOCK = os.O_RDWR | os.O_CREAT | _READ
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY

_HAS_OWNERS = hasattr(os, "geteuid")


def read(name: str) -> bytes | None:
    """Return the object code stored under this name, or None if no intact file exists."""
    found = find(name)
    return None if found is None else found[1]


def find(name: str, portable: bool = True) -> tuple[Path, bytes] | None:
    """Return the path and the object code of the file that is read for this name.

    With ``portable``, code is also found that was compiled on another machine.
    """
    for key_of_file in (key(), *(portable_keys() if portable else ())):
        file_name = _file_name(name, key_of_file)
        for folder in folders():
            try:
                content = _read(folder, file_name)
            except OSError:
                continue
            code = content[CHECKSUM_BYTES:]
            if content[:CHECKSUM_BYTES] == _checksum(file_name, code):
                return folder / file_name, code
    return None


def write(name: str, code: bytes) -> None:
    """Store object code in the first folder that is trusted and writable, if there is one."""
    file_name = _file_name(name, key())
    for folder in folders():
        try:
            _make(folder)
            _write(folder, file_name, _checksum(file_name, code) + code)
        except OSError:
            continue
        with suppress(OSError):
            _remove_old(folder, name)
        return


@contextmanager
def compiling_alone() -> Iterator[None]:
    """Wait until no other process compiles code for the same folder, and keep others waiting.

    Where files cannot be locked, or after ``MAX_WAIT`` seconds, processes compile at the same time.
    In the second case the process waits for no other one again.
    """
    global _waits
    descriptor = _open_lock() if _waits else None
    try:
        if descriptor is not None:
            _waits = process_lock.acquire(descriptor, MAX_WAIT)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


_waits = True


def _open_lock() -> int | None:
    """Open a file for the lock in the folder that code is written to."""
    for folder in folders():
        try:
            _make(folder)
            descriptor = os.open(folder / "compiling.lock", _LOCK, 0o600)
        except OSError:
            continue
        status = os.fstat(descriptor)
        with suppress(OSError):
            _check_trusted(status, stat.S_ISREG(status.st_mode))
            return descriptor
        os.close(descriptor)
    return None


def folders() -> list[Path]:
    """Return the folders of the cache, in the order in which they are tried.

    This is ``$SKLSTM_CACHE_DIR`` or ``$NUMBA_CACHE_DIR/sklstm`` if one of them is set, otherwise
    ``__pycache__`` beside the sources and the cache folder of the user. Relative paths are
    ignored: they would depend on the working directory. Without source files, as in some frozen
    applications, there is no cache, because a change of the sources could not be noticed.
    """
    if not _sources():
        return []
    for variable, inside in (("SKLSTM_CACHE_DIR", ""), ("NUMBA_CACHE_DIR", "sklstm")):
        given = Path(os.environ.get(variable, ""))
        if given.is_absolute():
            return [given / inside]
    found = [_BESIDE, _user_folder()]
    return [folder for folder in found if folder is not None and folder.is_absolute()]


_BESIDE = Path(__file__).parent / "__pycache__"


def _user_folder() -> Path | None:
    """Return the folder in the user's cache, or None if the user has no home folder."""
    variable, *names = {
        "win32": ("LOCALAPPDATA", "AppData", "Local"),
        "darwin": ("", "Library", "Caches"),
    }.get(sys.platform, ("XDG_CACHE_HOME", ".cache"))
    given = Path(os.environ.get(variable, ""))
    if given.is_absolute():
        return given / "sklstm"
    try:
        return Path.home().joinpath(*names, "sklstm")
    except RuntimeError:
        return None


# --- trusted files ---


def _read(folder: Path, file_name: str) -> bytes:
    """Return the content of a file; raise PermissionError if others could have written it.

    What is checked is the open folder and the open file, which can no longer be exchanged.
    """
    with _opened(folder) as inside:
        path = folder / file_name if inside is None else file_name
        descriptor = os.open(path, _READ, dir_fd=inside)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _check_trusted(status, stat.S_ISREG(status.st_mode))
        if os.utime in os.supports_fd and time.time() - status.st_mtime > DAY:
            with suppress(OSError):
                os.utime(descriptor)  # the file is in use
        return file.read()


@contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """Yield a descriptor of a trusted folder, or None on Windows."""
    if not _HAS_OWNERS:
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _check_trusted(os.fstat(descriptor), True)
        yield descriptor
    finally:
        os.close(descriptor)


def _check_trusted(status: os.stat_result, has_right_type: bool) -> None:
    """Raise an error unless only the user or root can write to a file or folder."""
    trusted = has_right_type
    if _HAS_OWNERS:
        writable_by_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        trusted &= status.st_uid in (0, os.geteuid()) and not writable_by_others
    if not trusted:
        raise PermissionError


def _make(folder: Path) -> None:
    """Make the folder if it does not exist; raise an error if it is not trusted."""
    private = folder == _user_folder()
    folder.mkdir(mode=0o700 if private else 0o755, parents=True, exist_ok=True)
    with _opened(folder):
        pass


def _write(folder: Path, file_name: str, content: bytes) -> None:
    """Write a file, which is renamed when it is complete: other processes never see a part."""
    part = folder / f"{uuid4().hex}.part"
    try:
        with open(os.open(part, _CREATE, 0o644), "wb") as file:
            file.write(content)
        part.replace(folder / file_name)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _remove_old(folder: Path, name: str) -> None:
    """Remove unfinished files, and files with another key that are no longer used."""
    outdated = [path for path in folder.glob("*.part") if _age(path) > MAX_WRITING]
    others = [path for path in folder.glob("*.native") if not path.stem.endswith(key())]
    outdated += [path for path in others if _age(path) > MAX_UNUSED]
    same_name = [path for path in others if path.name.startswith(f"{name}-")]
    outdated += sorted(same_name, key=_age)[MAX_KEYS - 1 :]
    for path in outdated:
        path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


# --- names and checksums ---


def _file_name(name: str, key_of_file: str) -> str:
    return f"{name}-{key_of_file}.native"


def _checksum(file_name: str, code: bytes) -> bytes:
    return blake2b(code, digest_size=CHECKSUM_BYTES, key=file_name.encode()).digest()


@functools.cache
def key() -> str:
    """Return a digest of the sources, the versions of llvmlite and NumPy, and the processor."""
    return _key(cpu.DESCRIPTION)


@functools.cache
def portable_keys() -> list[str]:
    """Return the keys of code that was compiled on another machine and runs on this one."""
    return [_key(description) for description in cpu.portable_descriptions()]


def _key(description: tuple[object, ...]) -> str:
    digest = blake2b(digest_size=8)
    for path in _sources():
        digest.update(path.read_bytes())
    versions = (_version("llvmlite"), np.__version__)
    digest.update(repr((versions, description)).encode())
    return digest.hexdigest()


def _sources() -> list[Path]:
    return sorted(Path(__file__).parent.glob("*.py"))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # frozen applications do not contain package metadata
        version: str = import_module(name).__version__
        return version
