"""Shared by tests of the network: ragged data, gradients by differences, a plain LSTM.

Shapes: ``T`` steps of one sequence, ``D`` inputs, ``H`` hidden units.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from sklstm._network.kernels.weights import Weights
from sklstm._network.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Gaussian,
    Huber,
    Loss,
    MultilabelCrossEntropy,
    Poisson,
    Quantile,
    Quantiles,
    SquaredError,
)
from sklstm._network.lstm import LSTMLayer
from sklstm._network.parameters import Views
from sklstm.sequences import Sequences, check_sequences

Array = NDArray[Any]
Function = Callable[[Array], float]

#: Lengths that are not sorted, with equal ones and some of one step.
RAGGED = (3, 1, 6, 2, 6, 1)
#: Tolerance for results that differ by rounding, relative to the largest entry.
ROUNDING = {np.float64: 1e-12, np.float32: 1e-5}


def draw_sequences(rng, lengths=RAGGED, n_features=2, dtype=np.float64) -> Sequences:
    return check_sequences([rng.standard_normal((k, n_features)).astype(dtype) for k in lengths])


def assert_close(actual: Any, expected: Any, tolerance: float, size_of_terms: float = 0) -> None:
    """Check that no entry differs by more than ``tolerance`` times the largest one.

    If entries are sums of terms with different signs, ``size_of_terms`` counts where it is larger.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    size = np.abs(expected).max(initial=size_of_terms)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * size)


def derivative(function: Function, x: Array, direction: Array) -> float:
    """Return the derivative of ``function`` at ``x`` along ``direction``, by central differences.

    Halved steps and Richardson's extrapolation give an error of fourth order. Two such estimates
    may differ near a kink, for example if the maximum moves to another time step. Then the step is
    reduced, as long as the rounding error of the function is smaller than the difference.
    """
    length = float(np.linalg.norm(direction))
    unit = direction / length
    rounding = 4 * np.finfo(np.float64).eps * abs(function(x))
    best, least_error = np.nan, np.inf
    for h in (1e-3, 1e-4, 1e-5, 1e-6):
        a, b, c = (
            (function(x + step * unit) - function(x - step * unit)) / (2 * step)
            for step in (h, h / 2, h / 4)
        )
        first, second = (4 * b - a) / 3, (4 * c - b) / 3
        error = max(abs(second - first), rounding / h)
        if error < least_error:
            best, least_error = second, error
        if error <= 1e-8 * abs(second):
            break
    return best * length


def assert_gradient(
    function: Function,
    x: Array,
    gradient: Array,
    rng: np.random.Generator,
    parts: Iterable[slice] = (slice(None),),
    tolerance: float = 1e-6,
) -> None:
    """Check the gradient against central differences along a random direction.

    The direction is scaled so that each of ``parts`` has the same effect, even if its gradient is
    small.
    """
    assert x.dtype == np.float64
    parts = list(parts)
    size = np.linalg.norm(gradient)
    assert size > 0, "a gradient of zero cannot be checked"
    direction = rng.standard_normal(x.shape)
    for part in parts:
        direction[part] /= max(np.linalg.norm(gradient[part]), 1e-3 * size)
    expected = derivative(function, x, direction)
    actual = float(np.vdot(gradient, direction))
    assert abs(actual - expected) <= tolerance * np.sqrt(len(parts)), (actual, expected)


def assert_every_entry(function: Function, x: Array, gradient: Array) -> None:
    """Check each entry of the gradient of a smooth function against central differences."""
    h = 1e-5
    steps = h * np.eye(x.size)
    differences = [(function(x + step) - function(x - step)) / (2 * h) for step in steps]
    assert_close(gradient, differences, 1e-6)


class LossCase(NamedTuple):
    """A loss, and a function that draws targets, (n,) or (n, K), far from the kinks of the loss.

    ``n_outputs`` is the number of raw predictions. With few units and parameters of size 0.5, they
    are within +-8.
    """

    loss: Loss
    n_outputs: int
    draw: Callable[[np.random.Generator, int], Array]


def _far(rng, n):
    return rng.choice([-1.0, 1.0], (n, 2)) * rng.uniform(20, 30, (n, 2))


def _far_or_near(rng, n):
    return np.where(rng.random((n, 2)) < 0.5, _far(rng, n), rng.uniform(-1, 1, (n, 2)))


LOSSES = {
    "binary": LossCase(BinaryCrossEntropy(), 1, lambda rng, n: rng.integers(0, 2, (n, 1))),
    "multilabel": LossCase(MultilabelCrossEntropy(), 3, lambda rng, n: rng.integers(0, 2, (n, 3))),
    "categorical": LossCase(CategoricalCrossEntropy(), 3, lambda rng, n: rng.integers(0, 3, n)),
    "smoothed binary": LossCase(
        BinaryCrossEntropy(0.3), 1, lambda rng, n: rng.integers(0, 2, (n, 1))
    ),
    "smoothed labels": LossCase(
        MultilabelCrossEntropy(0.3), 3, lambda rng, n: rng.integers(0, 2, (n, 3))
    ),
    "smoothed": LossCase(CategoricalCrossEntropy(0.3), 3, lambda rng, n: rng.integers(0, 3, n)),
    "squared": LossCase(SquaredError(), 2, lambda rng, n: rng.standard_normal((n, 2))),
    "absolute": LossCase(AbsoluteError(), 2, _far),
    "huber": LossCase(Huber(10.0), 2, _far_or_near),
    "quantile": LossCase(Quantile(0.3), 2, _far),
    "quantiles": LossCase(Quantiles([0.2, 0.5, 0.9]), 6, _far),
    "gaussian": LossCase(Gaussian(), 4, lambda rng, n: rng.standard_normal((n, 2))),
    "poisson": LossCase(Poisson(), 2, lambda rng, n: rng.poisson(2.0, (n, 2)).astype(float)),
}


class NaiveStep(NamedTuple):
    x: Array
    h_before: Array  # times the mask of recurrent dropout
    c_before: Array
    gates: tuple[Array, Array, Array, Array]  # i, f, o, g
    cell: Array


def naive_lstm(
    x: Array, weights: Weights, h: Array, c: Array, mask: Array
) -> tuple[Array, Array, list[NaiveStep]]:
    """Return hidden and cell states (T, H) of one sequence, by the equations of a textbook."""
    steps, hs = [], []
    for x_t in x:
        h_before, c_before = h * mask, c
        z_i, z_f, z_o, z_g = np.split(x_t @ weights.ih + h_before @ weights.hh + weights.bias, 4)
        gates = expit(z_i), expit(z_f), expit(z_o), np.tanh(z_g)
        i, f, o, g = gates
        c = f * c_before + i * g
        h = o * np.tanh(c)
        steps.append(NaiveStep(x_t, h_before, c_before, gates, c))
        hs.append(h)
    return np.array(hs), np.array([step.cell for step in steps]), steps


class NaiveGradients(NamedTuple):
    x: Array
    h: Array
    c: Array
    weights: Weights


def naive_lstm_backward(
    steps: Sequence[NaiveStep], weights: Weights, dhs: Array, dcs: Array, mask: Array
) -> NaiveGradients:
    """Return the gradients, given those at the states of each step (T, H)."""
    dh, dc = np.zeros_like(dhs[0]), np.zeros_like(dcs[0])
    dx = []
    total = Weights(*map(np.zeros_like, weights))
    for step, dh_t, dc_t in zip(steps[::-1], dhs[::-1], dcs[::-1], strict=True):
        i, f, o, g = step.gates
        tanh_c = np.tanh(step.cell)
        dh = dh + dh_t
        dc = dc + dc_t + dh * o * (1 - tanh_c**2)
        d_i, d_f, d_o = dc * g, dc * step.c_before, dh * tanh_c
        dz = np.concatenate(
            [d_i * i * (1 - i), d_f * f * (1 - f), d_o * o * (1 - o), dc * i * (1 - g**2)]
        )
        total.ih[...] += np.outer(step.x, dz)
        total.hh[...] += np.outer(step.h_before, dz)
        total.bias[...] += dz
        dx.append(weights.ih @ dz)
        dh, dc = (weights.hh @ dz) * mask, dc * f
    return NaiveGradients(np.array(dx[::-1]), dh, dc, total)


# The order of the gates is i, f, g, o in PyTorch and i, f, o, g here. PyTorch has the gates along
# the first axis of the weights, and a second bias, which is zero here.


def _swap_gates(array: Array, hidden: int) -> Array:
    """Swap the last two of four gates along the last axis."""
    i, f, third, fourth = (array[..., k * hidden : (k + 1) * hidden] for k in range(4))
    return np.concatenate([i, f, fourth, third], axis=-1)


def to_torch(torch: Any, layers: Sequence[LSTMLayer], views: Views) -> Any:
    """Return a torch.nn.LSTM with the weights of stacked layers of the same size."""
    first = layers[0]
    dtype = torch.from_numpy(views[f"{first.name}.bias"]).dtype
    reference = torch.nn.LSTM(
        first.n_inputs,
        first.hidden,
        num_layers=len(layers),
        bidirectional=first.bidirectional,
        dtype=dtype,
    )
    with torch.no_grad():
        for suffix, weights in zip(_suffixes(reference), weights_of(layers, views), strict=True):
            getattr(reference, f"bias_hh_{suffix}").zero_()
            for name, weight in zip(_TORCH_NAMES, weights, strict=True):
                theirs = torch.from_numpy(_swap_gates(weight, first.hidden).T.copy())
                getattr(reference, f"{name}_{suffix}").copy_(theirs)
    return reference


def torch_gradient(reference: Any) -> Array:
    """Return the gradients of a torch.nn.LSTM as a flat vector in the order of sklstm."""
    parts = []
    for suffix in _suffixes(reference):
        for name in _TORCH_NAMES:
            gradient = getattr(reference, f"{name}_{suffix}").grad.numpy().T
            parts.append(_swap_gates(gradient, reference.hidden_size).ravel())
    return np.concatenate(parts)


_TORCH_NAMES = ("weight_ih", "weight_hh", "bias_ih")


def _suffixes(reference: Any) -> list[str]:
    directions = ("", "_reverse") if reference.bidirectional else ("",)
    return [f"l{k}{direction}" for k in range(reference.num_layers) for direction in directions]


def weights_of(layers: Iterable[LSTMLayer], views: Views) -> list[Weights]:
    """Return the weights of each layer and direction."""
    parts = ("weight_ih", "weight_hh", "bias")
    return [
        Weights(*(views[f"{name}.{part}"] for part in parts))
        for layer in layers
        for name in layer.directions
    ]
