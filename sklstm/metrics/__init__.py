"""Metrics and scorers for targets at every time step, of sequences of any lengths.

Targets and predictions are lists with one array a sequence, (n_timesteps_i[, n_outputs]), or arrays
(n_sequences, n_timesteps[, n_outputs]); the two may differ in their form. Every metric lays the
steps of all sequences one below the other and hands them to its namesake in scikit-learn.
``sample_weight`` holds one weight a sequence or one a step; a step of weight zero is left out
altogether, whatever its target.

For one target a sequence, scikit-learn's own metrics do.
"""

from sklstm.metrics._flattening import flatten_steps
from sklstm.metrics._step_metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    get_scorer,
    get_scorer_names,
    log_loss,
    make_scorer,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)

__all__ = [
    "accuracy_score",
    "balanced_accuracy_score",
    "f1_score",
    "flatten_steps",
    "get_scorer",
    "get_scorer_names",
    "log_loss",
    "make_scorer",
    "mean_absolute_error",
    "mean_squared_error",
    "r2_score",
]
