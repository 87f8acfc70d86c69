"""Samples: selection, dtypes, and the merging of equal samples."""

import numpy as np
import pytest
from _training.problems import draw_samples, with_weights

from sklstm._training.samples import Samples
from sklstm.sequences import Sequences


def bits(samples):
    """Everything that training reads."""
    parts = samples.sequences.values, samples.sequences.lengths, samples.targets, samples.weights
    return [(part.dtype, part.shape, part.tobytes()) for part in parts]


def test_take_selects_sequences_targets_and_weights(rng):
    samples, indices = draw_samples(rng, 8), np.array([5, 0, 5, 7])
    taken = samples.take(indices)
    assert len(taken) == 4
    assert taken.totals == (samples.weights[indices].sum(), 4)
    np.testing.assert_array_equal(taken.targets, samples.targets[indices])
    for sequence, k in zip(taken.sequences, indices, strict=True):
        np.testing.assert_array_equal(sequence, list(samples.sequences)[k])


def test_astype_converts_values_and_real_targets_but_not_classes(rng):
    samples = draw_samples(rng, 4)
    classes = samples.astype(np.dtype(np.float32))
    numbers = Samples(samples.sequences, rng.standard_normal((4, 2)), samples.weights)
    numbers = numbers.astype(np.dtype(np.float32))
    assert classes.sequences.values.dtype == numbers.targets.dtype == np.float32
    assert classes.targets.dtype == samples.targets.dtype
    assert classes.weights.dtype == numbers.weights.dtype == np.float64


@pytest.mark.parametrize("targets", ["classes", "numbers"])
def test_weights_and_repeated_samples_merge_to_the_same_bits(targets, rng):
    samples, factors = draw_samples(rng, 30), rng.integers(1, 4, 30)
    if targets == "numbers":
        samples = Samples(samples.sequences, rng.standard_normal((30, 2)), samples.weights)
    samples = with_weights(samples, np.ones(30))
    repeated = samples.take(np.repeat(np.arange(30), factors))
    expected = bits(with_weights(samples, factors).merged())
    assert bits(repeated.merged()) == expected
    assert bits(repeated.take(rng.permutation(len(repeated))).merged()) == expected
    assert bits(with_weights(samples, factors).take(rng.permutation(30)).merged()) == expected
    assert bits(repeated.merged().merged()) == expected


def test_merged_weights_do_not_depend_on_their_order(rng):
    """(0.1 + 0.2) + 0.3 is not 0.1 + (0.2 + 0.3)."""
    samples = draw_samples(rng, 3)
    three = samples.take(np.repeat([0, 1, 2], 3))
    three = with_weights(three, np.tile([0.1, 0.2, 0.3], 3))
    merged = {repr(bits(three.take(rng.permutation(9)).merged())) for _ in range(20)}
    assert len(merged) == 1


def test_samples_of_other_target_or_length_are_not_merged():
    values = np.zeros((6, 2))
    sequences = Sequences(values, np.array([1, 2, 2, 1]), "list")
    samples = Samples(sequences, np.array([0, 0, 1, 0]), np.array([1.0, 2.0, 4.0, 8.0]))
    merged = samples.merged()
    actual = {
        (int(length), int(target)): weight
        for length, target, weight in zip(
            merged.sequences.lengths, merged.targets, merged.weights, strict=True
        )
    }
    assert actual == {(1, 0): 9, (2, 0): 2, (2, 1): 4}
