"""User code that mypy checks against the annotations of the public names; it is never run."""

from typing import Any, assert_type

import numpy as np
from sklearn.pipeline import make_pipeline

import sklstm
from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.metrics import get_scorer, r2_score
from sklstm.preprocessing import SequenceScaler
from sklstm.sequences import check_sequences, make_windows
from sklstm.streaming import SequenceStream

X = [np.zeros((3, 2)), np.zeros((5, 2))]
classifier = LSTMClassifier((32, 16), bidirectional=True, class_weight={"a": 2.0}, random_state=0)
assert_type(classifier.fit(X, ["a", "b"], sample_weight=[1.0, 2.0]), LSTMClassifier)
assert_type(classifier.score(X, ["a", "b"]), float)
assert_type(LSTMRegressor(loss="quantile", quantile=0.9).fit(X, [0.0, 1.0]), LSTMRegressor)
assert_type(classifier.loss_curve_, list[float])
model = make_pipeline(SequenceScaler(), classifier)
windows, targets = make_windows(np.arange(30.0), width=5)
stream = SequenceStream(classifier, n_streams=2)
stream.step(np.zeros((2, 2)))
lengths = check_sequences(X).lengths
with sklstm.config_context(kernels="numpy"):
    labels: Any = classifier.predict(X)
scorer, score = get_scorer("f1_macro"), r2_score([[1.0, 2.0]], [[1.0, 2.5]])

LSTMClassifier(units=3)  # type: ignore[call-arg]
LSTMClassifier(8, True)  # type: ignore[call-arg]
SequenceStream(classifier).step()  # type: ignore[call-arg]
