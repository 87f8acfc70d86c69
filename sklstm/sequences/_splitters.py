"""Cross-validation of windows, which are given by the index that `make_windows` returns.

Shapes: ``n`` windows. The index (n, 2) holds the series and the first time step of each window.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
Split = tuple[Indices, Indices]


class _WindowSplitter:
    """What both splitters share: parameters, and the index as ``groups``."""

    n_splits: int

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : object
            Not used, present for compatibility with scikit-learn.

        Returns
        -------
        int
            ``n_splits``.

        Examples
        --------
        >>> from sklstm.sequences import WindowTimeSeriesSplit
        >>> WindowTimeSeriesSplit(n_splits=3).get_n_splits()
        3
        """
        return self.n_splits

    def get_metadata_routing(self) -> Any:
        """Return what scikit-learn's metadata routing passes to `split`: ``groups``.

        Returns
        -------
        MetadataRequest
            The requests of this splitter.
        """
        from sklearn.utils.metadata_routing import MetadataRequest

        request = MetadataRequest(owner=self)
        request.split.add_request(param="groups", alias=True)
        return request

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


class WindowTimeSeriesSplit(_WindowSplitter):
    """Split windows by time: train on the past, test on what follows.

    This is :class:`sklearn.model_selection.TimeSeriesSplit` for the windows of `make_windows`,
    which overlap and may come from several series. The windows of each test set start within
    ``test_size`` consecutive time steps, the same of every series. A window belongs to the training
    set if all its targets come before the first target of the test set.

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits, at least one. Each trains on all the time steps before its test set.

    horizon : int, default=1
        Number of time steps that are the target of a window, as in `make_windows`. Windows whose
        targets overlap with those of the test set are left out.

    gap : int, default=0
        Number of further time steps to leave out before each test set. With ``gap`` equal to the
        width of the windows, training and test windows have no time step in common.

    test_size : int, default=None
        Number of consecutive time steps at which the windows of a test set start. If None, all
        starts are divided into ``n_splits + 1`` parts, and the first is only trained on.

    max_train_size : int, default=None
        Number of consecutive time steps at which the windows of a training set start, at most. If
        None, there is no limit.

    See Also
    --------
    WindowGroupKFold : Tests on other series.
    make_windows : Makes windows and, with ``return_index=True``, their index.

    Notes
    -----
    The time of a window is its first step, the second column of the index. If series start at
    different times, add the first time of its series to the index of each window.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import WindowTimeSeriesSplit, make_windows
    >>> X, y, index = make_windows(np.arange(20.0), width=4, horizon=2, return_index=True)
    >>> splitter = WindowTimeSeriesSplit(n_splits=2, horizon=2)
    >>> for train, test in splitter.split(X, y, groups=index):
    ...     print(y[train].max(), y[test].min(), len(train), len(test))
    8.0 9.0 4 5
    13.0 14.0 9 5
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklstm import LSTMRegressor
    >>> reg = LSTMRegressor(4, max_iter=2, random_state=0)
    >>> cross_val_score(reg, X, y, groups=index, cv=splitter).shape
    (2,)
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        horizon: int = 1,
        gap: int = 0,
        test_size: int | None = None,
        max_train_size: int | None = None,
    ) -> None:
        self.n_splits = n_splits
        self.horizon = horizon
        self.gap = gap
        self.test_size = test_size
        self.max_train_size = max_train_size

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Generate the indices of training and test sets.

        Parameters
        ----------
        X : array-like of shape (n_windows, ...)
            The windows.
        y : object
            Not used, present for compatibility with scikit-learn.
        groups : array-like of int of shape (n_windows, 2)
            The index of the windows, from ``make_windows(..., return_index=True)``.

        Yields
        ------
        train, test : ndarray of int
            Positions of windows in ``X``, in their order.

        Raises
        ------
        ValueError
            If ``groups`` is not the index of ``X``, if a parameter is out of range, or if a
            training or test set would be empty.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.sequences import WindowTimeSeriesSplit, make_windows
        >>> X, y, index = make_windows(np.arange(9.0), width=2, return_index=True)
        >>> for train, test in WindowTimeSeriesSplit(n_splits=2).split(X, y, groups=index):
        ...     print(train, test)
        [0 1 2] [3 4]
        [0 1 2 3 4] [5 6]
        """
        self._check()
        starts = _checked_index(groups, X)[:, 1]
        first, end = int(starts.min()), int(starts.max()) + 1
        size = self.test_size or max((end - first) // (self.n_splits + 1), 1)
        for start in range(end - self.n_splits * size, end, size):
            last = start - self.horizon - self.gap
            past = starts <= last
            if self.max_train_size is not None:
                past &= starts > last - self.max_train_size
            future = (starts >= start) & (starts < start + size)
            if not past.any() or not future.any():
                raise ValueError(
                    f"expected windows before and after step {start}, got {past.sum()} to train "
                    f"on and {future.sum()} to test on of windows that start at steps {first} to "
                    f"{end - 1}: change n_splits, test_size, horizon or gap of {self!r}"
                )
            yield np.flatnonzero(past), np.flatnonzero(future)

    def _check(self) -> None:
        for name, least in (("n_splits", 1), ("horizon", 1), ("gap", 0)):
            _check_integer(name, getattr(self, name), least)
        for name in ("test_size", "max_train_size"):
            if getattr(self, name) is not None:
                _check_integer(name, getattr(self, name), 1)


class WindowGroupKFold(_WindowSplitter):
    """Split windows by series: all windows of a series are in the same test set.

    This is :class:`sklearn.model_selection.GroupKFold` for the windows of `make_windows`. It tests
    how well a model forecasts series that it was not trained on.

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits, at least two, and at most the number of series.

    shuffle : bool, default=False
        Whether to assign the series to the test sets at random. If False, the numbers of windows in
        the test sets are about equal.

    random_state : int, RandomState instance or None, default=None
        Determines the assignment if ``shuffle`` is True.

    See Also
    --------
    WindowTimeSeriesSplit : Tests on later time steps.
    make_windows : Makes windows and, with ``return_index=True``, their index.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import WindowGroupKFold, make_windows
    >>> series = [np.arange(9.0), np.arange(7.0), np.arange(8.0)]
    >>> X, y, index = make_windows(series, width=4, return_index=True)
    >>> for train, test in WindowGroupKFold(n_splits=3).split(X, y, groups=index):
    ...     print(np.unique(index[train, 0]), np.unique(index[test, 0]))
    [1 2] [0]
    [0 1] [2]
    [0 2] [1]
    """

    def __init__(
        self, n_splits: int = 5, *, shuffle: bool = False, random_state: Any = None
    ) -> None:
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Generate the indices of training and test sets.

        Parameters
        ----------
        X : array-like of shape (n_windows, ...)
            The windows.
        y : object
            Not used, present for compatibility with scikit-learn.
        groups : array-like of int of shape (n_windows, 2)
            The index of the windows, from ``make_windows(..., return_index=True)``.

        Yields
        ------
        train, test : ndarray of int
            Positions of windows in ``X``, in their order.

        Raises
        ------
        ValueError
            If ``groups`` is not the index of ``X``, or if there are fewer series than splits.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.sequences import WindowGroupKFold, make_windows
        >>> X, y, index = make_windows([np.arange(5.0), np.arange(4.0)], width=2, return_index=True)
        >>> for train, test in WindowGroupKFold(n_splits=2).split(X, y, groups=index):
        ...     print(train, test)
        [3 4] [0 1 2]
        [0 1 2] [3 4]
        """
        from sklearn.model_selection import GroupKFold

        _check_integer("n_splits", self.n_splits, 2)
        series = _checked_index(groups, X)[:, 0]
        n_series = len(np.unique(series))
        if n_series < self.n_splits:
            raise ValueError(f"n_splits: expected at most {n_series}, the series, got {self!r}")
        random_state = self.random_state if self.shuffle else None
        folds = GroupKFold(self.n_splits, shuffle=self.shuffle, random_state=random_state)
        yield from folds.split(series, groups=series)


def _check_integer(name: str, value: Any, least: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected an integer, {least} or more, got {value!r}")


def _checked_index(groups: Any, X: Any) -> Indices:
    """The index of the windows X, shape (n, 2)."""
    n_windows = X.shape[0] if hasattr(X, "shape") else len(X)
    index = np.asarray(groups)
    if index.shape != (n_windows, 2) or index.dtype.kind not in "iu":
        found = "None" if groups is None else f"shape {index.shape} and dtype {index.dtype}"
        raise ValueError(
            f"groups: expected the index of the windows, integers of shape {(n_windows, 2)} from "
            f"make_windows(..., return_index=True), got {found}"
        )
    return index
