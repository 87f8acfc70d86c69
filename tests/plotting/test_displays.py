import builtins
import pickle

import numpy as np
import pandas as pd
import pytest
from data import SMALL, cut, problem
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor, inspection, plotting
from sklstm.preprocessing import SequenceScaler

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
plt = pytest.importorskip("matplotlib.pyplot")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def data(rng):
    X, y = problem(rng, n_classes=3)
    return cut(X, rng, shortest=3), y


@pytest.fixture
def pipeline(data):
    return make_pipeline(SequenceScaler(), LSTMClassifier(**SMALL)).fit(*data)


def displays(pipeline, X, y, ax=None):
    """Every display of a classifier, drawn into ``ax``."""
    return [
        plotting.LossCurveDisplay.from_estimator(pipeline, ax=ax),
        plotting.StepProbabilitiesDisplay.from_estimator(pipeline, X[1], ax=ax),
        plotting.StatesDisplay.from_estimator(pipeline, X[1], ax=ax),
        plotting.AttributionsDisplay.from_estimator(pipeline, X[1], ax=ax),
        plotting.PermutationImportanceDisplay.from_estimator(pipeline, X, y, ax=ax, n_repeats=2),
        plotting.ForecastDisplay.from_predictions([1.0, 2.0], window=[3.0], ax=ax),
    ]


def test_every_display_draws_into_a_new_figure_or_a_given_axis(pipeline, data):
    figures = {display.figure_.number for display in displays(pipeline, *data)}
    assert len(figures) == 6
    for k in range(6):
        figure, ax = plt.subplots(1, 2)
        display = displays(pipeline, *data, ax=ax[1])[k]
        assert display.figure_ is figure
        figure.canvas.draw()
    assert len(plt.get_fignums()) == 12


def test_a_display_draws_again_and_is_saved(pipeline, data):
    for display in displays(pipeline, *data):
        before = display.figure_
        assert display.plot() is display
        assert display.figure_ is not before
        kept = {k: v for k, v in vars(display).items() if not k.endswith("_")}
        copy = type(display).__new__(type(display))
        vars(copy).update(pickle.loads(pickle.dumps(kept)))
        copy.plot()


def test_several_axes(pipeline, data):
    _, axes = plt.subplots(4)
    display = plotting.StatesDisplay.from_estimator(pipeline, data[0][1], ax=axes)
    assert display.axes_ == list(axes)
    with pytest.raises(ValueError, match="ax: expected None, one axis or 4 axes, got 3"):
        display.plot(ax=axes[:3])
    free = plt.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match="ax: expected an axis of a grid"):
        display.plot(ax=free)


@pytest.mark.parametrize("scoring", ["loss", "accuracy"])
def test_loss_curves(scoring, rng):
    X, y = problem(rng)
    options = {"early_stopping": True, "validation_fraction": 0.5, "scoring": scoring}
    clf = LSTMClassifier(**SMALL, **options).fit(X, y)
    display = plotting.LossCurveDisplay.from_estimator(clf)
    training, validation = display.lines_
    np.testing.assert_array_equal(training.get_ydata(), clf.loss_curve_)
    sign = -1 if scoring == "loss" else 1
    np.testing.assert_allclose(validation.get_ydata(), sign * np.array(clf.validation_scores_))
    assert len(display.axes_) == (1 if scoring == "loss" else 2)
    with pytest.raises(TypeError, match="estimator: expected a fitted LSTM"):
        plotting.LossCurveDisplay.from_estimator(SequenceScaler().fit(X))


def test_probabilities_of_each_step(rng):
    X, _ = problem(rng)
    y = np.where(X[:, :, 0] > 0, "up", "down")
    clf = LSTMClassifier(return_sequences=True, **SMALL).fit(X, y)
    draw = plotting.StepProbabilitiesDisplay
    display = draw.from_estimator(clf, X[0], y_true=y[0])
    for k, line in enumerate(display.lines_):
        np.testing.assert_allclose(line.get_ydata(), clf.predict_proba(X[:1])[0][:, k])
    for name, value in {"y_true": y[0, :-1], "classes": ["a"]}.items():
        with pytest.raises(ValueError, match=f"{name}: expected . *"):
            draw.from_predictions(clf.predict_proba(X[:1])[0], **{name: value})
    display = draw.from_predictions([0.2, 0.9])
    np.testing.assert_allclose(display.lines_[0].get_ydata(), [0.8, 0.1])
    with pytest.raises(TypeError, match="predict_proba, got LSTMRegressor"):
        draw.from_estimator(LSTMRegressor(), X[0])


def test_probabilities_of_beginnings(pipeline, data):
    x = data[0][1]
    display = plotting.StepProbabilitiesDisplay.from_estimator(pipeline, x)
    found = np.array([line.get_ydata() for line in display.lines_])
    for k in range(len(x)):
        np.testing.assert_allclose(found[:, k], pipeline.predict_proba([x[: k + 1]])[0])


def test_states_and_attributions_show_what_inspection_computes(pipeline, data):
    x = data[0][1]
    display = plotting.StatesDisplay.from_estimator(pipeline, x, quantities="forget_gates")
    gates = inspection.lstm_states(pipeline, [x]).forget_gates[0]
    [image] = display.images_
    np.testing.assert_allclose(image.get_array(), gates[:, display.order].T)
    assert image.get_clim() == (0, 1)
    for method in ("integrated_gradients", "input_gradients"):
        draw = plotting.AttributionsDisplay.from_estimator
        display = draw(pipeline, x, method=method, target=1, names=["a", "b"])
        expected = getattr(inspection, method)(pipeline, [x], target=1)[0]
        np.testing.assert_allclose(display.image_.get_array(), expected.T)
        assert [t.get_text() for t in display.axes_[-1].get_yticklabels()] == ["a", "b"]
        np.testing.assert_allclose(display.values, SequenceScaler().fit_transform(data[0])[1])
    with pytest.raises(ValueError, match=r"quantities: expected some of .*, got 'gates'"):
        plotting.StatesDisplay.from_estimator(pipeline, x, quantities=["gates"])
    with pytest.raises(ValueError, match=r"method: expected one of .*, got 'shap'"):
        plotting.AttributionsDisplay.from_estimator(pipeline, x, method="shap")


def test_attributions_of_tokens(rng):
    X = [rng.integers(0, 9, size=length) for length in (4, 6, 3, 5)]
    clf = LSTMClassifier(vocabulary_size=9, **SMALL).fit(X, [0, 1, 0, 1])
    display = plotting.AttributionsDisplay.from_estimator(clf, X[1])
    expected = inspection.integrated_gradients(clf, X[1:2])[0].sum(axis=1)
    np.testing.assert_allclose(display.image_.get_array()[0], expected)
    assert len(display.axes_) == 1


@pytest.mark.parametrize("by", ["channel", "segment"])
def test_importances(by, pipeline, data):
    options = {"by": by, "n_segments": 4, "n_repeats": 3, "random_state": 0, "scoring": "accuracy"}
    result = inspection.permutation_importance(pipeline, *data, **options)
    display = plotting.PermutationImportanceDisplay.from_estimator(pipeline, *data, **options)
    means = result.importances_mean
    expected = np.sort(means)[::-1] if by == "channel" else means
    size = "get_width" if by == "channel" else "get_height"
    np.testing.assert_allclose([getattr(bar, size)() for bar in display.bars_], expected)
    with pytest.raises(ValueError, match="scoring: expected one scorer, got list"):
        plotting.PermutationImportanceDisplay.from_estimator(pipeline, *data, scoring=["accuracy"])


def test_forecasts_with_intervals(rng):
    X, y = rng.normal(size=(20, 6, 2)), rng.normal(size=(20, 4, 2))
    draw = plotting.ForecastDisplay.from_estimator
    options = {"loss": "quantile", "quantile": [0.1, 0.4, 0.9], **SMALL}
    reg = LSTMRegressor(**options).fit(X, y)
    display = draw(reg, X[0], y_true=y[0], column=1)
    predicted = reg.predict(X[:1])[0, :, 1]
    found = display.lower, display.y_pred, display.upper
    np.testing.assert_allclose(np.transpose(found), predicted)
    np.testing.assert_array_equal(display.y_true, y[0, :, 1])
    np.testing.assert_array_equal(display.window, X[0, :, 1])
    reg = make_pipeline(SequenceScaler(), LSTMRegressor(loss="gaussian", **SMALL)).fit(X, y)
    display = draw(reg, X[0], coverage=0.95)
    mean, deviation = (values[0, :, 0] for values in reg.predict(X[:1], return_std=True))
    np.testing.assert_allclose(display.upper, mean + 1.959964 * deviation, rtol=1e-6)
    reg = LSTMRegressor(**SMALL).fit(X, y[:, 0, 0])
    display = draw(reg, X[0], times=pd.date_range("2026-01-01", periods=7))
    assert display.lower is None
    assert len(display.line_.get_xdata()) == 1


def test_wrong_forecasts(rng):
    draw = plotting.ForecastDisplay
    with pytest.raises(ValueError, match=r"y_true: expected 2 value\(s\), got 3"):
        draw.from_predictions([1, 2], y_true=[1, 2, 3])
    with pytest.raises(ValueError, match=r"times: expected 3 value\(s\), got 2"):
        draw.from_predictions([1, 2], window=[0], times=[1, 2])
    with pytest.raises(ValueError, match="lower, upper: expected both or none"):
        draw.from_predictions([1, 2], lower=[0, 0])
    with pytest.raises(ValueError, match="coverage: expected a number between 0 and 1, got 90"):
        draw.from_estimator(LSTMRegressor(), [1.0], coverage=90)


def test_without_matplotlib_an_error_says_what_to_install(pipeline, data, monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plotting.StatesDisplay.from_estimator(pipeline, data[0][0])


def test_colours_are_not_used_twice():
    from sklstm.plotting._axes import style

    assert len({tuple(style(k).items()) for k in range(32)}) == 32
