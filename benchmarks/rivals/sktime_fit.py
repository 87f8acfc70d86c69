"""A whole fit by sktime's recurrent classifier.

sktime has no classifier that is an LSTM and nothing else. Its GRU classifier is the nearest: what
is swapped here is the network, and what is timed is all of sktime around it. It takes the samples
in their order, without shuffling.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from fit_problem import BATCH, LEARNING_RATE, MOST_EPOCHS, FitProblem, Fitted, Unable
from sktime.classification.deep_learning.gru import GRUClassifier

from rivals.torch_network import Network


class _Done(Exception):
    """The loss is reached."""


class _Inputs(Network):
    """The network under the name that sktime hands its inputs by."""

    def forward(self, X: Any) -> Any:
        return super().forward(X)


class LSTMInGRUClassifier(GRUClassifier):
    wanted = 0.0  # of the class: sktime's fit clears what it finds on an instance

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
        num_epochs=MOST_EPOCHS, batch_size=BATCH, lr=LEARNING_RATE, random_state=problem.seed
    )
    LSTMInGRUClassifier.wanted = problem.loss
    with suppress(_Done):
        classifier.fit(problem.x.transpose(0, 2, 1), problem.y)
    return classifier.fitted
