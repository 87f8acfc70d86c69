"""LSTMClassifier."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklstm._compat import StrOptions, _fit_context
from sklstm._estimators.base import BaseLSTM
from sklstm._estimators.parameters import has_minibatches
from sklstm._estimators.targets import check_labels, class_factors, encode_labels, label_factors
from sklstm._network.losses import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    MultilabelCrossEntropy,
)
from sklstm._training.samples import Samples

Array = NDArray[np.floating]

REQUIRED = object()  # stands for the classes that a first partial_fit was not given


class LSTMClassifier(ClassifierMixin, BaseLSTM):
    """Classify sequences with a long short-term memory network [1]_.

    It minimises the cross-entropy of two or more classes, or of several yes-or-no labels a sample.
    Sequences may be rows of a 2-D array, a 3-D array, or a list of any lengths; see :meth:`fit`.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(64,)
        Units of the LSTM layer, or of each of several stacked layers.

    bidirectional : bool, default=False
        Let a second set of weights walk each layer backward in time; its states stand beside those
        of the first.

    pooling : {"last", "mean", "max", "mean_max"}, default="mean_max"
        What the read-out sees of the last layer's states: those at the end of the sequence (for
        the backward walk, at its beginning), or their mean or maximum over time, or both.

    return_sequences : bool, default=False
        Predict a label for every step instead of one for the sequence; ``y`` then holds as
        many, and ``pooling`` is not used.

    vocabulary_size : int or None, default=None
        Where steps are tokens, integers from 0 to ``vocabulary_size - 1``: how many there are.
        Each then has a vector of its own that is learnt. Give ``X`` as 1-D arrays, or as a 2-D
        array.

    embedding_size : int, default=32
        Numbers in the vector of a token.

    dropout : float, default=0.0
        Rate at which the outputs of every LSTM layer, the last included, are dropped in training;
        one mask a sequence [3]_.

    recurrent_dropout : float, default=0.0
        Rate at which the hidden states that the next step reads are dropped in training; one mask
        a sequence [3]_.

    forget_bias : float, default=1.0
        Starting value of the forget gate's bias [2]_.

    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        "adam" [4]_ and "sgd" go through the samples in minibatches; "lbfgs", SciPy's L-BFGS-B,
        sees all of them at once, in float64, and suits small data sets.

    alpha : float, default=1e-4
        Strength of the L2 penalty on all weights, biases excepted. The penalty,
        ``alpha / 2 * |weights|^2``, is divided by the total weight of the training samples.

    batch_size : int or "auto", default="auto"
        Samples of a minibatch, at most all. "auto" takes all of up to 32 samples, and else 32.
        Epochs are cut into batches of nearly equal size. Not used by "lbfgs".

    learning_rate : {"constant", "adaptive", "cosine"}, default="cosine"
        How the learning rate changes. "cosine" lets it fall to zero at ``max_iter``, where training
        ends (``partial_fit`` knows no end, and keeps it); "constant" keeps it; "adaptive" divides
        it by five each time the loss stands still, down to 1e-6. Not used by "lbfgs".

    learning_rate_init : float or "auto", default="auto"
        Learning rate to start with. "auto" is 0.01 for "adam" and 0.1 for "sgd".

    max_iter : int or "auto", default="auto"
        Most epochs (for "lbfgs": iterations). "auto" is what makes 1000 updates, but no fewer than
        20 and no more than 100; for "lbfgs" it is 200.

    max_fun : int, default=15000
        Most evaluations of the objective by "lbfgs".

    max_grad_norm : float or None, default=1.0
        Gradients are scaled down to this Euclidean norm; None leaves them. Not used by "lbfgs".

    shuffle : bool, default=True
        Draw a new order of the samples for each epoch.

    tol : float, default=1e-4
        With a rate that is constant or adaptive, training converges when the loss fails to improve
        by ``tol`` in more than ``n_iter_no_change`` epochs in a row; so it does with early
        stopping. For "lbfgs", the largest component of the gradient at which it stops.

    n_iter_no_change : int, default=10
        Epochs without improvement that are put up with.

    early_stopping : bool, default=False
        Watch the loss of held-out samples instead of the training loss, and end with the
        parameters for which it was best.

    validation_fraction : float, default=0.1
        Share of the samples held out by early stopping, unless ``fit`` is given ``X_val``.

    momentum : float, default=0.9
        Momentum of "sgd".

    nesterovs_momentum : bool, default=True
        Whether that momentum is Nesterov's.

    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay rates of "adam"'s moments.

    epsilon : float, default=1e-8
        Added to the denominator by "adam".

    class_weight : dict, "balanced", list of dict or None, default=None
        Factors on the weights of each class. "balanced" gives all classes the same total weight.
        For multilabel targets, one dict for the zeros and ones of each column, multiplied over the
        columns.

    warm_start : bool, default=False
        Let ``fit`` go on from the last solution, the solver's moments included.

    dtype : {"float32", "float64"} or None, default=None
        In what precision to compute. None takes that of ``X``: float32 stays, all else is float64.

    n_jobs : int or None, default=None
        Threads that share large batches and both directions of a layer; None is one unless in a
        :obj:`joblib.parallel_config` context. The results do not depend on it.

    random_state : int, RandomState instance or None, default=None
        Decides starting values, order of the samples, dropout masks and the samples held out. An
        int makes every fit the same, to the last bit.

    verbose : bool or int, default=False
        Print the loss after every epoch, or every so many.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels; for multilabel targets, the columns' numbers.

    n_features_in_ : int
        Features of a step; for a 2-D ``X``, its columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Columns of ``X``, or of the frames in a list, if all are strings.

    parameters_ : dict of str to ndarray
        The network's parameters, read-only.

    loss_ : float
        Objective after the last epoch.

    best_loss_ : float
        Lowest objective of all epochs.

    loss_curve_ : list of float
        Objective of each epoch.

    validation_scores_ : list of float
        Negative validation loss after each epoch; empty where nothing was held out.

    best_validation_score_ : float or None
        The highest of them.

    n_iter_ : int
        Epochs (for "lbfgs": iterations) run.

    t_ : int
        Updates that the solver has made.

    n_layers_ : int
        LSTM layers.

    n_outputs_ : int
        Values of the read-out.

    out_activation_ : str
        What turns them into predictions.

    See Also
    --------
    LSTMRegressor : The same network for numbers.
    sklstm.functional : The LSTM's equations as functions.

    Notes
    -----
    A sample of weight two is a sample given twice. Where one batch holds all samples and there is
    no dropout, equal samples are merged and ordered by content: such a fit knows no other order.

    References
    ----------
    .. [1] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9(8),
       1997.
    .. [2] F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget: continual prediction
       with LSTM", Neural Computation 12(10), 2000.
    .. [3] Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent
       neural networks", NeurIPS 2016.
    .. [4] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm import LSTMClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 2)).cumsum(axis=0) for n in rng.integers(5, 15, size=60)]
    >>> y = ["up" if x[-1, 0] > 0 else "down" for x in X]
    >>> clf = LSTMClassifier(16, random_state=0).fit(X, y)
    >>> clf.classes_
    array(['down', 'up'], dtype='<U4')
    >>> clf.predict_proba(X[:3]).shape
    (3, 2)
    >>> bool(clf.score(X, y) > 0.9)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseLSTM._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: int | tuple[int, ...] = (64,),
        *,
        bidirectional: bool = False,
        pooling: str = "mean_max",
        return_sequences: bool = False,
        vocabulary_size: int | None = None,
        embedding_size: int = 32,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        forget_bias: float = 1.0,
        solver: str = "adam",
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate: str = "cosine",
        learning_rate_init: float | str = "auto",
        max_iter: int | str = "auto",
        max_fun: int = 15000,
        max_grad_norm: float | None = 1.0,
        shuffle: bool = True,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        class_weight: Any = None,
        warm_start: bool = False,
        dtype: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: bool | int = False,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            bidirectional=bidirectional,
            pooling=pooling,
            return_sequences=return_sequences,
            vocabulary_size=vocabulary_size,
            embedding_size=embedding_size,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            forget_bias=forget_bias,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            max_iter=max_iter,
            max_fun=max_fun,
            max_grad_norm=max_grad_norm,
            shuffle=shuffle,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            warm_start=warm_start,
            dtype=dtype,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    @available_if(has_minibatches)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go through the given samples once more, or for the first time.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels, out of ``classes``.
        classes : array-like of shape (n_classes,), default=None
            All labels that may ever come; needed in the first call, unless ``y`` is multilabel.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : object
            The estimator, one epoch further.

        Raises
        ------
        ValueError
            As :meth:`fit`; if ``classes`` is missing in the first call or differs later; with
            ``early_stopping`` or ``class_weight="balanced"``, which need all samples.
        AttributeError
            With ``solver="lbfgs"``, which knows no minibatches.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit cannot know the balance of all samples: expected class_weight to be "
                'None or a dict, got "balanced"'
            )
        if hasattr(self, "classes_"):
            given = self.classes_ if classes is None else np.unique(classes)
            if not np.array_equal(given, self.classes_):
                raise ValueError(
                    f"classes: expected {self.classes_} as in the first call, got {classes}"
                )
        return self._partial_fit(X, y, sample_weight, REQUIRED if classes is None else classes)

    def predict(self, X: Any) -> NDArray[Any]:
        """Most probable label of each sequence.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`fit`; lengths may differ, unless that was given a 2-D array.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels, or ones where one of several is more probable than not. With
            ``return_sequences``, for each step, in the form that ``y`` had in :meth:`fit`.
        """
        return self._decoded(X, self._decode)

    def decision_function(self, X: Any) -> Array:
        """Logits: the read-out before the softmax or logistic function.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`predict`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            One value a sample for two classes, positive for the second; else one a class.
        """
        return self._decoded(X, lambda raw: raw[:, 0] if self._one_logit else raw)

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``. Rows sum to one; for multilabel targets each value
            stands for itself, strictly between zero and one.
        """
        return self._decoded(X, lambda raw: self._loss.probabilities(raw))

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the probabilities, from the logits: exact where these round to 0 or 1.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        return self._decoded(X, lambda raw: self._loss.log_probabilities(raw))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy, with ``return_sequences`` that of all steps.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`predict`.
        y : array-like
            Labels, as in :meth:`fit`.
        sample_weight : array-like, default=None
            Weights, as in :meth:`fit`.

        Returns
        -------
        float
            Weighted share of correct labels.
        """
        check_is_fitted(self)
        if not self._per_step:
            return super().score(X, y, sample_weight)
        from sklearn.metrics import accuracy_score

        y_true, y_pred, weights = self._stacked(X, y, sample_weight)
        return float(accuracy_score(y_true, y_pred, sample_weight=weights))

    @property
    def _one_logit(self) -> bool:
        return self.n_outputs_ == 1 and not self._multilabel

    def _decode(self, raw: Array) -> NDArray[Any]:
        if self._multilabel:
            return (raw > 0).astype(np.int64)
        if self.n_outputs_ == 1:
            return self.classes_[(raw[:, 0] > 0).astype(np.intp)]
        return self.classes_[raw.argmax(axis=1)]

    def _learn_targets(self, y: Any, kinds: Any) -> None:
        y, self._multilabel = check_labels(y)
        if self._multilabel:
            self.classes_, self.n_outputs_ = np.arange(y.shape[1]), y.shape[1]
            return
        if kinds is REQUIRED:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        classes = np.unique(y if kinds is None else kinds)
        if len(classes) < 2:
            raise ValueError(f"expected at least two classes in y, got 1 class: {classes.tolist()}")
        self.classes_ = classes
        self.n_outputs_ = 1 if len(classes) == 2 else len(classes)

    def _check_y(self, y: Any) -> NDArray[Any]:
        return encode_labels(y, self.classes_, self.n_outputs_ if self._multilabel else None)

    def _weigh(self, targets: NDArray[Any], weights: Array) -> Array:
        if self.class_weight is None:
            return weights
        if self._multilabel:
            return weights * label_factors(self.class_weight, targets, weights)
        return weights * class_factors(self.class_weight, targets, weights, self.classes_)

    def _scale(self, samples: Samples, reset: bool) -> Samples:
        if samples.targets.ndim == 1 and self.n_outputs_ == 1:
            return replace(samples, targets=samples.targets[:, None].astype(float))
        return samples

    def _make_loss(self) -> Any:
        if self._multilabel:
            return MultilabelCrossEntropy()
        return BinaryCrossEntropy() if self.n_outputs_ == 1 else CategoricalCrossEntropy()

    def _target_gradient(self, raw: Array, target: Any) -> Array:
        units = np.eye(self.n_outputs_, dtype=raw.dtype)
        if target is None:
            return units[raw.argmax(axis=1)]
        found = np.flatnonzero(self.classes_ == target)
        if len(found) == 0:
            raise ValueError(f"target: expected one of {self.classes_.tolist()}, got {target!r}")
        if self._one_logit:
            return np.full_like(raw, 1 if found[0] == 1 else -1)
        return units[np.repeat(found, len(raw))]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
