"""Imputation of missing values.

Shapes: ``S`` steps of all sequences, ``D`` channels, ``m`` missing values.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._compat import Interval, StrOptions
from sklstm.preprocessing._base import SequenceTransformer
from sklstm.preprocessing._streams import State, StepFunction, single_steps
from sklstm.sequences import Sequences
from sklstm.sequences._moments import moments

Array = NDArray[np.floating]
Indices = NDArray[np.intp]


class SequenceImputer(SequenceTransformer):
    """Replace missing values (NaN) in sequences.

    Each channel is imputed independently. In a 3-D array, time steps at the end of a sequence that
    are NaN in every channel are padding and stay NaN. In a list or a 2-D array there is no padding,
    and every NaN is replaced.

    Parameters
    ----------
    strategy : {"mean", "constant", "forward", "linear"}, default="mean"
        - "mean": the mean of the channel in the training data.
        - "constant": ``fill_value``.
        - "forward": the last observed value in the same sequence. If there is none, the mean of
          the channel in the training data. No value of a later time step is used.
        - "linear": linear interpolation between the last observed value before and the first
          observed value after the missing ones. At the start and the end of a sequence, the
          nearest observed value. If the sequence has no observed value in a channel, the mean of
          the channel in the training data.

    fill_value : float, default=0.0
        The value for strategy "constant". With the other strategies, it replaces the mean of a
        channel that has no observed value in the training data.

    add_indicator : bool, default=False
        Whether to append an indicator channel for each channel: 1 where the value was missing and
        0 elsewhere. Channels without missing values get one too, so that the number of channels
        does not depend on the data. A 2-D array becomes a 3-D array (n_samples, n_timesteps, 2).

    Attributes
    ----------
    statistics_ : ndarray of shape (n_channels,)
        The mean of each channel over all time steps of the training data, or ``fill_value``. If
        ``X`` is 2-D, there is one channel.

    n_features_in_ : int
        Number of channels. If ``X`` is 2-D, number of columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of ``X``, or of the frames in a list, if all are strings.

    See Also
    --------
    SequenceScaler : Scales sequences without missing values.
    sklearn.impute.SimpleImputer : Imputes each column of a 2-D array independently.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.preprocessing import SequenceImputer
    >>> X = [np.array([1.0, np.nan, 2.0]), np.array([np.nan, 6.0])]
    >>> SequenceImputer("linear").fit_transform(X)
    [array([1. , 1.5, 2. ]), array([6., 6.])]
    >>> SequenceImputer("forward").fit_transform(X)
    [array([1., 1., 2.]), array([3., 6.])]
    >>> SequenceImputer("constant", add_indicator=True).fit_transform(X)[1]
    array([[0., 1.],
           [6., 0.]])
    """

    _takes_gaps = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "strategy": [StrOptions({"mean", "constant", "forward", "linear"})],
        "fill_value": [Interval(Real, None, None, closed="neither")],
        "add_indicator": ["boolean"],
    }

    def __init__(
        self,
        strategy: str = "mean",
        *,
        fill_value: float = 0.0,
        add_indicator: bool = False,
    ) -> None:
        self.strategy = strategy
        self.fill_value = fill_value
        self.add_indicator = add_indicator

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
            The names of ``X``. If ``add_indicator`` is True, they are followed by the same names
            with the prefix ``missingindicator_``. If ``X`` was 2-D and ``add_indicator`` is True:
            "value", "missingindicator".

        Examples
        --------
        >>> import pandas as pd
        >>> from sklstm.preprocessing import SequenceImputer
        >>> X = [pd.DataFrame({"pulse": [80.0, None, 82.0]})]
        >>> SequenceImputer(add_indicator=True).fit(X).get_feature_names_out().tolist()
        ['pulse', 'missingindicator_pulse']
        """
        names = super().get_feature_names_out(input_features)
        if not self.add_indicator:
            return names
        if self._table:
            return np.array(["value", "missingindicator"], dtype=object)
        return np.concatenate([names, "missingindicator_" + names])

    def _learn(self, sequences: Sequences) -> None:
        values = sequences.values
        fallback = np.full(values.shape[1], float(self.fill_value))
        if self.strategy == "constant":
            self.statistics_ = fallback
        else:
            count, mean, _ = moments(values)
            self.statistics_ = np.where(np.equal(count, 0), fallback, mean)

    def _apply(self, sequences: Sequences) -> Sequences:
        missing = np.isnan(sequences.values)
        values = sequences.values.copy()
        if missing.any():
            values[missing] = self._fill(sequences, missing)
        form = sequences.form
        if self.add_indicator:
            values = np.concatenate([values, missing.astype(values.dtype)], axis=1)
            form = "3d" if form == "2d" else form
        return replace(sequences, values=values, form=form)

    def _fill(self, sequences: Sequences, missing: NDArray[np.bool_]) -> Array:
        """Return the replacements of the missing values, shape (m,)."""
        row, channel = np.nonzero(missing)
        missing_values = _MissingValues(sequences, missing, row, channel)
        filled: Array = self.statistics_[channel]
        if self.strategy == "forward":
            before = missing_values.observed_before()
            filled = np.where(before < 0, filled, sequences.values[before, channel])
        elif self.strategy == "linear":
            filled = _interpolate(missing_values, filled)
        return filled

    def _step_function(self) -> StepFunction:
        if self.strategy == "linear":
            raise ValueError('strategy="linear" needs later time steps')
        if self.strategy != "forward":
            return self._stateless()
        initial = {"observed": np.full(self._form.n_channels, np.nan)}  # nothing yet
        return replace(self._stateless(), apply=self._fill_forward, initial=initial)

    def _fill_forward(self, rows: Any, state: State) -> tuple[Any, State, None]:
        missing, last = np.isnan(rows), state["observed"].astype(rows.dtype)
        values = self._apply(single_steps(rows)).values  # filled with the means
        filled = missing & ~np.isnan(last)
        values[:, : rows.shape[1]][filled] = last[filled]
        return values, {"observed": np.where(missing, state["observed"], rows)}, None


class _MissingValues(NamedTuple):
    """The positions of missing values: ``row`` and ``channel`` (m,), as in ``missing`` (S, D)."""

    sequences: Sequences
    missing: NDArray[np.bool_]
    row: Indices
    channel: Indices

    def observed_before(self) -> Indices:
        """Return the row of the last observed value before each missing one, or -1, shape (m,).

        Values of other sequences are not considered.
        """
        starts = np.repeat(self.sequences.starts, self.sequences.lengths)
        return self._latest(self.missing, starts)[self.row, self.channel]

    def observed_after(self) -> Indices:
        """Return the row of the first observed value after each missing one, or -1, shape (m,)."""
        last = len(self.missing) - 1
        ends = np.repeat(self.sequences.starts + self.sequences.lengths - 1, self.sequences.lengths)
        latest = self._latest(self.missing[::-1], last - ends[::-1])[::-1][self.row, self.channel]
        return np.where(latest < 0, -1, last - latest)

    @staticmethod
    def _latest(missing: NDArray[np.bool_], starts: Indices) -> Indices:
        """Return the row of the last observed value up to each row, or -1, shape (S, D)."""
        latest = np.where(missing, -1, np.arange(len(missing))[:, None])
        np.maximum.accumulate(latest, axis=0, out=latest)
        latest[latest < starts[:, None]] = -1
        return latest


def _interpolate(missing: _MissingValues, fallback: Array) -> Array:
    """Return linearly interpolated values, or the nearest observed ones, shape (m,).

    Without an observed value in the same sequence and channel, it is the ``fallback``.
    """
    before, after = missing.observed_before(), missing.observed_after()
    none_observed = (before < 0) & (after < 0)
    left, right = np.where(before < 0, after, before), np.where(after < 0, before, after)
    values = missing.sequences.values
    half_first, half_last = (  # the difference of halves does not overflow
        np.multiply(values[side, missing.channel], 0.5, dtype=np.float64) for side in (left, right)
    )
    fraction = (missing.row - left) / np.maximum(right - left, 1)
    half = half_first + (half_last - half_first) * fraction
    return np.where(none_observed, fallback, half * 2)
