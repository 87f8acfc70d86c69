"""Step by step as all at once."""

import re
import warnings
from copy import deepcopy
from itertools import product

import numpy as np
import pandas as pd
import pytest
from data import cut, polars_frame, problem
from numerics import assert_close
from saved_streams import WAYS, restored
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklstm
from sklstm import LSTMClassifier, LSTMRegressor
from sklstm._network.pooling import POOLINGS
from sklstm.preprocessing import SequenceScaler
from sklstm.streaming import SequenceStream, _stream

QUICK = {"max_iter": 3, "random_state": 0}
VOCABULARY = 7


@pytest.fixture(autouse=True, params=["numpy", "compiled"])
def kernels(request):
    """Each test with both sets."""
    if request.param == "compiled":
        pytest.importorskip("llvmlite")
    with sklstm.config_context(kernels=request.param):
        yield


by_pooling = pytest.mark.parametrize("pooling", POOLINGS)
by_depth = pytest.mark.parametrize("sizes", [(4,), (4, 3)], ids=["one", "stacked"])


def fitted(estimator, X, y, **options):
    return estimator(**{"hidden_layer_sizes": 4, **QUICK, **options}).fit(X, y)


def rows_at(X, t):
    """Step t of every sequence."""
    return np.stack([x[t] for x in X])


def prefixes(X, t):
    """Every sequence up to and with step t."""
    return [x[: t + 1] for x in X]


def check_every_prefix(model, X, method="predict", step="step", tolerance=1e-12):
    stream = SequenceStream(model, n_streams=len(X))
    for t in range(len(X[0])):
        found = getattr(stream, step)(rows_at(X, t))
        expected = getattr(model, method)(prefixes(X, t))
        if model._model.form.per_step:
            expected = np.stack([steps[-1] for steps in expected])
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        if expected.dtype.kind == "f":
            assert_close(found, expected, tolerance)
        else:
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(stream.n_steps, len(X[0]))


@by_pooling
@by_depth
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_classifier_on_every_prefix(n_classes, sizes, pooling, rng):
    X, y = problem(rng, n_classes=n_classes)
    model = fitted(LSTMClassifier, cut(X, rng), y, hidden_layer_sizes=sizes, pooling=pooling)
    check_every_prefix(model, X[:5], "predict_proba", "step_proba")
    check_every_prefix(model, X[:5])


@by_pooling
@by_depth
@pytest.mark.parametrize("n_outputs", [None, 2])
def test_a_regressor_on_every_prefix(n_outputs, sizes, pooling, rng):
    X, _ = problem(rng)
    y = rng.normal(1e3, 10, len(X) if n_outputs is None else (len(X), n_outputs))
    model = fitted(LSTMRegressor, cut(X, rng), y, hidden_layer_sizes=sizes, pooling=pooling)
    check_every_prefix(model, X[:5])


@pytest.mark.parametrize("estimator", [LSTMClassifier, LSTMRegressor])
def test_a_model_of_every_step(estimator, rng):
    X, _ = problem(rng)
    y = [(x[:, 0] > 0).astype(int) for x in X]
    model = fitted(estimator, list(X), y, return_sequences=True)
    check_every_prefix(model, X[:4])
    if estimator is LSTMClassifier:
        check_every_prefix(model, X[:4], "predict_proba", "step_proba")


@by_pooling
def test_float32(pooling, rng):
    X, y = problem(rng)
    model = fitted(LSTMRegressor, X.astype(np.float32), y, pooling=pooling)
    check_every_prefix(model, X[:3].astype(np.float32), tolerance=1e-5)


def test_several_labels(rng):
    X, y = problem(rng)
    model = fitted(LSTMClassifier, list(X), np.stack([y, 1 - y, y], axis=1))
    check_every_prefix(model, X[:3])
    check_every_prefix(model, X[:3], "predict_proba", "step_proba")


def test_tokens(rng):
    X = [rng.integers(0, VOCABULARY, 6) for _ in range(20)]
    model = fitted(LSTMClassifier, X, np.arange(20) % 2, vocabulary_size=VOCABULARY)
    check_every_prefix(model, X[:3], "predict_proba", "step_proba")
    stream = SequenceStream(model, 2)
    with pytest.raises(ValueError, match=r"X_t\[1\]: expected tokens from 0 to 6 .*, got 9"):
        stream.step([3, 9])
    np.testing.assert_array_equal(stream.n_steps, 0)


def test_a_model_of_a_table_predicts_a_row_with_its_last_column(rng):
    X = problem(rng, n_features=1)[0][:, :, 0]
    model = fitted(LSTMRegressor, X, X.sum(axis=1))
    stream = SequenceStream(model, n_streams=3)
    for column in X[:3].T:
        found = stream.step(column)
    assert_close(found, model.predict(X[:3]), 1e-12)


# --- shapes ---


@pytest.fixture
def model(rng):
    X, y = problem(rng)
    return fitted(LSTMRegressor, list(X), y)


@pytest.mark.parametrize("hidden", [1, 33, 100])
@pytest.mark.parametrize("n_streams", [1, 2, 13])
def test_every_size(n_streams, hidden, rng):
    X, y = problem(rng, n=16)
    model = fitted(LSTMRegressor, list(X), y, hidden_layer_sizes=(hidden, hidden))
    check_every_prefix(model, X[:n_streams])


def test_steps_need_not_be_contiguous(model, rng):
    wide = rng.normal(size=(3, 4))
    found = SequenceStream(model, 3).step(wide[:, ::2])
    np.testing.assert_array_equal(found, SequenceStream(model, 3).step(wide[:, ::2].copy()))


def test_a_single_stream_accepts_a_row(model, rng):
    x = rng.normal(size=2)
    assert SequenceStream(model).step(x) == SequenceStream(model).step([x.tolist()])


@pytest.fixture
def named(rng):
    """A model of frames with the columns "a" and "b", and such frames."""
    X = [pd.DataFrame(x, columns=["a", "b"]) for x in rng.normal(size=(20, 5, 2))]
    return fitted(LSTMRegressor, X, [x["a"].sum() for x in X]), X


NAMED = {
    "frame": lambda frame: frame,
    "frame of polars": lambda frame: polars_frame(frame.to_dict("list")),
    "dict": lambda frame: {name: frame[name].to_numpy() for name in ("b", "a")},
    "list of dicts": lambda frame: frame[["b", "a"]].to_dict("records"),
    "array": lambda frame: frame.to_numpy(),
}


@pytest.mark.parametrize("form", NAMED)
def test_features_are_found_by_name(form, named):
    model, X = named
    stream = SequenceStream(model, 3)
    for t in range(5):
        found = stream.step(NAMED[form](pd.concat([x.iloc[[t]] for x in X[:3]])))
    assert_close(found, model.predict(X[:3]), 1e-12)


def test_a_single_stream_accepts_a_series_or_a_dict_of_numbers(named):
    model, X = named
    by_series, by_dict = SequenceStream(model), SequenceStream(model)
    for _, row in X[0].iterrows():
        found = by_series.step(row[["b", "a"]]), by_dict.step({"b": row["b"], "a": row["a"]})
    assert_close(found[0], model.predict(X[:1]), 1e-12)
    assert_close(found[1], model.predict(X[:1]), 1e-12)


@pytest.mark.parametrize(
    ("X_t", "message"),
    [
        (pd.DataFrame({"b": [1.0], "a": [2.0]}), "^X_t: The feature names should match"),
        (pd.DataFrame({"a": [1.0]}), r"^X_t: The feature names.*\n.*missing:\n- b"),
        (pd.Series({"a": 1.0, "c": 1.0}), r"^X_t: expected .* missing \['b'\], unknown \['c'\]"),
        ({"a": 1.0}, r"^X_t: expected the features \['a', 'b'\] once each, missing \['b'\]"),
        ([{"a": 1.0}], r"^X_t: expected .* missing \['b'\]"),
        ([{"a": 1.0}, {"b": 1.0}], r"^X_t\[1\]: expected the features \['a'\] .*got \['b'\]"),
        ([{"a": 1.0}, 3], r"^X_t\[1\]: expected the features \['a'\] .*got int"),
        ({"a": 1.0, "b": [1.0, 2.0]}, "^X_t: expected one number for each feature"),
        ({"a": 1.0, "b": "x"}, r"^X_t\['b'\]: expected"),
        ({"a": 1.0, "b": np.nan}, r"^X_t\[0\], step 0: expected finite numbers"),
        ([1j, 1.0], "^X_t: Complex data not supported"),
        (np.ma.masked_array([1.0, 2.0]), r"^X_t: .*X_t\.filled\(np\.nan\)"),
        (np.array([1, 2], "M8[s]"), "^X_t: expected numbers, got dates"),
    ],
)
def test_wrong_features_are_refused_and_nothing_changes(X_t, message, named):
    stream = SequenceStream(named[0])
    before = stream.get_state()
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        stream.step(X_t)
    assert all((stream.get_state()[name] == before[name]).all() for name in before)


def test_columns_of_polars_in_another_order_are_refused(named):
    model, _ = named
    with pytest.raises(ValueError, match=r"^X_t: The feature names should match"):
        SequenceStream(model).step(polars_frame({"b": [1.0], "a": [2.0]}))


def test_names_are_refused_if_the_model_has_none(model):
    with pytest.raises(ValueError, match=r"^X_t: .*fitted without feature names, got .* dict"):
        SequenceStream(model).step({"a": 1.0, "b": 2.0})


@pytest.mark.parametrize(
    ("n_streams", "shape"),
    [(1, ()), (1, (3,)), (2, (2,)), (2, (3, 2)), (2, (2, 3)), (2, (2, 2, 1))],
)
def test_another_shape_is_refused_and_nothing_changes(n_streams, shape, model):
    stream = SequenceStream(model, n_streams)
    stream.step(np.ones((n_streams, 2)))
    before = stream.get_state()
    with pytest.raises(ValueError, match=rf"expected shape \({n_streams}, 2\).*got") as caught:
        stream.step(np.zeros(shape))
    assert str(shape) in str(caught.value)
    assert_same_state(stream.get_state(), before)


@pytest.mark.parametrize("as_array", [False, True])
@by_pooling
@by_depth
@pytest.mark.parametrize(
    ("dtype", "bad"),
    [
        *(("f4", bad) for bad in (np.nan, np.inf, -3e38, 2e19)),
        *(("f8", bad) for bad in (np.nan, -np.inf, 1.7e308, -1.4e154)),
    ],
)
def test_a_value_that_is_not_accepted_changes_nothing(bad, dtype, sizes, pooling, as_array, rng):
    X, y = problem(rng)
    options = {"hidden_layer_sizes": sizes, "pooling": pooling, "scale_inputs": False}
    model = fitted(LSTMRegressor, X.astype(dtype), y, **options)
    stream = SequenceStream(model, 2)
    stream.step(np.ones((2, 2)))
    stream.reset(0)
    before = stream.get_state()
    message = "is too large for dtype=" if np.isfinite(bad) else "expected finite numbers, got"
    x = [[1.0, 2.0], [3.0, bad]]
    with pytest.raises(ValueError, match=rf"X_t\[1\], step 1: .*{message}"):
        stream.step(np.array(x, dtype) if as_array else x)
    assert_same_state(stream.get_state(), before)
    with pytest.raises(ValueError, match=rf"X_t\[0\], step 0: .*{message}"):
        stream.step(np.array(x[::-1], dtype) if as_array else x[::-1])
    assert_same_state(stream.get_state(), before)


def test_a_number_too_large_for_the_dtype_is_named_as_it_was_given(rng):
    X, y = problem(rng)
    stream = SequenceStream(fitted(LSTMRegressor, X.astype(np.float32), y))
    with pytest.raises(ValueError, match=r"X_t\[0\], step 0: 1e\+300 is too large .* 1\.8e\+19"):
        stream.step([1.0, 1e300])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@by_pooling
def test_the_largest_inputs_give_the_predictions_of_whole_sequences(pooling, dtype, rng):
    X, y = problem(rng)
    model = fitted(LSTMRegressor, X.astype(dtype), y, pooling=pooling, scale_inputs=False)
    largest = 1.8446743e19 if dtype == "f4" else 1.3407807929942596e154
    large = np.where(rng.random((3, 5, 2)) < 0.5, largest, -largest).astype(dtype)
    stream = SequenceStream(model, 3)
    for t in range(5):
        found = stream.step(large[:, t])
        expected = model.predict(large[:, : t + 1])  # a sum of terms that may cancel
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lstm_0.weight_ih", "lstm_0.weight_hh", "dense.weight"])
def test_diverged_parameters_are_refused(name, model):
    model._model.views[name][:2] = 1.7e308
    with pytest.raises(ValueError, match="parameters of this LSTMRegressor have diverged"):
        SequenceStream(model)


@pytest.mark.parametrize(("dtype", "unit"), [("f8", 1.7e308), ("f4", 3e38)])
def test_targets_of_any_unit(dtype, unit, rng):
    X, y = problem(rng)
    X, y = X.astype(dtype), (unit * np.where(y > 0, 1.0, -1.0)).astype(dtype)
    model = fitted(LSTMRegressor, X, y)
    model._model.views["dense.weight"][...] *= 1e10  # predictions beyond the dtype
    stream = SequenceStream(model)
    with np.errstate(over="ignore"):
        found = [stream.step(x_t)[0] for x_t in X[0]]
        expected = [model.predict(X[:1, : t + 1])[0] for t in range(len(X[0]))]
    np.testing.assert_allclose(found, expected, rtol=1e-9 if dtype == "f8" else 1e-3)
    assert np.isinf(found).any()


# --- state ---


def assert_same_state(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


def run(stream, steps):
    return np.array([stream.step(x_t) for x_t in steps])


@by_pooling
def test_single_streams_are_reset(pooling, rng):
    X, y = problem(rng)
    model = fitted(LSTMRegressor, list(X), y, pooling=pooling)
    stream, steps = SequenceStream(model, 3), rng.normal(size=(4, 3, 2))
    run(stream, steps)
    stream.reset(1)
    stream.reset([False, False, True])
    np.testing.assert_array_equal(stream.n_steps, [4, 0, 0])
    found = run(stream, steps)
    fresh = run(SequenceStream(model, 3), steps)
    np.testing.assert_array_equal(found[:, 1:], fresh[:, 1:])
    expected = model.predict([np.concatenate([steps[:, 0], steps[:, 0]])])
    assert_close(found[-1, :1], expected, 1e-12)
    stream.reset()
    np.testing.assert_array_equal(run(stream, steps), fresh)
    with pytest.raises(IndexError):
        stream.reset(3)


@by_pooling
@pytest.mark.parametrize("way", WAYS)
def test_a_stream_continues_from_a_saved_state(way, pooling, rng, tmp_path):
    X, y = problem(rng)
    model = fitted(LSTMRegressor, list(X), y, pooling=pooling, hidden_layer_sizes=(4, 3))
    stream, steps = SequenceStream(model, 2), rng.normal(size=(6, 2, 2))
    run(stream, steps[:3])
    other = restored(stream, model, way, tmp_path)
    expected = run(stream, steps[3:])
    np.testing.assert_array_equal(run(other, steps[3:]), expected)


def test_a_state_is_a_copy(model):
    stream = SequenceStream(model)
    state = stream.get_state()
    stream.step([1.0, 2.0])
    assert all((array[state["n_steps"] == 0] <= 0).all() for array in state.values())
    stream.set_state(state)
    stream.step([1.0, 2.0])
    np.testing.assert_array_equal(state["n_steps"], 0)


def test_a_state_of_another_kind_is_refused_and_nothing_changes(model, rng):
    stream = SequenceStream(model)
    before = stream.get_state()
    with pytest.raises(ValueError, match=r"state\['n_steps'\]: expected numbers of shape \(1,\)"):
        stream.set_state(SequenceStream(model, 2).get_state())
    for state in ({"n_steps": [3]}, {**before, "another": np.zeros(1)}):
        with pytest.raises(ValueError, match=r"state: expected the keys \['n_steps', .*, got \["):
            stream.set_state(state)
    assert_same_state(stream.get_state(), before)


def stepped(rng, steps=3, **options):
    """A stream of two sequences with two layers, after some steps; the second has begun anew."""
    X, y = problem(rng)
    model = fitted(LSTMRegressor, X, y, hidden_layer_sizes=(4, 3), **options)
    stream = SequenceStream(model, 2)
    run(stream, rng.normal(size=(steps, 2, 2)))
    stream.reset(1)
    return stream


NAMES = ["n_steps", "lstm_0.h", "lstm_0.c", "lstm_1.h", "lstm_1.c", "total", "maximum"]
BAD_VALUES = [np.nan, np.inf, -np.inf, 1e200, "x", None, 1j]
BAD_PAIRS = [(name, value) for name in NAMES for value in BAD_VALUES]
BAD_PAIRS += [("n_steps", value) for value in (-1.0, 2.5, 1e30)]


@pytest.mark.parametrize(("name", "value"), BAD_PAIRS, ids=str)
def test_an_impossible_state_is_refused_and_nothing_changed(name, value, rng):
    stream, other = (stepped(rng, steps) for steps in (3, 5))
    before, state = stream.get_state(), other.get_state()
    bad = state[name].astype(np.result_type(state[name], np.asarray(value)))
    bad[(0,) * bad.ndim] = value
    with pytest.raises(ValueError, match=rf"state\['{name}'\]: expected .*, got"):
        stream.set_state({**state, name: bad})
    assert_same_state(stream.get_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_an_array_of_another_shape_is_refused_and_nothing_changed(name, rng):
    stream = stepped(rng)
    before = stream.get_state()
    for bad in (before[name][:1], before[name][..., None], 0, [[1.0], [1.0, 2.0]]):
        with pytest.raises(ValueError, match=rf"state\['{name}'\]: expected .* of shape"):
            stream.set_state({**before, name: bad})
    assert_same_state(stream.get_state(), before)


def test_the_maximum_is_minus_infinity_only_before_the_first_step(rng):
    stream = stepped(rng)
    before = stream.get_state()
    assert np.isneginf(before["maximum"][1]).all()
    stream.set_state(before)
    with pytest.raises(ValueError, match=r"state\['maximum'\]: expected finite .*, got -inf"):
        stream.set_state({**before, "n_steps": [3, 1]})
    assert_same_state(stream.get_state(), before)


def test_a_state_of_another_dtype_is_converted(rng):
    stream = stepped(rng)
    state = stream.get_state()
    floats = {name: array.astype(np.float32).tolist() for name, array in state.items()}
    stream.set_state(floats)
    for name, array in stream.get_state().items():
        np.testing.assert_array_equal(array, np.float32(state[name]))
        assert array.dtype == state[name].dtype


def test_a_later_fit_does_not_change_the_stream(rng):
    X, y = problem(rng, n_classes=3)
    model = fitted(LSTMClassifier, list(X), np.array(["a", "b", "c"])[y])
    stream, untouched = SequenceStream(model), SequenceStream(deepcopy(model))
    model.fit(list(3 * X), np.array(["d", "e"])[y % 2])
    for x_t in X[0]:
        np.testing.assert_array_equal(stream.step(x_t), untouched.step(x_t))


# --- what cannot be streamed ---


def test_a_bidirectional_model_is_refused_with_the_reason(rng):
    X, y = problem(rng)
    model = fitted(LSTMClassifier, list(X), y, bidirectional=True)
    with pytest.raises(ValueError, match="bidirectional LSTMClassifier needs the last time step"):
        SequenceStream(model)


def test_other_estimators_are_refused(rng):
    X, y = problem(rng)
    pipeline = make_pipeline(SequenceScaler(), LSTMRegressor(4, **QUICK)).fit(list(X), y)
    with pytest.raises(TypeError, match=r"expected a fitted LSTMClassifier .* got StandardScaler"):
        SequenceStream(StandardScaler())
    with pytest.raises(NotFittedError):
        SequenceStream(LSTMClassifier())
    with pytest.raises(ValueError, match="n_streams: expected a positive integer, got 0"):
        SequenceStream(pipeline[-1], 0)
    with pytest.raises(AttributeError, match="expected a classifier, got LSTMRegressor"):
        SequenceStream(pipeline[-1]).step_proba([1.0, 2.0])


class Number(float):
    """A subclass of float."""


#: One step of two features, of which some are read by a fast path.
STEPS = {
    "array": lambda x: np.array([x]),
    "float32": lambda x: np.array([x], np.float32),
    "half precision": lambda x: np.array([x], np.float16),
    "other byte order": lambda x: np.array([x], ">f8"),
    "1-D": np.array,
    "column": lambda x: np.array(x)[:, None],
    "not contiguous": lambda x: np.array([x, x]).T[:, 0],
    "read-only": lambda x: np.frombuffer(np.array(x).tobytes()),
    "list": list,
    "row in a list": lambda x: [x],
    "tuple": tuple,
    "list of numbers of NumPy": lambda x: list(np.array(x)),
    "list of a subclass": lambda x: [Number(value) for value in x],
    "integers": lambda x: [round(value) for value in x if np.isfinite(value)],
    "mixed": lambda x: [x[0], 1],
    "mixed row": lambda x: [[x[0], 1]],
    "text": lambda x: [str(value) for value in x],
    "missing": lambda x: [x[0], None],
    "too short": lambda x: x[:1],
    "too short row": lambda x: [x[:1]],
    "two rows": lambda x: [x, x],
    "ragged rows": lambda x: [x, x[:1]],
    "row of rows": lambda x: [[x]],
    "empty": lambda x: [],
    "empty row": lambda x: [[]],
    "masked": lambda x: np.ma.masked_array([x]),
    "list of masked": lambda x: [np.ma.masked_array(x)],
    "mapping": lambda x: {"a": x[0], "b": x[1]},
    "frame": lambda x: pd.DataFrame([x]),
}
VALUES = {
    "usual": [0.5, -1.25], "NaN": [0.5, np.nan], "infinity": [np.inf, 1.0],
    "too large": [1.0, 1e30], "infinite in float32": [1.0, 1e200],
    "infinite after scaling": [1.7e308, -1.7e308],
}  # fmt: skip


@pytest.mark.parametrize("n_streams", [1, 2])
@pytest.mark.parametrize("scale_inputs", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_fast_path_gives_the_same_steps_errors_and_warnings(
    dtype, scale_inputs, n_streams, rng, monkeypatch
):
    X = rng.normal(size=(20, 4, 2))
    settings = {"scale_inputs": scale_inputs, "dtype": dtype, "max_iter": 1, "random_state": 0}
    with warnings.catch_warnings(action="ignore"):  # it learns nothing in one epoch
        model = LSTMRegressor(3, **settings).fit(X, X[:, 0, 0])
    stream = SequenceStream(model, n_streams)

    def outcomes():
        found = {}
        for (kind, make), (name, values) in product(STEPS.items(), VALUES.items()):
            stream.reset()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    result = stream.step(make(values)).tolist()
                except Exception as error:
                    result = type(error), str(error)
            found[kind, name] = result, [str(warning.message) for warning in caught]
        return found

    found = outcomes()
    monkeypatch.setattr(_stream, "read_floats", lambda *arguments: (None, None))
    expected = outcomes()
    differing = [key for key in expected if str(found[key]) != str(expected[key])]
    assert not differing
