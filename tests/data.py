"""Small problems in every form that X may have, and what several test files do with them."""

import joblib
import numpy as np
import pandas as pd
import polars as pl

#: Quick to fit, and with few parameters.
SMALL = {"hidden_layer_sizes": 4, "max_iter": 3}


def problem(rng, n=24, n_timesteps=6, n_features=2, n_classes=2):
    """Sequences (n, n_timesteps, n_features) whose mean tells their class, and the classes."""
    y = rng.permutation(np.arange(n) % n_classes)
    X = (
        rng.normal(size=(n, n_timesteps, n_features))
        + 1.5 * (y - (n_classes - 1) / 2)[:, None, None]
    )
    return X, y


def cut(X, rng, shortest=1):
    """The first steps of each sequence, some of length ``shortest`` and some whole."""
    lengths = rng.integers(shortest, X.shape[1] + 1, size=len(X))
    lengths[:2] = shortest, X.shape[1]
    return [x[:length] for x, length in zip(X, lengths, strict=True)]


def objects(sequences):
    """An object array with one sequence an element."""
    array = np.empty(len(sequences), dtype=object)
    for k, sequence in enumerate(sequences):
        array[k] = sequence
    return array


def padded(sequences, extra=0):
    """A 3-D array, NaN from the end of each sequence on."""
    n_timesteps = max(map(len, sequences)) + extra
    array = np.full((len(sequences), n_timesteps, sequences[0].shape[1]), np.nan)
    for k, sequence in enumerate(sequences):
        array[k, : len(sequence)] = sequence
    return array.astype(sequences[0].dtype)


def names(n_features):
    """Names of channels."""
    return [f"channel {k}" for k in range(n_features)]


def pandas_frames(sequences):
    """A list of pandas frames."""
    return [pd.DataFrame(x, columns=names(x.shape[1])) for x in sequences]


def polars_frames(sequences):
    """A list of polars frames."""
    return [pl.DataFrame(x, schema=names(x.shape[1])) for x in sequences]


def nested(sequences):
    """Lists of lists of numbers."""
    return [x.tolist() for x in sequences]


#: What ragged sequences, arrays (n_timesteps_i, n_features), may be given as.
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


#: X of 24 samples in one form each, and classes.
FORMS = {
    "2d": _table,
    "2d pandas": lambda rng: pd.DataFrame(_table(rng), columns=names(6)),
    "2d polars": lambda rng: pl.DataFrame(_table(rng), schema=names(6)),
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
    """Some of the samples, in the same form."""
    if isinstance(X, list | tuple):
        return type(X)(X[k] for k in indices)
    return X.iloc[indices] if hasattr(X, "iloc") else X[indices]


def outputs(estimator, X):
    """Everything that an estimator says of each sample, by method; arrays with a row a sample."""
    methods = ["predict", "predict_proba", "predict_log_proba", "decision_function"]
    return {name: getattr(estimator, name)(X) for name in methods if hasattr(estimator, name)}


def assert_same_fit(one, other):
    """Equal parameters, to the last bit."""
    assert one.parameters_.keys() == other.parameters_.keys()
    for name, values in one.parameters_.items():
        found = other.parameters_[name]
        assert (found.dtype, found.shape) == (values.dtype, values.shape)
        np.testing.assert_array_equal(found, values, err_msg=name)


def parameter_vector(estimator):
    """All parameters, one after the other."""
    return np.concatenate([values.ravel() for values in estimator.parameters_.values()])


def fingerprint(estimator):
    """A hash of everything that the estimator holds."""
    return joblib.hash(estimator.__getstate__())


def central_differences(function, sequences, step=1e-5):
    """Derivatives of ``function(sequences)[k]`` at each number of the k-th sequence."""
    slopes = [np.empty(x.shape) for x in sequences]
    for k, x in enumerate(sequences):
        for place in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = x.astype(np.float64)
                moved[place] += sign * step
                ends.append(function([moved])[0])
            slopes[k][place] = (ends[0] - ends[1]) / (2 * step)
    return slopes
