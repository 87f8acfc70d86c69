"""Ragged sequences with text labels: walks in the plane that turn left or right, or go straight."""

import numpy as np

TURNS = {"left": 0.12, "right": -0.12, "straight": 0.0}


def walks(n, seed):
    """Return n sequences (n_timesteps_i, 2) of 15 to 60 steps, and the label of each."""
    rng = np.random.default_rng(seed)
    labels = [str(label) for label in rng.choice(list(TURNS), size=n)]
    return [_walk(rng, TURNS[label]) for label in labels], labels


def _walk(rng, turn):
    angles = np.cumsum(rng.normal(turn, 0.4, size=rng.integers(15, 60)))
    noise = rng.normal(0, 0.1, size=(len(angles), 2))
    return np.c_[np.cos(angles), np.sin(angles)] * 20 + 100 + noise
