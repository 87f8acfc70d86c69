"""Stacked steps: order, padding, weights and errors."""

import re

import numpy as np
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
    ({"sample_weight": ["a", "b"]}, "sample_weight: expected numbers: could not convert string"),
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
