import numpy as np
import pytest
import sklearn
from data import central_differences, padded
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.inspection import input_gradients
from sklstm.preprocessing import SequenceScaler

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMOOTH = {"pooling": "last", "max_iter": 5, "random_state": 0}
PER_STEP = {"hidden_layer_sizes": (4, 3), "bidirectional": True, "return_sequences": True}
PER_STEP |= {"max_iter": 3, "random_state": 0}


def ragged(rng, n=6, longest=7):
    return [rng.normal(2, 3, size=(length, 2)) for length in rng.integers(1, longest, n)]


def assert_close(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7 * np.abs(other).max())


@pytest.mark.parametrize("target", ["a", "b", "c"])
def test_every_class(target, rng):
    X = ragged(rng)
    clf = LSTMClassifier((4, 3), bidirectional=True, **SMOOTH).fit(X, list("abcabc"))
    code = "abc".index(target)
    expected = central_differences(lambda x: clf.decision_function(x)[:, code], X)
    assert_close(input_gradients(clf, X, target=target), expected)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "gaussian"])
def test_every_output_of_a_regressor(loss, rng):
    X, y = ragged(rng), rng.uniform(100, 900, size=6)
    reg = LSTMRegressor(4, loss=loss, **SMOOTH).fit(X, y)
    assert_close(input_gradients(reg, X), central_differences(reg.predict, X))


def test_quantiles_and_targets_with_axes(rng):
    X, y = ragged(rng), rng.normal(size=(6, 2, 3))
    options = {"loss": "quantile", "quantile": [0.2, 0.7], **SMOOTH}
    reg = LSTMRegressor(4, **options).fit(X, y)
    for target in ((0, 1, 1), (1, 2, 0)):

        def predicted(x, target=target):
            return reg.predict(x)[(slice(None), *target)]

        expected = central_differences(predicted, X)
        assert_close(input_gradients(reg, X, target=target), expected)


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("step", [None, 0, -1])
def test_the_prediction_of_a_step(step, target, rng):
    X = ragged(rng)
    reg = LSTMRegressor(**PER_STEP).fit(X, [rng.normal(size=(len(x), 2)) for x in X])

    def explained(X):
        steps = [y[:, target] for y in reg.predict(X)]
        return [y.sum() if step is None else y[step] for y in steps]

    expected = central_differences(explained, X)
    assert_close(input_gradients(reg, X, target=target, step=step), expected)
    found = input_gradients(reg, padded(X), target=target, step=step)
    np.testing.assert_allclose(found, padded(expected), rtol=1e-5, atol=1e-7)
    with sklearn.config_context(working_memory=0.01):
        assert_close(input_gradients(reg, X, target=target, step=step), expected)


def test_the_most_likely_label_of_a_step(rng):
    X = ragged(rng)
    clf = LSTMClassifier(**PER_STEP).fit(X, [rng.choice(["a", "b", "c"], len(x)) for x in X])
    found = input_gradients(clf, X, step=-1)
    for x, labels, gradient in zip(X, clf.predict(X), found, strict=True):
        expected = input_gradients(clf, [x], target=labels[-1], step=-1)[0]
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


def test_tokens_by_their_embeddings(rng):
    X = [rng.integers(0, 5, size=length) for length in (3, 1, 6)]
    options = {"vocabulary_size": 5, "embedding_size": 3, "return_sequences": True}
    reg = LSTMRegressor(4, max_iter=2, **options).fit(X, [rng.normal(size=len(x)) for x in X])
    assert [g.shape for g in input_gradients(reg, X, step=0)] == [(3, 3), (1, 3), (6, 3)]


def test_a_pipeline_gives_gradients_at_the_input_of_the_lstm(rng):
    X, y = ragged(rng), np.arange(6.0)
    pipeline = make_pipeline(SequenceScaler(), LSTMRegressor(4, **SMOOTH)).fit(X, y)
    found = input_gradients(pipeline, X)
    expected = pipeline[-1].input_gradients(pipeline[0].transform(X))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert_close(
        [gradient / pipeline[0].scale_ for gradient in found],
        central_differences(pipeline.predict, X),
    )


def test_wrong_steps(rng):
    X = [rng.normal(size=(length, 2)) for length in (4, 2, 3)]
    reg = LSTMRegressor(**PER_STEP).fit(X, [x[:, 0] for x in X])
    for step in (2, -3):
        with pytest.raises(ValueError, match=rf"step: .*X\[1\], which has 2, got {step}"):
            input_gradients(reg, X, step=step)
    reg = LSTMRegressor(4, max_iter=2).fit(X, np.arange(3))
    with pytest.raises(ValueError, match=r"step: expected None, because .*got 0"):
        input_gradients(reg, X, step=0)
    with pytest.raises(ValueError, match=r"target: expected .*0 to 0, got 1"):
        input_gradients(reg, X, target=1)
