"""Apply fitted transformers one time step at a time.

A transformer says how it does so in its method ``_step_function``, and which state it needs.

Shapes: ``n`` streams, ``D`` channels. Rows are an array (n, D) or a frame of n rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm.preprocessing._step_rows import take_rows
from sklstm.sequences import Sequences
from sklstm.sequences._containers import is_frame, read_numbers
from sklstm.sequences._step_values import missing_values

Array = NDArray[Any]
Mask = NDArray[np.bool_]
#: Arrays (n, ...) by name.
State = dict[str, Array]


@dataclass(frozen=True, eq=False)
class StepFunction:
    """How a fitted transformer treats one time step of ``n`` streams.

    Parameters
    ----------
    apply : callable
        From rows and a state, it returns the rows for the next transformer, the next state, and
        which streams have such a row (None if all have one). It changes neither its arguments nor
        the transformer, and treats each stream independently.
    read : callable
        From the ``X_t`` that a user gives, it returns rows.
    n_features : int
        Number of channels of the rows.
    initial : dict of str to ndarray
        The state of one stream before its first step.
    accepts : {"finite", "gaps", "all"}
        Which values the rows may have: finite numbers, also NaN, or anything.
    """

    apply: Callable[[Any, State], tuple[Any, State, Mask | None]]
    read: Callable[[Any], Any]
    n_features: int
    initial: State = field(default_factory=dict)
    accepts: Literal["finite", "gaps", "all"] = "finite"


class Advance(NamedTuple):
    """The result of a step: rows for the estimator, and which streams have one."""

    rows: Any
    ready: Mask
    states: list[State]
    active: Mask


def single_steps(rows: Any) -> Sequences:
    """Rows as sequences of one time step."""
    return Sequences(rows, np.ones(len(rows), np.intp), "list")


class StepChain:
    """Transformers, and their states for ``n_streams`` streams."""

    def __init__(self, steps: list[tuple[str, Any]], n_streams: int) -> None:
        self._names = [name for name, _ in steps]
        self._functions = [_step_function_of(name, step) for name, step in steps]
        self._static = next((step for _, step in steps if hasattr(step, "_facts")), None)
        self.n_steps = np.zeros(n_streams, np.intp)
        self._states: list[State] = [
            {key: np.repeat(value[None], n_streams, axis=0) for key, value in f.initial.items()}
            for f in self._functions
        ]

    def advance(self, X_t: Any, active: Mask) -> Advance:
        """Transform a time step of the active streams; `commit` makes it count."""
        rows, ready, states = self._read(X_t), active, []
        self._check_static_features(active)
        for k, state in enumerate(self._states):
            if not ready.any():
                states.append(state)
                continue
            rows, new, following = self._apply(k, rows, ready)
            states.append(_where(ready, new, state))
            ready = ready if following is None else ready & following
        return Advance(rows, ready, states, active)

    def commit(self, advance: Advance) -> None:
        """Make a step count."""
        self._states = advance.states
        self.n_steps += advance.active

    def reset(self, streams: NDArray[np.intp], static: Any) -> None:
        """Start new sequences, with their static features as a frame if there are any."""
        features = self._static_features(len(streams), static)
        self.n_steps[streams] = 0
        for function, state in zip(self._functions, self._states, strict=True):
            for name, value in function.initial.items():
                state[name][streams] = value
        if features is not None:
            self._states[0]["static"][streams] = features
            self._states[0]["known"][streams] = 1

    def arrays(self) -> State:
        """The states by name."""
        return {
            f"{name}.{key}": value
            for name, state in zip(self._names, self._states, strict=True)
            for key, value in state.items()
        }

    def set_arrays(self, given: Mapping[str, Array], n_steps: NDArray[np.intp]) -> None:
        """Continue from states that `arrays` returned."""
        self.n_steps = n_steps.copy()
        for name, array in self.arrays().items():
            array[...] = given[name]

    def _read(self, X_t: Any) -> Any:
        """The rows of a time step, all streams."""
        first, n = self._functions[0], len(self.n_steps)
        rows = first.read(X_t)
        shape = (n, first.n_features)
        if not is_frame(rows) and rows.ndim == 1 and 1 in shape:
            rows = rows.reshape(-1, 1) if first.n_features == 1 else rows[np.newaxis]
        if rows.shape != shape:
            raise ValueError(
                f"X_t: expected shape {shape}, (n_streams, n_features), got {rows.shape}"
            )
        return rows

    def _apply(self, k: int, rows: Any, active: Mask) -> tuple[Any, State, Mask | None]:
        """Apply the k-th transformer; streams that are not active get the row of an active one."""
        function = self._functions[k]
        if function.accepts != "all":
            rows = self._numbers(rows, active, function.accepts)
        if not active.all():
            rows = take_rows(rows, np.where(active, np.arange(len(active)), np.argmax(active)))
        try:
            return function.apply(rows, self._states[k])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self._where(rows, active)}, {self._names[k]}: {error}") from error

    def _numbers(self, rows: Any, active: Mask, accepts: str) -> Array:
        """The rows as floats, if the active ones have accepted values."""
        numbers = read_numbers(rows, "X_t")
        if numbers.dtype != np.float32:
            numbers = numbers.astype(np.float64, copy=False)
        wrong = ~np.isfinite(numbers) if accepts == "finite" else np.isinf(numbers)
        wrong &= active[:, None]
        if wrong.any():
            stream, feature = np.argwhere(wrong)[0]
            expected = "finite numbers" if accepts == "finite" else "finite numbers, or NaN"
            raise ValueError(
                f"X_t[{stream}], step {self.n_steps[stream]}: expected {expected}, got "
                f"{numbers[stream, feature]}"
            )
        return numbers

    def _where(self, rows: Any, active: Mask) -> str:
        """The first active stream with a missing value, if there is one."""
        values = rows.to_numpy() if is_frame(rows) else rows
        streams = np.flatnonzero(missing_values(values).any(axis=1) & active)
        return f"X_t[{streams[0]}], step {self.n_steps[streams[0]]}" if len(streams) else "X_t"

    def _check_static_features(self, active: Mask) -> None:
        if self._static is None or not self._static._facts:
            return
        unknown = np.flatnonzero(active & (self._states[0]["known"] == 0))
        if len(unknown):
            raise ValueError(
                f"stream(s) {unknown.tolist()}: the facts {self._static._facts} are not known; "
                "pass a data frame with one row for each stream to reset(static=...)"
            )

    def _static_features(self, n: int, static: Any) -> Array | None:
        """Static features of ``n`` streams, of a frame; an error if there is none or no use."""
        if self._static is None or not self._static._facts:
            if static is None:
                return None
            raise ValueError("static: the estimator has no AppendStatic with facts")
        if static is None:
            raise ValueError(
                f"static: expected a data frame with the columns {self._static._facts} of the "
                f"{n} stream(s) to reset, got None"
            )
        features = self._static._static_features(static, "static")
        if len(features) != n:
            raise ValueError(
                f"static: expected one row for each of the {n} stream(s) to reset, got "
                f"{len(features)}"
            )
        return features


def _where(active: Mask, new: State, old: State) -> State:
    """The new state of active streams, and the old one of others."""
    if active.all():
        return new
    kept = {name: value.copy() for name, value in old.items()}
    for name, value in kept.items():
        value[active] = new[name][active]
    return kept


def _step_function_of(name: str, step: Any) -> StepFunction:
    kind = type(step).__name__
    if not hasattr(step, "_step_function"):
        raise TypeError(
            f"estimator: the step {name!r} ({kind}) cannot be applied step by step. Transformers "
            "of tables can if they are wrapped: StepTransformer(...)"
        )
    try:
        function: StepFunction = step._step_function()
    except ValueError as error:
        raise ValueError(
            f"estimator: the step {name!r} ({kind}) cannot be applied step by step: {error}"
        ) from error
    return function
