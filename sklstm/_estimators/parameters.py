"""Checks of what users pass, beyond those of `sequences`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklstm._compat import Interval, Options, StrOptions
from sklstm._network.pooling import POOLINGS
from sklstm.sequences import Sequences

#: A list of sequences is validated in parts for prediction: at most so many sequences, and no more
#: once they hold so many numbers.
PART_SEQUENCES = 4096
PART_NUMBERS = 2**22

#: What both estimators allow for their parameters, in scikit-learn's terms.
CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "bidirectional": ["boolean"],
    "return_sequences": ["boolean"],
    "pooling": [StrOptions(set(POOLINGS))],
    "vocabulary_size": [None, Interval(Integral, 1, None, closed="left")],
    "embedding_size": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "recurrent_dropout": [Interval(Real, 0, 1, closed="left")],
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


def cast_sequences(sequences: Sequences, dtype: np.dtype[np.floating]) -> Sequences:
    """To the dtype of the model, which must have room for the values; tokens stay."""
    with np.errstate(over="ignore"):
        cast = sequences.astype(dtype)
    if cast.values is not sequences.values and not np.isfinite(cast.values).all():
        row = int(np.argmax(~np.isfinite(cast.values).all(axis=1)))
        sample, _ = sequences.where(row)
        raise ValueError(f"X[{sample}]: a value is too large for dtype={dtype.name}")
    return cast


def as_tokens(
    sequences: Sequences, vocabulary_size: int, first_sample: int = 0, name: str = "X"
) -> Sequences:
    """Sequences (S, 1) of integers below ``vocabulary_size``."""
    n_features = sequences.values.shape[1]
    if n_features != 1:
        raise ValueError(
            f"vocabulary_size={vocabulary_size} reads {name} as tokens: expected one integer for "
            f"each step, got sequences with {n_features} features"
        )
    values = sequences.values
    known = (values >= 0) & (values < vocabulary_size) & (values == np.floor(values))
    if not known.all():
        row = int(np.argmin(known[:, 0]))
        sample, step = sequences.where(row)
        raise ValueError(
            f"{name}[{first_sample + sample}]: expected tokens from 0 to {vocabulary_size - 1} "
            f"(vocabulary_size={vocabulary_size}), got {values[row, 0]:.12g} at step {step}"
        )
    return replace(sequences, values=values.astype(np.intp))


def has_minibatches(estimator: Any) -> bool:
    """Whether the solver can go on from batch to batch; if not, say why."""
    if estimator.solver == "lbfgs":
        raise AttributeError('partial_fit needs minibatches, which solver="lbfgs" does not have')
    return True


def part_bounds(X: Any) -> Iterator[tuple[int, int]]:
    """Where to cut a list of sequences so that a part has so many of them, or so many numbers."""
    first, n_numbers = 0, 0
    for k, x in enumerate(X):
        n_numbers += getattr(x, "size", 0)
        if k + 1 - first == PART_SEQUENCES or n_numbers >= PART_NUMBERS:
            yield first, k + 1
            first, n_numbers = k + 1, 0
    if first < len(X):
        yield first, len(X)


def own_generator(random_state: Any) -> np.random.RandomState:
    """A generator that nobody else draws from, so that a later call can go on with it."""
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return np.random.RandomState(seed)


def as_table(sequences: Sequences, n_steps: int, name: str) -> Sequences:
    """Equally long series, one a row, as a model called ``name`` fitted on a 2-D array expects."""
    if sequences.form == "2d":
        return sequences
    n_features = sequences.values.shape[1]
    wrong = sequences.lengths != n_steps
    if sequences.form == "list" and n_features == 1 and not wrong.any():
        return sequences
    got = f"{n_features} feature(s) a step"
    if wrong.any():
        sample = int(np.argmax(wrong))
        got = f"{sequences.lengths[sample]} steps in sample {sample}"
    raise ValueError(
        f"{name} was fitted on a 2-D array (n_samples, {n_steps}): expected such an array, or a "
        f"list of univariate series of {n_steps} steps, got a "
        f"{'list' if sequences.form == 'list' else '3-D array'} with {got}. Fit it on a 3-D array "
        "or a list to use sequences of any length."
    )
