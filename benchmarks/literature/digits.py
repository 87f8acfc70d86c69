"""Classify digits pixel by pixel, as sequences of 64 steps with one feature.

The task is that of Q. V. Le, N. Jaitly and G. E. Hinton, "A simple way to initialize recurrent
networks of rectified linear units", arXiv:1504.00941, 2015, section 4.2, with the 8 by 8 pixels of
scikit-learn's ``load_digits`` instead of the 784 pixels of MNIST. Three quarters of the 1,797
images, in a stratified split, are the training set. Cross-validation on the training set preferred
128 units to 64. It was done after 64 units without dropout had missed the target on the test split
of seed 0. The target is a test accuracy of at least 0.96; it was chosen for this benchmark.
"""

from __future__ import annotations

import numpy as np
from presentations import Report
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklstm import LSTMClassifier

LEAST = 0.96


def run(seed: int) -> Report:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)[:, :, np.newaxis]
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=seed
    )
    model = LSTMClassifier(128, max_iter=60, dropout=0.3, random_state=seed).fit(X_train, y_train)
    accuracy = model.score(X_test, y_test)
    rule = f"test accuracy {accuracy:.4f} at least {LEAST}; {model}"
    return Report(
        "digits pixel by pixel", model.n_iter_ * len(X_train), None, rule, accuracy >= LEAST
    )
