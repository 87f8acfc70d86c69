import numpy as np
import pytest

from sklstm._network.dropout import apply, draw_mask
from sklstm._network.hidden import HiddenStates


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_mask_has_the_rate_of_zeros_and_a_mean_of_one(rate, dtype, seed):
    mask = draw_mask(np.random.RandomState(seed), (200, 500), rate, dtype)
    assert mask.dtype == dtype
    assert set(np.unique(mask)) == {0, dtype(1 / (1 - rate))}
    assert np.mean(mask == 0) == pytest.approx(rate, abs=0.01)  # six standard deviations
    assert mask.mean(dtype=np.float64) == pytest.approx(1, abs=0.07)


def test_masks_do_not_depend_on_the_dtype(seed):
    masks = [draw_mask(np.random.RandomState(seed), (9, 7), 0.5, t) for t in (np.float32, float)]
    np.testing.assert_array_equal(*masks)


def test_a_rate_of_zero_keeps_everything(seed):
    np.testing.assert_array_equal(draw_mask(np.random.RandomState(seed), (9, 7), 0.0, float), 1)


def test_each_step_of_a_sequence_has_the_same_mask():
    mask, row_of = np.array([[0.0, 2.0], [2.0, 0.0]]), np.array([0, 1, 0, 0])
    hidden = apply(HiddenStates(np.ones((4, 2)), np.full((2, 2), 3.0)), mask, row_of)
    np.testing.assert_array_equal(hidden.steps, [[0, 2], [2, 0], [0, 2], [0, 2]])
    np.testing.assert_array_equal(hidden.last, [[0, 6], [6, 0]])


def test_hidden_states_that_are_not_needed_stay_none():
    mask, row_of = np.ones((2, 3)), np.array([0, 1, 0])
    assert apply(HiddenStates(np.ones((3, 3)), None), mask, row_of).last is None
    assert apply(HiddenStates(None, np.ones((2, 3))), mask, row_of).steps is None
