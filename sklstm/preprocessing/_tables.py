"""ToSequences.

Shapes: ``T`` time steps of ``D`` channels, ``T * D`` numbers in a flat row.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklstm._compat import Interval
from sklstm.preprocessing._base import SequenceTransformer, in_form_of
from sklstm.sequences import Sequences


class ToSequences(SequenceTransformer):
    """Cut the rows of a flat table into time steps.

    Columns are time-major: all channels of the first step, then all of the second, and so on
    (``t0_a, t0_b, t1_a, t1_b, ...``). A 2-D array (n_samples, n_timesteps * n_features) becomes a
    3-D array (n_samples, n_timesteps, n_features), so that an LSTM can come after transformers of
    columns, such as :class:`sklearn.compose.ColumnTransformer` and
    :class:`sklearn.preprocessing.StandardScaler`.

    Parameters
    ----------
    n_features : int, default=1
        Channels of a step. It must divide the number of columns.

    Attributes
    ----------
    n_timesteps_ : int or None
        Steps of each sequence, after a 2-D ``X``; else None.

    n_features_in_ : int
        Columns of a 2-D ``X``; else its channels.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Columns of ``X``, if all are strings.

    See Also
    --------
    SlidingWindow : Makes sequences shorter and their steps wider.

    Notes
    -----
    Missing values (NaN) are passed on. In the 3-D array, steps at the end of a row that are NaN
    in every channel are padding: rows of a table may have different lengths in this way.

    Lists and 3-D arrays are welcome too. Univariate ones hold flat rows, which may differ in length
    and are cut in the same way; those that have ``n_features`` channels already are left as they
    are.

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
        """Name the channels that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns or channels of ``X``; by default those that `fit` saw, or "x0",
            "x1" and so on.

        Returns
        -------
        ndarray of str
            "a" and "b" where the columns are "t0_a", "t0_b", "t1_a", "t1_b" and so on, or where
            the channels of ``X`` have these names already; else "f0", "f1" and so on.
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
        """Lay the steps of each sequence side by side again.

        Parameters
        ----------
        X : array-like or list of n_samples sequences
            Sequences (n_timesteps, n_features), of as many steps as `fit` saw if that was a 2-D
            array.

        Returns
        -------
        ndarray, list or tuple
            A 2-D array (n_samples, n_timesteps * n_features) for an array, NaN where it was padded
            (3-D with one channel, if `fit` saw a 3-D array); 1-D arrays for the elements of a list.

        Raises
        ------
        ValueError
            If ``X`` has another number of steps or channels.
        """
        check_is_fitted(self)
        sequences = _copied(self._check(X))
        width = sequences.values.shape[1]
        if width != self.n_features:
            raise ValueError(f"X: expected {self.n_features} feature(s) a time step, got {width}")
        if not self._flat:
            return in_form_of(X, sequences)
        if self._table:
            self._check_steps(sequences)
        flat = _refold(sequences, 1, "2d" if self._table else "3d")
        return in_form_of(X, replace(flat, flat=True))

    def _learn(self, sequences: Sequences) -> None:
        width = sequences.values.shape[1]
        self._flat = width == 1
        if width not in (1, self.n_features):
            raise ValueError(
                f"X: expected univariate sequences, flat, or {self.n_features} feature(s) a time "
                f"step, got {width}"
            )
        self._check_divisible(sequences)
        self.n_timesteps_ = self.n_features_in_ // self.n_features if self._table else None

    def _check_divisible(self, sequences: Sequences) -> None:
        if self._table and self.n_features_in_ % self.n_features:
            raise ValueError(
                f"X: expected a number of columns that n_features={self.n_features} divides, got "
                f"{self.n_features_in_}"
            )
        wrong = np.flatnonzero(sequences.lengths % self.n_features)
        if self._flat and len(wrong):
            k = wrong[0]
            raise ValueError(
                f"X[{k}]: expected a number of values that n_features={self.n_features} divides, "
                f"got {sequences.lengths[k]}"
            )

    def _check_steps(self, sequences: Sequences) -> None:
        """Those that a table was cut into; padding belongs to them."""
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
        return _refold(_copied(sequences), self.n_features, "3d")


def _copied(sequences: Sequences) -> Sequences:
    """Sequences that can be changed without changing the user's X."""
    return replace(sequences, values=sequences.values.copy())


def _refold(sequences: Sequences, width: int, form: Any) -> Sequences:
    """The same numbers in steps of another width; an array in another form."""
    values, n_timesteps = sequences.values, sequences.n_timesteps
    was = values.shape[1]
    return replace(
        sequences,
        values=values.reshape(-1, width),
        lengths=sequences.lengths * was // width,
        form="list" if sequences.form == "list" else form,
        n_timesteps=n_timesteps and n_timesteps * was // width,
    )
