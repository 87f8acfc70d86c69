"""The fitted model: all that a prediction, or a later fit, needs of a fit.

An estimator holds it in one attribute that is replaced as a whole, so that a prediction in another
thread sees either the old model or the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.number_targets import NumberTargets, rescale_output
from sklstm._estimators.reading import DataForm, part_bounds, too_large
from sklstm._network import costs
from sklstm._network.kernels.limits import InputTooLargeError
from sklstm._network.network import SequenceNetwork
from sklstm._network.parameters import Views
from sklstm._persistence import require
from sklstm._threads import ParallelMap, serial_map, with_workers
from sklstm._training.prediction import raw_predictions, size_of
from sklstm._training.state import TrainingState
from sklstm.sequences import Sequences
from sklstm.sequences._reading import is_list_of_sequences
from sklstm.sequences._scaling import Scaling
from sklstm.sequences._step_values import like_targets

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class FittedModel:
    """The form of the data, the network, and where training stands."""

    form: DataForm
    network: SequenceNetwork
    state: TrainingState

    @property
    def views(self) -> Views:
        """The network's parameters by name."""
        return self.network.layout.views(self.state.parameters)

    @property
    def folded(self) -> Views:
        """Read-only copies of the parameters of the network for inputs that are not scaled."""
        flat = self.state.parameters.copy()
        rescale_inputs(self.form.scaling, None, self.network, self.network.layout.views(flat))
        flat.flags.writeable = False
        return self.network.layout.views(flat)

    def snapshot(self) -> FittedModel:
        """A copy that further training does not change."""
        return FittedModel(self.form, self.network, self.state.copy())

    def continued(
        self, form: DataForm, network: SequenceNetwork, rng: np.random.RandomState
    ) -> FittedModel:
        """A copy to continue training, on inputs and targets in the units of ``form``."""
        state = self.state.copy().astype(form.dtype)
        state.rng, state.best_score, state.best_epoch = rng, None, None
        views = network.layout.views(state.parameters)
        rescale_inputs(self.form.scaling, form.scaling, network, views)
        earlier, later = self.form.targets, form.targets
        if isinstance(earlier, NumberTargets) and isinstance(later, NumberTargets):
            rescale_output(earlier, later, *(views[f"dense.{k}"] for k in ("weight", "bias")))
        return FittedModel(form, network, state)

    def attributes(self) -> dict[str, Any]:
        """The public attributes of an estimator with this model."""
        state, targets, scaling = self.state, self.form.targets, self.form.scaling
        return {
            "input_mean_": None if scaling is None else scaling.mean.copy(),
            "input_scale_": None if scaling is None else scaling.scale.copy(),
            **self.form.inputs.attributes,
            **targets.attributes,
            "n_outputs_": targets.n_outputs,
            "n_layers_": len(self.network.layers),
            "out_activation_": targets.loss.out_activation,
            "t_": state.step,
            "n_iter_": len(state.epochs),
            "loss_": state.loss_curve[-1] if state.epochs else np.nan,
            "best_loss_": min(state.loss_curve, default=np.nan),
            "loss_curve_": state.loss_curve,
            "validation_scores_": state.validation_scores,
            "best_validation_score_": state.best_score,
            "best_iteration_": state.best_epoch,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values to save; `from_dict` restores the model."""
        return {
            "form": self.form.as_dict(),
            "network": self.network.settings(),
            "state": self.state.as_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FittedModel:
        """The model that `as_dict` described."""
        require(values, ("form", "network", "state"), "model")
        return cls(
            form=DataForm.from_dict(values["form"]),
            network=SequenceNetwork(**values["network"]),
            state=TrainingState.from_dict(values["state"]),
        )

    @property
    def gradient_dtype(self) -> np.dtype[np.floating]:
        """The dtype of gradients of the predictions at the inputs."""
        if self.form.scaling is not None and self.form.scaling.is_wide:
            return np.dtype(np.float64)
        return np.promote_types(self.state.parameters.dtype, self.form.targets.gradient_dtype)

    # --- prediction; ``estimator`` names errors and says how many threads to use ---

    def parts(self, X: Any, estimator: Any) -> Iterator[Sequences]:
        """X validated; a list part by part, so that it is never copied as a whole."""
        read = self.form.read
        X = self.form.inputs.open(X)
        if not is_list_of_sequences(X):
            yield read(X, estimator)
            return
        for first, stop in part_bounds(X):
            yield read(X[first:stop], estimator, first)

    def predict(self, X: Any, estimator: Any, decode: Callable[[Array], NDArray[Any]]) -> Any:
        """What ``decode`` makes of raw predictions, in the form that the targets had."""
        usual = None if self.form.per_step else self.form.read_usual(X)
        if usual is not None:
            return decode(self._raw_of_usual(usual, estimator))

        def predict_parts(parallel_map: ParallelMap) -> list[tuple[NDArray[Any], Sequences]]:
            decoded, first_sample = [], 0
            for part in self.parts(X, estimator):
                raw = self._raw(part, estimator, parallel_map, first_sample)
                decoded.append((decode(raw), part))
                first_sample += len(part)
            return decoded

        parts = with_workers(estimator.n_jobs, predict_parts)
        if not self.form.per_step:
            return np.concatenate([rows for rows, _ in parts])
        return like_targets(parts, self.form.y_form)

    def _raw_of_usual(self, usual: Sequences, estimator: Any) -> Array:
        """The raw predictions, without threads and without a limit of BLAS if these save no time.

        To ask for the number of workers or to limit BLAS takes as long as a small prediction.
        """
        size, n_jobs = size_of(usual), estimator.n_jobs
        itemsize = self.state.parameters.itemsize
        limit_blas = costs.blas_has_threads(self.network, size, itemsize)
        one_worker = n_jobs in (None, 1) and not costs.threads_pay(self.network, size, 1)
        if one_worker and not limit_blas:
            return self._raw(usual, estimator, serial_map)
        return with_workers(n_jobs, partial(self._raw, usual, estimator), limit_blas)

    def predict_rows(
        self, X: Any, estimator: Any, decode: Callable[[Array], NDArray[Any]]
    ) -> tuple[NDArray[Any], Sequences]:
        """What ``decode`` makes of raw predictions, a row for each step, and the sequences."""
        sequences = self.form.read(X, estimator)
        raw = with_workers(estimator.n_jobs, partial(self._raw, sequences, estimator))
        return decode(raw), sequences

    def _raw(
        self, part: Sequences, estimator: Any, parallel_map: ParallelMap, first_sample: int = 0
    ) -> Array:
        with self.naming_large_inputs(part, first_sample):
            raw = raw_predictions(self.network, self.state.parameters, part, parallel_map)
        return checked_finite(raw, "raw predictions", estimator)

    @contextmanager
    def naming_large_inputs(self, part: Sequences, first_sample: int) -> Iterator[None]:
        """Name the sample and the step of an input that is too large for the network.

        NumPy does not warn of numbers that are not finite: `checked_finite` raises an error.
        """
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                yield
        except InputTooLargeError:
            raise too_large(part, self.form.dtype, first_sample) from None


def rescale_inputs(
    earlier: Scaling | None, later: Scaling | None, network: SequenceNetwork, views: Views
) -> None:
    """Change the first layer in place, so that the network with later scaling is as before.

    An input that is constant in the later scaling keeps its weights.
    """
    if network.embeds or (earlier is None and later is None):
        return
    mean, scale = _units(earlier)
    new_mean, new_scale = _units(later)
    with np.errstate(invalid="ignore"):  # infinite scales of constant channels
        ratio = np.where(np.isinf(new_scale), 1.0, new_scale / scale)
    for direction in network.layers[0].directions:
        weight, bias = (views[f"{direction}.{part}"] for part in ("weight_ih", "bias"))
        exact = weight.astype(np.float64)
        with np.errstate(over="ignore"):
            bias += ((new_mean - mean) / scale) @ exact
            weight[...] = exact * ratio[:, None]


def _units(scaling: Scaling | None) -> tuple[Any, Any]:
    """Mean and scale of the inputs."""
    return (0.0, 1.0) if scaling is None else (scaling.mean, scaling.scale)


def checked_finite(array: Array, name: str, estimator: Any) -> Array:
    """The array, if all its numbers are finite."""
    if not np.isfinite(array).all():
        raise diverged(name, array.dtype, estimator)
    return array


def diverged(name: str, dtype: np.dtype[Any], estimator: Any) -> ValueError:
    """The error for results that are not finite."""
    return ValueError(
        f"The {name} of this {type(estimator).__name__} are not finite in {dtype}, although no "
        "input is too large: its parameters have diverged. Fit it again with a smaller "
        "learning_rate_init."
    )


def joined(forms: list[Any]) -> Any:
    """The list or array of all parts."""
    if len(forms) == 1:
        return forms[0]
    return [steps for form in forms for steps in form]
