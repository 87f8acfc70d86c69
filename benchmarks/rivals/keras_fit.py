"""A whole fit by Keras, on the backend that KERAS_BACKEND names."""

from __future__ import annotations

from typing import Any

import keras
from fit_problem import BATCH, HIDDEN, LEARNING_RATE, MAX_EPOCHS, FitProblem, Fitted


class StopAt(keras.callbacks.Callback):
    def __init__(self, loss: float) -> None:
        super().__init__()
        self.loss = loss

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs["loss"] <= self.loss:
            self.model.stop_training = True


def fit(problem: FitProblem) -> Fitted:
    keras.utils.set_random_seed(problem.seed)
    layers = [keras.layers.Masking()] if problem.ragged else []
    layers += [keras.layers.LSTM(HIDDEN), keras.layers.Dense(problem.n_classes)]
    model = keras.Sequential([keras.Input(problem.x.shape[1:]), *layers])
    model.compile(
        keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(
        problem.x,
        problem.y,
        batch_size=BATCH,
        epochs=MAX_EPOCHS,
        verbose=0,
        callbacks=[StopAt(problem.loss)],
    )
    losses = history.history["loss"]
    return Fitted(len(losses), float(losses[-1]))
