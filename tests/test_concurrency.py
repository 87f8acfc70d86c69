"""Many threads that use sklstm at the same time, with and without Python's global lock.

Every thread does what it would do alone: the results are compared bit by bit. ``.ci/run`` also runs
this file with a free-threaded Python, if there is one.
"""

import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from data import SMALL, cut, parameter_vector, problem
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import sklstm
from sklstm import LSTMClassifier, LSTMRegressor, functional
from sklstm._network import kernels
from sklstm.preprocessing import SequenceDifferences, SequenceScaler, TokenEncoder
from sklstm.streaming import SequenceStream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_THREADS = 8


@pytest.fixture(autouse=True)
def frequent_switches():
    """With the global lock, let threads take turns a thousand times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(params=["compiled", "numpy"])
def kernels_of_process(request, monkeypatch):
    """Select kernels for all threads."""
    if request.param == "compiled":
        pytest.importorskip("llvmlite")
    monkeypatch.setitem(sklstm._config._of_process, "kernels", request.param)
    return request.param


def at_once(functions):
    """Call each function in a thread of its own; all begin at the same time."""
    barrier = threading.Barrier(len(functions))

    def call(function):
        barrier.wait(60)
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result(120) for future in [pool.submit(call, f) for f in functions]]


def in_every_thread(function):
    return at_once([function] * N_THREADS)


def assert_equal(found, expected):
    """Arrays, or lists of arrays, with the same bits."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


# --- predictions ---

FORMS = {
    "2d": lambda X, rng: X[:, :, 0],
    "3d": lambda X, rng: X,
    "list": cut,
    "float32": lambda X, rng: [x.astype(np.float32) for x in cut(X, rng)],
}


@pytest.mark.parametrize("form", FORMS)
def test_predictions_of_one_model(form, kernels_of_process, rng, seed):
    X, y = problem(rng, n=60)
    X = FORMS[form](X, rng)
    clf = LSTMClassifier(**SMALL, bidirectional=True, n_jobs=2, random_state=seed).fit(X, y)
    expected = clf.predict_proba(X), clf.hidden_states(X)
    model = pickle.loads(pickle.dumps(clf))  # nothing has been computed and kept yet
    for probabilities, states in in_every_thread(
        lambda: (model.predict_proba(X), model.hidden_states(X))
    ):
        assert_equal(probabilities, expected[0])
        assert_equal(states, expected[1])


def test_predictions_while_the_model_learns(kernels_of_process, rng, seed):
    """Each prediction is that of the model before or after an update, of all its parts."""
    X, y = problem(rng, n=40)
    models = [LSTMRegressor(**SMALL, random_state=seed).partial_fit(X, y)]
    for _ in range(10):
        models.append(pickle.loads(pickle.dumps(models[-1])).partial_fit(X, y))
    expected = [model.predict(X) for model in models]
    shared, done = pickle.loads(pickle.dumps(models[0])), threading.Event()

    def learn():
        for _ in range(10):
            shared.partial_fit(X, y)
        done.set()
        return []

    def predict():
        found = [shared.predict(X)]
        while not done.is_set():
            found.append(shared.predict(X))
        return found

    for found in at_once([learn, predict, predict, predict]):
        for prediction in found:
            assert any(np.array_equal(prediction, known) for known in expected)
    np.testing.assert_array_equal(shared.predict(X), expected[-1])


def test_one_pipeline_transforms_in_many_threads(rng, seed):
    X, y = problem(rng, n=60)
    X = cut(X, rng)
    steps = SequenceScaler(), SequenceDifferences(), LSTMClassifier(**SMALL, random_state=seed)
    model = make_pipeline(*steps).fit(X, y)
    expected = model.predict_proba(X)
    for found in in_every_thread(lambda: model.predict_proba(X)):
        np.testing.assert_array_equal(found, expected)
    encoder = TokenEncoder().fit(["a b", "c a", "b"])
    expected = encoder.transform(["c b a"] * 50)
    for found in in_every_thread(lambda: encoder.transform(["c b a"] * 50)):
        assert_equal(found, expected)


# --- fits ---

SETTINGS = [
    {},
    {"solver": "lbfgs"},
    {"solver": "sgd"},
    {"bidirectional": True},
    {"dropout": 0.3, "recurrent_dropout": 0.3},
    {"dtype": "float32"},
    {"n_jobs": 2, "batch_size": 60},
    {"early_stopping": True},
]


def test_fits_of_different_models(kernels_of_process, rng, seed):
    X, y = problem(rng, n=60)
    X = cut(X, rng)
    models = [LSTMClassifier(**{**SMALL, **more}, random_state=seed) for more in SETTINGS]
    expected = [parameter_vector(clone(model).fit(X, y)) for model in models]
    found = at_once([lambda model=model: parameter_vector(model.fit(X, y)) for model in models])
    assert_equal(found, expected)


def test_fits_and_predictions_beside_each_other(kernels_of_process, rng, seed):
    """One thread limits the threads of BLAS while others do, and the arenas are not shared."""
    X, y = problem(rng, n=60)
    reg = LSTMRegressor(24, max_iter=3, random_state=seed).fit(X, y)
    prediction, parameters = reg.predict(X), parameter_vector(reg)

    def fit():
        return parameter_vector(clone(reg).fit(X, y)), parameters

    def predict():
        return reg.predict(X), prediction

    for found, expected in at_once(list(islice(cycle([fit, predict]), N_THREADS))):
        np.testing.assert_array_equal(found, expected)


# --- streams and functions ---


def test_a_stream_in_every_thread(kernels_of_process, rng, seed):
    X, y = problem(rng, n=30, n_timesteps=12)
    reg = LSTMRegressor(**SMALL, pooling="last", random_state=seed).fit(X, y)

    def follow(row):
        stream = SequenceStream(reg)
        return [stream.step(step[None])[0] for step in X[row]]

    rows = range(N_THREADS)
    expected = [follow(row) for row in rows]
    found = at_once([lambda row=row: follow(row) for row in rows])
    np.testing.assert_array_equal(found, expected)


def test_functions_in_every_thread(kernels_of_process, rng):
    x = rng.normal(size=(7, 5, 3))
    shapes = {"weight_ih": (3, 16), "weight_hh": (4, 16), "bias": (16,)}
    parameters = {name: rng.normal(size=shape) for name, shape in shapes.items()}

    def both_passes():
        h, c, cache = functional.lstm_forward(x, parameters)
        gradients = functional.lstm_backward(np.ones_like(h), cache)
        return [h, c, *(gradients[name] for name in sorted(gradients))]

    expected = both_passes()
    for found in in_every_thread(both_passes):
        assert_equal(found, expected)


# --- what the process shares ---


def test_each_thread_has_its_own_configuration(monkeypatch):
    pytest.importorskip("llvmlite")
    monkeypatch.setitem(sklstm._config._of_process, "kernels", "auto")

    def look(name):
        with sklstm.config_context(kernels=name):
            return {sklstm.get_config()["kernels"] for _ in range(200)}

    names = list(islice(cycle(["compiled", "numpy"]), N_THREADS))
    found = at_once([lambda name=name: look(name) for name in names])
    assert found == [{name} for name in names]


def test_threads_load_each_function_once(monkeypatch, rng, seed):
    """They begin with no function loaded, and both dtypes are needed at the same time."""
    pytest.importorskip("llvmlite")
    from sklstm._network.kernels.compiled import loading

    X, y = problem(rng, n=20)
    models = [
        LSTMRegressor(**SMALL, dtype=dtype, random_state=seed) for dtype in ("float32", "float64")
    ]
    monkeypatch.setitem(sklstm._config._of_process, "kernels", "compiled")
    expected = [clone(model).fit(X, y).predict(X) for model in models]
    loaded, load = [], loading._load
    monkeypatch.setattr(loading, "_load", lambda *a: loaded.append(a) or load(*a))
    for _ in range(5):
        monkeypatch.setattr(loading, "_loaded", {})
        monkeypatch.setattr(kernels, "_loaded", {})
        loaded.clear()
        chosen = list(islice(cycle(models), N_THREADS))
        found = at_once([lambda model=model: clone(model).fit(X, y).predict(X) for model in chosen])
        assert_equal(found, list(islice(cycle(expected), N_THREADS)))
        assert len(loaded) == len(set(loaded))
        assert {name for name, _ in loaded} == {"forward", "backward", "infer"}


COMPILE = """
import threading
import numpy as np
from sklstm import LSTMRegressor, set_config
from sklstm._network.kernels.compiled import loading

set_config(kernels="compiled")
X = np.random.default_rng(0).normal(size=(8, 3, 2))
compiled, compile_ = [], loading._compile
loading._compile = lambda *a: compiled.append(a[:2]) or compile_(*a)
barrier, found = threading.Barrier(6), {}

def fit(k):
    barrier.wait()
    found[k] = LSTMRegressor(2, max_iter=1, tol=1e9, random_state=0).fit(X, X[:, 0, 0]).predict(X)

threads = [threading.Thread(target=fit, args=(k,)) for k in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 6
assert all(np.array_equal(found[k], found[0]) for k in found)
assert sorted(name for name, _ in compiled) == ["backward", "forward", "infer"], compiled
print("compiled once")
"""


def test_threads_compile_each_function_once(tmp_path):
    """In a process of its own, with an empty cache on disk."""
    pytest.importorskip("llvmlite")
    environment = os.environ | {
        "PYTHONPATH": str(Path(sklstm.__file__).parents[1]), "SKLSTM_CACHE_DIR": str(tmp_path)
    }  # fmt: skip
    command = [sys.executable, "-W", "ignore", "-c", COMPILE]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "compiled once\n", done.stderr
