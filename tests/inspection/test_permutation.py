from itertools import chain

import numpy as np
import pandas as pd
import polars as pl
import pytest
from data import SMALL, padded
from sklearn.inspection import permutation_importance as of_tables
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor, metrics
from sklstm.inspection import permutation_importance
from sklstm.preprocessing import SequenceScaler, TokenEncoder

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Recorder:
    """A fitted estimator that records X and has a score."""

    def __init__(self):
        self.seen = []

    def fit(self, X, y):
        return self

    def score(self, X, y, sample_weight=None):
        self.seen.append(X)
        return float(np.average([np.sum(x) for x in X], weights=sample_weight))


def naive(X, permutation, channel=None, segment=None, n_segments=1):
    """Exchange a channel, or all channels in a segment, step by step."""
    result = [x.copy() for x in X]
    for x, donor in zip(result, [X[k] for k in permutation], strict=True):
        for t in range(len(x)):
            if segment is None or int(t * n_segments / len(x)) == segment:
                source = donor[int((t + 0.5) / len(x) * len(donor))]
                channels = slice(None) if channel is None else channel
                x[t, channels] = source[channels]
    return result


def permutations(seed, n, n_repeats):
    rng = np.random.RandomState(seed)
    return [rng.permutation(n) for _ in range(n_repeats)]


@pytest.mark.parametrize("by", ["channel", "segment"])
def test_what_is_permuted(by, rng, seed):
    X = [rng.normal(size=(length, 3)) for length in (5, 1, 8, 3, 7)]
    weights, recorder = rng.uniform(1, 2, size=5), Recorder()
    options = {"n_segments": 4, "n_repeats": 2, "random_state": seed, "sample_weight": weights}
    result = permutation_importance(recorder, X, None, by=by, **options)
    keys = [{"channel": k} for k in range(3)]
    if by == "segment":
        keys = [{"segment": k, "n_segments": 4} for k in range(4)]
    expected = [[naive(X, p, **key) for p in permutations(seed, 5, 2)] for key in keys]
    first, *others = recorder.seen
    assert first is X
    for found, other in zip(others, chain(*expected), strict=True):
        for one, two in zip(found, other, strict=True):
            np.testing.assert_array_equal(one, two)
    score = Recorder().score
    scores = [[score(Z, None, weights) for Z in row] for row in expected]
    importances = score(X, None, weights) - np.array(scores)
    np.testing.assert_allclose(result.importances, importances)
    np.testing.assert_allclose(result.importances_mean, importances.mean(axis=1))
    np.testing.assert_allclose(result.importances_std, importances.std(axis=1))
    assert result.by == by


FORMS = {
    "3d": lambda X: np.stack(X),
    "padded": lambda X: padded([X[0][:3], *X[1:]], extra=1),
    "pandas": lambda X: [pd.DataFrame(x, columns=["u", "v"]) for x in X],
    "polars": lambda X: [pl.DataFrame(x, schema=["u", "v"]) for x in X],
    "float32": lambda X: [x.astype("f4") for x in X],
    "1-D": lambda X: [x[:, 0] for x in X],
    "table": lambda X: np.stack([x[:, 0] for x in X]),
    "frame": lambda X: pd.DataFrame(np.stack([x[:, 0] for x in X]), columns=list("abcde")),
    "integers": lambda X: [x[:, 0].astype(int) for x in X],
    "nested": lambda X: [x.tolist() for x in X[:-1]] + [X[-1][:3].tolist()],
}


@pytest.mark.parametrize("by", ["channel", "segment"])
@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_X_is_kept(form, by, rng):
    X = FORMS[form]([rng.normal(scale=9, size=(5, 2)) for _ in range(4)])
    recorder = Recorder()
    recorder.score = lambda X, y: recorder.seen.append(X) or 0.0
    permutation_importance(recorder, X, None, by=by, n_segments=2, n_repeats=1)
    for found in recorder.seen[1:]:
        if form == "nested":
            assert [np.shape(x) for x in found] == [np.shape(x) for x in X]
        else:
            assert type(found) is type(X)
            assert type(found[0]) is type(X[0]) if isinstance(X, list) else found.shape == X.shape
        if form in ("pandas", "polars"):
            assert list(found[0].columns) == ["u", "v"]
        if form in ("float32", "integers"):
            assert {x.dtype for x in found} == {x.dtype for x in X}
        if form == "padded":
            np.testing.assert_array_equal(np.isnan(found), np.isnan(X))


def test_columns_of_a_table_as_segments_are_those_of_scikit_learn(rng, seed):
    X, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    reg = LSTMRegressor(**SMALL).fit(X, y)
    options = {"n_repeats": 15, "random_state": seed}
    found = permutation_importance(reg, X, y, by="segment", n_segments=4, **options)
    expected = of_tables(reg, X, y, **options)
    error = found.importances_std + expected.importances_std
    assert (np.abs(found.importances_mean - expected.importances_mean) < error).all()


def test_the_channel_that_matters(rng, seed):
    X = [rng.normal(size=(length, 3)) for length in rng.integers(5, 12, size=80)]
    frames = [pd.DataFrame(x, columns=["a", "b", "c"]) for x in X]
    y = np.array([int(x[:, 1].mean() > 0) for x in X])
    model = make_pipeline(SequenceScaler(), LSTMClassifier(8, random_state=seed)).fit(frames, y)
    result = permutation_importance(model, frames, y, random_state=seed)
    assert result.names == ["a", "b", "c"]
    assert result.importances_mean.argmax() == 1


def test_any_scorer_and_any_number_of_jobs(rng, seed):
    X = [rng.normal(size=(length, 2)) for length in rng.integers(3, 9, size=20)]
    y = np.arange(20) % 2
    clf = LSTMClassifier(**SMALL).fit(X, y)
    options = {"scoring": ["accuracy", "neg_log_loss"], "random_state": seed, "n_repeats": 2}
    results = [permutation_importance(clf, X, y, n_jobs=k, **options) for k in (None, 2)]
    assert list(results[0]) == ["accuracy", "neg_log_loss"]
    for name in results[0]:
        np.testing.assert_array_equal(*(result[name].importances for result in results))
    own = {"mine": lambda estimator, X, y: estimator.score(X, y)}
    found = permutation_importance(clf, X, y, **options | {"scoring": own})["mine"]
    np.testing.assert_allclose(found.importances, results[0]["accuracy"].importances)


def test_predictions_of_each_step(rng):
    X = [rng.normal(size=(length, 2)) for length in (4, 6, 3, 5)]
    y = [np.where(x[:, 0] > 0, "up", "down") for x in X]
    clf = LSTMClassifier(return_sequences=True, **SMALL).fit(X, y)
    scoring = metrics.get_scorer("accuracy")
    result = permutation_importance(clf, X, y, by="segment", n_segments=3, scoring=scoring)
    assert result.names == ["0-33%", "33-67%", "67-100%"]


def test_tokens(rng):
    X = [rng.integers(0, 9, size=length) for length in (4, 6, 3, 5)]
    clf = LSTMClassifier(vocabulary_size=9, **SMALL).fit(X, [0, 1, 0, 1])
    assert permutation_importance(clf, X, [0, 1, 0, 1]).names == ["channel 0"]


def test_wrong_arguments(rng):
    X, y = rng.normal(size=(4, 5, 2)), [0, 1, 0, 1]
    clf = LSTMClassifier(**SMALL).fit(X, y)
    for name, value in {"by": "step", "n_segments": 0, "n_repeats": 1.5}.items():
        with pytest.raises(ValueError, match=f"{name}: expected .*, got {value!r}"):
            permutation_importance(clf, X, y, **{name: value})
    with pytest.raises(ValueError, match="X: expected at least two sequences, got 1"):
        permutation_importance(clf, X[:1], y[:1])
    texts = ["never again", "a joy", "no joy", "a treat"]
    model = make_pipeline(TokenEncoder(), LSTMClassifier(vocabulary_size=9, **SMALL)).fit(texts, y)
    with pytest.raises(ValueError, match="X"):
        permutation_importance(model, texts, y)
