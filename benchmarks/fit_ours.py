"""A whole fit by sklstm."""

from __future__ import annotations

import warnings
from typing import Any

from fit_problem import BATCH, HIDDEN, LEARNING_RATE, MAX_EPOCHS, FitProblem, Fitted

from sklstm import LSTMClassifier


class StopAt:
    """A callback of scikit-learn that ends the fit when the training loss is small enough."""

    def __init__(self, loss: float) -> None:
        self.loss = loss

    def setup(self, estimator: Any, context: Any) -> None:
        pass

    def teardown(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> bool:
        return context.task_name == "epoch" and fitted_estimator.loss_ <= self.loss


def fit(problem: FitProblem) -> Fitted:
    classifier = LSTMClassifier(
        HIDDEN,
        pooling="last",
        alpha=0.0,
        label_smoothing=0.0,  # the loss that a loop in PyTorch has
        batch_size=BATCH,
        learning_rate_init=LEARNING_RATE,
        max_grad_norm=None,
        max_iter=MAX_EPOCHS,
        tol=0.0,
        n_iter_no_change=MAX_EPOCHS,
        random_state=problem.seed,
    )
    classifier.set_callbacks(StopAt(problem.loss))
    with warnings.catch_warnings(action="ignore"):  # the maximum number of epochs was reached
        classifier.fit(_as_users_have_it(problem), problem.y)
    return Fitted(classifier.n_iter_, classifier.loss_)


def _as_users_have_it(problem: FitProblem) -> Any:
    if not problem.ragged:
        return problem.x
    return [x[:length] for x, length in zip(problem.x, problem.lengths, strict=True)]
