"""Fit and predict by sklstm in a new process; `cold` runs this script."""

import warnings

import numpy as np

from sklstm import LSTMClassifier

rng = np.random.default_rng(0)
x, y = rng.standard_normal((100, 20, 4), dtype=np.float32), rng.integers(0, 2, 100)
classifier = LSTMClassifier(16, pooling="last", batch_size=32, max_iter=2, random_state=0)
with warnings.catch_warnings(action="ignore"):  # the maximum number of epochs was reached
    classifier.fit(x, y)
print(classifier.predict(x).mean())
