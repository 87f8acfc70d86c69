"""Models in onnxruntime predict what the estimators predict, for every option."""

import sys

import numpy as np
import pytest
from data import SMALL, cut, padded, problem
from onnx_models import (
    assert_equal,
    assert_same_classifier,
    feed,
    onnx,
    run,
    session,
    single,
    unpadded,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.interop.onnx import to_onnx

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

POOLINGS = ["last", "mean", "max", "mean_max"]
LAYERS = {"one layer": 4, "stacked": (3, 5), "three layers": (4, 2, 3)}
directions = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])


def sequences(form, X, rng):
    return {"2d": X[:, :, 0], "3d": X, "list": cut(X, rng)}[form]


every_form = pytest.mark.parametrize("form", ["2d", "3d", "list"])


# --- the network ---


@directions
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layers", LAYERS)
@every_form
def test_classifier(form, layers, pooling, bidirectional, rng, seed):
    X, y = problem(rng, n_classes=3)
    X = single(sequences(form, X, rng))
    clf = LSTMClassifier(
        LAYERS[layers], bidirectional=bidirectional, pooling=pooling, max_iter=3, random_state=seed
    ).fit(X, y)
    assert_same_classifier(run(to_onnx(clf), X), clf, X)


@directions
@pytest.mark.parametrize("pooling", POOLINGS)
@every_form
def test_regressor(form, pooling, bidirectional, rng, seed):
    X, _ = problem(rng)
    X, y = single(sequences(form, X, rng)), rng.normal(size=len(X))
    reg = LSTMRegressor(
        (3, 5), bidirectional=bidirectional, pooling=pooling, max_iter=3, random_state=seed
    ).fit(X, y)
    assert_equal(run(to_onnx(reg), X)["variable"], reg.predict(X))


@directions
@pytest.mark.parametrize("layers", LAYERS)
@every_form
def test_a_label_for_each_step(form, layers, bidirectional, rng, seed):
    X, _ = problem(rng)
    X = single(sequences(form, X, rng))
    y = [rng.choice(["a", "b", "c"], len(x)) for x in X]
    clf = LSTMClassifier(
        LAYERS[layers], bidirectional=bidirectional, return_sequences=True, max_iter=3,
        random_state=seed,
    ).fit(X, y)  # fmt: skip
    results = run(to_onnx(clf), X)
    labels = unpadded(results["output_label"], X)
    for k, probability in enumerate(clf.predict_proba(X)):
        assert_equal(results["output_probability"][k, : len(X[k])], probability)
        assert np.isnan(results["output_probability"][k, len(X[k]) :]).all()
        first, second = np.sort(probability)[:, :-3:-1].T
        certain = first - second > 1e-5
        assert (labels[k] == clf.predict(X)[k])[certain].all()


@directions
@pytest.mark.parametrize("shape", [(), (2,), (2, 3), (1, 1)])
@every_form
def test_numbers_for_each_step(form, shape, bidirectional, rng, seed):
    X, _ = problem(rng)
    X = single(sequences(form, X, rng))
    y = [rng.normal(size=(len(x), *shape)) for x in X]
    reg = LSTMRegressor(
        4, bidirectional=bidirectional, return_sequences=True, max_iter=3, random_state=seed
    ).fit(X, y)
    found = run(to_onnx(reg), X)["variable"]
    for k, expected in enumerate(reg.predict(X)):
        assert_equal(found[k, : len(expected)], expected)
        assert np.isnan(found[k, len(expected) :]).all()


def test_predictions_of_a_padded_array_are_padded_alike(rng, seed):
    X = padded(single(cut(problem(rng)[0], rng)), extra=2)
    y = np.where(np.isnan(X[:, :, 0]), np.nan, rng.normal(size=X.shape[:2]))
    reg = LSTMRegressor(4, return_sequences=True, max_iter=3, random_state=seed).fit(X, y)
    lengths = (~np.isnan(X[:, :, 0])).sum(axis=1)
    found = session(to_onnx(reg)).run(None, {"X": X, "lengths": lengths})[0]
    assert_equal(found, reg.predict(X))


@directions
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("form", ["array", "list"])
def test_tokens(form, per_step, bidirectional, rng, seed):
    X = rng.integers(0, 7, size=(24, 6))
    X = X[:, :, None] if form == "array" else [x[:, 0] for x in cut(X[:, :, None], rng)]
    y = [rng.integers(0, 3, size=len(x)) for x in X]
    y = y if per_step else np.arange(24) % 3
    clf = LSTMClassifier(
        4, vocabulary_size=7, embedding_size=3, bidirectional=bidirectional,
        return_sequences=per_step, max_iter=3, random_state=seed,
    ).fit(X, y)  # fmt: skip
    for after_end in (np.nan, -1, 99):
        results = run(to_onnx(clf), X, after_end=after_end)
        if not per_step:
            assert_same_classifier(results, clf, X)
            continue
        for found, expected in zip(
            unpadded(results["output_probability"], X), clf.predict_proba(X), strict=True
        ):
            assert_equal(found, expected)


def test_tokens_of_a_table(rng, seed):
    X, y = rng.integers(0, 5, size=(20, 4)), rng.normal(size=20)
    reg = LSTMRegressor(4, vocabulary_size=5, max_iter=3, random_state=seed).fit(X, y)
    assert_equal(run(to_onnx(reg), X)["variable"], reg.predict(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_any_number_of_sequences_and_steps(dtype, bidirectional, rng, seed):
    X, y = problem(rng, n=12, n_timesteps=3)
    clf = LSTMClassifier(
        4, bidirectional=bidirectional, dtype=np.dtype(dtype).name, max_iter=3, random_state=seed
    ).fit(X, y)
    model = to_onnx(clf)
    for n, n_timesteps in [(0, 1), (1, 40), (70, 2), (5, 300)]:
        new = [rng.normal(size=(k, 2)) for k in rng.integers(1, n_timesteps + 1, size=n)]
        new = single([*new, rng.normal(size=(n_timesteps, 2))])
        assert_same_classifier(run(model, new), clf, new)


@pytest.mark.parametrize("after_end", [np.nan, np.inf, 1e30, 0.0])
@directions
def test_values_after_the_end_of_a_sequence_are_ignored(bidirectional, after_end, rng, seed):
    X, y = problem(rng)
    X = single(cut(X, rng))
    clf = LSTMClassifier((3, 4), bidirectional=bidirectional, max_iter=3, random_state=seed).fit(
        X, y
    )
    assert_same_classifier(run(to_onnx(clf), X, after_end=after_end), clf, X)


@pytest.mark.parametrize("opset", [15, 17, 18, 22])
def test_opsets(opset, rng, seed):
    X, y = problem(rng)
    X = single(cut(X, rng))
    clf = LSTMClassifier(4, bidirectional=True, max_iter=3, random_state=seed).fit(X, y)
    model = to_onnx(clf, opset=opset)
    assert [entry.version for entry in model.opset_import] == [opset]
    assert_same_classifier(run(model, X), clf, X)


def test_inputs_and_outputs(rng):
    X, y = problem(rng)
    found = {}
    for name, model in {
        "sequences": LSTMClassifier(**SMALL).fit(X, y),
        "table": LSTMRegressor(**SMALL).fit(X[:, :, 0], y),
    }.items():
        loaded = session(to_onnx(model))
        found[name] = [
            (node.name, node.type, node.shape)
            for node in (*loaded.get_inputs(), *loaded.get_outputs())
        ]
    assert found["sequences"] == [
        ("X", "tensor(float)", ["n_samples", "n_timesteps", 2]),
        ("lengths", "tensor(int64)", ["n_samples"]),
        ("output_label", "tensor(int64)", ["n_samples"]),
        ("output_probability", "tensor(float)", ["n_samples", 2]),
    ]
    assert found["table"] == [
        ("X", "tensor(float)", ["n_samples", 6]),
        ("variable", "tensor(float)", ["n_samples"]),
    ]


# --- targets ---

CLASSES = {
    "int": np.array([-3, 7, 9]),
    "str": np.array(["no", "yes", "perhaps"]),
    "object": np.array(["no", "yes", "perhaps"], object),
    "float": np.array([-1.0, 1.0, 2.0]),
    "uint8": np.array([0, 1, 2], np.uint8),
}


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", CLASSES)
def test_labels(kind, n_classes, rng, seed):
    X, y = problem(rng, n_classes=n_classes)
    X, y = single(cut(X, rng)), CLASSES[kind][y]
    clf = LSTMClassifier(**SMALL, random_state=seed).fit(X, y)
    assert_same_classifier(run(to_onnx(clf), X), clf, X)


def test_boolean_labels(rng, seed):
    X, y = problem(rng)
    X = single(X)
    clf = LSTMClassifier(**SMALL, random_state=seed).fit(X, y.astype(bool))
    results = run(to_onnx(clf), X)
    assert results["output_label"].dtype == bool
    assert_same_classifier(results, clf, X)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_multilabel(n_labels, rng, seed):
    X, _ = problem(rng)
    X, y = single(cut(X, rng)), rng.integers(0, 2, size=(24, n_labels))
    clf = LSTMClassifier(**SMALL, random_state=seed).fit(X, y)
    assert_same_classifier(run(to_onnx(clf), X), clf, X)


def test_multilabel_for_each_step(rng, seed):
    X, _ = problem(rng)
    X = single(cut(X, rng))
    y = [rng.integers(0, 2, size=(len(x), 3)) for x in X]
    clf = LSTMClassifier(**SMALL, return_sequences=True, random_state=seed).fit(X, y)
    results = run(to_onnx(clf), X)
    for found, expected in zip(
        unpadded(results["output_probability"], X), clf.predict_proba(X), strict=True
    ):
        assert_equal(found, expected)


LOSSES = ["squared_error", "absolute_error", "huber", "quantile", "poisson"]


@pytest.mark.parametrize("shape", [(), (3,), (3, 2), (1, 2, 2)])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss, shape, rng, seed):
    X, _ = problem(rng)
    X = single(cut(X, rng))
    y = rng.poisson(5.0, size=(24, *shape)).astype(float)
    reg = LSTMRegressor(**SMALL, loss=loss, random_state=seed).fit(X, y)
    assert_equal(run(to_onnx(reg), X)["variable"], reg.predict(X), scale=5)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("shape", [(), (3,), (3, 2)])
def test_several_quantiles(shape, per_step, rng, seed):
    X, _ = problem(rng)
    X = single(cut(X, rng))
    y = (
        [10 + rng.normal(size=(len(x), *shape)) for x in X]
        if per_step
        else rng.normal(size=(24, *shape))
    )
    reg = LSTMRegressor(
        4, max_iter=1, loss="quantile", quantile=[0.1, 0.4, 0.5, 0.9], return_sequences=per_step,
        random_state=seed,
    ).fit(X, y)  # fmt: skip
    found = run(to_onnx(reg), X)["variable"]
    for row, expected in zip(found, reg.predict(X), strict=True):
        assert_equal(row[: len(expected)] if per_step else row, expected)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("shape", [(), (3,), (3, 2)])
def test_means_with_standard_deviations(shape, per_step, rng, seed):
    X, _ = problem(rng)
    X = single(cut(X, rng))
    y = [10 + rng.normal(size=(len(x) if per_step else 1, *shape)) for x in X]
    y = y if per_step else np.concatenate(y)
    reg = LSTMRegressor(
        4, max_iter=3, loss="gaussian", return_sequences=per_step, random_state=seed
    ).fit(X, y)
    results = run(to_onnx(reg), X)
    for name, predicted in zip(results, reg.predict(X, return_std=True), strict=True):
        assert name in ("variable", "variable_std")
        for row, expected in zip(results[name], predicted, strict=True):
            assert_equal(row[: len(expected)] if per_step else row, expected)


@pytest.mark.parametrize(("mean", "scale"), [(1e6, 10.0), (-3e-5, 1e-6), (42.0, 0.0)])
def test_units_of_the_targets(mean, scale, rng, seed):
    X, _ = problem(rng)
    X = single(X)
    reg = LSTMRegressor(**SMALL, random_state=seed).fit(X, mean + scale * rng.normal(size=24))
    found = run(to_onnx(reg), X)["variable"]
    assert_equal(found, reg.predict(X), scale=max(abs(mean), scale))


@pytest.mark.parametrize("scale_inputs", [True, False])
@pytest.mark.parametrize("form", ["2d", "list"])
def test_inputs_that_are_scaled(form, scale_inputs, rng, seed):
    X, y = problem(rng)
    X[:, :, 1] = 7.0  # a constant channel
    if scale_inputs:
        X = np.array([1e5, 7.0]) + np.array([10.0, 1e-3]) * X
    X = single(sequences(form, X, rng))
    model = LSTMRegressor(**SMALL, scale_inputs=scale_inputs, random_state=seed).fit(X, y)
    proto = to_onnx(model)
    assert_equal(run(proto, X)["variable"], model.predict(X))
    operators = {node.op_type for node in proto.graph.node}
    assert ({"Sub", "Div"} <= operators) == scale_inputs or form == "list"


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_weights_in_double_precision_and_large_inputs(kind, rng, seed):
    X, y = problem(rng)
    X = 1e3 * single(X).astype(np.float64)
    estimator = {"classifier": LSTMClassifier, "regressor": LSTMRegressor}[kind]
    model = estimator(**SMALL, random_state=seed).fit(X, y)
    results = run(to_onnx(model), X)
    found = results["output_probability" if kind == "classifier" else "variable"]
    expected = model.predict_proba(X) if kind == "classifier" else model.predict(X)
    assert_equal(found, expected)


# --- what is refused ---


def test_an_estimator_must_be_fitted():
    with pytest.raises(NotFittedError):
        to_onnx(LSTMClassifier())


@pytest.mark.parametrize("model", [LogisticRegression(), make_pipeline(LogisticRegression()), 3])
def test_other_estimators_are_refused(model):
    with pytest.raises(TypeError, match="expected a fitted LSTMClassifier or LSTMRegressor"):
        to_onnx(model)


@pytest.mark.parametrize("opset", [14, 1000, "17", None])
def test_opsets_that_are_refused(opset, rng):
    clf = LSTMClassifier(**SMALL).fit(*problem(rng))
    newest = onnx.defs.onnx_opset_version()
    with pytest.raises(ValueError, match=f"opset: expected an integer from 15 to {newest}, got"):
        to_onnx(clf, opset=opset)


def test_a_large_vocabulary_is_refused(monkeypatch):
    reg = LSTMRegressor(**SMALL, vocabulary_size=5).fit([[0, 1], [1]] * 2, [0.0, 1.0] * 2)
    monkeypatch.setattr("sklstm.interop.onnx._models.MAX_TOKENS", 4)
    with pytest.raises(ValueError, match="expected a vocabulary_size of at most 4, got 5"):
        to_onnx(reg)


def test_targets_that_overflow_are_refused(rng):
    X, _ = problem(rng)
    reg = LSTMRegressor(**SMALL).fit(X, 1e40 * rng.normal(size=24))
    with pytest.raises(ValueError, match="expected targets with a mean and scale below"):
        to_onnx(reg)


def test_onnx_must_be_installed(rng, monkeypatch):
    clf = LSTMClassifier(**SMALL).fit(*problem(rng))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        to_onnx(clf)


def test_feed_pads(rng):
    inputs = feed([np.ones((1, 2)), np.ones((3, 2))])
    assert inputs["lengths"].tolist() == [1, 3]
    assert np.isnan(inputs["X"][0, 1:]).all()
