"""SlidingWindow.

Shapes: ``S`` steps of all sequences together, ``W`` windows of all, ``D`` channels.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sklstm._compat import Interval, StrOptions
from sklstm.preprocessing._base import SequenceTransformer
from sklstm.sequences import Sequences


class SlidingWindow(SequenceTransformer):
    """Cut each sequence into windows, and make each window one wide time step.

    A sequence of ``n_timesteps`` steps with ``n_features`` channels becomes one of
    ``(n_timesteps - width) // stride + 1`` steps with ``width * n_features`` channels: the
    ``width`` steps of a window side by side, the oldest first. An LSTM trains about ``stride``
    times as fast on that, and each of its steps sees ``width`` of the old ones.

    Parameters
    ----------
    width : int, default=1
        Steps in a window.

    stride : int, default=1
        Steps from the beginning of a window to that of the next: with 1, a window at every step;
        with ``width``, each step in one window.

    align : {"start", "end"}, default="start"
        Where windows do not come out even, up to ``stride - 1`` steps are left over. With "start"
        the first window begins at the first step, and the last steps are left over: what is seen of
        the beginning of a series does not change when it grows. With "end" the last window ends at
        the last step, and the first steps are left over.

    Attributes
    ----------
    n_features_in_ : int
        Channels; for a 2-D ``X``, its columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Columns of ``X``, or of the frames in a list, if all are strings.

    See Also
    --------
    ToSequences : Cuts the rows of a table into time steps.

    Notes
    -----
    A sequence shorter than ``width`` is an error that names it, in `fit` and in `transform`; it has
    no window, and padding would make steps up.

    A 2-D array, one univariate series a row, becomes a 3-D array (n_samples, n_windows, width).
    Lists and 3-D arrays remain what they are; NaN padding then is as long as windows are missing.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.preprocessing import SlidingWindow
    >>> SlidingWindow(width=4, stride=2).fit_transform([np.arange(9.0), np.arange(4.0)])
    [array([[0., 1., 2., 3.],
           [2., 3., 4., 5.],
           [4., 5., 6., 7.]]), array([[0., 1., 2., 3.]])]
    >>> SlidingWindow(width=10, stride=10).fit_transform(np.zeros((2, 1000, 3))).shape
    (2, 100, 30)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "width": [Interval(Integral, 1, None, closed="left")],
        "stride": [Interval(Integral, 1, None, closed="left")],
        "align": [StrOptions({"start", "end"})],
    }

    def __init__(self, width: int = 1, stride: int = 1, *, align: str = "start") -> None:
        self.width = width
        self.stride = stride
        self.align = align

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
            "t0_a", "t0_b", "t1_a" and so on, for the steps of a window and channels "a" and "b";
            after a 2-D ``X`` only "t0", "t1" and so on, since its columns are no channels.
        """
        names = super().get_feature_names_out(input_features)
        suffixes = [""] if self._table else [f"_{name}" for name in names]
        steps = range(self.width)
        return np.array([f"t{k}{suffix}" for k in steps for suffix in suffixes], dtype=object)

    def _learn(self, sequences: Sequences) -> None:
        self._count(sequences.lengths)

    def _count(self, lengths: Any) -> Any:
        """Windows of sequences of these lengths."""
        short = np.flatnonzero(lengths < self.width)
        if len(short):
            k = short[0]
            raise ValueError(
                f"X[{k}]: expected at least width={self.width} time steps, got {lengths[k]}"
            )
        return (lengths - self.width) // self.stride + 1

    def _apply(self, sequences: Sequences) -> Sequences:
        lengths = sequences.lengths
        n_windows = self._count(lengths)
        left_over = lengths - self.width - (n_windows - 1) * self.stride
        begin = sequences.starts + (left_over if self.align == "end" else 0)
        number = np.arange(n_windows.sum()) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
        rows = np.repeat(begin, n_windows) + number * self.stride
        windows = sliding_window_view(sequences.values, self.width, axis=0)  # (.., D, width)
        values = windows.transpose(0, 2, 1)[rows].reshape(len(rows), -1)
        n_timesteps = sequences.n_timesteps
        return replace(
            sequences,
            values=values,
            lengths=n_windows,
            form="list" if sequences.form == "list" else "3d",
            n_timesteps=n_timesteps and int(self._count(np.array([n_timesteps]))[0]),
        )
