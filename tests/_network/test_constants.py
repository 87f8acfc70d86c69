"""The least loss of a constant prediction, compared with a minimiser."""

import numpy as np
import pytest
from scipy.optimize import minimize

from sklstm._network import constants, losses

N = 41
REGRESSION = [
    losses.SquaredError(),
    losses.AbsoluteError(),
    losses.Quantile(0.2),
    losses.Quantiles([0.1, 0.5, 0.8]),
    losses.Gaussian(),
    losses.Poisson(),
]


def least_loss(loss, targets, weights, n_raw):
    def value(raw):
        rows = np.tile(raw, (N, 1))
        return loss.loss_gradient(targets, rows, weights)[0] / weights.sum()

    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20000, "maxfev": 20000}
    starts = [np.zeros(n_raw), np.full(n_raw, 0.7)]
    return min(minimize(value, x, method="Nelder-Mead", options=options).fun for x in starts)


@pytest.mark.parametrize("loss", REGRESSION, ids=lambda loss: type(loss).__name__)
def test_regression(loss, rng, monkeypatch):
    monkeypatch.setattr(constants, "BLOCK_NUMBERS", 7)
    targets = rng.exponential(size=(N, 1))
    weights = rng.uniform(0.1, 3, N)
    found = constants.loss_of_constant(loss, targets, weights, 1)
    least = least_loss(loss, targets, weights, len(loss.outputs(1)))
    # It is the loss of some constant; the minimiser may end above the least one.
    assert least - 0.1 < found <= least + 1e-5 * abs(least)


def test_several_outputs_are_independent(rng):
    targets, weights = rng.exponential(size=(N, 3)), rng.uniform(0.1, 3, N)
    for loss in REGRESSION:
        single = [constants.loss_of_constant(loss, targets[:, [k]], weights, 1) for k in range(3)]
        found = constants.loss_of_constant(loss, targets, weights, 1)
        assert found == pytest.approx(np.mean(single), rel=1e-9)


def test_a_constant_target_has_a_deviation_of_one(rng):
    """The least Gaussian loss of a constant target is one that no fit comes close to."""
    targets, weights = rng.exponential(size=(N, 1)), rng.uniform(0.1, 3, N)
    single = constants.loss_of_constant(losses.Gaussian(), targets, weights, 2)
    for constant in (0.0, 1e-9):
        both = np.hstack([targets, np.full((N, 1), constant)])
        found = constants.loss_of_constant(losses.Gaussian(), both, weights, 4)
        assert found == pytest.approx(single / 2, abs=1e-8)


def test_huber_is_close_to_the_least_loss(rng):
    targets, weights = rng.exponential(size=(N, 1)), rng.uniform(0.1, 3, N)
    loss = losses.Huber(1.35)
    found = constants.loss_of_constant(loss, targets, weights, 1)
    least = least_loss(loss, targets, weights, 1)
    assert least * (1 - 1e-9) <= found < least * 1.1


def test_classification(rng):
    codes, weights = rng.permutation(np.arange(N) % 3), rng.uniform(0.1, 3, N)
    shares = np.array([weights[codes == k].sum() for k in range(3)]) / weights.sum()
    entropy = -(shares * np.log(shares)).sum()
    loss = losses.CategoricalCrossEntropy()
    assert constants.loss_of_constant(loss, codes, weights, 3) == pytest.approx(entropy, rel=1e-12)
    labels = np.column_stack([codes == 0, codes == 1]).astype(float)
    binary = [-(p * np.log(p) + (1 - p) * np.log(1 - p)) for p in shares[:2]]
    found = constants.loss_of_constant(losses.MultilabelCrossEntropy(), labels, weights, 2)
    assert found == pytest.approx(sum(binary), rel=1e-12)
    found = constants.loss_of_constant(losses.BinaryCrossEntropy(), labels[:, :1], weights, 1)
    assert found == pytest.approx(binary[0], rel=1e-12)


def test_a_last_class_without_samples_counts_for_smoothed_labels(rng):
    loss, codes = losses.CategoricalCrossEntropy(0.2), np.arange(N) % 2
    found = constants.loss_of_constant(loss, codes, np.ones(N), 3)
    assert found == pytest.approx(least_loss(loss, codes, np.ones(N), 3), rel=1e-6)
    assert found == pytest.approx(0.892, abs=1e-3)


def test_smoothed_labels(rng):
    """The best constant is found by minimisation."""
    codes, weights = rng.permutation(np.arange(N) % 3), rng.uniform(0.1, 3, N)
    labels = np.column_stack([codes == 0, codes > 0]).astype(float)
    for loss, targets, n_raw in [
        (losses.CategoricalCrossEntropy(0.2), codes, 3),
        (losses.BinaryCrossEntropy(0.2), labels[:, :1], 1),
        (losses.MultilabelCrossEntropy(0.2), labels, 2),
    ]:
        found = constants.loss_of_constant(loss, targets, weights, n_raw)
        assert found == pytest.approx(least_loss(loss, targets, weights, n_raw), rel=1e-6)


def test_a_class_or_label_that_does_not_occur(rng):
    weights = np.ones(N)
    codes = np.where(np.arange(N) % 2, 0, 2)
    loss = losses.CategoricalCrossEntropy()
    assert constants.loss_of_constant(loss, codes, weights, 3) == pytest.approx(0.69, abs=0.01)
    zeros = np.zeros((N, 2))
    for loss in (losses.MultilabelCrossEntropy(), losses.SquaredError(), losses.Poisson()):
        assert abs(constants.loss_of_constant(loss, zeros, weights, 2)) < 1e-100
