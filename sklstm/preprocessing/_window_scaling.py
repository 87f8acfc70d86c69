"""Scaling of each window and its targets by the window's own statistics.

Shapes: ``n`` windows, ``D`` channels, ``K`` channels that are targets.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklstm._compat import HasMethods, StrOptions, _fit_context
from sklstm._persistence import PlainState, shallow_copy
from sklstm.preprocessing._base import in_form_of
from sklstm.sequences import Sequences, check_sequences
from sklstm.sequences._containers import open_container, read_numbers
from sklstm.sequences._input_form import InputForm
from sklstm.sequences._moments import (
    is_constant,
    moderate,
    segment_moments,
    standardize,
    unstandardize,
)
from sklstm.sequences._weights import check_weights

Array = NDArray[np.float64]

#: A window's scale is at least this fraction of the mean scale of the training windows.
LEAST_SCALE = 0.01


class _Units(NamedTuple):
    """Center and half of the scale of each window, (n, D), or in the shape of targets."""

    center: Array
    half_scale: Array

    def like_targets(self, columns: Any, ndim: int, n_axes_after: int = 0) -> _Units:
        """The units of targets with ``ndim`` axes, and of predictions with more axes after."""

        def shaped(values: Array) -> Array:
            chosen = values[:, columns]
            middle = (1,) * (ndim - chosen.ndim)
            after = (1,) * n_axes_after
            return chosen.reshape(len(chosen), *middle, *chosen.shape[1:], *after)

        return _Units(shaped(self.center), shaped(self.half_scale))


def _regressor_has(name: str) -> Any:
    def check(estimator: Any) -> bool:
        getattr(getattr(estimator, "regressor_", estimator.regressor), name)
        return True

    return check


class WindowScaledRegressor(PlainState, MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """Scale each window and its targets by the window's own statistics, and undo it in predictions.

    A network that learned from low windows of a series does not know high ones. Relative to their
    own level and scale, windows are alike, so that forecasts follow the level of the series [1]_.
    The targets of a window are scaled like the channels that they continue.

    Parameters
    ----------
    regressor : estimator
        The regressor that learns the scaled windows, for example an LSTMRegressor or a pipeline.

    center : {"mean", "last"} or None, default="mean"
        What is subtracted from each channel of a window and from its targets: the mean of the
        window, or its last value, so that changes from it are forecast [2]_. With None, nothing.

    scale : {"std", "mean_abs"} or None, default="std"
        What they are divided by: the standard deviation of the window, or the mean of its absolute
        values. With None, by nothing. A scale is at least a hundredth of the mean scale of the
        training windows, so that constant windows do not give very large targets.

    target : int, list of int or None, default=None
        The channels that ``y`` holds, as in :func:`sklstm.sequences.make_windows`. For one channel,
        ``y`` has no axis for channels; for a list its last axis has their order. None is all
        channels, and no axis if there is one.

    Attributes
    ----------
    regressor_ : estimator
        The fitted clone of ``regressor``.

    least_scale_ : ndarray of shape (n_channels,)
        Least scale of each channel of a window.

    n_features_in_ : int
        Number of channels; for a 2-D ``X``, its columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of ``X``, or of the frames in a list, if all of them are strings.

    See Also
    --------
    SequenceScaler : With ``per_sequence=True`` scales sequences alike, but not targets.
    sklstm.sequences.make_windows : Makes windows and targets.

    Notes
    -----
    This is one estimator, not a pair of transformers: predictions are in the units of their own
    windows, which only an estimator that is given ``X`` in ``predict`` knows. So it also works in
    a cross-validation and a search, where the parameters of the regressor are
    ``regressor__alpha`` and so on.

    The window's level and scale are hidden from the regressor. Where they matter, append them as
    channels.

    References
    ----------
    .. [1] Kim et al. 2022, "Reversible instance normalization for accurate time-series
       forecasting against distribution shift", ICLR.
    .. [2] Zeng, Chen, Zhang & Xu 2023, "Are transformers effective for time series forecasting?",
       AAAI.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMRegressor
    >>> from sklstm.preprocessing import WindowScaledRegressor
    >>> from sklstm.sequences import make_windows
    >>> series = np.arange(300) + 5 * np.sin(np.arange(300) / 4)  # rises forever
    >>> X, y = make_windows(series, width=24, horizon=4)
    >>> reg = WindowScaledRegressor(LSTMRegressor(16, random_state=0), center="last")
    >>> reg.fit(X[:150], y[:150]).predict(X[150:]).shape
    (123, 4)
    >>> bool(reg.score(X[150:], y[150:]) > 0.9)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "regressor": [HasMethods(["fit", "predict"])],
        "center": [StrOptions({"mean", "last"}), None],
        "scale": [StrOptions({"std", "mean_abs"}), None],
        "target": [Integral, list, tuple, None],
    }

    regressor_: Any
    least_scale_: Array
    _form: InputForm
    _axes: int  # of the targets
    _weight_seen: float

    def __init__(
        self, regressor: Any, *, center: Any = "mean", scale: Any = "std", target: Any = None
    ) -> None:
        self.regressor = regressor
        self.center = center
        self.scale = scale
        self.target = target

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **fit_params: Any) -> Self:
        """Fit the regressor to scaled windows and targets.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            Windows, or sequences of any lengths; as in ``fit`` of LSTMRegressor.
        y : array-like of shape (n_samples,) or (n_samples, ...)
            Targets, the next values of the channels that ``target`` names.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, passed to ``fit`` of the regressor if they are not None.
        **fit_params : dict
            Further arguments of ``fit`` of the regressor. ``X_val`` and ``y_val`` are scaled.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If ``y`` does not have the axis of channels that ``target`` asks for, or as the
            regressor raises it. The estimator is then unchanged.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMRegressor
        >>> from sklstm.preprocessing import WindowScaledRegressor
        >>> from sklstm.sequences import make_windows
        >>> X, y = make_windows(np.arange(60.0), width=8)
        >>> reg = WindowScaledRegressor(LSTMRegressor(4, random_state=0)).fit(X, y)
        >>> reg.regressor_.n_features_in_
        1
        """
        fitted = shallow_copy(self)
        fitted.__dict__.pop("feature_names_in_", None)
        fitted._weight_seen = 0.0
        fitted.regressor_ = clone(self.regressor)
        fitted._train("fit", X, y, sample_weight, fit_params, first=True)
        self.__dict__ = fitted.__dict__  # all attributes at once, and none on an error
        return self

    @available_if(_regressor_has("partial_fit"))
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, **fit_params: Any) -> Self:
        """Train the regressor for one epoch on scaled windows and targets.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`fit`.
        y : array-like of shape (n_samples,) or (n_samples, ...)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.
        **fit_params : dict
            Further arguments of ``partial_fit`` of the regressor.

        Returns
        -------
        self : object
            The fitted estimator. ``least_scale_`` is that of the windows of all calls.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMRegressor
        >>> from sklstm.preprocessing import WindowScaledRegressor
        >>> from sklstm.sequences import make_windows
        >>> X, y = make_windows(np.arange(60.0), width=8)
        >>> reg = WindowScaledRegressor(LSTMRegressor(4, random_state=0))
        >>> reg.partial_fit(X[:26], y[:26]).partial_fit(X[26:], y[26:]).predict(X).shape
        (52,)
        """
        if not hasattr(self, "regressor_"):
            fitted = shallow_copy(self)
            fitted._weight_seen = 0.0
            fitted.regressor_ = clone(self.regressor)
        else:
            fitted = shallow_copy(self)
        fitted._train("partial_fit", X, y, sample_weight, fit_params, fitted._weight_seen == 0)
        self.__dict__ = fitted.__dict__
        return self

    def predict(self, X: Any, **predict_params: Any) -> Any:
        """Predict targets in their own units.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`fit`.
        **predict_params : dict
            Arguments of ``predict`` of the regressor. With ``return_std=True`` the standard
            deviations are returned in the units of the targets too.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, ...), or two of them
            Predictions in the shape that the regressor gives them.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMRegressor
        >>> from sklstm.preprocessing import WindowScaledRegressor
        >>> from sklstm.sequences import make_windows
        >>> X, y = make_windows(np.arange(60.0), width=8)
        >>> reg = WindowScaledRegressor(LSTMRegressor(4, random_state=0), center="last").fit(X, y)
        >>> reg.predict(X[-1:] + 1000).round().tolist()  # beyond all values that were seen in fit
        [1059.0]
        """
        check_is_fitted(self)
        fitted = shallow_copy(self)  # another thread may fit this estimator anew
        sequences = fitted._form.read(X, self)
        units = fitted._units(sequences)
        found = fitted.regressor_.predict(fitted._scaled(X, sequences, units), **predict_params)
        if isinstance(found, tuple):
            mean, deviation = found
            return fitted._undone(mean, units), fitted._undone(deviation, units, centered=True)
        return fitted._undone(found, units)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the coefficient of determination R^2 in the units of the targets.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`predict`.
        y : array-like of shape (n_samples,) or (n_samples, ...)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        float
            The mean over all columns; of several quantiles, that of the one nearest to 0.5.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMRegressor
        >>> from sklstm.preprocessing import WindowScaledRegressor
        >>> from sklstm.sequences import make_windows
        >>> X, y = make_windows(np.arange(60.0), width=8)
        >>> reg = WindowScaledRegressor(LSTMRegressor(4, random_state=0), center="last")
        >>> bool(reg.fit(X[:40], y[:40]).score(X[40:], y[40:]) > 0.9)
        True
        """
        from sklearn.metrics import r2_score  # slow to import

        predicted, y = self.predict(X), read_numbers(y, "y").astype(np.float64)
        if predicted.ndim > self._axes:
            levels = np.asarray(_last_step(self.regressor_).quantile)
            predicted = predicted[..., int(np.argmin(np.abs(levels - 0.5)))]
        if y.size != predicted.size or len(y) != len(predicted):
            raise ValueError(f"y: expected targets of shape {predicted.shape}, got {y.shape}")
        rows = (part.reshape(len(part), -1) for part in moderate(y, predicted))
        return float(r2_score(*rows, sample_weight=sample_weight))

    def _train(
        self, method: str, X: Any, y: Any, sample_weight: Any, params: dict[str, Any], first: bool
    ) -> None:
        """Call ``method`` of the regressor, and set all attributes."""
        if first:
            sequences = check_sequences(open_container(X), estimator=self)
            self._form = InputForm.of(sequences, self)
            self.__dict__.update(self._form.attributes)
        else:
            sequences = self._form.read(X, self)
        weights = check_weights(sample_weight, len(sequences))
        self._learn_scale(sequences, weights)
        y = self._read_targets(y, len(sequences), reset=first)
        if sample_weight is not None:
            params = {"sample_weight": sample_weight, **params}
        if params.get("X_val") is not None and params.get("y_val") is not None:
            params = {**params, **self._scaled_validation(params["X_val"], params["y_val"])}
        self.regressor_ = clone(self.regressor_) if first else _copied(self.regressor_)
        units = self._units(sequences)
        X, y = self._scaled(X, sequences, units), self._scaled_targets(y, units)
        getattr(self.regressor_, method)(X, y, **params)

    def _learn_scale(self, sequences: Sequences, weights: Array) -> None:
        """Update the least scale by the windows of positive weight."""
        _, scale = self._statistics(sequences)
        weight = float(weights.sum())
        if weight == 0:
            raise ValueError("sample_weight: expected a weight above zero, all weights are zero")
        least = LEAST_SCALE * np.average(scale, axis=0, weights=weights / weights.max())
        if self._weight_seen > 0:
            share = weight / (weight + self._weight_seen)
            least = share * least + (1 - share) * self.least_scale_
        self.least_scale_, self._weight_seen = least, self._weight_seen + weight

    def _statistics(self, sequences: Sequences) -> tuple[Array, Array]:
        """Center and scale of each channel of each sequence, (n, D)."""
        values, starts = sequences.values, sequences.starts
        _, mean, deviation = segment_moments(values, starts)
        centers = {"mean": mean, "last": values[starts + sequences.lengths - 1].astype(np.float64)}
        center = centers.get(self.center, np.zeros_like(mean))
        if self.scale == "mean_abs":
            return center, segment_moments(np.abs(values), starts).mean
        if self.scale == "std":
            return center, np.where(is_constant(mean, deviation), 0.0, deviation)
        return center, np.ones_like(mean)

    def _units(self, sequences: Sequences) -> _Units:
        center, scale = self._statistics(sequences)
        scale = np.maximum(scale, self.least_scale_)
        return _Units(center, np.where(scale > 0, scale, 1.0) / 2)

    def _scaled(self, X: Any, sequences: Sequences, units: _Units) -> Any:
        """The scaled windows in the form of X."""
        center, half_scale = (np.repeat(rows, sequences.lengths, axis=0) for rows in units)
        values = standardize(sequences.values, center, half_scale)
        values = values.astype(sequences.values.dtype, copy=False)
        return in_form_of(X, replace(sequences, values=values, frame=None))

    def _read_targets(self, y: Any, n_samples: int, reset: bool) -> NDArray[Any]:
        """The targets as an array with the axes that the first ones had."""
        if y is None:
            name = type(self).__name__
            raise ValueError(f"{name} requires y to be passed, but the target y is None")
        y = read_numbers(y, "y")
        columns, n_channels = self._columns, self._form.n_channels
        n_columns = None if isinstance(columns, int) else len(np.arange(n_channels)[columns])
        if len(y) != n_samples:
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: "
                f"[{n_samples}, {len(y)}]"
            )
        if n_columns is not None and (y.ndim < 2 or y.shape[-1] != n_columns):
            raise ValueError(
                f"y: expected {n_columns} channels in its last axis, for target={self.target} of "
                f"X with {n_channels} channels, got shape {y.shape}"
            )
        if reset:
            self._axes = 1 if y.shape[1:] == (1,) else y.ndim
        return y

    @property
    def _columns(self) -> Any:
        """The channels that are targets: the number of one, or an index of several."""
        n_channels = self._form.n_channels
        if self.target is None:
            return 0 if n_channels == 1 else slice(None)
        chosen = [self.target] if isinstance(self.target, Integral) else list(self.target)
        for channel in chosen:
            if not isinstance(channel, Integral) or int(channel) not in range(n_channels):
                raise ValueError(
                    f"target: expected channels, 0 to {n_channels - 1}, got {self.target!r}"
                )
        return int(self.target) if isinstance(self.target, Integral) else chosen

    def _scaled_targets(self, y: NDArray[Any], units: _Units) -> NDArray[Any]:
        center, half_scale = units.like_targets(self._columns, y.ndim)
        scaled = standardize(y, center, half_scale)
        return scaled.astype(y.dtype if y.dtype.kind == "f" else np.float64, copy=False)

    def _scaled_validation(self, X_val: Any, y_val: Any) -> dict[str, Any]:
        try:
            sequences = self._form.read(X_val, self)
            y = self._read_targets(y_val, len(sequences), reset=False)
        except ValueError as error:
            raise ValueError(f"Validation data (X_val, y_val): {error}") from error
        units = self._units(sequences)
        return {
            "X_val": self._scaled(X_val, sequences, units),
            "y_val": self._scaled_targets(y, units),
        }

    def _undone(self, found: Any, units: _Units, centered: bool = False) -> NDArray[Any]:
        """Predictions, or deviations that are ``centered``, in the units of the targets."""
        found = np.asarray(found)
        after = found.ndim - self._axes
        columns = self._columns
        if self._axes == 1 and not isinstance(columns, int):
            columns = int(np.arange(self._form.n_channels)[columns][0])  # y (n, 1) was read as (n,)
        center, half_scale = units.like_targets(columns, self._axes, after)
        if centered:
            center = np.zeros_like(center)
        dtype = found.dtype if found.dtype.kind == "f" else np.float64
        return unstandardize(found, center, half_scale).astype(dtype, copy=False)

    def get_metadata_routing(self) -> Any:
        """Return how scikit-learn routes metadata: all of it to the regressor.

        Returns
        -------
        MetadataRouter
            The routing of this estimator.
        """
        from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

        mapping = MethodMapping()
        for method in ("fit", "partial_fit", "predict", "score"):
            mapping.add(caller=method, callee=method)
        return MetadataRouter(owner=self).add(regressor=self.regressor, method_mapping=mapping)

    def _to_plain(self, attributes: dict[str, Any]) -> dict[str, Any]:
        form = attributes.pop("_form", None)
        return attributes if form is None else {**attributes, "form": form.as_dict()}

    def _from_plain(self, state: dict[str, Any]) -> dict[str, Any]:
        form = state.pop("form", None)
        return state if form is None else {**state, "_form": InputForm(**form)}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "regressor_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.regressor)
        tags.input_tags.three_d_array = True
        tags.target_tags.multi_output = inner.target_tags.multi_output
        tags.regressor_tags.poor_score = True  # the level of a row is hidden from the regressor
        return tags


def _last_step(estimator: Any) -> Any:
    """The last step of a pipeline, or the estimator."""
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return estimator


def _copied(estimator: Any) -> Any:
    """A copy that a call of partial_fit may change."""
    from copy import deepcopy

    return deepcopy(estimator)
