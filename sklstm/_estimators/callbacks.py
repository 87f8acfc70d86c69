"""From what a solver tells to scikit-learn's callbacks: one task an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklstm._solvers.observers import BatchDone, Progress


class EpochCallbacks:
    """Hears of batches and epochs, and passes on what the callbacks answer.

    ``data`` is what they are told of the samples; ``attributes`` gives the fitted attributes of the
    moment, for callbacks that score.
    """

    def __init__(
        self,
        estimator: Any,
        context: Any,
        data: dict[str, Any],
        attributes: Callable[[], dict[str, Any]],
    ) -> None:
        self._estimator = estimator
        self._context = context
        self._data = data
        self._attributes = attributes
        self._epoch: Any = None

    def __call__(self, event: BatchDone | Progress) -> bool:
        if self._epoch is None:
            self._epoch = self._context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)
        if isinstance(event, BatchDone):
            return False
        epoch, self._epoch = self._epoch, None
        return bool(
            epoch.call_on_fit_task_end(
                estimator=self._estimator,
                reconstruction_attributes=self._attributes,
                **self._data,
            )
        )
