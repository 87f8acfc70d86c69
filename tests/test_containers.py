"""Every container on every method: the results are those of a list of arrays, or it is refused."""

from functools import cache

import numpy as np
import pytest
from containers import (
    COLLECTIONS,
    COLUMNS,
    ELEMENTS,
    NO_NUMBERS,
    REFUSED_COLLECTIONS,
    REFUSED_COLUMNS,
    REFUSED_ELEMENTS,
)

from sklstm import LSTMClassifier, LSTMRegressor, metrics, sequences
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
OTHER_STEPS = [y**2 for y in STEPS]


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


# --- targets and weights ---


def regressor(y=NUMBERS, sample_weight=None, **options):
    estimator = LSTMRegressor(**SMALL).fit(RAGGED, y, sample_weight, **options)
    return [estimator.predict(RAGGED), estimator.validation_scores_ or []]


def partial_fit_numbers(y):
    return LSTMRegressor(**SMALL).partial_fit(RAGGED, y).predict(RAGGED)


def classifier(y, sample_weight=None):
    estimator = LSTMClassifier(**SMALL).fit(RAGGED, y, sample_weight)
    estimator.partial_fit(RAGGED, y, sample_weight=sample_weight)
    return estimator.predict_proba(RAGGED)


#: Functions of one number for each sample, and the argument.
OF_NUMBERS = {
    "fit(y)": (regressor, "y"),
    "fit(y_val)": (lambda y: regressor(X_val=RAGGED, y_val=y), "y"),
    "score(y)": (lambda y: fitted("regressor").score(RAGGED, y), "y"),
    "partial_fit(y)": (
        lambda y: LSTMRegressor(**SMALL).partial_fit(RAGGED, y).predict(RAGGED),
        "y",
    ),
}
OF_WEIGHTS = {
    "fit(weight)": (lambda w: regressor(NUMBERS, w), "sample_weight"),
    "score(weight)": (lambda w: fitted("regressor").score(RAGGED, NUMBERS, w), "sample_weight"),
    "classifier.score(weight)": (
        lambda w: fitted("classifier").score(RAGGED, LABELS, w),
        "sample_weight",
    ),
    "metric(weight)": (
        lambda w: metrics.mean_squared_error(STEPS, OTHER_STEPS, sample_weight=w),
        "sample_weight",
    ),
}
OF_LABELS = {
    "classifier.fit(y)": (classifier, "y"),
    "classifier.score(y)": (lambda y: fitted("classifier").score(RAGGED, y), "y"),
}


@pytest.mark.parametrize("form", COLUMNS)
@pytest.mark.parametrize("name", [*OF_NUMBERS, *OF_WEIGHTS, *OF_LABELS])
def test_one_value_for_each_sample(name, form):
    function, _ = {**OF_NUMBERS, **OF_WEIGHTS, **OF_LABELS}[name]
    known = NUMBERS if name in OF_NUMBERS else LABELS.astype(float)
    precise = form not in ("float16",)
    assert_same(function(COLUMNS[form](known)), function(known), precise)


@pytest.mark.parametrize("form", [*REFUSED_COLUMNS, *NO_NUMBERS])
@pytest.mark.parametrize("name", [*OF_NUMBERS, *OF_WEIGHTS])
def test_no_other_values_are_numbers(name, form):
    function, argument = {**OF_NUMBERS, **OF_WEIGHTS}[name]
    refuses(function, {**REFUSED_COLUMNS, **NO_NUMBERS}[form](LABELS.astype(float)), argument)


@pytest.mark.parametrize("form", REFUSED_COLUMNS)
@pytest.mark.parametrize("name", OF_LABELS)
def test_no_other_values_are_labels(name, form):
    function, argument = OF_LABELS[name]
    refuses(function, REFUSED_COLUMNS[form](LABELS.astype(float)), argument)


# --- targets and weights of time steps ---


@cache
def fitted_steps():
    return LSTMRegressor(**SMALL, return_sequences=True).fit(RAGGED, STEPS)


def fit_steps(y, sample_weight=None):
    estimator = LSTMRegressor(**SMALL, return_sequences=True)
    return list(estimator.fit(RAGGED, y, sample_weight).predict(RAGGED))


#: Functions of values of time steps, and the argument.
OF_STEPS = {
    "fit(y)": (fit_steps, "y"),
    "fit(weight)": (lambda w: fit_steps(STEPS, w), "sample_weight"),
    "score(y)": (lambda y: fitted_steps().score(RAGGED, y), "y"),
    "score(weight)": (lambda w: fitted_steps().score(RAGGED, STEPS, w), "sample_weight"),
    "y_true": (lambda y: metrics.mean_squared_error(y, OTHER_STEPS), "y_true"),
    "y_pred": (lambda y: metrics.mean_squared_error(OTHER_STEPS, y), "y_pred"),
    "metric(weight)": (
        lambda w: metrics.mean_squared_error(STEPS, OTHER_STEPS, sample_weight=w),
        "sample_weight",
    ),
}


@pytest.mark.parametrize("name", OF_STEPS)
def test_values_of_time_steps(name):
    function, _ = OF_STEPS[name]
    known = [np.abs(y) for y in STEPS]
    for make in COLLECTIONS.values():
        assert_same(function(make(known)), function(known))
    for form, make in COLUMNS.items():
        result = function([make(y) for y in known])
        assert_same(result, function(known), form != "float16")


@pytest.mark.parametrize("name", OF_STEPS)
def test_no_other_values_of_time_steps(name):
    function, argument = OF_STEPS[name]
    for make in REFUSED_COLLECTIONS.values():
        refuses(function, make(STEPS), argument)
    unknown = "nullable with a missing one"  # a missing target is an unknown step
    for form, make in {**REFUSED_COLUMNS, **NO_NUMBERS}.items():
        if form in REFUSED_COLUMNS or ("y_" not in name and form != unknown):
            wrong = make(np.abs(STEPS[3]))
            refuses(function, [*STEPS[:3], wrong, *STEPS[4:]], argument)
