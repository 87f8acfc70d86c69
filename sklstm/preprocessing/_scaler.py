"""SequenceScaler.

Shapes: ``n`` sequences, ``S`` steps of all sequences together, ``D`` channels. What is learned from
each sequence is (n, D); from all together, (1, D), all steps being one long segment.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklstm._compat import StrOptions, _fit_context
from sklstm._persistence import shallow_copy
from sklstm.preprocessing._base import SequenceTransformer, in_form_of
from sklstm.sequences import Sequences

Array = NDArray[np.floating]
#: Mean and variance, or minimum and maximum, or median and range between the quantiles.
Summary = tuple[Array, Array]


def _learns(scaler: Any) -> bool:
    if scaler.per_sequence:
        raise AttributeError(
            "inverse_transform needs the statistics of each sequence, which per_sequence=True does "
            "not keep"
        )
    return True


def _can_update(scaler: Any) -> bool:
    if scaler.method == "robust" and not scaler.per_sequence:
        raise AttributeError(
            'partial_fit needs statistics that can be updated; the quantiles of method="robust" '
            "need all data at once"
        )
    return True


class SequenceScaler(SequenceTransformer):
    """Scale each channel of sequences, over all their time steps.

    A channel is one feature at all steps of all sequences: every step is scaled alike, and padding
    counts for nothing. A 2-D array holds one univariate series a row, so all its columns are one
    channel; to scale each time step by itself, there is
    :class:`sklearn.preprocessing.StandardScaler`.

    Parameters
    ----------
    method : {"standard", "minmax", "robust"}, default="standard"
        "standard" gives each channel mean 0 and variance 1; "minmax" brings it into
        ``feature_range``; "robust" subtracts the median and divides by the range between two
        quantiles, which outliers do not move.

    per_sequence : bool, default=False
        Scale each sequence by its own statistics, so that its level and spread are lost and its
        shape stays. Nothing is learned in `fit` then.

    feature_range : tuple of two floats, default=(0, 1)
        Lowest and highest value of a channel after "minmax".

    quantile_range : tuple of two floats, default=(25.0, 75.0)
        Percentiles between which "robust" takes the range.

    Attributes
    ----------
    center_ : ndarray of shape (n_channels,) or None
        Mean, minimum or median of each channel; None with ``per_sequence=True``. After a 2-D array
        there is one channel.

    scale_ : ndarray of shape (n_channels,) or None
        What is divided by after ``center_`` is subtracted. Where a channel is constant (up to
        rounding), its spread counts as 1.

    n_steps_seen_ : int or None
        Time steps that the statistics are of, padding not counted; None with
        ``per_sequence=True``.

    n_features_in_ : int
        Channels; for a 2-D ``X``, its columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Columns of ``X``, or of the frames in a list, if all are strings.

    See Also
    --------
    SequenceImputer : Fills gaps, which this class refuses.

    Notes
    -----
    Statistics are computed in float64; float32 sequences stay float32.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.preprocessing import SequenceScaler
    >>> X = [np.array([[1.0, 50], [3, 70]]), np.array([[5.0, 90]])]
    >>> scaler = SequenceScaler("minmax").fit(X)
    >>> scaler.transform(X)
    [array([[0. , 0. ],
           [0.5, 0.5]]), array([[1., 1.]])]
    >>> scaler.center_
    array([ 1., 50.])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "method": [StrOptions({"standard", "minmax", "robust"})],
        "per_sequence": ["boolean"],
        "feature_range": [tuple, list],
        "quantile_range": [tuple, list],
    }

    center_: Any
    scale_: Any
    n_steps_seen_: int | None
    _summary: Summary

    def __init__(
        self,
        method: str = "standard",
        *,
        per_sequence: bool = False,
        feature_range: tuple[float, float] = (0, 1),
        quantile_range: tuple[float, float] = (25.0, 75.0),
    ) -> None:
        self.method = method
        self.per_sequence = per_sequence
        self.feature_range = feature_range
        self.quantile_range = quantile_range

    @available_if(_can_update)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Update the statistics by more sequences; not for ``method="robust"``.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in `fit`, of the form that the first call saw.
        y : None
            Ignored; here for pipelines.

        Returns
        -------
        self : object
            The scaler, fitted to all sequences so far.
        """
        fitted = shallow_copy(self)
        read = fitted._read if hasattr(self, "_form") else fitted._read_first
        fitted._update(read(X))
        self.__dict__ = fitted.__dict__
        return self

    @available_if(_learns)
    def inverse_transform(self, X: Any) -> Any:
        """Undo the scaling; not for ``per_sequence=True``.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            Scaled sequences, of the form that `fit` saw.

        Returns
        -------
        ndarray, list or tuple
            The sequences in their own units, in the form of ``X``.
        """
        check_is_fitted(self)
        sequences = self._read(X)
        values = (sequences.values - self._lower) * self.scale_ + self.center_
        values = values.astype(sequences.values.dtype, copy=False)
        return in_form_of(X, replace(sequences, values=values))

    @property
    def _lower(self) -> float:
        return float(self.feature_range[0]) if self.method == "minmax" else 0.0

    def _learn(self, sequences: Sequences) -> None:
        self.center_ = self.scale_ = self.n_steps_seen_ = None
        self._update(sequences)

    def _update(self, sequences: Sequences) -> None:
        _check_ascending("feature_range", self.feature_range, -np.inf, np.inf)
        _check_ascending("quantile_range", self.quantile_range, 0, 100)
        if self.per_sequence:
            self.center_ = self.scale_ = self.n_steps_seen_ = None
            return
        seen, n_steps = getattr(self, "n_steps_seen_", None) or 0, len(sequences.values)
        summary = self._summarise(replace(sequences, lengths=np.array([n_steps])))
        if seen:
            merge = _merge_moments if self.method == "standard" else _merge_extremes
            summary = merge(self._summary, seen, summary, n_steps)
        self._summary, self.n_steps_seen_ = summary, seen + n_steps
        center, scale = self._center_and_scale(summary)
        self.center_, self.scale_ = center[0], scale[0]

    def _apply(self, sequences: Sequences) -> Sequences:
        center, scale = self.center_, self.scale_
        if self.per_sequence:
            each = self._center_and_scale(self._summarise(sequences))
            center, scale = (_at_steps(of_each, sequences) for of_each in each)
        values = np.subtract(sequences.values, center, dtype=np.float64)
        values /= scale
        values += self._lower
        return replace(sequences, values=values.astype(sequences.values.dtype, copy=False))

    def _summarise(self, sequences: Sequences) -> Summary:
        """Statistics of each sequence, two arrays (n, D)."""
        if self.method == "standard":
            return _moments(sequences)
        if self.method == "minmax":
            return _extremes(sequences)
        return _median_and_range(sequences, self.quantile_range)

    def _center_and_scale(self, summary: Summary) -> Summary:
        """What is to be subtracted, and divided by."""
        center, spread = summary
        if self.method == "standard":
            spread = np.sqrt(spread)
        elif self.method == "minmax":
            spread = spread - center
        constant = spread <= 10 * np.finfo(np.float64).eps * np.abs(center)
        spread = np.where(constant, 1.0, spread)
        if self.method == "minmax":
            spread /= self.feature_range[1] - self.feature_range[0]
        return center, spread


def _check_ascending(name: str, pair: Any, low: float, high: float) -> None:
    try:
        first, second = map(float, pair)
        fine = low <= first < second <= high and np.isfinite(second - first)
    except (TypeError, ValueError):
        fine = False
    if not fine:
        limits = "" if high == np.inf else f" from {low} to {high}"
        raise ValueError(f"{name}: expected two numbers{limits}, the lower first, got {pair!r}")


def _at_steps(of_each: Array, sequences: Sequences) -> Array:
    """One row a step from one row a sequence; a single row stays, and broadcasts."""
    return of_each if len(of_each) == 1 else np.repeat(of_each, sequences.lengths, axis=0)


def _moments(sequences: Sequences) -> Summary:
    """Mean and variance of each sequence.

    Counted from its first step, so that the variance of a constant channel is exactly zero and a
    large mean costs no digits.
    """
    starts, n_steps = sequences.starts, sequences.lengths[:, None]
    origin = sequences.values[starts].astype(np.float64)
    steps = sequences.values - _at_steps(origin, sequences)
    mean = np.add.reduceat(steps, starts, axis=0) / n_steps
    steps -= _at_steps(mean, sequences)
    variance = np.add.reduceat(np.square(steps, out=steps), starts, axis=0) / n_steps
    return origin + mean, variance


def _merge_moments(one: Summary, n_one: int, other: Summary, n_other: int) -> Summary:
    """Mean and variance of two sets of steps together."""
    share = n_other / (n_one + n_other)
    apart = other[0] - one[0]
    variance = one[1] + (other[1] - one[1]) * share + np.square(apart) * share * (1 - share)
    return one[0] + apart * share, variance


def _extremes(sequences: Sequences) -> Summary:
    """Minimum and maximum of each sequence."""
    low, high = (
        function.reduceat(sequences.values, sequences.starts, axis=0).astype(np.float64)
        for function in (np.minimum, np.maximum)
    )
    return low, high


def _merge_extremes(one: Summary, n_one: int, other: Summary, n_other: int) -> Summary:
    return np.minimum(one[0], other[0]), np.maximum(one[1], other[1])


def _median_and_range(sequences: Sequences, quantiles: tuple[float, float]) -> Summary:
    """Median, and range between two percentiles, of each sequence."""
    found = np.empty((3, len(sequences), sequences.values.shape[1]))
    for length in np.unique(sequences.lengths):  # equally long ones at once: a call is slow
        which = np.flatnonzero(sequences.lengths == length)
        rows = sequences.starts[which, None] + np.arange(length)
        steps = sequences.values[rows].astype(np.float64)
        found[:, which] = np.percentile(steps, [50, *quantiles], axis=1)
    median, low, high = found
    return median, high - low
