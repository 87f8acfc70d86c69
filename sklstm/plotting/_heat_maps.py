"""Heat maps over the steps of a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from sklstm.inspection import input_gradients, integrated_gradients, lstm_states
from sklstm.plotting._axes import axes_for, channel_names, heat_map, integer_ticks, pyplot

TITLES = {
    "hidden_states": "hidden states",
    "cell_states": "cell states",
    "input_gates": "input gates",
    "forget_gates": "forget gates",
    "output_gates": "output gates",
    "candidates": "candidates",
}
METHODS = {"integrated_gradients": integrated_gradients, "input_gradients": input_gradients}


class StatesDisplay:
    """Hidden states, cell states and gates of a sequence as heat maps.

    Parameters
    ----------
    states : dict of str to array-like of shape (n_timesteps, n_units)
        What to show, by the names of `sklstm.inspection.lstm_states`.
    order : array-like of shape (n_units,), default=None
        The units in the order in which they are shown, from top to bottom.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        One axis for each quantity.
    figure_ : matplotlib Figure
        The figure.
    images_ : list of matplotlib AxesImage
        The heat maps.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMRegressor
    >>> from sklstm.plotting import StatesDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(30, 15, 2))
    >>> model = LSTMRegressor(8, random_state=0).fit(X, X[:, -1, 0])
    >>> display = StatesDisplay.from_estimator(model, X[0], quantities=["forget_gates"])
    >>> display.images_[0].get_array().shape
    (8, 15)
    """

    def __init__(self, states: Mapping[str, Any], *, order: Any = None) -> None:
        self.states = states
        self.order = order

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        x: Any,
        *,
        layer: int = -1,
        quantities: Any = ("hidden_states", "cell_states", "input_gates", "forget_gates"),
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the states of a fitted estimator for one sequence.

        The units are ordered by the step at which their hidden state is largest in absolute value.

        Parameters
        ----------
        estimator : LSTMClassifier, LSTMRegressor or Pipeline
            A fitted estimator, or a fitted pipeline that ends with one.
        x : array-like of shape (n_timesteps, n_features) or (n_timesteps,)
            One sequence.
        layer : int, default=-1
            Index of the layer.
        quantities : list of str, default=("hidden_states", "cell_states", "input_gates", \
"forget_gates")
            What to show, by the names of `sklstm.inspection.lstm_states`.
        ax : matplotlib Axes or list of them, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Arguments of ``imshow`` of matplotlib's axes.

        Returns
        -------
        StatesDisplay
            The display.

        Raises
        ------
        ValueError
            If a quantity is unknown.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMRegressor
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = X.mean(axis=(1, 2))
        >>> from sklstm.plotting import StatesDisplay
        >>> reg = LSTMRegressor(8, random_state=0).fit(X, y)
        >>> gates = ["input_gates", "forget_gates"]
        >>> display = StatesDisplay.from_estimator(reg, X[0], quantities=gates)
        >>> len(display.images_)
        2
        """
        pyplot()
        quantities = [quantities] if isinstance(quantities, str) else list(quantities)
        for name in quantities:
            if name not in TITLES:
                raise ValueError(f"quantities: expected some of {list(TITLES)}, got {name!r}")
        found = lstm_states(estimator, [x], layer=layer)
        order = np.argsort(np.abs(found.hidden_states[0]).argmax(axis=0), kind="stable")
        states = {name: np.asarray(found[name][0]) for name in quantities}
        return cls(states, order=order).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the heat maps.

        Parameters
        ----------
        ax : matplotlib Axes or list of them, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Arguments of ``imshow`` of matplotlib's axes.

        Returns
        -------
        StatesDisplay
            The display.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.plotting import StatesDisplay
        >>> display = StatesDisplay({"forget_gates": np.array([[0.9, 0.1], [0.8, 0.3]])})
        >>> display.plot().axes_[0].get_title(loc="left")
        'forget gates'
        """
        self.axes_ = axes_for(ax, len(self.states), height=1.5)
        self.figure_, self.images_ = self.axes_[0].figure, []
        for axis, (name, values) in zip(self.axes_, self.states.items(), strict=True):
            array = np.asarray(values)
            array = array if self.order is None else array[:, np.asarray(self.order)]
            is_gate = name.endswith("gates")
            limits = (0, 1) if is_gate else None
            image = heat_map(axis, array, symmetric=not is_gate, limits=limits, **kwargs)
            self.images_.append(image)
            axis.set_title(TITLES.get(name, name), fontsize="medium", loc="left")
            axis.set(ylabel="unit", yticks=[])
            integer_ticks(axis.xaxis)
            axis.tick_params(labelbottom=axis is self.axes_[-1])
        self.axes_[-1].set_xlabel("time step")
        return self


class AttributionsDisplay:
    """The influence of each input of a sequence on a prediction.

    Parameters
    ----------
    attributions : array-like of shape (n_timesteps, n_channels)
        Integrated gradients or input gradients.
    values : array-like of shape (n_timesteps, n_channels), default=None
        The sequence, which is shown above.
    names : list of str, default=None
        The names of the channels.
    title : str, default=None
        What the attributions are.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        The axes of the sequence, if there is one, and of the attributions.
    figure_ : matplotlib Figure
        The figure.
    image_ : matplotlib AxesImage
        The heat map of the attributions.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMClassifier
    >>> from sklstm.plotting import AttributionsDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 12, 3))
    >>> y = (X[:, :, 1].mean(axis=1) > 0).astype(int)
    >>> clf = LSTMClassifier(8, random_state=0).fit(X, y)
    >>> display = AttributionsDisplay.from_estimator(clf, X[0], method="input_gradients")
    >>> display.image_.get_array().shape
    (3, 12)
    """

    def __init__(
        self, attributions: Any, *, values: Any = None, names: Any = None, title: str | None = None
    ) -> None:
        self.attributions = attributions
        self.values = values
        self.names = names
        self.title = title

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        x: Any,
        *,
        method: str = "integrated_gradients",
        names: Any = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what a prediction depends on.

        Parameters
        ----------
        estimator : LSTMClassifier, LSTMRegressor or Pipeline
            A fitted estimator, or a fitted pipeline that ends with one. In a pipeline, the input of
            the LSTM is explained and shown.
        x : array-like of shape (n_timesteps, n_features) or (n_timesteps,)
            One sequence. For tokens, the attributions of a token are summed.
        method : {"integrated_gradients", "input_gradients"}, default="integrated_gradients"
            The function of `sklstm.inspection` that computes the attributions.
        names : list of str, default=None
            The names of the channels; the columns of ``x`` by default, if it is a frame.
        ax : matplotlib Axes or list of two, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Arguments of the function, such as ``target``, ``step`` or ``baselines``.

        Returns
        -------
        AttributionsDisplay
            The display.

        Raises
        ------
        ValueError
            If ``method`` is unknown.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> from sklstm.plotting import AttributionsDisplay
        >>> clf = LSTMClassifier(8, random_state=0).fit(X, y)
        >>> AttributionsDisplay.from_estimator(clf, X[0], target="up").image_.get_array().shape
        (2, 6)
        """
        pyplot()
        if method not in METHODS:
            raise ValueError(f"method: expected one of {list(METHODS)}, got {method!r}")
        attributions = np.asarray(METHODS[method](estimator, [x], **kwargs)[0])
        values: Any = np.asarray(_input_of_the_lstm(estimator, x))
        attributions = attributions.reshape(len(attributions), -1)
        if values.dtype.kind in "iu" and attributions.shape[1] > 1:  # tokens
            attributions, values = attributions.sum(axis=1, keepdims=True), None
            names = ["token"] if names is None else names
        else:
            values = values.reshape(len(values), -1)
        names = channel_names(x, attributions.shape[1]) if names is None else names
        title = method.replace("_", " ")
        return cls(attributions, values=values, names=names, title=title).plot(ax=ax)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the sequence, and a heat map of the attributions.

        Parameters
        ----------
        ax : matplotlib Axes or list of them, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Arguments of ``imshow`` of matplotlib's axes, for the attributions.

        Returns
        -------
        AttributionsDisplay
            The display.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.plotting import AttributionsDisplay
        >>> attributions = np.array([[0.5, 0.0], [0.1, -0.2]])
        >>> display = AttributionsDisplay(attributions, names=["pulse", "oxygen"])
        >>> [label.get_text() for label in display.plot().axes_[0].get_yticklabels()]
        ['pulse', 'oxygen']
        """
        attributions = np.asarray(self.attributions, dtype=float)
        n_channels = attributions.shape[1]
        names = channel_names(None, n_channels) if self.names is None else list(self.names)
        panels = 1 if self.values is None else 2
        self.axes_ = axes_for(ax, panels, height=1.2 + min(n_channels, 12) * 0.08)
        self.figure_ = self.axes_[0].figure
        if self.values is not None:
            values = np.asarray(self.values, dtype=float)
            heat_map(self.axes_[0], values, symmetric=bool((values < 0).any()))
            self.axes_[0].set_title("sequence", fontsize="medium", loc="left")
        self.image_ = heat_map(self.axes_[-1], attributions, symmetric=True, **kwargs)
        self.axes_[-1].set_title(self.title or "attributions", fontsize="medium", loc="left")
        for axis in self.axes_:
            shown = range(0, n_channels, -(-n_channels // 12))
            axis.set_yticks(list(shown), [names[k] for k in shown])
            integer_ticks(axis.xaxis)
            axis.tick_params(labelbottom=axis is self.axes_[-1])
        self.axes_[-1].set_xlabel("time step")
        return self


def _input_of_the_lstm(estimator: Any, x: Any) -> Any:
    """Return the sequence as the steps of a pipeline before the last one transform it."""
    X: Any = [x]
    while hasattr(estimator, "steps"):
        X = estimator[:-1].transform(X) if len(estimator.steps) > 1 else X
        estimator = estimator.steps[-1][1]
    return X[0]
