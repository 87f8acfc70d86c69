"""The output layer of a stream, and errors about parameters and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sklstm._estimators.reading import accepted, describe_too_large
from sklstm._network import dense, pooling
from sklstm._network.kernels.limits import largest_input
from sklstm._network.kernels.pooled import Pooled
from sklstm._network.kernels.weights import OutputWeights
from sklstm._network.network import SequenceNetwork
from sklstm.sequences._scaling import Scaling

Array = NDArray[np.floating]


def check_parameters(
    network: SequenceNetwork,
    parameters: Mapping[str, Array],
    dtype: np.dtype[np.floating],
    name: str,
) -> None:
    """Raise an error unless all accepted inputs give finite predictions, at every step."""
    bounds = [1.0] * len(network.layers)
    if not network.embeds:
        bounds[0] = largest_input(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = [
            np.abs(parameters[f"{layer.name}.weight_ih"]).sum(axis=0) * bound
            + np.abs(parameters[f"{layer.name}.weight_hh"]).sum(axis=0)
            + np.abs(parameters[f"{layer.name}.bias"])
            for layer, bound in zip(network.layers, bounds, strict=True)
        ]
        weight, bias = (parameters[f"{dense.NAME}.{part}"] for part in ("weight", "bias"))
        sums.append(np.abs(weight).sum(axis=0) + np.abs(bias))
        # Kernels may multiply the weights by a small constant.
        finite = all(np.isfinite(part * 4).all() for part in sums)
    if not finite:
        raise ValueError(
            f"estimator: the parameters of this {name} have diverged; fit it again with a smaller "
            "learning_rate_init"
        )


def output_layer(
    parameters: Mapping[str, Array], targets: Any, dtype: np.dtype[np.floating]
) -> tuple[OutputWeights, bool]:
    """The output layer, and whether it gives predictions in the units of the targets."""
    weight, bias = (parameters[f"{dense.NAME}.{part}"] for part in ("weight", "bias"))
    if not getattr(targets, "is_affine", False) or targets.dtype != dtype.name:
        return OutputWeights(weight, bias), False
    deviation, mean = targets.units
    with np.errstate(over="ignore"):
        in_units = weight * deviation, bias * deviation + mean
        largest = np.abs(in_units[0]).sum(axis=0) + np.abs(in_units[1])
        finite = np.isfinite(largest.astype(dtype)).all()
    if not finite:
        return OutputWeights(weight, bias), False
    return OutputWeights(*(array.astype(dtype) for array in in_units)), True


def pool(kind: str | None, pooled: Pooled, states: Array, n_steps: NDArray[np.intp]) -> Array:
    """Add the states of a step of all streams to those before it, and return what is pooled."""
    if pooled.total is not None:
        np.add(pooled.total, states, out=pooled.total)
    if pooled.maximum is not None:
        np.maximum(pooled.maximum, states, out=pooled.maximum)
    assert kind is not None
    return pooling.finish(kind, pooled, None, n_steps)


def refuse(
    given: NDArray[Any],
    dtype: np.dtype[np.floating],
    scaling: Scaling | None,
    n_steps: NDArray[np.intp],
    ready: NDArray[np.bool_] | None = None,
) -> NoReturn:
    """Raise an error that names the stream and the step of a value that is not accepted."""
    values = given.astype(np.float64)
    wrong = ~accepted(values, dtype, scaling)
    if ready is not None:
        wrong &= ready[:, None]
    k, feature = np.argwhere(wrong)[0]
    value, where = values[k, feature], f"X_t[{k}], step {n_steps[k]}"
    if not np.isfinite(value):
        raise ValueError(f"{where}: expected finite numbers, got {value}")
    raise ValueError(f"{where}: {describe_too_large(value, dtype, scaling)}")
