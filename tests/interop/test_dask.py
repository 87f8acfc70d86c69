"""Training on the workers of a Dask cluster, and on collections of Dask."""

import os
import signal
import sys
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
import pytest
from data import SMALL, cut, objects, problem
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.interop import dask as sklstm_dask
from sklstm.interop.dask import partial_fit, predict, workers
from sklstm.preprocessing import SequenceScaler

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
db = pytest.importorskip("dask.bag")

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Of Dask: sockets and event loops that are still open when a cluster has been closed.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def new_client(n_workers=2):
    cluster = distributed.LocalCluster(
        n_workers=n_workers, threads_per_worker=1, dashboard_address=":0"
    )
    return distributed.Client(cluster)


@pytest.fixture(scope="module")
def client():
    """A client of two worker processes with one thread each."""
    with new_client() as client:
        yield client
        client.cluster.close()


@pytest.fixture(autouse=True)
def one_scheduler(request):
    """Compute collections in this thread, unless a test uses the cluster."""
    if "client" in request.fixturenames:
        yield
        return
    with dask.config.set(scheduler="synchronous"):
        yield


def parameters_of(model):
    return np.concatenate([array.ravel() for array in model.parameters_.values()])


# --- gradients shared by workers ---

PROBLEMS = {
    "labels": (LSTMClassifier, {}, lambda X, rng: rng.integers(0, 3, len(X))),
    "numbers": (LSTMRegressor, {}, lambda X, rng: rng.normal(size=(len(X), 2))),
    "numbers for each step": (
        LSTMRegressor,
        {"return_sequences": True},
        lambda X, rng: [rng.normal(size=len(x)) for x in X],
    ),
    "dropout": (
        LSTMRegressor,
        {"dropout": 0.2, "recurrent_dropout": 0.1, "bidirectional": True},
        lambda X, rng: rng.normal(size=len(X)),
    ),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_the_bits_are_those_of_one_process(client, kind, rng, seed):
    cls, settings, targets = PROBLEMS[kind]
    X = cut(problem(rng, n=300, n_timesteps=8)[0], rng)
    y, weights = targets(X, rng), rng.uniform(0.5, 2, len(X))
    model = cls(8, solver="lbfgs", max_iter=4, random_state=seed, **settings)
    expected = clone(model).fit(X, y, weights)
    with workers(client):
        found = clone(model).fit(X, y, weights)
    np.testing.assert_array_equal(parameters_of(found), parameters_of(expected))
    assert found.loss_curve_ == expected.loss_curve_


def test_tokens_and_a_pipeline(client, rng, seed):
    X = rng.integers(0, 9, size=(200, 6))
    reg = LSTMRegressor(4, vocabulary_size=9, solver="lbfgs", max_iter=3, random_state=seed)
    y = rng.normal(size=200)
    with workers(client):
        found = clone(reg).fit(X, y)
    np.testing.assert_array_equal(parameters_of(found), parameters_of(reg.fit(X, y)))
    model = make_pipeline(SequenceScaler(), reg.set_params(vocabulary_size=None))
    with workers(client):
        found = clone(model).fit(X, y).predict(X)
    np.testing.assert_array_equal(found, model.fit(X, y).predict(X))


@pytest.mark.parametrize("n", [3, 40])
def test_few_samples(client, n, rng, seed):
    X, y = problem(rng, n=n)
    clf = LSTMClassifier(4, solver="lbfgs", max_iter=3, random_state=seed)
    with workers(client):
        found = clone(clf).fit(X, y)
    np.testing.assert_array_equal(parameters_of(found), parameters_of(clf.fit(X, y)))


def test_early_stopping_and_a_warm_start(client, rng, seed):
    X, y = problem(rng, n=200)
    clf = LSTMClassifier(4, solver="lbfgs", max_iter=3, early_stopping=True, random_state=seed,
                         warm_start=True)  # fmt: skip
    expected = clone(clf).fit(X, y).fit(X, y)
    with workers(client):
        found = clone(clf).fit(X, y).fit(X, y)
    np.testing.assert_array_equal(parameters_of(found), parameters_of(expected))
    assert found.validation_scores_ == expected.validation_scores_


def test_threads_of_a_block_fit_at_the_same_time(client, rng, seed):
    X, y = problem(rng, n=200)
    models = [LSTMRegressor(4, solver="lbfgs", max_iter=k, random_state=seed) for k in (2, 3, 4, 5)]
    expected = [parameters_of(clone(model).fit(X, y)) for model in models]
    with workers(client), ThreadPoolExecutor(4) as pool:
        contexts = [copy_context() for _ in models]  # the block holds in the threads, too
        found = list(pool.map(lambda c, model: c.run(model.fit, X, y), contexts, models))
    for model, parameters in zip(found, expected, strict=True):
        np.testing.assert_array_equal(parameters_of(model), parameters)


def test_the_data_are_sent_once(client, rng, seed, monkeypatch):
    sent = []
    scatter = client.scatter
    monkeypatch.setattr(client, "scatter", lambda *a, **k: sent.append(a) or scatter(*a, **k))
    X, y = problem(rng, n=200)
    with workers(client):
        reg = LSTMRegressor(4, solver="lbfgs", max_iter=6, random_state=seed).fit(X, y)
    assert reg.n_iter_ > 2
    assert len(sent) == 2  # one part for each worker


def test_each_thread_of_a_worker_gets_a_part(client):
    kept = sklstm_dask._Workers(client).keep(["12", "123"])
    assert kept.map(len) == [2, 3]
    places = list(client.who_has(kept._kept).values())
    kept.release()
    assert [len(place) for place in places] == [1, 1]
    assert len(set(places[0] + places[1])) == 2


def test_many_parameters_are_sent_without_a_warning(client, rng):
    """Dask warns of graphs of 10 MB: every evaluation sends the parameters, 11 MB here."""
    X, y = problem(rng, n=130, n_timesteps=2)
    with workers(client):
        reg = LSTMRegressor(580, solver="lbfgs", max_iter=1).fit(X, y)
    assert sum(array.nbytes for array in reg.parameters_.values()) > 10.5e6
    assert dask.config.get("distributed.admin.large-graph-warning-threshold") == "10MB"


def test_nothing_is_left_on_the_workers(client, rng):
    X, y = problem(rng, n=200)
    with workers(client):
        LSTMRegressor(4, solver="lbfgs", max_iter=2).fit(X, y)
    for _ in range(100):
        if not any(client.has_what().values()):
            break
        time.sleep(0.05)
    assert not any(client.has_what().values())


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_other_solvers_are_refused(client, solver, rng):
    X, y = problem(rng)
    reg = LSTMRegressor(**SMALL, solver=solver)
    with workers(client), pytest.raises(ValueError, match='solver: expected "lbfgs"'):
        reg.fit(X, y)
    assert not hasattr(reg, "t_")
    reg.fit(X, y)  # outside of the block


def test_an_error_of_a_worker_is_raised(client):
    cluster = sklstm_dask._Workers(client)
    with pytest.raises(TypeError, match="object of type 'int' has no len"):
        cluster.keep(["12", 3]).map(len)
    kept = cluster.keep(["12", "123", "1234"])
    assert kept.map(len) == [2, 3, 4]
    kept.release()


@pytest.mark.parametrize("other", [None, "tcp://localhost:1"])
def test_other_clients_are_refused(other):
    message = "client: expected a synchronous distributed.Client"
    with pytest.raises(TypeError, match=message), workers(other):
        pass


def test_a_worker_that_dies_is_survived(rng, seed):
    X, y = problem(rng, n=200)
    reg = LSTMRegressor(4, solver="lbfgs", max_iter=12, tol=0, random_state=seed)
    expected = clone(reg).fit(X, y)
    killed = []

    def kill_once(self, *arguments):
        futures = client.run(os.getpid)
        if len(killed) < 2 and self.calls in (2, 5):
            pid = sorted(futures.values())[0]
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        self.calls += 1
        return evaluate(self, *arguments)

    evaluate = sklstm_dask._KeptParts.map
    # A LocalCluster removes workers that it does not hear of for 15 s. They may start more slowly.
    patience = dask.config.set({"distributed.deploy.lost-worker-timeout": "300s"})
    with patience, new_client() as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sklstm_dask._KeptParts, "map", kill_once)
        patch.setattr(sklstm_dask._KeptParts, "calls", 0, raising=False)
        with workers(client):
            found = reg.fit(X, y)
        client.cluster.close()
    assert len(killed) == 2
    np.testing.assert_array_equal(parameters_of(found), parameters_of(expected))


@pytest.mark.parametrize("error", [OSError, TimeoutError, CancelledError])
def test_failures_are_repeated_until_they_end(client, error, monkeypatch):
    kept = sklstm_dask._Workers(client).keep(["12", "123"])
    attempts, gather = [], client.gather

    def fail_twice(futures):
        attempts.append(1)
        if len(attempts) < 3:
            raise error
        return gather(futures)

    monkeypatch.setattr(client, "gather", fail_twice)
    monkeypatch.setattr(sklstm_dask, "PAUSE", 0)
    assert kept.map(len) == [2, 3]
    assert len(attempts) == 3
    attempts.clear()
    monkeypatch.setattr(client, "gather", lambda futures: attempts.append(1) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kept.map(len)
    kept.release()
    assert len(attempts) == 1, "other errors are raised at once"


def test_a_cluster_without_workers_is_an_error(monkeypatch):
    monkeypatch.setattr(sklstm_dask, "PATIENCE", 0.2)
    with new_client(0) as client:
        kept = sklstm_dask._KeptParts(client, ["12"])
        with pytest.raises(TimeoutError, match="0/1 workers"):
            kept.map(len)
        client.cluster.close()


# --- searches ---


def test_grid_search_on_the_workers(client, rng, seed, monkeypatch):
    sent = []
    scatter = client.scatter
    monkeypatch.setattr(client, "scatter", lambda x, **k: sent.append(x) or scatter(x, **k))
    joblib = pytest.importorskip("joblib", "1.3")  # the first with parallel_config
    X, y = problem(rng, n=40)
    X = cut(X, rng)
    search = GridSearchCV(
        LSTMClassifier(**SMALL, random_state=seed), {"pooling": ["last", "mean"]}, cv=2
    )
    expected = clone(search).fit(X, y)
    with joblib.parallel_config("dask", scatter=[X, y]):
        found = clone(search).fit(X, y)
    assert sum(any(x is X for x in call) for call in sent) == 1
    for name in ("mean_test_score", "params"):
        assert list(found.cv_results_[name]) == list(expected.cv_results_[name])
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


# --- collections ---


def ragged(rng, n=60):
    X, y = problem(rng, n=n)
    return cut(X, rng), y


def in_parts(values, size=20):
    return [values[k : k + size] for k in range(0, len(values), size)]


COLLECTIONS = {
    "array": lambda X, y: (
        da.from_array(np.stack(X), chunks=(20, 3, 1)), da.from_array(y, chunks=20)
    ),
    "table": lambda X, y: (
        da.from_array(np.stack(X)[:, :, 0], chunks=(20, 2)), da.from_array(y, chunks=20)
    ),
    "bag": lambda X, y: (
        db.from_delayed([dask.delayed(part) for part in in_parts(X)]),
        da.from_array(y, chunks=20),
    ),
    "bags": lambda X, y: (
        db.from_delayed([dask.delayed(part) for part in in_parts(X)]),
        db.from_delayed([dask.delayed(part.tolist()) for part in in_parts(y)]),
    ),
    "delayed": lambda X, y: tuple(
        [dask.delayed(part) for part in in_parts(values)] for values in (X, y)
    ),
    "delayed pairs": lambda X, y: (
        [dask.delayed(pair) for pair in zip(in_parts(X), in_parts(y), strict=True)], None
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_partial_fit_and_predict(kind, rng, seed):
    X, y = ragged(rng) if "array" not in kind and kind != "table" else problem(rng, n=60)
    X = list(X)
    collection, targets = COLLECTIONS[kind](X, y)
    table = kind == "table"
    clf = LSTMClassifier(**SMALL, random_state=seed)
    expected = clone(clf)
    parts = in_parts([x[:, 0] for x in X] if table else X)
    parts = [np.stack(part) for part in parts] if kind in ("array", "table") else parts
    for part, labels in zip(parts, in_parts(y), strict=True):
        expected.partial_fit(part, labels, classes=[0, 1])
    found = partial_fit(clone(clf), collection, targets, classes=[0, 1])
    np.testing.assert_array_equal(parameters_of(found), parameters_of(expected))
    if kind == "delayed pairs":
        return
    for method in ("predict", "predict_proba"):
        predicted = predict(found, collection, method=method)
        if kind == "delayed":
            result = np.concatenate(dask.compute(*predicted))
        else:
            result = np.array(predicted.compute())
        wanted = np.concatenate([getattr(expected, method)(part) for part in parts])
        np.testing.assert_array_equal(result, wanted)


def test_weights_by_partition(rng, seed):
    X, y = problem(rng, n=60)
    weights = rng.uniform(0, 2, size=60)
    reg = LSTMRegressor(**SMALL, random_state=seed)
    expected = clone(reg)
    for part in in_parts(np.arange(60)):
        expected.partial_fit(X[part], y[part], sample_weight=weights[part])
    arrays = [da.from_array(values, chunks=(20, *values.shape[1:])) for values in (X, y, weights)]
    found = partial_fit(reg, *arrays[:2], sample_weight=arrays[2])
    np.testing.assert_array_equal(parameters_of(found), parameters_of(expected))


def test_one_partition_is_in_memory_at_a_time(rng):
    loaded, in_memory = [], []

    class Counted(np.ndarray):
        def __del__(self):
            in_memory.remove(1)

    @dask.delayed(pure=False)
    def load(k):
        loaded.append(k)
        in_memory.append(1)
        assert len(in_memory) <= 2  # the one before may not be released yet
        return np.random.default_rng(k).normal(size=(10, 4, 2)).view(Counted)

    parts, y = [load(k) for k in range(8)], [dask.delayed(np.arange(10.0))] * 8
    partial_fit(LSTMRegressor(**SMALL), parts, y)
    assert sorted(loaded) == list(range(8))


@pytest.mark.parametrize("per_step", [False, True])
def test_predictions_of_an_array_know_their_shape(per_step, rng, seed):
    X, _ = problem(rng, n=30)
    y = rng.normal(size=(30, 6, 2) if per_step else (30, 2))
    reg = LSTMRegressor(**SMALL, return_sequences=per_step, random_state=seed).fit(X, y)
    predicted = predict(reg, da.from_array(X, chunks=(7, 2, 1)))
    assert predicted.shape == y.shape
    assert predicted.dtype == np.float64
    np.testing.assert_allclose(predicted.compute(), reg.predict(X), rtol=1e-12)
    clf = LSTMClassifier(**SMALL).fit(X, np.where(y.reshape(30, -1)[:, 0] > 0, "yes", "no"))
    labels = predict(clf, da.from_array(X, chunks=(7, -1, -1))).compute()
    assert labels.tolist() == clf.predict(X).tolist()


def test_predictions_on_the_workers(client, rng, seed):
    X, y = ragged(rng)
    model = make_pipeline(SequenceScaler(), LSTMClassifier(**SMALL, random_state=seed)).fit(X, y)
    bag = db.from_sequence(X, npartitions=3)
    assert list(predict(model, bag).compute()) == model.predict(X).tolist()


@pytest.mark.parametrize("kind", ["list", "array"])
def test_other_collections_are_refused(kind, rng):
    X, y = problem(rng)
    X = list(X) if kind == "list" else X
    for call in (lambda: partial_fit(LSTMRegressor(), X, y), lambda: predict(LSTMRegressor(), X)):
        with pytest.raises(TypeError, match="X: expected a dask array, a dask bag or a list of"):
            call()
    with pytest.raises(TypeError, match="y: expected a dask array"):
        partial_fit(LSTMRegressor(), da.zeros((4, 3)), y)


def test_partitions_must_agree():
    X, y = da.zeros((40, 3, 1), chunks=(20, 3, 1)), da.zeros(40, chunks=10)
    with pytest.raises(ValueError, match=r"same number of part.*, got \{'X': 2, 'y': 4\}"):
        partial_fit(LSTMRegressor(), X, y)
    with pytest.raises(ValueError, match=r"at least one, got \{'X': 0, 'y': 0\}"):
        partial_fit(LSTMRegressor(), [], [])


def test_an_error_says_in_which_partition_it_is(rng):
    X, y = problem(rng, n=60)
    parts = in_parts(list(X))
    parts[2][4] = np.full((3, 2), np.inf)
    reg = LSTMRegressor(**SMALL)
    with pytest.raises(ValueError, match="infinity at sample 4, time step 0") as caught:
        partial_fit(reg, [dask.delayed(part) for part in parts], da.from_array(y, chunks=20))
    assert caught.value.__notes__ == ["This is partition 2 of 3, counted from 0."]
    assert reg.predict(X[:2]).shape == (2,), "trained on the partitions before"


@pytest.mark.parametrize("other", [LSTMRegressor, LinearRegression()])
def test_estimators_without_partial_fit_are_refused(other):
    with pytest.raises(TypeError, match="estimator: expected an estimator with partial_fit, got"):
        partial_fit(other, da.zeros((4, 3)), da.zeros(4))


@pytest.mark.parametrize("package", ["dask", "distributed"])
def test_packages_must_be_installed(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    call = predict if package == "dask" else lambda model, X: workers(X).__enter__()
    with pytest.raises(ImportError, match=r'needs .*: pip install "dask\[array'):
        call(LSTMRegressor(), [])


def test_object_arrays_of_sequences(rng, seed):
    X, y = ragged(rng)
    reg = LSTMRegressor(**SMALL, random_state=seed).fit(X, y)
    predicted = predict(reg, [dask.delayed(objects(part)) for part in in_parts(X)])
    np.testing.assert_allclose(np.concatenate(dask.compute(*predicted)), reg.predict(X))
