"""Inputs that are too large for the network, and parameters that have diverged."""

import re

import numpy as np
import pytest
import sklearn
from data import SMALL as OF_ANY_SCALE
from data import cut, problem

import sklstm
from sklstm import LSTMClassifier, LSTMRegressor
from sklstm._estimators import reading

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

both = pytest.mark.parametrize("Estimator", [LSTMClassifier, LSTMRegressor])
#: The smallest power of two whose square overflows, and the largest number; by dtype.
TOO_LARGE = [("f4", 2.0**64), ("f4", -3e38), ("f8", 2.0**512), ("f8", -1.7e308)]
too_large = pytest.mark.parametrize(("dtype", "value"), TOO_LARGE)
#: Inputs that are scaled may have any finite size, see test_scale_inputs.
SMALL = OF_ANY_SCALE | {"scale_inputs": False}
METHODS = ["predict", "hidden_states", "input_gradients"]


@pytest.fixture(autouse=True, params=["numpy", "compiled"])
def kernels(request):
    """Run each test with both kernel sets."""
    if request.param == "compiled":
        pytest.importorskip("llvmlite")
    with sklstm.config_context(kernels=request.param):
        yield


def with_value(X, value, dtype):
    """Sequences of this dtype, with the value in sample 3, step 2; others are smaller than it."""
    X = [x.astype(dtype) for x in X]
    X[3][2, 1] = value
    return X


def error(value, dtype, sample=3):
    name, largest = ("float32", "1.8e+19") if dtype == "f4" else ("float64", "1.3e+154")
    return re.escape(
        f"X[{sample}], step 2: {np.dtype(dtype).type(value):.3g} is too large for dtype={name}, "
        f"expected at most {largest} in absolute value; scale the inputs"
    )


@both
@too_large
def test_training_refuses_it(Estimator, value, dtype, rng):
    X, y = problem(rng)
    X = list(X.astype(dtype))
    large, model = with_value(X, value, dtype), Estimator(**SMALL)
    classes = {"classes": [0, 1]} if Estimator is LSTMClassifier else {}
    with pytest.raises(ValueError, match=error(value, dtype)):
        model.fit(large, y)
    with pytest.raises(ValueError, match=error(value, dtype)):
        model.partial_fit(large, y, **classes)
    with pytest.raises(ValueError, match=r"\(X_val, y_val\): " + error(value, dtype)):
        model.fit(X, y, X_val=large, y_val=y)
    assert not hasattr(model, "parameters_")


@both
@too_large
@pytest.mark.parametrize("options", [{}, {"return_sequences": True}, {"bidirectional": True}])
@pytest.mark.parametrize("memory", [1024, 0.001], ids=["at once", "segments"])
def test_prediction_refuses_it(Estimator, options, memory, value, dtype, rng):
    X, y = problem(rng)
    X = cut(X.astype(dtype), rng, shortest=3)
    if options.get("return_sequences"):
        y = [np.full(len(x), k) for x, k in zip(X, y, strict=True)]
    model = Estimator(**SMALL, **options).fit(X, y)
    large = with_value(X, value, dtype)
    with sklearn.config_context(working_memory=memory):
        for method in METHODS:
            with pytest.raises(ValueError, match=error(value, dtype)):
                getattr(model, method)(large)
        with pytest.raises(ValueError, match=error(value, dtype)):
            model.score(large, y)


@pytest.mark.parametrize("method", METHODS)
def test_the_sample_is_named_in_every_part_of_a_list(method, rng, monkeypatch):
    monkeypatch.setattr(reading, "PART_SEQUENCES", 2)
    X, y = problem(rng)
    model = LSTMRegressor(**SMALL, n_jobs=2).fit(X, y)
    with pytest.raises(ValueError, match=error(1e200, "f8")):
        getattr(model, method)(with_value(X, 1e200, "f8"))


@both
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}])
def test_the_largest_inputs_give_finite_results(Estimator, options, dtype, rng):
    X, y = problem(rng)
    largest = np.nextafter(2.0**64 if dtype == "f4" else 2.0**512, 0, dtype=dtype)
    X = (largest * np.sign(X)).astype(dtype)
    model = Estimator(**SMALL, **options).fit(X, y)
    for method in METHODS[:2]:
        assert np.isfinite(getattr(model, method)(X)).all()


def test_a_number_too_large_for_the_dtype_of_the_model_is_named_as_it_was_given(rng):
    X, y = problem(rng)
    model = LSTMRegressor(**SMALL, dtype="float32").fit(X, y)
    X[3, 2, 1] = 1e300
    for method in METHODS:
        with pytest.raises(ValueError, match=r"X\[3\], step 2: 1e\+300 is too large for dtype=fl"):
            getattr(model, method)(X)


@both
@pytest.mark.parametrize("method", METHODS)
def test_diverged_parameters_are_named(Estimator, method, rng):
    X, y = problem(rng)
    model = Estimator(**SMALL, pooling="mean").fit(X, y)
    weights = model._model.views["lstm_0.weight_ih"]
    weights[...] = np.array([[np.inf], [-np.inf]])  # the difference of infinities is NaN
    X = np.abs(X)
    what = method.replace("_", " ") if method != "predict" else "raw predictions"
    message = f"The {what} of this {Estimator.__name__} are not finite in float64, .* diverged"
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(X)
