"""Conversion of table rows to sequences."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklstm._compat import Interval
from sklstm.preprocessing._base import SequenceTransformer, in_form_of
from sklstm.preprocessing._streams import StepFunction
from sklstm.sequences import Sequences


class ToSequences(SequenceTransformer):
    """Reshape the rows of a table to sequences.

    A 2-D array (n_samples, n_timesteps * n_features) becomes a 3-D array
    (n_samples, n_timesteps, n_features). The columns hold all channels of the first time step,
    followed by all channels of the second, and so on (``t0_a, t0_b, t1_a, t1_b, ...``). With this
    transformer, an LSTM can follow transformers of tables, for example
    :class:`sklearn.compose.ColumnTransformer`.

    Parameters
    ----------
    n_features : int, default=1
        Number of channels. The number of columns must be a multiple of it.

    Attributes
    ----------
    n_timesteps_ : int or None
        Number of time steps of each sequence if ``X`` is 2-D, else None.

    n_features_in_ : int
        Number of columns if ``X`` is 2-D, else number of channels.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of ``X``, if all are strings.

    See Also
    --------
    SlidingWindow : Concatenates the time steps of sliding windows.

    Notes
    -----
    Missing values (NaN) are kept. In the 3-D array, time steps at the end of a sequence that are
    NaN in every channel are padding. In this way, the rows of a table can hold sequences of
    different lengths.

    ``X`` may also be a list or a 3-D array. If it has one channel, each sequence is reshaped in the
    same way; lengths may differ. If it has ``n_features`` channels, it is not changed.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.preprocessing import ToSequences
    >>> to_sequences = ToSequences(n_features=2)
    >>> X = to_sequences.fit_transform(np.arange(6).reshape(1, 6))
    >>> X
    array([[[0., 1.],
            [2., 3.],
            [4., 5.]]])
    >>> to_sequences.inverse_transform(X)
    array([[0., 1., 2., 3., 4., 5.]])
    """

    _takes_gaps = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_features": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, n_features: int = 1) -> None:
        self.n_features = n_features

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the channels that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns or channels of ``X``. If None, the names seen in `fit`, or "x0",
            "x1" and so on.

        Returns
        -------
        ndarray of str
            "a" and "b" if the columns are "t0_a", "t0_b", "t1_a", "t1_b" and so on, or if these are
            the names of the channels of ``X``. Otherwise "f0", "f1" and so on.

        Examples
        --------
        >>> import pandas as pd
        >>> from sklstm.preprocessing import ToSequences
        >>> X = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]], columns=["t0_a", "t0_b", "t1_a", "t1_b"])
        >>> ToSequences(n_features=2).fit(X).get_feature_names_out().tolist()
        ['a', 'b']
        """
        names = super().get_feature_names_out(input_features)
        if len(names) % self.n_features == 0:
            steps = names.reshape(-1, self.n_features).tolist()
            if len(steps) > 1:
                steps = [[n.removeprefix(f"t{t}_") for n in row] for t, row in enumerate(steps)]
            if all(row == steps[0] for row in steps):
                return np.array(steps[0], dtype=object)
        return np.array([f"f{k}" for k in range(self.n_features)], dtype=object)

    def inverse_transform(self, X: Any) -> Any:
        """Reshape sequences to the rows of a table.

        Parameters
        ----------
        X : array-like or list of n_samples sequences
            Sequences of shape (n_timesteps, n_features). If `fit` was called with a 2-D array, they
            must have ``n_timesteps_`` time steps.

        Returns
        -------
        ndarray, list or tuple
            If ``X`` is an array, a 2-D array (n_samples, n_timesteps * n_features), or a 3-D array
            with one channel if `fit` was called with a 3-D array; padding is NaN. If ``X`` is a
            list, a list of 1-D arrays.

        Raises
        ------
        ValueError
            If ``X`` has a wrong number of time steps or channels.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.preprocessing import ToSequences
        >>> to_sequences = ToSequences(n_features=2).fit(np.zeros((3, 4)))
        >>> to_sequences.inverse_transform(np.array([[[1.0, 2.0], [3.0, 4.0]]]))
        array([[1., 2., 3., 4.]])
        """
        check_is_fitted(self)
        sequences = _copied(self._check(X))
        width = sequences.values.shape[1]
        if width != self.n_features:
            raise ValueError(f"X: expected {self.n_features} feature(s), got {width}")
        if not self._flat:
            return in_form_of(X, sequences)
        if self._table:
            self._check_steps(sequences)
        flat = _reshape(sequences, 1, "2d" if self._table else "3d")
        return in_form_of(X, replace(flat, flat=True))

    def _learn(self, sequences: Sequences) -> None:
        width = sequences.values.shape[1]
        self._flat = width == 1
        if width not in (1, self.n_features):
            raise ValueError(
                f"X: expected univariate sequences or sequences with {self.n_features} feature(s), "
                f"got {width} features"
            )
        self._check_divisible(sequences)
        self.n_timesteps_ = self.n_features_in_ // self.n_features if self._table else None

    def _check_divisible(self, sequences: Sequences) -> None:
        if self._table and self.n_features_in_ % self.n_features:
            raise ValueError(
                f"X: expected a number of columns that is a multiple of n_features="
                f"{self.n_features}, got {self.n_features_in_}"
            )
        wrong = np.flatnonzero(sequences.lengths % self.n_features)
        if self._flat and len(wrong):
            k = wrong[0]
            raise ValueError(
                f"X[{k}]: expected a number of values that is a multiple of n_features="
                f"{self.n_features}, got {sequences.lengths[k]}"
            )

    def _check_steps(self, sequences: Sequences) -> None:
        """Raise if the number of time steps, with padding, is not the one of the fitted table."""
        n_timesteps = sequences.n_timesteps
        found = sequences.lengths if n_timesteps is None else np.array([n_timesteps])
        wrong = found != self.n_timesteps_
        if wrong.any():
            raise ValueError(
                f"X: expected {self.n_timesteps_} time step(s), as in the table that "
                f"{type(self).__name__} was fitted on, got {found[np.argmax(wrong)]}"
            )

    def _apply(self, sequences: Sequences) -> Sequences:
        if not self._flat:
            return _copied(sequences)
        self._check_divisible(sequences)
        return _reshape(_copied(sequences), self.n_features, "3d")

    def _step_function(self) -> StepFunction:
        if self._flat and self.n_features > 1:
            raise ValueError("its time steps are several values of the input")
        return self._stateless()


def _copied(sequences: Sequences) -> Sequences:
    """Return a copy, so that the result shares no memory with ``X``."""
    return replace(sequences, values=sequences.values.copy())


def _reshape(sequences: Sequences, n_features: int, form: Any) -> Sequences:
    """Return the same values with another number of features; arrays get the given form."""
    values, n_timesteps = sequences.values, sequences.n_timesteps
    before = values.shape[1]
    return replace(
        sequences,
        values=values.reshape(-1, n_features),
        lengths=sequences.lengths * before // n_features,
        form="list" if sequences.form == "list" else form,
        n_timesteps=n_timesteps and n_timesteps * before // n_features,
    )
