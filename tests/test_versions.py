"""``show_versions`` and the command line."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sklstm
from sklstm import __main__

PATH = str(Path(sklstm.__file__).parents[1])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder for compiled code."""
    monkeypatch.setenv("SKLSTM_CACHE_DIR", str(tmp_path / "code"))
    monkeypatch.delenv("SKLSTM_KERNELS", raising=False)
    return tmp_path / "code"


def lines(text):
    return {line.split("  ", 1)[0]: line.split("  ", 1)[1].strip() for line in text.splitlines()}


def run(*arguments, code=None, **environment):
    """Run ``python -m sklstm`` or other code in a new process."""
    what = ["-m", "sklstm", *arguments] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, *what], env=os.environ | {"PYTHONPATH": PATH} | environment,
        capture_output=True, text=True,
    )  # fmt: skip


def test_versions_of_what_is_needed(capsys):
    sklstm.show_versions()
    shown = lines(capsys.readouterr().out)
    assert shown["numpy"] == np.__version__
    assert shown["python"].startswith(sys.version.split()[0])
    assert {"scipy", "scikit-learn", "joblib", "threadpoolctl", "llvmlite"} <= shown.keys()


def test_kernels_in_use(capsys):
    with sklstm.config_context(kernels="numpy"):
        sklstm.show_versions()
    assert lines(capsys.readouterr().out)["kernels"] == 'NumPy (the option is "numpy")'
    pytest.importorskip("llvmlite")
    with sklstm.config_context(kernels="compiled"):
        sklstm.show_versions()
    assert lines(capsys.readouterr().out)["kernels"] == 'compiled (the option is "compiled")'


WITHOUT_LLVMLITE = """
import sys
sys.modules["llvmlite"] = None
import sklstm
sklstm.set_config(kernels={kernels!r})
sklstm.show_versions()
"""


@pytest.mark.parametrize(("kernels", "expected"), [("auto", "NumPy "), ("compiled", "none, ")])
def test_without_llvmlite(kernels, expected):
    done = run(code=WITHOUT_LLVMLITE.format(kernels=kernels))
    shown = lines(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert shown["kernels"].startswith(expected)
    assert shown["compiled code"].startswith("cannot be used: ModuleNotFoundError")


def test_compilation_without_llvmlite(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklstm._network.kernels.compiled", None)
    assert __main__.main(["--compile"]) == 1
    assert "pip install llvmlite" in capsys.readouterr().err


def test_cpu_needs_compile(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["--cpu", "znver4"])
    assert "--cpu needs --compile" in capsys.readouterr().err


FIT = """
import sys
import numpy as np
sys.modules["sklstm._network.kernels.compiled.compiling"] = None  # so that compilation fails
from sklstm import LSTMRegressor
from sklstm.streaming import SequenceStream
X = np.random.default_rng(0).standard_normal((8, 5, 2))
for dtype in (np.float32, np.float64):
    model = LSTMRegressor(3, batch_size=4, max_iter=2, random_state=0)
    model.partial_fit(X.astype(dtype), X[:, 0, 0])
    print(model.predict(X).tobytes().hex(), SequenceStream(model).step(X[:1, 0]))
"""


def test_compiled_code_is_found_by_later_processes(folder, capsys):
    pytest.importorskip("llvmlite")
    done = run("--compile")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"10 compiled functions are stored in {folder}\n"
    shown = lines(run().stdout)
    assert "not there" not in str(shown)
    assert len(shown[f"compiled code in {folder}"].split()) == 10
    assert run(code=FIT, SKLSTM_KERNELS="compiled").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert run("--compile").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def level():
    """The x86 level of this processor for which its code can be compiled elsewhere."""
    from sklstm._network.kernels.compiled import cpu

    return [name for _, name, _, _ in cpu.portable_descriptions()][1:]


def test_code_for_the_level_of_the_processor_is_used(folder):
    pytest.importorskip("llvmlite")
    if not level():
        pytest.skip("the processor has no such level")
    done = run("--compile", "--cpu", *level())
    assert done.stdout.startswith(f"{level()[0]}: 10 compiled functions"), done.stderr
    of_level = run(code=FIT, SKLSTM_KERNELS="compiled")
    assert of_level.returncode == 0, of_level.stderr
    assert run("--compile").returncode == 0
    own = run(code=FIT, SKLSTM_KERNELS="compiled")
    assert own.stdout == of_level.stdout


def test_code_for_another_processor_is_not_used(folder):
    pytest.importorskip("llvmlite")
    names = {"x86-64-v3", "x86-64-v4"} - set(level())
    if len(names) > 1:
        pytest.skip("the processor has no such level")
    done = run("--compile", "--cpu", *names)
    assert done.returncode == 0, done.stderr
    assert run(code=FIT, SKLSTM_KERNELS="compiled").returncode != 0
    assert run(code=FIT, SKLSTM_KERNELS="auto").stderr.count("RuntimeWarning") == 1


def test_an_unknown_processor_is_an_error(folder):
    pytest.importorskip("llvmlite")
    done = run("--compile", "--cpu", "nonsense")
    assert done.returncode == 1
    assert done.stderr == (
        "cannot compile for nonsense: 'nonsense' is not a processor that LLVM knows\n"
    )
    assert not folder.exists()


def test_code_that_cannot_be_stored_is_an_error(folder):
    pytest.importorskip("llvmlite")
    folder.write_bytes(b"")  # a file in place of the folder
    done = run("--compile")
    assert done.returncode == 1
    assert "no folder can be written and trusted" in done.stderr
