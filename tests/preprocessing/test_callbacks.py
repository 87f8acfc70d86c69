"""scikit-learn's callbacks in the fits of transformers, which need scikit-learn 1.9."""

import io
from contextlib import redirect_stdout

import numpy as np
import pandas as pd
import pytest
from data import SMALL, cut, fingerprint, objects, problem
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier
from sklstm.preprocessing import (
    AppendStatic,
    RandomConvolutions,
    SequenceDifferences,
    SequenceImputer,
    SequenceScaler,
    SlidingWindow,
    StepTransformer,
    TokenEncoder,
    ToSequences,
)

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn >= 1.9")

TRANSFORMERS = [
    SequenceDifferences(),
    SequenceImputer(),
    SequenceScaler(),
    RandomConvolutions(2, random_state=0),
    SlidingWindow(),
    ToSequences(2),
    TokenEncoder(),
    StepTransformer(SequenceScaler()),
    AppendStatic(static=SequenceScaler()),
]
every = pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda t: type(t).__name__)


class Recorder:
    """Records its calls; raises an error at the end of the fit if there is one to raise."""

    def __init__(self, error=None):
        self.error = error
        self.calls = []
        self.data = None
        self.fitted = None

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.calls.append(f"begin {context.task_name} {context.task_id}")
        self.data = X, y

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.calls.append(f"end {context.task_name} {context.task_id}")
        self.fitted = fitted_estimator
        if self.error is not None:
            raise self.error


def sample(transformer, rng):
    """X and y for the transformer."""
    X, y = problem(rng)
    if isinstance(transformer, TokenEncoder):
        return [["ja", "nein"][k] for k in y], y
    ragged = cut(X, rng)
    if isinstance(transformer, AppendStatic):
        return pd.DataFrame({"series": objects(ragged), "age": np.arange(24.0)}), y
    return ragged, y


@every
def test_a_fit_is_one_task(transformer, rng):
    X, y = sample(transformer, rng)
    recorder = Recorder()
    watched = clone(transformer).set_callbacks(recorder)
    watched.fit(X, y)
    assert recorder.calls == ["setup", "begin fit 0", "end fit 0", "teardown"]
    assert recorder.data[0] is X
    assert recorder.data[1] is y
    expected = clone(transformer).fit(X)
    for fitted in (recorder.fitted, watched):
        assert fingerprint(fitted.set_callbacks()) == fingerprint(expected)


@every
def test_an_error_leaves_the_transformer_unchanged(transformer, rng):
    X, _ = sample(transformer, rng)
    recorder = Recorder(RuntimeError("enough"))
    watched = clone(transformer).set_callbacks(recorder)
    before = set(vars(watched))
    with pytest.raises(RuntimeError, match="enough"):
        watched.fit(X)
    assert recorder.calls[-1] == "teardown"
    assert set(vars(watched)) == before
    with pytest.raises(ValueError, match=r"expected|Expected"):
        watched.fit([])
    assert recorder.calls[-1] == "teardown"
    assert set(vars(watched)) == before


@every
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_pipeline_with_a_progress_bar(transformer, rng, seed):
    """Without the support for callbacks, the pipeline warns, and warnings are errors here."""
    pytest.importorskip("rich", reason="what draws the bar")
    X, y = sample(transformer, rng)
    tokens = isinstance(transformer, TokenEncoder)
    lstm = LSTMClassifier(**SMALL, vocabulary_size=3 if tokens else None, random_state=seed)
    pipeline = make_pipeline(clone(transformer), lstm)
    out = io.StringIO()
    with redirect_stdout(out):
        pipeline.set_callbacks(callback.ProgressBar()).fit(X, y)
    assert type(transformer).__name__ in out.getvalue()
    assert not hasattr(pipeline[0], "_parent_callback_ctx")
    assert pipeline.predict(X).shape == (len(X),)
