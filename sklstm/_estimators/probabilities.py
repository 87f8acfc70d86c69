"""Methods of a fitted classifier that return logits and probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Probabilities:
    """Logits and probabilities of the classes."""

    _predict: Callable[..., Any]

    def decision_function(self, X: Any) -> Array:
        """Compute the logits, the outputs before the softmax or logistic function.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`predict`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes one logit, positive where the second class is more probable; else one
            for each class or label.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> clf = LSTMClassifier(8, random_state=0).fit(X, y)
        >>> bool(np.all((clf.decision_function(X) > 0) == (clf.predict(X) == "up")))
        True
        """
        return self._predict(X, lambda targets, raw: targets.logits(raw))

    def predict_proba(self, X: Any) -> Array:
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities in the order of ``classes_``. Rows sum to one; for multilabel targets each
            value is the probability of that label alone, strictly between zero and one.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> clf = LSTMClassifier(8, random_state=0).fit(X, y)
        >>> bool(np.allclose(clf.predict_proba(X).sum(axis=1), 1))
        True
        """
        return self._predict(X, lambda targets, raw: targets.loss.probabilities(raw))

    def predict_log_proba(self, X: Any) -> Array:
        """Predict the logarithms of the probabilities.

        They are computed from the logits, and exact where probabilities round to zero or one.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Logarithms of the probabilities in the order of ``classes_``.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> clf = LSTMClassifier(8, random_state=0).fit(X, y)
        >>> bool(np.allclose(np.exp(clf.predict_log_proba(X)), clf.predict_proba(X)))
        True
        """
        return self._predict(X, lambda targets, raw: targets.loss.log_probabilities(raw))
