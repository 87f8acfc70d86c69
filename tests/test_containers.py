"""Every container on every method: the results are those of a list of arrays, or it is refused."""

from functools import cache

import numpy as np
import pytest
from containers import COLLECTIONS, ELEMENTS, REFUSED_COLLECTIONS, REFUSED_ELEMENTS

from sklstm import LSTMClassifier, LSTMRegressor, sequences
from sklstm.preprocessing import SequenceScaler
from sklstm.streaming import SequenceStream

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:X(_t)? (has|does not have valid) feature names"),
]

SMALL = {"hidden_layer_sizes": 3, "max_iter": 2, "random_state": 0}
VALUES = np.random.default_rng(0).integers(-3, 4, (6, 4, 2)).astype(np.float64)
LENGTHS = [4, 2, 3, 4, 1, 4]
RAGGED = [x[:length] for x, length in zip(VALUES, LENGTHS, strict=True)]
TABLE = VALUES[:, :, 0]
LABELS = np.array([0, 1, 0, 1, 0, 1])
NUMBERS = np.array([0.0, 2.0, -1.0, 1.0, 3.0, 2.0])
STEPS = [x[:, 0] for x in RAGGED]


@cache
def fitted(kind, table=False):
    """A fitted object; no test changes it."""
    X = TABLE if table else RAGGED
    if kind == "scaler":
        return SequenceScaler().fit(X)
    if kind == "classifier":
        return LSTMClassifier(**SMALL).fit(X, LABELS)
    return LSTMRegressor(**SMALL).fit(X, NUMBERS)


def fit(X, table):
    return LSTMRegressor(**SMALL).fit(X, NUMBERS).predict(TABLE if table else RAGGED)


def partial_fit(X, table):
    estimator = LSTMClassifier(**SMALL).partial_fit(X, LABELS, classes=[0, 1])
    estimator.partial_fit(X, LABELS)
    return estimator.predict_proba(TABLE if table else RAGGED)


def fit_validated(X, table):
    known = TABLE if table else RAGGED
    estimator = LSTMRegressor(**SMALL).fit(known, NUMBERS, X_val=X, y_val=NUMBERS)
    return np.array(estimator.validation_scores_)


#: Methods of X, which is a list of sequences, or a table with a univariate series in each row.
METHODS = {
    "fit": fit,
    "fit(X_val)": fit_validated,
    "partial_fit": partial_fit,
    "predict": lambda X, table: fitted("regressor", table).predict(X),
    "predict_proba": lambda X, table: fitted("classifier", table).predict_proba(X),
    "score": lambda X, table: fitted("regressor", table).score(X, NUMBERS),
    "hidden_states": lambda X, table: fitted("regressor", table).hidden_states(X),
    "input_gradients": lambda X, table: fitted("regressor", table).input_gradients(X),
    "scaler.fit": lambda X, table: SequenceScaler().fit(X).transform(TABLE if table else RAGGED),
    "transform": lambda X, table: np.concatenate(list(fitted("scaler", table).transform(X))),
    "check_sequences": lambda X, table: sequences.check_sequences(X).values,
    "to_nan_padded": lambda X, table: sequences.to_nan_padded(X),
}
#: Converters that carry values of any dtype.
CARRIERS = {
    "to_concatenated": sequences.to_concatenated,
    "to_channels_first": sequences.to_channels_first,
    "to_long_frame": lambda X: list(sequences.to_long_frame(X, dict).values()),
}
#: Functions of one array (n, k).
OF_ONE = {
    "step": lambda x: SequenceStream(fitted("regressor"), 2).step(x),
    "step_proba": lambda x: SequenceStream(fitted("classifier"), 2).step_proba(x),
    "make_windows": lambda x: sequences.make_windows(x, 1),
}


def assert_same(result, expected, precise=True):
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if precise else {"rtol": 1e-3, "atol": 1e-3}
    if isinstance(expected, list | tuple):
        assert len(result) == len(expected)
        for one, other in zip(result, expected, strict=True):
            assert_same(one, other, precise)
    else:
        assert np.shape(result) == np.shape(expected)
        result = np.asarray(result)
        np.testing.assert_allclose(result.astype(float), np.asarray(expected, float), **tolerance)


def is_precise(form):
    return not any(name in form for name in ("float32", "float16"))


def refuses(function, value, name):
    """Assert that the function refuses the value with an error that names the argument."""
    with pytest.raises((ValueError, TypeError), match=rf"(?<!\w){name}(?!\w)"):
        function(value)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ELEMENTS)
class TestElements:
    def test_a_list_of_them_is_a_list_of_arrays(self, form, method):
        X = [ELEMENTS[form](x) for x in RAGGED]
        function = METHODS[method]
        assert_same(function(X, False), function(RAGGED, False), is_precise(form))

    def test_one_of_them_is_a_table(self, form, method):
        function = METHODS[method]
        assert_same(function(ELEMENTS[form](TABLE), True), function(TABLE, True), is_precise(form))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", COLLECTIONS)
def test_a_collection_is_a_list_of_arrays(form, method):
    function = METHODS[method]
    assert_same(function(COLLECTIONS[form](RAGGED), False), function(RAGGED, False))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", REFUSED_ELEMENTS)
def test_no_method_takes_other_elements(form, method):
    make, function = REFUSED_ELEMENTS[form], METHODS[method]
    refuses(lambda X: function(X, False), [*RAGGED[:3], make(RAGGED[3]), *RAGGED[4:]], r"X\[3\]")
    refuses(lambda X: function(X, True), make(TABLE), "X")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", REFUSED_COLLECTIONS)
def test_no_method_takes_other_collections(form, method):
    refuses(lambda X: METHODS[method](X, False), REFUSED_COLLECTIONS[form](RAGGED), "X")


@pytest.mark.parametrize("function", CARRIERS.values(), ids=CARRIERS)
def test_converters_read_every_container(function):
    for form, make in ELEMENTS.items():
        assert_same(function([make(x) for x in RAGGED]), function(RAGGED), is_precise(form))
    for make in COLLECTIONS.values():
        assert_same(function(make(RAGGED)), function(RAGGED))
    for make in REFUSED_COLLECTIONS.values():
        refuses(function, make(RAGGED), "X")


@pytest.mark.parametrize("function", OF_ONE.values(), ids=OF_ONE)
def test_functions_of_one_array_read_every_container(function):
    x = VALUES[0, :2]
    for form, make in ELEMENTS.items():
        assert_same(function(make(x)), function(x), is_precise(form))
    for make in REFUSED_ELEMENTS.values():
        refuses(function, make(x), "(X_t|series)")
