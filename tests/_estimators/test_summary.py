import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sklstm import LSTMClassifier, LSTMRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

OPTIONS = {"max_iter": 1, "random_state": 0, "learning_rate": "cosine"}


def rows(estimator):
    """The cells of each line, without the title and the rules."""
    lines = estimator.summary().splitlines()
    assert lines[0] == type(estimator).__name__
    assert len({len(line) for line in lines[1:]}) == 1
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[1:]]
    return [line for line in cells if not line[0].startswith("--")]


def test_stacked_and_bidirectional_layers(rng):
    X, y = rng.normal(size=(20, 5, 3)), np.arange(20) % 4
    clf = LSTMClassifier((6, 5), bidirectional=True, **OPTIONS).fit(X, y)
    n = {name: array.size for name, array in clf.parameters_.items()}
    of_layer = [sum(size for name, size in n.items() if f"lstm_{k}" in name) for k in range(2)]
    assert rows(clf) == [
        ["layer", "output", "parameters"],
        ["lstm_0, bidirectional", "(n_timesteps, 12)", str(of_layer[0])],
        ["lstm_1, bidirectional", "(n_timesteps, 10)", str(of_layer[1])],
        ['pooling "mean_max"', "(20,)", "0"],
        ["dense", "(4,)", str(20 * 4 + 4)],
        ["total", f"{sum(n.values()):,}"],
    ]


def test_tokens_and_predictions_of_each_step(rng):
    X, y = [np.array([1, 2, 0]), np.array([3])], [np.zeros((3, 2)), np.ones((1, 2))]
    options = {"vocabulary_size": 2000, "embedding_size": 4, "return_sequences": True}
    found = rows(LSTMRegressor(3, **options, **OPTIONS).fit(X, y))
    assert found[1] == ["embedding", "(n_timesteps, 4)", "8,000"]
    assert found[3] == ["dense", "(n_timesteps, 2)", str(3 * 2 + 2)]


def test_an_estimator_that_is_not_fitted():
    with pytest.raises(NotFittedError):
        LSTMClassifier().summary()
