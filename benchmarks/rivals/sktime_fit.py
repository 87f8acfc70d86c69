"""A whole fit by sktime's recurrent classifier.

sktime has no classifier that is only an LSTM. The most similar one is its GRU classifier. Here its
network is replaced, and all other code is that of sktime. It does not shuffle the samples.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from fit_problem import BATCH, LEARNING_RATE, MAX_EPOCHS, FitProblem, Fitted, Unable
from sktime.classification.deep_learning.gru import GRUClassifier

from rivals.torch_network import Network


class _Done(Exception):
    """The loss is reached."""


class _Inputs(Network):
    """The network with the name of the argument that sktime uses."""

    def forward(self, X: Any) -> Any:
        return super().forward(X)


class LSTMInGRUClassifier(GRUClassifier):
    wanted = 0.0  # a class attribute, because sktime's fit resets instance attributes

    def _build_network(self, X: np.ndarray, y: np.ndarray) -> Network:
        return _Inputs(X.shape[1], len(np.unique(y)))

    def _run_epoch(self, epoch: int, dataloader: Any) -> None:
        losses: list[float] = []
        criterion = self._criterion

        def noting(logits: Any, labels: Any) -> Any:
            loss = criterion(logits, labels)
            losses.append(loss.item())
            return loss

        self._criterion = noting
        super()._run_epoch(epoch, dataloader)
        self._criterion = criterion
        self.fitted = Fitted(epoch + 1, float(np.mean(losses)))
        if self.fitted.loss <= self.wanted:
            raise _Done


def fit(problem: FitProblem) -> Fitted:
    if problem.ragged:
        raise Unable("sktime's classifier takes equal lengths only")
    classifier = LSTMInGRUClassifier(
        num_epochs=MAX_EPOCHS, batch_size=BATCH, lr=LEARNING_RATE, random_state=problem.seed
    )
    LSTMInGRUClassifier.wanted = problem.loss
    with suppress(_Done):
        classifier.fit(problem.x.transpose(0, 2, 1), problem.y)
    return classifier.fitted
