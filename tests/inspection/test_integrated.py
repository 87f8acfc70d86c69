import numpy as np
import pytest
import sklearn
from data import padded
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.inspection import _integrated, _paths, input_gradients, integrated_gradients
from sklstm.preprocessing import SequenceScaler

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FIT = {"max_iter": 10, "random_state": 0}
STACKED = {"hidden_layer_sizes": (4, 3), "bidirectional": True, **FIT}


def ragged(rng, n=8, longest=7, n_features=2):
    return [rng.normal(1, 2, size=(length, n_features)) for length in rng.integers(1, longest, n)]


def sums(attributions):
    return np.array([attribution.sum() for attribution in attributions])


def naive(model, x, baseline, n_points, **explained):
    """Integrate along the line, point by point."""
    nodes, weights = np.polynomial.legendre.leggauss(n_points)
    total = np.zeros(x.shape)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        point = baseline + node * (x - baseline)
        total += weight * input_gradients(model, [point], **explained)[0]
    return total * (x - baseline)


@pytest.mark.parametrize("scale_inputs", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_rule_with_256_points_is_complete(pooling, scale_inputs, rng):
    X, y = ragged(rng), np.arange(8) % 2
    options = {"pooling": pooling, "scale_inputs": scale_inputs, **FIT}
    clf = LSTMClassifier(6, **options).fit(X, y)
    difference = clf.decision_function(X) - clf.decision_function([0 * x for x in X])
    found = integrated_gradients(clf, X, baselines=0.0, n_points=256)
    np.testing.assert_allclose(sums(found), difference, atol=1e-6)
    for x, attribution in zip(X[:2], found[:2], strict=True):
        expected = naive(clf, x, 0.0, 256)
        np.testing.assert_allclose(attribution, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_256_points_are_complete_for_a_trained_network(pooling, data_folder, seed):
    with np.load(data_folder / "JapaneseVowels.npz") as file:
        X, X_test = (
            np.split(file[f"{part}_values"], np.cumsum(file[f"{part}_lengths"])[:-1])
            for part in ("train", "test")
        )
        y = file["train_y"]
    clf = LSTMClassifier(pooling=pooling, max_iter=100, random_state=seed).fit(X, y)
    X = X_test[:5]
    logits, at_mean = clf.decision_function(X), [0 * x + clf.input_mean_ for x in X]
    difference = logits - clf.decision_function(at_mean)
    found = integrated_gradients(clf, X, n_points=256)
    expected = difference[np.arange(5), logits.argmax(axis=1)]
    assert np.abs(sums(found) - expected).max() <= 1e-6
    exact = integrated_gradients(clf, X, tol=1e-7)
    for one, other in zip(found, exact, strict=True):
        assert np.abs(one - other).sum() <= 1e-2 * np.abs(other).sum()


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_256_points_are_complete_for_steep_networks(dtype, pooling, rng):
    X, y = ragged(rng, longest=20), rng.normal(size=(8, 2))
    reg = LSTMRegressor((8, 6), pooling=pooling, dtype=dtype, **FIT).fit(X, y)
    reg._model.state.parameters[...] *= 5
    found = integrated_gradients(reg, X, target=1, n_points=256)
    ends = [reg.predict(Z)[:, 1] for Z in (X, [0 * x + reg.input_mean_ for x in X])]
    tolerance = 1e-6 if dtype == "float64" else 1e-4  # of predict: gradients are in float64
    np.testing.assert_allclose(sums(found), ends[0] - ends[1], atol=tolerance)


@pytest.mark.parametrize("n_points", [1, 7, 20, 100, 256])
def test_n_points_is_the_largest_number_of_gradients(n_points, rng, monkeypatch):
    X, y = ragged(rng), np.arange(8) % 2
    clf = LSTMClassifier(4, **FIT).fit(X, y)
    counts, original = np.zeros(8, int), _paths.Lines.gradients

    def count(self, sample, position):
        np.add.at(counts, sample, 1)
        return original(self, sample, position)

    monkeypatch.setattr(_paths.Lines, "gradients", count)
    integrated_gradients(clf, X, n_points=n_points)
    assert (counts <= n_points).all()
    assert (counts >= n_points - 7).all()


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean_max"])
@pytest.mark.parametrize("target", [None, "a", "b", "c"])
def test_the_default_is_complete(target, pooling, rng):
    X, y = ragged(rng, n=9), np.array(list("abcabcabc"))
    clf = LSTMClassifier(pooling=pooling, **STACKED).fit(X, y)
    logits, at_mean = clf.decision_function(X), [0 * x + clf.input_mean_ for x in X]
    codes = logits.argmax(axis=1) if target is None else np.full(9, "abc".index(target))
    difference = (logits - clf.decision_function(at_mean))[np.arange(9), codes]
    found = integrated_gradients(clf, X, target=target)
    assert [a.shape for a in found] == [x.shape for x in X]
    bound = 1e-3 * np.minimum(np.abs(difference), 1) + 1e-10
    assert (np.abs(sums(found) - difference) <= bound).all()


@pytest.mark.parametrize("pooling", ["mean", "mean_max"])
def test_attributions_are_those_of_many_points(pooling, rng):
    X, y = ragged(rng), rng.normal(size=8)
    reg = LSTMRegressor(pooling=pooling, **STACKED).fit(X, y)
    found = integrated_gradients(reg, X[:3], tol=1e-4)
    for x, attribution in zip(X, found, strict=False):
        differences, positions = x - reg.input_mean_, (np.arange(5000) + 0.5) / 5000
        points = [reg.input_mean_ + position * differences for position in positions]
        expected = np.mean(input_gradients(reg, points), axis=0) * differences
        assert np.abs(attribution - expected).sum() <= 0.02 * np.abs(expected).sum()


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "gaussian"])
def test_regression_outputs_are_in_the_units_of_the_targets(loss, rng):
    X, y = ragged(rng), rng.uniform(1e5, 9e5, size=(8, 2))
    reg = LSTMRegressor(4, loss=loss, **FIT).fit(X, y)
    for target in range(2):
        baselines = rng.normal(size=2)
        found = integrated_gradients(reg, X, target=target, baselines=baselines)
        ends = [reg.predict(Z)[:, target] for Z in (X, [0 * x + baselines for x in X])]
        np.testing.assert_allclose(sums(found), ends[0] - ends[1], rtol=1.01e-3)


def test_quantiles(rng):
    X, y = ragged(rng), rng.normal(size=(8, 2))
    options = {"loss": "quantile", "quantile": [0.2, 0.5, 0.9], **FIT}
    reg = LSTMRegressor(4, **options).fit(X, y)
    found = integrated_gradients(reg, X, target=(1, 2), baselines=0)
    ends = [reg.predict(Z)[:, 1, 2] for Z in (X, [0 * x for x in X])]
    np.testing.assert_allclose(sums(found), ends[0] - ends[1], rtol=1.01e-3)


@pytest.mark.parametrize("step", [None, 1, -1])
def test_the_prediction_of_a_step(step, rng):
    X = [rng.normal(size=(length, 2)) for length in (3, 2, 6)]
    clf = LSTMClassifier(return_sequences=True, **STACKED)
    clf.fit(X, [np.array(["a", "b", "c"])[rng.permutation(len(x)) % 3] for x in X])
    found = integrated_gradients(clf, X, step=step, baselines=0)
    at_zero = clf.decision_function([0 * x for x in X])
    for attribution, one, zero in zip(found, clf.decision_function(X), at_zero, strict=True):
        difference = np.take_along_axis(one - zero, one.argmax(axis=1)[:, None], axis=1)[:, 0]
        expected = difference.sum() if step is None else difference[step]
        np.testing.assert_allclose(attribution.sum(), expected, rtol=1.01e-3, atol=1e-9)


def test_tokens_are_explained_by_their_embeddings(rng):
    X = [rng.integers(0, 5, size=length) for length in (3, 1, 6, 4)]
    options = {"vocabulary_size": 5, "embedding_size": 3, "pooling": "mean", **FIT}
    clf = LSTMClassifier(4, **options).fit(X, [0, 1, 0, 1])
    found = integrated_gradients(clf, X)
    assert [a.shape for a in found] == [(3, 3), (1, 3), (6, 3), (4, 3)]
    table = clf.parameters_["embedding.weight"]
    plain = LSTMClassifier(4, pooling="mean", scale_inputs=False, max_iter=1)
    plain.fit([table[x] for x in X], [0, 1, 0, 1])
    size = plain._model.network.layout.size
    plain._model.state.parameters[...] = clf._model.state.parameters[:size]
    ends = [plain.decision_function(Z) for Z in ([table[x] for x in X], [0 * table[x] for x in X])]
    np.testing.assert_allclose(sums(found), ends[0] - ends[1], rtol=1.01e-3)
    with pytest.raises(ValueError, match=r"baselines: .*reads tokens"):
        integrated_gradients(clf, X, baselines=[table[x] for x in X])


def test_every_form_of_the_input_and_tight_memory(rng):
    X, y = ragged(rng, longest=40), np.arange(8) % 2
    clf = LSTMClassifier(pooling="mean", **STACKED).fit(X, y)
    expected = integrated_gradients(clf, X)
    assert {a.dtype for a in expected} == {np.dtype(np.float64)}
    found = integrated_gradients(clf, padded(X, extra=1))
    np.testing.assert_allclose(found, padded(expected, extra=1), rtol=1e-9, atol=1e-12)
    with sklearn.config_context(working_memory=0.1):
        tight = integrated_gradients(clf, X[:3])
    for one, other in zip(tight, expected, strict=False):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-10)
    clf = LSTMClassifier(4, dtype="float32", **FIT).fit(padded(X)[:, :1, 0], y)
    assert integrated_gradients(clf, padded(X)[:, :1, 0]).shape == (8, 1)


def test_a_pipeline_has_the_attributions_of_the_scaled_inputs(rng):
    X, y = ragged(rng), np.arange(8) % 2
    pipeline = make_pipeline(SequenceScaler(), LSTMClassifier(4, **FIT)).fit(X, y)
    found = integrated_gradients(pipeline, X, baselines=0)
    scaler = pipeline[0]
    ends = [pipeline.decision_function(Z) for Z in (X, [0 * x + scaler.center_ for x in X])]
    np.testing.assert_allclose(sums(found), ends[0] - ends[1], rtol=1.01e-3)


def test_baselines_that_are_sequences(rng):
    X, y = ragged(rng), np.arange(8) % 2
    clf = LSTMClassifier(4, **FIT).fit(X, y)
    others = [rng.normal(size=x.shape) for x in X]
    found = integrated_gradients(clf, X, baselines=others)
    difference = clf.decision_function(X) - clf.decision_function(others)
    np.testing.assert_allclose(sums(found), difference, rtol=1.01e-3, atol=1e-9)
    same = integrated_gradients(clf, X, baselines=X)
    assert all((attribution == 0).all() for attribution in same)


def test_a_part_of_the_samples_at_a_time(rng, monkeypatch):
    X, y = ragged(rng), np.arange(8) % 2
    clf = LSTMClassifier(4, **FIT).fit(X, y)
    others = [rng.normal(size=x.shape) for x in X]
    expected = integrated_gradients(clf, X, baselines=others)
    monkeypatch.setattr("sklstm._estimators.reading.PART_SEQUENCES", 3)
    for one, other in zip(integrated_gradients(clf, X, baselines=others), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-13)


def test_the_correction_makes_the_sum_exact(rng):
    """Two panels with 2 and 3 steps, whose integrals differ from those of the rule."""
    lengths, weights, ends = np.array([2, 3]), np.array([0.25, 0.5, 0.25]), np.zeros(2)
    terms = rng.normal(size=(3, 5, 1))
    slopes = np.add.reduceat(terms[:, :, 0], [0, 2], axis=1)
    deviations = slopes - weights @ slopes
    exact = weights @ slopes + 0.9 * weights @ deviations**2 / np.abs(deviations).max(axis=0)
    panels = _paths.Panels(np.arange(2), ends, ends + 1, ends, exact)
    mean = np.einsum("k,ksd->sd", weights, terms)
    product = np.einsum("k,ks,ksd->sd", weights, np.repeat(slopes, lengths, axis=1), terms)
    found = _paths.Integrals.of(panels, lengths, mean, product, slopes, weights)
    np.testing.assert_allclose(found.errors, weights @ slopes - exact)
    np.testing.assert_allclose(found.remaining, 0, atol=1e-14)
    sums = np.add.reduceat(found.corrected[:, 0], [0, 2])
    np.testing.assert_allclose(sums, exact, rtol=1e-10, atol=1e-12)


def test_incomplete_attributions_are_a_warning(rng, monkeypatch):
    X, y = ragged(rng), np.arange(8) % 2
    clf = LSTMClassifier(4, **FIT).fit(X, y)
    monkeypatch.setattr(_paths, "MAX_BISECTIONS", 0)
    monkeypatch.setattr(_paths, "N_POINTS", 1)  # one point cannot be corrected
    with pytest.warns(ConvergenceWarning, match=r"of \d sequence\(s\), the first of them X\[\d\]"):
        integrated_gradients(clf, X, tol=1e-9)


def test_too_few_points_are_a_warning(rng):
    X, y = ragged(rng), np.arange(8) % 2
    clf = LSTMClassifier(4, **FIT).fit(X, y)
    with pytest.warns(ConvergenceWarning, match=r"tol=1e-06. Increase tol, or n_points=1\."):
        integrated_gradients(clf, X, n_points=1, tol=1e-6)


def test_wrong_arguments(rng):
    X, y = ragged(rng), np.arange(8) % 2
    clf = LSTMClassifier(4, max_iter=2).fit(X, y)
    wrong = {
        "n_points": [0, -1, 2.5, True, "a"],
        "tol": [0, -1.0, np.nan, None, "a"],
        "baselines": [np.zeros(3), [np.nan, 0], [x[:-1] for x in X if len(x) > 1], X[:3]],
        "target": [2],
        "step": [0],
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(ValueError, match=name):
                integrated_gradients(clf, X, **{name: value})
    assert _integrated._Rule.checked(np.int64(3), 1e-3).n_points == 3
