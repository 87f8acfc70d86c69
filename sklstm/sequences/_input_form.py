"""The form of X that `fit` saw, by which later X is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from sklstm._persistence import shallow_copy
from sklstm.sequences._packing import Sequences
from sklstm.sequences._reading import check_sequences


@dataclass(frozen=True, eq=False)
class InputForm:
    """What `fit` saw of X.

    ``table`` tells whether it was a 2-D array, whose columns are time steps; ``n_features`` counts
    these columns, or else the channels. Errors name the class of the ``estimator`` that reads.
    """

    table: bool
    n_features: int
    feature_names: NDArray[Any] | None = None
    vocabulary_size: int | None = None

    @classmethod
    def of(
        cls, sequences: Sequences, estimator: Any, vocabulary_size: int | None = None
    ) -> InputForm:
        """The form of the sequences that `fit` is given."""
        table = sequences.form == "2d"
        stand_in = _stand_in(estimator, {})
        validate_data(stand_in, _columns(sequences, table), reset=True, skip_check_array=True)
        names = getattr(stand_in, "feature_names_in_", None)
        return cls(table, stand_in.n_features_in_, names, vocabulary_size)

    @property
    def n_channels(self) -> int:
        """Channels of a time step."""
        return 1 if self.table else self.n_features

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes that scikit-learn asks of a fitted estimator."""
        names = {} if self.feature_names is None else {"feature_names_in_": self.feature_names}
        return {"n_features_in_": self.n_features, **names}

    def as_dict(self) -> dict[str, Any]:
        """Plain values to save; ``InputForm(**values)`` restores the form."""
        return asdict(self)

    def read(self, X: Any, estimator: Any, first_sample: int = 0) -> Sequences:
        """Check X, stack its sequences, and check them against this form."""
        sequences = check_sequences(X, first_sample=first_sample, estimator=estimator)
        return self.check(sequences, estimator, first_sample)

    def check(self, sequences: Sequences, estimator: Any, first_sample: int = 0) -> Sequences:
        """The sequences, if they have this form; tokens as integers."""
        if self.table:
            sequences = self._as_table(sequences, type(estimator).__name__)
        elif sequences.form == "2d" and self.n_features != 1:
            raise ValueError(
                f"{type(estimator).__name__} was fitted on sequences with {self.n_features} "
                "features; expected a 3-D array or a list of arrays, got a 2-D array, which is "
                f"read as univariate series (shape=({len(sequences)}, {sequences.lengths[0]}))"
            )
        stand_in = _stand_in(estimator, self.attributes)
        columns = _columns(sequences, self.table)
        validate_data(stand_in, columns, reset=False, skip_check_array=True)
        if self.vocabulary_size is None:
            return sequences
        return as_tokens(sequences, self.vocabulary_size, first_sample)

    def _as_table(self, sequences: Sequences, name: str) -> Sequences:
        """Equally long univariate series, as many steps as the table had columns."""
        if sequences.form == "2d":
            return sequences
        n_channels = sequences.values.shape[1]
        wrong = sequences.lengths != self.n_features
        if sequences.form == "list" and n_channels == 1 and not wrong.any():
            return sequences
        got = f"{n_channels} feature(s) a step"
        if wrong.any():
            sample = int(np.argmax(wrong))
            got = f"{sequences.lengths[sample]} steps in sample {sample}"
        raise ValueError(
            f"{name} was fitted on a 2-D array (n_samples, {self.n_features}): expected such an "
            f"array, or a list of univariate series of {self.n_features} steps, got a "
            f"{'list' if sequences.form == 'list' else '3-D array'} with {got}. Fit it on a 3-D "
            "array or a list to use sequences of any length."
        )


def as_tokens(
    sequences: Sequences, vocabulary_size: int, first_sample: int = 0, name: str = "X"
) -> Sequences:
    """Sequences (S, 1) of integers below ``vocabulary_size``."""
    values = sequences.values
    if values.shape[1] != 1:
        raise ValueError(
            f"vocabulary_size={vocabulary_size} reads {name} as tokens: expected one integer for "
            f"each step, got sequences with {values.shape[1]} features"
        )
    known = (values >= 0) & (values < vocabulary_size) & (values == np.floor(values))
    if not known.all():
        row = int(np.argmin(known[:, 0]))
        sample, step = sequences.where(row)
        raise ValueError(
            f"{name}[{first_sample + sample}]: expected tokens from 0 to {vocabulary_size - 1} "
            f"(vocabulary_size={vocabulary_size}), got {values[row, 0]:.12g} at step {step}"
        )
    return replace(sequences, values=values.astype(np.intp))


def _columns(sequences: Sequences, table: bool) -> Any:
    """What has the features as columns: the frame that was given, or else an array."""
    if sequences.frame is not None and table == (sequences.form == "2d"):
        return sequences.frame
    return sequences.values.reshape(len(sequences), -1) if table else sequences.values


def _stand_in(estimator: Any, attributes: dict[str, Any]) -> Any:
    """An estimator of the same class and settings, on which `validate_data` may set attributes."""
    stand_in = shallow_copy(estimator)
    stand_in.__dict__.pop("feature_names_in_", None)
    stand_in.__dict__.update(attributes)
    return stand_in
