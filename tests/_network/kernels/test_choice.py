"""The choice between compiled kernels and NumPy, also if llvmlite does not work."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sklstm
from sklstm._network import kernels

SCRIPT = """
import sys
import warnings
import numpy as np
import sklstm
from sklearn.exceptions import ConvergenceWarning
from sklstm import LSTMRegressor
from sklstm._network import kernels
from sklstm._network.kernels import numpy_kernels
{setup}
X = np.random.default_rng(0).normal(size=(8, 4, 2))
model = LSTMRegressor(3, solver="lbfgs", max_iter=2, tol=1e3, random_state=0)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    warnings.simplefilter("ignore", ConvergenceWarning)
    for dtype in (np.float32, np.float64, np.float32):
        model.fit(X.astype(dtype), X[:, 0, 0]).predict(X)
    assert kernels.min_rows(1e4) == numpy_kernels.min_rows(1e4)
with sklstm.config_context(kernels="numpy"):
    model = model.fit(X, X[:, 0, 0])
before = vars(model).copy()
try:
    with sklstm.config_context(kernels="compiled"):
        model.fit(X, X[:, 0, 0])
except (ImportError, RuntimeError) as error:
    print(type(error).__name__, error)
    assert vars(model) == before
for warning in caught:
    print(warning.category.__name__, warning.message)
"""
REPLACED = """
from sklstm._network.kernels.compiled import {module}
def fail(*arguments):
    raise {error}
{module}.{name} = fail
"""


def output(folder, setup, **environment):
    """Return the error with kernels="compiled", and the warnings with "auto"."""
    path = str(Path(sklstm.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": path, "SKLSTM_CACHE_DIR": str(folder)} | environment
    environment |= {"SKLSTM_KERNELS": "auto"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(setup=setup)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def assert_falls_back(lines, error):
    """There is one warning, for all fits, and it names the cause as the error does."""
    assert len(lines) == 2
    kind = "ImportError" if error.startswith(("ImportError", "ModuleNotFound")) else "RuntimeError"
    reason = f"llvmlite cannot load or compile the kernels: {error}"
    assert lines[0].startswith(f"{kind} {reason}")
    assert lines[1].startswith("RuntimeWarning NumPy computes the recurrence")
    assert reason in lines[1]
    assert "SKLSTM_KERNELS=numpy" in lines[1]


@pytest.fixture(scope="module")
def llvmlite_folder(tmp_path_factory):
    """A folder with an llvmlite whose shared library cannot be loaded."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "llvmlite.py").write_text("raise OSError('no shared library')")
    return folder


def test_llvmlite_that_cannot_be_loaded(tmp_path, llvmlite_folder):
    pytest.importorskip("llvmlite")
    setup = f"sys.path.insert(0, {str(llvmlite_folder)!r})"
    assert_falls_back(output(tmp_path, setup), "OSError: no shared library")


def test_the_compiler_of_numba_is_not_used(tmp_path):
    pytest.importorskip("llvmlite")
    script = """
import sys
import numpy as np
from sklstm import LSTMRegressor
sys.modules["numba"] = None
X = np.random.default_rng(0).normal(size=(8, 4, 2))
LSTMRegressor(3, solver="lbfgs", max_iter=2, tol=1e3).fit(X, X[:, 0, 0]).predict(X)
"""
    path = str(Path(sklstm.__file__).parents[1])
    environment = {"PYTHONPATH": path, "SKLSTM_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "1"}
    environment = os.environ | environment | {"SKLSTM_KERNELS": "compiled"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


@pytest.mark.parametrize(
    ("module", "name", "error"),
    [
        ("loading", "_compile", "OSError('no memory')"),
        ("loading", "link", "RuntimeError('bad code')"),
        ("disk_cache", "read", "ImportError('no metadata')"),
        ("disk_cache", "read", "ValueError('bad path')"),
    ],
)
def test_any_error_of_loading_or_compiling(module, name, error, tmp_path):
    pytest.importorskip("llvmlite")
    setup = REPLACED.format(module=module, name=name, error=error)
    if name == "link":
        setup += "\nloading._compile = lambda *arguments: b'code'"
    kind, message = error.removesuffix("')").split("('")
    assert_falls_back(output(tmp_path, setup), f"{kind}: {message}")


def test_without_llvmlite_there_is_no_warning(tmp_path):
    (line,) = output(tmp_path, "sys.modules['llvmlite'] = None")
    assert line.startswith('ImportError kernels="compiled" needs llvmlite')
    assert "pip install llvmlite" in line


LOADED_PARTLY = """
import sys
import warnings
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklstm import LSTMRegressor
from sklstm._network import kernels
from sklstm._network.kernels import numpy_kernels
from sklstm._network.kernels.compiled import loading
X = np.random.default_rng(0).normal(size=(8, 4, 2))
model = LSTMRegressor(3, solver="lbfgs", max_iter=2, tol=1e3, random_state=0)
before = kernels._chosen(kernels._INFERENCE, X.dtype)
assert before is not numpy_kernels
load = loading.load
def fail(name, dtype):
    if name in {failing!r}:
        raise OSError("no memory")
    return load(name, dtype)
loading.load = fail
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    warnings.simplefilter("ignore", ConvergenceWarning)
    model.fit(X, X[:, 0, 0])
assert len(caught) == 1
for names in (kernels._TRAINING, kernels._INFERENCE):
    assert kernels._chosen(names, X.dtype) is numpy_kernels
assert kernels.min_rows(1e4) == numpy_kernels.min_rows(1e4)
"""


@pytest.mark.parametrize("failing", ["forward", "backward", "infer"])
def test_no_fit_mixes_kernels(failing, tmp_path):
    """If one function cannot be loaded, the fit uses NumPy for all of them."""
    pytest.importorskip("llvmlite")
    path = str(Path(sklstm.__file__).parents[1])
    environment = {"PYTHONPATH": path, "SKLSTM_CACHE_DIR": str(tmp_path), "SKLSTM_KERNELS": "auto"}
    script = LOADED_PARTLY.format(failing=failing)
    subprocess.run([sys.executable, "-c", script], env=os.environ | environment, check=True)


@pytest.mark.parametrize("verbose", [False, True])
def test_slow_compilation_is_told(verbose, monkeypatch, caplog, capsys):
    pytest.importorskip("llvmlite")
    monkeypatch.setattr(kernels, "_loaded", {})
    monkeypatch.setattr(kernels, "_failed", False)
    with sklstm.config_context(kernels="compiled"), caplog.at_level("INFO", "sklstm"):
        monkeypatch.setattr(kernels, "MAX_SILENT", 1e6)
        kernels.prepare(np.dtype(np.float32), verbose)
        assert not caplog.records
        kernels._loaded.clear()
        monkeypatch.setattr(kernels, "MAX_SILENT", 0.0)
        for _ in range(2):  # the second time nothing is loaded
            kernels.prepare(np.dtype(np.float32), verbose)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("sklstm", "INFO")
    line = record.getMessage()
    assert line.startswith("compiling or loading the kernels for float32 took ")
    assert capsys.readouterr().out == f"{line}\n" * verbose


@pytest.mark.parametrize("verbose", [0, 1])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_tells_of_slow_compilation_if_verbose(verbose, monkeypatch, capsys, rng):
    pytest.importorskip("llvmlite")
    monkeypatch.setattr(kernels, "_loaded", {})
    monkeypatch.setattr(kernels, "_failed", False)
    monkeypatch.setattr(kernels, "MAX_SILENT", 0.0)
    X = rng.normal(size=(8, 4, 2))
    with sklstm.config_context(kernels="compiled"):
        sklstm.LSTMRegressor(3, solver="lbfgs", max_iter=2, tol=1e3, verbose=verbose).fit(
            X, X[:, 0, 0]
        )
    assert ("kernels for float64 took" in capsys.readouterr().out) == verbose
