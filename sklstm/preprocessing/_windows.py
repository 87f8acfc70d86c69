"""Windows of consecutive time steps.

Shapes: ``S`` steps of all sequences, ``D`` channels.
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
from sklstm.preprocessing._streams import State, StepFunction
from sklstm.sequences import Sequences


class SlidingWindow(SequenceTransformer):
    """Concatenate the time steps of sliding windows.

    Each window of a sequence becomes one time step. A sequence with ``n_timesteps`` steps and
    ``n_features`` channels is transformed to ``(n_timesteps - width) // stride + 1`` steps with
    ``width * n_features`` channels: the channels of the first step of the window, followed by those
    of the second, and so on. An LSTM trains about ``stride`` times as fast on the shorter
    sequences.

    Parameters
    ----------
    width : int, default=1
        Number of time steps in a window.

    stride : int, default=1
        Number of time steps between the starts of two consecutive windows. With ``stride=width``,
        windows do not overlap.

    align : {"start", "end"}, default="start"
        Which time steps are dropped if the windows do not cover the whole sequence; there are fewer
        than ``stride`` of them. With "start", the first window starts at the first step, and the
        last steps are dropped. The windows of a series then do not change when steps are appended.
        With "end", the last window ends at the last step, and the first steps are dropped.

    Attributes
    ----------
    n_features_in_ : int
        Number of channels. If ``X`` is 2-D, number of columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of ``X``, or of the frames in a list, if all are strings.

    See Also
    --------
    ToSequences : Reshapes the rows of a table to time steps.

    Notes
    -----
    `fit` and `transform` raise an error if a sequence is shorter than ``width``. The message names
    the sequence.

    A 2-D array, where each row is a univariate series, becomes a 3-D array
    (n_samples, n_windows, width). Lists and 3-D arrays keep their form. If a 3-D array is padded
    with NaN, so is the result.

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
        """Return the names of the channels that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns or channels of ``X``. If None, the names seen in `fit`, or "x0",
            "x1" and so on.

        Returns
        -------
        ndarray of str
            "t0_a", "t0_b", "t1_a" and so on, for the time steps of a window and the channels "a"
            and "b". If ``X`` was 2-D: "t0", "t1" and so on.

        Examples
        --------
        >>> import pandas as pd
        >>> from sklstm.preprocessing import SlidingWindow
        >>> X = [pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})]
        >>> SlidingWindow(width=2).fit(X).get_feature_names_out().tolist()
        ['t0_a', 't0_b', 't1_a', 't1_b']
        """
        names = super().get_feature_names_out(input_features)
        suffixes = [""] if self._table else [f"_{name}" for name in names]
        steps = range(self.width)
        return np.array([f"t{k}{suffix}" for k in steps for suffix in suffixes], dtype=object)

    def _learn(self, sequences: Sequences) -> None:
        self._count(sequences.lengths)

    def _count(self, lengths: Any) -> Any:
        """Return the number of windows in sequences of these lengths."""
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
        n_dropped = lengths - self.width - (n_windows - 1) * self.stride
        first = sequences.starts + (n_dropped if self.align == "end" else 0)
        number = np.arange(n_windows.sum()) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
        rows = np.repeat(first, n_windows) + number * self.stride
        windows = sliding_window_view(
            sequences.values, self.width, axis=0
        )  # (S - width + 1, D, width)
        values = windows.transpose(0, 2, 1)[rows].reshape(len(rows), -1)
        n_timesteps = sequences.n_timesteps
        return replace(
            sequences,
            values=values,
            lengths=n_windows,
            form="list" if sequences.form == "list" else "3d",
            n_timesteps=n_timesteps and int(self._count(np.array([n_timesteps]))[0]),
        )

    def _step_function(self) -> StepFunction:
        if self.align == "end":
            raise ValueError('align="end" needs the last time step of a sequence')
        n_features = self._form.n_channels
        initial = {"window": np.zeros(self.width * n_features), "n_steps": np.zeros((), np.intp)}
        return StepFunction(self._move, self._read_step, n_features, initial)

    def _move(self, rows: Any, state: State) -> tuple[Any, State, NDArray[np.bool_]]:
        """Move the window by one step; there is a row where it ends at the end of a window."""
        window = np.concatenate([state["window"][:, rows.shape[1] :], rows], axis=1)
        n_steps = state["n_steps"] + 1
        ready = (n_steps >= self.width) & ((n_steps - self.width) % self.stride == 0)
        return window.astype(rows.dtype), {"window": window, "n_steps": n_steps}, ready
