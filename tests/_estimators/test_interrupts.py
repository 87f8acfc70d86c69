"""A KeyboardInterrupt at any line of training leaves a model whose parts belong together."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from data import parameter_vector, problem
from sklearn.exceptions import ConvergenceWarning

import sklstm
from sklstm import LSTMClassifier

PACKAGE = str(Path(sklstm.__file__).parent)
TRACED = tuple(f"{PACKAGE}/{folder}/" for folder in ("_solvers", "_training", "_estimators"))


class InterruptAt:
    """Raise a KeyboardInterrupt before the k-th line that runs in the traced files."""

    def __init__(self, k):
        self.k, self.n_lines, self.where = k, 0, None

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)

    def _trace(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(TRACED):
            return None
        if event == "line":
            self.n_lines += 1
            if self.n_lines == self.k:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self._trace


def fit(solver, seed, data, validation, **settings):
    settings = {"max_iter": 3, "batch_size": 10, "random_state": seed, **settings}
    estimator = LSTMClassifier(2, solver=solver, **settings)
    X_val, y_val = validation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(*data, X_val=X_val, y_val=y_val)


def trajectory(solver, seed, data, validation, **settings):
    """Parameters, moments and record after each update of a fit that nothing interrupts."""
    found, classifier = {}, fit(solver, seed, data, validation, **settings)
    n_updates = classifier.t_
    for n in range(1, n_updates + 1):
        stopped = stopped_after(n, solver, seed, data, validation, **settings)
        found[stopped.t_] = stopped
    return found


def stopped_after(n, solver, seed, data, validation, **settings):
    """A fit that is interrupted right before its update n + 1, in the objective."""
    from sklstm._training.objective import Objective

    evaluate, n_calls = Objective.__call__, 0

    def interrupted(self, *arguments):
        nonlocal n_calls
        n_calls += 1
        if n_calls == n + 1:
            raise KeyboardInterrupt
        return evaluate(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objective, "__call__", interrupted)
        return fit(solver, seed, data, validation, **settings)


def assert_consistent(estimator):
    """Counters and records that belong together, whatever the moment of the interrupt."""
    n_epochs = estimator.n_iter_
    assert len(estimator.loss_curve_) == len(estimator.validation_scores_) == n_epochs
    assert np.isfinite(estimator.loss_curve_).all()
    assert np.isfinite(parameter_vector(estimator)).all()
    if n_epochs:
        assert estimator.best_loss_ == min(estimator.loss_curve_)
        scores = estimator.validation_scores_
        assert estimator.best_validation_score_ == max(scores)
        assert scores[estimator.best_iteration_ - 1] == estimator.best_validation_score_


def tokens(rng, n):
    X = [rng.integers(0, 30, 3) for _ in range(n)]
    return X, np.arange(n) % 2


@pytest.mark.parametrize(
    ("solver", "settings"),
    [("adam", {}), ("sgd", {}), ("adam", {"vocabulary_size": 40, "embedding_size": 2})],
    ids=["adam", "sgd", "tokens"],
)
def test_an_interrupt_at_any_line_leaves_whole_updates(solver, settings, rng, seed):
    """Parameters, moments and their count are those of an uninterrupted fit after t_ updates."""
    if settings:
        data, validation = tokens(rng, 20), tokens(rng, 6)
    else:
        data, validation = problem(rng, n=20, n_timesteps=3), problem(rng, n=6, n_timesteps=3)
    expected = trajectory(solver, seed, data, validation, **settings)
    with InterruptAt(None) as count:
        fit(solver, seed, data, validation, **settings)
    n_kept = 0
    for k in range(1, count.n_lines, 3):
        try:
            with InterruptAt(k) as interrupt:
                clf = fit(solver, seed, data, validation, **settings)
        except KeyboardInterrupt:
            continue  # not in the solver: fit has failed, and there is no estimator
        assert_consistent(clf)
        n_kept += 1
        if clf.t_ == 0:
            continue
        other, state = expected[clf.t_], clf._model.state
        message = f"interrupted at {interrupt.where}"
        np.testing.assert_array_equal(
            parameter_vector(clf), parameter_vector(other), err_msg=message
        )
        for moment, whole in zip(state.moments, other._model.state.moments, strict=True):
            np.testing.assert_array_equal(moment, whole, err_msg=message)
        assert state.moment_step == state.step == clf.t_
    assert n_kept > count.n_lines / 12


def test_an_interrupt_at_any_line_of_lbfgs(rng, seed):
    data, validation = problem(rng, n=20, n_timesteps=3), problem(rng, n=6, n_timesteps=3)
    with InterruptAt(None) as count:
        fit("lbfgs", seed, data, validation)
    n_kept = 0
    for k in range(1, count.n_lines, 3):
        try:
            with InterruptAt(k):
                clf = fit("lbfgs", seed, data, validation)
        except KeyboardInterrupt:
            continue
        assert_consistent(clf)
        n_kept += 1
    assert n_kept > 10


def test_an_interrupted_first_evaluation_leaves_no_nan(rng, seed):
    data, validation = problem(rng), problem(rng)
    clf = stopped_after(0, "lbfgs", seed, data, validation)
    assert clf.loss_curve_ == []
    with pytest.warns(ConvergenceWarning):
        clf.set_params(warm_start=True).fit(*data)
    assert clf.best_loss_ == min(clf.loss_curve_)


def test_an_interrupt_with_warnings_as_errors_keeps_the_model(rng, seed, monkeypatch):
    from sklstm._training.objective import Objective

    data = problem(rng)
    clf = LSTMClassifier(2, max_iter=5, random_state=seed)
    evaluate, calls = Objective.__call__, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(self, *arguments)

    monkeypatch.setattr(Objective, "__call__", interrupted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="parameters learned so far are kept"):
            clf.fit(*data)
    assert clf.n_iter_ == 2
    assert np.isfinite(clf.predict_proba(data[0])).all()
