"""States and attributions are computed within scikit-learn's working_memory."""

import tracemalloc

import pytest
import sklearn

from sklstm import LSTMClassifier
from sklstm.inspection import input_gradients, integrated_gradients, lstm_states

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

MIB = 2**20
FUNCTIONS = {
    "states": lstm_states,
    "input gradients": input_gradients,
    "integrated gradients": lambda clf, X: integrated_gradients(clf, X, n_points=4),
}


def peak(function, *arguments):
    """Bytes allocated at most while it ran, without those of its result."""
    tracemalloc.start()
    try:
        result = function(*arguments)
        found = result.values() if isinstance(result, dict) else [result]
        return tracemalloc.get_traced_memory()[1] - sum(array.nbytes for array in found)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_memory(name, rng):
    X = rng.normal(size=(4, 9_000, 2))
    y = [0, 1, 0, 1]
    clf = LSTMClassifier(16, max_iter=1, random_state=0).fit(X[:, :20], y)
    with sklearn.config_context(working_memory=1024):
        unlimited = peak(FUNCTIONS[name], clf, X)
    with sklearn.config_context(working_memory=8):
        limited = peak(FUNCTIONS[name], clf, X)
    copies_of_the_input = 8 * X.nbytes
    assert limited < 8 * MIB + copies_of_the_input < unlimited
