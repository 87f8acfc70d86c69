"""A small network, samples and parameters for the tests of training and prediction."""

from dataclasses import replace

import numpy as np
from numerics import draw_sequences

from sklstm._network.network import SequenceNetwork
from sklstm._training.samples import Samples


def make_network(n_outputs=3, **options):
    options = {"bidirectional": True, "pooling": "mean_max", **options}
    return SequenceNetwork(2, (4, 3), n_outputs, **options)


def draw_samples(rng, n, dtype=np.float64, per_step=False):
    """Sequences of 1 to 6 steps with 2 features, of one of three classes."""
    sequences = draw_sequences(rng, rng.integers(1, 7, n), dtype=dtype)
    n_rows = len(sequences.values) if per_step else n
    weights = rng.uniform(0.5, 2, n_rows)
    return Samples(sequences, rng.integers(0, 3, n_rows), weights, per_step)


def draw_parameters(rng, network, dtype=np.float64):
    return rng.normal(0, 0.5, network.layout.size).astype(dtype)


def with_weights(samples, weights):
    return replace(samples, weights=np.asarray(weights, dtype=float))
