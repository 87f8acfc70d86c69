"""The calls of scikit-learn's callbacks, which need scikit-learn 1.9."""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from data import SMALL, assert_same_fit, cut, outputs, parameter_vector, problem
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklstm import LSTMClassifier, LSTMRegressor

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn >= 1.9")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

both = pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])
every_solver = pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])


class Recorder:
    """Records its calls; returns True, or raises an error, at the end of the task ``stop_at``."""

    def __init__(self, stop_at=None, error=None):
        self.stop_at = stop_at
        self.error = error
        self.calls = []
        self.fitted = []
        self.data = None

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.calls.append(f"begin {context.task_name} {context.task_id}")
        self.data = X, y

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        task = f"{context.task_name} {context.task_id}"
        self.calls.append(f"end {task}")
        self.fitted.append(fitted_estimator)
        if task == self.stop_at and self.error is not None:
            raise self.error
        return task == self.stop_at


CONSTANT = SMALL | {"learning_rate": "constant"}  # the rate tells nothing of max_iter


def epochs(n):
    return [f"{what} epoch {k}" for k in range(n) for what in ("begin", "end")]


@both
@every_solver
@pytest.mark.parametrize("batch_size", [1000, 10])
def test_each_epoch_is_a_task(Estimator, solver, batch_size, rng, seed):
    X, y = problem(rng)
    recorder = Recorder()
    plain = Estimator(**SMALL, solver=solver, batch_size=batch_size, random_state=seed)
    watched = clone(plain).set_callbacks(recorder).fit(X, y)
    assert recorder.calls == ["setup", "begin fit 0", *epochs(3), "end fit 0", "teardown"]
    assert recorder.data[0] is X
    assert recorder.data[1] is y
    assert_same_fit(plain.fit(X, y), watched)


@both
@every_solver
def test_a_callback_stops_training(Estimator, solver, rng, seed):
    X, y = problem(rng)
    recorder = Recorder(stop_at="epoch 1")
    parameters = CONSTANT | {"solver": solver, "random_state": seed}
    stopped = Estimator(**parameters | {"max_iter": 9}).set_callbacks(recorder).fit(X, y)
    assert stopped.n_iter_ == 2
    assert recorder.calls == ["setup", "begin fit 0", *epochs(2), "end fit 0", "teardown"]
    assert_same_fit(stopped, Estimator(**parameters | {"max_iter": 2}).fit(X, y))


@both
@pytest.mark.parametrize("batch_size", [1000, 10])
def test_partial_fit_is_a_task_of_one_epoch(Estimator, batch_size, rng, seed):
    X, y = problem(rng)
    recorder = Recorder()
    plain = Estimator(**SMALL, batch_size=batch_size, random_state=seed)
    watched = clone(plain).set_callbacks(recorder)
    classes = {"classes": [0, 1]} if Estimator is LSTMClassifier else {}
    once = ["setup", "begin partial_fit 0", *epochs(1), "end partial_fit 0", "teardown"]
    for n_calls in (1, 2, 3):
        plain.partial_fit(X, y, **classes)
        watched.partial_fit(X, y, **classes)
        assert recorder.calls == n_calls * once
        assert recorder.data[0] is X
        for fitted in recorder.fitted[-2:]:
            assert fitted.n_iter_ == n_calls
            assert_same_fit(fitted, plain)
        assert_same_fit(watched, plain)


@pytest.mark.parametrize("task", ["epoch 0", "partial_fit 0"])
def test_a_callback_that_returns_true_ends_partial_fit_after_its_epoch(task, rng, seed):
    X, y = problem(rng)
    reg = LSTMRegressor(**SMALL, random_state=seed).set_callbacks(Recorder(stop_at=task))
    plain = LSTMRegressor(**SMALL, random_state=seed).partial_fit(X, y)
    assert_same_fit(reg.partial_fit(X, y), plain)


def test_an_error_in_a_callback_of_partial_fit_changes_nothing(rng, seed):
    X, y = problem(rng)
    recorder = Recorder(stop_at="partial_fit 0", error=RuntimeError("enough"))
    reg = LSTMRegressor(**SMALL, random_state=seed).partial_fit(X, y)
    before = reg.predict(X)
    with pytest.raises(RuntimeError, match="enough"):
        reg.set_callbacks(recorder).partial_fit(X, y)
    np.testing.assert_array_equal(reg.predict(X), before)
    assert recorder.calls[-1] == "teardown"


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_callbacks_are_given_the_weights(method, rng, seed):
    X, y = problem(rng)
    weights, found = rng.uniform(1, 2, len(X)), []

    class Weights(Recorder):
        def on_fit_task_end(self, estimator, context, *, metadata=None):
            found.append(metadata["sample_weight"])

    reg = LSTMRegressor(**SMALL, random_state=seed).set_callbacks(Weights())
    getattr(reg, method)(X, y, sample_weight=weights)
    assert all(given is weights for given in found)
    assert found


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_a_callback_that_stops_training_causes_no_warning(rng, seed):
    clf = LSTMClassifier(**SMALL, random_state=seed).set_callbacks(Recorder(stop_at="epoch 1"))
    clf.fit(*problem(rng))


@both
@every_solver
def test_what_a_callback_is_given_is_fitted(Estimator, solver, rng, seed):
    X, y = problem(rng)
    X = cut(X, rng)
    recorder = Recorder()
    parameters = CONSTANT | {"solver": solver, "batch_size": 10, "random_state": seed}
    estimator = Estimator(**parameters).set_callbacks(recorder).fit(X, y)
    for epoch, fitted in enumerate(recorder.fitted[:3], start=1):
        expected = Estimator(**parameters | {"max_iter": epoch}).fit(X, y)
        assert_same_fit(expected, fitted)
        assert (fitted.n_iter_, fitted.t_) == (epoch, expected.t_)
        assert fitted.loss_ == expected.loss_
        assert fitted.loss_curve_ == expected.loss_curve_
    for method, values in outputs(recorder.fitted[-1], X).items():
        np.testing.assert_array_equal(values, getattr(estimator, method)(X))


@both
def test_a_kept_estimator_continues_to_train(Estimator, rng, seed):
    X, y = problem(rng)
    recorder = Recorder()
    parameters = CONSTANT | {"batch_size": 10, "alpha": 0.0, "random_state": seed}
    Estimator(**parameters).set_callbacks(recorder).fit(X, y)
    kept = recorder.fitted[0].set_callbacks().partial_fit(X, y)
    expected = Estimator(**parameters | {"max_iter": 2}).fit(X, y)
    np.testing.assert_allclose(parameter_vector(kept), parameter_vector(expected), 1e-9, 1e-9)


@both
@pytest.mark.parametrize("task", ["epoch 1", "fit 0"])
def test_teardown_follows_an_error(Estimator, task, rng, seed):
    recorder = Recorder(stop_at=task, error=RuntimeError("enough"))
    estimator = Estimator(**SMALL, random_state=seed).set_callbacks(recorder)
    with pytest.raises(RuntimeError, match="enough"):
        estimator.fit(*problem(rng))
    assert recorder.calls[-1] == "teardown"
    assert recorder.calls.count("teardown") == 1
    assert not hasattr(estimator, "classes_")
    assert not hasattr(estimator, "_callback_fit_ctx")


def test_teardown_follows_malformed_input(rng):
    recorder = Recorder()
    X, y = problem(rng)
    with pytest.raises(ValueError, match="NaN"):
        LSTMClassifier(**SMALL).set_callbacks(recorder).fit(np.full_like(X, np.nan)[:, 1:], y)
    assert recorder.calls[-1] == "teardown"


def test_an_interrupt_in_a_callback_keeps_what_was_learnt(rng, seed):
    X, y = problem(rng)
    recorder = Recorder(stop_at="epoch 1", error=KeyboardInterrupt())
    clf = LSTMClassifier(**CONSTANT | {"max_iter": 9}, random_state=seed).set_callbacks(recorder)
    with pytest.warns(UserWarning, match="interrupted after 2 epochs"):
        clf.fit(X, y)
    assert_same_fit(LSTMClassifier(**CONSTANT | {"max_iter": 2}, random_state=seed).fit(X, y), clf)
    assert recorder.calls[-1] == "teardown"


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_in_a_warm_start(solver, rng, seed):
    recorder = Recorder()
    clf = LSTMClassifier(**SMALL, solver=solver, warm_start=True, random_state=seed)
    clf.set_callbacks(recorder)
    clf.fit(*problem(rng)).fit(*problem(rng))
    once = ["setup", "begin fit 0", *epochs(3), "end fit 0", "teardown"]
    assert recorder.calls == 2 * once


def test_progress_bar(rng, seed):
    pytest.importorskip("rich", reason="what draws the bar")
    out = io.StringIO()
    with redirect_stdout(out):
        LSTMClassifier(**SMALL, random_state=seed).set_callbacks(callback.ProgressBar()).fit(
            *problem(rng)
        )
    assert "LSTMClassifier" in out.getvalue()


@pytest.mark.parametrize("form", [np.asarray, list])
def test_scoring_monitor(form, rng, seed):
    X, y = problem(rng)
    X = form(X)
    monitor = callback.ScoringMonitor(scoring="accuracy")
    clf = LSTMClassifier(**SMALL, random_state=seed).set_callbacks(monitor).fit(X, y)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert [row["task_id"] for row in rows] == [0, 1, 2]
    assert rows[-1]["accuracy"] == clf.score(X, y)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_monitor_of_a_grid_search(n_jobs, rng, seed):
    X, y = problem(rng)
    monitor = callback.ScoringMonitor(scoring="accuracy")
    clf = LSTMClassifier(**SMALL, random_state=seed).set_callbacks(monitor)
    search = GridSearchCV(clf, {"alpha": [0.0, 1.0]}, cv=2, n_jobs=n_jobs)
    search.fit(cut(X, rng), y)
    assert search.best_estimator_.n_iter_ == 3


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_estimators_in_callbacks_count_all_updates(solver, rng, seed):
    recorder = Recorder()
    clf = LSTMClassifier(**SMALL, solver=solver, warm_start=True, random_state=seed)
    clf.set_callbacks(recorder)
    clf.fit(*problem(rng)).fit(*problem(rng))
    assert [fitted.t_ for fitted in recorder.fitted] == [1, 2, 3, 3, 4, 5, 6, 6]
