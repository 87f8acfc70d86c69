"""Permutation importance."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from sklstm.inspection import permutation_importance
from sklstm.plotting._axes import COLORS, axes_for, pyplot


class PermutationImportanceDisplay:
    """How much a score falls if a channel or a segment of time is permuted.

    Parameters
    ----------
    importances : array-like of shape (n_parts, n_repeats)
        The falls of the score.
    names : list of str
        The names of the channels or segments.
    by : {"channel", "segment"}, default="channel"
        What was permuted. Channels are shown from the most important one down, and segments in
        their order in time.
    score_name : str, default="score"
        The name of the score.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axis.
    figure_ : matplotlib Figure
        The figure.
    bars_ : matplotlib BarContainer
        The bars, which show means. The points beside them are the single repetitions.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMClassifier
    >>> from sklstm.plotting import PermutationImportanceDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 10, 3))
    >>> y = (X[:, :, 1].mean(axis=1) > 0).astype(int)
    >>> clf = LSTMClassifier(8, random_state=0).fit(X, y)
    >>> display = PermutationImportanceDisplay.from_estimator(clf, X, y, random_state=0)
    >>> display.ax_.get_yticklabels()[0].get_text()
    'channel 1'
    """

    def __init__(
        self, importances: Any, names: Any, *, by: str = "channel", score_name: str = "score"
    ) -> None:
        self.importances = importances
        self.names = names
        self.by = by
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        scoring: Any = None,
        score_name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Compute importances, and draw them.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator or pipeline that reads sequences.
        X : array-like or list of n_samples sequences
            The sequences.
        y : array-like or list
            The targets.
        scoring : str or callable, default=None
            A scorer or its name; None is the ``score`` method.
        score_name : str, default=None
            The name of the score; by default that of ``scoring``.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Other arguments of :func:`sklstm.inspection.permutation_importance`.

        Returns
        -------
        PermutationImportanceDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> from sklstm.plotting import PermutationImportanceDisplay
        >>> clf = LSTMClassifier(8, random_state=0).fit(X, y)
        >>> options = {"by": "segment", "n_segments": 3, "random_state": 0}
        >>> display = PermutationImportanceDisplay.from_estimator(clf, X, y, **options)
        >>> display.importances.shape
        (3, 5)
        """
        pyplot()
        if scoring is not None and not isinstance(scoring, str) and not callable(scoring):
            raise ValueError(f"scoring: expected one scorer, got {type(scoring).__name__}")
        result = permutation_importance(estimator, X, y, scoring=scoring, **kwargs)
        default = scoring if isinstance(scoring, str) else "score"
        return cls.from_result(result, score_name=score_name or default, ax=ax)

    @classmethod
    def from_result(cls, result: Any, *, score_name: str = "score", ax: Any = None) -> Self:
        """Draw the result of :func:`sklstm.inspection.permutation_importance`.

        Parameters
        ----------
        result : :class:`~sklearn.utils.Bunch`
            The result for one scorer.
        score_name : str, default="score"
            The name of the score.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        PermutationImportanceDisplay
            The display.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> from sklstm.inspection import permutation_importance
        >>> from sklstm.plotting import PermutationImportanceDisplay
        >>> clf = LSTMClassifier(8, random_state=0).fit(X, y)
        >>> result = permutation_importance(clf, X, y, random_state=0)
        >>> PermutationImportanceDisplay.from_result(result, score_name="accuracy").ax_.get_xlabel()
        'fall of accuracy'
        """
        display = cls(result.importances, result.names, by=result.by, score_name=score_name)
        return display.plot(ax=ax)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the importances.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Arguments of ``bar`` or, for channels, ``barh`` of matplotlib's axes.

        Returns
        -------
        PermutationImportanceDisplay
            The display.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.plotting import PermutationImportanceDisplay
        >>> importances = np.array([[0.3, 0.2, 0.4], [0.0, 0.1, 0.0]])  # of three permutations
        >>> PermutationImportanceDisplay(importances, ["pulse", "oxygen"]).plot().ax_.get_xlabel()
        'fall of score'
        """
        importances, names = np.asarray(self.importances, dtype=float), np.asarray(self.names)
        [self.ax_] = axes_for(ax, 1)
        self.figure_ = self.ax_.figure
        means, places = importances.mean(axis=1), np.arange(len(importances))
        order = np.argsort(-means, kind="stable") if self.by == "channel" else places
        importances, means, names = importances[order], means[order], names[order]
        points = np.repeat(places[:, None], importances.shape[1], axis=1)
        options = {"color": COLORS[0], "alpha": 0.6, **kwargs}
        dots = {"color": "black", "marker": ".", "linestyle": "none", "markersize": 4}
        label = f"fall of {self.score_name.replace('_', ' ')}"
        if self.by == "channel":
            self.bars_ = self.ax_.barh(places, means, **options)
            self.ax_.plot(importances.ravel(), points.ravel(), **dots)
            self.ax_.set_yticks(places, names)
            self.ax_.invert_yaxis()
            self.ax_.axvline(0, color="0.5", linewidth=0.8)
            self.ax_.set_xlabel(label)
        else:
            self.bars_ = self.ax_.bar(places, means, **options)
            self.ax_.plot(points.ravel(), importances.ravel(), **dots)
            self.ax_.set_xticks(places, names, rotation=45, ha="right")
            self.ax_.axhline(0, color="0.5", linewidth=0.8)
            self.ax_.set(xlabel="part of the time", ylabel=label)
        return self
