"""Running ONNX models; importing it skips the tests of a file where onnx is not installed."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def session(model):
    """Check a model and load it."""
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def feed(X, after_end=np.nan):
    """The inputs of a model: a table, or a padded array and the lengths of the sequences."""
    if isinstance(X, np.ndarray) and X.ndim == 2:
        return {"X": X.astype(np.float32)}
    sequences = [np.reshape(x, (len(x), -1)) for x in X]
    lengths = np.array([len(x) for x in sequences], np.int64)
    padded = np.full((len(X), lengths.max(), sequences[0].shape[1]), after_end, np.float32)
    for row, x in zip(padded, sequences, strict=True):
        row[: len(x)] = x
    return {"X": padded, "lengths": lengths}


def run(model, X, **options):
    """The results of a model by name."""
    loaded = session(model)
    names = [output.name for output in loaded.get_outputs()]
    return dict(zip(names, loaded.run(None, feed(X, **options)), strict=True))


def single(X):
    """The sequences in the precision in which the model is given them."""
    if isinstance(X, np.ndarray):
        return X.astype(np.float32)
    return [x.astype(np.float32) for x in X]


def unpadded(steps, X):
    """The rows of each sequence, without those after its end."""
    return [row[: len(x)] for row, x in zip(steps, X, strict=True)]


def assert_equal(found, expected, scale=1.0):
    """Equal to 1e-5 in single precision, relative to the size of the values."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * scale)


def assert_same_classifier(results, clf, X):
    """The outputs of a classifier's model equal its predictions; near ties labels may differ."""
    probability = clf.predict_proba(X)
    assert_equal(results["output_probability"], probability)
    labels = clf.predict(X)
    assert results["output_label"].shape == labels.shape
    if labels.ndim == 2:
        certain = abs(probability - 0.5) > 1e-5
    else:
        first, second = np.sort(probability)[:, :-3:-1].T
        certain = first - second > 1e-5
    np.testing.assert_array_equal(results["output_label"][certain], labels[certain])
