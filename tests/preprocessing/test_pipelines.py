"""Every transformer in a pipeline with an LSTM and in a grid search with two processes."""

import inspect

import numpy as np
import pytest
from data import SMALL, cut, problem
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.preprocessing import (
    RandomConvolutions,
    SequenceDifferences,
    SequenceImputer,
    SequenceScaler,
    SlidingWindow,
    TokenEncoder,
    ToSequences,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [LSTMClassifier, LSTMRegressor]
both = pytest.mark.parametrize("Estimator", ESTIMATORS)

#: A transformer and a grid of its parameters.
GRIDS = {
    "scaler": (SequenceScaler(), {"method": ["standard", "minmax", "robust"]}),
    "scaler of each": (SequenceScaler(), {"per_sequence": [False, True]}),
    "imputer": (SequenceImputer(), {"strategy": ["mean", "forward", "linear"]}),
    "indicator": (SequenceImputer(), {"add_indicator": [False, True]}),
    "differences": (SequenceDifferences(), {"append": [False, True]}),
    "convolutions": (RandomConvolutions(random_state=0), {"n_kernels": [2, 3]}),
    "windows": (SlidingWindow(), {"width": [1, 3], "stride": [1, 2]}),
    "tables": (ToSequences(), {"n_features": [1, 2]}),
}


def forms(rng):
    """X of 24 samples with four time steps or more, and classes."""
    X, y = problem(rng)
    return {"2d": X[:, :, 0], "3d": X, "list": cut(X, rng, shortest=4)}, y


@both
@pytest.mark.parametrize("form", ["2d", "3d", "list"])
@pytest.mark.parametrize("name", GRIDS)
def test_grid_search(Estimator, name, form, rng, seed):
    X, y = forms(rng)
    X = X[form]
    transformer, grid = GRIDS[name]
    if name == "tables" and form != "2d":
        X = [x[:, :1].repeat(2, axis=0).ravel() for x in X]  # rows of a table
    if name in ("imputer", "indicator"):
        X = [np.where(rng.random(x.shape) < 0.2, np.nan, x) for x in X]
        X = X if form == "list" else np.stack(X)
        for x in X:
            x[-1] = 0  # not padding
    pipeline = Pipeline(
        [("transformer", transformer), ("lstm", Estimator(**SMALL, random_state=seed))]
    )
    search = GridSearchCV(
        pipeline,
        {f"transformer__{key}": values for key, values in grid.items()},
        cv=2,
        n_jobs=2,
        error_score="raise",
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    transformed = search.best_estimator_[:-1].transform(X)
    by_hand = search.best_estimator_[-1].predict(transformed)
    np.testing.assert_array_equal(search.predict(X), by_hand)


@pytest.mark.parametrize("tokens", [True, False])
def test_grid_search_over_texts(tokens, rng, seed):
    y = np.arange(24) % 2
    words = [["ja", "nein", "da", "doch"][k % 4] for k in range(24)]
    X = [[word] * rng.integers(1, 5) + ["so"] for word in words]
    X = X if tokens else [" ".join(x) for x in X]
    sizes = {"vocabulary_size": 4} if "vocabulary_size" in parameters_of(LSTMClassifier) else {}
    pipeline = make_pipeline(
        TokenEncoder(max_tokens=4), LSTMClassifier(**SMALL, **sizes, random_state=seed)
    )
    grid = {"tokenencoder__max_tokens": [2, 4], "tokenencoder__lowercase": [False, True]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(["novel"] if not tokens else [["novel"]]).shape == (1,)


def parameters_of(Estimator):
    return inspect.signature(Estimator).parameters


@both
def test_a_pipeline_of_all_transformers_of_numbers(Estimator, rng, seed):
    X, y = problem(rng, n=40, n_timesteps=12)
    flat = X.reshape(40, -1) * 100 + 5
    flat[rng.random(flat.shape) < 0.1] = np.nan
    flat[:, -2:] = 1.0
    pipeline = make_pipeline(
        StandardScaler(),
        ToSequences(2),
        SequenceImputer("linear", add_indicator=True),
        SlidingWindow(3, 3),
        SequenceScaler("robust"),
        Estimator(**SMALL, random_state=seed),
    )
    assert pipeline.fit(flat, y)[:-1].transform(flat).shape == (40, 4, 12)
    assert pipeline[-1].n_features_in_ == 12
    assert cross_val_predict(pipeline, flat, y, cv=3).shape == (40,)


def test_scaled_sequences_are_classified(rng, seed):
    X, y = problem(rng, n=160)
    X = [1e5 * x + 1e6 for x in cut(X, rng, shortest=3)]
    clf = LSTMClassifier(8, max_iter=60, random_state=seed)
    pipeline = make_pipeline(SequenceScaler(), clf).fit(X[:80], y[:80])
    assert pipeline.score(X[80:], y[80:]) > 0.75
