"""LSTM networks as scikit-learn estimators, for sequences of any length."""

from sklstm._config import config_context, get_config, set_config
from sklstm._estimators.classifier import LSTMClassifier
from sklstm._estimators.regressor import LSTMRegressor
from sklstm._pipelines import sequence_pipeline
from sklstm._versions import show_versions

__version__ = "0.1.0.dev0"

__all__ = [
    "LSTMClassifier", "LSTMRegressor", "__version__", "config_context", "get_config",
    "sequence_pipeline", "set_config", "show_versions",
]  # fmt: skip

# Pickles name these objects by the public path.
for _object in (
    LSTMClassifier,
    LSTMRegressor,
    config_context,
    get_config,
    sequence_pipeline,
    set_config,
    show_versions,
):
    _object.__module__ = __name__
