"""Where training stands: what it changes in place, and what a later call continues from."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._persistence import require
from sklstm._solvers.observers import Epoch

Array = NDArray[np.floating]


@dataclass(eq=False, repr=False)
class TrainingState:
    """Parameters and solver moments as flat vectors, counters, and the record of all epochs.

    ``step`` counts all updates, and ``moment_step`` those with the current moments, which start
    anew if the solver changes. ``rate_factor`` is the fraction of the initial learning rate with
    which partial_fit continues. ``split_seed`` chose the samples that early stopping holds out; a
    later call holds out the same. ``weight_seen`` and ``n_seen`` are the total weight and the
    number of all training sequences of the last fit and of the calls of partial_fit after it.
    """

    parameters: Array
    rng: np.random.RandomState
    moments: list[Array] = field(default_factory=list)
    step: int = 0
    moment_step: int = 0
    rate_factor: float = 1.0
    epochs: list[Epoch] = field(default_factory=list)
    best_score: float | None = None
    best_epoch: int | None = None
    split_seed: int | None = None
    weight_seen: float = 0.0
    n_seen: int = 0

    @property
    def loss_curve(self) -> list[float]:
        """The loss of each epoch."""
        return [epoch.loss for epoch in self.epochs]

    @property
    def validation_scores(self) -> list[float]:
        """The validation score of each epoch that has one."""
        return [epoch.score for epoch in self.epochs if epoch.score is not None]

    def copy(self) -> TrainingState:
        """A state that can be changed without changing this one."""
        return replace(
            self,
            parameters=self.parameters.copy(),
            rng=deepcopy(self.rng),
            moments=[moment.copy() for moment in self.moments],
            epochs=list(self.epochs),
        )

    def astype(self, dtype: np.dtype[np.floating]) -> TrainingState:
        """The state with parameters and moments in this dtype."""
        moments = [moment.astype(dtype, copy=False) for moment in self.moments]
        return replace(self, parameters=self.parameters.astype(dtype, copy=False), moments=moments)

    def as_dict(self) -> dict[str, Any]:
        """Plain values to save; `from_dict` restores the state."""
        epochs = [list(epoch) for epoch in self.epochs]
        return {**vars(self), "rng": self.rng.get_state(legacy=False), "epochs": epochs}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingState:
        """The state that `as_dict` described."""
        require(values, (field.name for field in fields(cls)), "training state")
        rng = np.random.RandomState()
        rng.set_state(values["rng"])
        epochs = [Epoch(*epoch) for epoch in values["epochs"]]
        return cls(**{**values, "rng": rng, "epochs": epochs})
