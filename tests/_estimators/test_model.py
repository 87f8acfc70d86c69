"""An estimator is fitted all at once: what can be seen of it during a fit."""

import pickle
import threading

import numpy as np
import pytest
from data import SMALL, outputs, problem
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_info, threadpool_limits

from sklstm import LSTMClassifier, LSTMRegressor, config_context
from sklstm._compat import CALLBACK_ATTRIBUTES
from sklstm._estimators.model import FittedModel
from sklstm._network import costs, kernels
from sklstm._training.objective import Objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

both = pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])
every_solver = pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])


@pytest.fixture
def during_training(monkeypatch):
    """Call a function before each evaluation of the objective, and collect what it returns."""
    evaluate = Objective.__call__

    def install(function):
        results = []

        def call(self, *arguments):
            results.append(function())
            return evaluate(self, *arguments)

        monkeypatch.setattr(Objective, "__call__", call)
        return results

    return install


@both
@every_solver
def test_during_the_first_fit_it_is_not_fitted(Estimator, solver, rng, during_training):
    estimator = Estimator(**SMALL, solver=solver)
    names = set(vars(estimator))
    X, y = problem(rng)
    seen = during_training(lambda: set(vars(estimator)) - names)
    estimator.fit(X, y)
    assert len(seen) > 2
    assert set().union(*seen) <= set(CALLBACK_ATTRIBUTES)
    check_is_fitted(estimator)


@both
def test_a_prediction_during_the_first_fit_is_refused(Estimator, rng, during_training):
    estimator = Estimator(**SMALL)
    X, y = problem(rng)

    def refused():
        with pytest.raises(NotFittedError):
            estimator.predict(X)
        return True

    refusals = during_training(refused)
    estimator.fit(X, y)
    assert len(refusals) >= 3


@both
@every_solver
@pytest.mark.parametrize("warm_start", [False, True])
def test_during_a_refit_the_old_model_predicts(
    Estimator, solver, warm_start, rng, seed, during_training
):
    X, y = problem(rng)
    estimator = Estimator(**SMALL, solver=solver, warm_start=warm_start, random_state=seed)
    before = outputs(estimator.fit(X, y), X)
    seen = during_training(lambda: (outputs(estimator, X), pickle.dumps(estimator)))
    X_new, _ = problem(rng, n=40)
    after = outputs(estimator.fit(X_new, np.arange(40) % 2), X)
    assert len(seen) > 2
    for found, pickled in seen:
        for method, expected in before.items():
            np.testing.assert_array_equal(found[method], expected)
            np.testing.assert_array_equal(getattr(pickle.loads(pickled), method)(X), expected)
    assert any((after[method] != before[method]).any() for method in before)


@both
def test_during_partial_fit_the_old_model_predicts(Estimator, rng, seed, during_training):
    X, y = problem(rng)
    estimator = Estimator(**SMALL, batch_size=5, random_state=seed).fit(X, y)
    before = outputs(estimator, X)
    seen = during_training(lambda: outputs(estimator, X))
    estimator.partial_fit(X, y)
    assert len(seen) == 5
    for found in seen:
        for method, expected in before.items():
            np.testing.assert_array_equal(found[method], expected)


def test_a_refit_on_other_data_leaves_no_attribute_of_the_first(rng, seed):
    pandas = pytest.importorskip("pandas")
    X, y = problem(rng, n_features=1)
    table = pandas.DataFrame(X[:, :, 0], columns=list("abcdef"))
    clf = LSTMClassifier(**SMALL, random_state=seed).fit(table, y)
    assert clf.feature_names_in_.tolist() == list("abcdef")
    clf.fit(X, y)
    assert not hasattr(clf, "feature_names_in_")
    assert clf.n_features_in_ == 1
    clf.note = "kept"
    assert clf.fit(X, y).note == "kept"


def test_a_thread_predicts_while_another_fits(rng, seed):
    """Each prediction is one of the two models', whole."""
    X, y = problem(rng)
    targets = [y, 100.0 + y]  # another scale of the targets, and other parameters
    settings = SMALL | {"random_state": seed}
    expected = [LSTMRegressor(**settings).fit(X, y).predict(X) for y in targets]
    shared, stop, found = LSTMRegressor(**settings).fit(X, y), threading.Event(), []

    def predict():
        while not stop.is_set():
            found.append(shared.predict(X))

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        for k in range(40):
            shared.fit(X, targets[k % 2])
    finally:
        stop.set()
        thread.join()
    assert len(found) > 10
    for predictions in found:
        assert any(np.array_equal(predictions, whole) for whole in expected)


# --- the limit on the threads of BLAS ---


def blas_threads():
    return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]


@pytest.mark.parametrize("method", ["predict", "hidden_states", "input_gradients"])
def test_an_error_in_a_prediction_leaves_no_limit(method, rng, monkeypatch):
    """The frames of its traceback stay alive as long as the error."""
    X, y = problem(rng)
    model = LSTMRegressor(**SMALL).fit(X, y)

    def fail(*arguments):
        raise ZeroDivisionError

    kernel = "infer" if method == "hidden_states" else "forward"
    if method == "predict":
        monkeypatch.setattr(type(model._model.form.targets), "decode", fail)
    else:
        monkeypatch.setattr(kernels, kernel, fail)
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        with pytest.raises(ZeroDivisionError) as caught:
            getattr(model, method)(X)
        assert blas_threads() == before
        assert caught.value.__traceback__ is not None


@pytest.mark.parametrize("option", ["numpy", "compiled"])
@pytest.mark.parametrize("n", [1, 40])
def test_blas_is_limited_where_a_prediction_may_use_its_threads(n, option, monkeypatch, rng):
    """All products of NumPy's kernels may, and that of the output layer if it is large."""
    if option == "compiled":
        pytest.importorskip("llvmlite")
    model, seen, raw_of = LSTMClassifier(**SMALL).fit(*problem(rng)), [], FittedModel._raw

    def recorded(*arguments):
        seen.extend(k["num_threads"] for k in threadpool_info() if k["user_api"] == "blas")
        return raw_of(*arguments)

    monkeypatch.setattr(FittedModel, "_raw", recorded)
    X = np.resize(problem(rng)[0], (n, 5, 2))
    for largest, limited in [(10**9, option == "numpy"), (0, True)]:
        monkeypatch.setattr(costs, "SINGLE_THREAD_SIZE", largest)
        seen.clear()
        with threadpool_limits(2, user_api="blas"), config_context(kernels=option):
            model.predict(X)
        assert set(seen) == {1 if limited else 2}
