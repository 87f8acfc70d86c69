"""Samples to validate on, given or held out of the training samples, and their score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import replace
from math import ceil
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.model import FittedModel
from sklstm._estimators.reading import DataForm, open_targets, read_more
from sklstm._persistence import shallow_copy
from sklstm._training.samples import Samples

Indices = NDArray[np.intp]


class GivenData(NamedTuple):
    """The arguments of `fit`."""

    X: Any
    y: Any
    sample_weight: Any
    X_val: Any
    y_val: Any
    sample_weight_val: Any
    groups: Any

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The arguments besides X and y that were given, for callbacks."""
        names = self._fields[2:]
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return given or None


class Validation(NamedTuple):
    """Samples to validate on; and X, y and weights for scorers, in a form that `predict` reads."""

    samples: Samples
    X: Any
    y: Any
    sample_weight: Any
    is_given: bool

    def scaled(self, form: DataForm) -> Validation:
        """The same with samples in the units of the network, and with the weights of classes."""
        with naming_validation_data() if self.is_given else nullcontext():
            return self._replace(samples=form.scale(form.weigh(self.samples)))


@contextmanager
def naming_validation_data() -> Iterator[None]:
    """Say in errors that they concern the validation data."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"Validation data (X_val, y_val): {error}") from error


def given_validation(estimator: Any, data: GivenData, form: DataForm) -> Validation | None:
    """The validation data that `fit` is given, or None."""
    X, y, weights = data.X_val, data.y_val, data.sample_weight_val
    if X is None and y is None and weights is None:
        return None
    if X is None or y is None:
        names = ("X_val", "y_val", "sample_weight_val")
        found = [name for name in names if getattr(data, name) is not None]
        raise ValueError(f"expected X_val and y_val together, got only {' and '.join(found)}")
    with naming_validation_data():
        samples = read_more(estimator, X, y, weights, form)[0]
    return Validation(samples, X, y, weights, True)


def hold_out(
    estimator: Any, data: GivenData, samples: Samples, seed: int
) -> tuple[Samples, Validation]:
    """The samples to train on, and those to validate on, as ``validation_splitter`` divides them.

    ``seed`` makes the division the same in each call.
    """
    splitter, fraction = estimator.validation_splitter, estimator.validation_fraction
    if isinstance(splitter, str):
        if data.groups is not None:
            raise ValueError(
                f"groups: expected None with validation_splitter={splitter!r}, which does not use "
                "groups; pass a splitter such as GroupShuffleSplit()"
            )
        divide = _divide_in_order if splitter == "last" else _divide_at_random
        kept, held_out = divide(samples, fraction, seed)
    else:
        groups = None if data.groups is None else _groups(data, samples)
        kept, held_out = _divide_by_splitter(splitter, samples, groups, seed)
    return samples.take(kept), _for_scorers(estimator, data, samples.take(held_out))


def _divide_at_random(samples: Samples, fraction: float, seed: int) -> tuple[Indices, Indices]:
    from sklearn.model_selection import train_test_split

    kept, held_out = train_test_split(
        np.arange(len(samples)),
        test_size=fraction,
        random_state=seed,
        stratify=samples.targets if samples.stratifiable else None,
    )
    return np.sort(kept), np.sort(held_out)


def _divide_in_order(samples: Samples, fraction: float, seed: int) -> tuple[Indices, Indices]:
    n = len(samples)
    n_kept = n - ceil(n * fraction)
    if n_kept == 0:
        raise ValueError(
            f"validation_fraction={fraction} leaves no sample to train on: expected less for "
            f"n_samples={n}"
        )
    return np.arange(n_kept), np.arange(n_kept, n)


def _divide_by_splitter(
    splitter: Any, samples: Samples, groups: Any, seed: int
) -> tuple[Indices, Indices]:
    """The last split of a splitter; one without a random state of its own gets ``seed``."""
    if getattr(splitter, "random_state", 0) is None:
        splitter = copy(splitter)
        splitter.random_state = seed
    splits = list(splitter.split(list(samples.sequences), _labels(samples), groups))
    if not splits:
        raise ValueError(f"validation_splitter: expected at least one split, got none: {splitter}")
    kept, held_out = (np.arange(len(samples))[part] for part in splits[-1])
    if len(kept) == 0 or len(held_out) == 0 or np.intersect1d(kept, held_out).size > 0:
        raise ValueError(
            "validation_splitter: expected samples to train on and other samples to validate on, "
            f"got {len(kept)} and {len(held_out)}, of which "
            f"{np.intersect1d(kept, held_out).size} are the same: {splitter}"
        )
    return kept, held_out


def _labels(samples: Samples) -> NDArray[Any] | None:
    """The encoded targets, by which a splitter may stratify."""
    if samples.per_step:
        return None
    y = samples.targets
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _groups(data: GivenData, samples: Samples) -> NDArray[Any]:
    """The groups of the samples that are left, which are those with a weight."""
    groups = np.asarray(data.groups)
    n = data.y.shape[0] if hasattr(data.y, "shape") else len(data.y)
    if groups.shape[:1] != (n,):
        raise ValueError(f"groups: expected shape ({n},), one for each sample, got {groups.shape}")
    return groups if samples.numbers is None else groups[samples.numbers]


def _for_scorers(estimator: Any, data: GivenData, samples: Samples) -> Validation:
    """Held-out samples, with the targets and weights as they were given."""
    y, weights = (
        None if part is None else _take(part, samples.numbers)
        for part in (open_targets(data.y, estimator, warn=False), data.sample_weight)
    )
    return Validation(samples, list(samples.sequences), y, weights, False)


def _take(values: Any, indices: Any) -> Any:
    """Some of the targets or weights of all samples, in the same form."""
    if hasattr(values, "iloc"):
        return values.iloc[indices]
    if isinstance(values, list | tuple):
        return [values[k] for k in indices]
    return values[indices]


# --- scores ---


def score_function(
    estimator: Any,
    model: FittedModel,
    validation: Validation,
    attributes: Callable[[FittedModel], dict[str, Any]],
) -> Callable[[NDArray[np.floating]], float] | None:
    """The score of parameters by the estimator's ``scoring``; None if that is the loss.

    ``attributes`` are what an estimator with a model has. Scorers predict with one thread, so that
    the result has the same bits for any number of them.
    """
    if isinstance(estimator.scoring, str) and estimator.scoring == "loss":
        return None
    inputs = replace(model.form.inputs, feature_names=None)  # the held-out samples have no names
    form = model.form if validation.is_given else replace(model.form, inputs=inputs)
    scorer = _scorer(estimator)
    weights = validation.sample_weight
    options = {} if weights is None else {"sample_weight": weights}

    def score(parameters: NDArray[np.floating]) -> float:
        state = replace(model.state, parameters=parameters.astype(form.dtype))
        fitted = shallow_copy(estimator)
        fitted.__dict__.update(attributes(FittedModel(form, model.network, state)), n_jobs=1)
        value = scorer(fitted, validation.X, validation.y, **options)
        if not (isinstance(value, Real) and np.isfinite(float(value))):
            raise ValueError(f"scoring: expected a finite number from the scorer, got {value!r}")
        return float(value)

    return score


def _scorer(estimator: Any) -> Any:
    """The scorer of the parameter ``scoring``; for each step, one of sklstm.metrics."""
    if isinstance(estimator.scoring, str) and estimator.return_sequences:
        from sklstm.metrics import get_scorer

        return get_scorer(estimator.scoring)
    from sklearn.metrics import check_scoring

    return check_scoring(estimator, scoring=estimator.scoring)
