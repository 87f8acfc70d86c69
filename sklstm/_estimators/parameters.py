"""The parameters of the estimators: their constraints and the values that they stand for."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklstm._compat import HasMethods, Interval, Options, StrOptions
from sklstm._network.pooling import POOLINGS

#: Constraints of the parameters that both estimators have, as scikit-learn declares them.
CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "bidirectional": ["boolean"],
    "return_sequences": ["boolean"],
    "pooling": [StrOptions(set(POOLINGS))],
    "vocabulary_size": [None, Interval(Integral, 1, None, closed="left")],
    "embedding_size": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "recurrent_dropout": [Interval(Real, 0, 1, closed="left")],
    "input_noise": [Interval(Real, 0, None, closed="left")],
    "scale_noise": [Interval(Real, 0, None, closed="left")],
    "forget_bias": [Interval(Real, None, None, closed="neither")],
    "solver": [StrOptions({"adam", "sgd", "lbfgs"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "adaptive", "cosine"})],
    "learning_rate_init": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "max_grad_norm": [None, Interval(Real, 0, None, closed="neither")],
    "shuffle": ["boolean"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "n_iter_no_change": [
        Interval(Integral, 1, None, closed="left"),
        Options(Real, {np.inf}),
    ],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "validation_splitter": [StrOptions({"random", "last"}), HasMethods(["split", "get_n_splits"])],
    "scoring": [str, callable, None],
    "scale_inputs": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "nesterovs_momentum": ["boolean"],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "warm_start": ["boolean"],
    "dtype": [
        None,
        StrOptions({"float32", "float64"}),
        Options(type, {np.float32, np.float64}),
    ],
    "n_jobs": [None, Integral],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def layer_sizes(sizes: Any) -> tuple[int, ...]:
    """One size for each layer."""
    layers: tuple[Any, ...] = (sizes,) if isinstance(sizes, Integral) else tuple(sizes)
    if not layers or not all(isinstance(size, Integral) and int(size) > 0 for size in layers):
        raise ValueError(
            f"hidden_layer_sizes: expected a positive integer or several, got {sizes!r}"
        )
    return tuple(int(size) for size in layers)


def has_minibatches(estimator: Any) -> bool:
    """True, or an error that says why the solver has no partial_fit."""
    if estimator.solver == "lbfgs":
        raise AttributeError('partial_fit needs minibatches, which solver="lbfgs" does not have')
    return True


def own_generator(random_state: Any) -> np.random.RandomState:
    """A generator of the estimator's own, which a later call can continue to draw from."""
    rng: np.random.RandomState = check_random_state(random_state)
    seed = rng.randint(np.iinfo(np.int32).max)
    if not isinstance(random_state, Integral):
        return np.random.RandomState(seed)
    rng.seed(seed)  # this generator belongs to the estimator; a new one takes longer
    return rng
