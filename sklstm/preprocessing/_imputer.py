"""SequenceImputer.

Shapes: ``S`` steps of all sequences together, ``D`` channels, ``m`` values that are missing.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._compat import Interval, StrOptions
from sklstm.preprocessing._base import SequenceTransformer
from sklstm.sequences import Sequences

Array = NDArray[np.floating]
Indices = NDArray[np.intp]


class SequenceImputer(SequenceTransformer):
    """Fill gaps, values that are NaN, inside sequences.

    Each channel is filled by itself. In a 3-D array, steps at the end of a sample that are NaN in
    every channel are padding: they are no gaps, and stay NaN. There is no padding in a list or a
    2-D array, where every NaN is filled; a row of a 2-D array is a univariate series.

    Parameters
    ----------
    strategy : {"mean", "constant", "forward", "linear"}, default="mean"
        - "mean": the channel's mean, learned in `fit`.
        - "constant": ``fill_value``.
        - "forward": the last value observed before the gap. A gap at the beginning of a sequence
          takes the channel's mean, learned in `fit`, since any value observed in that sequence
          would come from its future.
        - "linear": on a straight line over the time steps from the last value observed before the
          gap to the first one after it. A gap at the beginning or end takes the nearest observed
          value; a sequence without any observed value in a channel, the mean learned in `fit`.

    fill_value : float, default=0.0
        The value for "constant"; and, with the other strategies, for a channel without a single
        observed value in `fit`, which has no mean.

    add_indicator : bool, default=False
        Append one channel for each channel, 1 where its value was missing and 0 elsewhere. All
        channels get one, with gaps or without, so that the number of channels does not hang on the
        data. A 2-D array becomes a 3-D array (n_samples, n_timesteps, 2) then.

    Attributes
    ----------
    statistics_ : ndarray of shape (n_channels,)
        The learned mean of each channel, over all steps of all sequences, or ``fill_value``. After
        a 2-D array there is one channel.

    n_features_in_ : int
        Channels; for a 2-D ``X``, its columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Columns of ``X``, or of the frames in a list, if all are strings.

    See Also
    --------
    SequenceScaler : Scales what is filled.
    sklearn.impute.SimpleImputer : Fills each column of a 2-D array by itself.

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
        """Name the columns or channels that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns or channels of ``X``; by default those that `fit` saw, or "x0",
            "x1" and so on.

        Returns
        -------
        ndarray of str
            The names of ``X``; with ``add_indicator=True``, a name with "missingindicator_" before
            it for each of the appended channels (after a 2-D ``X``: "value", "missingindicator").
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
        if self.strategy != "constant":
            observed = ~np.isnan(values)
            total = np.sum(values, axis=0, dtype=np.float64, where=observed)
            count = observed.sum(axis=0)
            np.divide(total, count, out=fallback, where=count > 0)
        self.statistics_ = fallback

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
        """What stands in for the missing values, (m,)."""
        row, channel = np.nonzero(missing)
        gaps = _Gaps(sequences, missing, row, channel)
        filled: Array = self.statistics_[channel]
        if self.strategy == "forward":
            before = gaps.observed_before()
            filled = np.where(before < 0, filled, sequences.values[before, channel])
        elif self.strategy == "linear":
            filled = _interpolate(gaps, filled)
        return filled


class _Gaps(NamedTuple):
    """Where values are missing: ``row`` and ``channel`` (m,) of each, as in ``missing`` (S, D)."""

    sequences: Sequences
    missing: NDArray[np.bool_]
    row: Indices
    channel: Indices

    def observed_before(self) -> Indices:
        """The row of the last value observed before, in the same sequence; -1 without one."""
        starts = np.repeat(self.sequences.starts, self.sequences.lengths)
        return self._latest(self.missing, starts)[self.row, self.channel]

    def observed_after(self) -> Indices:
        """The row of the first value observed after, in the same sequence; -1 without one."""
        last = len(self.missing) - 1
        ends = np.repeat(self.sequences.starts + self.sequences.lengths - 1, self.sequences.lengths)
        latest = self._latest(self.missing[::-1], last - ends[::-1])[::-1][self.row, self.channel]
        return np.where(latest < 0, -1, last - latest)

    @staticmethod
    def _latest(missing: NDArray[np.bool_], starts: Indices) -> Indices:
        """The row of the last observed value so far, at or after the start; else -1; (S, D)."""
        latest = np.where(missing, -1, np.arange(len(missing))[:, None])
        np.maximum.accumulate(latest, axis=0, out=latest)
        latest[latest < starts[:, None]] = -1
        return latest


def _interpolate(gaps: _Gaps, fallback: Array) -> Array:
    """On the line between the observed neighbours; level beyond the outer ones, (m,)."""
    before, after = gaps.observed_before(), gaps.observed_after()
    alone = (before < 0) & (after < 0)
    left, right = np.where(before < 0, after, before), np.where(after < 0, before, after)
    values = gaps.sequences.values
    from_, to = (values[side, gaps.channel].astype(np.float64) for side in (left, right))
    share = (gaps.row - left) / np.maximum(right - left, 1)
    return np.where(alone, fallback, from_ + (to - from_) * share)
