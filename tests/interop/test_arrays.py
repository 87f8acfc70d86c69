"""Estimators made of arrays: how they go on, and which arrays they refuse."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from data import SMALL, cut, problem
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.interop import keras, torch
from sklstm.streaming import SequenceStream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: From a fitted estimator to its weights, and back.
FORMATS = {
    "torch": (torch.to_state_dict, torch.from_state_dict),
    "keras": (keras.to_weights, keras.from_weights),
}
every_format = pytest.mark.parametrize("library", FORMATS)


def copied(library, model, estimator, **arguments):
    to, back = FORMATS[library]
    return back(to(model), estimator, **arguments)


@every_format
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_warm_start_continues(library, solver, rng, seed):
    X, y = problem(rng)
    clf = LSTMClassifier(4, max_iter=20, solver=solver, random_state=seed).fit(X, y)
    unfitted = clone(clf).set_params(warm_start=True, max_iter=1, learning_rate_init=1e-9)
    again = copied(library, clf, unfitted)
    before = again.predict_proba(X)
    if solver == "lbfgs":
        assert again.fit(X, y).loss_ <= clf.loss_ + 1e-6
        return
    again.fit(X, y)
    assert again.t_ == 1
    np.testing.assert_allclose(again.predict_proba(X), before, atol=1e-5)
    again.set_params(max_iter=40, learning_rate_init=0.02).fit(X, y)
    assert again.loss_ < clf.loss_


@every_format
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_a_regressor_continues_in_the_units_of_its_targets(library, loss, rng, seed):
    X, _ = problem(rng)
    y = rng.poisson(1000.0, size=24).astype(float)
    reg = LSTMRegressor(4, max_iter=20, loss=loss, random_state=seed).fit(X, y)
    settings = {"warm_start": True, "max_iter": 1, "learning_rate_init": 1e-9}
    for method in ("fit", "partial_fit"):
        again = copied(library, reg, clone(reg).set_params(**settings))
        np.testing.assert_allclose(again.predict(X), reg.predict(X), rtol=1e-5)
        getattr(again, method)(X, y)
        np.testing.assert_allclose(again.predict(X), reg.predict(X), rtol=1e-5)


@every_format
def test_everything_works_with_the_copy(library, rng, seed):
    X, y = problem(rng, n_classes=3)
    X = cut(X, rng)
    labels = np.array(["a", "b", "c"])[y]
    clf = LSTMClassifier(4, max_iter=3, random_state=seed).fit(X, labels)
    again = copied(library, clf, LSTMClassifier(), classes=["a", "b", "c"])
    assert again.predict(X).tolist() == clf.predict(X).tolist()
    assert again.score(X, labels) == clf.score(X, labels)
    assert again.n_features_in_ == 2
    assert again.classes_.tolist() == ["a", "b", "c"]
    assert again.n_iter_ == again.t_ == 0
    loaded = pickle.loads(pickle.dumps(again))
    np.testing.assert_array_equal(loaded.predict_proba(X), again.predict_proba(X))
    np.testing.assert_allclose(again.hidden_states(X)[0], clf.hidden_states(X)[0], atol=1e-6)
    stream = SequenceStream(again)
    for x in X[1]:
        found = stream.step_proba(x[None])
    np.testing.assert_allclose(found[0], again.predict_proba(X[1:2])[0], atol=1e-6)


@every_format
def test_the_estimator_is_not_changed(library, rng):
    X, y = problem(rng)
    clf = LSTMClassifier(**SMALL).fit(X, y)
    estimator = LSTMClassifier(7, alpha=0.5)
    again = copied(library, clf, estimator)
    assert estimator.get_params()["hidden_layer_sizes"] == 7
    assert not hasattr(estimator, "classes_")
    assert again.hidden_layer_sizes == (4,)
    assert again.alpha == 0.5


@every_format
def test_arrays_are_copies(library, rng):
    X, y = problem(rng)
    clf = LSTMClassifier(**SMALL).fit(X, y)
    to, back = FORMATS[library]
    weights = to(clf)
    arrays = list(weights.values()) if library == "torch" else weights
    before, again = clf.predict_proba(X), back(weights, LSTMClassifier())
    expected = again.predict_proba(X)
    for array in arrays:
        assert array.flags.writeable
        assert array.flags.c_contiguous
        array[...] = 0
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    np.testing.assert_array_equal(again.predict_proba(X), expected)


@every_format
@pytest.mark.parametrize("dtype", ["float32", "float64", None])
def test_precision(library, dtype, rng):
    X, y = problem(rng)
    clf = LSTMClassifier(**SMALL, dtype="float32").fit(X, y)
    again = copied(library, clf, LSTMClassifier(dtype=dtype))
    expected = dtype or "float32"
    assert {array.dtype.name for array in again.parameters_.values()} == {expected}


def test_neither_library_is_imported():
    code = "import sys, sklstm.interop.torch, sklstm.interop.keras; "
    code += "print(*({'torch', 'keras', 'onnx', 'dask'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == ""


# --- what is refused ---


@every_format
def test_estimators_that_are_refused(library, rng):
    to, back = FORMATS[library]
    weights = to(LSTMClassifier(**SMALL).fit(*problem(rng)))
    with pytest.raises(NotFittedError):
        to(LSTMClassifier())
    with pytest.raises(TypeError, match="expected a fitted LSTMClassifier or LSTMRegressor"):
        to(LogisticRegression())
    with pytest.raises(TypeError, match="estimator: expected an LSTMClassifier or LSTMRegressor"):
        back(weights, LogisticRegression())


@every_format
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ["a", "b"]}, "classes: expected 3 different labels in sorted order"),
        ({"classes": ["b", "a", "c"]}, "classes: expected 3 different labels in sorted order"),
        ({"classes": ["a", "a", "b"]}, "classes: expected 3 different labels in sorted order"),
    ],
)
def test_classes_that_are_refused(library, arguments, message, rng):
    clf = LSTMClassifier(**SMALL).fit(*problem(rng, n_classes=3))
    with pytest.raises(ValueError, match=message):
        copied(library, clf, LSTMClassifier(), **arguments)
    with pytest.raises(ValueError, match="classes and multilabel: expected neither of them"):
        copied(library, clf, LSTMRegressor(), **arguments)


@every_format
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_another_pooling_is_refused(library, pooling, rng):
    clf = LSTMClassifier(**SMALL).fit(*problem(rng))
    with pytest.raises(ValueError, match=f"reads 8 values, and pooling='{pooling}' returns 4"):
        copied(library, clf, LSTMClassifier(pooling=pooling))


def test_layers_of_different_sizes_need_names(rng):
    clf = LSTMClassifier((3, 4), max_iter=2).fit(*problem(rng))
    with pytest.raises(ValueError, match=r"lstm: expected 2 names, since .* sizes \[3, 4\]"):
        torch.to_state_dict(clf)
    with pytest.raises(ValueError, match="lstm: expected 2 names, one for each layer"):
        torch.to_state_dict(clf, lstm=["one"])


STATE_DICT = {
    "lstm.weight_ih_l0": (12, 2), "lstm.weight_hh_l0": (12, 3), "lstm.bias_ih_l0": (12,),
    "lstm.bias_hh_l0": (12,), "linear.weight": (1, 3), "linear.bias": (1,),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lstm.weight_ih_l0", None, "expected lstm.weight_ih_l0, got .* parameter lstm is"),
        ("lstm.weight_hh_l0", None, "expected lstm.weight_hh_l0, got only"),
        ("linear.weight", None, "expected linear.weight, got only .*; the parameter linear is"),
        ("lstm.bias_hh_l0", None, "expected lstm.bias_hh_l0, got only"),
        ("lstm.weight_ih_l0", np.zeros((11, 2)), r"lstm.weight_ih_l0: expected \(4 \* hidden"),
        ("lstm.weight_hh_l0", np.zeros((12, 4)), r"layer 0: expected weight_hh of shape \(3, 12\)"),
        (
            "lstm.weight_ih_l0",
            np.zeros(12),
            "lstm.weight_ih_l0: expected an array of floats with 2",
        ),
        ("lstm.bias_ih_l0", np.zeros(12, int), "lstm.bias_ih_l0: expected an array of floats"),
        ("lstm.bias_ih_l0", np.zeros(8), "lstm.bias_ih_l0: expected 12 values, got 8"),
        ("linear.weight", np.full((1, 3), np.nan), "linear.weight: expected finite weights"),
        ("linear.bias", np.zeros(2), "output layer: expected bias of 1 value"),
        ("lstm.weight_hr_l0", np.zeros((2, 3)), "projections"),
        ("lstm.weight_ih_l1", np.zeros((12, 4)), "expected lstm.weight_hh_l1"),
    ],
)
def test_state_dicts_that_are_refused(name, value, message):
    state_dict = {k: np.zeros(shape) for k, shape in STATE_DICT.items()} | {name: value}
    if value is None:
        del state_dict[name]
    with pytest.raises(ValueError, match=message):
        torch.from_state_dict(state_dict, LSTMRegressor(pooling="last"))


@pytest.mark.parametrize("other", [LSTMRegressor(), "model.pt", None])
def test_other_objects_than_weights_are_refused(other):
    found = f"got an object of type {type(other).__name__}"
    with pytest.raises(TypeError, match=f"state_dict: expected a mapping of names .*{found}"):
        torch.from_state_dict(other, LSTMRegressor())
    with pytest.raises(TypeError, match=f"weights: expected the list of arrays .*{found}"):
        keras.from_weights(other, LSTMRegressor())


def test_weights_without_biases(rng):
    shapes = {name: shape for name, shape in STATE_DICT.items() if "bias" not in name}
    state_dict = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    zeros = {name: np.zeros(shape) for name, shape in STATE_DICT.items() if "bias" in name}
    X = rng.normal(size=(4, 5, 2))
    found, expected = (
        torch.from_state_dict(given, LSTMRegressor(pooling="last")).predict(X)
        for given in (state_dict, state_dict | zeros)
    )
    np.testing.assert_array_equal(found, expected)


def test_an_estimator_with_a_wrong_parameter_is_refused():
    state_dict = {k: np.zeros(shape) for k, shape in STATE_DICT.items()}
    with pytest.raises(ValueError, match="The 'alpha' parameter"):
        torch.from_state_dict(state_dict, LSTMRegressor(pooling="last", alpha=-1))


WEIGHTS = [(2, 12), (3, 12), (12,), (3, 1), (1,)]


@pytest.mark.parametrize(
    ("shapes", "bidirectional", "message"),
    [
        (WEIGHTS[:2], False, "weights: expected 3 arrays for each LSTM layer"),
        (WEIGHTS[:4], False, "weights: expected 3 arrays for each LSTM layer"),
        (WEIGHTS, True, "weights: expected 6 arrays for each LSTM layer .*got 5 arrays"),
        ([(2, 11), *WEIGHTS[1:]], False, r"weights\[0\]: expected a multiple of 4 columns"),
        ([(2, 12), (12,), (3, 12), *WEIGHTS[3:]], False, r"weights\[1\]: expected .* 2 axes"),
        ([(2, 12), (4, 12), *WEIGHTS[2:]], False, "layer 0: expected weight_hh of shape"),
        ([*WEIGHTS[:3], *WEIGHTS[:3], *WEIGHTS[3:]], False, "layer 1: expected weight_ih of shape"),
        ([(9, 5), *WEIGHTS], False, r"layer 0: expected weight_ih of shape \(5, 12\)"),
    ],
)
def test_weights_that_are_refused(shapes, bidirectional, message):
    estimator = LSTMRegressor(pooling="last", bidirectional=bidirectional)
    with pytest.raises(ValueError, match=message):
        keras.from_weights([np.zeros(shape) for shape in shapes], estimator)
