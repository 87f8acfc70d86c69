"""A ``functools.cached_property`` without a lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):
    """Compute an attribute when it is read for the first time.

    In Python 3.11, ``functools.cached_property`` holds a lock meanwhile. A process that is forked
    at that moment would wait for the lock forever. Without a lock, two threads may both compute the
    attribute, with the same result.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> cached_property[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: Any, owner: type) -> T | cached_property[T]:
        if instance is None:
            return self
        value = self._function(instance)
        vars(instance)[self._function.__name__] = value
        return value
