"""The recipe of docs/accuracy.rst: the same ensemble for all data sets."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.pipeline import make_pipeline

from sklstm.preprocessing import SequenceDifferences, SequenceScaler, SlidingWindow

#: The order of the differences and the width of the windows; two seeds for each member.
MEMBERS = 2 * [(0, 1), (1, 1), (1, 6), (2, 1), (2, 6)]


def recipe(lstm: Any, seed: int) -> Any:
    """Return an ensemble of classifiers or regressors with different differences and windows."""
    models = []
    for k, (n_differences, width) in enumerate(MEMBERS, start=len(MEMBERS) * seed):
        net = lstm(bidirectional=True, dropout=0.3, dtype="float32", random_state=k)
        differences = [SequenceDifferences() for _ in range(n_differences)]
        windows = SlidingWindow(width, stride=(width + 1) // 2)
        models.append((f"lstm_{k}", make_pipeline(*differences, SequenceScaler(), windows, net)))
    if hasattr(lstm, "predict_proba"):
        return VotingClassifier(models, voting="soft")
    return VotingRegressor(models)
