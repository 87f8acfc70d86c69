"""Copies of a stream through each way to save it."""

import pickle
from copy import deepcopy

import numpy as np

from sklstm.streaming import SequenceStream

WAYS = ["dict", "npz", "pickle", "deepcopy"]


def restored(stream, model, way, folder):
    """Return a copy of two streams of ``model``, saved in one of the `WAYS`."""
    if way == "pickle":
        return pickle.loads(pickle.dumps(stream))
    if way == "deepcopy":
        return deepcopy(stream)
    state, other = stream.get_state(), SequenceStream(model, 2)
    if way == "dict":
        other.set_state(state)
        return other
    np.savez(folder / "state.npz", **state)
    with np.load(folder / "state.npz") as saved:
        other.set_state(saved)
    return other
