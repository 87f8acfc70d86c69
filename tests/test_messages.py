"""Messages for what is often handed in by mistake: what was expected, what came, and what to do."""

import warnings

import numpy as np
import pandas as pd
import pytest
from data import objects
from scipy.sparse import csr_array
from sklearn.exceptions import DataConversionWarning

from sklstm import LSTMClassifier, LSTMRegressor, metrics, sequences
from sklstm.streaming import SequenceStream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": 3, "max_iter": 1, "random_state": 0}
LENGTHS = [4, 2, 3, 4, 1, 4]
X = [np.random.default_rng(k).normal(size=(length, 2)) for k, length in enumerate(LENGTHS)]
LABELS = np.array([0, 1, 0, 1, 0, 1])
NUMBERS = np.array([0.0, 2.0, -1.0, 1.0, 3.0, 2.0])
STEPS = [x[:, 0] for x in X]
FRAME = pd.DataFrame({"a": [1.0, 2.0], "name": ["x", "y"]})


def classifier(**options):
    return LSTMClassifier(**SMALL | options)


@pytest.fixture(scope="module")
def reg():
    return LSTMRegressor(**SMALL).fit(X, NUMBERS)


def nested(depth):
    values = [1.0]
    for _ in range(depth):
        values = [values]
    return values


def containing_itself():
    values = [[1.0]]
    values.append(values)
    return values


FORMS = "expected a 2-D array .*, a 3-D array .* or a list of arrays"

#: What is predicted for, and the message.
OF_X = {
    "generator": (lambda: (x for x in X), rf"^X: {FORMS}.*type generator; .*list\(X\)"),
    "groups": (lambda: FRAME.groupby("name"), r"^X: .*GroupBy; .*\[group for _, group in X\]"),
    "nested frame": (
        lambda: pd.DataFrame({"a": STEPS, "b": STEPS}),
        r"^X: expected one column of sequences, .* 2 columns; .*from_nested_frame",
    ),
    "empty list": (list, "^X: expected at least one sequence, got none"),
    "1-D": (lambda: np.zeros(5), r"^X: .*got 1D array .*\(5,\).*\[x\]"),
    "1-D list": (lambda: [1.0, 2.0], r"^X: .*got 1D array .*\(2,\).*\[x\]"),
    "one sequence": (lambda: X[0], r"2 features; .*got a 2-D array.*single sequence .*\[X\]$"),
    "texts": (lambda: ["a b", "c"], r"^X\[0\]: .*'a b'; .*TokenEncoder and set vocabulary_size"),
    "tokens": (
        lambda: [["a", "b"], ["c"]],
        r"^X\[0\]: .*'a'; .*TokenEncoder and set vocabulary_size",
    ),
    "one text": (lambda: "a b", "^X: .*got 'a b'; .*TokenEncoder and set vocabulary_size"),
    "text column": (lambda: FRAME, "^X, column 'name', row 0: .*'x'"),
    "text column of a sample": (lambda: [X[0], FRAME], r"^X\[1\]: .* column 'name', row 0: .*'x'"),
    "huge": (lambda: [[[1, 2]], [[3, 10**400]]], r"^X\[1\]: .*int too large"),
    "huge, ragged": (lambda: [X[0], [[10**400, 1]]], r"^X\[1\]: .*int too large"),
    "deep": (lambda: [X[0], nested(5000)], r"^X\[1\]: .*nested more than 8 deep"),
    "containing itself": (containing_itself, r"^X\[1\]: .*contains itself"),
    "masked": (lambda: [X[0], np.ma.masked_array(X[1])], r"^X\[1\]: .*X\[1\]\.filled\(np\.nan\)"),
    "dates": (lambda: [X[0].astype("M8[s]")], r"^X\[0\]: .*got dates .*convert them to numbers"),
    "complex": (lambda: [X[0], X[1] * 1j], r"^X\[1\]: .*Complex data not supported"),
}


@pytest.mark.parametrize(("make", "message"), OF_X.values(), ids=OF_X)
def test_messages_about_x(make, message, reg):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        reg.predict(make())


#: Other calls, and their messages.
CALLS = {
    "one sequence to fit": (
        lambda reg: LSTMRegressor(**SMALL).fit(X[0], [1.0]),
        r"^y: expected one target .*\[4, 1\]; .*put a single one into a list, \[X\]",
    ),
    "steps without return_sequences": (
        lambda reg: LSTMRegressor(**SMALL).fit(X, STEPS),
        "^y: expected one target for each sequence, got a list of arrays; .*return_sequences=True",
    ),
    "objects without return_sequences": (
        lambda reg: classifier().fit(X, objects([x > 0 for x in STEPS])),
        "^y: expected one target for each sequence, got a list of arrays; .*return_sequences=True",
    ),
    "equal steps without return_sequences": (
        lambda reg: classifier().fit([X[0]] * 4, [[0, 1, 2, 1]] * 4),
        r"^y: expected labels .*shape \(4, 4\): .*return_sequences=True",
    ),
    "target": (
        lambda reg: reg.input_gradients(X, target=np.array([0, 1])),
        r"^target: expected one output, 0 to 0, got array\(\[0, 1\]\)",
    ),
    "target of a classifier": (
        lambda reg: classifier().fit(X, LABELS).input_gradients(X, target=np.array([0, 1])),
        r"^target: expected one of \[0, 1\], got array\(\[0, 1\]\)",
    ),
    "classes": (
        lambda reg: classifier().partial_fit(X, LABELS, classes=[0, 2]),
        r"^y\[1\]: expected one of \[0, 2\], got 1; .*all labels in classes",
    ),
    "a missing class": (
        lambda reg: classifier().partial_fit(X, LABELS, classes=[0, 1, np.nan]),
        r"^classes\[2\]: expected a label, got nan",
    ),
    "classes of another kind": (
        lambda reg: classifier().partial_fit(X, LABELS, classes=np.array([0, 1], "M8[s]")),
        r"^y: expected labels among the classes .*got dtype int64",
    ),
    "a missing date": (
        lambda reg: classifier().fit(X, np.array(["2020", "NaT"] * 3, "M8[D]")),
        r"^y\[1\]: expected a label, got NaT",
    ),
    "learning_rate": (
        lambda reg: classifier(learning_rate=0.01).fit(X, LABELS),
        "'learning_rate' parameter .*Got 0.01 .*learning_rate_init=0.01",
    ),
    "class_weight": (
        lambda reg: classifier(class_weight={0: "a"}).fit(X, LABELS),
        r"^class_weight: expected numbers, got \{0: 'a'\}",
    ),
    "huge parameter": (
        lambda reg: classifier(alpha=10**400).fit(X, LABELS),
        "^alpha: expected a number of at most 1.8e.308, got an integer of 1329 bits",
    ),
    "huge target": (
        lambda reg: LSTMRegressor(**SMALL).fit(X, [0, 1, 10**400, 0, 1, 0]),
        r"^y\[2\]: .*int too large",
    ),
    "n_streams": (
        lambda reg: SequenceStream(reg, n_streams="a"),
        "^n_streams: expected a positive integer, got 'a'",
    ),
    "lengths": (
        lambda reg: sequences.from_concatenated(
            np.zeros(6), np.array([2**63, 2**63, 6], np.uint64)
        ),
        "^lengths: expected a sum of 6, the rows of X, got 18446744073709551622",
    ),
    "regular list": (
        lambda reg: (
            LSTMRegressor(**SMALL).fit([[1.0, 2.0]] * 2, [0.0, 1.0]).predict([[1.0], [2, 3]])
        ),
        "list of arrays; nested lists of equal lengths are read as a 2-D array",
    ),
}


@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS)
def test_messages_about_other_arguments(call, message, reg):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call(reg)


@pytest.mark.parametrize("name", ["mean_squared_error", "accuracy_score", "r2_score"])
def test_messages_about_sparse_input(name, reg):
    metric = getattr(metrics, name)
    with pytest.raises(TypeError, match=r"^y_true: Sparse data .*y_true\.toarray\(\)"):
        metric(csr_array(np.eye(3)), STEPS)
    with pytest.raises(TypeError, match=r"^y_pred: Sparse data .*y_pred\.toarray\(\)"):
        metric(STEPS, csr_array(np.eye(3)))
    with pytest.raises(TypeError, match=r"^X\[1\]: Sparse data .*X\[1\]\.toarray\(\)"):
        reg.predict([X[0], csr_array(X[1])])


COLUMNS = {
    "array": lambda y: y[:, None],
    "lists": lambda y: y[:, None].tolist(),
    "frame": lambda y: pd.DataFrame({"y": y}, index=range(10, 16)),
    "list of arrays": lambda y: list(y[:, None]),
    "objects": lambda y: y[:, None].astype(object),
}


@pytest.mark.parametrize("form", COLUMNS)
@pytest.mark.parametrize(
    ("estimator", "y"), [(LSTMRegressor, NUMBERS), (LSTMClassifier, LABELS)], ids=["reg", "clf"]
)
def test_a_column_vector_is_read_as_one_axis_with_one_warning(form, estimator, y):
    expected = estimator(**SMALL).fit(X, y).predict(X)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predicted = estimator(**SMALL).fit(X, COLUMNS[form](y)).predict(X)
    found = [w for w in caught if issubclass(w.category, DataConversionWarning)]
    assert len(found) == 1
    assert "column-vector y" in str(found[0].message)
    np.testing.assert_array_equal(predicted, expected)


def test_a_column_vector_warns_once_with_scorers_of_held_out_samples():
    model = LSTMRegressor(**SMALL, early_stopping=True, scoring="neg_mean_squared_error")
    with pytest.warns(DataConversionWarning) as caught:
        model.fit(X, np.array(NUMBERS)[:, None]).score(X, np.array(NUMBERS)[:, None])
    assert len([w for w in caught if w.category is DataConversionWarning]) == 1


def test_columns_of_steps_are_read_as_one_axis_with_one_warning():
    model = LSTMRegressor(**SMALL, return_sequences=True)
    expected = model.fit(X, STEPS).predict(X)
    with pytest.warns(DataConversionWarning, match="column-vector y") as caught:
        predicted = model.fit(X, [y[:, None] for y in STEPS]).predict(X)
    assert len([w for w in caught if w.category is DataConversionWarning]) == 1
    for steps, others in zip(predicted, expected, strict=True):
        np.testing.assert_array_equal(steps, others)
