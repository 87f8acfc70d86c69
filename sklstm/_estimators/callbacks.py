"""scikit-learn's callbacks: one task for each epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklstm._solvers.observers import BatchDone, Progress


class EpochCallbacks:
    """Calls the estimator's callbacks at the beginning and end of each epoch.

    ``data`` are the samples to pass to them; ``attributes`` returns the fitted attributes that the
    estimator would have now, for callbacks that score.
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
