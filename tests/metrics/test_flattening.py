"""Stacked steps: order, padding, weights and errors."""

import re

import numpy as np
import pandas as pd
import pytest
from per_step import CLASSIFICATION, LABELS, REGRESSION, draw_labels, draw_lengths, metric_of, pad

from sklstm import metrics


def test_steps_are_stacked_sequence_by_sequence(rng):
    lengths = draw_lengths(rng, n=rng.integers(1, 10), shortest=1)
    y_true = [rng.integers(9, size=k) for k in lengths]
    y_pred = [rng.normal(size=(k, 4)) for k in lengths]
    weight = [rng.choice([0, 1, 3], size=k) for k in lengths]
    weight[0][0] = 1
    true, predicted, flat_weight = metrics.flatten_steps(y_true, y_pred, weight)
    triples = [
        (y_true[i][t], y_pred[i][t].tolist(), weight[i][t])
        for i, length in enumerate(lengths)
        for t in range(length)
        if weight[i][t] > 0
    ]
    found = zip(true, predicted.tolist(), flat_weight, strict=True)
    assert list(found) == triples
    assert metrics.flatten_steps(y_true, y_pred)[2] is None
    assert len(metrics.flatten_steps(y_true, y_pred)[0]) == lengths.sum()


@pytest.mark.parametrize("weight", [[[1, 1, 0], [1, 0]], [[2, 2, 0], [2, 0]]])
def test_steps_of_weight_zero_are_dropped(weight):
    y_true, y_pred = [["a", "b", "rare"], ["a", "never"]], [["a", "b", "a"], ["b", "c"]]
    kept = [["a", "b"], ["a"]], [["a", "b"], ["b"]]
    for name, options in CLASSIFICATION.items():
        metric = metric_of(name)[0]
        found = metric(y_true, y_pred, sample_weight=weight, **options)
        assert found == pytest.approx(metric(*kept, **options), rel=1e-12)
    y_true, y_pred = [[1.0, 2.0, np.nan], [4.0, 5.0]], [[1.0, 1.0, 7.0], [4.5, np.inf]]
    found = metrics.mean_absolute_error(y_true, y_pred, sample_weight=weight)
    assert found == pytest.approx(0.5, rel=1e-12)


def test_a_sequence_of_weight_zero_is_dropped():
    y_true, y_pred = [[1.0, 2.0], [np.nan]], [[2.0, 2.0], [0.0]]
    assert metrics.mean_squared_error(y_true, y_pred, sample_weight=[3, 0]) == 0.5


def test_weight_two_equals_repeating_the_step(rng):
    y_true, y_pred = rng.normal(size=(2, 5, 4))
    weight = rng.integers(1, 3, size=(5, 4))
    twice = [np.repeat(y, w) for y, w in zip(y_true, weight, strict=True)]
    twice_pred = [np.repeat(y, w) for y, w in zip(y_pred, weight, strict=True)]
    for name in REGRESSION:
        metric = metric_of(name)[0]
        found = metric(y_true, y_pred, sample_weight=weight)
        assert found == pytest.approx(metric(twice, twice_pred), rel=1e-9)


ERRORS = [
    ({"y_pred": [[1, 1], [1, 1]]}, "y_pred[1]: expected 3 step(s) as in y_true[1], got 2"),
    ({"y_pred": [[1, 1]]}, "y_pred: expected 2, one for each sequence in y_true, got 1"),
    ({"y_true": [1, 0]}, "y_true[0]: expected one sequence of shape"),
    (
        {"y_true": 1},
        "y_true: expected an array or a list with one array for each sequence, got int",
    ),
    ({"y_true": [[1, 0], []]}, "y_true[1]: expected at least one time step"),
    ({"y_true": []}, "y_true: expected at least one sequence, got none"),
    (
        {"y_pred": [np.ones((2, 2)), np.ones((3, 3))]},
        "y_pred[1]: expected 2 feature(s) as in y_pred[0], got 3 feature(s)",
    ),
    (
        {"sample_weight": [1, 1, 1]},
        "sample_weight.shape == (3,), expected (2,): one weight for each",
    ),
    ({"sample_weight": 2}, "sample_weight: expected an array of weights, got 2"),
    (
        {"sample_weight": [[1, 1], [1, 1]]},
        "sample_weight[1]: expected one weight for each of the 3 time step(s), got shape (2,)",
    ),
    (
        {"sample_weight": [[1, 1], [1, 1, -1]]},
        "sample_weight[1][2]: expected a finite weight, zero or more, got -1.0",
    ),
    ({"sample_weight": [1, np.nan]}, "sample_weight[1]: expected a finite weight"),
    ({"sample_weight": [0, 0]}, "sample_weight: expected a weight above zero"),
    ({"sample_weight": ["a", "b"]}, "sample_weight[0]: expected numbers: could not convert string"),
    (
        {"sample_weight": [[1, 1], [1, 1, 1], [1]]},
        "sample_weight: expected weights of 2 sequence(s), got 3",
    ),
    (
        {"sample_weight": [np.ones((2, 1)), np.ones((3, 1))]},
        "sample_weight[0]: expected one weight for each of the 2 time step(s), got shape (2, 1)",
    ),
]


@pytest.mark.parametrize(("change", "message"), ERRORS)
def test_error_messages_name_the_sequence(change, message):
    arguments = {"y_true": [[1, 0], [0, 0, 1]], "y_pred": [[1, 0], [0, 0, 1]]} | change
    with pytest.raises(ValueError, match=re.escape(message)):
        metrics.accuracy_score(**arguments)


# --- padding ---


@pytest.mark.parametrize("true_as", ["array", "list"])
@pytest.mark.parametrize("labels", ["two numbers", "three strings"])
def test_padding_of_predictions_is_dropped(labels, true_as, rng):
    classes, lengths = LABELS[labels], draw_lengths(rng)
    true, predicted, weight = (draw_labels(rng, lengths, classes) for _ in range(3))
    weight = [rng.uniform(1, 2, len(part)) for part in weight]
    expected = metrics.accuracy_score(true, predicted, sample_weight=weight)
    filling = None if classes.dtype.kind == "U" else float("nan")
    y_pred = pad(predicted, 12, filling)
    y_true = pad(true, 12, classes[0].item()) if true_as == "array" else true
    if true_as == "array":
        y_true = y_true.astype(classes.dtype)
    for given in (weight, pad(weight, 12, 1.0)):
        found = metrics.accuracy_score(y_true, y_pred, sample_weight=given)
        assert found == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match=r"y_pred\[1\]: expected .* step"):
        metrics.accuracy_score([*y_true[:1], y_true[1][:2], *y_true[2:]], y_pred)


# --- missing targets and predictions ---

NAN = float("nan")


@pytest.mark.parametrize("name", REGRESSION)
@pytest.mark.parametrize("form", ["list", "array", "several outputs"])
@pytest.mark.parametrize("prediction", [7.0, NAN, np.inf])
def test_steps_with_a_missing_target_are_dropped(prediction, form, name, rng):
    lengths = np.full(6, 8) if form != "list" else draw_lengths(rng, 6)
    shapes = [(k, 2) if form == "several outputs" else (k,) for k in lengths]
    true, predicted = ([rng.normal(size=shape) for shape in shapes] for _ in range(2))
    unknown = [rng.random(k) < 0.4 for k in lengths]
    for k, steps in enumerate(unknown):
        steps[-1] = k % 2  # the last step is known in some of the sequences
        steps[0] = False
        true[k][(steps, 0) if form == "several outputs" else steps] = NAN
        predicted[k][steps] = prediction
    known_steps = ~np.concatenate(unknown)
    metric, reference, _ = metric_of(name)
    expected = reference(*(np.concatenate(parts)[known_steps] for parts in (true, predicted)))
    if form != "list":
        true, predicted = np.array(true), np.array(predicted)
    assert metric(true, predicted) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("missing", [None, pd.NA, NAN], ids=str)
@pytest.mark.parametrize("labels", LABELS)
def test_steps_with_a_missing_label_are_dropped(labels, missing, rng):
    lengths, classes = draw_lengths(rng), LABELS[labels]
    true, predicted = (draw_labels(rng, lengths, classes) for _ in range(2))
    unknown = [rng.random(k) < 0.3 for k in lengths]
    for name, options in CLASSIFICATION.items():
        metric, reference, _ = metric_of(name)
        expected = reference(
            *(np.concatenate(parts)[~np.concatenate(unknown)] for parts in (true, predicted)),
            **options,
        )
        given = [y.astype(object) for y in true]
        for steps, where in zip(given, unknown, strict=True):
            steps[where] = missing
        assert metric(given, predicted, **options) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("filler", [NAN, None, -100])
def test_targets_and_predictions_of_weight_zero_may_be_anything(filler):
    y_true, y_pred = [[0, filler, 1], [1, 0]], [[0, 1, 1], [0, filler]]
    weight = [[1, 0, 1], [1, 0]]
    assert metrics.accuracy_score(y_true, y_pred, sample_weight=weight) == pytest.approx(2 / 3)
    found = metrics.mean_squared_error(y_true, y_pred, sample_weight=weight)
    assert found == pytest.approx(1 / 3)


def test_probabilities_at_unknown_steps_may_be_nan():
    proba = np.array([[[0.5, 0.5], [NAN, NAN], [0.25, 0.75]]])
    found = metrics.log_loss([["a", None, "b"]], proba, labels=["a", "b"])
    assert found == pytest.approx(-np.log([0.5, 0.75]).mean(), rel=1e-12)


@pytest.mark.parametrize("form", [list, np.array])
@pytest.mark.parametrize("dtype", [float, int])
@pytest.mark.parametrize("name", REGRESSION)
@pytest.mark.parametrize("steps", [[1], [1, 2, 3], [0, 1, 2, 3]])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_prediction_of_nan_is_an_error(weighted, steps, name, dtype, form):
    y_true = form([np.arange(4, dtype=dtype), np.arange(4, 8, dtype=dtype)])
    y_pred = np.arange(8.0).reshape(2, 4)
    y_pred[1, steps] = NAN
    weight = np.ones((2, 4)) if weighted else None
    with pytest.raises(ValueError, match=rf"y_pred\[1\], step {steps[0]}: .* got nan"):
        metric_of(name)[0](y_true, form(list(y_pred)), sample_weight=weight)
    two_true = np.stack([y_true, y_true], axis=2)
    two_predicted = np.stack([y_pred, np.where(np.isnan(y_pred), 0, y_pred)], axis=2)
    with pytest.raises(ValueError, match=rf"y_pred\[1\], step {steps[0]}: .* got \[.*nan"):
        metric_of(name)[0](two_true, two_predicted)


@pytest.mark.parametrize("missing", [None, NAN])
def test_a_missing_label_among_predictions_is_an_error(missing):
    y_pred = [["a", "b"], ["b", missing, "a"]]
    y_pred = [np.array(part, object) for part in y_pred]
    with pytest.raises(ValueError, match=r"y_pred\[1\], step 1: expected a prediction, got"):
        metrics.accuracy_score([["a", "b"], ["b", "a", "a"]], y_pred)
    y_pred[1][1:] = missing
    with pytest.raises(ValueError, match=r"y_pred\[1\], step 1: expected a prediction, got"):
        metrics.accuracy_score([["a", "b"], ["b", "a", "a"]], y_pred)


def test_a_sequence_without_any_prediction_is_an_error():
    with pytest.raises(ValueError, match=r"y_pred\[0\], step 0: expected a prediction, got nan"):
        metrics.accuracy_score(np.zeros((2, 3), int), [[NAN] * 3, [0, 0, 0]])


def test_unknown_targets_alone_are_an_error():
    with pytest.raises(ValueError, match="y_true: expected a known target at a step of weight"):
        metrics.mean_squared_error([[NAN, 1.0], [NAN]], [[1.0, 1.0], [1.0]], sample_weight=[0, 1])


@pytest.mark.parametrize("true_as", ["list", "padded with NaN"])
@pytest.mark.parametrize("n_outputs", [None, 2])
def test_padding_of_numbers_is_dropped(n_outputs, true_as, rng):
    lengths = draw_lengths(rng)
    shapes = [(k,) if n_outputs is None else (k, n_outputs) for k in lengths]
    true, predicted = ([rng.normal(size=shape) for shape in shapes] for _ in range(2))
    weight = [rng.uniform(1, 2, k) for k in lengths]
    expected = metrics.mean_squared_error(true, predicted, sample_weight=weight)
    y_true = true if true_as == "list" else pad(true, 12, NAN)
    for given in (weight, pad(weight, 12, 1.0)):
        found = metrics.mean_squared_error(y_true, pad(predicted, 12, NAN), sample_weight=given)
        assert found == pytest.approx(expected, rel=1e-12)
