"""Scaling of channels.

Shapes: ``n`` sequences, ``D`` channels. Statistics have shape (n, D), or (1, D) for the steps of
all sequences.
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
#: Mean and variance, or minimum and maximum, or median and quantile range.
Summary = tuple[Array, Array]


def _can_invert(scaler: Any) -> bool:
    if scaler.per_sequence:
        raise AttributeError(
            "inverse_transform is not available with per_sequence=True: the statistics of each "
            "sequence are not stored"
        )
    return True


def _can_update(scaler: Any) -> bool:
    if scaler.method == "robust" and not scaler.per_sequence:
        raise AttributeError(
            'partial_fit is not available with method="robust": quantiles cannot be updated, they '
            "need all data at once"
        )
    return True


class SequenceScaler(SequenceTransformer):
    """Scale each channel of sequences.

    The statistics of a channel are computed over all time steps of all sequences, without padding.
    The rows of a 2-D array are univariate series, so all its columns are one channel. To scale each
    column independently, use :class:`sklearn.preprocessing.StandardScaler`.

    Parameters
    ----------
    method : {"standard", "minmax", "robust"}, default="standard"
        - "standard": scale each channel to mean 0 and variance 1.
        - "minmax": scale each channel to ``feature_range``.
        - "robust": subtract the median and divide by the range between two quantiles. These
          statistics are robust to outliers.

    per_sequence : bool, default=False
        Whether to scale each sequence by its own statistics. This removes differences in level and
        scale between sequences. `fit` then computes no statistics.

    feature_range : tuple of two floats, default=(0, 1)
        Minimum and maximum of each channel after scaling with method "minmax".

    quantile_range : tuple of two floats, default=(25.0, 75.0)
        Percentiles that define the range for method "robust".

    Attributes
    ----------
    center_ : ndarray of shape (n_channels,) or None
        The mean, minimum or median of each channel, which is subtracted. None if ``per_sequence``
        is True. If ``X`` is 2-D, there is one channel.

    scale_ : ndarray of shape (n_channels,) or None
        The scale of each channel, by which values are divided. For constant channels (up to
        rounding errors), the standard deviation or range is taken as 1. None if ``per_sequence`` is
        True.

    n_steps_seen_ : int or None
        Number of time steps in the training data, without padding. None if ``per_sequence`` is
        True.

    n_features_in_ : int
        Number of channels. If ``X`` is 2-D, number of columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of ``X``, or of the frames in a list, if all are strings.

    See Also
    --------
    SequenceImputer : Replaces missing values, which this class does not accept.

    Notes
    -----
    Statistics are computed in float64. Sequences of dtype float32 keep this dtype.

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
        """Update the statistics with more sequences.

        Not available with ``method="robust"``.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in `fit`, in the same form as in the first call.
        y : None
            Not used, present here for API consistency by convention.

        Returns
        -------
        self : object
            The scaler, fitted to all sequences seen so far.
        """
        fitted = shallow_copy(self)
        read = fitted._read if hasattr(self, "_form") else fitted._read_first
        fitted._update(read(X))
        self.__dict__ = fitted.__dict__
        return self

    @available_if(_can_invert)
    def inverse_transform(self, X: Any) -> Any:
        """Undo the scaling.

        Not available with ``per_sequence=True``.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            Scaled sequences, in the form seen in `fit`.

        Returns
        -------
        ndarray, list or tuple
            The sequences in their original units, in the form of ``X``.
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
            statistics = self._center_and_scale(self._summarise(sequences))
            center, scale = (_at_steps(rows, sequences) for rows in statistics)
        values = np.subtract(sequences.values, center, dtype=np.float64)
        values /= scale
        values += self._lower
        return replace(sequences, values=values.astype(sequences.values.dtype, copy=False))

    def _summarise(self, sequences: Sequences) -> Summary:
        """Return statistics of each sequence, two arrays (n, D)."""
        if self.method == "standard":
            return _moments(sequences)
        if self.method == "minmax":
            return _extremes(sequences)
        return _median_and_range(sequences, self.quantile_range)

    def _center_and_scale(self, summary: Summary) -> Summary:
        """Return the values to subtract and to divide by."""
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
        valid = low <= first < second <= high and np.isfinite(second - first)
    except (TypeError, ValueError):
        valid = False
    if not valid:
        limits = "" if high == np.inf else f" from {low} to {high}"
        raise ValueError(f"{name}: expected two numbers{limits}, the lower first, got {pair!r}")


def _at_steps(rows: Array, sequences: Sequences) -> Array:
    """Repeat the row of each sequence for each of its steps; a single row is left to broadcast."""
    return rows if len(rows) == 1 else np.repeat(rows, sequences.lengths, axis=0)


def _moments(sequences: Sequences) -> Summary:
    """Return the mean and variance of each sequence.

    They are computed relative to the first step. So the variance of a constant channel is exactly
    zero, and no precision is lost if the mean is large.
    """
    starts, n_steps = sequences.starts, sequences.lengths[:, None]
    origin = sequences.values[starts].astype(np.float64)
    steps = sequences.values - _at_steps(origin, sequences)
    mean = np.add.reduceat(steps, starts, axis=0) / n_steps
    steps -= _at_steps(mean, sequences)
    variance = np.add.reduceat(np.square(steps, out=steps), starts, axis=0) / n_steps
    return origin + mean, variance


def _merge_moments(one: Summary, n_one: int, other: Summary, n_other: int) -> Summary:
    """Return the mean and variance of the union of two sets of steps."""
    fraction = n_other / (n_one + n_other)
    shift = other[0] - one[0]
    variance = (
        one[1] + (other[1] - one[1]) * fraction + np.square(shift) * fraction * (1 - fraction)
    )
    return one[0] + shift * fraction, variance


def _extremes(sequences: Sequences) -> Summary:
    """Return the minimum and maximum of each sequence."""
    low, high = (
        function.reduceat(sequences.values, sequences.starts, axis=0).astype(np.float64)
        for function in (np.minimum, np.maximum)
    )
    return low, high


def _merge_extremes(one: Summary, n_one: int, other: Summary, n_other: int) -> Summary:
    return np.minimum(one[0], other[0]), np.maximum(one[1], other[1])


def _median_and_range(sequences: Sequences, quantiles: tuple[float, float]) -> Summary:
    """Return the median and the range between two percentiles of each sequence."""
    found = np.empty((3, len(sequences), sequences.values.shape[1]))
    for length in np.unique(sequences.lengths):  # together, because a call of percentile is slow
        selected = np.flatnonzero(sequences.lengths == length)
        rows = sequences.starts[selected, None] + np.arange(length)
        steps = sequences.values[rows].astype(np.float64)
        found[:, selected] = np.percentile(steps, [50, *quantiles], axis=1)
    median, low, high = found
    return median, high - low
