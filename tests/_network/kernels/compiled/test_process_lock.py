"""Processes that need the same code: one compiles it, the others wait for its file."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import sklstm

pytest.importorskip("llvmlite")

from sklstm._network.kernels.compiled import disk_cache, process_lock

LOAD = """
import sys
import numpy as np
from sklstm._network.kernels.compiled import compiling, loading
compiled, original = [], compiling.object_code
def object_code(name, dtype, symbol):
    compiled.append(name)
    return original(name, dtype, symbol)
compiling.object_code = object_code
print("ready", flush=True)
sys.stdin.readline()
for name in ("pack", "step"):
    loading.load(name, np.dtype(np.float32))
print(*compiled)
"""


def load_in_processes(folder, n):
    """Load two functions in n processes at the same time; return all names that were compiled."""
    path = str(Path(sklstm.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": path, "SKLSTM_CACHE_DIR": str(folder)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LOAD], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(n)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * n
    return sorted(name for output in outputs for name in output.split())


def test_each_function_is_compiled_by_one_process(tmp_path):
    assert load_in_processes(tmp_path / "cache", 3) == ["pack", "step"]
    assert load_in_processes(tmp_path / "cache", 2) == []


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_cache, "folders", lambda: [tmp_path])
    monkeypatch.setattr(disk_cache, "_waits", True)
    return tmp_path


@pytest.fixture
def locked(folder):
    """The lock is held, as by another process: each opened file has its own lock."""
    descriptor = disk_cache._open_lock()
    assert process_lock.acquire(descriptor, 0)
    yield
    os.close(descriptor)


def test_the_lock_is_held_once(folder):
    with disk_cache.compiling_alone():
        descriptor = disk_cache._open_lock()
        assert not process_lock.acquire(descriptor, 0.05)
    assert process_lock.acquire(descriptor, 0)
    os.close(descriptor)


def test_after_an_error_the_lock_is_free(folder):
    with pytest.raises(KeyboardInterrupt), disk_cache.compiling_alone():
        raise KeyboardInterrupt
    descriptor = disk_cache._open_lock()
    assert process_lock.acquire(descriptor, 0)
    os.close(descriptor)


@pytest.mark.usefixtures("locked")
def test_after_a_time_limit_a_process_compiles_for_itself(monkeypatch):
    monkeypatch.setattr(disk_cache, "MAX_WAIT", 0.05)
    with disk_cache.compiling_alone():
        pass
    monkeypatch.setattr(disk_cache, "MAX_WAIT", 1e6)
    with disk_cache.compiling_alone():  # it does not wait again
        pass


@pytest.mark.usefixtures("folder")
def test_where_files_cannot_be_locked_a_process_compiles_for_itself(monkeypatch):
    def fail(*arguments):
        raise OSError("no locks on this file system")

    monkeypatch.setattr(process_lock, "_attempt", lambda: fail)
    monkeypatch.setattr(disk_cache, "MAX_WAIT", 1e6)
    with disk_cache.compiling_alone():
        pass


@pytest.mark.parametrize("there", [True, False])
def test_without_a_folder_a_process_compiles_for_itself(there, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    folders = [tmp_path / "file" / "folder"] * there
    monkeypatch.setattr(disk_cache, "folders", lambda: folders)
    with disk_cache.compiling_alone():
        pass


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no permission bits")
def test_only_the_user_can_lock(folder):
    """Otherwise another user could keep processes waiting."""
    with disk_cache.compiling_alone():
        pass
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o666)
    assert disk_cache._open_lock() is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_other_files_are_not_locked(kind, folder):
    path = folder / "compiling.lock"
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        (folder / "target").touch(0o600)
        path.symlink_to(folder / "target")
    start = time.monotonic()
    with disk_cache.compiling_alone():
        assert time.monotonic() - start < disk_cache.MAX_WAIT


@pytest.fixture
def msvcrt(monkeypatch):
    """A replacement for the module of Windows, where ``fcntl`` is missing; it has one lock."""
    holders = []

    def locking(descriptor, kind, n_bytes):
        assert (kind, n_bytes) == (2, 1)
        if holders:
            raise PermissionError(13, "Permission denied")
        holders.append(descriptor)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    return holders


def test_the_lock_of_windows(folder, msvcrt, monkeypatch):
    with disk_cache.compiling_alone():
        assert len(msvcrt) == 1
        assert not process_lock.acquire(0, 0.05)
    msvcrt.clear()
    assert process_lock.acquire(0, 0)


def test_without_any_lock_of_the_system(monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", None)
    assert not process_lock.acquire(0, 1e6)
