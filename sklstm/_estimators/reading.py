"""From X, y and weights, in any accepted form, to samples for training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_consistent_length

from sklstm._estimators.targets import Targets, from_dict
from sklstm._network.kernels.limits import all_accepted, largest_input
from sklstm._persistence import require
from sklstm._training.samples import Samples
from sklstm.sequences import Sequences, check_sequences
from sklstm.sequences._containers import NUMBERS, open_container, read_values
from sklstm.sequences._input_form import InputForm, as_tokens
from sklstm.sequences._moments import column_extremes
from sklstm.sequences._reading import is_list_of_sequences
from sklstm.sequences._scaling import Scaling
from sklstm.sequences._step_values import (
    TargetForm,
    form_of_targets,
    known_rows,
    known_values,
    stack_steps,
    stack_weights,
)
from sklstm.sequences._weights import check_weights

#: Maximum number of sequences and of values in a part of a list that is read for prediction.
PART_SEQUENCES = 4096
PART_NUMBERS = 2**22


@dataclass(frozen=True, eq=False)
class DataForm:
    """What the first fit saw of X and y.

    ``per_step`` tells whether there is a target for each time step, and ``y_form`` whether these
    were given as one array, a list or an object array. ``scaling`` holds mean and scale of the
    input channels; it is None before they are learned, and if inputs are not scaled.
    """

    inputs: InputForm
    targets: Targets
    per_step: bool
    y_form: TargetForm
    dtype: np.dtype[np.floating]
    scaling: Scaling | None = None

    def with_targets(self, targets: Targets) -> DataForm:
        """The form with another state of its targets."""
        return replace(self, targets=targets)

    def weigh(self, samples: Samples) -> Samples:
        """The samples with the weights of their classes, without those of weight zero."""
        weights = self.targets.weigh(samples.targets, samples.weights)
        if not weights.any():
            raise ValueError("class_weight: expected a sample of weight above zero, all have zero")
        return replace(samples, weights=weights).without_weightless()

    def learn_scaling(self, samples: Samples, update: bool) -> DataForm:
        """The form with mean and scale of these inputs, or with ``update`` of all so far."""
        scaling = Scaling.of(samples.sequences.values, samples.step_weights)
        if update and self.scaling is not None:
            scaling = self.scaling.merged(scaling)
        return replace(self, scaling=scaling)

    def scale(self, samples: Samples) -> Samples:
        """The samples with targets in the units of the loss, and inputs to be scaled."""
        sequences = replace(samples.sequences, scaling=self.scaling)
        if self.scaling is not None:
            extremes = np.stack(column_extremes(sequences.values))
            if not accepted(extremes, self.dtype, self.scaling).all():
                raise too_large(sequences, self.dtype, numbers=samples.numbers)
        return replace(samples, sequences=sequences, targets=self.targets.scale(samples.targets))

    def read(self, X: Any, estimator: Any, first_sample: int = 0) -> Sequences:
        """X to predict for: checked, stacked, and to be scaled."""
        sequences = self.inputs.read(X, estimator, first_sample)
        return sequences if self.scaling is None else replace(sequences, scaling=self.scaling)

    def read_usual(self, X: Any) -> Sequences | None:
        """What `read` returns, if X is an array that needs no conversion, else None."""
        return self.inputs.read_usual(X, self.scaling)

    def as_dict(self) -> dict[str, Any]:
        """Plain values to save; `from_dict` restores the form."""
        return {
            "inputs": self.inputs.as_dict(),
            "targets": self.targets.as_dict(),
            "per_step": self.per_step,
            "y_form": self.y_form,
            "dtype": self.dtype.name,
            "scaling": None if self.scaling is None else self.scaling.as_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DataForm:
        """The form that `as_dict` described."""
        values = _with_y_form(values)
        require(values, (field.name for field in fields(cls)), "form of the data")
        return cls(
            inputs=InputForm(**values["inputs"]),
            targets=from_dict(values["targets"]),
            per_step=values["per_step"],
            y_form=values["y_form"],
            dtype=np.dtype(values["dtype"]),
            scaling=None if values["scaling"] is None else Scaling(**values["scaling"]),
        )


def _with_y_form(values: dict[str, Any]) -> dict[str, Any]:
    """The saved values of a form; earlier versions only saved whether y was an array."""
    if "as_array" not in values:
        return values
    return {**values, "y_form": "array" if values["as_array"] else "list"}


class _Given(NamedTuple):
    """Sequences with the targets and weights of their rows, not yet encoded.

    ``known`` are the rows with a target that counts, where only some do.
    """

    sequences: Sequences
    y: Any
    weights: NDArray[np.float64]
    known: NDArray[np.intp] | None = None

    @property
    def known_y(self) -> Any:
        """The targets that count."""
        return self.y if self.known is None else known_values(self.y, self.known)

    def name(self, row: int) -> str:
        """What errors call a target, by its number among those that count."""
        if self.known is None:
            return f"y[{row}]"
        sample, step = self.sequences.where(int(self.known[row]))
        return f"y[{sample}], step {step}"


def read_first(
    estimator: Any, X: Any, y: Any, sample_weight: Any, classes: Any
) -> tuple[Samples, DataForm]:
    """Samples of a first fit, and the form that later calls are read by.

    ``estimator`` is read, never changed; ``classes`` is handed to its ``_new_targets``.
    """
    _check_given(y, estimator)
    y_form = form_of_targets(y) if estimator.return_sequences else "array"
    y = open_targets(y, estimator)
    X = open_container(X, tokens=estimator.vocabulary_size is not None)
    sequences = check_sequences(X, estimator=estimator)
    inputs = InputForm.of(sequences, estimator, estimator.vocabulary_size)
    input_dtype = sequences.values.dtype
    if inputs.vocabulary_size is not None:
        sequences = as_tokens(sequences, inputs.vocabulary_size)
        input_dtype = np.dtype(np.float64)
    given = _stacked(sequences, y, sample_weight, estimator.return_sequences)
    form = DataForm(
        inputs=inputs,
        targets=estimator._new_targets(given.known_y, classes),
        per_step=estimator.return_sequences,
        y_form=y_form,
        dtype=np.dtype(estimator.dtype or input_dtype),
    )
    return _samples(given, form, estimator), form


def read_more(
    estimator: Any, X: Any, y: Any, sample_weight: Any, form: DataForm
) -> tuple[Samples, DataForm]:
    """Samples of a later fit, or for validation, read by the form of the first fit."""
    _check_given(y, estimator)
    form = _with_settings(form, estimator)
    y = open_targets(y, estimator)
    sequences = form.inputs.read(X, estimator)
    given = _stacked(sequences, y, sample_weight, form.per_step)
    return _samples(given, form, estimator), form


def scales_inputs(estimator: Any) -> bool:
    """Whether inputs are scaled; tokens are not."""
    return bool(estimator.scale_inputs) and estimator.vocabulary_size is None


def _with_settings(form: DataForm, estimator: Any) -> DataForm:
    """The form, with the parameters that the estimator has now; an error if they do not fit it."""
    fixed = {"return_sequences": form.per_step, "vocabulary_size": form.inputs.vocabulary_size}
    for name, value in fixed.items():
        if getattr(estimator, name) != value:
            raise ValueError(
                f"{name} cannot change from {value} to {getattr(estimator, name)} while training "
                "continues; clone the estimator or set warm_start=False to begin anew"
            )
    dtype = form.dtype if estimator.dtype is None else np.dtype(estimator.dtype)
    return replace(form, targets=form.targets.with_settings(estimator), dtype=dtype)


def part_bounds(X: Any) -> Iterator[tuple[int, int]]:
    """Bounds of the parts in which a list of sequences is read."""
    first, n_numbers = 0, 0
    for k, x in enumerate(X):
        n_numbers += prod(getattr(x, "shape", ()))
        if k + 1 - first == PART_SEQUENCES or n_numbers >= PART_NUMBERS:
            yield first, k + 1
            first, n_numbers = k + 1, 0
    if first < len(X):
        yield first, len(X)


def open_targets(y: Any, estimator: Any, warn: bool = True) -> Any:
    """Targets of sequences as an array or a sparse matrix; those of time steps as they are."""
    if estimator.return_sequences or issparse(y):
        return y
    y = open_container(y, "y")
    if not is_list_of_sequences(y):
        return without_column_axis(_plain(read_values(y, "y")), warn)
    parts = [read_values(part, f"y[{k}]") for k, part in enumerate(y)]
    if len({part.shape for part in parts}) > 1:
        raise ValueError(
            "y: expected one target for each sequence, got a list of arrays; set "
            "return_sequences=True to fit one target for each time step"
        )
    return without_column_axis(np.array(parts), warn)


def _plain(y: NDArray[Any]) -> NDArray[Any]:
    """The targets; objects that are numbers in a dtype for numbers."""
    if y.dtype.kind != "O":
        return y
    plain = np.array(y.tolist())
    return plain if plain.dtype.kind in NUMBERS else y


def without_column_axis(y: NDArray[Any], warn: bool = True) -> NDArray[Any]:
    """Targets (n,) of a column vector, with a warning; other targets unchanged.

    As in scikit-learn, ``fit`` warns of a column, and ``score`` does not.
    """
    if y.shape[1:] != (1,):
        return y
    if warn:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of "
            "y to (n_samples,), for example using ravel().",
            DataConversionWarning,
            stacklevel=2,
        )
    return y[:, 0]


def _check_given(y: Any, estimator: Any) -> None:
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y "
            "is None."
        )


def _stacked(sequences: Sequences, y: Any, sample_weight: Any, per_step: bool) -> _Given:
    """Targets and weights with a row for each sample, or for each time step of all samples."""
    if not per_step:
        check_length(sequences, y)
        return _Given(sequences, y, check_weights(sample_weight, len(sequences)))
    y = without_column_axis(stack_steps(y, sequences, "y"))
    weights = np.ones(len(y))
    if sample_weight is not None:
        weights = stack_weights(sample_weight, sequences)
    known = known_rows(y, weights)
    if len(known) == 0:
        raise ValueError("y: expected a known target at a step of weight above zero, got none")
    return _Given(sequences, y, weights, known)


def check_length(sequences: Any, y: Any) -> None:
    """Raise an error unless there is one target for each of the sequences or predictions."""
    if type(y) is np.ndarray and y.shape[:1] == (len(sequences),):
        return
    try:
        check_consistent_length(sequences, y)
    except (TypeError, ValueError) as error:
        table = getattr(sequences, "form", None) == "2d"
        hint = "; each row of a 2-D array X is a sequence, put a single one into a list, [X]"
        raise ValueError(
            f"y: expected one target for each sequence: {error}{hint if table else ''}"
        ) from error


def _samples(given: _Given, form: DataForm, estimator: Any) -> Samples:
    """Encoded and weighted samples, without those of weight zero.

    Inputs that will be scaled keep their dtype until a batch is packed.
    """
    rows = form.targets.encode(given.known_y, given.name)
    weights = given.weights
    if given.known is not None:
        rows, weights = (
            _at(given.known, array, len(weights)) for array in (rows, weights[given.known])
        )
    _check_total(weights)
    sequences = given.sequences
    if not scales_inputs(estimator):
        sequences = _cast(sequences, form.dtype)
    return Samples(sequences, rows, weights, form.per_step).without_weightless()


def _check_total(weights: NDArray[np.float64]) -> None:
    if not weights.any():
        raise ValueError("sample_weight: expected a weight above zero, all weights are zero")
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not np.finfo(np.float64).tiny <= total < np.inf:
        raise ValueError(
            f"sample_weight: expected a total that is a finite normal number, got {total}"
        )


def _at(rows: NDArray[np.intp], values: NDArray[Any], n: int) -> NDArray[Any]:
    """An array of ``n`` rows, zero but for these."""
    array = np.zeros((n, *values.shape[1:]), values.dtype)
    array[rows] = values
    return array


def _cast(sequences: Sequences, dtype: np.dtype[np.floating]) -> Sequences:
    """The sequences in the dtype of the model; an error where a value is too large."""
    with np.errstate(over="ignore"):
        cast = sequences.astype(dtype)
    if cast.values.dtype.kind == "f" and not all_accepted(cast.values):
        raise too_large(sequences, dtype)
    return cast


def too_large(
    sequences: Sequences,
    dtype: np.dtype[np.floating],
    first_sample: int = 0,
    numbers: NDArray[np.intp] | None = None,
) -> Exception:
    """The error for the first value that is too large for a network of this dtype.

    ``numbers`` are the indices of the sequences in X, if these are not consecutive.
    """
    row, feature = np.argwhere(~accepted(sequences.values, dtype, sequences.scaling))[0]
    sample, step = sequences.where(row)
    value = sequences.values[row, feature]
    number = first_sample + sample if numbers is None else numbers[sample]
    return ValueError(
        f"X[{number}], step {step}: {describe_too_large(value, dtype, sequences.scaling)}"
    )


def accepted(
    values: NDArray[Any], dtype: np.dtype[np.floating], scaling: Scaling | None
) -> NDArray[np.bool_]:
    """Which values (S, D) a network of this dtype accepts after scaling."""
    with np.errstate(over="ignore"):
        inputs = values.astype(dtype) if scaling is None else scaling.apply(values, dtype)
    return np.asarray(np.abs(inputs) <= largest_input(dtype))


def describe_too_large(value: float, dtype: np.dtype[np.floating], scaling: Scaling | None) -> str:
    """What is wrong with a value, and what to do."""
    limit = f"{value:.3g} is too large for dtype={dtype.name}, expected at most"
    if scaling is not None:
        return (
            f"{limit} {largest_input(dtype):.2g} standard deviations from the mean of the channel "
            "in the training data"
        )
    return (
        f"{limit} {largest_input(dtype):.2g} in absolute value; scale the inputs, for example with "
        "scale_inputs=True or SequenceScaler"
    )
