"""Malformed inputs to all public functions: each raises an error that names the argument.

An input is a value for one argument of a function whose other arguments are right. No input may be
accepted, give another error than ValueError or TypeError, warn, or change a fitted object.
"""

import pickle
import re
from functools import cache, partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from data import objects
from scipy.sparse import csr_array, csr_matrix
from sklearn.preprocessing import StandardScaler

import sklstm
from sklstm import (
    LSTMClassifier,
    LSTMRegressor,
    functional,
    inspection,
    metrics,
    preprocessing,
    sequences,
)
from sklstm.streaming import SequenceStream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": 3, "max_iter": 1, "random_state": 0}
VALUES = np.random.default_rng(0).normal(size=(6, 4, 2))
LENGTHS = [4, 2, 3, 4, 1, 4]
RAGGED = [x[:length] for x, length in zip(VALUES, LENGTHS, strict=True)]
LABELS = np.array([0, 1, 0, 1, 0, 1])
NUMBERS = VALUES[:, 0, 0].copy()
STEPS = [x[:, 0] for x in RAGGED]
STEP_LABELS = [(x[:, 0] > 0).astype(int) for x in RAGGED]


def deep(depth):
    nested = [1.0]
    for _ in range(depth):
        nested = [nested]
    return nested


def containing_itself():
    nested = [[1.0]]
    nested.append(nested)
    return nested


def put(value, k=3):
    """The sequences with another one at position k."""
    return [*RAGGED[:k], value, *RAGGED[k + 1 :]]


FRAME = pd.DataFrame(VALUES[:, :, 0], columns=list("abcd"))

#: Objects that are refused wherever an array or a list is expected.
NO_ARRAYS = {
    "masked": lambda: np.ma.masked_array(VALUES, VALUES > 0),
    "masked 2-D": lambda: np.ma.masked_array(VALUES[:, :, 0]),
    "sparse matrix": lambda: csr_matrix(VALUES[:, :, 0]),
    "sparse array": lambda: csr_array(VALUES[:, :, 0]),
    "complex": lambda: VALUES * 1j,
    "generator": lambda: (x for x in RAGGED),
    "iterator": lambda: iter(RAGGED),
    "map": lambda: map(np.asarray, RAGGED),
    "dict": lambda: dict(enumerate(RAGGED)),
    "dict of lists": lambda: {"a": [1.0, 2.0]},
    "keys of a dict": lambda: {1.0: 0, 2.0: 1}.keys(),
    "set": lambda: {1.0, 2.0},
    "groups of pandas": lambda: FRAME.groupby("a"),
    "groups of polars": lambda: pl.DataFrame({"a": [1.0, 2.0]}).group_by("a"),
    "text": lambda: "text",
    "bytes": lambda: b"text",
    "object": object,
    "function": lambda: len,
    "class": lambda: dict,
    "number": lambda: 3,
    "deep": lambda: deep(40),
    "very deep": lambda: deep(2000),
    "a list that contains itself": containing_itself,
}

#: Values that are refused where numbers are expected.
NO_NUMBERS = {
    "dates": lambda: VALUES.astype("M8[s]"),
    "time spans": lambda: VALUES[:, :, 0].astype("m8[s]"),
    "dates as objects": lambda: objects([np.datetime64("2020-01-01")] * 8).reshape(2, 4),
    "texts": lambda: ["a b", "c d"],
    "text numbers": lambda: VALUES[:, :, 0].astype(str),
    "objects of text": lambda: VALUES[:, :, 0].astype(str).astype(object),
    "bytes numbers": lambda: VALUES[:, :, 0].astype("S"),
    "huge integers": lambda: [[10**400, 1], [2, 3]],
    "records": lambda: np.zeros((3, 2), dtype=[("a", float), ("b", float)]),
    "a column of texts": lambda: FRAME.assign(t=list("uvwxyz")),
    "a column of dates": lambda: FRAME.assign(t=pd.date_range("2020", periods=6)),
    "categories of texts": lambda: FRAME.assign(t=pd.Categorical(list("uvuvuv"))),
    "polars texts": lambda: pl.DataFrame({"a": ["x", "y"]}),
    "polars dates": lambda: pl.DataFrame({"a": pd.date_range("2020", periods=3).to_numpy()}),
    "no sequences": list,
    "no samples": lambda: np.zeros((0, 4, 2)),
    "no steps": lambda: np.zeros((3, 0, 2)),
    "4-D": lambda: VALUES[None],
    "nested columns": lambda: pd.DataFrame({"a": RAGGED, "b": RAGGED}),
    "dicts in a list": lambda: [{"a": 1.0}, {"a": 2.0}],
    "sets in a list": lambda: [{1.0}, {2.0}],
}

#: Sequences that are refused as the fourth of a list; the error names ``X[3]``.
NO_SEQUENCES = {
    "masked": lambda: np.ma.masked_array(VALUES[0]),
    "generator": lambda: (x for x in VALUES[0]),
    "dict": lambda: {"a": [1.0]},
    "text": lambda: "text",
    "texts": lambda: np.array([["a", "b"]]),
    "dates": lambda: VALUES[0].astype("M8[s]"),
    "time spans": lambda: VALUES[0].astype("m8[s]"),
    "complex": lambda: VALUES[0] * 1j,
    "sparse": lambda: csr_array(VALUES[0]),
    "empty": lambda: np.zeros((0, 2)),
    "no channels": lambda: np.zeros((3, 0)),
    "3-D": lambda: VALUES[:1],
    "ragged rows": lambda: [[1.0, 2.0], [3.0]],
    "deep": lambda: deep(40),
    "number": lambda: 3.0,
    "None": lambda: None,
    "huge integers": lambda: [[10**400, 1]],
    "a column of texts": lambda: pd.DataFrame({"a": [1.0], "b": ["x"]}),
    "more channels": lambda: np.zeros((3, 3)),
}


@cache
def fitted(name):
    """A fitted object by its name; no test changes it."""
    steps = {"return_sequences": True}
    made = {
        "classifier": lambda: LSTMClassifier(**SMALL).fit(RAGGED, LABELS),
        "regressor": lambda: LSTMRegressor(**SMALL).fit(RAGGED, NUMBERS),
        "steps": lambda: LSTMRegressor(**SMALL, **steps).fit(RAGGED, STEPS),
        "stream": lambda: SequenceStream(fitted("regressor"), 2),
        "scaler": lambda: preprocessing.SequenceScaler().fit(RAGGED),
        "imputer": lambda: preprocessing.SequenceImputer().fit(RAGGED),
        "differences": lambda: preprocessing.SequenceDifferences().fit(RAGGED),
        "convolutions": lambda: preprocessing.RandomConvolutions(2).fit(RAGGED),
        "windows": lambda: preprocessing.SlidingWindow().fit(RAGGED),
        "table": lambda: preprocessing.ToSequences(2).fit(RAGGED),
        "steps transformer": lambda: preprocessing.StepTransformer(StandardScaler()).fit(RAGGED),
        "window scaler": lambda: preprocessing.WindowScaledRegressor(LSTMRegressor(**SMALL)).fit(
            VALUES, VALUES[:, 0]
        ),
        "encoder": lambda: preprocessing.TokenEncoder().fit(["a b", "c"]),
    }
    return made[name]()


ESTIMATORS = ("classifier", "regressor")
TRANSFORMERS = ("scaler", "imputer", "differences", "windows", "table")


def method(name, attribute, *arguments):
    """A function that calls a method of a fitted object, and the name of that object."""
    return lambda X: getattr(fitted(name), attribute)(X, *arguments), name


#: Functions of X that read numbers, and the fitted object that they must not change.
READERS = {
    **{f"{e}.{m}": method(e, m) for e in ESTIMATORS for m in ("predict", "hidden_states")},
    **{f"{e}.score": method(e, "score", NUMBERS > 0) for e in ("classifier",)},
    "classifier.predict_proba": method("classifier", "predict_proba"),
    "regressor.input_gradients": method("regressor", "input_gradients"),
    "classifier.fit": method("classifier", "fit", LABELS),
    "regressor.fit": method("regressor", "fit", NUMBERS),
    "classifier.partial_fit": method("classifier", "partial_fit", LABELS),
    "steps.fit": method("steps", "fit", STEPS),
    "steps.predict": method("steps", "predict"),
    **{f"{t}.{m}": method(t, m) for t in TRANSFORMERS for m in ("fit", "transform")},
    **{
        f"inspection.{f.__name__}": (lambda X, f=f: f(fitted("regressor"), X), "regressor")
        for f in (
            inspection.input_gradients,
            inspection.integrated_gradients,
            inspection.lstm_states,
        )
    },
    "inspection.permutation_importance": (
        lambda X: inspection.permutation_importance(fitted("regressor"), X, NUMBERS, n_repeats=1),
        "regressor",
    ),
    "window scaler.fit": method("window scaler", "fit", VALUES[:, 0]),
    "window scaler.predict": method("window scaler", "predict"),
    "check_sequences": (sequences.check_sequences, None),
    "to_nan_padded": (sequences.to_nan_padded, None),
}

#: Functions of X that keep values of any dtype, such as labels and dates.
CARRIERS = {
    "to_concatenated": sequences.to_concatenated,
    "to_channels_first": sequences.to_channels_first,
    "from_channels_first": sequences.from_channels_first,
    "from_nan_padded": sequences.from_nan_padded,
    "to_long_frame": lambda X: sequences.to_long_frame(X, dict),
    **{f"steps.{name}": method("steps transformer", name)[0] for name in ("fit", "transform")},
    "to_nested_frame": lambda X: sequences.to_nested_frame(X, pd.DataFrame),
}


def targets(name, X=RAGGED):
    return lambda y: fitted(name).fit(X, y), name


def weights(name):
    y = LABELS if name == "classifier" else NUMBERS
    return lambda sample_weight: fitted(name).fit(RAGGED, y, sample_weight), name


def parameter(name, **constants):
    return lambda value: LSTMClassifier(**SMALL | constants | {name: value}).fit(RAGGED, LABELS)


NO_TARGETS = {
    "no argument": lambda: None,
    "too few": lambda: LABELS[:5],
    "too many": lambda: np.zeros(7),
    "no columns": lambda: np.zeros((6, 0)),
    "of each step": lambda: STEPS,
    "of each step, nested": lambda: [x.tolist() for x in STEPS],
    "of each step, objects": lambda: objects(STEPS),
    "NaN": lambda: np.full(6, np.nan),
    "NaT": lambda: np.array(["NaT", "2020"] * 3, "M8[s]"),
    "number": lambda: 1.5,
    "complex": lambda: NUMBERS * 1j,
}
NO_REAL_TARGETS = {
    "infinity": lambda: np.full(6, np.inf),
    "texts": lambda: list("abcabc"),
    "text numbers": lambda: NUMBERS.astype(str),
    "dates": lambda: NUMBERS.astype("M8[s]"),
    "time spans": lambda: NUMBERS.astype("m8[s]"),
    "huge integers": lambda: [10**400] * 6,
}
NO_STEP_TARGETS = {
    "one for each sequence": lambda: NUMBERS,
    "too few": lambda: STEPS[:5],
    "other lengths": lambda: [np.zeros(4)] * 6,
    "no columns": lambda: [np.zeros((k, 0)) for k in LENGTHS],
    "all unknown": lambda: [np.full(k, np.nan) for k in LENGTHS],
    "texts": lambda: [["a"] * k for k in LENGTHS],
    "dates": lambda: [np.zeros(k, "M8[s]") for k in LENGTHS],
    "infinity": lambda: [np.full(k, np.inf) for k in LENGTHS],
}
NO_WEIGHTS = {
    "negative": lambda: -np.ones(6),
    "NaN": lambda: np.full(6, np.nan),
    "infinity": lambda: np.full(6, np.inf),
    "zero": lambda: np.zeros(6),
    "too few": lambda: np.ones(5),
    "2-D": lambda: np.ones((6, 1)),
    "text": lambda: "balanced",
    "texts": lambda: list("aaaaaa"),
    "dates": lambda: np.ones(6).astype("M8[s]"),
    "huge integers": lambda: [10**400] * 6,
    "complex": lambda: np.ones(6) * 1j,
}
NO_STEPS = {
    "too few": lambda: np.zeros(3),
    "too many streams": lambda: np.zeros((3, 2)),
    "3-D": lambda: np.zeros((1, 2, 2)),
    "NaN": lambda: np.full((2, 2), np.nan),
    "infinity": lambda: np.full((2, 2), np.inf),
    "texts": lambda: [["a", "b"], ["c", "d"]],
    "text numbers": lambda: [["1", "2"], ["3", "4"]],
    "dates": lambda: np.zeros((2, 2), "M8[s]"),
    "time spans": lambda: np.zeros((2, 2), "m8[s]"),
    "ragged": lambda: [[1.0, 2.0], [3.0]],
    "huge integers": lambda: [[10**400, 1], [1, 1]],
    "empty": list,
    "None": lambda: None,
}
NO_PARAMETERS = {
    "learning_rate": [0.01, "fast", None],
    "class_weight": [{0: "a"}, {0: -1.0}, {0: np.nan}, "equal", 3],
    "hidden_layer_sizes": [0, -1, 2.5, (), (3, 0), "large", None],
    "pooling": ["median", None, 1],
    "batch_size": [0, 1.5, "all"],
    "max_iter": [0, "many", 1.5],
    "dropout": [1.0, -0.1, "a", np.nan],
    "solver": ["newton", None],
    "dtype": ["float16", int],
    "n_jobs": [0, "all", 1.5],
    "vocabulary_size": [0, 1.5, "all"],
    "random_state": ["seed", -1],
    "tol": [-1.0, "small"],
    "alpha": [-1, "a", np.nan, 10**400],
    "embedding_size": [0, 10**400],
}
STEP_METRICS = (
    "accuracy_score", "balanced_accuracy_score", "f1_score", "mean_squared_error",
    "mean_absolute_error", "r2_score", "flatten_steps",
)  # fmt: skip
WEIGHTS = {"weight_ih": np.zeros((2, 12)), "weight_hh": np.zeros((3, 12)), "bias": np.zeros(12)}


def without(name):
    return {key: value for key, value in WEIGHTS.items() if key != name}


def always(value):
    return lambda: value


def cases():
    """Yield the name of the case, the function, the fitted object, the value, and the argument."""
    yield from cases_of_sequences()
    yield from cases_of_targets()
    yield from cases_of_streams()
    yield from cases_of_parameters()
    yield from cases_of_arguments()
    yield from cases_of_metrics()
    yield from cases_of_converters()
    yield from cases_of_functional()


# What is called with a malformed value.


def put_made(make):
    return put(make())


def make_streams(n_streams):
    return SequenceStream(fitted("regressor"), n_streams)


def set_kernels(kernels):
    sklstm.set_config(kernels=kernels)


def gradients_of(name, target):
    return fitted(name).input_gradients(RAGGED, target)


def continue_with(classes):
    return fitted("classifier").partial_fit(RAGGED, LABELS, classes)


def weigh(metric, weights):
    return metric(STEP_LABELS, STEP_LABELS, sample_weight=weights)


def windows_of(series):
    return sequences.make_windows(series, 2)


def forward_with(name, value):
    return functional.lstm_forward(VALUES, {**WEIGHTS, name: value})


def cases_of_sequences():
    for reader, (function, name) in READERS.items():
        for value, make in {**NO_ARRAYS, **NO_NUMBERS}.items():
            yield f"{reader}(X: {value})", function, name, make, "X"
        for value, make in NO_SEQUENCES.items():
            yield f"{reader}(X[3]: {value})", function, name, partial(put_made, make), r"X\[3\]"
    for carrier, function in CARRIERS.items():
        for value, make in NO_ARRAYS.items():
            yield f"{carrier}(X: {value})", function, None, make, "X"


def cases_of_targets():
    malformed = {
        "classifier": {**NO_ARRAYS, **NO_TARGETS},
        "regressor": {**NO_ARRAYS, **NO_TARGETS, **NO_REAL_TARGETS},
        "steps": {**NO_ARRAYS, **NO_STEP_TARGETS},
    }
    for name, values in malformed.items():
        for value, make in values.items():
            yield f"{name}.fit(y: {value})", targets(name)[0], name, make, "y"
    for name in ESTIMATORS:
        for value, make in {**NO_ARRAYS, **NO_WEIGHTS}.items():
            yield f"{name}.fit(weight: {value})", weights(name)[0], name, make, "sample_weight"


def cases_of_streams():
    for value, make in {**NO_ARRAYS, **NO_STEPS}.items():
        yield f"step({value})", lambda X_t: fitted("stream").step(X_t), "stream", make, "X_t"
    for value in ("a", 0, -1, 1.5, None, [1]):
        yield f"n_streams={value!r}", make_streams, None, always(value), "n_streams"
    for value in (None, 3, LSTMRegressor, "text"):
        yield f"stream of {value!r}", SequenceStream, None, always(value), "estimator"


def cases_of_parameters():
    for name, values in NO_PARAMETERS.items():
        for value in values:
            yield f"{name}={value!r}", parameter(name), None, always(value), name
    for value in ("fast", 1, ["numpy"], True):
        yield f"kernels={value!r}", set_kernels, None, always(value), "kernels"


def cases_of_arguments():
    for name in ESTIMATORS:
        function = partial(gradients_of, name)
        for value in (np.arange(2), [0, 1], "a", 7, object()):
            kind = type(value).__name__
            yield f"{name}: target of {kind}", function, name, always(value), "target"
    dates = np.array([0, 1], "M8[s]")
    masked = np.ma.masked_array([0, 1])
    wrong = ([0, 2], [0], "ab", [[0, 1]], [0, 1, np.nan], [0, 1, None], {0, 1}, [1j, 0])
    for value in (*wrong, dates, masked, range(2), iter([0, 1]), np.array(["NaT"], "M8[s]")):
        name = f"classes={type(value).__name__}: {value!r:.20}"
        yield name, continue_with, "classifier", always(value), "classes"
    for value in ("text", [["a"], [1]], ["a", 3], ["", "a"], [], 3, {"a": 1}, {"a"}, None):
        for name in ("fit", "transform"):
            function, _ = method("encoder", name)
            yield f"encoder.{name}({value!r})", function, "encoder", always(value), "X"


def cases_of_metrics():
    for name in STEP_METRICS:
        metric = getattr(metrics, name)
        for value, make in NO_ARRAYS.items():
            yield f"{name}(y_true: {value})", lambda y, m=metric: m(y, STEPS), None, make, "y_true"
            yield f"{name}(y_pred: {value})", partial(metric, STEPS), None, make, "y_pred"
        for value, make in NO_WEIGHTS.items():
            function = partial(weigh, metric)
            yield f"{name}(weight: {value})", function, None, make, "sample_weight"


def cases_of_converters():
    for value, make in NO_ARRAYS.items():
        yield f"make_windows({value})", windows_of, None, make, "series"
        yield f"from_concatenated({value})", sequences.from_concatenated, None, make, "X"
    wrapping = np.array([2**63, 2**63, 6], np.uint64)  # the sum of uint64 would be 6
    for value in (wrapping, [-1, 7], [1.5, 4.5], ["a"], [7], [], [[6]], 6, "6"):
        function = partial(sequences.from_concatenated, VALUES[:, 0])
        yield f"lengths={value!r}", function, None, always(value), "lengths"
    for value in (0, -1, 1.5, "a", None):
        function = partial(sequences.make_windows, VALUES[0])
        yield f"width={value!r}", function, None, always(value), "width"


def cases_of_functional():
    for name in WEIGHTS:
        function = partial(forward_with, name)
        for value in ("text", np.zeros((2, 2, 2)), WEIGHTS["bias"] * 1j, [[1], [1, 2]], None):
            kind = type(value).__name__
            yield f"lstm_forward({name}: {kind})", function, None, always(value), name
        function = partial(functional.lstm_forward, VALUES)
        yield f"lstm_forward without {name}", function, None, partial(without, name), name


CASES = list(cases())


def test_there_are_many_cases():
    assert len(CASES) >= 2000


@pytest.mark.parametrize(
    ("function", "name", "make", "argument"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_malformed_input_is_refused_by_name(function, name, make, argument):
    value = make()
    before = None if name is None else pickle.dumps(fitted(name))
    with pytest.raises((ValueError, TypeError)) as caught:
        function(value)
    message = str(caught.value)
    assert re.search(rf"(?<![\w]){argument}(?![\w])", message), message
    assert name is None or pickle.dumps(fitted(name)) == before
