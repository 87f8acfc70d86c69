"""Transformers of tables on time steps.

Shapes: ``S`` steps of all sequences, ``D`` channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklstm._compat import HasMethods, _fit_context
from sklstm._persistence import shallow_copy
from sklstm.preprocessing._base import FitTask, SequenceTransformer, in_form_of
from sklstm.preprocessing._step_rows import (
    as_rows,
    frame_of,
    read_rows,
    read_step_rows,
    repeat_targets,
    take_rows,
    where_not_finite,
)
from sklstm.preprocessing._streams import State, StepFunction
from sklstm.sequences import Sequences
from sklstm.sequences._containers import is_frame
from sklstm.sequences._step_values import missing_values
from sklstm.sequences._weights import check_step_weights


def _can_invert(steps: Any) -> bool:
    inner = getattr(steps, "transformer_", steps.transformer)
    if not hasattr(inner, "inverse_transform"):
        raise AttributeError(f"{type(inner).__name__} has no inverse_transform")
    return True


# scikit-learn would wrap a `fit_transform` of a class that has `set_output`.
class _FittedOnSteps(
    SequenceTransformer,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]  # scikit-learn has no types
):
    """Fits the transformer to the time steps, and applies it."""

    transformer: Any
    transformer_: Any
    #: Whether the sequences had no axis for features.
    _flat: bool
    #: Name of the library of the frames, if there were any.
    _library: str | None
    #: Number of columns that the transformer returns.
    _width: int

    # The parameters of the transformer itself are validated, too.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Fit the transformer to the time steps of all sequences.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            A 2-D array (n_samples, n_timesteps), a 3-D array (n_samples, n_timesteps, n_features)
            or a list of arrays or frames (n_timesteps_i, n_features) or of arrays (n_timesteps_i,).
        y : array-like, default=None
            Targets, if the transformer uses any. The target of a sequence is repeated for each of
            its steps. There may also be one for each step: a list of arrays (n_timesteps_i,), or an
            array (n_samples, n_timesteps). Steps with a missing target are then left out.
        **fit_params : dict
            Parameters of the `fit` of the transformer. ``sample_weight`` may have a weight for each
            sequence, which is repeated for its steps, or for each step, in the form of ``y``. Other
            parameters are passed on as they are.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        TypeError
            If the transformer does not accept one of ``fit_params``.
        ValueError
            If an input is malformed. The transformer is then unchanged.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.decomposition import PCA
        >>> from sklstm.preprocessing import StepTransformer
        >>> X = [np.array([[1.0, 2.0], [2.0, 4.0]]), np.array([[3.0, 6.0]])]
        >>> StepTransformer(PCA(n_components=1)).fit(X).transformer_.mean_
        array([2., 4.])
        """
        self._fit(X, y, fit_params, transform=False)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit the transformer and transform the sequences, with its own `fit_transform`.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in `fit`.
        y : array-like, default=None
            As in `fit`.
        **fit_params : dict
            As in `fit`.

        Returns
        -------
        ndarray, list, tuple or dataframe
            As returned by `transform`.

        Raises
        ------
        ValueError
            If an input is malformed, or if the transformer does not return one row for each step.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.preprocessing import KBinsDiscretizer
        >>> from sklstm.preprocessing import StepTransformer
        >>> binned = StepTransformer(KBinsDiscretizer(2, encode="ordinal", strategy="uniform"))
        >>> binned.fit_transform([np.array([0.0, 4.0]), np.array([1.0, 3.0, 2.5])])
        [array([0., 1.]), array([0., 1., 1.])]
        """
        return self._contain(X, self._fit(X, y, fit_params, transform=True))

    def _fit(self, X: Any, y: Any, fit_params: dict[str, Any], transform: bool) -> Sequences:
        """Fit, and return the transformed sequences, or only the first of them."""
        task = FitTask(self, X, y)
        fitted = shallow_copy(self)
        sequences = fitted._read_first(X)
        fitted._flat = sequences.flat
        library = type(sequences.frame).__module__.partition(".")[0]
        fitted._library = None if sequences.frame is None else library
        inner = fitted.transformer_ = clone(self.transformer)
        at_once = transform and hasattr(inner, "fit_transform")
        if get_config()["enable_metadata_routing"]:
            method = "fit_transform" if at_once else "fit"
            fit_params = process_routing(self, method, **fit_params).transformer[method]
        known, options = _training_options(sequences, y, fit_params)
        if at_once and known is None:
            result = fitted._like(sequences, _call(inner.fit_transform, sequences, **options))
        else:
            _call(inner.fit, sequences, known, **options)
            result = fitted._apply(sequences if transform else _first(sequences))
        fitted._width = result.values.shape[1]
        task.end(fitted)
        self.__dict__ = fitted.__dict__
        return result

    def _check(self, X: Any) -> Sequences:
        return read_rows(X, self)

    def _apply(self, sequences: Sequences) -> Sequences:
        return self._like(sequences, _call(self.transformer_.transform, sequences))

    def _like(self, sequences: Sequences, found: Any) -> Sequences:
        """Sequences of what the transformer returned."""
        values = as_rows(found, len(sequences.values), self.transformer_)
        given: Any = sequences.values
        if isinstance(given, np.ndarray) and np.may_share_memory(values, given):
            values = values.copy()
        form = "3d" if sequences.form == "2d" and values.shape[1] > 1 else sequences.form
        return replace(sequences, values=values, form=form)


class StepTransformer(_FittedOnSteps):
    """Apply a transformer of tables to every time step.

    The time steps of all sequences are stacked to one table with one row for each step and one
    column for each channel. The transformer is fitted to this table, and its result is divided into
    sequences again. Any transformer of scikit-learn can be used that returns one row for each row,
    for example :class:`sklearn.decomposition.PCA`, :class:`sklearn.preprocessing.OneHotEncoder`,
    :class:`sklearn.pipeline.FeatureUnion`, or :class:`sklearn.compose.ColumnTransformer` for the
    columns of data frames.

    Parameters
    ----------
    transformer : estimator
        The transformer. It is cloned before it is fitted.

    Attributes
    ----------
    transformer_ : estimator
        The fitted transformer.

    n_features_in_ : int
        Number of channels. If ``X`` is 2-D, number of columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of ``X``, or of the frames in a list, if all are strings.

    See Also
    --------
    SequenceScaler : Scales channels; the same as StandardScaler on every step, also for 2-D arrays.
    AppendStatic : Appends features that are constant over time.

    Notes
    -----
    The values of ``X`` are passed on in their dtype. They may be categories or words, if the
    transformer accepts these. A list of data frames is passed on as one data frame.

    A 2-D array has one channel, so the transformer gets a table with one column. If it returns one
    column, the result is a 2-D array again, and otherwise a 3-D array. Padding in a 3-D array is
    not passed to the transformer; the result is padded with NaN again. Sparse results become dense.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> from sklstm.preprocessing import StepTransformer
    >>> X = [np.array(["walk", "run", "walk"]), np.array(["rest"])]
    >>> encoder = StepTransformer(OneHotEncoder()).fit(X)
    >>> encoder.transform(X)
    [array([[0., 0., 1.],
           [0., 1., 0.],
           [0., 0., 1.]]), array([[1., 0., 0.]])]
    >>> encoder.get_feature_names_out()
    array(['x0_rest', 'x0_run', 'x0_walk'], dtype=object)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "transformer": [HasMethods(["fit", "transform"])],
    }

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer

    @available_if(_can_invert)
    def inverse_transform(self, X: Any) -> Any:
        """Undo the transformation, with the `inverse_transform` of the transformer.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            Transformed sequences, of any lengths.

        Returns
        -------
        ndarray, list or tuple
            The sequences in the form of ``X``. If `fit` was called with a 2-D array, a 2-D array.

        Raises
        ------
        ValueError
            If an input is malformed, or if its number of features is wrong.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.preprocessing import MinMaxScaler
        >>> from sklstm.preprocessing import StepTransformer
        >>> scaler = StepTransformer(MinMaxScaler()).fit([np.array([0.0, 4.0]), np.array([2.0])])
        >>> scaler.inverse_transform([np.array([0.5, 1.0])])
        [array([2., 4.])]
        """
        check_is_fitted(self)
        fitted = shallow_copy(self)
        sequences = read_rows(X, fitted)
        width = sequences.values.shape[1]
        if width != fitted._width:
            raise ValueError(f"X: expected {fitted._width} feature(s), got {width}")
        result = fitted._like(sequences, _call(fitted.transformer_.inverse_transform, sequences))
        if fitted._table and result.form != "list" and result.values.shape[1] == 1:
            result = replace(result, form="2d")
        return in_form_of(X, replace(result, flat=fitted._flat))

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
            The names that the transformer gives its columns. If ``X`` was 2-D and remains so: the
            names of its columns.

        Examples
        --------
        >>> import pandas as pd
        >>> from sklearn.preprocessing import PolynomialFeatures
        >>> from sklstm.preprocessing import StepTransformer
        >>> X = [pd.DataFrame({"pulse": [80.0, 82.0]})]
        >>> powers = StepTransformer(PolynomialFeatures(2, include_bias=False)).fit(X)
        >>> powers.get_feature_names_out().tolist()
        ['pulse', 'pulse^2']
        """
        names = super().get_feature_names_out(input_features)
        if not hasattr(self.transformer_, "get_feature_names_out"):
            prefix = type(self.transformer_).__name__.lower()
            return np.array([f"{prefix}{k}" for k in range(self._width)], dtype=object)
        if not self._table:
            return np.asarray(self.transformer_.get_feature_names_out(names), dtype=object)
        if self._width == 1:
            return names
        return np.asarray(self.transformer_.get_feature_names_out(), dtype=object)

    def _step_function(self) -> StepFunction:
        return StepFunction(
            self._apply_to_step, self._read_step, self._form.n_channels, accepts="all"
        )

    def _apply_to_step(self, rows: Any, state: State) -> tuple[Any, State, None]:
        if self._library is not None and self._names is not None and not is_frame(rows):
            rows = frame_of(rows.T, self._names, self._library)
        with config_context(transform_output="default"):
            found = self.transformer_.transform(rows)
        return as_rows(found, len(rows), self.transformer_), state, None

    def _read_step(self, X_t: Any) -> Any:
        return read_step_rows(X_t, self._names, self._library)

    @property
    def _names(self) -> list[str] | None:
        names = self._form.feature_names
        return None if self._table or names is None else names.tolist()

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the metadata that the transformer requests.

        Returns
        -------
        MetadataRouter
            See :ref:`metadata routing <sklearn:metadata_routing>`.
        """
        methods = MethodMapping().add(caller="fit", callee="fit")
        methods.add(caller="fit_transform", callee="fit_transform")
        return MetadataRouter(owner=self).add(transformer=self.transformer, method_mapping=methods)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        is_instance = not isinstance(self.transformer, type)  # fit refuses classes
        if is_instance and hasattr(self.transformer, "__sklearn_tags__"):
            inner = get_tags(self.transformer)
            for name in ("allow_nan", "categorical", "string", "positive_only"):
                setattr(tags.input_tags, name, getattr(inner.input_tags, name))
            tags.target_tags.required = inner.target_tags.required
            if inner.transformer_tags is not None:
                tags.transformer_tags = inner.transformer_tags
        return tags


def _training_options(
    sequences: Sequences, y: Any, fit_params: dict[str, Any]
) -> tuple[NDArray[np.intp] | None, dict[str, Any]]:
    """Arguments of `fit` for the steps, and the steps that have a target, if not all have one."""
    targets, per_step = repeat_targets(y, sequences)
    options, arrays = dict(fit_params), [] if targets is None else ["y"]
    for name, value in fit_params.items():
        if name.split("__")[-1] == "sample_weight" and value is not None:
            options[name] = check_step_weights(value, sequences.lengths, sequences.n_timesteps)
            arrays.append(name)
    if targets is not None:
        options["y"] = targets
    if not per_step:
        return None, options
    known = np.flatnonzero(~missing_values(targets).reshape(len(targets), -1).any(axis=1))
    if len(known) == len(targets):
        return None, options
    return known, {**options, **{name: options[name][known] for name in arrays}}


def _call(
    method: Callable[..., Any],
    sequences: Sequences,
    rows: NDArray[np.intp] | None = None,
    **options: Any,
) -> Any:
    """What a method of the transformer returns for all steps or some; errors name the sample."""
    values = sequences.values if rows is None else take_rows(sequences.values, rows)
    try:
        with config_context(transform_output="default"):
            return method(values, **options)
    except ValueError as error:
        where = where_not_finite(sequences)
        if where is None or not any(word in str(error) for word in ("NaN", "infinity", "missing")):
            raise
        raise ValueError(f"{where}: {error}") from error


def _first(sequences: Sequences) -> Sequences:
    """The first sequence."""
    rows = np.arange(sequences.lengths[0])
    values = take_rows(sequences.values, rows)
    return replace(sequences, values=values, lengths=sequences.lengths[:1])
