"""The whole network: gradients through loss and penalty, comparisons, settings, parameters, masks.

Shapes: ``n`` sequences, ``P`` packed rows, ``K`` outputs.
"""

from dataclasses import replace

import numpy as np
import pytest
from numerics import (
    LOSSES,
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

from sklstm._network.initializers import lstm_bias
from sklstm._network.losses import CategoricalCrossEntropy
from sklstm._network.network import SequenceNetwork
from sklstm._network.pooling import POOLINGS
from sklstm._training.objective import Objective
from sklstm._training.samples import Samples

STACKS = {1: (3,), 2: (3, 2), 3: (2, 3, 2)}
DROPOUT = {"dropout": 0.3, "recurrent_dropout": 0.4}

by_width = pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "both"])
by_depth = pytest.mark.parametrize("sizes", STACKS.values(), ids=map(str, STACKS))
by_pooling = pytest.mark.parametrize("pooling", POOLINGS)
by_loss = pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES)
by_dropout = pytest.mark.parametrize("rates", [{}, DROPOUT], ids=["plain", "dropout"])
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def draw_parameters(rng, network, scale=0.5, dtype=np.float64):
    return rng.normal(0, scale, network.layout.size).astype(dtype)


def draw_masks(network, seed, batch, dtype=np.float64):
    """Return masks in packed order."""
    masks = network.draw_masks(np.random.RandomState(seed), len(batch), dtype)
    return {name: mask[batch.order] for name, mask in masks.items()}


# --- gradients, through the objective ---


def check_objective(rng, seed, case, sizes, lengths=RAGGED, check=assert_gradient, **options):
    """Check network, loss and penalty, with one weight of zero and the same masks in each call."""
    network = SequenceNetwork(2, sizes, case.n_outputs, **options)
    n = len(lengths)
    weights = np.concatenate([[0.0], rng.uniform(0.5, 2, n - 1)])
    samples = Samples(draw_sequences(rng, lengths), case.draw(rng, n), weights)
    objective = Objective(network, case.loss, samples, alpha=0.3)

    def evaluate(parameters):
        return objective(parameters, None, np.random.RandomState(seed))

    parameters = draw_parameters(rng, network)
    gradient = evaluate(parameters)[1]
    more = (rng, network.layout.slices.values()) if check is assert_gradient else ()
    check(lambda v: evaluate(v)[0], parameters, gradient, *more)


@by_dropout
@by_pooling
@by_width
@by_depth
def test_gradient_of_every_network_against_differences(
    sizes, bidirectional, pooling, rates, rng, seed
):
    case = LOSSES["categorical"]
    check_objective(rng, seed, case, sizes, bidirectional=bidirectional, pooling=pooling, **rates)


@by_loss
@by_pooling
def test_gradient_of_every_loss_against_differences(case, pooling, rng, seed):
    check_objective(rng, seed, case, (3, 2), bidirectional=True, pooling=pooling, **DROPOUT)


@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_gradient_with_one_kind_of_dropout(rate, rng, seed):
    check_objective(
        rng, seed, LOSSES["squared"], (3, 2), bidirectional=True, pooling="mean", **{rate: 0.5}
    )


@pytest.mark.parametrize("lengths", [(1, 1), (1,) * 7, (4, 4, 4), (9, 1)], ids=str)
def test_gradient_for_other_lengths(lengths, rng, seed):
    case = LOSSES["squared"]
    check_objective(rng, seed, case, (3, 2), lengths, bidirectional=True, pooling="mean_max")


@by_dropout
def test_each_entry_of_the_gradient_against_differences(rates, rng, seed):
    case, check = LOSSES["multilabel"], assert_every_entry
    check_objective(
        rng, seed, case, (2, 2), check=check, bidirectional=True, pooling="mean", **rates
    )


@pytest.mark.parametrize("pooling", ["last", "mean_max"])
def test_gradient_at_realistic_size(pooling, rng, seed):
    """Along a random direction, as HIPS autograd checks its gradients."""
    lengths = (100, 1, *rng.integers(2, 100, 4).tolist())
    network = SequenceNetwork(2, (64, 64), 3, bidirectional=True, pooling=pooling, **DROPOUT)
    samples = Samples(
        draw_sequences(rng, lengths), rng.integers(0, 3, len(lengths)), np.ones(len(lengths))
    )
    objective = Objective(network, CategoricalCrossEntropy(), samples, alpha=1e-2)
    parameters = draw_parameters(rng, network, 0.15)

    def evaluate(changed):
        return objective(changed, None, np.random.RandomState(seed))

    parts = network.layout.slices.values()
    gradient = evaluate(parameters)[1]
    assert_gradient(lambda v: evaluate(v)[0], parameters, gradient, rng, parts)


# --- gradients without the objective: predictions for each step, and inputs ---


@by_loss
@by_width
@by_depth
def test_gradient_of_predictions_for_each_step(sizes, bidirectional, case, rng, seed):
    network = SequenceNetwork(
        2, sizes, case.n_outputs, bidirectional=bidirectional, pooling=None, **DROPOUT
    )
    parameters, batch = draw_parameters(rng, network), draw_sequences(rng).pack()
    masks, layout = draw_masks(network, seed, batch), network.layout
    targets, weights = case.draw(rng, len(batch.values)), rng.uniform(0.5, 2, len(batch.values))

    def evaluate(changed):
        raw, cache = network.forward(layout.views(changed), batch, masks)
        return *case.loss.loss_gradient(targets, raw, weights), cache

    _, draw, cache = evaluate(parameters)
    assert draw.shape == (len(batch.values), case.n_outputs)
    gradient = np.zeros_like(parameters)
    network.backward(layout.views(parameters), draw, cache, layout.views(gradient))
    parts = layout.slices.values()
    assert_gradient(lambda v: evaluate(v)[0], parameters, gradient, rng, parts)


@by_dropout
@by_width
@by_depth
@pytest.mark.parametrize("pooling", [*POOLINGS, None])
def test_gradient_at_the_inputs(pooling, sizes, bidirectional, rates, rng, seed):
    network = SequenceNetwork(2, sizes, 2, bidirectional=bidirectional, pooling=pooling, **rates)
    parameters, batch = draw_parameters(rng, network), draw_sequences(rng).pack()
    masks, params = draw_masks(network, seed, batch), network.layout.views(parameters)
    raw, cache = network.forward(params, batch, masks)
    draw, gradient = rng.standard_normal(raw.shape), np.zeros_like(parameters)
    views = network.layout.views(gradient)
    dx = network.backward(params, draw, cache, views, need_inputs=True)

    def value(x):
        return np.vdot(network.forward(params, replace(batch, values=x), masks)[0], draw)

    if rates:  # a sequence has no gradient if all of its states are dropped
        assert_gradient(value, batch.values, dx, rng)
    else:
        of_sequence = [batch.row_of == k for k in range(len(batch))]
        assert_gradient(value, batch.values, dx, rng, of_sequence)
    without = np.zeros_like(parameters)
    assert network.backward(params, draw, cache, network.layout.views(without)) is None
    np.testing.assert_array_equal(without, gradient)


def test_gradients_are_added_to_previous_ones(rng):
    network = SequenceNetwork(2, (3, 2), 2, bidirectional=True, pooling="mean_max")
    parameters, batch = draw_parameters(rng, network), draw_sequences(rng).pack()
    params = network.layout.views(parameters)
    raw, cache = network.forward(params, batch)
    zeros, ones = np.zeros_like(parameters), np.ones_like(parameters)
    for gradient in (zeros, ones):
        network.backward(params, raw, cache, network.layout.views(gradient))
    assert_close(ones, 1 + zeros, 1e-14)


# --- comparison with a plain network, one sequence at a time ---

POOLED = {
    "last": lambda steps, last: last,
    "mean": lambda steps, last: steps.mean(axis=0),
    "max": lambda steps, last: steps.max(axis=0),
    "mean_max": lambda steps, last: np.concatenate([steps.mean(axis=0), steps.max(axis=0)]),
    None: lambda steps, last: steps,
}


def naive_network(network, params, x):
    """Return the raw prediction for one sequence, computed by a plain LSTM."""
    for layer in network.layers:
        ends, directions = [], []
        for reverse, weights in enumerate(weights_of([layer], params)):
            order = slice(None, None, -1 if reverse else 1)
            zero, one = np.zeros(layer.hidden), np.ones(layer.hidden)
            hs, _, _ = naive_lstm(x[order], weights, zero, zero, one)
            directions.append(hs[order])
            ends.append(hs[-1])
        x = np.concatenate(directions, axis=1)
    pooled = POOLED[network.pooling](x, np.concatenate(ends))
    return pooled @ params["dense.weight"] + params["dense.bias"]


@by_dtype
@by_width
@by_depth
@pytest.mark.parametrize("pooling", [*POOLINGS, None])
def test_forward_equals_a_plain_network(pooling, sizes, bidirectional, dtype, rng):
    network = SequenceNetwork(2, sizes, 2, bidirectional=bidirectional, pooling=pooling)
    parameters, sequences = draw_parameters(rng, network, 0.5, dtype), draw_sequences(rng)
    exact = network.layout.views(parameters.astype(np.float64))
    values = sequences.values.astype(dtype)
    batch, sequences = replace(sequences, values=values).pack(), list(sequences)
    params = network.layout.views(parameters)
    exact_sequences = [x.astype(dtype).astype(np.float64) for x in sequences]
    expected = [naive_network(network, exact, x) for x in exact_sequences]
    raw, _ = network.forward(params, batch)
    actual = [raw, network.predict(params, batch)]
    for result in actual:
        assert result.dtype == dtype
        restored = batch.unpack(result) if pooling is None else batch.restore(result)
        rows = np.concatenate(expected) if pooling is None else np.stack(expected)
        assert_close(restored.astype(np.float64), rows, ROUNDING[dtype])


@by_dtype
@by_dropout
@by_width
@by_depth
@pytest.mark.parametrize("pooling", [*POOLINGS, None])
def test_gradients_of_single_sequences_sum_to_that_of_the_batch(
    pooling, sizes, bidirectional, rates, dtype, rng, seed
):
    network = SequenceNetwork(2, sizes, 2, bidirectional=bidirectional, pooling=pooling, **rates)
    parameters = draw_parameters(rng, network, 0.5, dtype)
    params, sequences = network.layout.views(parameters), draw_sequences(rng, dtype=dtype)
    masks = network.draw_masks(np.random.RandomState(seed), len(sequences), dtype)
    rows = len(sequences) if pooling is not None else len(sequences.values)
    draw = rng.standard_normal((rows, 2)).astype(dtype)

    def forward_and_backward(indices, draw):
        batch, gradient = sequences.pack(indices), np.zeros_like(parameters)
        of_batch = {name: mask[indices][batch.order] for name, mask in masks.items()}
        raw, cache = network.forward(params, batch, of_batch)
        restore = batch.unpack if pooling is None else batch.restore
        packed = draw[restore(np.arange(len(raw))).argsort()]
        views = network.layout.views(gradient)
        dx = network.backward(params, packed, cache, views, need_inputs=True)
        return restore(raw), batch.unpack(dx), gradient

    each = np.arange(len(sequences))
    starts = sequences.starts[1:] if pooling is None else each[1:]
    singles = [
        forward_and_backward(each[k : k + 1], part) for k, part in enumerate(np.split(draw, starts))
    ]
    raw, dx, gradient = forward_and_backward(each, draw)
    assert_close(raw, np.concatenate([single[0] for single in singles]), ROUNDING[dtype])
    assert_close(dx, np.concatenate([single[1] for single in singles]), ROUNDING[dtype])
    assert_close(gradient, sum(single[2] for single in singles), ROUNDING[dtype])


@by_width
@by_pooling
def test_predictions_are_computed_from_the_hidden_states(pooling, bidirectional, rng):
    network = SequenceNetwork(2, (3, 2), 1, bidirectional=bidirectional, pooling=pooling)
    params = network.layout.views(draw_parameters(rng, network))
    batch = draw_sequences(rng).pack()
    hidden = network.hidden_states(params, batch)
    steps = np.split(batch.unpack(hidden.steps), np.cumsum(RAGGED)[:-1])
    pairs = zip(steps, batch.restore(hidden.last), strict=True)
    pooled = np.stack([POOLED[pooling](*pair) for pair in pairs])
    raw = pooled @ params["dense.weight"] + params["dense.bias"]
    assert_close(batch.restore(network.predict(params, batch)), raw, 1e-13)
    if bidirectional:  # the forward state at the last step, the reverse one at the first
        for k, rows in enumerate(steps):
            ends = np.concatenate([rows[-1, :2], rows[0, 2:]])
            np.testing.assert_array_equal(batch.restore(hidden.last)[k], ends)
    else:
        np.testing.assert_array_equal(batch.restore(hidden.last), [rows[-1] for rows in steps])
    pooled = network.initial_pooled(len(RAGGED), params)
    assert network.hidden_states(params, batch, pooled).steps is None


@by_width
@by_pooling
def test_dropout_multiplies_the_hidden_states_of_all_steps(pooling, bidirectional, rng, seed):
    network = SequenceNetwork(2, (3,), 1, bidirectional=bidirectional, pooling=pooling, dropout=0.5)
    params, batch = network.layout.views(draw_parameters(rng, network)), draw_sequences(rng).pack()
    masks = draw_masks(network, seed, batch)
    hidden, mask = network.hidden_states(params, batch), masks["lstm_0.output"]
    steps = np.split(batch.unpack(hidden.steps * mask[batch.row_of]), np.cumsum(RAGGED)[:-1])
    pairs = zip(steps, batch.restore(hidden.last * mask), strict=True)
    pooled = np.stack([POOLED[pooling](*pair) for pair in pairs])
    raw = pooled @ params["dense.weight"] + params["dense.bias"]
    assert_close(batch.restore(network.forward(params, batch, masks)[0]), raw, 1e-13)


# --- settings ---

SETTINGS = {
    "defaults": {},
    "all": {
        "bidirectional": True,
        "pooling": "mean_max",
        "dropout": 0.25,
        "recurrent_dropout": 0.5,
        "vocabulary_size": 7,
    },
    "numpy scalars": {
        "bidirectional": np.True_,
        "pooling": None,
        "dropout": np.float32(0.5),
        "vocabulary_size": np.int64(7),
    },
}


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_a_network_is_equal_to_one_made_from_its_settings(options, seed):
    network = SequenceNetwork(np.int64(2), (np.int32(3), 4), 5, **options)
    settings = network.settings()
    again = SequenceNetwork(**settings)
    assert again.settings() == settings
    assert list(again.layout.shapes.items()) == list(network.layout.shapes.items())
    assert again.layers == network.layers
    vectors = (
        each.initialize(np.random.RandomState(seed), np.float32, 1.0) for each in (network, again)
    )
    np.testing.assert_array_equal(*vectors)
    masks, masks_again = (
        each.draw_masks(np.random.RandomState(seed), 6, np.float32) for each in (network, again)
    )
    assert masks.keys() == masks_again.keys()
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, masks_again[name])


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_settings_are_plain_values(options):
    settings = SequenceNetwork(np.int64(2), [np.int32(3), 4], 5, **options).settings()
    sizes = settings.pop("hidden_layer_sizes")
    assert type(sizes) is tuple
    for value in (*sizes, *settings.values()):
        assert type(value) in (type(None), bool, int, float, str)


# --- PyTorch ---


@by_dtype
@pytest.mark.parametrize("pooling", ["last", "mean_max", None])
def test_forward_and_gradients_equal_those_of_pytorch(pooling, dtype, rng):
    torch = pytest.importorskip("torch")
    lengths = [50, 1, 23, 50, 2, *rng.integers(1, 50, 11).tolist()]
    network = SequenceNetwork(4, (24, 24, 24), 3, bidirectional=True, pooling=pooling)
    parameters = draw_parameters(rng, network, 0.2, dtype)
    sequences = draw_sequences(rng, lengths, 4, dtype)
    batch, params = sequences.pack(), network.layout.views(parameters)
    n_rows = sum(lengths) if pooling is None else len(lengths)
    targets, weights = rng.integers(0, 3, n_rows), rng.uniform(0.5, 2, n_rows).astype(dtype)

    raw, cache = network.forward(params, batch)
    restore = batch.unpack if pooling is None else batch.restore
    position = restore(np.arange(n_rows)).argsort()  # of each packed row in the order of targets
    _, draw = CategoricalCrossEntropy().loss_gradient(targets[position], raw, weights[position])
    gradient = np.zeros_like(parameters)
    views = network.layout.views(gradient)
    dx = network.backward(params, draw, cache, views, need_inputs=True)

    reference = to_torch(torch, network.layers, params)
    weight, bias = (
        torch.from_numpy(params[f"dense.{part}"].copy()).requires_grad_()
        for part in ("weight", "bias")
    )
    inputs = [torch.from_numpy(x.copy()).requires_grad_() for x in sequences]
    padded = torch.nn.utils.rnn.pad_sequence(inputs)
    packed = torch.nn.utils.rnn.pack_padded_sequence(padded, lengths, enforce_sorted=False)
    steps, (h, _) = reference(packed)
    pooled = torch_pooled(torch, pooling, steps, h)
    theirs = pooled @ weight + bias
    losses = torch.nn.functional.cross_entropy(theirs, torch.from_numpy(targets), reduction="none")
    (losses * torch.from_numpy(weights)).sum().backward()

    tolerance = ROUNDING[dtype]
    assert_close(restore(raw), theirs.detach().numpy(), tolerance)
    output_layer = [part.grad.numpy().ravel() for part in (weight, bias)]
    assert_close(gradient, np.concatenate([torch_gradient(reference), *output_layer]), tolerance)
    assert_close(batch.unpack(dx), np.concatenate([x.grad.numpy() for x in inputs]), tolerance)


def torch_pooled(torch, pooling, steps, h):
    if pooling == "last":
        return torch.cat([h[-2], h[-1]], dim=1)
    outputs, lengths = torch.nn.utils.rnn.pad_packed_sequence(steps, batch_first=True)
    sequences = [rows[:length] for rows, length in zip(outputs, lengths, strict=True)]
    if pooling is None:
        return torch.cat(sequences)
    both = [torch.cat([rows.mean(dim=0), rows.max(dim=0).values]) for rows in sequences]
    return torch.stack(both)


# --- parameters and masks ---


def test_names_and_shapes_of_all_parameters_in_order():
    network = SequenceNetwork(2, (3, 4), 5, bidirectional=True, pooling="mean_max")
    assert {name: view for name, view in network.layout.shapes.items()} == {
        "lstm_0.weight_ih": (2, 12),
        "lstm_0.weight_hh": (3, 12),
        "lstm_0.bias": (12,),
        "lstm_0_reverse.weight_ih": (2, 12),
        "lstm_0_reverse.weight_hh": (3, 12),
        "lstm_0_reverse.bias": (12,),
        "lstm_1.weight_ih": (6, 16),
        "lstm_1.weight_hh": (4, 16),
        "lstm_1.bias": (16,),
        "lstm_1_reverse.weight_ih": (6, 16),
        "lstm_1_reverse.weight_hh": (4, 16),
        "lstm_1_reverse.bias": (16,),
        "dense.weight": (16, 5),
        "dense.bias": (5,),
    }
    assert list(network.layout.shapes)[-2:] == ["dense.weight", "dense.bias"]


@by_dtype
def test_initial_weights_are_complete_and_reproducible(dtype, seed):
    network = SequenceNetwork(5, (4, 3), 2, bidirectional=True, pooling="mean")
    flat, again = (network.initialize(np.random.RandomState(seed), dtype, 1.5) for _ in range(2))
    np.testing.assert_array_equal(flat, again)
    exact = network.initialize(np.random.RandomState(seed), np.float64, 1.5)
    np.testing.assert_array_equal(flat, exact.astype(dtype))
    params = network.layout.views(flat)
    for name, view in params.items():
        if name.startswith("lstm") and name.endswith("bias"):
            np.testing.assert_array_equal(view, lstm_bias(len(view) // 4, 1.5))
        elif name.endswith("bias"):
            assert not view.any()
        else:
            assert view.all()
    bound = np.sqrt(6 / (6 + 2))
    assert np.abs(params["dense.weight"]).max() <= bound


@pytest.mark.parametrize("rates", [{}, {"dropout": 0.5}, {"recurrent_dropout": 0.5}, DROPOUT])
def test_masks_are_drawn_for_positive_rates(rates, seed):
    network = SequenceNetwork(2, (300, 200), 1, bidirectional=True, **rates)
    masks = network.draw_masks(np.random.RandomState(seed), 50, np.float64)
    expected = {}
    for layer in network.layers:
        if "recurrent_dropout" in rates:
            expected |= {f"{name}.recurrent": (50, layer.hidden) for name in layer.directions}
        if "dropout" in rates:
            expected[f"{layer.name}.output"] = (50, layer.width)
    assert {name: mask.shape for name, mask in masks.items()} == expected
    assert network.stochastic == bool(rates)
    for name, mask in masks.items():
        rate = rates["recurrent_dropout" if name.endswith("recurrent") else "dropout"]
        assert np.mean(mask == 0) == pytest.approx(rate, abs=0.04)


def test_dropout_acts_on_the_states_of_each_layer(rng):
    """With zero masks of the last output, only the bias of the output layer is left.

    Recurrent masks have no effect on sequences of one step.
    """
    network = SequenceNetwork(2, (3, 2), 1, bidirectional=True, pooling="last", **DROPOUT)
    params = network.layout.views(draw_parameters(rng, network))
    sequences = draw_sequences(rng)
    masks = network.draw_masks(np.random.RandomState(0), len(RAGGED), np.float64)
    ones = {name: np.ones_like(mask) for name, mask in masks.items()}
    batch = sequences.pack()
    plain = network.predict(params, batch)
    assert_close(network.forward(params, batch, ones)[0], plain, 1e-13)
    for name, mask in ones.items():
        raw, _ = network.forward(params, batch, ones | {name: 0 * mask})
        changed = np.abs(raw - plain).max(axis=1) > 1e-9
        if name == "lstm_1.output":
            np.testing.assert_array_equal(raw, np.broadcast_to(params["dense.bias"], raw.shape))
        long = batch.lengths > 1
        expected = long if name.endswith("recurrent") else np.ones_like(long)
        np.testing.assert_array_equal(changed, expected)


def test_prediction_ignores_dropout(rng):
    plain, dropping = (SequenceNetwork(2, (3, 2), 1, **rates) for rates in ({}, DROPOUT))
    params = plain.layout.views(draw_parameters(rng, plain))
    batch = draw_sequences(rng).pack()
    np.testing.assert_array_equal(dropping.predict(params, batch), plain.predict(params, batch))
