"""The recipe of docs/accuracy.rst: an ensemble that is the same for every set."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.pipeline import make_pipeline

from sklstm.preprocessing import SequenceDifferences, SequenceScaler, SlidingWindow


def recipe(lstm: Any, seed: int) -> Any:
    """LSTMClassifiers or LSTMRegressors that see different differences and windows, averaged."""
    members = []
    for n_differences in (0, 1, 2):
        for width in (3, 6):
            differences = [SequenceDifferences() for _ in range(n_differences)]
            k = 10 * seed + len(members)
            net = lstm(bidirectional=True, dropout=0.3, dtype="float32", random_state=k)
            model = make_pipeline(*differences, SequenceScaler(), SlidingWindow(width, 2), net)
            members.append((f"lstm_{n_differences}_{width}", model))
    if hasattr(lstm, "predict_proba"):
        return VotingClassifier(members, voting="soft")
    return VotingRegressor(members)
