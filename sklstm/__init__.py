"""LSTM networks as scikit-learn estimators, for sequences of any length."""

from sklstm._classifier import LSTMClassifier
from sklstm._regressor import LSTMRegressor

__version__ = "0.1.0.dev0"

__all__ = ["LSTMClassifier", "LSTMRegressor", "__version__"]
