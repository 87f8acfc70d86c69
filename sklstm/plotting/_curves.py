"""Curves over epochs, and over the steps of a sequence."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklstm.plotting._axes import axes_for, final_step, integer_ticks, pyplot, style


class LossCurveDisplay:
    """The loss of each epoch, and the validation loss or score if there is one.

    Parameters
    ----------
    loss_curve : array-like of shape (n_epochs,)
        The training loss, ``loss_curve_`` of an estimator.
    validation_loss : array-like of shape (n_epochs,), default=None
        The loss of the validation data.
    validation_score : array-like of shape (n_epochs,), default=None
        The score of the validation data; a second axis shows it.
    best_epoch : int, default=None
        The epoch whose parameters were kept.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axis of the loss.
    axes_ : list of matplotlib Axes
        All axes.
    figure_ : matplotlib Figure
        The figure.
    lines_ : list of matplotlib Line2D
        The curves.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMClassifier
    >>> from sklstm.plotting import LossCurveDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 7, 2))
    >>> y = (X[:, :, 0].mean(axis=1) > 0).astype(int)
    >>> clf = LSTMClassifier(8, early_stopping=True, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(clf)
    >>> [line.get_label() for line in display.lines_]
    ['training', 'validation']
    """

    def __init__(
        self,
        loss_curve: Any,
        *,
        validation_loss: Any = None,
        validation_score: Any = None,
        best_epoch: int | None = None,
    ) -> None:
        self.loss_curve = loss_curve
        self.validation_loss = validation_loss
        self.validation_score = validation_score
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : LSTMClassifier, LSTMRegressor or Pipeline
            A fitted estimator, or a fitted pipeline that ends with one.
        ax : matplotlib Axes or list of them, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Arguments of ``plot`` of matplotlib's axes, for all curves.

        Returns
        -------
        LossCurveDisplay
            The display.

        Raises
        ------
        TypeError
            If the estimator has no loss curve.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> from sklstm.plotting import LossCurveDisplay
        >>> clf = LSTMClassifier(8, random_state=0).fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:])
        >>> len(LossCurveDisplay.from_estimator(clf).lines_)
        2
        """
        pyplot()
        lstm = final_step(estimator)
        check_is_fitted(lstm)
        if not hasattr(lstm, "loss_curve_"):
            raise TypeError(
                "estimator: expected a fitted LSTMClassifier or LSTMRegressor, or a Pipeline that "
                f"ends with one, got {type(lstm).__name__}"
            )
        found: dict[str, Any] = {}
        scores = lstm.validation_scores_
        if scores is not None and len(scores):
            of_loss = getattr(lstm, "scoring", "loss") == "loss"
            name = "validation_loss" if of_loss else "validation_score"
            found[name] = -np.asarray(scores) if of_loss else scores
            found["best_epoch"] = lstm.best_iteration_ if lstm.early_stopping else None
        return cls(lstm.loss_curve_, **found).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or list of them, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Arguments of ``plot`` of matplotlib's axes, for all curves.

        Returns
        -------
        LossCurveDisplay
            The display.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> from sklstm.plotting import LossCurveDisplay
        >>> clf = LSTMClassifier(8, random_state=0).fit(X, y)
        >>> LossCurveDisplay(clf.loss_curve_).plot().ax_.get_xlabel()
        'epoch'
        """
        losses = {"training": self.loss_curve, "validation": self.validation_loss}
        panels = {"loss": losses}
        if self.validation_score is not None:
            panels["validation score"] = {"validation": self.validation_score}
        self.axes_ = axes_for(ax, len(panels), height=2)
        self.lines_ = []
        for axis, (label, curves) in zip(self.axes_, panels.items(), strict=True):
            for k, (name, curve) in enumerate(curves.items()):
                if curve is not None:
                    k = 1 if name == "validation" else k
                    options = {**style(k), "label": name, **kwargs}
                    epochs = np.arange(1, len(curve) + 1)
                    self.lines_ += axis.plot(epochs, curve, **options)
            if self.best_epoch:
                axis.axvline(self.best_epoch, color="0.5", linestyle=":", label="best epoch")
            axis.set(xlabel="epoch", ylabel=label)
            integer_ticks(axis.xaxis)
            axis.legend()
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        return self


class StepProbabilitiesDisplay:
    """The probability of each class along a sequence.

    Parameters
    ----------
    probabilities : array-like of shape (n_timesteps, n_classes)
        The probabilities after each time step.
    classes : array-like of shape (n_classes,), default=None
        The names of the classes; numbers by default.
    y_true : array-like of shape (n_timesteps,), default=None
        The true class of each step, which is shown in a strip below the curves.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axis.
    figure_ : matplotlib Figure
        The figure.
    lines_ : list of matplotlib Line2D
        The curves, one for each class.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMClassifier
    >>> from sklstm.plotting import StepProbabilitiesDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 12, 2))
    >>> y = np.where(X[:, :, 0] > 0, "up", "down")
    >>> tagger = LSTMClassifier(8, return_sequences=True, random_state=0).fit(X, y)
    >>> display = StepProbabilitiesDisplay.from_estimator(tagger, X[0], y_true=y[0])
    >>> [line.get_label() for line in display.lines_]
    ['down', 'up']
    """

    def __init__(self, probabilities: Any, *, classes: Any = None, y_true: Any = None) -> None:
        self.probabilities = probabilities
        self.classes = classes
        self.y_true = y_true

    @classmethod
    def from_estimator(
        cls, estimator: Any, x: Any, *, y_true: Any = None, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw the probabilities that a classifier predicts along a sequence.

        Parameters
        ----------
        estimator : LSTMClassifier or Pipeline
            A fitted classifier, or a fitted pipeline that ends with one. With
            ``return_sequences``, the probabilities of each step are shown. Otherwise these are the
            probabilities for the beginning of the sequence up to each step.
        x : array-like of shape (n_timesteps, n_features) or (n_timesteps,)
            One sequence.
        y_true : array-like of shape (n_timesteps,), default=None
            The true class of each step.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Arguments of ``plot`` of matplotlib's axes, for all curves.

        Returns
        -------
        StepProbabilitiesDisplay
            The display.

        Raises
        ------
        TypeError
            If the estimator does not predict probabilities.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0] > 0, "up", "down")
        >>> from sklstm.plotting import StepProbabilitiesDisplay
        >>> tagger = LSTMClassifier(8, return_sequences=True, random_state=0).fit(X, y)
        >>> len(StepProbabilitiesDisplay.from_estimator(tagger, X[0]).lines_)
        2
        """
        pyplot()
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                "estimator: expected a classifier with predict_proba, got "
                f"{type(estimator).__name__}"
            )
        if getattr(final_step(estimator), "return_sequences", False):
            probabilities = np.asarray(estimator.predict_proba([x])[0])
        else:
            beginnings = [x[: k + 1] for k in range(len(x))]
            probabilities = np.asarray(estimator.predict_proba(beginnings))
        return cls.from_predictions(
            probabilities, classes=estimator.classes_, y_true=y_true, ax=ax, **kwargs
        )

    @classmethod
    def from_predictions(
        cls,
        probabilities: Any,
        *,
        classes: Any = None,
        y_true: Any = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw probabilities.

        Parameters
        ----------
        probabilities : array-like of shape (n_timesteps, n_classes) or (n_timesteps,)
            The probabilities after each time step; a 1-D array has those of the second class of
            two.
        classes : array-like of shape (n_classes,), default=None
            The names of the classes.
        y_true : array-like of shape (n_timesteps,), default=None
            The true class of each step.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Arguments of ``plot`` of matplotlib's axes, for all curves.

        Returns
        -------
        StepProbabilitiesDisplay
            The display.

        Raises
        ------
        ValueError
            If the arguments do not have the same number of steps or of classes.

        Examples
        --------
        >>> from sklstm.plotting import StepProbabilitiesDisplay
        >>> probabilities, classes = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], ["down", "up"]
        >>> display = StepProbabilitiesDisplay.from_predictions(probabilities, classes=classes)
        >>> [line.get_label() for line in display.lines_]
        ['down', 'up']
        """
        array = np.asarray(probabilities, dtype=float)
        array = np.column_stack([1 - array, array]) if array.ndim == 1 else array
        expected = {"classes": (classes, array.shape[1]), "y_true": (y_true, len(array))}
        for name, (given, length) in expected.items():
            if given is not None and len(given) != length:
                raise ValueError(f"{name}: expected {length}, got {len(given)}")
        return cls(array, classes=classes, y_true=y_true).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the probabilities.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Arguments of ``plot`` of matplotlib's axes, for all curves.

        Returns
        -------
        StepProbabilitiesDisplay
            The display.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.plotting import StepProbabilitiesDisplay
        >>> display = StepProbabilitiesDisplay(np.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> display.plot(linewidth=3).lines_[0].get_linewidth()
        3.0
        """
        probabilities = np.asarray(self.probabilities)
        classes = range(probabilities.shape[1]) if self.classes is None else self.classes
        names = [str(name) for name in classes]
        [self.ax_] = axes_for(ax, 1)
        self.figure_, self.lines_ = self.ax_.figure, []
        steps = np.arange(len(probabilities))
        for k, name in enumerate(names):
            options = {**style(k), "label": name, **kwargs}
            self.lines_ += self.ax_.plot(steps, probabilities[:, k], **options)
        low = -0.02
        if self.y_true is not None:
            low = -0.12
            for k, name in enumerate(names):
                is_true = np.array([str(label) == name for label in self.y_true])
                segments = [(step - 0.5, 1) for step in steps[is_true]]
                self.ax_.broken_barh(segments, (-0.11, 0.08), color=style(k)["color"])
            self.ax_.annotate(
                "true", (1.01, -0.07), xycoords=("axes fraction", "data"), va="center", fontsize=8
            )
        self.ax_.set(xlabel="time step", ylabel="probability", ylim=(low, 1.02))
        self.ax_.margins(x=0.01)
        integer_ticks(self.ax_.xaxis)
        self.ax_.legend(ncols=min(len(names), 6), loc="upper center", bbox_to_anchor=(0.5, 1.17))
        return self
