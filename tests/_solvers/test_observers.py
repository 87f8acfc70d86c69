import numpy as np
import pytest

from sklstm._solvers.observers import (
    EarlyStopping,
    Epoch,
    History,
    Progress,
    Tolerance,
    Verbosity,
    report,
)
from sklstm._solvers.schedules import Adaptive, Constant


def progress(loss, epoch=1, parameters=(0.0,), rate=0.1):
    return Progress(epoch, 3 * epoch, loss, rate, 2.5, np.array(parameters))


def epochs_until_stop(observer, losses):
    """Return the number of epochs until the observer stops; None if it does not."""
    for epoch, loss in enumerate(losses, start=1):
        if observer(progress(loss, epoch, parameters=(loss,))) is not None:
            return epoch
    return None


def test_history_has_all_losses_and_the_lowest():
    history = History()
    for loss in (3.0, 1.0, 2.0):
        assert history(progress(loss)) is None
    assert history.loss_curve == [3.0, 1.0, 2.0]
    assert history.best_loss == 1.0


def test_history_continues_an_earlier_one():
    history = History([Epoch(3.0), Epoch(1.0)])
    history(progress(2.0))
    assert history.loss_curve == [3.0, 1.0, 2.0]
    assert history.best_loss == 1.0


@pytest.mark.parametrize(("patience", "expected"), [(0, 2), (1, 3), (5, 7)])
def test_tolerance_stops_after_more_than_patience_epochs(patience, expected):
    observer = Tolerance(0.1, patience, Constant(1.0))
    assert epochs_until_stop(observer, [1.0] * 20) == expected


def test_tolerance_compares_with_the_best_loss_if_it_improves_slowly():
    """Each epoch is better than the last, but by less than tol: all are counted, as in MLP."""
    losses = 1.0 - 0.05 * np.arange(20)
    assert epochs_until_stop(Tolerance(0.1, 3, Constant(1.0)), losses) == 5
    assert epochs_until_stop(Tolerance(0.04, 3, Constant(1.0)), losses) is None


def test_an_improvement_resets_the_count():
    losses = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
    assert epochs_until_stop(Tolerance(0.1, 2, Constant(1.0)), losses) == 7


def test_tolerance_never_stops_with_infinite_patience():
    assert epochs_until_stop(Tolerance(0.1, np.inf, Constant(1.0)), [1.0] * 500) is None


def test_a_tol_of_zero_counts_only_higher_losses():
    assert epochs_until_stop(Tolerance(0.0, 2, Constant(1.0)), [1.0] * 50) is None
    assert epochs_until_stop(Tolerance(0.0, 2, Constant(1.0)), [1.0, 1.1, 1.2, 1.05]) == 4


def test_the_schedule_lowers_its_rate_before_tolerance_stops():
    schedule = Adaptive(1.0, factor=10, minimum=0.01)
    observer = Tolerance(0.1, 2, schedule)
    rates = []
    for _ in range(1, 50):
        reason = observer(progress(1.0))
        rates.append(schedule(1))
        if reason is not None:
            break
    # 1 epoch to set the best, then 3 epochs a plateau: two lower the rate, the third stops
    np.testing.assert_allclose(rates, [1.0] * 3 + [0.1] * 3 + [0.01] * 4)
    assert "training loss did not improve by tol=0.1 for more than 2 epochs" in reason


@pytest.mark.parametrize("observer_of", ["tolerance", "early stopping"])
def test_counts_equal_those_of_scikit_learn(observer_of):
    """The rule of MLPClassifier, applied to the same random losses."""
    losses = np.random.RandomState(0).uniform(size=(200, 40)).cumsum(axis=0) ** -0.5
    losses += np.random.RandomState(1).normal(scale=0.05, size=losses.shape)
    stops = set()
    for curve in losses.T:
        best, count, expected = np.inf, 0, None
        for epoch, loss in enumerate(curve, start=1):
            count = count + 1 if loss > best - 0.01 else 0
            best = min(best, loss)
            if count > 4:
                expected = epoch
                break
        if observer_of == "tolerance":
            observer = Tolerance(0.01, 4, Constant(1.0))
        else:
            observer = EarlyStopping(lambda x: -x[0], 0.01, 4, Constant(1.0))
        assert epochs_until_stop(observer, curve) == expected
        stops.add(expected)
    assert len(stops) > 5  # the curves stop at different epochs


def test_early_stopping_restores_the_best_parameters():
    observer = EarlyStopping(lambda x: float(x[0]), 0.0, 2, Constant(1.0))
    parameters = np.zeros(1)
    for epoch, score in enumerate((1.0, 5.0, 3.0, 4.0), start=1):
        parameters[0] = score
        reason = observer(Progress(epoch, 1, 0.0, 0.1, 1.0, parameters))
    assert reason is None
    parameters[0] = 2.0
    reason = observer(Progress(1, 1, 0.0, 0.1, 1.0, parameters))
    assert "validation score did not improve" in reason
    assert observer.validation_scores == [1.0, 5.0, 3.0, 4.0, 2.0]
    assert observer.best.score == 5.0
    assert observer.best.epoch == 2
    observer.restore(parameters)
    np.testing.assert_array_equal(parameters, [5.0])


def test_early_stopping_keeps_the_first_of_equal_scores():
    observer = EarlyStopping(lambda x: 1.0, 0.0, 5, Constant(1.0))
    for value in (7.0, 8.0):
        observer(progress(0.0, parameters=(value,)))
    np.testing.assert_array_equal(observer.best.parameters, [7.0])


def test_early_stopping_counts_nan_as_no_improvement():
    observer = EarlyStopping(lambda x: np.nan, 0.0, 2, Constant(1.0))
    assert epochs_until_stop(observer, [1.0] * 10) == 3
    untouched = np.array([4.0])
    observer.restore(untouched)
    assert untouched == 4.0
    assert observer.best.parameters is None


def test_the_schedule_lowers_its_rate_before_early_stopping():
    schedule = Adaptive(1.0, factor=10, minimum=0.1)
    observer = EarlyStopping(lambda x: 0.0, 0.1, 1, schedule)
    assert epochs_until_stop(observer, [1.0] * 10) == 5
    assert schedule(1) == pytest.approx(0.1)


def test_verbosity_prints_one_line_every_n_epochs():
    lines = []
    times = iter([10.0, 14.0, 18.0, 20.0])
    options = {"n_epochs": 5, "clock": lambda: next(times)}
    verbosity = Verbosity(2, stream=lines.append, **options)
    for epoch in range(1, 6):
        verbosity(progress(0.5, epoch))
    assert lines == [
        "epoch 2/5, loss 0.5, learning rate 0.1, 6.0 s left",
        "epoch 4/5, loss 0.5, learning rate 0.1, 2.0 s left",
        "epoch 5/5, loss 0.5, learning rate 0.1, 0.0 s left",
    ]


@pytest.mark.parametrize("validates_loss", [False, True])
def test_verbosity_prints_the_validation(validates_loss, capsys):
    validation = EarlyStopping(lambda x: -0.75, 0.0, 5, Constant(1.0))
    validation(progress(0.5))
    options = {"validation": validation, "validates_loss": validates_loss, "n_before": 3}
    Verbosity(**options)(progress(0.5, rate=np.nan))
    found = "loss 0.75" if validates_loss else "score -0.75"
    assert capsys.readouterr().out == f"epoch 4, loss 0.5, validation {found}\n"


def test_all_observers_are_called_in_the_epoch_in_which_one_stops():
    history = History()
    stop = report(progress(1.0), [lambda _: "enough", history, lambda _: "late"], None)
    assert stop == ("converged", "enough")
    assert history.loss_curve == [1.0]


def test_the_callback_is_called_after_the_observers():
    events = []
    assert report(progress(1.0), [], events.append) is None
    assert len(events) == 1
    assert report(progress(1.0), [], lambda _: True)[0] == "stopped"
    assert report(progress(1.0), [lambda _: "enough"], lambda _: True)[0] == "converged"
