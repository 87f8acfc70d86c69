"""What LSTMClassifier and LSTMRegressor share: fit, partial_fit, and how they are saved.

Only wiring: `reading` reads the data, `train` trains, `model` predicts.
"""

from __future__ import annotations

import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial
from inspect import signature
from numbers import Real
from sys import float_info
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from sklstm._compat import (
    CALLBACK_ATTRIBUTES,
    CallbackSupportMixin,
    _fit_context,
    validate_parameter_constraints,
)
from sklstm._estimators.introspection import Introspection
from sklstm._estimators.model import FittedModel
from sklstm._estimators.parameters import CONSTRAINTS, layer_sizes, own_generator
from sklstm._estimators.reading import (
    DataForm,
    check_length,
    open_targets,
    read_first,
    read_more,
    scales_inputs,
)
from sklstm._estimators.targets import Targets
from sklstm._estimators.upgrades import FORMAT, UPGRADES
from sklstm._estimators.validation import (
    GivenData,
    Validation,
    given_validation,
    hold_out,
    score_function,
)
from sklstm._network.network import SequenceNetwork
from sklstm._persistence import PlainState
from sklstm._threads import with_single_blas_thread, with_workers
from sklstm._training.state import TrainingState
from sklstm.sequences._step_values import (
    known_rows,
    known_values,
    stack_steps,
    stack_weights,
)
from sklstm.sequences._weights import check_weights

if TYPE_CHECKING:
    from sklstm._estimators.callbacks import EpochCallbacks
    from sklstm._solvers import Outcome
    from sklstm._training.samples import Samples

Array = NDArray[np.floating]


class BaseLSTM(PlainState, Introspection, CallbackSupportMixin, BaseEstimator, metaclass=ABCMeta):
    """Base of LSTMClassifier and LSTMRegressor."""

    _format, _upgrades = FORMAT, UPGRADES
    _transient = CALLBACK_ATTRIBUTES
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS

    # The parameters that this module reads; each estimator assigns all of them in `__init__`.
    hidden_layer_sizes: Any
    bidirectional: bool
    pooling: str
    dropout: float
    recurrent_dropout: float
    input_noise: float
    scale_noise: float
    forget_bias: float
    return_sequences: bool
    vocabulary_size: int | None
    embedding_size: int
    learning_rate: Any
    learning_rate_init: Any
    max_iter: Any
    early_stopping: bool
    validation_fraction: float
    validation_splitter: Any
    scoring: Any
    scale_inputs: bool
    warm_start: bool
    random_state: Any

    # Attributes of a fitted estimator; see `_fitted`.
    n_features_in_: int
    feature_names_in_: NDArray[Any]
    n_outputs_: int
    n_layers_: int
    out_activation_: str
    t_: int
    n_iter_: int
    loss_: float
    best_loss_: float
    loss_curve_: list[float]
    validation_scores_: list[float]
    best_validation_score_: float | None
    best_iteration_: int | None

    @property
    def _share_of_smoothing(self) -> float | str:
        """The parameter ``label_smoothing``; numbers are not smoothed."""
        return 0.0

    @abstractmethod
    def _new_targets(self, y: Any, classes: Any) -> Targets:
        """The kind of targets that ``y`` has; ``classes`` are given by partial_fit."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        groups: Any = None,
    ) -> Self:
        """Fit the network to sequences and their targets.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            A 2-D array (n_samples, n_timesteps), a 3-D array (n_samples, n_timesteps, n_features)
            or a list of arrays (n_timesteps_i, n_features); see
            :func:`sklstm.sequences.check_sequences`.
        y : array-like of shape (n_samples,) or (n_samples, ...)
            Targets: one label or number for each sample, or several. Numbers may have any shape,
            such as (n_samples, horizon, n_outputs) of forecasts; a single column is read as
            (n_samples,). With ``return_sequences``, one or several for each time step: an array
            (n_samples, n_timesteps[, ...]) or a list of (n_timesteps_i[, ...]) arrays.
            A missing target (NaN, None or pandas.NA) marks an unknown time step, which is left out.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a sample of weight two counts as two samples. With
            ``return_sequences`` they may also be given for each time step, in the form of ``y``; a
            step of weight zero is left out, whatever its target.
        X_val, y_val : like ``X`` and ``y``, default=None
            Validation samples. Their score is recorded in ``validation_scores_`` after each epoch,
            and early stopping monitors it instead of that of held-out samples.
        sample_weight_val : like ``sample_weight``, default=None
            Weights of the validation samples.
        groups : array-like of shape (n_samples, ...), default=None
            Group of each sample, for a ``validation_splitter`` that divides by groups, or the index
            of windows. Only used where samples are held out, with ``early_stopping`` and without
            ``X_val``.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If an input is malformed (the message names the sample), or if the loss becomes infinite
            or NaN (the message names the update). The estimator is then unchanged.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm import LSTMClassifier
        >>> rng = np.random.default_rng(0)
        >>> X = [rng.normal(size=(length, 2)) for length in rng.integers(3, 9, size=50)]
        >>> y = [int(x[:, 0].sum() > 0) for x in X]
        >>> clf = LSTMClassifier(8, random_state=0).fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
        >>> len(clf.loss_curve_) == len(clf.validation_scores_) == clf.n_iter_
        True
        """
        from sklstm._estimators.callbacks import FitTask  # loads the solvers

        data = GivenData(X, y, sample_weight, X_val, y_val, sample_weight_val, groups)
        n_epochs = None if self.max_iter == "auto" else self.max_iter
        task = FitTask("fit", self, {"X": X, "y": y, "metadata": data.metadata}, n_epochs)
        earlier = getattr(self, "_model", None) if self.warm_start else None
        samples, form = self._read(X, y, sample_weight, earlier)
        rng = self._generator(earlier)
        seed = None if earlier is None else earlier.state.split_seed
        validation = given_validation(self, data, form)
        if validation is None and self.early_stopping:
            # A warm start holds out the same samples: it must not train on them.
            seed = rng.randint(np.iinfo(np.int32).max) if seed is None else seed
            samples, validation = hold_out(self, data, samples, seed)
        model, samples = self._begin(samples, form, rng, earlier)
        model.state.split_seed = seed
        validation = None if validation is None else validation.scaled(model.form)
        callbacks = task.epochs(lambda: _fitted(model.snapshot()))
        outcome = self._train(model, samples, validation, self.max_iter, callbacks)
        task.end(lambda: _fitted(model))
        self._set_model(model)
        self._warn(outcome)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        """Train for one epoch on the samples; ``classes`` are all classes to expect."""
        from sklstm._estimators.callbacks import FitTask  # loads the solvers

        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        task = FitTask("partial_fit", self, {"X": X, "y": y, "metadata": metadata}, 1)
        earlier = getattr(self, "_model", None)
        samples, form = self._read(X, y, sample_weight, earlier, classes)
        rng = self._generator(earlier)
        model, samples = self._begin(samples, form, rng, earlier, partial=True)
        self._train(model, samples, None, None, task.epochs(lambda: _fitted(model.snapshot())))
        task.end(lambda: _fitted(model))
        self._set_model(model)
        return self

    def _read(
        self, X: Any, y: Any, sample_weight: Any, earlier: FittedModel | None, classes: Any = None
    ) -> tuple[Samples, DataForm]:
        """Samples to train on, and their form."""
        if earlier is None:
            return read_first(self, X, y, sample_weight, classes)
        return read_more(self, X, y, sample_weight, earlier.form)

    def _generator(self, earlier: FittedModel | None) -> np.random.RandomState:
        """A new random generator, or a copy of that of the earlier fit."""
        return own_generator(self.random_state) if earlier is None else deepcopy(earlier.state.rng)

    def _begin(
        self,
        samples: Samples,
        form: DataForm,
        rng: np.random.RandomState,
        earlier: FittedModel | None,
        partial: bool = False,
    ) -> tuple[FittedModel, Samples]:
        """A model to train, a copy of the earlier one if there is one, and the samples to train on.

        The samples are weighted, sorted and scaled; of ``partial`` data, the earlier units count.
        """
        from sklstm._training.train import in_fixed_order  # loads the solvers

        form = form.with_targets(form.targets.fit_weights(samples.targets, samples.weights))
        samples = in_fixed_order(form.weigh(samples), self)
        update = partial and earlier is not None
        learn_units = form.targets.update_units if update else form.targets.fit_units
        form = form.with_targets(learn_units(samples.targets, samples.weights))
        scales = scales_inputs(self)
        form = form.learn_scaling(samples, update) if scales else replace(form, scaling=None)
        network = self._new_network(form)
        if earlier is None:
            # Several threads of BLAS need much more time for small matrices, and round otherwise.
            parameters = with_single_blas_thread(
                network.initialize, rng, form.dtype, self.forget_bias
            )
            model = FittedModel(form, network, TrainingState(parameters, rng))
        else:
            self._check_same_network(network, earlier.network)
            model = earlier.continued(form, network, rng)
        return model, form.scale(samples)

    def _check_same_network(self, network: SequenceNetwork, earlier: SequenceNetwork) -> None:
        if network.layout.shapes != earlier.layout.shapes:
            raise ValueError(
                f"{type(self).__name__} continues to train the network of the earlier fit; "
                "parameters that change its shape, such as hidden_layer_sizes, cannot change. "
                "Clone the estimator or set warm_start=False to begin anew."
            )

    def _new_network(self, form: DataForm) -> SequenceNetwork:
        inputs = form.inputs
        return SequenceNetwork(
            inputs.n_channels if inputs.vocabulary_size is None else self.embedding_size,
            layer_sizes(self.hidden_layer_sizes),
            form.targets.n_raw,
            bidirectional=self.bidirectional,
            pooling=None if form.per_step else self.pooling,
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
            vocabulary_size=inputs.vocabulary_size,
        )

    def _train(
        self,
        model: FittedModel,
        samples: Samples,
        validation: Validation | None,
        n_epochs: int | str | None,
        callbacks: EpochCallbacks | None,
    ) -> Outcome:
        """Train the state of the model in place."""
        from sklstm._training.train import Task, train  # loads the solvers

        loss, smoothing = model.form.targets.loss, self._share_of_smoothing
        task = Task(model.network, loss, samples, label_smoothing=smoothing)
        if validation is not None:
            score = score_function(self, model, validation, _fitted)
            task = task._replace(held_out=validation.samples, score=score)
        return with_workers(
            self.n_jobs,
            lambda parallel_map: train(task, model.state, self, n_epochs, parallel_map, callbacks),
        )

    def _set_model(self, model: FittedModel) -> None:
        """Replace the fitted model and the public attributes, all at once."""
        earlier = getattr(self, "_model", None)
        outdated = {} if earlier is None else _fitted(earlier)
        kept = {name: value for name, value in vars(self).items() if name not in outdated}
        self.__dict__ = {**kept, **_fitted(model)}

    def _warn(self, outcome: Outcome) -> None:
        """Warn unless training converged."""
        if outcome.status == "interrupted":
            warnings.warn(
                f"Training was interrupted after {outcome.n_epochs} epochs; the parameters learned "
                "so far are kept.",
                stacklevel=4,
            )
        elif outcome.status in ("max_iter", "abnormal"):
            warnings.warn(
                f"Training stopped before it converged: {outcome.message}. Increase max_iter, or "
                "tol if this loss is good enough.",
                ConvergenceWarning,
                stacklevel=4,
            )
        if outcome.shortfall is not None:
            warnings.warn(self._advice(*outcome.shortfall), ConvergenceWarning, stacklevel=4)

    def _advice(self, loss: float, loss_of_constant: float) -> str:
        """What to try where the network has not learned to use its inputs."""
        scaling = "" if self.scale_inputs else ", or scale_inputs=True"
        return (
            f"Training ended with a loss of {loss:.4g}, which is more than 1 percent above that of "
            f"a constant prediction, {loss_of_constant:.4g}: the network has not learned from its "
            f"inputs. Try a smaller learning_rate_init (it is {self.learning_rate_init!r}), more "
            f"epochs (max_iter), or a smaller alpha{scaling}."
        )

    def _predict(self, X: Any, decode: Callable[[Any, Array], NDArray[Any]]) -> Any:
        """What ``decode`` makes of raw predictions, in the form that the targets had."""
        model = self._fitted_model()
        return model.predict(X, self, lambda raw: decode(model.form.targets, raw))

    def _score_samples(
        self,
        metric: Callable[..., float],
        X: Any,
        y: Any,
        sample_weight: Any,
        decode: Callable[[Any, Array], NDArray[Any]],
        check: Callable[[Any], NDArray[Any]],
    ) -> float:
        """The metric over all sequences; ``check`` reads targets."""
        if y is None:
            raise ValueError("y: expected the targets, got None")
        y_true, y_pred = check(open_targets(y, self, warn=False)), self._predict(X, decode)
        check_length(y_pred, y_true)
        weights = check_weights(sample_weight, len(y_true))
        return float(metric(y_true, y_pred, sample_weight=weights))

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        """Return the names of the parameters, which scikit-learn reads from the signature."""
        names: list[str] = super()._get_param_names()
        return names

    @classmethod
    @cache
    def _valid_defaults(cls) -> dict[str, Any]:
        """Default values of the parameters; none if one of them is not valid."""
        parameters = signature(cls.__init__).parameters
        defaults = {name: parameters[name].default for name in cls._get_param_names()}
        try:
            validate_parameter_constraints(cls._parameter_constraints, defaults, cls.__name__)
        except ValueError:
            return {}
        return defaults

    def _validate_params(self) -> None:
        """Check the parameters that are not at their defaults: each check takes microseconds."""
        known, given = self._valid_defaults(), self.get_params(deep=False)
        given = {name: value for name, value in given.items() if value is not known.get(name, self)}
        for name, value in given.items():
            if type(value) is int and abs(value) > float_info.max:
                raise ValueError(
                    f"{name}: expected a number of at most {float_info.max:.2g}, got an "
                    f"integer of {value.bit_length()} bits"
                )
        try:
            validate_parameter_constraints(self._parameter_constraints, given, type(self).__name__)
        except ValueError as error:
            if isinstance(self.learning_rate, Real):
                raise type(error)(
                    f"{error} The learning rate itself is learning_rate_init={self.learning_rate}."
                ) from error
            raise

    def _score_steps(
        self,
        metric: Callable[..., float],
        X: Any,
        y: Any,
        sample_weight: Any,
        decode: Callable[[Any, Array], NDArray[Any]],
    ) -> float:
        """The metric over all time steps whose target is known and weighs more than zero."""
        model = self._fitted_model()
        y_pred, sequences = model.predict_rows(X, self, partial(decode, model.form.targets))
        y_true, weights = stack_steps(y, sequences, "y"), np.ones(len(y_pred))
        if sample_weight is not None:
            weights = stack_weights(sample_weight, sequences)
        known = known_rows(y_true, weights)
        if len(known) == 0:
            raise ValueError("y: expected a known target at a step of weight above zero, got none")
        y_true, y_pred = known_values(y_true, known), y_pred[known]
        return float(metric(y_true, y_pred, sample_weight=weights[known]))

    def _fitted_model(self) -> FittedModel:
        if not hasattr(self, "_model"):  # check_is_fitted looks at tags and attributes first
            check_is_fitted(self)
        model: FittedModel = self._model
        return model

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def _to_plain(self, attributes: dict[str, Any]) -> dict[str, Any]:
        model = attributes.pop("_model", None)
        return attributes if model is None else {**attributes, "model": model.as_dict()}

    def _from_plain(self, state: dict[str, Any]) -> dict[str, Any]:
        model = state.pop("model", None)
        return state if model is None else {**state, "_model": FittedModel.from_dict(model)}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _fitted(model: FittedModel) -> dict[str, Any]:
    """All attributes that an estimator gets when it is fitted."""
    return {**model.attributes(), "_model": model}
