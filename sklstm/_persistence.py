"""Copies of objects, and the states that pickle, joblib and skops save.

A saved state is a plain dict with a format number. It names no private class, so that saved models
do not depend on where code lies. Each kind of object has a number for its format, the fields of
that format, and a function for each earlier format that turns its state into one of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")
State = dict[str, Any]
#: From the number of a format to what turns its states into those of the next.
Upgrades = Mapping[int, Callable[[State], State]]

FIELD = "format"


def shallow_copy(instance: T) -> T:
    """An object of the same class with the same attributes; setting them changes only the copy."""
    copy = object.__new__(type(instance))
    copy.__dict__ = dict(instance.__dict__)
    return copy


class PlainState:
    """Mixin of estimators whose saved state is a plain dict with a format number.

    It comes before `BaseEstimator` in the list of bases. A class that holds private objects
    replaces them by plain values in `_to_plain`, and restores them in `_from_plain`.
    """

    _format: ClassVar[int] = 1
    _upgrades: ClassVar[Upgrades] = {}
    #: Attributes that are not saved.
    _transient: ClassVar[tuple[str, ...]] = ()
    _get_param_names: Any  # a class method of BaseEstimator

    def _to_plain(self, attributes: State) -> State:
        return attributes

    def _from_plain(self, state: State) -> State:
        return state

    def __getstate__(self) -> State:
        saved = {name: value for name, value in vars(self).items() if name not in self._transient}
        return with_format(self._to_plain(saved), self._format)

    def __setstate__(self, state: State) -> None:
        fields = self._get_param_names()
        name = type(self).__name__
        self.__dict__ = self._from_plain(checked(state, self._format, fields, name, self._upgrades))


def with_format(state: State, current: int) -> State:
    """The state to save."""
    return {FIELD: current, **state}


def checked(
    state: Any, current: int, fields: Iterable[str], name: str, upgrades: Upgrades | None = None
) -> State:
    """A saved state in the current format; an error if it cannot be read.

    Parameters
    ----------
    state : dict
        What was saved, by this version or another.
    current : int
        The format of this version.
    fields : iterable of str
        What a state of this format has, at least.
    name : str
        Class of the object, for messages.
    upgrades : mapping of int to callable, optional
        How to turn a state of an earlier format into one of the next.

    Returns
    -------
    dict
        The state without its format number.

    Raises
    ------
    ValueError
        If the format is newer or unknown, or if a field is missing.
    """
    found = state.get(FIELD) if isinstance(state, dict) else None
    if not isinstance(found, int):
        raise ValueError(f"{name}: expected a saved state with a format number, got none")
    if found > current:
        raise ValueError(
            f"{name}: the saved model has format {found}, and this version of sklstm reads formats "
            f"up to {current}. Load it with the version of sklstm that saved it, or a newer one."
        )
    for number in range(found, current):
        if number not in (upgrades or {}):
            raise ValueError(
                f"{name}: this version of sklstm reads no saved model of format {found}"
            )
        state = (upgrades or {})[number](state)
    require(state, fields, name)
    return {key: value for key, value in state.items() if key != FIELD}


def require(values: State, fields: Iterable[str], name: str) -> None:
    """Raise a ValueError unless a saved state, or a part of one, has all these fields."""
    missing = [field for field in fields if field not in values]
    if missing:
        raise ValueError(
            f"{name}: the saved model lacks {', '.join(missing)}; the file is damaged or incomplete"
        )
