"""Compiled code on disk: later processes load it, without Numba, and trust nothing else there."""

import os
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import sklstm

pytest.importorskip("numba")

from sklstm._network.kernels.compiled import compiling, disk_cache, loading

SINGLE = np.dtype(np.float32)

FIT = """
import sys
import numpy as np
from sklstm import LSTMRegressor
from sklstm._network.kernels.compiled import disk_cache, loading
from sklstm.streaming import SequenceStream
if {broken}:
    sys.modules["numba.core"] = None  # so that an import of Numba fails
X = np.random.default_rng(0).standard_normal((8, 5, 2), dtype=np.float32)
model = LSTMRegressor(3, solver="lbfgs", max_iter=3, tol=1e3, random_state=0).fit(X, X[:, 0, 0])
streamed = SequenceStream(model).step(X[:1, 0])
found = model._model.state.parameters, model.predict(X), streamed
print(*(array.tobytes().hex() for array in found))
print("numba" in sys.modules, len(loading._ready))
"""


def fit_in_a_process(folder, broken=False, **environment):
    """What a fit, predictions and a streamed step gave, and whether Numba was imported."""
    path = str(Path(sklstm.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(folder)} | environment
    environment |= {"SKLSTM_KERNELS": "auto"}
    command = [sys.executable, "-c", FIT.format(broken=broken)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    results, about = done.stdout.splitlines()
    imported, n_functions = about.split()
    assert int(n_functions) >= 5
    return results, imported == "True"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder with what a first process compiled, and the results of that."""
    folder = tmp_path_factory.mktemp("cache")
    results, imported = fit_in_a_process(folder)
    assert imported
    return folder, results


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_cache, "folders", lambda: [tmp_path])
    return tmp_path


@pytest.fixture
def compilations(monkeypatch):
    """The names of what is compiled; each time from scratch, as nothing has been loaded before."""
    made, original = [], compiling.object_code

    def object_code(name, dtype, symbol):
        made.append(name)
        return original(name, dtype, symbol)

    monkeypatch.setattr(compiling, "object_code", object_code)
    monkeypatch.setattr(loading, "_ready", {})
    return made


def forget():
    loading._ready.clear()


def pack():
    """The smallest of the functions, at work: packed weights of one unit and one input."""
    ih, hh, bias = np.ones((1, 4), SINGLE), np.ones((1, 4), SINGLE), np.ones(4, SINGLE)
    packed = np.empty(4 * 16 * 3, SINGLE)
    arrays = (ih, hh, bias, packed)
    loading.run("pack", SINGLE, *loading.addresses(SINGLE, *arrays), 1, 1)
    return packed[0]


# --- later processes ---


def test_a_later_process_does_without_numba_and_gives_the_same_bits(filled):
    folder, results = filled
    assert fit_in_a_process(folder) == (results, False)


def test_numba_may_be_broken_where_all_is_compiled(filled):
    folder, results = filled
    assert fit_in_a_process(folder, broken=True) == (results, False)


@pytest.mark.parametrize("variable", ["NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX"])
def test_code_for_another_processor_has_another_name(variable):
    values = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+sse2", "NUMBA_ENABLE_AVX": "0"}
    code = "from sklstm._network.kernels.compiled import disk_cache; print(disk_cache.key())"
    path = str(Path(sklstm.__file__).parents[1])
    keys = [
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path} | more,
            capture_output=True, text=True, check=True,
        ).stdout
        for more in ({}, {variable: values[variable]})
    ]  # fmt: skip
    assert keys[0] != keys[1]


# --- what is found on disk ---


def test_what_was_written_is_loaded(folder, compilations):
    first = pack()
    forget()
    assert pack() == first
    assert compilations == ["pack"]
    assert [path.suffix for path in folder.iterdir()] == [".native"]


SPOILED = {
    "empty": lambda code: b"",
    "short": lambda code: code[:-1],
    "one bit": lambda code: code[:-100] + bytes([code[-100] ^ 1]) + code[-99:],
    "no checksum": lambda code: code[disk_cache.CHECKSUM_BYTES :],
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_spoiled_file_is_replaced(spoil, folder, compilations):
    first = pack()
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    forget()
    assert pack() == first
    assert compilations == ["pack", "pack"]
    forget()
    pack()
    assert compilations == ["pack", "pack"]


def test_a_file_under_the_name_of_another_is_not_taken(folder):
    disk_cache.write("one", b"code")
    (path,) = folder.iterdir()
    path.rename(folder / path.name.replace("one", "two"))
    assert disk_cache.read("two") is None


def test_code_of_other_sources_is_not_taken(folder, compilations, monkeypatch):
    pack()
    assert disk_cache.anything()
    monkeypatch.setattr(disk_cache, "key", lambda: "0" * 16)
    assert not disk_cache.anything()
    forget()
    pack()
    assert compilations == ["pack", "pack"]
    assert len(list(folder.iterdir())) == 2


def new_key():
    return disk_cache.key.__wrapped__()


@pytest.mark.parametrize(
    "name", sorted(p.name for p in Path(disk_cache.__file__).parent.glob("*.py"))
)
def test_every_source_counts(name, monkeypatch):
    key, read = new_key(), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (path.name == name) * b"#")
    assert new_key() != key


@pytest.mark.parametrize("changed", ["numba", "llvmlite"])
def test_versions_count(changed, monkeypatch):
    key, version = new_key(), metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: version(name) + "a" * (name == changed))
    assert new_key() != key


def test_the_version_of_numpy_counts(monkeypatch):
    key = new_key()
    monkeypatch.setattr(np, "__version__", "9.9")
    assert new_key() != key


def no_metadata(name):
    raise metadata.PackageNotFoundError(name)


def test_frozen_applications_have_versions_too(monkeypatch):
    key = new_key()
    monkeypatch.setattr(metadata, "version", no_metadata)
    assert new_key() == key


def test_once_numba_is_gone_nothing_is_taken(monkeypatch):
    monkeypatch.setattr(metadata, "version", no_metadata)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError):
        new_key()


# --- folders ---


def test_no_folder_for_a_cache_is_no_error(tmp_path, compilations, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(disk_cache, "folders", lambda: [tmp_path / "file" / "folder"])
    pack()
    assert compilations == ["pack"]
    assert not disk_cache.anything()


def test_the_next_folder_is_taken_where_the_first_may_not_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    folders = [tmp_path / "file" / "folder", tmp_path / "other"]
    monkeypatch.setattr(disk_cache, "folders", lambda: folders)
    disk_cache.write("name", b"code")
    assert disk_cache.read("name") == b"code"
    assert disk_cache.anything()


def test_a_failed_write_leaves_nothing_behind(folder, monkeypatch):
    def fail(*arguments):
        raise OSError

    monkeypatch.setattr(Path, "replace", fail)
    disk_cache.write("name", b"code")
    assert list(folder.iterdir()) == []


BASES = {"linux": "XDG_CACHE_HOME", "win32": "LOCALAPPDATA", "darwin": "HOME"}


@pytest.mark.parametrize("platform", BASES)
def test_beside_the_sources_or_in_the_folder_of_the_user(platform, tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(BASES[platform], str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    beside, of_user = disk_cache.folders()
    assert beside == Path(disk_cache.__file__).parent / "__pycache__"
    assert tmp_path in of_user.parents
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "given"))
    assert disk_cache.folders() == [tmp_path / "given" / "sklstm"]


def test_a_user_without_a_home_has_the_folder_beside_the_sources(monkeypatch):
    def fail():
        raise RuntimeError

    for variable in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", fail)
    assert len(disk_cache.folders()) == 1


# --- compiling ---


def test_threads_that_want_a_function_first_share_it(folder, compilations):
    barrier, found = threading.Barrier(4), []

    def want():
        barrier.wait(timeout=60)
        found.append(loading._first("pack", SINGLE, 6))

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compilations == ["pack"]
    assert len(found) == 4
    assert len(set(map(id, found))) == 1


def test_code_that_needs_something_of_numba_is_not_stored():
    """Later processes would be ended by LLVM, which finds it nowhere."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(
        "declare void @NRT_decref(i8*)\ndeclare float @llvm.fabs.f32(float)"
    )
    with pytest.raises(RuntimeError, match=r"needs \['NRT_decref'\]"):
        compiling._check_needs_nobody(module)
