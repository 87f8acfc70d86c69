"""A whole fit by skorch's classifier with the PyTorch network."""

from __future__ import annotations

from typing import Any

import torch
from fit_problem import BATCH, LEARNING_RATE, MAX_EPOCHS, FitProblem, Fitted
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback

from rivals.torch_network import Network


class StopAt(Callback):
    def __init__(self, loss: float) -> None:
        self.loss = loss

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        if net.history[-1, "train_loss"] <= self.loss:
            raise KeyboardInterrupt  # ends a fit early in skorch


def fit(problem: FitProblem) -> Fitted:
    torch.manual_seed(problem.seed)
    classifier = NeuralNetClassifier(
        Network,
        module__n_inputs=problem.x.shape[2],
        module__n_classes=problem.n_classes,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=BATCH,
        max_epochs=MAX_EPOCHS,
        train_split=None,
        iterator_train__shuffle=True,
        callbacks=[StopAt(problem.loss)],
        verbose=0,
    )
    inputs: Any = {"x": problem.x, "lengths": problem.lengths} if problem.ragged else problem.x
    classifier.fit(inputs, problem.y)
    history = classifier.history
    return Fitted(len(history), float(history[-1, "train_loss"]))
