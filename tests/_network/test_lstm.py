"""The layer: both directions beside each other, states in and out, PyTorch's LSTM as rival.

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

from sklstm._network.hidden import Hidden
from sklstm._network.initializers import INPUT_GAIN
from sklstm._network.kernels.slots import SlotLayout
from sklstm._network.lstm import LSTMLayer
from sklstm._network.parameters import ParameterLayout
from sklstm.sequences import PackedSequences

D, H = 2, 3
by_width = pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "both"])
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@dataclass
class Problem:
    """A layer with a batch, a state to start from, and gradients at all its results."""

    layer: LSTMLayer
    layout: ParameterLayout
    flat: np.ndarray
    batch: PackedSequences
    state: list[tuple[np.ndarray, np.ndarray]]
    at: Hidden
    at_state: list[tuple[np.ndarray, np.ndarray]]

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
        at = Hidden(normal(sum(lengths), layer.width), normal(n, layer.width))
        return cls(layer, layout, normal(layout.size), batch, states(), at, states())

    @property
    def walks(self):
        return tuple(SlotLayout(self.batch.batch_sizes, reverse) for reverse in (False, True))

    def forward(self, flat=None, x=None, state=None, **options):
        params = self.layout.views(self.flat if flat is None else flat)
        x = self.batch.values if x is None else x
        state = self.state if state is None else state
        return self.layer.forward(params, x, self.walks, {}, state=state, **options)

    def value(self, **changed):
        hidden, state, _ = self.forward(**changed)
        return (
            np.vdot(hidden.steps, self.at.steps)
            + np.vdot(hidden.last, self.at.last)
            + np.vdot(state, self.at_state)
        )

    def backward(self, at=None):
        """Gradients at parameters, inputs and the state to start from."""
        *_, caches = self.forward()
        gradient = np.zeros_like(self.flat)
        params, views = self.layout.views(self.flat), self.layout.views(gradient)
        dx, dstate = self.layer.backward(
            params, at or self.at, caches, views, self.at_state, need_inputs=True
        )
        return gradient, dx, dstate


# --- parameters ---


@by_width
def test_shapes_and_names_follow_the_directions(bidirectional):
    layer = LSTMLayer("lstm_7", D, H, bidirectional)
    names = ("lstm_7", "lstm_7_reverse")[: 1 + bidirectional]
    shapes = {"weight_ih": (D, 4 * H), "weight_hh": (H, 4 * H), "bias": (4 * H,)}
    assert layer.width == H * len(names)
    expected = [(f"{name}.{part}", shape) for name in names for part, shape in shapes.items()]
    assert list(layer.shapes().items()) == expected


def test_every_gate_starts_with_its_own_weights(seed):
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


def test_directions_stand_beside_each_other_as_a_plain_lstm_has_them(rng):
    problem = Problem.draw(rng, bidirectional=True)
    hidden, state, _ = problem.forward()
    both = weights_of([problem.layer], problem.layout.views(problem.flat))
    for k in range(len(RAGGED)):
        rows = np.flatnonzero(problem.batch.row_of == k)
        for way, weights in enumerate(both):
            order = rows[::-1] if way else rows
            h0, c0 = (part[k] for part in problem.state[way])
            x, part = problem.batch.values[order], slice(way * H, (way + 1) * H)
            hs, cs, _ = naive_lstm(x, weights, h0, c0, np.ones(H))
            assert_close(hidden.steps[order, part], hs, 1e-12)
            assert_close(hidden.last[k, part], hs[-1], 1e-12)
            assert_close(np.stack(state[way])[:, k], np.stack([hs[-1], cs[-1]]), 1e-12)


@by_dtype
@by_width
@pytest.mark.parametrize("need_steps", [False, True])
@pytest.mark.parametrize("from_zero", [False, True])
def test_inference_equals_forward(bidirectional, need_steps, from_zero, dtype, rng):
    problem = Problem.draw(rng, bidirectional, dtype=dtype)
    params, x = problem.layout.views(problem.flat), problem.batch.values
    start = None if from_zero else problem.state
    before = np.copy(problem.state)
    expected, final, _ = problem.layer.forward(params, x, problem.walks, {}, need_steps, start)
    hidden, state = problem.layer.infer(params, x, problem.walks, need_steps, start)
    assert_close(state, final, ROUNDING[dtype])
    assert_close(hidden.last, expected.last, ROUNDING[dtype])
    if need_steps:
        assert_close(hidden.steps, expected.steps, ROUNDING[dtype])
    else:
        assert hidden.steps is expected.steps is None
    np.testing.assert_array_equal(problem.state, before)


# --- backward ---


@by_width
def test_gradient_of_parameters_inputs_and_state_against_differences(bidirectional, rng):
    problem = Problem.draw(rng, bidirectional)
    gradient, dx, dstate = problem.backward()
    blocks = problem.layout.slices.values()
    assert_gradient(lambda v: problem.value(flat=v), problem.flat, gradient, rng, blocks)
    assert_gradient(lambda v: problem.value(x=v), problem.batch.values, dx, rng)
    assert_gradient(lambda v: problem.value(state=v), np.array(problem.state), dstate, rng)


def test_every_single_entry_of_the_gradient(rng):
    problem = Problem.draw(rng, bidirectional=True)
    assert_every_entry(lambda v: problem.value(flat=v), problem.flat, problem.backward()[0])


@by_width
def test_gradients_at_steps_ends_and_states_add_up(bidirectional, rng):
    problem = Problem.draw(rng, bidirectional)
    total, *_ = problem.backward()
    steps, *_ = problem.backward(Hidden(problem.at.steps, None))
    last, *_ = problem.backward(Hidden(None, problem.at.last))
    none, *_ = problem.backward(Hidden(None, None))
    assert_close(steps + last - none, total, 1e-13)


@pytest.mark.parametrize("n_steps", [1, 2, 5])
def test_a_batch_walked_in_two_segments(n_steps, rng):
    """State goes from one to the next, its gradient from the next to the one."""
    problem = Problem.draw(rng, bidirectional=False)
    layer, params, batch = problem.layer, problem.layout.views(problem.flat), problem.batch
    hidden, final, _ = problem.forward()
    gradient, dx, dstate = problem.backward()

    cut, n = int(batch.batch_sizes[:n_steps].sum()), int(batch.batch_sizes[n_steps])
    sizes = batch.batch_sizes[:n_steps], batch.batch_sizes[n_steps:]
    early, late = ((SlotLayout(part, False), SlotLayout(part, True)) for part in sizes)
    x = batch.values
    one, middle, caches = layer.forward(params, x[:cut], early, {}, state=problem.state)
    running = [(h[:n], c[:n]) for h, c in middle]
    two, end, late_caches = layer.forward(params, x[cut:], late, {}, state=running)
    assert_close(np.concatenate([one.steps, two.steps]), hidden.steps, 1e-12)
    for found, rest, expected in zip(end[0], middle[0], final[0], strict=True):
        assert_close(np.concatenate([found, rest[n:]]), expected, 1e-12)
    assert_close(np.concatenate([two.last, one.last[n:]]), hidden.last, 1e-12)

    found = np.zeros_like(problem.flat)
    views, at = problem.layout.views(found), problem.at
    at_end = [(dh[:n], dc[:n]) for dh, dc in problem.at_state]
    late_dx, [back] = layer.backward(
        params, Hidden(at.steps[cut:], at.last[:n]), late_caches, views, at_end, need_inputs=True
    )
    [at_state], at_last = problem.at_state, at.last.copy()
    at_last[:n] = 0  # carried by the state that the second segment began with
    at_middle = [np.concatenate([dh, rest[n:]]) for dh, rest in zip(back, at_state, strict=True)]
    early_dx, start = layer.backward(
        params, Hidden(at.steps[:cut], at_last), caches, views, [at_middle], need_inputs=True
    )
    assert_close(found, gradient, 1e-12)
    assert_close(np.concatenate([early_dx, late_dx]), dx, 1e-12)
    assert_close(start, dstate, 1e-12)


# --- PyTorch ---


@by_dtype
@by_width
def test_forward_and_gradients_equal_pytorchs(bidirectional, dtype, rng):
    """Initial states, and gradients at the final ones, go with it."""
    torch = pytest.importorskip("torch")
    lengths = (30, 1, 17, 30, 2)
    problem = Problem.draw(rng, bidirectional, lengths, dtype)
    rival = to_torch(torch, [problem.layer], problem.layout.views(problem.flat))
    x = torch.from_numpy(problem.batch.values).requires_grad_()
    packed = torch.nn.utils.rnn.PackedSequence(x, torch.from_numpy(problem.batch.batch_sizes))
    start = [
        torch.from_numpy(np.array(part)).requires_grad_()
        for part in zip(*problem.state, strict=True)
    ]
    steps, end = rival(packed, tuple(start))
    at_end = [torch.from_numpy(np.array(part)) for part in zip(*problem.at_state, strict=True)]
    value = (steps.data * torch.from_numpy(problem.at.steps)).sum()
    value = value + sum((a * b).sum() for a, b in zip(end, at_end, strict=True))
    value.backward()

    hidden, state, _ = problem.forward()
    tolerance = ROUNDING[dtype]
    assert_close(hidden.steps, steps.data.detach().numpy(), tolerance)
    for found, expected in zip(zip(*state, strict=True), end, strict=True):
        assert_close(np.array(found), expected.detach().numpy(), tolerance)
    gradient, dx, dstate = problem.backward(Hidden(problem.at.steps, None))
    assert_close(gradient, torch_gradient(rival), tolerance)
    assert_close(dx, x.grad.numpy(), tolerance)
    for found, theirs in zip(zip(*dstate, strict=True), start, strict=True):
        assert_close(np.array(found), theirs.grad.numpy(), tolerance)
