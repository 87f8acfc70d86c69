"""The functional LSTM against finite differences, PyTorch and the equations of a textbook.

Shapes: ``T`` steps, ``N`` sequences, ``D`` inputs, ``H`` hidden units, ``K`` outputs.
"""

import inspect
import pickle
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
from numerics import (
    ROUNDING,
    assert_close,
    assert_every_entry,
    assert_gradient,
    to_torch,
    torch_gradient,
)

from sklstm import LSTMClassifier, config_context, functional
from sklstm._network.lstm import LSTMLayer
from sklstm._network.parameters import ParameterLayout
from sklstm.functional import (
    lstm_backward,
    lstm_cell_backward,
    lstm_cell_forward,
    lstm_forward,
    lstm_predict_backward,
    lstm_predict_forward,
    parameters_from_gates,
    parameters_to_gates,
    sigmoid,
    softmax,
)

D, H, K = 2, 3, 4
LSTM = ("weight_ih", "weight_hh", "bias")

by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
by_size = pytest.mark.parametrize("size", [(1, 1), (1, 3), (4, 1), (3, 2)], ids=str)


class Problem:
    """All arguments by name, upstream gradients of every step, and the objective.

    The objective is the cross-entropy of the predictions plus ``sum(dh * h) + sum(dc * c)``.
    """

    def __init__(self, rng, size, dtype=np.float64, d=D, hidden=H, k=K):
        steps, n = size
        self.layout = ParameterLayout(
            {
                "x": (steps, n, d),
                "h0": (n, hidden),
                "c0": (n, hidden),
                "weight_ih": (d, 4 * hidden),
                "weight_hh": (hidden, 4 * hidden),
                "bias": (4 * hidden,),
                "dense.weight": (hidden, k),
                "dense.bias": (k,),
            }
        )
        self.flat = (rng.standard_normal(self.layout.size) * hidden**-0.5).astype(dtype)
        self.dh, self.dc = rng.standard_normal((2, steps, n, hidden)).astype(dtype)
        self.labels = np.eye(k, dtype=dtype)[rng.integers(0, k, (steps, n))]

    @property
    def arrays(self):
        return self.layout.views(self.flat)

    def run(self, flat):
        return run(**self.layout.views(flat))

    def states_objective(self, flat):
        h, c, _ = self.run(flat)
        return float(np.sum(h * self.dh) + np.sum(c * self.dc))

    def objective(self, flat):
        views = self.layout.views(flat)
        h, c, y, _ = lstm_predict_forward(views["x"], views, views["h0"], views["c0"])
        return float(np.sum(h * self.dh) + np.sum(c * self.dc) - np.sum(self.labels * np.log(y)))

    def gradients(self):
        """The gradients of ``objective``."""
        a = self.arrays
        *_, y, cache = lstm_predict_forward(a["x"], a, a["h0"], a["c0"])
        return lstm_predict_backward(y - self.labels, cache, self.dh, self.dc)

    def states_gradients(self):
        """The gradients of ``states_objective``."""
        *_, cache = self.run(self.flat)
        return lstm_backward(self.dh, cache, self.dc)

    def flatten(self, gradients):
        """Gradients in the order of ``flat``, with zeros for missing ones."""
        for name, array in gradients.items():
            assert array.shape == self.layout.shapes[name], name
        shapes = self.layout.shapes.items()
        return np.concatenate([gradients.get(k, np.zeros(s)).ravel() for k, s in shapes])


def run(x, h0, c0, **parameters):
    return lstm_forward(x, parameters, h0, c0)


@pytest.fixture
def problem(rng):
    return Problem(rng, (4, 3))


# --- gradients against finite differences ---


@by_size
def test_every_gradient_of_a_sequence_equals_finite_differences(rng, size):
    p = Problem(rng, size)
    gradients = p.states_gradients()
    assert set(gradients) == {"x", "h0", "c0", *LSTM}
    assert_every_entry(p.states_objective, p.flat, p.flatten(gradients))


@by_size
def test_every_gradient_with_an_output_layer_equals_finite_differences(rng, size):
    p = Problem(rng, size)
    gradients = p.gradients()
    assert set(gradients) == set(p.layout.shapes)
    assert_every_entry(p.objective, p.flat, p.flatten(gradients))


@pytest.mark.parametrize("n", [1, 3])
def test_every_gradient_of_a_step_equals_finite_differences(rng, n):
    p = Problem(rng, (1, n))

    def objective(flat):
        a = p.layout.views(flat)
        h, c, _ = lstm_cell_forward(a["x"][0], a["h0"], a["c0"], a)
        return float(np.sum(h * p.dh[0]) + np.sum(c * p.dc[0]))

    a = p.arrays
    *_, cache = lstm_cell_forward(a["x"][0], a["h0"], a["c0"], a)
    gradients = lstm_cell_backward(p.dh[0], p.dc[0], cache)
    assert set(gradients) == {"x_t", "h", "c", *LSTM}
    renamed = {name: gradients[name] for name in LSTM}
    renamed |= {"x": gradients["x_t"][None], "h0": gradients["h"], "c0": gradients["c"]}
    assert_every_entry(objective, p.flat, p.flatten(renamed))


@pytest.mark.parametrize("size", [(40, 30), (150, 1), (1, 40)], ids=str)
def test_gradients_along_random_directions_equal_finite_differences(rng, size):
    p = Problem(rng, size, d=7, hidden=16, k=5)
    slices = p.layout.slices
    assert_gradient(p.objective, p.flat, p.flatten(p.gradients()), rng, slices.values())
    parts = [part for name, part in slices.items() if not name.startswith("dense")]
    gradient = p.flatten(p.states_gradients())
    assert_gradient(p.states_objective, p.flat, gradient, rng, parts)


@pytest.mark.parametrize("given", ["dh", "dc"])
def test_a_gradient_of_none_means_zeros(problem, given):
    *_, cache = problem.run(problem.flat)
    upstream = {"dh": None, "dc": None, given: getattr(problem, given)}
    zeros = {name: np.zeros_like(problem.dh) if v is None else v for name, v in upstream.items()}
    actual, expected = (lstm_backward(cache=cache, **some) for some in (upstream, zeros))
    for name in expected:
        assert_close(actual[name], expected[name], 1e-14)


def test_gradients_of_states_and_logits_add_up(problem):
    a, p = problem.arrays, problem
    *_, y, cache = lstm_predict_forward(a["x"], a, a["h0"], a["c0"])
    whole = lstm_predict_backward(y - p.labels, cache, p.dh, p.dc)
    parts = lstm_predict_backward(y - p.labels, cache), p.states_gradients()
    for name, expected in whole.items():
        assert_close(sum(part.get(name, 0) for part in parts), expected, 1e-12)


# --- single steps and sequences ---


def test_a_sequence_equals_its_single_steps(problem):
    a, p = problem.arrays, problem
    hs, cs, _ = p.run(p.flat)
    h, c, caches = a["h0"], a["c0"], []
    for t, x_t in enumerate(a["x"]):
        h, c, cache = lstm_cell_forward(x_t, h, c, a)
        assert_close(h, hs[t], 1e-14)
        assert_close(c, cs[t], 1e-14)
        caches.append(cache)
    dh, dc = np.zeros_like(h), np.zeros_like(c)
    total, dx = dict.fromkeys(LSTM, 0), []
    for t, cache in reversed(list(enumerate(caches))):
        step = lstm_cell_backward(dh + p.dh[t], dc + p.dc[t], cache)
        dh, dc = step["h"], step["c"]
        dx.insert(0, step["x_t"])
        total = {name: total[name] + step[name] for name in LSTM}
    for name, expected in p.states_gradients().items():
        found = {"x": np.array(dx), "h0": dh, "c0": dc, **total}
        assert_close(found[name], expected, 1e-12)


def test_initial_states_default_to_zero(problem):
    a = problem.arrays
    zero = np.zeros_like(a["h0"])
    h, c, cache = lstm_forward(a["x"], a)
    expected_h, expected_c, other = lstm_forward(a["x"], a, zero, zero)
    np.testing.assert_array_equal(h, expected_h)
    np.testing.assert_array_equal(c, expected_c)
    for name, gradient in lstm_backward(problem.dh, cache).items():
        np.testing.assert_array_equal(gradient, lstm_backward(problem.dh, other)[name])


def test_predictions_are_the_softmax_of_the_output_layer(problem):
    a = problem.arrays
    h, c, y, _ = lstm_predict_forward(a["x"], a, a["h0"], a["c0"])
    expected_h, expected_c, _ = problem.run(problem.flat)
    np.testing.assert_array_equal(h, expected_h)
    np.testing.assert_array_equal(c, expected_c)
    assert_close(y, softmax(h @ a["dense.weight"] + a["dense.bias"]), 1e-14)
    assert_close(y.sum(axis=-1), np.ones(y.shape[:-1]), 1e-14)


# --- PyTorch ---


@pytest.fixture
def pytorch(rng):
    """PyTorch's LSTM with the weights of a problem, and its arrays as tensors."""
    torch = pytest.importorskip("torch")

    def make(size, dtype, hidden=8):
        p = Problem(rng, size, dtype, d=5, hidden=hidden)
        layer = LSTMLayer("lstm_0", 5, hidden, bidirectional=False)
        views = {f"lstm_0.{name}": p.arrays[name] for name in LSTM}
        tensors = {
            name: torch.tensor(p.arrays[name], requires_grad=True) for name in ("x", "h0", "c0")
        }
        upstream = torch.tensor(p.dh), torch.tensor(p.dc)
        return SimpleNamespace(
            torch=torch, problem=p, lstm=to_torch(torch, [layer], views), at=upstream, **tensors
        )

    return make


def flat_weights(gradients):
    return np.concatenate([gradients[name].ravel() for name in LSTM])


@by_size
@by_dtype
def test_a_sequence_equals_that_of_pytorch(pytorch, size, dtype):
    r = pytorch(size, dtype)
    p, tolerance = r.problem, ROUNDING[dtype]
    hs, (_, c) = r.lstm(r.x, (r.h0[None], r.c0[None]))
    # PyTorch returns the cell state of the last step only
    p.dc[:-1] = 0
    (hs * r.at[0]).sum().add((c * r.at[1][-1]).sum()).backward()
    h, cells, cache = p.run(p.flat)
    assert_close(h, hs.detach().numpy(), tolerance)
    assert_close(cells[-1], c[0].detach().numpy(), tolerance)
    gradients = lstm_backward(p.dh, cache, p.dc)
    for name in ("x", "h0", "c0"):
        assert_close(gradients[name], getattr(r, name).grad.numpy(), tolerance)
    assert_close(flat_weights(gradients), torch_gradient(r.lstm), tolerance)


@by_dtype
def test_steps_equal_those_of_pytorch_with_gradients_at_every_cell_state(pytorch, dtype):
    r = pytorch((5, 3), dtype)
    p, tolerance = r.problem, ROUNDING[dtype]
    cell = r.torch.nn.LSTMCell(5, 8, dtype=r.x.dtype)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    with r.torch.no_grad():
        for name in names:
            getattr(cell, name).copy_(getattr(r.lstm, f"{name}_l0"))
    state, total = (r.h0, r.c0), 0
    h, c = p.arrays["h0"], p.arrays["c0"]
    for t in range(5):
        state = cell(r.x[t], state)
        total = total + sum((s * at[t]).sum() for s, at in zip(state, r.at, strict=True))
        h, c, _ = lstm_cell_forward(p.arrays["x"][t], h, c, p.arrays)
        assert_close(h, state[0].detach().numpy(), tolerance)
        assert_close(c, state[1].detach().numpy(), tolerance)
    total.backward()
    gradients = p.states_gradients()
    for name in ("x", "h0", "c0"):
        assert_close(gradients[name], getattr(r, name).grad.numpy(), tolerance)
    for name in names:
        getattr(r.lstm, f"{name}_l0").grad = getattr(cell, name).grad
    assert_close(flat_weights(gradients), torch_gradient(r.lstm), tolerance)


# --- the equations of the textbook, in the layout (features, sequences, steps) ---


def logistic(z):
    return 0.5 * (1 + np.tanh(0.5 * z))


def textbook_forward(x, a, c, p):
    """One dict for each step, with all its results."""
    steps = []
    for t in range(x.shape[2]):
        both = np.vstack([a, x[:, :, t]])
        f, i, o = (logistic(p[f"W{gate}"] @ both + p[f"b{gate}"]) for gate in "fio")
        g = np.tanh(p["Wc"] @ both + p["bc"])
        step = {"both": both, "c_prev": c, "f": f, "i": i, "o": o, "g": g}
        c = f * c + i * g
        a = o * np.tanh(c)
        logits = p["Wy"] @ a + p["by"]
        y = np.exp(logits - logits.max(axis=0))
        steps.append(step | {"a": a, "c": c, "y": y / y.sum(axis=0)})
    return steps


def textbook_backward(steps, at_a, at_c, at_logits, p):
    """The equations of backpropagation through time."""
    gradients = {f"d{name}": np.zeros_like(value) for name, value in p.items()}
    da, dc, dx = np.zeros_like(at_a[:, :, 0]), np.zeros_like(at_c[:, :, 0]), []
    for t, s in reversed(list(enumerate(steps))):
        gradients["dWy"] += at_logits[:, :, t] @ s["a"].T
        gradients["dby"] += at_logits[:, :, t].sum(axis=1, keepdims=True)
        da = da + at_a[:, :, t] + p["Wy"].T @ at_logits[:, :, t]
        dc = dc + at_c[:, :, t] + da * s["o"] * (1 - np.tanh(s["c"]) ** 2)
        dz = {
            "o": da * np.tanh(s["c"]) * s["o"] * (1 - s["o"]),
            "f": dc * s["c_prev"] * s["f"] * (1 - s["f"]),
            "i": dc * s["g"] * s["i"] * (1 - s["i"]),
            "c": dc * s["i"] * (1 - s["g"] ** 2),
        }
        for gate, dz_gate in dz.items():
            gradients[f"dW{gate}"] += dz_gate @ s["both"].T
            gradients[f"db{gate}"] += dz_gate.sum(axis=1, keepdims=True)
        both = sum(p[f"W{gate}"].T @ dz_gate for gate, dz_gate in dz.items())
        da, dc = both[: len(da)], dc * s["f"]
        dx.insert(0, both[len(da) :])
    return gradients | {"dx": np.stack(dx, axis=2), "da0": da, "dc0": dc}


def draw_gates(rng):
    gates = {f"W{gate}": rng.standard_normal((H, H + D)) for gate in "fico"}
    gates |= {f"b{gate}": rng.standard_normal((H, 1)) for gate in "fico"}
    return gates | {"Wy": rng.standard_normal((K, H)), "by": rng.standard_normal((K, 1))}


@by_size
def test_forward_and_backward_pass_equal_those_of_the_textbook(rng, size):
    p = Problem(rng, size)
    gates = draw_gates(rng)
    x, dh, dc, labels = (
        array.transpose(2, 1, 0) for array in (p.arrays["x"], p.dh, p.dc, p.labels)
    )
    a0, c0 = p.arrays["h0"].T, p.arrays["c0"].T
    steps = textbook_forward(x, a0, c0, gates)
    theirs = {name: np.stack([step[name] for step in steps], axis=2) for name in "acy"}
    *ours, cache = lstm_predict_forward(
        x.transpose(2, 1, 0), parameters_from_gates(gates), a0.T, c0.T
    )
    for name, array in zip("acy", ours, strict=True):
        assert_close(array.transpose(2, 1, 0), theirs[name], 1e-12)

    expected = textbook_backward(steps, dh, dc, theirs["y"] - labels, gates)
    found = lstm_predict_backward(ours[2] - p.labels, cache, p.dh, p.dc)
    assert_close(found["x"].transpose(2, 1, 0), expected["dx"], 1e-12)
    assert_close(found["h0"].T, expected["da0"], 1e-12)
    assert_close(found["c0"].T, expected["dc0"], 1e-12)
    for name, gradient in parameters_to_gates(found).items():
        assert_close(gradient, expected[f"d{name}"], 1e-12)
    for name, gradient in parameters_from_gates({k: expected[f"d{k}"] for k in gates}).items():
        assert_close(found[name], gradient, 1e-12)


@pytest.mark.parametrize("output_layer", [True, False])
@by_dtype
def test_conversions_of_parameters_are_inverse(rng, output_layer, dtype):
    gates = {name: array.astype(dtype) for name, array in draw_gates(rng).items()}
    if not output_layer:
        del gates["Wy"], gates["by"]
    parameters = parameters_from_gates(gates | {"dWf": None})
    again = parameters_to_gates(parameters | {"x": None})
    assert again.keys() == gates.keys()
    assert ("dense.weight" in parameters) == output_layer
    for name, array in gates.items():
        assert again[name].flags.c_contiguous
        assert not np.shares_memory(again[name], array)
        np.testing.assert_array_equal(again[name], array, strict=True)
    for name, array in parameters_from_gates(again).items():
        np.testing.assert_array_equal(array, parameters[name], strict=True)


def test_order_of_the_gates():
    gates = {f"W{gate}": np.full((1, 2), k) for k, gate in enumerate("ifoc")}
    gates |= {f"b{gate}": np.full((1, 1), 10 + k) for k, gate in enumerate("ifoc")}
    gates["Wf"] = np.array([[5, 7]])  # of the hidden state, of the input
    parameters = parameters_from_gates(gates)
    assert parameters["weight_hh"].tolist() == [[0, 5, 2, 3]]
    assert parameters["weight_ih"].tolist() == [[0, 7, 2, 3]]
    assert parameters["bias"].tolist() == [10, 11, 12, 13]


# --- common mistakes ---


def test_the_recurrent_gradient_reaches_the_earlier_steps(problem):
    a, p = problem.arrays, problem
    at_last = np.zeros_like(p.dh)
    at_last[-1] = p.dh[-1]
    *_, cache = p.run(p.flat)
    gradients = lstm_backward(at_last, cache)
    assert (np.abs(gradients["x"]).max(axis=(1, 2)) > 0).all()
    assert np.abs(gradients["h0"]).max() > 0

    # The last step gives the gradient of its own input, but only a part of that of the weights.
    hs, cs, _ = lstm_forward(a["x"][:-1], a, a["h0"], a["c0"])
    *_, cache = lstm_cell_forward(a["x"][-1], hs[-1], cs[-1], a)
    own = lstm_cell_backward(at_last[-1], None, cache)
    assert_close(gradients["x"][-1], own["x_t"], 1e-12)
    assert np.abs(gradients["weight_ih"] - own["weight_ih"]).max() > 1e-6


def test_gradients_of_the_output_layer(problem):
    p = problem
    h, *_ = p.run(p.flat)
    a = p.arrays
    *_, y, cache = lstm_predict_forward(a["x"], a, a["h0"], a["c0"])
    gradients = lstm_predict_backward(y - p.labels, cache)
    expected = np.einsum("tnh,tnk->hk", h, y - p.labels)
    assert_close(gradients["dense.weight"], expected, 1e-12)
    assert_close(gradients["dense.bias"], (y - p.labels).sum(axis=(0, 1)), 1e-12)


@by_dtype
def test_the_sigmoid_does_not_overflow(dtype):
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        y = sigmoid(np.array([-1000, -np.inf, 0, np.inf, 1000], dtype))
    np.testing.assert_array_equal(y, np.array([0, 0, 0.5, 1, 1], dtype), strict=True)


@by_dtype
def test_saturated_gates_do_not_overflow(problem, dtype):
    a = {name: (1000 * array).astype(dtype) for name, array in problem.arrays.items()}
    *states, y, cache = lstm_predict_forward(a["x"], a, a["h0"], a["c0"])
    results = [*states, y, *lstm_predict_backward(y - problem.labels, cache).values()]
    assert all(np.isfinite(array).all() for array in results)


@by_dtype
def test_the_softmax_shifts_each_row_by_its_maximum(rng, dtype):
    rows = rng.standard_normal((3, K)).astype(dtype)
    shifted = rows + np.array([[-5000], [0], [5000]], dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        y = softmax(shifted)
    assert y.dtype == dtype
    assert_close(y.sum(axis=1), np.ones(3, dtype), ROUNDING[dtype])
    exact = (shifted - shifted.max(axis=1, keepdims=True)).astype(np.float64)
    expected = np.exp(exact) / np.exp(exact).sum(axis=1, keepdims=True)
    assert_close(y, expected.astype(dtype), ROUNDING[dtype])


def test_predictions_do_not_depend_on_the_largest_logit_of_the_batch(problem):
    """With one maximum for the whole batch, much smaller logits would give 0 / 0."""
    a = problem.arrays | {"x": problem.arrays["x"].copy(), "weight_ih": np.zeros((D, 4 * H))}
    a["dense.weight"] = np.full((H, K), 1e4) * np.arange(K)
    a["weight_ih"][0, -H:] = 50.0  # candidates and states have the sign of the input
    a["x"][:, :, 0] = np.array([-1, 1, -1])
    *_, y, _ = lstm_predict_forward(a["x"], a, a["h0"], a["c0"])
    assert_close(y.sum(axis=-1), np.ones(y.shape[:2]), 1e-12)


# --- arguments and caches do not change ---


def copies(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def test_a_backward_pass_can_be_repeated(problem):
    a, p = problem.arrays, problem
    *_, y, cache = lstm_predict_forward(a["x"], a, a["h0"], a["c0"])
    first = copies(lstm_predict_backward(y - p.labels, cache, p.dh, p.dc))
    lstm_predict_backward(p.labels, cache)
    for name, again in lstm_predict_backward(y - p.labels, cache, p.dh, p.dc).items():
        np.testing.assert_array_equal(again, first[name])


def test_a_cache_shares_no_memory_with_arguments_and_results(problem):
    a, p = problem.arrays, problem
    h, c, y, cache = lstm_predict_forward(a["x"], a, a["h0"], a["c0"])
    dy = y - p.labels
    expected = copies(lstm_predict_backward(dy, cache, p.dh, p.dc))
    for array in (*a.values(), h, c, y):
        array[...] = np.nan
    for gradient in lstm_predict_backward(dy, cache, p.dh, p.dc).values():
        gradient[...] = np.nan
    for name, again in lstm_predict_backward(dy, cache, p.dh, p.dc).items():
        np.testing.assert_array_equal(again, expected[name])


@pytest.mark.parametrize("copied", [deepcopy, lambda cache: pickle.loads(pickle.dumps(cache))])
@pytest.mark.parametrize("kernels", ["numpy", "compiled"])
def test_a_copy_of_a_cache_does_not_need_the_original(copied, kernels, problem):
    if kernels == "compiled":
        pytest.importorskip("llvmlite")
    a, p = problem.arrays, problem
    with config_context(kernels=kernels):
        *_, y, cache = lstm_predict_forward(a["x"], a, a["h0"], a["c0"])
        expected = lstm_predict_backward(y - p.labels, cache, p.dh, p.dc)
        copy = copied(cache)
        del cache
        for _ in range(5):  # takes the memory that was freed
            lstm_predict_forward(a["x"] + 1, a, a["h0"], a["c0"])
        found = lstm_predict_backward(y - p.labels, copy, p.dh, p.dc)
    for name, gradient in found.items():
        np.testing.assert_array_equal(gradient, expected[name])


def test_arguments_may_be_read_only_and_do_not_change(problem):
    p, expected = problem, problem.gradients()
    before = p.flat.copy(), p.dh.copy(), p.dc.copy()
    for array in (p.flat, p.dh, p.dc, p.labels):
        array.flags.writeable = False
    for name, gradient in p.gradients().items():
        np.testing.assert_array_equal(gradient, expected[name])
        assert gradient.flags.writeable
    for array, was in zip((p.flat, p.dh, p.dc), before, strict=True):
        np.testing.assert_array_equal(array, was)
    gates = parameters_to_gates(p.arrays)
    for array in gates.values():
        array.flags.writeable = False
    for name, array in parameters_from_gates(gates).items():
        np.testing.assert_array_equal(array, p.arrays[name])


def test_strided_arrays_and_lists_are_accepted(problem):
    p, expected = problem, problem.gradients()
    a = {name: np.asfortranarray(array) for name, array in p.arrays.items()}
    *_, y, cache = lstm_predict_forward(a["x"][::-1][::-1], a, a["h0"].tolist(), a["c0"])
    dh = np.repeat(p.dh, 2, axis=-1)[..., ::2]
    found = lstm_predict_backward((y - p.labels).tolist(), cache, dh, np.asfortranarray(p.dc))
    for name, gradient in found.items():
        assert_close(gradient, expected[name], 1e-12)


# --- dtypes ---


def test_float32_is_kept(rng):
    p = Problem(rng, (4, 3), np.float32)
    *states, cache = p.run(p.flat)
    results = [*states, *p.gradients().values(), *p.states_gradients().values()]
    results += lstm_backward(p.dh.astype(np.float64), cache, p.dc.astype(np.float64)).values()
    assert {array.dtype for array in results} == {np.dtype(np.float32)}
    exact = Problem(rng, (4, 3))
    exact.flat, exact.dh, exact.dc, exact.labels = (
        array.astype(np.float64) for array in (p.flat, p.dh, p.dc, p.labels)
    )
    for name, gradient in exact.gradients().items():
        assert_close(p.gradients()[name].astype(np.float64), gradient, 1e-5)


@pytest.mark.parametrize("name", ["x", "h0", "bias"])
@pytest.mark.parametrize("other", [np.float64, np.float16, np.int32, bool])
def test_other_dtypes_become_float64(rng, name, other):
    a = dict(Problem(rng, (4, 3), np.float32).arrays)
    a[name] = a[name].astype(other)
    h, c, y, cache = lstm_predict_forward(a["x"], a, a["h0"], a["c0"])
    results = [h, c, y, *lstm_predict_backward(y, cache).values()]
    assert {array.dtype for array in results} == {np.dtype(np.float64)}


@pytest.mark.parametrize("function", [sigmoid, softmax])
def test_activations_keep_shape_and_dtype(rng, function):
    x = rng.standard_normal((2, 3, 4))
    assert function(x.astype(np.float32)).dtype == np.float32
    for given in (x, x.astype(np.float16), x.astype(int), x.tolist()):
        y = function(given)
        assert y.dtype == np.float64
        assert y.shape == x.shape


def test_the_sigmoid_of_a_number_is_a_number():
    assert sigmoid(0) == 0.5
    assert sigmoid(np.float32(0)).dtype == np.float32


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_softmax_sums_to_one_along_its_axis(rng, axis):
    x = rng.standard_normal((2, 3, 4))
    y = softmax(x, axis=axis)
    assert_close(y.sum(axis=axis), np.ones(np.delete(x.shape, axis)), 1e-14)
    assert_close(np.log(y) - x, (np.log(y) - x).mean(axis=axis, keepdims=True) + 0 * x, 1e-12)


# --- error messages ---


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("x", (4, D), r"x: expected shape \(T, N, D\), got \(4, 2\)"),
        ("x", (0, 3, D), r"x: expected shape \(T, N, D\), got \(0, 3, 2\)"),
        ("h0", (2, H), r"h0: expected shape \(N=3, H=3\), got \(2, 3\)"),
        ("c0", (1, 3, H), r"c0: expected shape \(N=3, H=3\), got \(1, 3, 3\)"),
        ("weight_hh", (H, H), r"weight_hh: expected shape \(H=3, 4 H=12\), got \(3, 3\)"),
        ("weight_hh", (0, 0), r"weight_hh: expected shape \(H, 4 H\), got \(0, 0\)"),
        ("weight_ih", (D + 1, 4 * H), r"weight_ih: expected shape \(D=2, 4 H=12\), got \(3, 12\)"),
        ("bias", (4 * H, 1), r"bias: expected shape \(4 H=12\), got \(12, 1\)"),
        ("dense.weight", (K, H), r"dense.weight: expected shape \(H=3, K\), got \(4, 3\)"),
        ("dense.bias", (K - 1,), r"dense.bias: expected shape \(K=4\), got \(3,\)"),
    ],
)
def test_a_wrong_shape_is_an_error(problem, name, shape, expected):
    a = problem.arrays | {name: np.zeros(shape)}
    with pytest.raises(ValueError, match=expected):
        lstm_predict_forward(a["x"], a, a["h0"], a["c0"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"x_t": np.zeros((1, 3, D))}, r"x_t: expected shape \(N, D\), got \(1, 3, 2\)"),
        ({"h": np.zeros((3, H + 1))}, r"h: expected shape \(N=3, H=3\), got \(3, 4\)"),
        ({"c": np.zeros(H)}, r"c: expected shape \(N=3, H=3\), got \(3,\)"),
        ({"x_t": [["a", "b"]]}, r"x_t\[0\]: expected numbers: could not convert"),
        ({"c": np.zeros((3, H), complex)}, "c: Complex data not supported"),
        ({"parameters": {"Wf": 0}}, "missing weight_ih, weight_hh, bias; the keys are Wf"),
    ],
)
def test_a_wrong_argument_of_a_step_is_an_error(problem, arguments, expected):
    a = problem.arrays
    given = {"x_t": a["x"][0], "h": a["h0"], "c": a["c0"], "parameters": a}
    with pytest.raises(ValueError, match=expected):
        lstm_cell_forward(**given | arguments)


def test_a_missing_output_layer_is_an_error(problem):
    a = {name: problem.arrays[name] for name in LSTM}
    with pytest.raises(
        ValueError, match=r"missing dense\.weight, dense\.bias; the keys are weight_"
    ):
        lstm_predict_forward(problem.arrays["x"], a)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("dh", (3, 3, H), r"dh: expected shape \(T=4, N=3, H=3\), got \(3, 3, 3\)"),
        ("dc", (3, H), r"dc: expected shape \(T=4, N=3, H=3\), got \(3, 3\)"),
        ("dy", (4, 3, H), r"dy: expected shape \(T=4, N=3, K=4\), got \(4, 3, 3\)"),
    ],
)
def test_a_wrong_shape_of_a_gradient_is_an_error(problem, name, shape, expected):
    a = problem.arrays
    *_, y, cache = lstm_predict_forward(a["x"], a)
    with pytest.raises(ValueError, match=expected):
        lstm_predict_backward(**{"dy": y, "cache": cache, name: np.zeros(shape)})


def test_a_cache_of_another_function_is_an_error(problem):
    a = problem.arrays
    *_, of_step = lstm_cell_forward(a["x"][0], a["h0"], a["c0"], a)
    *_, of_sequence = problem.run(problem.flat)
    with pytest.raises(TypeError, match="the cache of lstm_forward, got lstm_cell_forward"):
        lstm_backward(problem.dh, of_step)
    with pytest.raises(TypeError, match="the cache of lstm_predict_forward, got lstm_forward"):
        lstm_predict_backward(problem.labels, of_sequence)
    with pytest.raises(TypeError, match="the cache of lstm_cell_forward, got a ndarray"):
        lstm_cell_backward(of_step, None, problem.dh)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Wi", np.zeros((H, H)), r"Wi: expected shape \(H, H \+ D\), D at least 1, got \(3, 3\)"),
        ("Wf", np.zeros((H, H)), r"Wf: expected shape \(H=3, H \+ D=5\), got \(3, 3\)"),
        ("bo", np.zeros(H), r"bo: expected shape \(H=3, 1\), got \(3,\)"),
        ("Wy", np.zeros((K, H + 1)), r"Wy: expected shape \(K, H=3\), got \(4, 4\)"),
        ("by", np.zeros((1, K)), r"by: expected shape \(K=4, 1\), got \(1, 4\)"),
        ("Wc", None, "Wc: expected an array or a list, got None"),
    ],
)
def test_a_wrong_gate_is_an_error(rng, name, value, expected):
    gates = draw_gates(rng)
    with pytest.raises(ValueError, match=expected):
        parameters_from_gates(gates | {name: value})
    del gates[name]
    with pytest.raises(ValueError, match=f"gates: missing {name}; the keys are W"):
        parameters_from_gates(gates)


# --- parameters of the estimators ---


def parameters_of(estimator, layer="lstm_0."):
    """The parameters as the docstring of the module describes."""
    return {name.removeprefix(layer): value for name, value in estimator.parameters_.items()}


@by_dtype
def test_logits_equal_those_of_a_fitted_classifier(rng, dtype):
    X = rng.standard_normal((20, 6, D)).astype(dtype)
    y = rng.integers(0, 3, 20)
    clf = LSTMClassifier(hidden_layer_sizes=5, pooling="last", random_state=0)
    clf.partial_fit(X, y, classes=[0, 1, 2])
    parameters = parameters_of(clf)
    h, _, proba, _ = lstm_predict_forward(X.transpose(1, 0, 2), parameters)
    logits = h[-1] @ parameters["dense.weight"] + parameters["dense.bias"]
    assert_close(logits, clf.decision_function(X), ROUNDING[dtype])
    assert_close(proba[-1], clf.predict_proba(X), ROUNDING[dtype])
    assert_close(h.transpose(1, 0, 2), clf.hidden_states(X), ROUNDING[dtype])


def test_stacked_layers_are_consecutive_calls(rng):
    X = rng.standard_normal((20, 6, D))
    clf = LSTMClassifier(hidden_layer_sizes=(5, 4), pooling="last", random_state=0)
    clf.partial_fit(X, rng.integers(0, 2, 20), classes=[0, 1])
    h, *_ = lstm_forward(X.transpose(1, 0, 2), parameters_of(clf))
    h, *_ = lstm_forward(h, parameters_of(clf, "lstm_1."))
    assert_close(h.transpose(1, 0, 2), clf.hidden_states(X), 1e-12)


def test_every_public_function_is_exported_and_documented():
    functions = inspect.getmembers(functional, inspect.isfunction)
    own = {name for name, f in functions if f.__module__ == functional.__name__}
    public = {name for name in own if not name.startswith("_")}
    assert set(functional.__all__) == public
    assert all(getattr(functional, name).__doc__ for name in public)
