"""SequenceDifferences.

Shapes: ``S`` steps of all sequences together, ``D`` channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sklstm.preprocessing._base import SequenceTransformer
from sklstm.sequences import Sequences


class SequenceDifferences(SequenceTransformer):
    """Tell each step how far it is from the one before.

    Every channel gets a second one, its value minus that of the step before; the first step of a
    sequence, which has none before it, gets 0. Where series are smooth, or where their level says
    little, the differences carry what an LSTM would first have to learn to compute. They are small
    beside the values: scale after this transformer, not before it.

    Parameters
    ----------
    append : bool, default=True
        Put the differences beside the values; a 2-D array then becomes a 3-D array
        (n_samples, n_timesteps, 2). False gives the differences alone, in the form of ``X``.

    Attributes
    ----------
    n_features_in_ : int
        Channels; for a 2-D ``X``, its columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Columns of ``X``, or of the frames in a list, if all are strings.

    See Also
    --------
    SequenceScaler : Brings values and differences to one scale.

    Notes
    -----
    Sequences keep their lengths. With ``append=False`` the level is lost: sequences that differ by
    a constant become one and the same.

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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"append": ["boolean"]}

    def __init__(self, *, append: bool = True) -> None:
        self.append = append

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Name the columns or channels that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns or channels of ``X``; by default those that `fit` saw, or "x0",
            "x1" and so on.

        Returns
        -------
        ndarray of str
            With ``append``, the names of ``X``, then each with "difference_" before it (after a 2-D
            ``X``: "value", "difference"); without, the names of ``X``.
        """
        names = super().get_feature_names_out(input_features)
        if not self.append:
            return names
        if self._table:
            return np.array(["value", "difference"], dtype=object)
        return np.concatenate([names, "difference_" + names])

    def _learn(self, sequences: Sequences) -> None:
        pass

    def _apply(self, sequences: Sequences) -> Sequences:
        differences = np.diff(sequences.values, axis=0, prepend=sequences.values[:1])
        differences[sequences.starts] = 0
        if not self.append:
            return replace(sequences, values=differences)
        values = np.concatenate([sequences.values, differences], axis=1)
        form = "3d" if sequences.form == "2d" else sequences.form
        return replace(sequences, values=values, form=form)
