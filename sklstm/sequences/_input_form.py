"""The form of X that `fit` saw, by which later X is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from sklstm._persistence import shallow_copy
from sklstm.sequences._containers import is_frame, open_container, read_numbers
from sklstm.sequences._packing import Sequences
from sklstm.sequences._reading import FLOAT_DTYPES, all_finite, check_sequences
from sklstm.sequences._scaling import Scaling


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
        if sequences.frame is None:  # without names, `validate_data` would only count the columns
            n_features = _columns(sequences, table).shape[1]
            return cls(table, n_features, vocabulary_size=vocabulary_size)
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

    def open(self, X: Any) -> Any:
        """Return X as an array, a frame or a list; of tokens, nested lists are sequences."""
        return open_container(X, tokens=self.vocabulary_size is not None)

    def read(self, X: Any, estimator: Any, first_sample: int = 0) -> Sequences:
        """Check X, stack its sequences, and check them against this form."""
        usual = self.read_usual(X)
        if usual is not None:
            return usual
        X = self.open(X)
        sequences = check_sequences(X, first_sample=first_sample, estimator=estimator)
        return self.check(sequences, estimator, first_sample)

    def read_usual(self, X: Any, scaling: Scaling | None = None) -> Sequences | None:
        """Return the sequences of an array that needs no conversion and no message, else None.

        ``scaling`` will be applied to them.
        """
        shape: tuple[int, ...] = (
            X.shape if type(X) is np.ndarray and X.dtype in FLOAT_DTYPES else ()
        )
        has_form = len(shape) == (2 if self.table else 3) and shape[-1] == self.n_features
        as_in_fit = self.feature_names is None and self.vocabulary_size is None
        if not (has_form and as_in_fit and X.size and X.flags.c_contiguous and all_finite(X)):
            return None
        lengths = np.full(shape[0], shape[1])
        if self.table:
            return Sequences(
                X.reshape(-1, 1), lengths, "2d", None, shape[1], flat=True, scaling=scaling
            )
        return Sequences(X.reshape(-1, shape[2]), lengths, "3d", None, shape[1], scaling=scaling)

    def check(self, sequences: Sequences, estimator: Any, first_sample: int = 0) -> Sequences:
        """The sequences, if they have this form; tokens as integers."""
        if self.table:
            sequences = self._as_table(sequences, type(estimator).__name__)
        elif sequences.form == "2d" and self.n_features != 1:
            raise ValueError(
                f"{type(estimator).__name__} was fitted on sequences with {self.n_features} "
                "features; expected a 3-D array or a list of arrays, got a 2-D array, which is "
                f"read as univariate series (shape=({len(sequences)}, {sequences.lengths[0]})); "
                "put a single sequence into a list, [X]"
            )
        if not self._has_columns(sequences):
            stand_in = _stand_in(estimator, self.attributes)
            _validate(stand_in, _columns(sequences, self.table), "X")
        if self.vocabulary_size is None:
            return sequences
        return as_tokens(sequences, self.vocabulary_size, first_sample)

    def _has_columns(self, sequences: Sequences) -> bool:
        """Whether these are as many columns as in `fit`, neither of them with names."""
        named = self.feature_names is not None or sequences.frame is not None
        n_columns = sequences.lengths[0] if self.table else sequences.values.shape[1]
        return not named and n_columns == self.n_features

    def step_values(self, X_t: Any, estimator: Any) -> NDArray[Any]:
        """Return the numbers of one time step; names of features are checked or give the order."""
        names = None if self.table or self.feature_names is None else self.feature_names.tolist()
        X_t = join_dicts(X_t)
        if isinstance(X_t, Mapping) or (names is not None and has_text_index(X_t)):
            return _by_name(X_t, names)
        X_t = open_container(X_t, "X_t")
        if is_frame(X_t) and not self.table:
            _validate(_stand_in(estimator, self.attributes), X_t, "X_t")
        return read_numbers(X_t, "X_t")

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
            f"{'list' if sequences.form == 'list' else '3-D array'} with {got}. To use sequences "
            "of any length, fit it on a 3-D array or a list of arrays; nested lists of equal "
            "lengths are read as a 2-D array."
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


def join_dicts(X_t: Any) -> Any:
    """Return a list with a dict for each stream as one dict of lists; another X_t unchanged."""
    if not (isinstance(X_t, list | tuple) and X_t and isinstance(X_t[0], Mapping)):
        return X_t
    names = X_t[0].keys()
    for k, x in enumerate(X_t):
        if not isinstance(x, Mapping) or x.keys() != names:
            got = list(x) if isinstance(x, Mapping) else type(x).__name__
            raise ValueError(
                f"X_t[{k}]: expected the features {list(names)} as in X_t[0], got {got}"
            )
    return {name: [x[name] for x in X_t] for name in names}


def has_text_index(X_t: Any) -> bool:
    """Whether X_t is a series of pandas whose index holds names."""
    return getattr(X_t, "ndim", 0) == 1 and all(
        isinstance(name, str) for name in getattr(X_t, "index", [0])
    )


def _by_name(X_t: Any, names: list[str] | None) -> NDArray[Any]:
    """Return the values of the features in the order of ``names``."""
    if names is None:
        raise ValueError(
            "X_t: expected an array, since the model was fitted without feature names, got an "
            f"object of type {type(X_t).__name__}"
        )
    found = list(X_t.keys())
    missing = [name for name in names if name not in found]
    unknown = [name for name in found if name not in names]
    if missing or unknown or len(found) != len(names):
        raise ValueError(
            f"X_t: expected the features {names} once each, missing {missing}, unknown {unknown}"
        )
    values = [np.atleast_1d(read_numbers(X_t[name], f"X_t[{name!r}]")) for name in names]
    if any(value.ndim > 1 or value.shape != values[0].shape for value in values):
        raise ValueError(
            "X_t: expected one number for each feature, or arrays of shape (n_streams,), got the "
            f"shapes {[value.shape for value in values]}"
        )
    return np.column_stack(values)


def _validate(stand_in: Any, columns: Any, name: str) -> None:
    """Check the number and the names of features against those of `fit`."""
    try:
        validate_data(stand_in, columns, reset=False, skip_check_array=True)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


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
