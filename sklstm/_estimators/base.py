"""What the two estimators share: the way from X and y to a fitted network and back.

Wiring, no numerics: `sequences` reads X, `_objective` is what is minimised, `_solvers` minimise it.
"""

from __future__ import annotations

import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from sklstm._compat import CallbackSupportMixin, _fit_context
from sklstm._estimators.introspection import Inside, joined
from sklstm._estimators.parameters import (
    CONSTRAINTS,
    as_table,
    as_tokens,
    cast_sequences,
    layer_sizes,
    own_generator,
    part_bounds,
)
from sklstm._network.losses import Loss
from sklstm._network.network import SequenceNetwork
from sklstm._threads import workers
from sklstm._training.objective import Samples, raw_predictions
from sklstm.sequences import Sequences, check_sequences
from sklstm.sequences._reading import is_list_of_sequences
from sklstm.sequences._step_values import like_targets, stack_steps, stack_weights
from sklstm.sequences._weights import check_weights

if TYPE_CHECKING:
    from sklstm._estimators.callbacks import EpochCallbacks
    from sklstm._solvers import Outcome
    from sklstm._training.train import State

Array = NDArray[np.floating]


class BaseLSTM(Inside, CallbackSupportMixin, BaseEstimator, metaclass=ABCMeta):
    """Base of LSTMClassifier and LSTMRegressor."""

    _doc_link_module = "sklstm"
    _doc_link_template = (
        "https://sklstm.readthedocs.io/en/stable/generated/{estimator_module}.{estimator_name}.html"
    )

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS

    hidden_layer_sizes: Any
    bidirectional: bool
    pooling: str
    dropout: float
    recurrent_dropout: float
    forget_bias: float
    return_sequences: bool
    vocabulary_size: int | None
    embedding_size: int
    solver: str
    alpha: float
    batch_size: Any
    learning_rate: str
    learning_rate_init: Any
    max_iter: Any
    max_fun: int
    max_grad_norm: float | None
    shuffle: bool
    tol: float
    n_iter_no_change: float
    early_stopping: bool
    validation_fraction: float
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    warm_start: bool
    dtype: Any
    n_jobs: int | None
    random_state: Any
    verbose: Any
    _per_step: bool
    _array_targets: bool

    @abstractmethod
    def __init__(self, **parameters: Any) -> None:
        for name, value in parameters.items():
            setattr(self, name, value)

    @abstractmethod
    def _learn_targets(self, y: Any, kinds: Any) -> None:
        """Learn what kind the targets are and how many outputs they take, from y and ``kinds``."""

    @abstractmethod
    def _check_y(self, y: Any) -> NDArray[Any]:
        """Targets of that kind as numbers, one row a sample."""

    @abstractmethod
    def _weigh(self, targets: NDArray[Any], weights: Array) -> Array:
        """Sample weights times what else weighs on a sample."""

    @abstractmethod
    def _scale(self, samples: Samples, reset: bool) -> Samples:
        """Targets in the units that the network learns; with ``reset``, learn these units."""

    @abstractmethod
    def _make_loss(self) -> Loss:
        """The loss for the kind of targets seen."""

    @abstractmethod
    def _decode(self, raw: Array) -> NDArray[Any]:
        """Predictions out of raw ones (rows, n_outputs)."""

    def _units(self) -> tuple[Array, Array] | None:
        """Factor and offset of each output, if predictions are raw ones times that plus this."""
        return None

    @abstractmethod
    def _target_gradient(self, raw: Array, target: Any) -> Array:
        """Slope of the prediction that ``target`` names at the raw predictions (n, K)."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> Self:
        """Fit the network to sequences and their targets.

        Parameters
        ----------
        X : array-like, dataframe or list of n_samples sequences
            A 2-D array (n_samples, n_timesteps), a 3-D array (n_samples, n_timesteps, n_features)
            or a list of arrays (n_timesteps_i, n_features); see
            :func:`sklstm.sequences.check_sequences`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets. With ``return_sequences``, one or several for each step: an array
            (n_samples, n_timesteps[, n_outputs]) or a list of (n_timesteps_i[, n_outputs]) arrays.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a sample of weight two counts as two samples. With
            ``return_sequences`` also one a step, in the form of ``y``; weight 0 leaves a step out.
        X_val, y_val : like ``X`` and ``y``, default=None
            Samples whose loss is recorded in ``validation_scores_`` after every epoch, and which
            early stopping watches in place of a random fraction.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If an input is malformed (the message names the sample), or if the loss turns
            non-finite (it names the step). The estimator then is what it was before the call.
        """
        from sklstm._estimators.callbacks import EpochCallbacks  # see _begin

        n_epochs = None if self.max_iter == "auto" else self.max_iter
        context = self._init_callback_context(max_subtasks=n_epochs)
        with self._all_or_nothing():
            data = {"X": X, "y": y, "metadata": None}
            if sample_weight is not None:
                data["metadata"] = {"sample_weight": sample_weight}
            context.call_on_fit_task_begin(estimator=self, **data)
            fresh = not (self.warm_start and hasattr(self, "_parameters"))
            samples = self._check_samples(X, y, sample_weight, fresh)
            rng = own_generator(self.random_state) if fresh else deepcopy(self._rng)
            samples, held_out = self._hold_out(samples, X_val, y_val, rng, fresh)
            state, samples = self._begin(samples, rng, fresh)
            held_out = None if held_out is None else self._scale(held_out, reset=False)
            tell = EpochCallbacks(self, context, data, lambda: self._fitted(state))
            self._train(state, samples, held_out, self.max_iter, tell)
            context.call_on_fit_task_end(
                estimator=self, reconstruction_attributes=lambda: vars(self), **data
            )
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, kinds: Any = None) -> Self:
        """One epoch over the samples; the first learns the targets' kind from ``kinds`` too."""
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        with self._all_or_nothing():
            fresh = not hasattr(self, "_parameters")
            samples = self._check_samples(X, y, sample_weight, fresh, kinds)
            rng = own_generator(self.random_state) if fresh else deepcopy(self._rng)
            state, samples = self._begin(samples, rng, fresh)
            self._train(state, samples, None, n_epochs=None, tell=None)
        return self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """On any error, every attribute is again what it was."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__ = before
            raise

    def _check_samples(
        self, X: Any, y: Any, sample_weight: Any, reset: bool, kinds: Any = None
    ) -> Samples:
        """Validated, encoded and weighted samples, without those that weigh nothing."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None."
            )
        sequences = self._read(X, reset=reset)
        per_step: bool = self.return_sequences if reset else self._per_step
        if reset:
            tokens = self.vocabulary_size is not None
            self._input_dtype = np.dtype(np.float64) if tokens else sequences.values.dtype
            self._dtype = np.dtype(self.dtype or self._input_dtype)
            self._per_step, self._array_targets = per_step, not is_list_of_sequences(y)
        if per_step:
            y = stack_steps(y, sequences, "y")
            if sample_weight is not None:
                sample_weight = stack_weights(sample_weight, sequences)
        else:
            check_consistent_length(sequences, y)
        if reset:
            self._learn_targets(y, kinds)
        targets = self._check_y(y)
        weights = self._weigh(targets, check_weights(sample_weight, len(targets)))
        samples = Samples(cast_sequences(sequences, self._dtype), targets, weights, per_step)
        if not weights.any():
            raise ValueError("sample_weight: expected a weight above zero, all weights are zero")
        return samples.without_weightless()

    def _hold_out(
        self, samples: Samples, X_val: Any, y_val: Any, rng: np.random.RandomState, fresh: bool
    ) -> tuple[Samples, Samples | None]:
        """Samples to train on, and those to validate on: the given ones, or a random fraction."""
        if (X_val is None) != (y_val is None):
            raise ValueError("expected X_val and y_val together, got only one of them")
        if X_val is not None:
            try:
                return samples, self._check_samples(X_val, y_val, None, reset=False)
            except ValueError as error:
                raise ValueError(f"Validation data (X_val, y_val): {error}") from error
        if not self.early_stopping:
            return samples, None
        if fresh:  # going on with warm_start must not train on what was held out before
            self._split_seed = rng.randint(np.iinfo(np.int32).max)
        from sklearn.model_selection import train_test_split

        kept, held_out = train_test_split(
            np.arange(len(samples)),
            test_size=self.validation_fraction,
            random_state=self._split_seed,
            stratify=samples.targets if samples.stratifiable else None,
        )
        return samples.take(np.sort(kept)), samples.take(np.sort(held_out))

    def _begin(
        self, samples: Samples, rng: np.random.RandomState, fresh: bool
    ) -> tuple[State, Samples]:
        """The state to train from, a copy of an earlier one unless ``fresh``; scaled samples."""
        # Solvers are loaded by the first fit: prediction needs none, and imports stay quick.
        from sklstm._training.train import State, canonical, start

        samples = self._scale(canonical(samples, self), reset=fresh)
        loss = self._make_loss()
        if fresh:
            network = self._make_network()
            return start(network, loss, self, self._dtype, rng), samples
        if self._network.layout.shapes != self._make_network().layout.shapes:
            raise ValueError(
                f"{type(self).__name__} goes on training the network that it was fitted with; its "
                "shape, such as hidden_layer_sizes, cannot change. Clone it or set "
                "warm_start=False to begin anew."
            )
        state = State(
            network=self._make_network(),
            loss=loss,
            parameters=self._parameters.copy(),
            moments=[moment.copy() for moment in self._moments],
            step=self.t_,
            rng=rng,
            loss_curve=list(self.loss_curve_),
            validation_scores=list(self.validation_scores_),
        )
        return state, samples

    def _make_network(self) -> SequenceNetwork:
        n_inputs = 1 if self._table else self.n_features_in_
        return SequenceNetwork(
            n_inputs if self._vocabulary_size is None else self.embedding_size,
            layer_sizes(self.hidden_layer_sizes),
            self.n_outputs_,
            bidirectional=self.bidirectional,
            pooling=None if self._per_step else self.pooling,
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
            vocabulary_size=self._vocabulary_size,
        )

    def _train(
        self,
        state: State,
        samples: Samples,
        held_out: Samples | None,
        n_epochs: int | str | None,
        tell: EpochCallbacks | None,
    ) -> None:
        from sklstm._training.train import train

        with workers(self.n_jobs) as run:
            outcome = train(state, self, samples, held_out, n_epochs, run, tell)
        self.__dict__.update(self._fitted(state))
        if n_epochs is not None:
            self._warn(outcome)

    def _fitted(self, state: State) -> dict[str, Any]:
        """The attributes of an estimator fitted so far, apart from what training moves on."""
        return {
            "_network": state.network,
            "_loss": state.loss,
            "_parameters": state.parameters.astype(self._dtype),
            "_moments": [moment.copy() for moment in state.moments],
            "_rng": deepcopy(state.rng),
            "t_": state.step,
            "n_iter_": len(state.loss_curve),
            "n_layers_": len(state.network.layers),
            "out_activation_": state.loss.out_activation,
            "loss_": state.loss_curve[-1] if state.loss_curve else np.nan,
            "best_loss_": min(state.loss_curve, default=np.nan),
            "loss_curve_": list(state.loss_curve),
            "validation_scores_": list(state.validation_scores),
            "best_validation_score_": state.best_score,
        }

    def _warn(self, outcome: Outcome) -> None:
        """Say why training ended, unless it converged."""
        if outcome.status == "interrupted":
            warnings.warn(
                f"Training was interrupted after {outcome.n_epochs} epochs; what was learnt so far "
                "is kept.",
                stacklevel=5,
            )
        elif outcome.status in ("max_iter", "abnormal"):
            warnings.warn(
                f"Training stopped before it converged: {outcome.message}. Raise max_iter, or tol "
                "if this loss is good enough.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _read(self, X: Any, *, reset: bool = False, first_sample: int = 0) -> Sequences:
        """Sequences out of X; with ``reset``, learn the form that later X is read by."""
        sequences = check_sequences(X, first_sample=first_sample, estimator=self)
        if reset:
            self._table = sequences.form == "2d"
            self._vocabulary_size = self.vocabulary_size
        elif self._table:
            sequences = as_table(sequences, self.n_features_in_, type(self).__name__)
        elif sequences.form == "2d" and self.n_features_in_ != 1:
            raise ValueError(
                f"{type(self).__name__} was fitted on sequences with {self.n_features_in_} "
                "features; expected a 3-D array or a list of arrays, got a 2-D array, which is "
                f"read as univariate series (shape=({len(sequences)}, {sequences.lengths[0]}))"
            )
        shape = (len(sequences), -1) if self._table else sequences.values.shape
        seen = sequences.values.reshape(shape)
        if sequences.frame is not None and self._table == (sequences.form == "2d"):
            seen = sequences.frame  # whose columns are time steps of a table, or channels
        validate_data(self, seen, reset=reset, skip_check_array=True)
        if self._vocabulary_size is None:
            return sequences
        return as_tokens(sequences, self._vocabulary_size, first_sample)

    def _parts(self, X: Any) -> Iterator[Sequences]:
        """X validated; a list part by part, so that it is never copied as a whole."""
        check_is_fitted(self)
        if not is_list_of_sequences(X):
            yield self._read(X)
            return
        for first, stop in part_bounds(X):
            yield self._read(X[first:stop], first_sample=first)

    def _raw(self, X: Any) -> Array:
        """What the read-out gives for each sample, or each stacked step, (rows, n_outputs)."""
        return np.concatenate([raw for raw, _ in self._raw_parts(X)])

    def _raw_parts(self, X: Any) -> Iterator[tuple[Array, Sequences]]:
        with workers(self.n_jobs) as run:
            for part in self._parts(X):
                yield raw_predictions(self._network, self._parameters, part, run), part

    def _decoded(self, X: Any, decode: Callable[[Array], NDArray[Any]]) -> Any:
        """What ``decode`` makes of the read-out, in the form that the targets had."""
        parts = [(decode(raw), part) for raw, part in self._raw_parts(X)]
        if not self._per_step:
            return np.concatenate([rows for rows, _ in parts])
        return joined([like_targets(rows, part, self._array_targets) for rows, part in parts])

    def _stacked(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """True and predicted targets and weights, a row for each step, for scores."""
        sequences = self._read(X)
        rows = self._decode(self._raw(X))
        weights = None if sample_weight is None else stack_weights(sample_weight, sequences)
        return stack_steps(y, sequences, "y"), rows, weights

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
