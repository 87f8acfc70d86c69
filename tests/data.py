"""Small problems in every form of X, and helper functions for several test files."""

import joblib
import numpy as np
import pandas as pd
import pytest

#: Parameters of an estimator that is fast to fit.
SMALL = {"hidden_layer_sizes": 4, "max_iter": 3}


def problem(rng, n=24, n_timesteps=6, n_features=2, n_classes=2):
    """Return sequences (n, n_timesteps, n_features) and classes, which shift their mean."""
    y = rng.permutation(np.arange(n) % n_classes)
    X = (
        rng.normal(size=(n, n_timesteps, n_features))
        + 1.5 * (y - (n_classes - 1) / 2)[:, None, None]
    )
    return X, y


def cut(X, rng, shortest=1):
    """Shorten the sequences; at least one has length ``shortest``, and at least one is complete."""
    lengths = rng.integers(shortest, X.shape[1] + 1, size=len(X))
    lengths[:2] = shortest, X.shape[1]
    return [x[:length] for x, length in zip(X, lengths, strict=True)]


def objects(sequences):
    """Return an object array of sequences."""
    array = np.empty(len(sequences), dtype=object)
    for k, sequence in enumerate(sequences):
        array[k] = sequence
    return array


def padded(sequences, extra=0):
    """Return a 3-D array with NaN after the end of each sequence."""
    n_timesteps = max(map(len, sequences)) + extra
    array = np.full((len(sequences), n_timesteps, sequences[0].shape[1]), np.nan)
    for k, sequence in enumerate(sequences):
        array[k, : len(sequence)] = sequence
    return array.astype(sequences[0].dtype)


def names(n_features):
    """Return names of channels."""
    return [f"channel {k}" for k in range(n_features)]


def pandas_frames(sequences):
    """Return a list of pandas data frames."""
    return [pd.DataFrame(x, columns=names(x.shape[1])) for x in sequences]


def polars_frame(values, schema=None):
    """Return a data frame; polars has no wheel for every Python."""
    polars = pytest.importorskip("polars")
    return polars.DataFrame(values, schema=schema)


def polars_frames(sequences):
    """Return a list of polars data frames."""
    return [polars_frame(x, schema=names(x.shape[1])) for x in sequences]


def nested(sequences):
    """Return nested lists of numbers."""
    return [x.tolist() for x in sequences]


#: The forms of ragged sequences, made from arrays (n_timesteps_i, n_features).
RAGGED_FORMS = {
    "list": list,
    "tuple": tuple,
    "object array": objects,
    "NaN-padded": padded,
    "NaN-padded further": lambda sequences: padded(sequences, extra=3),
    "nested lists": nested,
    "pandas frames": pandas_frames,
    "polars frames": polars_frames,
}


def _table(rng):
    return problem(rng, n_features=1)[0][:, :, 0]


def _ragged(rng):
    return cut(problem(rng)[0], rng)


#: For each form of X, a function that returns 24 samples.
FORMS = {
    "2d": _table,
    "2d pandas": lambda rng: pd.DataFrame(_table(rng), columns=names(6)),
    "2d polars": lambda rng: polars_frame(_table(rng), schema=names(6)),
    "3d": lambda rng: problem(rng)[0],
    "list": _ragged,
    "list, equally long": lambda rng: list(problem(rng)[0]),
    "list, univariate": lambda rng: [x[:, 0] for x in _ragged(rng)],
    "object array": lambda rng: objects(_ragged(rng)),
    "NaN-padded": lambda rng: padded(_ragged(rng)),
    "nested lists": lambda rng: nested(_ragged(rng)),
    "pandas frames": lambda rng: pandas_frames(_ragged(rng)),
    "polars frames": lambda rng: polars_frames(_ragged(rng)),
}


def take(X, indices):
    """Return some of the samples in the same form."""
    if isinstance(X, list | tuple):
        return type(X)(X[k] for k in indices)
    return X.iloc[indices] if hasattr(X, "iloc") else X[indices]


def outputs(estimator, X):
    """Return the predictions of all methods of an estimator, as arrays with one row per sample."""
    methods = ["predict", "predict_proba", "predict_log_proba", "decision_function"]
    return {name: getattr(estimator, name)(X) for name in methods if hasattr(estimator, name)}


def assert_same_fit(one, other):
    """Check that the parameters of two estimators are identical."""
    assert one.parameters_.keys() == other.parameters_.keys()
    for name, values in one.parameters_.items():
        found = other.parameters_[name]
        assert (found.dtype, found.shape) == (values.dtype, values.shape)
        np.testing.assert_array_equal(found, values, err_msg=name)


def parameter_vector(estimator):
    """Return all parameters in one vector."""
    return np.concatenate([values.ravel() for values in estimator.parameters_.values()])


def fingerprint(estimator):
    """Return a hash of all attributes of the estimator."""
    return joblib.hash(estimator.__getstate__())


def central_differences(function, sequences, step=1e-5):
    """Return the derivatives of ``function(sequences)[k]`` with respect to the k-th sequence."""
    derivatives = [np.empty(x.shape) for x in sequences]
    for k, x in enumerate(sequences):
        for place in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = x.astype(np.float64)
                moved[place] += sign * step
                ends.append(function([moved])[0])
            derivatives[k][place] = (ends[0] - ends[1]) / (2 * step)
    return derivatives
