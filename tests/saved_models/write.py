"""Small fitted models of every kind, which every later version must load.

The files are frozen: they are never changed, and ``SHA256SUMS`` holds their digests. Each kind has
two, ``NAME.pickle`` and ``NAME.json`` with its predictions. A new kind of model, or a new format of
an old one, is added to MODELS under a new name; ``python tests/saved_models/write.py`` then writes
the files that do not exist yet.
"""

import hashlib
import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm.preprocessing import (
    AppendStatic,
    RandomConvolutions,
    SequenceDifferences,
    SequenceImputer,
    SequenceScaler,
    SlidingWindow,
    TokenEncoder,
    ToSequences,
)
from sklstm.streaming import SequenceStream

FOLDER = Path(__file__).parent
PROTOCOL = 4  # of Python 3.4 and later

SMALL = {"hidden_layer_sizes": 2, "max_iter": 2, "random_state": 0, "scale_inputs": False}
SCALED = SMALL | {"scale_inputs": True}
rng = np.random.RandomState(0)
SEQUENCES = [rng.normal(size=(length, 2)) for length in (1, 5, 3, 4, 2, 6, 3, 5)]
LEVELS = np.array([x.mean() for x in SEQUENCES])
NAMES = np.array(["low", "middle", "high"])[np.digitize(LEVELS, [-0.3, 0.3])]
STEPS = [x[:, 0] for x in SEQUENCES]
TOKENS = [rng.randint(0, 5, len(x)) for x in SEQUENCES]
MOVED = [x * [1e-3, 50] + [1, 1e4] for x in SEQUENCES]
RARE = [np.maximum(x - 0.5, 0) for x in SEQUENCES]  # channels that keep their zeros
TABLE = np.stack([np.resize(x, 6) for x in SEQUENCES])
WORDS = ["a b a", "b c", "c", "a a c"]
LOSSES = ("squared_error", "absolute_error", "huber", "quantile", "poisson")

#: name -> estimator or transformer, the X and y of its fit
MODELS = {
    "two classes": (LSTMClassifier(**SMALL), SEQUENCES, LEVELS > 0),
    "three classes": (LSTMClassifier(**SMALL, class_weight={"low": 2.0}), SEQUENCES, NAMES),
    "labels": (
        LSTMClassifier(**SMALL), SEQUENCES, np.column_stack([LEVELS > 0, LEVELS > -0.3]).astype(int)
    ),
    "label steps": (
        LSTMClassifier(**SMALL, return_sequences=True), SEQUENCES, [x > 0 for x in STEPS]
    ),
    "number steps": (LSTMRegressor(**SMALL, return_sequences=True), SEQUENCES, STEPS),
    "tokens": (LSTMClassifier(**SMALL, vocabulary_size=5, embedding_size=3), TOKENS, LEVELS > 0),
    "table": (LSTMRegressor(**SMALL), TABLE, LEVELS),
    "outputs": (LSTMRegressor(**SMALL), SEQUENCES, np.column_stack([LEVELS, 5 - LEVELS])),
    "deep": (
        LSTMClassifier((2, 3), bidirectional=True, dropout=0.2, recurrent_dropout=0.1,
                       pooling="max", max_iter=2, random_state=0, scale_inputs=False),
        SEQUENCES, NAMES,
    ),
    "early stopping": (
        LSTMRegressor(**SMALL, early_stopping=True, validation_fraction=0.3), SEQUENCES, LEVELS
    ),
    "single precision": (LSTMRegressor(**SMALL, dtype="float32"), SEQUENCES, LEVELS),
    "lbfgs": (LSTMRegressor(**SMALL, solver="lbfgs"), SEQUENCES, LEVELS),
    "sgd": (LSTMRegressor(**SMALL, solver="sgd"), SEQUENCES, LEVELS),
    "scaled inputs": (LSTMRegressor(**SCALED), MOVED, LEVELS),
    "scaled inputs in single precision": (
        LSTMClassifier(**SCALED, dtype="float32"), MOVED, NAMES
    ),
    "input noise": (LSTMClassifier(**SCALED, input_noise=0.3), MOVED, NAMES),
    "scale noise": (LSTMRegressor(**SCALED, scale_noise=0.3), MOVED, LEVELS),
    "rare values": (LSTMRegressor(**SCALED), RARE, LEVELS),
    "smoothed": (LSTMClassifier(**SCALED, label_smoothing=0.3), MOVED, NAMES),
    **{loss: (LSTMRegressor(**SMALL, loss=loss), SEQUENCES, np.exp(LEVELS)) for loss in LOSSES},
    "horizon": (
        LSTMRegressor(**SMALL), SEQUENCES, np.arange(48.0).reshape(8, 3, 2) * LEVELS[:, None, None]
    ),
    "quantiles": (
        LSTMRegressor(**SMALL, loss="quantile", quantile=[0.1, 0.5, 0.9]), SEQUENCES, LEVELS
    ),
    "gaussian": (LSTMRegressor(**SMALL, loss="gaussian"), SEQUENCES, LEVELS),
    "scaler": (SequenceScaler(), SEQUENCES, None),
    "scaler of each sequence": (SequenceScaler("minmax", per_sequence=True), SEQUENCES, None),
    "imputer": (SequenceImputer("linear", add_indicator=True), SEQUENCES, None),
    "differences": (SequenceDifferences(), SEQUENCES, None),
    "sparse channels": (SequenceDifferences(skip_sparse=True), RARE, None),
    "convolutions": (RandomConvolutions(2, 3, random_state=0), SEQUENCES, None),
    "windows": (SlidingWindow(2, 2), TABLE, None),
    "to sequences": (ToSequences(2), TABLE, None),
    "token encoder": (TokenEncoder(), WORDS, None),
    "static features": (AppendStatic(), pd.DataFrame({"series": SEQUENCES, "level": LEVELS}), None),
}  # fmt: skip


def fitted(name):
    """A model of this kind, fitted."""
    model, X, y = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X) if y is None else model.fit(X, y)


def results(name, model):
    """What the model returns for its X: flat lists of numbers, or of labels, by method."""
    _, X, _ = MODELS[name]
    methods = ("predict", "predict_proba", "transform")
    return {
        method: [value for rows in getattr(model, method)(X) for value in np.ravel(rows).tolist()]
        for method in methods
        if hasattr(model, method)
    }


def fitted_stream():
    """A stream over a regressor, after two steps of two sequences."""
    stream = SequenceStream(fitted("squared_error"), n_streams=2)
    for step in range(2):
        stream.step([SEQUENCES[1][step], SEQUENCES[2][step]])
    return stream


def next_step(stream):
    """What the stream returns for the third step."""
    return stream.step([SEQUENCES[1][2], SEQUENCES[2][2]]).tolist()


def file_of(name):
    return FOLDER / name.replace(" ", "_")


def write(name, model, expected):
    file = file_of(name)
    contents = {
        file.with_suffix(".pickle"): pickle.dumps(model, protocol=PROTOCOL),
        file.with_suffix(".json"): (json.dumps(expected, indent=1) + "\n").encode(),
    }
    for path, content in contents.items():
        path.write_bytes(content)
        with (FOLDER / "SHA256SUMS").open("a") as sums:
            sums.write(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")


if __name__ == "__main__":
    new = [name for name in MODELS if not file_of(name).with_suffix(".pickle").exists()]
    for name in new:
        model = fitted(name)
        write(name, model, results(name, model))
