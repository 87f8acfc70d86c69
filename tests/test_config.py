import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from data import assert_same_fit

import sklstm
from sklstm import LSTMClassifier, _config
from sklstm._network import kernels
from sklstm._network.kernels import numpy_kernels
from sklstm._threads import with_workers

SETS = ("numpy", "compiled")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Reset the configuration before and after each test."""
    monkeypatch.setattr(_config, "_of_process", {})
    monkeypatch.delenv(_config.VARIABLE, raising=False)


def names():
    return sklstm.get_config()["kernels"]


def test_auto_is_the_default():
    assert sklstm.get_config() == {"kernels": "auto"}


def test_the_environment_variable_applies_until_the_option_is_set(monkeypatch):
    monkeypatch.setenv(_config.VARIABLE, "numpy")
    assert names() == "numpy"
    sklstm.set_config(kernels="auto")
    assert names() == "auto"


def test_a_wrong_environment_variable_is_an_error(monkeypatch):
    monkeypatch.setenv(_config.VARIABLE, "cuda")
    with pytest.raises(ValueError, match=r"^SKLSTM_KERNELS: expected one of .*, got 'cuda'$"):
        sklstm.get_config()


def test_a_value_that_cannot_be_hashed_is_an_error():
    with pytest.raises(ValueError, match=r"^kernels: expected one of .*, got \[\]$"):
        sklstm.set_config(kernels=[])


def enter_block(**options):
    with sklstm.config_context(**options):
        pass


@pytest.mark.parametrize("setter", [sklstm.set_config, enter_block])
def test_other_values_are_an_error(setter):
    with pytest.raises(ValueError, match=r"^kernels: expected one of auto, .*, got 'c'$"):
        setter(kernels="c")
    assert names() == "auto"


def test_the_other_name_of_compiled_kernels(monkeypatch):
    monkeypatch.setenv(_config.VARIABLE, "numba")
    assert names() == "compiled"
    sklstm.set_config(kernels="numpy")
    with sklstm.config_context(kernels="numba"):
        assert names() == "compiled"


def test_blocks_can_be_nested():
    sklstm.set_config(kernels="compiled")
    with sklstm.config_context(kernels="numpy"):
        assert names() == "numpy"
        with sklstm.config_context(), sklstm.config_context(kernels="auto"):
            assert names() == "auto"
        sklstm.set_config(kernels="compiled")
        assert names() == "numpy"
    assert names() == "compiled"


def test_a_block_restores_the_option_after_an_error():
    with pytest.raises(KeyError), sklstm.config_context(kernels="numpy"):
        raise KeyError
    assert names() == "auto"


def test_none_does_not_change_the_option():
    sklstm.set_config(kernels="numpy")
    sklstm.set_config()
    assert names() == "numpy"


def test_a_block_does_not_affect_other_threads():
    """Of threads that exist already; free-threaded Python gives new ones the context."""
    inside, seen = threading.Event(), []
    thread = threading.Thread(target=lambda: inside.wait(60) and seen.append(names()))
    thread.start()
    with sklstm.config_context(kernels="numpy"):
        inside.set()
        thread.join()
    assert seen == ["auto"]


def test_the_option_of_the_process_affects_all_threads():
    seen = []
    sklstm.set_config(kernels="numpy")
    thread = threading.Thread(target=lambda: seen.append(names()))
    thread.start()
    thread.join()
    assert seen == ["numpy"]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_block_affects_the_workers_of_its_calls(n_jobs):
    barrier = threading.Barrier(n_jobs)

    def look(_):
        barrier.wait(timeout=60)  # so that all workers are active at the same time
        return names()

    def look_twice(parallel_map):
        with sklstm.config_context(kernels="numpy"):
            assert list(parallel_map(look, range(n_jobs))) == ["numpy"] * n_jobs
        assert list(parallel_map(look, range(n_jobs))) == ["auto"] * n_jobs

    with_workers(n_jobs, look_twice)


def test_the_chosen_kernels_are_used(monkeypatch):
    with sklstm.config_context(kernels="numpy"):
        assert kernels._chosen() is numpy_kernels
    pytest.importorskip("llvmlite")
    for name in ("compiled", "auto"):
        with sklstm.config_context(kernels=name):
            assert kernels._chosen().__name__ == "sklstm._network.kernels.compiled.compiled_kernels"


WITHOUT_LLVMLITE = """
import sys
sys.modules["llvmlite"] = None
import numpy as np
import sklstm
X, y = np.random.default_rng(0).normal(size=(20, 5, 2)), np.arange(20) % 2
model = sklstm.LSTMClassifier(4, solver="lbfgs", max_iter=3, tol=1e3).fit(X, y)
sklstm.set_config(kernels="compiled")
try:
    model.predict(X)
except ImportError as error:
    print(error)
"""


def test_without_llvmlite_auto_uses_numpy_and_compiled_is_an_error(tmp_path):
    environment = os.environ | {_config.VARIABLE: "", "SKLSTM_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", WITHOUT_LLVMLITE]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "pip install llvmlite" in done.stdout


@pytest.mark.parametrize("first", SETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_pickled_model_predicts_with_other_kernels(first, dtype, rng):
    pytest.importorskip("llvmlite")
    X = rng.standard_normal((30, 7, 2)).astype(dtype)
    model = LSTMClassifier(5, solver="lbfgs", max_iter=5, tol=1e3, bidirectional=True)
    with sklstm.config_context(kernels=first):
        model.fit(X, np.arange(30) % 3)
        expected = model.predict_proba(X)
    stored = pickle.dumps(model)
    with sklstm.config_context(kernels=SETS[first == "numpy"]):
        found = pickle.loads(stored).predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("name", SETS)
def test_results_do_not_depend_on_the_number_of_threads(name, threads_pay, rng):
    if name == "compiled":
        pytest.importorskip("llvmlite")
    X, y = rng.standard_normal((300, 6, 2)), np.arange(300) % 2
    with sklstm.config_context(kernels=name):
        one, two = (
            LSTMClassifier(5, batch_size=200, n_jobs=n_jobs, random_state=0) for n_jobs in (1, 2)
        )
        one.partial_fit(X, y, [0, 1])
        threads_pay.several = True
        two.partial_fit(X, y, [0, 1])
        assert_same_fit(one, two)
        np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    assert len(threads_pay) > 1
