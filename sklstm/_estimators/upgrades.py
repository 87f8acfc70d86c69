"""What turns the saved state of an estimator into one of the next format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

State = dict[str, Any]

#: The format of estimators that are saved now.
FORMAT = 7


def _with_shape_of_targets(state: State) -> State:
    """Numbers had one or several columns; since format 2 they have a shape."""

    def upgrade(targets: State) -> State:
        if targets["kind"] != "number":
            return targets
        shape = [] if targets["one_column"] else [targets["n_outputs"]]
        kept = {key: targets[key] for key in targets if key not in ("one_column", "n_outputs")}
        return {**kept, "shape": shape}

    return _changed(state, ("model", "form", "targets"), upgrade)


def _without_scaling(state: State) -> State:
    """Inputs were not scaled; since format 3 there is a parameter for it."""
    state = {**state, "scale_inputs": False}
    return _changed(state, ("model", "form"), lambda form: {**form, "scaling": None})


def _validating_the_loss_at_random(state: State) -> State:
    """Since format 4, parameters choose the samples that are held out, and their score."""
    return {**state, "validation_splitter": "random", "scoring": "loss"}


def _without_noise(state: State) -> State:
    """Since format 5, there is a parameter for noise."""
    return {**state, "input_noise": 0.0}


def _without_noise_of_scales(state: State) -> State:
    """Since format 6, there is a parameter for noise of the scale of channels."""
    return {**state, "scale_noise": 0.0}


def _without_smoothing(state: State) -> State:
    """Since format 7, there is a parameter of classifiers for label smoothing."""
    return {**state, "label_smoothing": 0.0} if "class_weight" in state else state


def _changed(state: State, path: tuple[str, ...], change: Callable[[State], State]) -> State:
    """A copy of nested states with one of them changed, if it is there."""
    if not path:
        return change(state)
    first, *rest = path
    if first not in state:
        return state
    return {**state, first: _changed(state[first], tuple(rest), change)}


#: From the number of a format to what turns its states into those of the next.
UPGRADES: dict[int, Callable[[State], State]] = {
    1: _with_shape_of_targets,
    2: _without_scaling,
    3: _validating_the_loss_at_random,
    4: _without_noise,
    5: _without_noise_of_scales,
    6: _without_smoothing,
}
