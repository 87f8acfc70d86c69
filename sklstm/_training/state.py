"""Where training stands: what it changes in place, and what a later call continues from."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._persistence import require

Array = NDArray[np.floating]


@dataclass(eq=False, repr=False)
class TrainingState:
    """Parameters and solver moments as flat vectors, counters, and the record of all epochs.

    ``split_seed`` chose the samples that early stopping holds out; a later call holds out the same.
    """

    parameters: Array
    rng: np.random.RandomState
    moments: list[Array] = field(default_factory=list)
    step: int = 0
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    best_score: float | None = None
    split_seed: int | None = None

    def copy(self) -> TrainingState:
        """A state that can be changed without changing this one."""
        return replace(
            self,
            parameters=self.parameters.copy(),
            rng=deepcopy(self.rng),
            moments=[moment.copy() for moment in self.moments],
            loss_curve=list(self.loss_curve),
            validation_scores=list(self.validation_scores),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values to save; `from_dict` restores the state."""
        return {**vars(self), "rng": self.rng.get_state(legacy=False)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingState:
        """The state that `as_dict` described."""
        require(values, (field.name for field in fields(cls)), "training state")
        rng = np.random.RandomState()
        rng.set_state(values["rng"])
        return cls(**{**values, "rng": rng})
