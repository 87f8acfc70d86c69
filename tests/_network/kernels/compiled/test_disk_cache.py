"""Object code on disk: later processes load it and compile nothing; damaged files are ignored."""

import os
import stat
import subprocess
import sys
import threading
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import sklstm

pytest.importorskip("llvmlite")

from sklstm._network.kernels.compiled import compiling, cpu, disk_cache, loading

SINGLE = np.dtype(np.float32)

FIT = """
import sys
import numpy as np
from sklstm import LSTMRegressor
from sklstm._network.kernels.compiled import disk_cache, loading
from sklstm.streaming import SequenceStream
compiler = "sklstm._network.kernels.compiled.compiling"
if {compiler_fails}:
    sys.modules[compiler] = None  # so that an import of it fails
X = np.random.default_rng(0).standard_normal((8, 5, 2), dtype=np.float32)
model = LSTMRegressor(3, solver="lbfgs", max_iter=3, tol=1e3, random_state=0).fit(X, X[:, 0, 0])
streamed = SequenceStream(model).step(X[:1, 0])
found = model._model.state.parameters, model.predict(X), streamed
print(*(array.tobytes().hex() for array in found))
print(sys.modules.get(compiler) is not None, "numba" in sys.modules, len(loading._loaded))
"""


def fit_in_a_process(folder, compiler_fails=False, **environment):
    """Return the results of a fit and predictions, and whether the compiler was imported."""
    path = str(Path(sklstm.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": path, "SKLSTM_CACHE_DIR": str(folder)} | environment
    environment |= {"SKLSTM_KERNELS": "auto"}
    command = [sys.executable, "-c", FIT.format(compiler_fails=compiler_fails)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    results, about = done.stdout.splitlines()
    imported, numba_imported, n_functions = about.split()
    assert numba_imported == "False"
    assert int(n_functions) >= 5
    return results, imported == "True"


@pytest.fixture(scope="module")
def filled_folder(tmp_path_factory):
    """A folder with the code that a first process compiled, and the results of that process."""
    folder = tmp_path_factory.mktemp("cache")
    results, imported = fit_in_a_process(folder)
    assert imported
    return folder, results


@pytest.fixture(autouse=True)
def _no_given_folder(monkeypatch):
    monkeypatch.delenv("SKLSTM_CACHE_DIR", raising=False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_cache, "folders", lambda: [tmp_path])
    return tmp_path


@pytest.fixture
def compilations(monkeypatch):
    """Names of the functions compiled during a test, before which no function is loaded."""
    names, original = [], compiling.object_code

    def object_code(name, dtype, symbol):
        names.append(name)
        return original(name, dtype, symbol)

    monkeypatch.setattr(compiling, "object_code", object_code)
    monkeypatch.setattr(loading, "_loaded", {})
    return names


def unload_functions():
    loading._loaded.clear()


def files(folder):
    """The files with code in a folder."""
    return sorted(folder.glob("*.native"))


def pack():
    """Call the smallest compiled function, which packs weights; here of one unit and one input."""
    ih, hh, bias = np.ones((1, 4), SINGLE), np.ones((1, 4), SINGLE), np.ones(4, SINGLE)
    packed = np.empty(4 * 16 * 3, SINGLE)
    arrays = (ih, hh, bias, packed)
    loading.call("pack", SINGLE, *loading.addresses(SINGLE, *arrays), 1, 1)
    return packed[0]


# --- later processes ---


def test_later_processes_give_the_same_bits_without_compiling(filled_folder):
    folder, results = filled_folder
    assert fit_in_a_process(folder) == (results, False)


def test_later_processes_work_if_the_compiler_cannot_be_imported(filled_folder):
    folder, results = filled_folder
    assert fit_in_a_process(folder, compiler_fails=True) == (results, False)


@pytest.mark.parametrize("variable", ["NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX"])
def test_key_depends_on_the_processor(variable):
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


# --- files ---


def test_written_code_is_loaded(folder, compilations):
    first = pack()
    unload_functions()
    assert pack() == first
    assert compilations == ["pack"]
    assert len(files(folder)) == 1


DAMAGES = {
    "empty": lambda code: b"",
    "short": lambda code: code[:-1],
    "one bit": lambda code: code[:-100] + bytes([code[-100] ^ 1]) + code[-99:],
    "no checksum": lambda code: code[disk_cache.CHECKSUM_BYTES :],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_replaced(damage, folder, compilations):
    first = pack()
    (path,) = files(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    unload_functions()
    assert pack() == first
    assert compilations == ["pack", "pack"]
    unload_functions()
    pack()
    assert compilations == ["pack", "pack"]


def test_a_renamed_file_is_not_loaded(folder):
    disk_cache.write("one", b"code")
    (path,) = folder.iterdir()
    path.rename(folder / path.name.replace("one", "two"))
    assert disk_cache.read("two") is None


def test_code_with_another_key_is_not_loaded(folder, compilations, monkeypatch):
    pack()
    monkeypatch.setattr(disk_cache, "key", lambda: "0" * 16)
    unload_functions()
    pack()
    assert compilations == ["pack", "pack"]
    assert len(files(folder)) == 2


def new_key():
    return disk_cache.key.__wrapped__()


@pytest.mark.parametrize(
    "name", sorted(p.name for p in Path(disk_cache.__file__).parent.glob("*.py"))
)
def test_key_depends_on_every_source(name, monkeypatch):
    key, read = new_key(), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (path.name == name) * b"#")
    assert new_key() != key


def test_key_depends_on_the_version_of_llvmlite(monkeypatch):
    key, version = new_key(), metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: version(name) + "a")
    assert new_key() != key


def test_key_depends_on_the_version_of_numpy(monkeypatch):
    key = new_key()
    monkeypatch.setattr(np, "__version__", "9.9")
    assert new_key() != key


def raise_not_found(name):
    raise metadata.PackageNotFoundError(name)


def test_key_without_package_metadata(monkeypatch):
    key = new_key()
    monkeypatch.setattr(metadata, "version", raise_not_found)
    assert new_key() == key


def test_no_key_after_llvmlite_is_uninstalled(monkeypatch):
    monkeypatch.setattr(metadata, "version", raise_not_found)
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with pytest.raises(ImportError):
        new_key()


def test_a_failed_write_leaves_no_file(folder, monkeypatch):
    def fail(*arguments):
        raise OSError

    monkeypatch.setattr(Path, "replace", fail)
    disk_cache.write("name", b"code")
    assert list(folder.iterdir()) == []


def test_an_interrupted_write_leaves_no_file(folder, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        disk_cache.write("name", b"code")
    assert list(folder.iterdir()) == []


# --- old files ---


def make_file(folder, name, age=0.0):
    path = folder / name
    path.write_bytes(b"")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_unfinished_files_are_removed(folder):
    old = make_file(folder, "1.part", disk_cache.MAX_WRITING + 10)
    new = make_file(folder, "2.part")
    disk_cache.write("name", b"code")
    assert not old.exists()
    assert new.exists(), "another process may be writing it"


def test_unused_files_with_another_key_are_removed(folder):
    old, new = disk_cache.MAX_UNUSED + 10, disk_cache.MAX_UNUSED - 1000
    removed = make_file(folder, "other-0123.native", old)
    kept = [
        make_file(folder, "other-4567.native", new),
        make_file(folder, f"other-{disk_cache.key()}.native", old),
        make_file(folder, "module.cpython-311.pyc", old),
    ]
    disk_cache.write("name", b"code")
    assert not removed.exists()
    assert all(path.exists() for path in kept)


def test_the_number_of_files_of_one_function_is_limited(folder):
    paths = [make_file(folder, f"name-{k}.native", 10 * k) for k in range(9)]
    other = make_file(folder, "names-1.native", 100)
    disk_cache.write("name", b"code")
    assert [path.exists() for path in paths] == [k < disk_cache.MAX_KEYS - 1 for k in range(9)]
    assert other.exists()


def test_a_file_that_is_read_counts_as_used(folder):
    disk_cache.write("name", b"code")
    (path,) = folder.iterdir()
    os.utime(path, (0, 0))
    assert disk_cache.read("name") == b"code"
    if os.utime in os.supports_fd:
        assert path.stat().st_mtime > time.time() - 1000


# --- trust ---

has_owners = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners of files")


@pytest.fixture
def path(folder):
    """A file with code that can be read."""
    disk_cache.write("name", b"code")
    (path,) = folder.iterdir()
    assert disk_cache.read("name") == b"code"
    return path


@has_owners
@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_files_that_others_can_write_are_ignored(mode, path):
    path.chmod(mode)
    assert disk_cache.read("name") is None


@has_owners
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_folders_that_others_can_write_are_ignored(mode, path, folder):
    folder.chmod(mode)
    assert disk_cache.read("name") is None
    disk_cache.write("other", b"code")
    assert len(list(folder.iterdir())) == 1
    folder.chmod(0o755)
    assert disk_cache.read("name") == b"code"


def pretend_owner(monkeypatch, path, owner):
    """Let ``os.fstat`` report another owner of this path."""
    inode, fstat = path.stat().st_ino, os.fstat

    def changed(descriptor):
        status = fstat(descriptor)
        owned_by = (*status[:4], owner, *status[5:])
        return os.stat_result(owned_by) if status.st_ino == inode else status

    monkeypatch.setattr(os, "fstat", changed)


@has_owners
@pytest.mark.parametrize("what", ["file", "folder"])
def test_files_and_folders_of_other_users_are_ignored(what, path, folder, monkeypatch):
    user = os.geteuid()
    pretend_owner(monkeypatch, {"file": path, "folder": folder}[what], user + 1)
    assert disk_cache.read("name") is None
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert (disk_cache.read("name") is None) == (user != 0)


@has_owners
def test_files_and_folders_of_root_are_read(path, folder, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    pretend_owner(monkeypatch, path, 0)
    pretend_owner(monkeypatch, folder, 0)
    assert disk_cache.read("name") == b"code"


@has_owners
def test_links_are_ignored(path, tmp_path):
    target = path.rename(tmp_path / "target")
    path.symlink_to(target)
    assert disk_cache.read("name") is None


@has_owners
def test_a_pipe_is_ignored(path):
    """Opening it must not wait for a process that writes to it."""
    path.unlink()
    os.mkfifo(path, 0o644)
    assert disk_cache.read("name") is None


@has_owners
def test_a_folder_in_place_of_a_file_is_ignored(path):
    path.unlink()
    path.mkdir(0o755)
    assert disk_cache.read("name") is None


@pytest.fixture(params=[0o000, 0o002, 0o022])
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode)


@has_owners
@pytest.mark.usefixtures("umask")
def test_permissions_of_the_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(disk_cache, "_BESIDE", tmp_path / "file" / "__pycache__")
    make_file(tmp_path, "file")
    disk_cache.write("name", b"code")
    (path,) = (tmp_path / "cache" / "sklstm").iterdir()
    assert permissions(path.parent) == 0o700
    assert permissions(path) == 0o644
    assert disk_cache.read("name") == b"code"


@has_owners
@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("given", [True, False])
def test_permissions_of_other_folders(given, tmp_path, monkeypatch):
    monkeypatch.setattr(disk_cache, "_BESIDE", tmp_path / "__pycache__")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path) if given else "")
    disk_cache.write("name", b"code")
    (path,) = (tmp_path / ("sklstm" if given else "__pycache__")).iterdir()
    assert permissions(path.parent) == 0o755
    assert permissions(path) == 0o644


def test_files_without_owners(path, monkeypatch):
    """As on Windows."""
    monkeypatch.setattr(disk_cache, "_HAS_OWNERS", False)
    path.chmod(0o666)
    assert disk_cache.read("name") == b"code"
    disk_cache.write("other", b"other code")
    assert disk_cache.read("other") == b"other code"


# --- folders ---


def test_compilation_without_a_writable_folder(tmp_path, compilations, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(disk_cache, "folders", lambda: [tmp_path / "file" / "folder"])
    pack()
    assert compilations == ["pack"]
    assert disk_cache.read("sklstm_pack_float32") is None


def test_the_second_folder_is_used_if_the_first_is_not_writable(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    folders = [tmp_path / "file" / "folder", tmp_path / "other"]
    monkeypatch.setattr(disk_cache, "folders", lambda: folders)
    disk_cache.write("name", b"code")
    assert disk_cache.read("name") == b"code"


BASES = {"linux": "XDG_CACHE_HOME", "win32": "LOCALAPPDATA", "darwin": "HOME"}


@pytest.mark.parametrize("platform", BASES)
def test_folders_of_each_platform(platform, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(BASES[platform], str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    beside, user_folder = disk_cache.folders()
    assert beside == Path(disk_cache.__file__).parent / "__pycache__"
    assert tmp_path in user_folder.parents
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "given"))
    assert disk_cache.folders() == [tmp_path / "given" / "sklstm"]
    monkeypatch.setenv("SKLSTM_CACHE_DIR", str(tmp_path / "first"))
    assert disk_cache.folders() == [tmp_path / "first"]


@pytest.mark.parametrize("platform", BASES)
def test_relative_folders_are_ignored(platform, tmp_path, monkeypatch):
    """They would load code from the working directory."""
    monkeypatch.setattr(sys, "platform", platform)
    for variable in ("SKLSTM_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, "cache")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    beside, user_folder = disk_cache.folders()
    assert beside == Path(disk_cache.__file__).parent / "__pycache__"
    assert tmp_path in user_folder.parents
    monkeypatch.setattr(Path, "home", lambda: Path("home"))
    assert disk_cache.folders() == [beside]


def test_folders_of_a_user_without_a_home(monkeypatch):
    def fail():
        raise RuntimeError

    for variable in ("SKLSTM_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", fail)
    assert len(disk_cache.folders()) == 1


# --- compiling ---


def test_concurrent_threads_load_a_function_once(folder, compilations):
    barrier, found = threading.Barrier(4), []

    def load():
        barrier.wait(timeout=60)
        found.append(loading._load_once("pack", SINGLE))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compilations == ["pack"]
    assert len(found) == 4
    assert len(set(map(id, found))) == 1


def test_code_that_calls_an_unknown_function_is_an_error():
    """LLVM would abort the process that loads such code."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly("declare void @unknown(i8*)\ndeclare float @llvm.fabs.f32(float)")
    with pytest.raises(RuntimeError, match=r"needs \['unknown'\]"):
        compiling._check_self_contained(module)


# --- code for other processors ---

LEVEL_3 = "+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+lzcnt,+movbe,+popcnt,+xsave"
LEVEL_4 = LEVEL_3 + ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
SYSTEM = "x86_64-unknown-linux-gnu"


@pytest.mark.parametrize(
    ("system", "features", "names"),
    [
        (SYSTEM, LEVEL_3, ["zen", "x86-64-v3"]),
        (SYSTEM, LEVEL_4, ["zen", "x86-64-v4"]),
        (SYSTEM, LEVEL_3.replace("+fma", "-fma"), []),
        (SYSTEM, LEVEL_4.replace("+avx512vl", "-avx512vl"), []),
        (SYSTEM, "+neon", []),
        ("aarch64-unknown-linux-gnu", LEVEL_3, []),
    ],
)
def test_portable_code_needs_the_features_of_its_level(system, features, names, monkeypatch):
    long = "+avx512dq" in features
    size = 64 if long else 32
    monkeypatch.setattr(cpu, "FEATURES", features)
    monkeypatch.setattr(cpu, "AVX512", long)
    monkeypatch.setattr(cpu, "NAME", "zen")
    monkeypatch.setattr(cpu, "DESCRIPTION", (system, "zen", features, size))
    assert cpu.portable_descriptions() == [(system, name, "", size) for name in names]


def test_code_of_this_processor_is_preferred(folder, monkeypatch):
    own, other = disk_cache.key(), "0" * 16
    monkeypatch.setattr(disk_cache, "portable_keys", lambda: [other])
    monkeypatch.setattr(disk_cache, "key", lambda: other)
    disk_cache.write("name", b"portable code")
    monkeypatch.setattr(disk_cache, "key", lambda: own)
    assert disk_cache.find("name", portable=False) is None
    assert disk_cache.read("name") == b"portable code"
    disk_cache.write("name", b"own code")
    assert disk_cache.read("name") == b"own code"
    assert disk_cache.find("name")[0].name == f"name-{own}.native"


def test_all_functions_are_stored():
    names = {name for name, _ in loading._FUNCTIONS}
    assert names == compiling.FUNCTIONS.keys()
    assert len(loading._FUNCTIONS) == 2 * len(names)
