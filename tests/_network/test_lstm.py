"""The LSTM layer: both directions, initial and final states, and a comparison with PyTorch.

Shapes: ``n`` sequences, ``P`` packed rows, ``D`` inputs, ``H`` hidden units.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numerics import (
    RAGGED,
    ROUNDING,
    assert_close,
    assert_every_entry,
    assert_gradient,
    draw_sequences,
    naive_lstm,
    to_torch,
    torch_gradient,
    weights_of,
)

from sklstm._network.hidden import HiddenStates
from sklstm._network.initializers import INPUT_GAIN
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.lstm import LSTMLayer
from sklstm._network.parameters import ParameterLayout
from sklstm.sequences import PackedSequences

D, H = 2, 3
by_width = pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "both"])
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def layouts_of(layer, batch_sizes):
    return tuple(SlotLayout(batch_sizes, name.endswith("reverse")) for name in layer.directions)


@dataclass
class Problem:
    """A layer with a batch, an initial state, and gradients at all results."""

    layer: LSTMLayer
    layout: ParameterLayout
    flat: np.ndarray
    batch: PackedSequences
    state: list[tuple[np.ndarray, np.ndarray]]
    dhidden: HiddenStates
    dstate: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def draw(cls, rng, bidirectional, lengths=RAGGED, dtype=np.float64):
        layer = LSTMLayer("lstm_0", D, H, bidirectional)
        layout = ParameterLayout(layer.shapes())
        n = len(lengths)

        def normal(*shape):
            return rng.standard_normal(shape).astype(dtype)

        def states():
            return [(normal(n, H), normal(n, H)) for _ in layer.directions]

        batch = draw_sequences(rng, lengths, D, dtype).pack()
        dhidden = HiddenStates(normal(sum(lengths), layer.width), normal(n, layer.width))
        return cls(layer, layout, normal(layout.size), batch, states(), dhidden, states())

    @property
    def layouts(self):
        return layouts_of(self.layer, self.batch.batch_sizes)

    def forward(self, flat=None, x=None, state=None, **options):
        params = self.layout.views(self.flat if flat is None else flat)
        x = self.batch.values if x is None else x
        state = self.state if state is None else state
        return self.layer.forward(params, x, self.layouts, {}, state=state, **options)

    def value(self, **changed):
        hidden, state, _ = self.forward(**changed)
        return (
            np.vdot(hidden.steps, self.dhidden.steps)
            + np.vdot(hidden.last, self.dhidden.last)
            + np.vdot(state, self.dstate)
        )

    def backward(self, dhidden=None):
        """Return the gradients at parameters, inputs and the initial state."""
        *_, cache = self.forward()
        gradient = np.zeros_like(self.flat)
        params, views = self.layout.views(self.flat), self.layout.views(gradient)
        dx, dinitial = self.layer.backward(
            params, dhidden or self.dhidden, cache, views, self.dstate, need_inputs=True
        )
        return gradient, dx, dinitial


# --- parameters ---


@by_width
def test_shapes_and_names_of_the_parameters(bidirectional):
    layer = LSTMLayer("lstm_7", D, H, bidirectional)
    names = ("lstm_7", "lstm_7_reverse")[: 1 + bidirectional]
    shapes = {"weight_ih": (D, 4 * H), "weight_hh": (H, 4 * H), "bias": (4 * H,)}
    assert layer.width == H * len(names)
    expected = [(f"{name}.{part}", shape) for name in names for part, shape in shapes.items()]
    assert list(layer.shapes().items()) == expected


def test_each_gate_has_its_own_initial_weights(seed):
    layer = LSTMLayer("lstm_0", 40, 30, bidirectional=True)
    layout = ParameterLayout(layer.shapes())
    params = layout.views(np.full(layout.size, np.nan))
    layer.initialize(params, np.random.RandomState(seed), forget_bias=2.0)
    bound, blocks = INPUT_GAIN * np.sqrt(3 / 40), []
    for weights in weights_of([layer], params):
        for part in np.split(weights.hh, 4, axis=1):
            np.testing.assert_allclose(part.T @ part, np.eye(30), atol=1e-13)
        for part in np.split(weights.ih, 4, axis=1):
            assert 0.9 * bound < np.abs(part).max() <= bound
        np.testing.assert_array_equal(weights.bias, np.repeat([0.0, 2.0, 0.0, 0.0], 30))
        blocks += [*np.split(weights.hh, 4, axis=1), *np.split(weights.ih, 4, axis=1)]
    assert len({block.tobytes() for block in blocks}) == 16


# --- forward ---


def test_each_direction_equals_a_plain_lstm(rng):
    problem = Problem.draw(rng, bidirectional=True)
    hidden, state, _ = problem.forward()
    both = weights_of([problem.layer], problem.layout.views(problem.flat))
    for k in range(len(RAGGED)):
        rows = np.flatnonzero(problem.batch.row_of == k)
        for k_direction, weights in enumerate(both):
            order = rows[::-1] if k_direction else rows
            h0, c0 = (part[k] for part in problem.state[k_direction])
            x, part = problem.batch.values[order], problem.layer.columns(k_direction)
            hs, cs, _ = naive_lstm(x, weights, h0, c0, np.ones(H))
            assert_close(hidden.steps[order, part], hs, 1e-12)
            assert_close(hidden.last[k, part], hs[-1], 1e-12)
            assert_close(np.stack(state[k_direction])[:, k], np.stack([hs[-1], cs[-1]]), 1e-12)


@by_dtype
@by_width
@pytest.mark.parametrize("need_steps", [False, True])
@pytest.mark.parametrize("from_zero", [False, True])
def test_inference_equals_forward(bidirectional, need_steps, from_zero, dtype, rng):
    problem = Problem.draw(rng, bidirectional, dtype=dtype)
    params, x = problem.layout.views(problem.flat), problem.batch.values
    initial = None if from_zero else problem.state
    before = np.copy(problem.state)
    expected, final, _ = problem.layer.forward(params, x, problem.layouts, {}, need_steps, initial)
    hidden, state = problem.layer.infer(params, x, problem.layouts, need_steps, initial)
    assert_close(state, final, ROUNDING[dtype])
    assert_close(hidden.last, expected.last, ROUNDING[dtype])
    if need_steps:
        assert_close(hidden.steps, expected.steps, ROUNDING[dtype])
    else:
        assert hidden.steps is expected.steps is None
    np.testing.assert_array_equal(problem.state, before)


# --- backward ---


@by_width
def test_gradients_at_parameters_inputs_and_state_against_differences(bidirectional, rng):
    problem = Problem.draw(rng, bidirectional)
    gradient, dx, dstate = problem.backward()
    blocks = problem.layout.slices.values()
    assert_gradient(lambda v: problem.value(flat=v), problem.flat, gradient, rng, blocks)
    assert_gradient(lambda v: problem.value(x=v), problem.batch.values, dx, rng)
    assert_gradient(lambda v: problem.value(state=v), np.array(problem.state), dstate, rng)


def test_each_entry_of_the_gradient_against_differences(rng):
    problem = Problem.draw(rng, bidirectional=True)
    assert_every_entry(lambda v: problem.value(flat=v), problem.flat, problem.backward()[0])


@by_width
def test_gradients_at_steps_final_states_and_state_add_up(bidirectional, rng):
    problem = Problem.draw(rng, bidirectional)
    total, *_ = problem.backward()
    steps, *_ = problem.backward(HiddenStates(problem.dhidden.steps, None))
    last, *_ = problem.backward(HiddenStates(None, problem.dhidden.last))
    none, *_ = problem.backward(HiddenStates(None, None))
    assert_close(steps + last - none, total, 1e-13)


@pytest.mark.parametrize("n_steps", [1, 2, 5])
def test_two_segments_give_the_same_as_the_whole_batch(n_steps, rng):
    """The first segment passes its state to the second, which passes back the gradient."""
    problem = Problem.draw(rng, bidirectional=False)
    layer, params, batch = problem.layer, problem.layout.views(problem.flat), problem.batch
    hidden, final, _ = problem.forward()
    gradient, dx, dinitial = problem.backward()

    cut, n = int(batch.batch_sizes[:n_steps].sum()), int(batch.batch_sizes[n_steps])
    early, late = (
        layouts_of(layer, sizes)
        for sizes in (batch.batch_sizes[:n_steps], batch.batch_sizes[n_steps:])
    )
    x = batch.values
    one, middle, cache = layer.forward(params, x[:cut], early, {}, state=problem.state)
    active = [(h[:n], c[:n]) for h, c in middle]
    two, end, late_cache = layer.forward(params, x[cut:], late, {}, state=active)
    assert_close(np.concatenate([one.steps, two.steps]), hidden.steps, 1e-12)
    for actual, rest, expected in zip(end[0], middle[0], final[0], strict=True):
        assert_close(np.concatenate([actual, rest[n:]]), expected, 1e-12)
    assert_close(np.concatenate([two.last, one.last[n:]]), hidden.last, 1e-12)

    actual = np.zeros_like(problem.flat)
    views, dhidden = problem.layout.views(actual), problem.dhidden
    late_dhidden = HiddenStates(dhidden.steps[cut:], dhidden.last[:n])
    late_dstate = [(dh[:n], dc[:n]) for dh, dc in problem.dstate]
    late_dx, [dmiddle] = layer.backward(
        params, late_dhidden, late_cache, views, late_dstate, need_inputs=True
    )
    [dstate], dlast = problem.dstate, dhidden.last.copy()
    dlast[:n] = 0  # these sequences end in the second segment
    early_dstate = [
        np.concatenate([dh, rest[n:]]) for dh, rest in zip(dmiddle, dstate, strict=True)
    ]
    early_dhidden = HiddenStates(dhidden.steps[:cut], dlast)
    early_dx, early_dinitial = layer.backward(
        params, early_dhidden, cache, views, [early_dstate], need_inputs=True
    )
    assert_close(actual, gradient, 1e-12)
    assert_close(np.concatenate([early_dx, late_dx]), dx, 1e-12)
    assert_close(early_dinitial, dinitial, 1e-12)


# --- PyTorch ---


@by_dtype
@by_width
def test_forward_and_gradients_equal_those_of_pytorch(bidirectional, dtype, rng):
    """With initial states, and with gradients at the final states."""
    torch = pytest.importorskip("torch")
    lengths = (30, 1, 17, 30, 2)
    problem = Problem.draw(rng, bidirectional, lengths, dtype)
    reference = to_torch(torch, [problem.layer], problem.layout.views(problem.flat))
    x = torch.from_numpy(problem.batch.values).requires_grad_()
    packed = torch.nn.utils.rnn.PackedSequence(x, torch.from_numpy(problem.batch.batch_sizes))
    initial = [
        torch.from_numpy(np.array(part)).requires_grad_()
        for part in zip(*problem.state, strict=True)
    ]
    steps, final = reference(packed, tuple(initial))
    dfinal = [torch.from_numpy(np.array(part)) for part in zip(*problem.dstate, strict=True)]
    value = (steps.data * torch.from_numpy(problem.dhidden.steps)).sum()
    value = value + sum((a * b).sum() for a, b in zip(final, dfinal, strict=True))
    value.backward()

    hidden, state, _ = problem.forward()
    tolerance = ROUNDING[dtype]
    assert_close(hidden.steps, steps.data.detach().numpy(), tolerance)
    for actual, expected in zip(zip(*state, strict=True), final, strict=True):
        assert_close(np.array(actual), expected.detach().numpy(), tolerance)
    gradient, dx, dstate = problem.backward(HiddenStates(problem.dhidden.steps, None))
    assert_close(gradient, torch_gradient(reference), tolerance)
    assert_close(dx, x.grad.numpy(), tolerance)
    for actual, theirs in zip(zip(*dstate, strict=True), initial, strict=True):
        assert_close(np.array(actual), theirs.grad.numpy(), tolerance)
