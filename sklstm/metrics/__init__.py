"""Metrics and scorers for targets at every time step.

Targets and predictions are lists with one array of shape (n_timesteps_i[, n_outputs]) for each
sequence, or arrays of shape (n_sequences, n_timesteps[, n_outputs]). One of them may be a list and
the other an array. Every metric stacks the time steps of all sequences and calls the metric of the
same name in scikit-learn. ``sample_weight`` holds one weight for each sequence or one for each
step. Steps with weight zero, and steps whose target is missing, are ignored. At all other steps, a
prediction that is NaN is an error.

With one target for each sequence, use the metrics of scikit-learn. `mean_pinball_loss` takes
targets of any shape, and the predictions of several quantiles.
"""

from sklstm.metrics._flattening import flatten_steps
from sklstm.metrics._pinball import mean_pinball_loss
from sklstm.metrics._scorers import (
    _ProbabilityScorer,
    _StepMetric,
    get_scorer,
    get_scorer_names,
    make_scorer,
)
from sklstm.metrics._step_metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
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
    "mean_pinball_loss",
    "mean_squared_error",
    "r2_score",
]

# Pickles of scorers name these objects by the public path.
for _object in (_ProbabilityScorer, _StepMetric, *(globals()[name] for name in __all__)):
    _object.__module__ = __name__
