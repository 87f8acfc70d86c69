"""Golden results: tiny seeded fits of every kind, and what they gave when they were recorded.

``python tests/golden/record.py`` writes ``results.json`` anew. Do that only for a change of numbers
that is made on purpose, and say in the CHANGELOG which numbers changed and why.
"""

import json
import platform
import warnings
from hashlib import blake2b
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info

import sklstm
from sklstm import LSTMClassifier, LSTMRegressor

RESULTS = Path(__file__).parent / "results.json"
KERNELS, DTYPES = ("numpy", "numba"), ("float32", "float64")
SIZE = {"hidden_layer_sizes": 5, "random_state": 0, "scale_inputs": False}
BATCHES = {"max_iter": 2, "batch_size": 8}
OWN = {LSTMClassifier: {"label_smoothing": 0.0}, LSTMRegressor: {}}

rng = np.random.RandomState(0)
SEQUENCES = [rng.normal(size=(length, 2)) for length in rng.randint(1, 9, 24)]
LEVELS = np.array([x.mean() for x in SEQUENCES])
TOKENS = [rng.randint(0, 7, length) for length in rng.randint(1, 9, 24)]
MANY = [rng.normal(size=(length, 2)) for length in rng.randint(1, 40, 300)]
CLASSES = np.digitize(LEVELS, [-0.3, 0.3])
WEIGHTS = np.linspace(0.5, 2, 24)
MOVED = [x * [1e-3, 50] + [1, 1e4] for x in SEQUENCES]
SCALED = {"scale_inputs": True}
DEEP = {"hidden_layer_sizes": (4, 3), "bidirectional": True}
DROPOUT = {"dropout": 0.3, "recurrent_dropout": 0.2}

#: name -> estimator, options, X, y, sample_weight
CASES = {
    "two classes": (LSTMClassifier, {}, SEQUENCES, LEVELS > 0, None),
    "three classes": (LSTMClassifier, {"pooling": "last"}, SEQUENCES, CLASSES, None),
    "labels": (LSTMClassifier, {"pooling": "max"}, SEQUENCES, np.eye(3, dtype=int)[CLASSES], None),
    "smoothed": (LSTMClassifier, {"label_smoothing": "auto"}, SEQUENCES, CLASSES, WEIGHTS),
    "smoothed labels": (
        LSTMClassifier, {"label_smoothing": 0.3}, SEQUENCES, np.eye(3, dtype=int)[CLASSES], None,
    ),
    "balanced": (LSTMClassifier, {"class_weight": "balanced"}, SEQUENCES, CLASSES, None),
    "tokens": (LSTMClassifier, {"vocabulary_size": 7}, TOKENS, CLASSES, None),
    "label steps": (
        LSTMClassifier, {"return_sequences": True}, SEQUENCES, [x[:, 0] > 0 for x in SEQUENCES],
        None,
    ),
    "number steps": (
        LSTMRegressor, {"return_sequences": True}, SEQUENCES, [x.sum(axis=1) for x in SEQUENCES],
        None,
    ),
    **{
        loss: (LSTMRegressor, {"loss": loss}, SEQUENCES, np.exp(LEVELS), None)
        for loss in ("squared_error", "absolute_error", "huber", "quantile", "poisson")
    },
    "two outputs": (
        LSTMRegressor, {"pooling": "mean"}, SEQUENCES, np.column_stack([LEVELS, 5 - LEVELS]), None,
    ),
    "horizon": (
        LSTMRegressor, {}, SEQUENCES, np.outer(LEVELS, np.arange(6.0)).reshape(-1, 3, 2), None,
    ),
    "quantiles": (
        LSTMRegressor, {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]}, SEQUENCES, LEVELS, None,
    ),
    "gaussian": (LSTMRegressor, {"loss": "gaussian"}, SEQUENCES, LEVELS, None),
    "weights": (LSTMRegressor, {}, SEQUENCES, LEVELS, WEIGHTS),
    "deep": (LSTMClassifier, DEEP | DROPOUT, SEQUENCES, CLASSES, None),
    "early stopping": (
        LSTMRegressor, {"early_stopping": True, "validation_fraction": 0.3}, SEQUENCES, LEVELS,
        None,
    ),
    "table": (LSTMRegressor, {}, np.stack([np.resize(x, 6) for x in SEQUENCES]), LEVELS, None),
    "scaled": (LSTMClassifier, SCALED, MOVED, CLASSES, None),
    "scaled weights": (LSTMRegressor, SCALED, MOVED, LEVELS, WEIGHTS),
    "scaled deep": (LSTMClassifier, DEEP | DROPOUT | SCALED, MOVED, CLASSES, None),
    "scaled table": (
        LSTMRegressor, SCALED, np.stack([np.resize(x, 6) for x in MOVED]), LEVELS, None,
    ),
    "scaled shards": (
        LSTMRegressor, {"batch_size": 150, "n_jobs": 2} | SCALED, MANY, [len(x) for x in MANY],
        None,
    ),
    "shards": (
        LSTMRegressor, {"batch_size": 150, "n_jobs": 2}, MANY, [len(x) for x in MANY], None,
    ),
}  # fmt: skip
SOLVERS = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate": "adaptive"},
    "lbfgs": {"solver": "lbfgs", "max_iter": 3},
}


def names():
    """Of all fits: case, solver, kernels and dtype; solvers other than Adam for three cases."""
    few = ("two classes", "weights", "number steps")
    cases = [(case, solver) for case, solver in product(CASES, SOLVERS) if solver == "adam"]
    cases += [(case, solver) for case, solver in product(few, SOLVERS) if solver != "adam"]
    return [", ".join((*case, *rest)) for case in cases for rest in product(KERNELS, DTYPES)]


def result(name):
    """What one fit gives: a digest of its parameters, its loss curve and some predictions."""
    case, solver, kernels, dtype = name.split(", ")
    estimator, options, X, y, sample_weight = CASES[case]
    settings = SIZE | BATCHES | OWN[estimator] | options | SOLVERS[solver] | {"dtype": dtype}
    with sklstm.config_context(kernels=kernels), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = estimator(**settings).fit(X, y, sample_weight)
        predict = getattr(model, "predict_proba", model.predict)
        predictions = np.concatenate([np.ravel(rows) for rows in predict(X[:6])])
    digest = blake2b(digest_size=8)
    for key, array in model.parameters_.items():
        digest.update(key.encode() + array.tobytes())
    return {
        "parameters": digest.hexdigest(),
        "loss_curve": [float(loss) for loss in model.loss_curve_],
        "predictions": [float(value) for value in predictions],
    }


def machine():
    """What decides the last bits: processor, BLAS, and versions of what computes."""
    blas = {
        f"{library['internal_api']} {library['version']} {library.get('architecture')}"
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }
    versions = {name: version(name) for name in ("numpy", "scipy", "llvmlite")}
    return {"machine": platform.machine(), "cpu": _cpu(), "blas": sorted(blas), **versions}


def _cpu():
    import llvmlite.binding

    features = sorted(k for k, there in llvmlite.binding.get_host_cpu_features().items() if there)
    digest = blake2b(str(features).encode(), digest_size=8).hexdigest()
    return f"{llvmlite.binding.get_host_cpu_name()} {digest}"


if __name__ == "__main__":
    found = {name: result(name) for name in names()}
    RESULTS.write_text(json.dumps({"machine": machine(), "results": found}, indent=1) + "\n")
