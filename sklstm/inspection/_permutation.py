"""Permutation importance of channels and of time segments.

Shapes: ``n`` sequences, ``S`` their time steps, ``D`` channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state

from sklstm.sequences import Sequences, check_sequences

Array = NDArray[Any]
Indices = NDArray[np.intp]


def permutation_importance(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    by: str = "channel",
    n_segments: int = 10,
    scoring: Any = None,
    n_repeats: int = 5,
    n_jobs: int | None = None,
    random_state: Any = None,
    sample_weight: Any = None,
) -> Bunch:
    """Compute how much the score falls if a channel or a segment of time is permuted.

    The values of a channel, or of all channels in a segment of time, are exchanged between the
    sequences; all else stays [1]_. A sequence gets the values that another one has at the same
    relative time: of T and T' steps, step *t* gets the values of step
    ``floor((t + 1/2) T' / T)``. So for sequences of equal length, it gets the same steps of another
    sequence.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator or pipeline that reads sequences.
    X : array-like, dataframe or list of n_samples sequences
        A 3-D array, possibly padded with NaN, a list of arrays or data frames, or a 2-D array with
        one univariate series in each row. It is not changed.
    y : array-like or list
        The targets that the scorer compares predictions with.
    by : {"channel", "segment"}, default="channel"
        Whether to permute one channel at a time, or one segment of time at a time.
    n_segments : int, default=10
        Number of segments that each sequence is divided into, as equal as possible. Only used if
        ``by="segment"``.
    scoring : str, callable, list or dict, default=None
        A scorer or its name, as for scikit-learn's cross-validation; None is the ``score`` method.
        For predictions of each step use the scorers of `sklstm.metrics`. A list or a dict of
        scorers gives a result for each.
    n_repeats : int, default=5
        Number of permutations. All channels or segments are permuted in the same ways.
    n_jobs : int, default=None
        Number of joblib's workers; None means 1, and -1 all processors.
    random_state : int, RandomState instance or None, default=None
        Determines the permutations. The result does not depend on ``n_jobs``.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights for the scorer.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch` or dict of these
        Dictionary-like object with these attributes; with several scorers, a dict with one for
        each name. There are ``n_parts`` channels or segments.

        importances_mean, importances_std : ndarray of shape (n_parts,)
            Mean and standard deviation over the repetitions.
        importances : ndarray of shape (n_parts, n_repeats)
            The score of ``X`` minus that with the permuted part.
        names : list of str
            Names of the channels of data frames, else "channel 0" and so on; the relative times of
            the segments, for example "0-10%".
        by : str
            The argument.

    Raises
    ------
    ValueError
        If an argument is out of range, if ``X`` is malformed, or if it has only one sequence.

    See Also
    --------
    sklearn.inspection.permutation_importance : For tables.
    sklstm.plotting.PermutationImportanceDisplay : Show the result.

    Notes
    -----
    Correlated channels stand in for each other, so the importance of each may be small.

    References
    ----------
    .. [1] Breiman 2001, "Random Forests", Section 10.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMClassifier
    >>> from sklstm.inspection import permutation_importance
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(length, 3)) for length in rng.integers(5, 12, size=80)]
    >>> y = [int(x[:, 1].mean() > 0) for x in X]  # only channel 1 matters
    >>> clf = LSTMClassifier(8, random_state=0).fit(X, y)
    >>> result = permutation_importance(clf, X, y, random_state=0)
    >>> result.names[result.importances_mean.argmax()]
    'channel 1'
    >>> permutation_importance(clf, X, y, by="segment", n_segments=4).names
    ['0-25%', '25-50%', '50-75%', '75-100%']
    """
    from joblib import Parallel, delayed
    from sklearn.metrics import check_scoring

    for name, value in {"n_segments": n_segments, "n_repeats": n_repeats}.items():
        if not isinstance(value, Integral) or int(value) < 1:
            raise ValueError(f"{name}: expected a positive integer, got {value!r}")
    data = _Sequences.of(X)
    parts = _parts(data, by, int(n_segments))
    scorer = check_scoring(estimator, scoring=_as_scoring(scoring))
    weight = {} if sample_weight is None else {"sample_weight": sample_weight}
    rng = check_random_state(random_state)
    permutations = [rng.permutation(len(data)) for _ in range(n_repeats)]
    baseline = scorer(estimator, X, y, **weight)
    scores = Parallel(n_jobs=n_jobs)(
        delayed(_scores)(estimator, data, y, weight, scorer, part, permutations) for part in parts
    )
    names = [part.name for part in parts]
    if not isinstance(baseline, dict):
        return _result(baseline, scores, names, by)
    return {
        key: _result(value, [[score[key] for score in row] for row in scores], names, by)
        for key, value in baseline.items()
    }


def _as_scoring(scoring: Any) -> Any:
    return dict(scoring) if isinstance(scoring, Mapping) else scoring


def _result(baseline: float, scores: Any, names: list[str], by: str) -> Bunch:
    importances = baseline - np.array(scores, dtype=np.float64)
    return Bunch(
        importances_mean=importances.mean(axis=1),
        importances_std=importances.std(axis=1),
        importances=importances,
        names=names,
        by=by,
    )


def _scores(
    estimator: Any,
    data: _Sequences,
    y: Any,
    weight: dict[str, Any],
    scorer: Any,
    part: _Part,
    permutations: list[Indices],
) -> list[Any]:
    """Return the score for each permutation of a part."""
    return [
        scorer(estimator, data.permuted(part, permutation), y, **weight)
        for permutation in permutations
    ]


class _Part(NamedTuple):
    """A channel, or the steps of a segment in all sequences."""

    name: str
    steps: Any  # an index of (S,)
    channels: slice


def _parts(data: _Sequences, by: str, n_segments: int) -> list[_Part]:
    if by == "channel":
        return [
            _Part(name, slice(None), slice(k, k + 1)) for k, name in enumerate(data.channel_names)
        ]
    if by != "segment":
        raise ValueError(f"by: expected 'channel' or 'segment', got {by!r}")
    lengths = np.repeat(data.stacked.lengths, data.stacked.lengths)
    segment_of = data.steps * n_segments // lengths
    ends = [round(100 * k / n_segments) for k in range(n_segments + 1)]
    return [
        _Part(f"{ends[k]}-{ends[k + 1]}%", np.flatnonzero(segment_of == k), slice(None))
        for k in range(n_segments)
    ]


@dataclass(frozen=True, eq=False)
class _Sequences:
    """Sequences stacked, and as they were given."""

    given: Any
    stacked: Sequences
    steps: Indices  # (S,), the time step of each row

    @classmethod
    def of(cls, X: Any) -> _Sequences:
        stacked = check_sequences(X, ensure_all_finite=False)
        if len(stacked) < 2:
            raise ValueError(f"X: expected at least two sequences, got {len(stacked)}")
        steps = np.arange(len(stacked.values)) - np.repeat(stacked.starts, stacked.lengths)
        return cls(X, stacked, steps)

    def __len__(self) -> int:
        return len(self.stacked)

    @property
    def channel_names(self) -> list[str]:
        n_channels = self.stacked.values.shape[1]
        if self.stacked.form == "list" and self.stacked.frame is not None:
            return [str(name) for name in self.stacked.frame.columns]
        return [f"channel {k}" for k in range(n_channels)]

    def permuted(self, part: _Part, permutation: Indices) -> Any:
        """Return a copy of X, where each sequence has a part of another one."""
        values = self.stacked.values.copy()
        source = self._source_rows(permutation)[part.steps]
        values[part.steps, part.channels] = self.stacked.values[source, part.channels]
        return self._like_given(values)

    def _source_rows(self, permutation: Indices) -> Indices:
        """Return the row whose values each row gets, at the same relative time."""
        lengths, starts = self.stacked.lengths, self.stacked.starts
        own, other = np.repeat(lengths, lengths), np.repeat(lengths[permutation], lengths)
        steps = (2 * self.steps + 1) * other // (2 * own)
        return np.repeat(starts[permutation], lengths) + steps

    def _like_given(self, values: Array) -> Any:
        """Return stacked values in the form of X."""
        if self.stacked.flat:
            values = values[:, 0]
        formed = self.stacked.like_input(values)
        if self.stacked.form == "list":
            return [_like(x, new) for x, new in zip(self.given, formed, strict=True)]
        return _like(self.given, formed)


def _like(x: Any, values: Any) -> Any:
    """Return values as a frame or an array with the dtype of ``x``."""
    if hasattr(x, "iloc"):
        return type(x)(values, **_labels(x)).astype(x.dtypes)
    if hasattr(x, "columns"):  # polars
        return type(x)(values, schema=x.schema)
    dtype = getattr(x, "dtype", None)
    is_number = getattr(dtype, "kind", "") in ("f", "i", "u", "b")
    return values.astype(dtype, copy=False) if is_number else values


def _labels(x: Any) -> dict[str, Any]:
    """Return index and columns of a pandas frame, or index and name of a series."""
    names = {"columns": x.columns} if hasattr(x, "columns") else {"name": x.name}
    return {"index": x.index, **names}
