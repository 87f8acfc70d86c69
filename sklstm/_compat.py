"""Private names of scikit-learn, and replacements for names that older versions lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)

if TYPE_CHECKING:
    Method = TypeVar("Method", bound=Callable[..., Any])

    def _fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Method], Method]:
        """Return a decorator that keeps the type of a method, unlike that of scikit-learn."""

else:
    from sklearn.base import _fit_context

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn < 1.9

    class _NoCallbacks:
        """A callback context without callbacks."""

        def subcontext(self, **_: Any) -> _NoCallbacks:
            return self

        def call_on_fit_task_begin(self, **_: Any) -> _NoCallbacks:
            return self

        def call_on_fit_task_end(self, **_: Any) -> bool:
            return False

    class CallbackSupportMixin:  # type: ignore[no-redef]  # replaces the import above
        """Replacement for scikit-learn's mixin."""

        def _init_callback_context(self, **_: Any) -> _NoCallbacks:
            return _NoCallbacks()


#: Attributes that scikit-learn's callbacks set on an estimator while it is fitted.
CALLBACK_ATTRIBUTES = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")


def has_callbacks(estimator: Any) -> bool:
    """Return whether callbacks of scikit-learn are to be called while the estimator is fitted."""
    return bool(getattr(estimator, "_skl_callbacks", None))


__all__ = [
    "CALLBACK_ATTRIBUTES",
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "Options",
    "StrOptions",
    "_fit_context",
    "has_callbacks",
    "validate_parameter_constraints",
]
