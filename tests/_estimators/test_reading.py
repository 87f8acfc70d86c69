"""Samples from X, y and weights."""

import numpy as np
import pytest

from sklstm._estimators.reading import hold_out
from sklstm._training.samples import Samples
from sklstm.sequences import check_sequences


@pytest.mark.parametrize("seed", range(6))
def test_held_out_samples_have_the_shares_of_the_classes(seed):
    sequences = check_sequences([np.zeros((3, 1))] * 50)
    samples = Samples(sequences, np.repeat([0, 1], [40, 10]), np.ones(50))
    kept, held_out = hold_out(samples, 0.2, seed)
    assert np.bincount(held_out.targets).tolist() == [8, 2]
    assert np.bincount(kept.targets).tolist() == [32, 8]
