"""LSTMRegressor."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklstm._compat import Interval, StrOptions, _fit_context
from sklstm._estimators.base import BaseLSTM
from sklstm._estimators.parameters import has_minibatches
from sklstm._estimators.targets import TargetScaler, check_numbers
from sklstm._network.losses import AbsoluteError, Huber, Poisson, Quantile, SquaredError
from sklstm._training.samples import Samples

Array = NDArray[np.floating]


class LSTMRegressor(RegressorMixin, BaseLSTM):
    """Predict numbers from sequences with a long short-term memory network [1]_.

    Sequences may be rows of a 2-D array, a 3-D array, or a list of arrays of any lengths; see
    :meth:`fit`. Targets are standardised inside, each output by itself, so that they may have any
    mean and scale.

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
        Predict a value for every step instead of one for the sequence; ``y`` then holds as
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

    loss : {"squared_error", "absolute_error", "huber", "quantile", "poisson"}, \
            default="squared_error"
        What is minimised, as a mean over outputs and samples. "poisson" is for counts: the network
        predicts the logarithm of their mean.

    huber_delta : float, default=1.35
        Residual, in standard deviations of the target, at which "huber" turns from squared to
        linear.

    quantile : float, default=0.5
        The quantile that "quantile" predicts.

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
    LSTMClassifier : The same network for labels.
    sklstm.functional : The LSTM's equations as functions.

    Notes
    -----
    Losses count in units of the standardised targets. A constant target is predicted as it is.

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
    >>> from sklstm import LSTMRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(80, 10, 1))
    >>> y = 1e4 + 1e3 * X.mean(axis=(1, 2))
    >>> reg = LSTMRegressor(16, random_state=0).fit(X, y)
    >>> reg.predict(X).shape
    (80,)
    >>> bool(reg.score(X, y) > 0.9)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseLSTM._parameter_constraints,
        "loss": [StrOptions({"squared_error", "absolute_error", "huber", "quantile", "poisson"})],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
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
        loss: str = "squared_error",
        huber_delta: float = 1.35,
        quantile: float = 0.5,
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
        self.loss = loss
        self.huber_delta = huber_delta
        self.quantile = quantile

    @available_if(has_minibatches)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go through the given samples once more, or for the first time.

        The first call fixes mean and scale of the targets for those to come.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : object
            The estimator, one epoch further.

        Raises
        ------
        ValueError
            As :meth:`fit`; with ``early_stopping``, which needs all samples.
        AttributeError
            With ``solver="lbfgs"``, which knows no minibatches.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """Prediction for each sequence, in the units of the targets.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`fit`; lengths may differ, unless that was given a 2-D array.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Of dtype float32 if the model was fitted on such ``X``, else float64.
        """
        return self._decoded(X, self._decode)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R^2, with ``return_sequences`` over all steps.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            As in :meth:`predict`.
        y : array-like
            Targets, as in :meth:`fit`.
        sample_weight : array-like, default=None
            Weights, as in :meth:`fit`.

        Returns
        -------
        float
            One for perfect predictions, zero for those of the mean; over several outputs, the mean.
        """
        check_is_fitted(self)
        if not self._per_step:
            return super().score(X, y, sample_weight)
        from sklearn.metrics import r2_score

        y_true, y_pred, weights = self._stacked(X, y, sample_weight)
        return float(r2_score(y_true, y_pred, sample_weight=weights))

    def _decode(self, raw: Array) -> NDArray[Any]:
        y = self._scaler.inverse_transform(self._loss.predictions(raw))
        y = y.astype(self._input_dtype, copy=False)
        return y[:, 0] if self._one_column else y

    def _units(self) -> tuple[Array, Array] | None:
        if self._loss.out_activation != "identity":
            return None
        return self._scaler.scale, self._scaler.mean

    def _learn_targets(self, y: Any, kinds: Any) -> None:
        y = check_numbers(y)
        self._one_column = y.ndim == 1
        self.n_outputs_ = 1 if self._one_column else y.shape[1]

    def _check_y(self, y: Any) -> NDArray[Any]:
        y = check_numbers(y)
        if (y.ndim == 1) != self._one_column or (y.ndim == 2 and y.shape[1] != self.n_outputs_):
            expected = "(n_samples,)" if self._one_column else f"(n_samples, {self.n_outputs_})"
            raise ValueError(f"y: expected targets of shape {expected}, got {y.shape}")
        y = y[:, None] if self._one_column else y
        if self.loss == "poisson" and (y < 0).any():
            k = int(np.argmax((y < 0).any(axis=1)))
            raise ValueError(f'y[{k}]: expected zero or more with loss="poisson", got {y[k].min()}')
        return y

    def _weigh(self, targets: NDArray[Any], weights: Array) -> Array:
        return weights

    def _scale(self, samples: Samples, reset: bool) -> Samples:
        if reset:
            centre = self.loss != "poisson"
            self._scaler = TargetScaler.fit(samples.targets, samples.weights, centre=centre)
        return replace(samples, targets=self._scaler.transform(samples.targets))

    def _make_loss(self) -> Any:
        if self.loss == "huber":
            return Huber(self.huber_delta)
        if self.loss == "quantile":
            return Quantile(self.quantile)
        plain = {"squared_error": SquaredError, "absolute_error": AbsoluteError, "poisson": Poisson}
        return plain[self.loss]()

    def _target_gradient(self, raw: Array, target: Any) -> Array:
        if target is None and self.n_outputs_ > 1:
            raise ValueError(f"target: expected an output, 0 to {self.n_outputs_ - 1}, got None")
        if target is not None and target not in range(self.n_outputs_):
            raise ValueError(f"target: expected 0 to {self.n_outputs_ - 1}, got {target!r}")
        gradient = np.zeros_like(raw)
        gradient[:, target or 0] = 1
        slope = np.exp(raw) if self._loss.out_activation == "exp" else 1.0
        return (gradient * slope * self._scaler.scale).astype(raw.dtype)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
