"""Forecasts with their window and their interval."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, Self

import numpy as np

from sklstm.plotting._axes import COLORS, axes_for, final_step, integer_ticks, pyplot


class ForecastDisplay:
    """A forecast, the window that it was made from, its interval, and the observed values.

    Parameters
    ----------
    y_pred : array-like of shape (horizon,)
        The forecast.
    window : array-like of shape (n_timesteps,), default=None
        The values before it.
    lower, upper : array-like of shape (horizon,), default=None
        The ends of the interval.
    y_true : array-like of shape (horizon,), default=None
        The values that were observed.
    times : array-like of shape (n_timesteps + horizon,), default=None
        The times of the window and the forecast. By default, they are counted from the end of the
        window, which is 0.
    interval_name : str, default="interval"
        What the interval is.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axis.
    figure_ : matplotlib Figure
        The figure.
    line_ : matplotlib Line2D
        The forecast.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMRegressor
    >>> from sklstm.plotting import ForecastDisplay
    >>> from sklstm.sequences import make_windows
    >>> series = np.sin(np.arange(300) / 5)[:, None]
    >>> X, y = make_windows(series, 20, horizon=8)[:2]
    >>> options = {"loss": "quantile", "quantile": [0.1, 0.5, 0.9], "random_state": 0}
    >>> model = LSTMRegressor(8, **options).fit(X[:-1], y[:-1])
    >>> display = ForecastDisplay.from_estimator(model, X[-1], y_true=y[-1])
    >>> display.line_.get_xdata().tolist()
    [1, 2, 3, 4, 5, 6, 7, 8]
    """

    def __init__(
        self,
        y_pred: Any,
        *,
        window: Any = None,
        lower: Any = None,
        upper: Any = None,
        y_true: Any = None,
        times: Any = None,
        interval_name: str = "interval",
    ) -> None:
        self.y_pred = y_pred
        self.window = window
        self.lower = lower
        self.upper = upper
        self.y_true = y_true
        self.times = times
        self.interval_name = interval_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        x: Any,
        *,
        y_true: Any = None,
        column: int = 0,
        window_column: int | None = None,
        coverage: float = 0.9,
        times: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the forecast of an estimator for one window.

        Parameters
        ----------
        estimator : LSTMRegressor or Pipeline
            A fitted estimator. The interval is between the first and the last quantile with
            ``loss="quantile"`` and several quantiles, that of a normal distribution with
            ``loss="gaussian"``, and absent otherwise.
        x : array-like of shape (n_timesteps, n_features) or (n_timesteps,)
            The window.
        y_true : array-like of shape (horizon,) or (horizon, n_columns), default=None
            The values that were observed.
        column : int, default=0
            The column of the targets, if each step of the forecast has several.
        window_column : int, default=None
            The feature of ``x`` that has the same meaning; by default ``column``.
        coverage : float, default=0.9
            The probability of the interval with ``loss="gaussian"``.
        times : array-like of shape (n_timesteps + horizon,), default=None
            The times of the window and the forecast.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ForecastDisplay
            The display.

        Raises
        ------
        ValueError
            If ``coverage`` is not between 0 and 1, or if the shapes do not fit.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMRegressor
        >>> from sklstm.plotting import ForecastDisplay
        >>> from sklstm.sequences import make_windows
        >>> X, y = make_windows(np.sin(np.arange(200) / 5), width=20, horizon=8)
        >>> reg = LSTMRegressor(8, random_state=0).fit(X[:-1], y[:-1])
        >>> display = ForecastDisplay.from_estimator(reg, X[-1], y_true=y[-1])
        >>> display.line_.get_xdata().tolist()
        [1, 2, 3, 4, 5, 6, 7, 8]
        """
        pyplot()
        if not 0 < coverage < 1:
            raise ValueError(f"coverage: expected a number between 0 and 1, got {coverage}")
        forecast = _forecast(estimator, x, column, coverage)
        window = np.asarray(x)
        if window.ndim == 2:
            window = window[:, column if window_column is None else window_column]
        if y_true is not None:
            y_true = _of_column(np.asarray(y_true), column)
        return cls.from_predictions(**forecast, window=window, y_true=y_true, times=times, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_pred: Any,
        *,
        window: Any = None,
        lower: Any = None,
        upper: Any = None,
        y_true: Any = None,
        times: Any = None,
        interval_name: str = "interval",
        ax: Any = None,
    ) -> Self:
        """Draw a forecast.

        Parameters
        ----------
        y_pred : array-like of shape (horizon,)
            The forecast.
        window : array-like of shape (n_timesteps,), default=None
            The values before it.
        lower, upper : array-like of shape (horizon,), default=None
            The ends of the interval, for example of a conformal prediction.
        y_true : array-like of shape (horizon,), default=None
            The values that were observed.
        times : array-like of shape (n_timesteps + horizon,), default=None
            The times of the window and the forecast.
        interval_name : str, default="interval"
            What the interval is.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ForecastDisplay
            The display.

        Raises
        ------
        ValueError
            If the lengths do not fit, or if only one end of the interval is given.

        Examples
        --------
        >>> from sklstm.plotting import ForecastDisplay
        >>> display = ForecastDisplay.from_predictions(
        ...     [4.0, 5.0], window=[1.0, 2.0, 3.0], lower=[3.5, 4.0], upper=[4.5, 6.0]
        ... )
        >>> display.line_.get_xdata().tolist()
        [1, 2]
        """
        y_pred = np.atleast_1d(np.asarray(y_pred))
        n_window = 0 if window is None else len(window)
        if (lower is None) != (upper is None):
            raise ValueError("lower, upper: expected both or none of them")
        horizon = len(y_pred)
        expected = {
            "lower": (lower, horizon),
            "upper": (upper, horizon),
            "y_true": (y_true, horizon),
            "times": (times, n_window + horizon),
        }
        for name, (given, length) in expected.items():
            if given is not None and np.size(given) != length:
                raise ValueError(f"{name}: expected {length} value(s), got {np.size(given)}")
        display = cls(
            y_pred,
            window=window,
            lower=lower,
            upper=upper,
            y_true=y_true,
            times=times,
            interval_name=interval_name,
        )
        return display.plot(ax=ax)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the forecast.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Arguments of ``plot`` of matplotlib's axes, for the forecast.

        Returns
        -------
        ForecastDisplay
            The display.

        Examples
        --------
        >>> from sklstm.plotting import ForecastDisplay
        >>> display = ForecastDisplay([4.0, 5.0], window=[1.0, 2.0, 3.0]).plot(linewidth=3)
        >>> display.line_.get_linewidth()
        3.0
        """
        [self.ax_] = axes_for(ax, 1)
        self.figure_ = self.ax_.figure
        y_pred = np.atleast_1d(np.asarray(self.y_pred))
        window = np.empty(0) if self.window is None else np.asarray(self.window)
        times = self.times
        if times is None:
            times = np.arange(len(window) + len(y_pred)) - len(window) + 1
            integer_ticks(self.ax_.xaxis)
        past, future = times[: len(window)], times[len(window) :]
        marker = "o" if len(y_pred) == 1 else "."
        if len(window):
            self.ax_.plot(past, window, color="0.35", label="window")
        if self.lower is not None:
            ends = np.atleast_1d(self.lower), np.atleast_1d(self.upper)
            shade = {"color": COLORS[0], "alpha": 0.25, "label": self.interval_name}
            self.ax_.fill_between(future, *ends, **shade)
        if self.y_true is not None:
            y_true = np.atleast_1d(np.asarray(self.y_true))
            options = {"color": COLORS[1], "marker": marker, "linestyle": "--"}
            self.ax_.plot(future, y_true, label="true", **options)
        options = {"color": COLORS[0], "marker": marker, "label": "forecast", **kwargs}
        [self.line_] = self.ax_.plot(future, y_pred, **options)
        self.ax_.set(xlabel="time step" if self.times is None else "time")
        self.ax_.legend()
        return self


def _of_column(values: Any, column: int) -> Any:
    """Return a forecast (horizon,) from a target of shape (), (horizon,) or (horizon, k)."""
    if values.ndim > 2:
        raise ValueError(f"expected targets (horizon,) or (horizon, n_columns), got {values.shape}")
    return values[:, column] if values.ndim == 2 else np.atleast_1d(values)


def _forecast(estimator: Any, x: Any, column: int, coverage: float) -> dict[str, Any]:
    """Return forecast and interval, as arguments of `ForecastDisplay`."""
    last = final_step(estimator)
    loss, levels = getattr(last, "loss", None), np.ravel(getattr(last, "quantile", ()))
    if loss == "gaussian":
        mean, deviation = (
            _of_column(np.asarray(values)[0], column)
            for values in estimator.predict([x], return_std=True)
        )
        width = NormalDist().inv_cdf((1 + coverage) / 2) * deviation
        name = f"{coverage:.0%} interval"
        return {
            "y_pred": mean, "lower": mean - width, "upper": mean + width, "interval_name": name
        }  # fmt: skip
    predicted = np.asarray(estimator.predict([x]))[0]
    if loss != "quantile" or len(levels) < 2:
        return {"y_pred": _of_column(predicted, column)}
    by_level = [_of_column(values, column) for values in np.moveaxis(predicted, -1, 0)]
    return {
        "y_pred": by_level[int(np.argmin(np.abs(levels - 0.5)))],
        "lower": by_level[0],
        "upper": by_level[-1],
        "interval_name": f"quantiles {levels[0]:g} to {levels[-1]:g}",
    }
