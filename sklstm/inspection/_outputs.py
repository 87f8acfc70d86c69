"""The output of a model that is explained, as a function of the raw predictions.

Shapes: ``n`` sequences, ``R`` rows of raw predictions (one for each sequence, or for each time step
of all sequences), ``K`` values of a raw prediction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.model import FittedModel
from sklstm._estimators.number_targets import NumberTargets
from sklstm._estimators.targets import Targets
from sklstm.sequences import Sequences

Array = NDArray[np.floating]
Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Output:
    """A logit or a regression output; with a prediction for each step, of one step or of all.

    Values and gradients count in the unit ``unit``, and values without the mean of the targets.

    ``counted`` (R,) tells which rows count, None that all do. ``fixed`` (R, K) is the gradient if
    it does not depend on the raw predictions.
    """

    targets: Targets
    target: Any
    per_step: bool
    counted: NDArray[np.bool_] | None = None
    fixed: Array | None = None

    @property
    def unit(self) -> float:
        """The unit of a regression output."""
        return self.targets.gradient_unit(self.target)

    @classmethod
    def of(
        cls, model: FittedModel, target: Any, step: Any, sequences: Sequences, first_sample: int
    ) -> Output:
        """The output of these sequences; the first of them has this index in errors."""
        form = model.form
        if step is None:
            return cls(form.targets, target, form.per_step)
        if not form.per_step:
            raise ValueError(
                "step: expected None, because the estimator predicts one value for each sequence "
                f"(return_sequences=False), got {step!r}"
            )
        counted = np.zeros(len(sequences.values), bool)
        counted[_rows_of_step(sequences, step, first_sample)] = True
        return cls(form.targets, target, True, counted)

    def at(self, raw: Array) -> Output:
        """The same output of the same sequences elsewhere: where None is the class predicted here.

        ``raw`` (R, K) are the raw predictions of the sequences.
        """
        if isinstance(self.targets, NumberTargets):
            return self
        return replace(self, fixed=self.targets.gradient(raw, self.target))

    def gradient(self, raw: Array, rows: Rows) -> Array:
        """The gradient at the raw predictions (r, K) of some rows."""
        if self.fixed is None:
            gradient = self.targets.gradient(raw, self.target)
        else:
            gradient = self.fixed[rows].astype(raw.dtype, copy=False)
        if self.counted is None:
            return gradient
        return gradient * self.counted[rows, None].astype(raw.dtype)

    def values(self, raw: Array, rows: Rows, lengths: Rows) -> Array:
        """The output of sequences with these lengths (n,), given the raw predictions of all rows.

        With several steps, it is the sum of their outputs.
        """
        if isinstance(self.targets, NumberTargets):
            values = self.targets.outputs(raw, self.target)
        else:
            assert self.fixed is not None
            values = (raw.astype(np.float64) * self.fixed[rows]).sum(axis=1)
        if self.counted is not None:
            values = np.where(self.counted[rows], values, 0.0)
        if self.per_step:
            values = np.add.reduceat(values, np.cumsum(lengths) - lengths)
        return values


def _rows_of_step(sequences: Sequences, step: Any, first_sample: int) -> Rows:
    """Return the stacked row of this step of each sequence."""
    step, lengths = index(step), sequences.lengths
    wrong = (step >= lengths) | (step < -lengths)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ValueError(
            f"step: expected a step of X[{first_sample + k}], which has {lengths[k]}, got {step}"
        )
    return sequences.starts + (step if step >= 0 else lengths + step)
