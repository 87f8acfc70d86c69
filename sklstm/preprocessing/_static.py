"""Features that are constant over time, beside sequences.

Shapes: ``n`` sequences, ``S`` steps of all sequences, ``F`` static features.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import clone

from sklstm._compat import HasMethods, _fit_context
from sklstm._persistence import shallow_copy
from sklstm.preprocessing._base import FitTask, SequenceTransformer, refuse_infinity
from sklstm.preprocessing._step_rows import as_rows
from sklstm.preprocessing._streams import State, StepFunction
from sklstm.sequences import Sequences
from sklstm.sequences._input_form import InputForm
from sklstm.sequences._long_frames import column_of, listed, names_in, numeric_columns
from sklstm.sequences._nested_frames import beside_each_other, series_in

Array = NDArray[Any]


# scikit-learn would wrap a `fit_transform` of a class that has `set_output`.
class _FittedOnFrame(
    SequenceTransformer,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]  # scikit-learn has no types
):
    """Reads a frame with a column of sequences, and fits a transformer to the other columns."""

    _takes_gaps = True

    sequence: Any
    static: Any
    static_: Any
    #: Names of the other columns, and of the channels of the sequences.
    _facts: list[Any]
    _channels: list[str]
    #: Number of static features.
    _n_static: int

    # The parameters of the inner transformer are validated, too.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the transformer of the static columns.

        Parameters
        ----------
        X : pandas.DataFrame or polars.DataFrame
            A frame with one row for each sequence.
        y : array-like of shape (n_samples,), default=None
            Targets, which are passed to ``static``.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            If ``X`` is not a frame, if a column is missing, or if a cell is malformed; the message
            names the row and the column. The transformer is then unchanged.

        Examples
        --------
        >>> import pandas as pd
        >>> from sklearn.preprocessing import StandardScaler
        >>> from sklstm.preprocessing import AppendStatic
        >>> X = pd.DataFrame({"series": [[80.0, 82.0], [64.0]], "age": [40, 70]})
        >>> AppendStatic(static=StandardScaler()).fit(X).static_.mean_
        array([55.])
        """
        self._fit(X, y, transform=False)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit the transformer of the static columns, and append its result to the sequences.

        Parameters
        ----------
        X : pandas.DataFrame or polars.DataFrame
            As in `fit`.
        y : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        list of n_samples arrays or dataframes
            As returned by `transform`.

        Examples
        --------
        >>> import pandas as pd
        >>> from sklstm.preprocessing import AppendStatic
        >>> X = pd.DataFrame({"series": [[80.0, 82.0], [64.0]], "age": [40, 70]})
        >>> AppendStatic().fit_transform(X)
        [array([[80., 40.],
               [82., 40.]]), array([[64., 70.]])]
        """
        return self._contain(X, self._fit(X, y, transform=True))

    def transform(self, X: Any) -> Any:
        """Append the static features to every step of the sequences.

        Parameters
        ----------
        X : pandas.DataFrame or polars.DataFrame
            A frame with the columns seen in `fit`.

        Returns
        -------
        list of n_samples ndarray of shape (n_timesteps_i, n_features)
            The channels of the sequences, followed by the static features. With
            ``set_output(transform="pandas")`` or ``"polars"``, a list of frames.

        Raises
        ------
        ValueError
            If ``X`` has other columns than in `fit`, or if a cell is malformed.

        Examples
        --------
        >>> import pandas as pd
        >>> from sklstm.preprocessing import AppendStatic
        >>> append = AppendStatic().fit(pd.DataFrame({"series": [[80.0, 82.0]], "age": [40]}))
        >>> append.transform(pd.DataFrame({"series": [[75.0]], "age": [50]}))
        [array([[75., 50.]])]
        """
        return super().transform(X)

    def _static_features(self, frame: Any, argument: str = "X") -> Array:
        """Features (n, F) of a frame that has the static columns."""
        if not self._facts:
            return np.empty((len(frame), 0))
        names_in(frame, argument)
        for name in self._facts:
            column_of(frame, name, argument)
        if self.static_ is not None:
            with config_context(transform_output="default"):
                found = self.static_.transform(frame[self._facts])
            return _numbers(found, len(frame), self.static_)
        return np.concatenate(
            [_numeric_column(frame, name, argument) for name in self._facts], axis=1
        )

    def _fit(self, X: Any, y: Any, transform: bool) -> Sequences:
        """Fit, and return the sequences, with the static features if these are wanted."""
        task = FitTask(self, X, y)
        fitted = shallow_copy(self)
        sequences = fitted._read_first(X)
        chosen = listed(self.sequence)
        fitted._facts = [name for name in names_in(X) if name not in chosen]
        fitted._channels = [text for name in chosen for text in _channel_names(X, name)]
        fitted.static_ = inner = None if self.static is None else clone(self.static)
        if inner is None or not fitted._facts:
            features = fitted._static_features(X)
        else:
            features = fitted._fit_facts(inner, X[fitted._facts], y, transform)
        fitted._n_static = features.shape[1]
        task.end(fitted)
        self.__dict__ = fitted.__dict__
        return _append(sequences, features)

    def _fit_facts(self, inner: Any, facts: Any, y: Any, transform: bool) -> Array:
        with config_context(transform_output="default"):
            if transform and hasattr(inner, "fit_transform"):
                return _numbers(inner.fit_transform(facts, y), len(facts), inner)
            inner.fit(facts, y)
        return self._static_features(facts)

    def _check(self, X: Any) -> Sequences:
        names_in(X, "X")
        names = listed(self.sequence)
        parts = beside_each_other([series_in(X, name, "X") for name in names], names, "X")
        lengths = np.fromiter(map(len, parts), dtype=np.intp, count=len(parts))
        sequences = Sequences(np.concatenate(parts), lengths, "list", X)
        refuse_infinity(sequences, type(self).__name__)
        return sequences

    def _read(self, X: Any) -> Sequences:
        sequences = super()._read(X)
        width = sequences.values.shape[1]
        if width != len(self._channels):
            raise ValueError(
                f"X: expected sequences of {len(self._channels)} channel(s) in {self.sequence!r}, "
                f"got {width}"
            )
        return sequences

    def _apply(self, sequences: Sequences) -> Sequences:
        return _append(sequences, self._static_features(sequences.frame))

    def _contain(self, X: Any, result: Sequences) -> Any:
        cells = list(column_of(X, listed(self.sequence)[0]))
        series = [hasattr(cell, "iloc") and cell.ndim == 1 for cell in cells]  # may have an index
        frames = [c.to_frame() if one else c for c, one in zip(cells, series, strict=True)]
        return super()._contain(frames, result)


class AppendStatic(_FittedOnFrame):
    """Append features that are constant over time to every step of sequences.

    A data frame has one row for each sequence. One of its columns contains the sequences, and the
    others contain facts, such as an age or a site. The facts are converted to numbers and repeated
    at each time step, so that an LSTM can use them. It is the first step of a pipeline.

    Parameters
    ----------
    sequence : column name or list of column names, default="series"
        The column of sequences. Its cells are pandas or polars series, arrays (n_timesteps_i,) or
        (n_timesteps_i, n_features), frames or lists. If there are several names, as in the nested
        frames of sktime, each column contains a channel.

    static : estimator, default=None
        A transformer of the other columns, for example
        :class:`sklearn.preprocessing.OneHotEncoder` or :class:`sklearn.compose.ColumnTransformer`.
        It is cloned before it is fitted. If None, all columns must be numbers, which are appended
        as they are.

    Attributes
    ----------
    static_ : estimator or None
        The fitted transformer of the static columns.

    n_features_in_ : int
        Number of columns of ``X``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of ``X``, if all are strings.

    See Also
    --------
    StepTransformer : Applies a transformer to every time step.
    sklstm.sequences.from_nested_frame : Converts frames without static columns.

    Notes
    -----
    The result is a list of arrays, of dtype float32 if all sequences are float32. Missing values
    are kept.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> from sklstm.preprocessing import AppendStatic
    >>> X = pd.DataFrame({"series": [[80.0, 82.0], [64.0]], "site": ["north", "south"]})
    >>> append = AppendStatic(static=OneHotEncoder()).fit(X)
    >>> append.transform(X)
    [array([[80.,  1.,  0.],
           [82.,  1.,  0.]]), array([[64.,  0.,  1.]])]
    >>> append.get_feature_names_out().tolist()
    ['series', 'site_north', 'site_south']
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "sequence": [object],  # any name of a column
        "static": [None, HasMethods(["fit", "transform"])],
    }

    def __init__(self, sequence: Any = "series", static: Any = None) -> None:
        self.sequence = sequence
        self.static = static

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the channels that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of ``X``. Only the names seen in `fit` are valid.

        Returns
        -------
        ndarray of str
            The names of the sequences, followed by those of the static features. A column of
            univariate sequences gives its name. Otherwise, the names of the channels are the
            columns of the frames in the column, or the name of the column with "_0", "_1" and so
            on.

        Examples
        --------
        >>> import pandas as pd
        >>> from sklstm.preprocessing import AppendStatic
        >>> X = pd.DataFrame({"series": [[80.0, 82.0], [64.0]], "age": [40, 70]})
        >>> AppendStatic().fit(X).get_feature_names_out().tolist()
        ['series', 'age']
        """
        super().get_feature_names_out(input_features)
        inner = self.static_
        if inner is None or not self._facts:
            static = [str(name) for name in self._facts]
        elif hasattr(inner, "get_feature_names_out"):
            static = list(inner.get_feature_names_out())
        else:
            static = [f"{type(inner).__name__.lower()}{k}" for k in range(self._n_static)]
        return np.array([*self._channels, *static], dtype=object)

    def _step_function(self) -> StepFunction:
        # The static features are part of the state, since they are given when a stream begins.
        initial = {"static": np.zeros(self._n_static), "known": np.zeros((), np.intp)}
        return StepFunction(
            self._append_to_step, self._read_step, len(self._channels), initial, accepts="gaps"
        )

    def _append_to_step(self, rows: Any, state: State) -> tuple[Any, State, None]:
        static = state["static"].astype(rows.dtype)
        return np.concatenate([rows, static], axis=1), state, None

    def _read_step(self, X_t: Any) -> Array:
        names = np.array(self._channels, dtype=object)
        return InputForm(False, len(names), names).step_values(X_t, self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = False
        tags.input_tags.string = True
        return tags


def _append(sequences: Sequences, features: Array) -> Sequences:
    """The sequences with the features (n, F) at every step."""
    values = sequences.values
    repeated = np.repeat(features.astype(values.dtype), sequences.lengths, axis=0)
    return replace(sequences, values=np.concatenate([values, repeated], axis=1))


def _numbers(found: Any, n_rows: int, transformer: Any) -> Array:
    """What a transformer of static columns returned, as numbers (n_rows, F)."""
    rows = as_rows(found, n_rows, transformer, "row")
    try:
        return rows if rows.dtype.kind in "fiub" else rows.astype(np.float64)
    except (TypeError, ValueError) as error:
        name = type(transformer).__name__
        raise ValueError(f"static: expected a transformer to numbers, {name}: {error}") from error


def _numeric_column(frame: Any, name: Any, argument: str) -> Array:
    """A static column of numbers (n, 1)."""
    try:
        return numeric_columns(frame, [name])
    except ValueError as error:
        raise ValueError(
            f"{argument}: the column {name!r} is not numeric, so it needs a transformer, for "
            f"example static=OneHotEncoder(): {error}"
        ) from error


def _channel_names(frame: Any, name: Any) -> list[str]:
    """Names of the channels of a column of sequences."""
    first = column_of(frame, name)[0:1]
    cell = next(iter(first))
    if hasattr(cell, "columns"):
        return [str(column) for column in cell.columns]
    width = series_in(frame[[name]][0:1], name)[0].shape[1]
    return [str(name)] if width == 1 else [f"{name}_{k}" for k in range(width)]
