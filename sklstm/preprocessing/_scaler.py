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
from sklstm.preprocessing._streams import StepFunction
from sklstm.sequences import Sequences
from sklstm.sequences._moments import (
    Moments,
    is_constant,
    merge,
    segment_extremes,
    segment_moments,
    standardize,
    unstandardize,
)

Array = NDArray[np.float64]
#: Mean and standard deviation, or minimum and maximum, or median and half of the quantile range.
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
        rounding errors), the standard deviation or range is taken as 1. If the range is larger than
        any float64 number, the scale is infinite, but values are scaled correctly. None if
        ``per_sequence`` is True.

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
    _half_scale: Array

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

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.preprocessing import SequenceScaler
        >>> scaler = SequenceScaler()
        >>> for x in np.array([1.0, 2.0]), np.array([3.0, 6.0, 3.0]):
        ...     scaler = scaler.partial_fit([x])
        >>> scaler.center_, scaler.n_steps_seen_
        (array([3.]), 5)
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

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.preprocessing import SequenceScaler
        >>> X = [np.array([1.0, 2.0]), np.array([3.0])]
        >>> scaler = SequenceScaler().fit(X)
        >>> scaler.inverse_transform(scaler.transform(X))
        [array([1., 2.]), array([3.])]
        """
        check_is_fitted(self)
        sequences = self._read(X)
        values = np.subtract(sequences.values, self._lower, dtype=np.float64)
        values = unstandardize(values, self.center_, self._half_scale)
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
            merge_summaries = _merge_moments if self.method == "standard" else _merge_extremes
            summary = merge_summaries(self._summary, seen, summary, n_steps)
        self._summary, self.n_steps_seen_ = summary, seen + n_steps
        center, half_scale = self._center_and_half_scale(summary)
        self.center_, self._half_scale = center[0], half_scale[0]
        self.scale_ = _twice(self._half_scale)

    def _apply(self, sequences: Sequences) -> Sequences:
        if self.per_sequence:
            statistics = self._center_and_half_scale(self._summarise(sequences))
            center, half_scale = (_at_steps(rows, sequences) for rows in statistics)
        else:
            center, half_scale = self.center_, self._half_scale
        values = standardize(sequences.values, center, half_scale)
        values += self._lower
        return replace(sequences, values=values.astype(sequences.values.dtype, copy=False))

    def _step_function(self) -> StepFunction:
        if self.per_sequence:
            raise ValueError("per_sequence=True needs all time steps of a sequence")
        return self._stateless()

    def _summarise(self, sequences: Sequences) -> Summary:
        """Return statistics of each sequence, two arrays (n, D)."""
        if self.method == "standard":
            _, mean, deviation = segment_moments(sequences.values, sequences.starts)
            return mean, deviation
        if self.method == "minmax":
            low, high = segment_extremes(sequences.values, sequences.starts)
            return low.astype(np.float64), high.astype(np.float64)
        return _median_and_half_range(sequences, self.quantile_range)

    def _center_and_half_scale(self, summary: Summary) -> Summary:
        """Return the values to subtract, and half of those to divide by.

        Half of the range is finite, even if the range is not.
        """
        center, half_scale = summary
        if self.method == "standard":
            half_scale = half_scale / 2
        elif self.method == "minmax":
            half_scale = half_scale / 2 - center / 2
        half_scale = np.where(is_constant(center, _twice(half_scale)), 0.5, half_scale)
        if self.method == "minmax":
            half_scale /= self.feature_range[1] - self.feature_range[0]
        return center, half_scale


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


def _twice(half: Array) -> Array:
    with np.errstate(over="ignore"):
        return half * 2


def _merge_moments(one: Summary, n_one: int, other: Summary, n_other: int) -> Summary:
    """Return the mean and standard deviation of the union of two sets of steps."""
    _, mean, deviation = merge(Moments(n_one, *one), Moments(n_other, *other))
    return mean, deviation


def _merge_extremes(one: Summary, n_one: int, other: Summary, n_other: int) -> Summary:
    return np.minimum(one[0], other[0]), np.maximum(one[1], other[1])


def _median_and_half_range(sequences: Sequences, quantiles: tuple[float, float]) -> Summary:
    """Return the median, and half of the range between two percentiles, of each sequence."""
    found = np.empty((3, len(sequences), sequences.values.shape[1]))
    for length in np.unique(sequences.lengths):  # together, because a call of percentile is slow
        selected = np.flatnonzero(sequences.lengths == length)
        rows = sequences.starts[selected, None] + np.arange(length)
        halves = np.multiply(sequences.values[rows], 0.5, dtype=np.float64)
        found[:, selected] = np.percentile(halves, [50, *quantiles], axis=1)
    half_median, half_low, half_high = found
    return half_median * 2, half_high - half_low
