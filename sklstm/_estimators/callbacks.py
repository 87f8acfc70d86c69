"""scikit-learn's callbacks: one task for each epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklstm._compat import has_callbacks
from sklstm._solvers.observers import BatchDone, Progress


class FitTask:
    """The task of one call of a method, and the calls of the estimator's callbacks for it."""

    def __init__(
        self, name: str, estimator: Any, data: dict[str, Any], n_epochs: int | None
    ) -> None:
        self._estimator = estimator
        self._data = data
        self._context = estimator._init_callback_context(task_name=name, max_subtasks=n_epochs)
        self._context.call_on_fit_task_begin(estimator=estimator, **data)

    def epochs(self, attributes: Callable[[], dict[str, Any]]) -> EpochCallbacks | None:
        """What training calls after each batch and each epoch; None without callbacks."""
        if not has_callbacks(self._estimator):
            return None
        return EpochCallbacks(self._estimator, self._context, self._data, attributes)

    def end(self, attributes: Callable[[], dict[str, Any]]) -> None:
        """Call the callbacks with the attributes of the fitted estimator."""
        self._context.call_on_fit_task_end(
            estimator=self._estimator, reconstruction_attributes=attributes, **self._data
        )


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
