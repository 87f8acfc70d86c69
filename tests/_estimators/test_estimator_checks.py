"""scikit-learn's own checks, on 2-D input."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklstm import LSTMClassifier, LSTMRegressor

#: Variants need not be large to be checked: they differ from the defaults in kind, not in size.
SMALL = {"hidden_layer_sizes": (16,), "max_iter": 100}
VARIANTS = [
    {"solver": "lbfgs"},
    {"solver": "sgd"},
    {"bidirectional": True},
    {"hidden_layer_sizes": (16, 8)},
    {"pooling": "last"},
    {"pooling": "mean"},
    {"pooling": "max"},
    {"pooling": "mean_max"},
    {"n_jobs": 2},
]


def estimators():
    """Both with defaults, then small ones of every kind."""
    yield LSTMClassifier()
    yield LSTMRegressor()
    for variant in VARIANTS:
        yield LSTMClassifier(**SMALL | variant)
        yield LSTMRegressor(**SMALL | variant)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(list(estimators()))
def test_sklearn_checks(estimator, check):
    check(estimator)
