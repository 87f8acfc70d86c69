"""LSTMClassifier."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from sklstm._compat import Interval, StrOptions, _fit_context
from sklstm._estimators.base import BaseLSTM
from sklstm._estimators.parameters import has_minibatches
from sklstm._estimators.probabilities import Probabilities
from sklstm._estimators.target_checks import check_classes, check_labels
from sklstm._estimators.targets import ClassTargets, LabelTargets

Array = NDArray[np.floating]

#: The ``classes`` of a first call of partial_fit without them.
REQUIRED = object()


class LSTMClassifier(ClassifierMixin, Probabilities, BaseLSTM):
    """Classify sequences with a long short-term memory network.

    The network consists of LSTM layers [1]_ with forget gates [2]_ and an output layer. The
    estimator minimises the cross-entropy of two or more classes, or of several binary labels.
    Sequences may be rows of a 2-D array, a 3-D array, or a list of arrays of any lengths; see
    :meth:`fit`.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(64,)
        Number of units of the LSTM layer, or of each of several stacked layers.
    bidirectional : bool, default=False
        Add a second LSTM that reads each sequence in reverse. Its hidden states are concatenated
        with those of the first.
    pooling : {"last", "mean", "max", "mean_max"}, default="mean_max"
        How the hidden states of the last layer become the input of the output layer: the state at
        the last time step (of the reverse direction, at the first), the mean or maximum over time,
        or mean and maximum together. Not used with ``return_sequences``.
    return_sequences : bool, default=False
        Predict a label for every time step instead of one for the sequence. ``y`` then has one
        for each time step.
    vocabulary_size : int or None, default=None
        Number of tokens. If given, the time steps of ``X`` are tokens, integers from 0 to
        ``vocabulary_size - 1``, and an embedding layer learns a vector for each. ``X`` is a list of
        1-D arrays or a 2-D array.
    embedding_size : int, default=32
        Dimension of the embedding. Only used with ``vocabulary_size``.
    dropout : float, default=0.0
        Dropout rate of the outputs of every LSTM layer, the last included. One mask is drawn for
        each sequence and used at all its time steps [3]_.
    recurrent_dropout : float, default=0.0
        Dropout rate of the hidden states that enter the next time step. One mask is drawn for each
        sequence and used at all its time steps [3]_.
    input_noise, scale_noise : float, default=0.0
        Noise of the scaled inputs, in training alone: standard deviations of what is added to each
        value, and of factors around 1 by which each channel of a sequence is multiplied. They are
        normally distributed, and new in each batch. Tokens have no noise, nor have channels of
        which ``scale_inputs`` does not subtract the mean.
    forget_bias : float, default=1.0
        Initial bias of the forget gates [2]_.
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        "adam" [4]_ and "sgd" train on minibatches. "lbfgs" is SciPy's L-BFGS-B; it uses all samples
        at each iteration, computes in float64, and suits small data sets.
    alpha : float, default=1e-4
        Strength of the L2 penalty on the weights; biases are not penalised. The penalty,
        ``alpha / 2 * |weights|^2``, is divided by the total weight of the training samples.
        With ``vocabulary_size``, a batch counts the vectors of its own tokens alone.
    batch_size : int or "auto", default="auto"
        Maximum number of samples in a minibatch. "auto" is 32. The batches of an epoch have nearly
        equal sizes. Not used by "lbfgs".
    learning_rate : {"constant", "adaptive", "cosine"}, default="cosine"
        Learning rate schedule. "cosine" lowers the rate to zero at ``max_iter``, where training
        ends. "constant" keeps the rate. "adaptive" divides it by five each time the loss stops
        improving, until it is at most 1e-6. ``partial_fit`` has no last epoch and keeps the rate
        constant: after ``fit``, it continues with the last rate of "adaptive", and with a hundredth
        of ``learning_rate_init`` for "cosine". Not used by "lbfgs".
    learning_rate_init : float or "auto", default="auto"
        Initial learning rate. "auto" is 0.01 for "adam" and 0.1 for "sgd". Not used by "lbfgs".
    max_iter : int or "auto", default="auto"
        Maximum number of epochs, or for "lbfgs" of iterations. "auto" is the number of epochs that
        makes 1000 updates, but at least 20 and at most 100; for "lbfgs" it is 200.
    max_fun : int, default=15000
        Maximum number of evaluations of the objective by "lbfgs".
    max_grad_norm : float or None, default=1.0
        Maximum Euclidean norm of the gradient: longer gradients are scaled down to it. None scales
        none. Samples are weighted before, so that with very unequal weights and batches of a few
        samples, clipping moves the minimum. Not used by "lbfgs".
    shuffle : bool, default=True
        Whether to shuffle the samples in each epoch. Not used by "lbfgs".
    tol : float, default=1e-4
        Tolerance of the stopping criterion. With a constant or adaptive learning rate, or with
        early stopping, training stops when the loss does not improve by at least ``tol`` for more
        than ``n_iter_no_change`` consecutive epochs. For "lbfgs", training stops when no component
        of the gradient exceeds ``tol``.
    n_iter_no_change : int, default=10
        Maximum number of epochs without an improvement of at least ``tol``.
    early_stopping : bool, default=False
        Stop when the loss of validation samples stops improving, and keep the parameters for which
        it was lowest.
    validation_fraction : float, default=0.1
        Fraction of the samples to hold out for early stopping, unless ``fit`` is given ``X_val``
        or ``validation_splitter`` is an object.
    validation_splitter : {"random", "last"} or splitter, default="random"
        How early stopping holds out samples: a random fraction, stratified by class; the last
        fraction in the order given; or the last split of an object such as
        :class:`~sklearn.model_selection.TimeSeriesSplit`, or
        :class:`~sklearn.model_selection.GroupShuffleSplit` with ``groups`` given to ``fit``. The
        ``random_state`` of this estimator is used if the object has none of its own. Overlapping
        windows of a series should not be divided at random.
    scoring : str, callable or None, default="loss"
        The score of the validation samples, which early stopping monitors: "loss" is the negative
        loss; otherwise the name of a scorer, a function ``scorer(estimator, X, y)``, or None for
        the method ``score``. With ``return_sequences``, names are those of
        :func:`sklstm.metrics.get_scorer`. Weights of the validation samples are passed to the
        scorer as ``sample_weight``, without the weights of classes.
    scale_inputs : bool, default=True
        Whether to standardise each channel of ``X`` inside, with its weighted mean and standard
        deviation over all time steps of the training data: ``input_mean_`` and ``input_scale_``. In
        a channel without values of both signs, a mean of less than the standard deviation is not
        subtracted, so that zeros remain zeros; the scale is then the root mean square of the values
        other than zero, so that indicators do not change. Tokens are not scaled.
    momentum : float, default=0.9
        Momentum of "sgd".
    nesterovs_momentum : bool, default=True
        Whether "sgd" uses Nesterov's momentum.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Exponential decay rates of the first and second moments of "adam".
    epsilon : float, default=1e-8
        Constant added to the denominator of "adam" for numerical stability.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by which sample weights are multiplied. A class that the dict does
        not name has weight one, and a label that does not occur in ``y`` is ignored. "balanced"
        gives all classes the same total weight in the training samples; validation samples have
        the same class weights. For multilabel targets, a list with a dict for each label, or
        "balanced"; the weights of a sample's labels are multiplied.
    label_smoothing : float or "auto", default="auto"
        Share of each training label that is spread evenly over all classes [5]_. Few samples can be
        fitted perfectly, which drives probabilities to 0 and 1; smoothed labels prevent that.
        "auto" is ``10 / W``, at most 0.2, with the total weight ``W`` of the training samples (with
        ``return_sequences``, of the known time steps; in ``partial_fit``, of all calls). So it is
        close to zero for many samples, and 0.2 for weights whose sum is 1. Validation does not
        smooth labels.
    warm_start : bool, default=False
        Whether ``fit`` continues from the solution of the previous call, with the moments of the
        solver.
    dtype : {"float32", "float64"} or None, default=None
        Precision of parameters and computations. None is the dtype of ``X`` if that is float32, and
        else float64.
    n_jobs : int or None, default=None
        Number of threads, which share the work of large batches and of the two directions of a
        layer. None is one, unless in a :obj:`joblib.parallel_config` context. The results do not
        depend on it.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, the order of the samples, dropout masks and the samples held out
        for validation. Pass an int for results that are the same, to the last bit, in every call.
    verbose : bool or int, default=False
        Print a line after every epoch, or every ``verbose`` epochs: the loss, the validation loss
        or score if there is one, and the time that is left until ``max_iter``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; for multilabel targets, the indices of the labels.
    n_features_in_ : int
        Number of features of a time step; for a 2-D ``X``, its columns, which are time steps.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of ``X``, or of the frames in a list, if all of them are strings.
    input_mean_ : ndarray of shape (n_channels,) or None
        What is subtracted from each channel: its mean, or zero (see ``scale_inputs``). A 2-D ``X``
        has one channel. None for tokens and with ``scale_inputs=False``.
    input_scale_ : ndarray of shape (n_channels,) or None
        The standard deviation of each channel, by which values are divided. It is infinite for a
        channel that was constant in the training data, up to rounding errors, so that the channel
        is ignored. None like ``input_mean_``.
    parameters_ : dict of str to ndarray
        The parameters by name of the network for ``X`` as it is, without scaling; read-only copies.
    loss_ : float
        Objective of the last epoch, with the penalty and smoothed labels.
    best_loss_ : float
        Lowest objective of all epochs.
    loss_curve_ : list of float
        Objective of each epoch.
    validation_scores_ : list of float
        Score of the validation samples after each epoch, as ``scoring`` says; empty without such
        samples.
    best_validation_score_ : float or None
        Highest of ``validation_scores_``; None without validation samples.
    best_iteration_ : int or None
        Number of epochs after which it was reached; with ``early_stopping``, the parameters of that
        epoch are kept. None without validation samples.
    n_iter_ : int
        Number of epochs, or for "lbfgs" of iterations.
    t_ : int
        Number of updates by the solver.
    n_layers_ : int
        Number of LSTM layers.
    n_outputs_ : int
        Number of values that the output layer gives.
    out_activation_ : str
        Name of the function that turns these values into predictions.

    See Also
    --------
    LSTMRegressor : The same network for numbers.
    sklstm.functional : The LSTM as functions.

    Notes
    -----
    A sample of weight two counts as two equal samples. Without dropout, and if one batch holds all
    samples, equal samples are merged and sorted by content, so that such a fit does not depend on
    the order of the samples.

    References
    ----------
    .. [1] Hochreiter & Schmidhuber 1997, "Long short-term memory", Neural Computation 9(8).
    .. [2] Gers, Schmidhuber & Cummins 2000, "Learning to forget: continual prediction with LSTM",
       Neural Computation 12(10).
    .. [3] Gal & Ghahramani 2016, "A theoretically grounded application of dropout in recurrent
       neural networks", NeurIPS.
    .. [4] Kingma & Ba 2015, "Adam: a method for stochastic optimization", ICLR.
    .. [5] Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", CVPR,
       section 7.

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
        "label_smoothing": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
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
        input_noise: float = 0.0,
        scale_noise: float = 0.0,
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
        validation_splitter: Any = "random",
        scoring: Any = "loss",
        scale_inputs: bool = True,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        class_weight: Any = None,
        label_smoothing: float | str = "auto",
        warm_start: bool = False,
        dtype: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: bool | int = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.return_sequences = return_sequences
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.input_noise = input_noise
        self.scale_noise = scale_noise
        self.forget_bias = forget_bias
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.max_fun = max_fun
        self.max_grad_norm = max_grad_norm
        self.shuffle = shuffle
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.validation_splitter = validation_splitter
        self.scoring = scoring
        self.scale_inputs = scale_inputs
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.warm_start = warm_start
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @available_if(has_minibatches)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch on the given samples.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels, each one of ``classes``.
        classes : array-like of shape (n_classes,), default=None
            All labels that any call may see. Required in the first call, unless ``y`` is
            multilabel.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            As :meth:`fit`; if ``classes`` is missing in the first call, or differs in a later one;
            with ``early_stopping`` or ``class_weight="balanced"``, which need all samples at once.
        AttributeError
            With ``solver="lbfgs"``, which uses all samples at once.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> clf = LSTMClassifier(8, random_state=0)
        >>> for part in np.split(np.arange(40), 2):
        ...     clf = clf.partial_fit(X[part], y[part], classes=["down", "up"])
        >>> clf.predict(X).shape
        (40,)
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit does not see all samples, and cannot balance their classes: expected "
                'class_weight to be None or a dict, got "balanced"'
            )
        classes = None if classes is None else check_classes(classes)
        if hasattr(self, "classes_"):
            given = self.classes_ if classes is None else np.unique(classes)
            if given.tolist() != self.classes_.tolist():  # of any two types, also in NumPy 1.24
                raise ValueError(
                    f"classes: expected {self.classes_} as in the first call, got {classes}"
                )
        return self._partial_fit(X, y, sample_weight, REQUIRED if classes is None else classes)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable label of each sequence.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`fit`. Lengths may differ from those seen there, unless that was a 2-D
            array.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Class labels; for multilabel targets, one for each label that is more probable than not,
            and zero for the others. With ``return_sequences``, labels for each time step, in the
            form that ``y`` had in :meth:`fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> LSTMClassifier(8, random_state=0).fit(X, y).predict(X)[:2]
        array(['up', 'down'], dtype='<U4')
        """
        return self._predict(X, _decode)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the accuracy; with ``return_sequences``, over all time steps.

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
            Weighted fraction of correct labels.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> X = np.random.default_rng(0).normal(size=(40, 6, 2))
        >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> bool(LSTMClassifier(8, random_state=0).fit(X, y).score(X, y) > 0.9)
        True
        """
        from sklearn.metrics import accuracy_score  # slow to import

        if self._fitted_model().form.per_step:
            return self._score_steps(accuracy_score, X, y, sample_weight, _decode)
        return self._score_samples(accuracy_score, X, y, sample_weight, _decode, _labels)

    @property
    def _share_of_smoothing(self) -> float | str:
        return self.label_smoothing

    def _new_targets(self, y: Any, classes: Any) -> ClassTargets | LabelTargets:
        y, multilabel = check_labels(y)
        if multilabel:
            return LabelTargets(y.shape[1], self.class_weight)
        if classes is REQUIRED:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return ClassTargets.of(y if classes is None else classes, self.class_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _labels(y: Any) -> NDArray[Any]:
    return check_labels(y)[0]


def _decode(targets: Any, raw: Array) -> NDArray[Any]:
    decoded: NDArray[Any] = targets.decode(raw)
    return decoded
