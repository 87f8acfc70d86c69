"""Metrics of per-step targets, against scikit-learn's on steps stacked by hand."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from per_step import (
    CLASSIFICATION,
    FORMS,
    LABELS,
    REGRESSION,
    draw_labels,
    draw_lengths,
    draw_probabilities,
    metric_of,
    objects,
    step_weights,
)

from sklstm import metrics


@pytest.mark.parametrize("weighted", ["none", "sequences", "steps"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification_metrics_equal_those_of_the_stacked_steps(name, labels, form, weighted, rng):
    lengths, classes = draw_lengths(rng), LABELS[labels]
    y_true, y_pred = draw_labels(rng, lengths, classes), draw_labels(rng, lengths, classes)
    weight, flat_weight = weights_of(weighted, rng, lengths)
    metric, reference, options = metric_of(name)
    found = metric(FORMS[form](y_true), FORMS[form](y_pred), sample_weight=weight, **options)
    expected = reference(
        np.concatenate(y_true), np.concatenate(y_pred), sample_weight=flat_weight, **options
    )
    assert found == pytest.approx(expected, rel=1e-12)
    assert found < 1


def weights_of(kind, rng, lengths):
    """Weights as they are passed, and one weight for each of the stacked steps."""
    if kind == "none":
        return None, None
    if kind == "sequences":
        weight = rng.uniform(0.5, 2, size=len(lengths))
        return weight, np.repeat(weight, lengths)
    weight = step_weights(rng, lengths)
    return weight, np.concatenate(weight)


@pytest.mark.parametrize("weighted", ["none", "sequences", "steps"])
@pytest.mark.parametrize("n_outputs", [None, 1, 3])
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_metrics_equal_those_of_the_stacked_steps(name, n_outputs, weighted, rng):
    lengths = draw_lengths(rng)
    shapes = [(k,) if n_outputs is None else (k, n_outputs) for k in lengths]
    y_true, y_pred = ([rng.normal(size=shape) for shape in shapes] for _ in range(2))
    weight, flat_weight = weights_of(weighted, rng, lengths)
    metric, reference, _ = metric_of(name)
    flat = np.concatenate(y_true), np.concatenate(y_pred)
    for options in ({}, {"multioutput": "raw_values"}):
        found = metric(y_true, y_pred, sample_weight=weight, **options)
        expected = reference(*flat, sample_weight=flat_weight, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("weighted", ["none", "sequences", "steps"])
@pytest.mark.parametrize("labels", LABELS)
def test_log_loss_equals_that_of_the_stacked_steps(labels, weighted, rng):
    lengths, classes = draw_lengths(rng), LABELS[labels]
    y_true = draw_labels(rng, lengths, classes)
    proba = draw_probabilities(rng, lengths, len(classes))
    weight, flat_weight = weights_of(weighted, rng, lengths)
    found = metrics.log_loss(y_true, proba, sample_weight=weight)
    chosen = np.concatenate(proba)[np.concatenate(y_true)[:, None] == classes]
    assert found == pytest.approx(np.average(-np.log(chosen), weights=flat_weight), rel=1e-12)


def test_labels_of_log_loss_name_the_columns():
    y_true, proba = [["b"], ["b", "b"]], [[[0.5, 0.25, 0.25]], [[0.25, 0.25, 0.5]] * 2]
    found = metrics.log_loss(y_true, proba, labels=["a", "b", "c"])
    assert found == pytest.approx(np.log(4), rel=1e-12)


def test_arrays_and_lists_have_the_same_score(rng):
    y_true, y_pred = rng.integers(3, size=(2, 8, 30))
    expected = sklearn.metrics.accuracy_score(y_true.ravel(), y_pred.ravel())
    for true in (y_true, list(y_true), pd.DataFrame(y_true)):
        for predicted in (y_pred, objects(list(y_pred))):
            assert metrics.accuracy_score(true, predicted) == pytest.approx(expected, rel=1e-12)
    y_true, y_pred = rng.normal(size=(2, 8, 30, 2))
    expected = ((y_true - y_pred) ** 2).mean()
    assert metrics.mean_squared_error(y_true, list(y_pred)) == pytest.approx(expected, rel=1e-12)
