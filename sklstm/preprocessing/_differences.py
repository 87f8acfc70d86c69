"""Differences between consecutive time steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sklstm._persistence import Upgrades
from sklstm.preprocessing._base import SequenceTransformer, distinct
from sklstm.preprocessing._streams import State, StepFunction
from sklstm.sequences import Sequences
from sklstm.sequences._scaling import Scaling


class SequenceDifferences(SequenceTransformer):
    """Compute the difference between each time step and the previous one.

    The difference is computed for each channel. At the first step of a sequence it is 0.
    Differences are useful if series are smooth, or if changes are more informative than levels:
    the LSTM need not learn to compute them. They are often much smaller than the values, so scale
    sequences after this transformer and not before it.

    Parameters
    ----------
    append : bool, default=True
        Whether to append the differences to the channels of ``X``. A 2-D array then becomes a 3-D
        array (n_samples, n_timesteps, 2). If False, only the differences are returned, in the form
        of ``X``.

    skip_sparse : bool, default=False
        Whether the differences of sparse channels are 0. A channel is sparse if zero is a bound of
        its values, and their mean is less than their standard deviation: rainfall, counts of rare
        events, indicators. Such values are changes already.

    Attributes
    ----------
    n_features_in_ : int
        Number of channels. If ``X`` is 2-D, number of columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of ``X``, or of the frames in a list, if all are strings.

    sparse_channels_ : ndarray of shape (n_channels,), dtype=bool
        Which channels have no differences. Only with ``skip_sparse=True``.

    See Also
    --------
    SequenceScaler : Scales values and differences to the same range.

    Notes
    -----
    Sequences keep their lengths. With ``append=False``, sequences that differ only by a constant
    become equal.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.preprocessing import SequenceDifferences
    >>> X = [np.array([1.0, 3.0, 2.0]), np.array([5.0])]
    >>> SequenceDifferences().fit_transform(X)
    [array([[ 1.,  0.],
           [ 3.,  2.],
           [ 2., -1.]]), array([[5., 0.]])]
    >>> SequenceDifferences(append=False).fit_transform(X)
    [array([ 0.,  2., -1.]), array([0.])]
    """

    _format = 2
    _upgrades: ClassVar[Upgrades] = {1: lambda state: {**state, "skip_sparse": False}}
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "append": ["boolean"],
        "skip_sparse": ["boolean"],
    }

    def __init__(self, *, append: bool = True, skip_sparse: bool = False) -> None:
        self.append = append
        self.skip_sparse = skip_sparse

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the columns or channels that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns or channels of ``X``. If None, the names seen in `fit`, or "x0",
            "x1" and so on.

        Returns
        -------
        ndarray of str
            The names of ``X``. If ``append`` is True, they are followed by the same names with the
            prefix ``difference_``, and a number if such a name occurs already. If ``X`` was 2-D and
            ``append`` is True: "value", "difference".

        Examples
        --------
        >>> import pandas as pd
        >>> from sklstm.preprocessing import SequenceDifferences
        >>> X = [pd.DataFrame({"pulse": [80.0, 82.0], "oxygen": [97.0, 96.0]})]
        >>> SequenceDifferences().fit(X).get_feature_names_out().tolist()
        ['pulse', 'oxygen', 'difference_pulse', 'difference_oxygen']
        """
        names = super().get_feature_names_out(input_features)
        if not self.append:
            return names
        if self._table:
            return np.array(["value", "difference"], dtype=object)
        return distinct(np.concatenate([names, "difference_" + names]))

    def _learn(self, sequences: Sequences) -> None:
        if self.skip_sparse:
            weights = np.ones(len(sequences.values))
            self.sparse_channels_ = Scaling.of(sequences.values, weights).keeps_zero

    def _apply(self, sequences: Sequences) -> Sequences:
        differences = np.diff(sequences.values, axis=0, prepend=sequences.values[:1])
        differences[sequences.starts] = 0
        self._skip(differences)
        if not self.append:
            return replace(sequences, values=differences)
        values = np.concatenate([sequences.values, differences], axis=1)
        form = "3d" if sequences.form == "2d" else sequences.form
        return replace(sequences, values=values, form=form)

    def _skip(self, differences: NDArray[Any]) -> None:
        if self.skip_sparse:
            differences[:, self.sparse_channels_] = 0

    def _step_function(self) -> StepFunction:
        width = self._form.n_channels
        initial = {"previous": np.full(width, np.nan)}  # there is none
        return StepFunction(self._apply_to_step, self._read_step, width, initial)

    def _apply_to_step(self, rows: Any, state: State) -> tuple[Any, State, None]:
        differences = rows - state["previous"].astype(rows.dtype)
        differences[np.isnan(state["previous"])] = 0
        self._skip(differences)
        values = np.concatenate([rows, differences], axis=1) if self.append else differences
        return values, {"previous": rows.astype(np.float64)}, None
