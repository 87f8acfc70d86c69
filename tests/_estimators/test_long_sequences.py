"""Fit and predict within scikit-learn's working_memory."""

import tracemalloc

import numpy as np
import pytest
import sklearn
from data import assert_same_fit, padded, parameter_vector
from numerics import assert_close

from sklstm import LSTMClassifier, LSTMRegressor, config_context

TIGHT = 0.05  # MiB
MIB = 2**20


def ragged(rng, n=6, longest=400):
    lengths = [longest, *rng.integers(1, longest, n - 1)]
    return [rng.normal(size=(length, 2)) for length in lengths], rng.normal(size=n)


def fitted(X, y, memory, estimator=LSTMRegressor, **options):
    options = {"hidden_layer_sizes": 6, "max_iter": 2, "random_state": 0, **options}
    with sklearn.config_context(working_memory=memory):
        return estimator(**options).fit(X, y)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "last"},
        {"pooling": "mean_max", "hidden_layer_sizes": (6, 4)},
        {"pooling": "mean_max", "hidden_layer_sizes": (6, 4), "bidirectional": True},
        {"pooling": "max", "n_jobs": 2, "batch_size": 200},
    ],
    ids=["last", "stacked", "both ways", "shards"],
)
def test_a_fit_in_tight_memory_is_the_same(options, dropout, rng):
    n = 140 if "n_jobs" in options else 6
    X, y = ragged(rng, n, longest=60 if n > 6 else 400)
    options = {**options, "dropout": dropout}
    expected, found = (fitted(X, y, memory, **options) for memory in (1024, TIGHT))
    assert_close(parameter_vector(found), parameter_vector(expected), 1e-9)
    with sklearn.config_context(working_memory=TIGHT):
        assert_close(found.predict(X), expected.predict(X), 1e-9)
        tight = expected.predict(X)
    assert_close(tight, expected.predict(X), 1e-12)


def test_tight_memory_gives_the_same_for_any_number_of_threads(threads_pay, rng):
    X, y = ragged(rng, 140, longest=60)
    options = {"pooling": "mean_max", "batch_size": 140}
    one = fitted(X, y, TIGHT, n_jobs=1, **options)
    threads_pay.several = True
    assert_same_fit(one, fitted(X, y, TIGHT, n_jobs=2, **options))
    assert len(threads_pay) > 1


def test_validation_in_tight_memory_is_the_same_for_any_number_of_threads(threads_pay, rng):
    X, y = ragged(rng, 300, longest=60)
    options = {"pooling": "mean_max", "early_stopping": True, "validation_fraction": 0.9}
    one, other = (fitted(X, y, TIGHT, n_jobs=n_jobs, **options) for n_jobs in (1, 2))
    assert one.validation_scores_ == other.validation_scores_
    assert_same_fit(one, other)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_prediction_for_every_step_in_tight_memory(bidirectional, rng):
    X, _ = ragged(rng)
    y = [np.where(x[:, 0] > 0, "up", "down") for x in X]
    options = {"return_sequences": True, "bidirectional": bidirectional}
    expected, found = (fitted(X, y, memory, LSTMClassifier, **options) for memory in (1024, TIGHT))
    assert_close(parameter_vector(found), parameter_vector(expected), 1e-9)
    with sklearn.config_context(working_memory=TIGHT):
        tight = expected.predict_proba(X)
    for one, other in zip(tight, expected.predict_proba(X), strict=True):
        assert_close(one, other, 1e-12)


BY_STEP = {
    "last": {"pooling": "last"},
    "stacked": {"pooling": "mean", "hidden_layer_sizes": (6, 4)},
    "both ways": {"pooling": "max", "hidden_layer_sizes": (6, 4), "bidirectional": True},
    "threads": {"n_jobs": 2, "bidirectional": True},
    "per step": {"return_sequences": True, "hidden_layer_sizes": (6, 4), "bidirectional": True},
    "tokens": {"vocabulary_size": 5, "embedding_size": 3, "bidirectional": True},
}


@pytest.mark.parametrize("form", ["ragged", "equally long", "padded"])
@pytest.mark.parametrize("kind", BY_STEP)
def test_hidden_states_and_input_gradients_in_tight_memory_are_the_same(kind, form, rng):
    X, y = ragged(rng)
    if form != "ragged":
        X = np.stack([X[0]] * 6) if form == "equally long" else padded(X)
    if kind == "tokens":
        if form == "padded":
            pytest.skip("tokens have no padding")
        X = [np.digitize(x[:, 0], [-1, 0, 0.5, 1]) for x in X]
    if kind == "per step":
        y = np.cumsum(rng.normal(size=(6, 400)), axis=1)
        y = y if form != "ragged" else [steps[: len(x)] for steps, x in zip(y, X, strict=True)]
    model = fitted(X, y, 1024, **BY_STEP[kind])
    for method in (model.hidden_states, model.input_gradients):
        expected = method(X)
        with sklearn.config_context(working_memory=TIGHT):
            found = method(X)
        assert type(found) is type(expected)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
            assert_close(np.nan_to_num(one), np.nan_to_num(other), 1e-12)


def peak(function):
    """Bytes allocated at most while it ran, without those of its result."""
    tracemalloc.start()
    try:
        result = function()
        return tracemalloc.get_traced_memory()[1] - size_of(result)
    finally:
        tracemalloc.stop()


def size_of(result):
    """Bytes of an array or of a list of arrays; zero for anything else."""
    arrays = result if isinstance(result, list) else [result]
    return sum(getattr(array, "nbytes", 0) for array in arrays)


@pytest.mark.parametrize(
    "options",
    [{}, {"hidden_layer_sizes": (16, 16), "bidirectional": True}],
    ids=["one layer", "both ways, stacked"],
)
def test_memory_grows_with_the_square_root_of_the_length(options, rng):
    """Nine times the steps take three times the memory; the data themselves are taken off."""
    options = {"hidden_layer_sizes": 32, "max_iter": 1, **options}
    needed = []
    for n_steps in (1_000, 9_000):
        X, y = rng.normal(size=(1, n_steps, 1)), [1.0]
        with sklearn.config_context(working_memory=0.001):
            fitted(X, y, 0.001, **options)  # whatever is made only once
            needed.append(peak(lambda X=X, y=y: fitted(X, y, 0.001, **options)) - 8 * X.nbytes)
    assert needed[1] < 3.5 * needed[0]


def test_a_fit_keeps_within_the_working_memory(rng):
    """In one piece, the activations alone take four times as much."""
    X, y = rng.normal(size=(4, 8_000, 1)), rng.normal(size=4)
    whole, tight = (
        peak(lambda room=room: fitted(X, y, room, hidden_layer_sizes=64, max_iter=1))
        for room in (1024, 24)
    )
    assert tight < 24 * MIB < whole / 4


@pytest.mark.parametrize("kernels", ["numpy", "compiled"])
@pytest.mark.parametrize("method", ["predict", "hidden_states", "input_gradients"])
@pytest.mark.parametrize(
    "options",
    [
        {"hidden_layer_sizes": 64},
        {"hidden_layer_sizes": (16, 16), "bidirectional": True},
        {"hidden_layer_sizes": (32, 32), "pooling": "mean"},
        {"hidden_layer_sizes": 32, "return_sequences": True},
    ],
    ids=["one layer", "both ways", "stacked", "per step"],
)
def test_results_keep_within_the_working_memory(options, method, kernels, rng):
    """At once, gradients at the inputs take seven times as much, or more."""
    if kernels == "compiled":
        pytest.importorskip("llvmlite")
    X = rng.normal(size=(4, 2_000, 1))
    y = X[:, :, 0] if "return_sequences" in options else X[:, 0, 0]
    compute = getattr(fitted(X[:, :50], y[:, :50] if y.ndim > 1 else y, 1024, **options), method)
    with config_context(kernels=kernels):
        compute(X[:, :50])  # whatever is made only once
        with sklearn.config_context(working_memory=2):
            assert peak(lambda: compute(X)) < 2 * MIB
        if method == "input_gradients":
            assert peak(lambda: compute(X)) > 14 * MIB


def test_a_chunk_of_many_sequences_keeps_within_the_working_memory(rng):
    """In one piece, the states at the beginning of all segments take more than that."""
    X, y = rng.normal(size=(100, 300, 1)), rng.normal(size=100)
    model = fitted(X[:, :5], y, 1024, hidden_layer_sizes=64)
    with sklearn.config_context(working_memory=2):
        for method in (model.predict, model.hidden_states, model.input_gradients):
            method(X[:2, :5])
            assert peak(lambda method=method: method(X)) < 2 * MIB


@pytest.mark.parametrize("lengths", [(8_000,) * 4, (8_000,) + (500,) * 60], ids=["equal", "ragged"])
def test_fit_and_validation_together_keep_within_the_working_memory(lengths, rng):
    """A batch of short sequences leaves its memory for the next one, beside the validation."""
    X = [rng.normal(size=(length, 1)) for length in lengths]
    small, y = [x[:200] for x in X], rng.normal(size=len(X))
    options = {"hidden_layer_sizes": (32, 32), "pooling": "mean", "batch_size": 4, "max_iter": 2}
    data = 8 * 3 * sum(lengths)  # read twice, and once more as one array
    needed = [
        peak(lambda given=given: fit_and_validate(small, y, 24, given, **options))
        for given in ((X, y), (small, y))
    ]
    assert needed[1] < needed[0] < 24 * MIB + data


def fit_and_validate(X, y, memory, held_out, **options):
    X_val, y_val = held_out
    with sklearn.config_context(working_memory=memory):
        LSTMRegressor(random_state=0, **options).fit(X, y, X_val=X_val, y_val=y_val)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_predictions_stream_over_a_file_larger_than_the_working_memory(
    bidirectional, rng, tmp_path
):
    shape = (2, 60_000, 4)
    on_disk = np.memmap(tmp_path / "X", dtype=np.float32, mode="w+", shape=shape)
    on_disk[...] = rng.standard_normal(shape, dtype=np.float32)
    y = rng.normal(size=2)
    model = fitted(on_disk[:, :20], y, 1024, bidirectional=bidirectional, dtype="float64")
    expected = model.predict(np.array(on_disk))
    on_disk.flush()
    read_only = np.memmap(tmp_path / "X", dtype=np.float32, mode="r", shape=shape)
    for X in (read_only, list(read_only[:1])):
        with sklearn.config_context(working_memory=1):
            assert read_only.nbytes > 1.8 * MIB
            assert peak(lambda X=X: model.predict(X)) < 1.8 * MIB
            assert_close(model.predict(X), expected[: len(X)], 1e-10)
