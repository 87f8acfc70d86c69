"""A random seed for all tests, one BLAS thread per worker, and the folder of real data sets."""

import os
import secrets
import threading
import time
from pathlib import Path

import numpy as np
import pytest

SEED_VARIABLE = "SKLSTM_TESTS_SEED"
DATA_VARIABLE = "SKLSTM_DATA"

_seed_key = pytest.StashKey[int]()


def pytest_configure(config):
    if hasattr(config, "workerinput"):
        config.stash[_seed_key] = config.workerinput["sklstm_seed"]
        _limit_blas_to_one_thread()
    else:
        config.stash[_seed_key] = _choose_seed(os.environ.get(SEED_VARIABLE, ""))


def _choose_seed(text):
    if not text:
        return secrets.randbelow(2**31)
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**32:
        raise pytest.UsageError(f"{SEED_VARIABLE} must be an integer in [0, 2**32), got {text!r}")
    return seed


def pytest_collection_modifyitems(items):
    """Allow fits that are too short to learn: many tests train for one or a few epochs."""
    too_short = "ignore:Training ended with a loss of:sklearn.exceptions.ConvergenceWarning"
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(too_short), append=False)


def _limit_blas_to_one_thread():
    import scipy.linalg  # noqa: F401  loads the BLAS of SciPy, which is not that of NumPy
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Send the seed to a worker of pytest-xdist."""
    node.workerinput["sklstm_seed"] = node.config.stash[_seed_key]


def _seed_line(config):
    seed = config.stash[_seed_key]
    return f"random seed: {seed} (repeat this run with {SEED_VARIABLE}={seed})"


def pytest_report_header(config):
    return _seed_line(config)


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        terminalreporter.write_line(_seed_line(config))


@pytest.fixture(scope="session")
def seed(pytestconfig):
    """The random seed, the same int for all tests and workers."""
    return pytestconfig.stash[_seed_key]


@pytest.fixture
def rng(seed):
    """A new NumPy generator for each test, with the random seed."""
    return np.random.default_rng(seed)


class Threads(set):
    """Names of threads; with ``several``, each of them waits until there are at least two."""

    several = False

    def wait_for_others(self):
        self.add(threading.current_thread().name)
        deadline = time.monotonic() + 10
        while self.several and len(self) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)


@pytest.fixture
def threads_pay(monkeypatch):
    """Use threads for batches of any size; returns the names of the threads that computed steps."""
    from sklstm._network import kernels

    threads, forward = Threads(), kernels.forward

    def recorded_forward(*arguments):
        threads.wait_for_others()
        return forward(*arguments)

    monkeypatch.setattr(kernels, "threads_pay", lambda work, values: True)
    monkeypatch.setattr(kernels, "forward", recorded_forward)
    return threads


@pytest.fixture(scope="session")
def data_folder():
    """The folder of real data sets; tests that use it are skipped if there is none."""
    text = os.environ.get(DATA_VARIABLE)
    if not text:
        pytest.skip(f"{DATA_VARIABLE} does not name a folder of real data sets")
    folder = Path(text)
    if not folder.is_dir():
        pytest.fail(f"{DATA_VARIABLE} is {text!r}, which is not a folder")
    return folder
