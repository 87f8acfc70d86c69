"""Models saved by earlier versions load and predict the same; saved states are plain."""

import hashlib
import json
import pickle
import re
from itertools import chain

import numpy as np
import pytest
from saved_models import write
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier, LSTMRegressor
from sklstm._persistence import checked
from sklstm.preprocessing import SequenceScaler

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

every_model = pytest.mark.parametrize("name", write.MODELS)
FITTED = {name: write.fitted(name) for name in write.MODELS}


def load(name):
    """The saved model, and what it is expected to return."""
    file = write.FOLDER / name.replace(" ", "_")
    content = file.with_suffix(".pickle").read_bytes()
    if np.lib.NumpyVersion(np.__version__) < "1.26.1":
        pytest.skip("pickled by NumPy 2")
    return pickle.loads(content), json.loads(file.with_suffix(".json").read_text())


def assert_equal(found, expected, tolerance):
    if isinstance(expected[0], str):
        assert found == expected
    else:
        np.testing.assert_allclose(found, expected, tolerance, tolerance)


@every_model
def test_a_saved_model_returns_what_it_returned(name):
    model, expected = load(name)
    found = write.results(name, model)
    assert found.keys() == expected.keys()
    tolerance = 1e-5 if "single precision" in name else 1e-12
    for method, values in expected.items():
        assert_equal(found[method], values, tolerance)


@pytest.mark.parametrize("name", [k for k, (model, _, y) in write.MODELS.items() if y is not None])
def test_a_saved_model_continues_to_train(name):
    model, _ = load(name)
    _, X, y = write.MODELS[name]
    assert model.n_iter_ == 2
    model.set_params(warm_start=True).fit(X, y)
    assert len(model.loss_curve_) > 2


def test_a_saved_stream_continues():
    stream, expected = load("stream")
    assert stream.n_steps.tolist() == [2, 2]
    np.testing.assert_allclose(write.next_step(stream), expected, 1e-12, 1e-12)


def test_there_is_a_file_for_every_kind():
    names = {name.replace(" ", "_") for name in (*write.MODELS, "stream")}
    assert {path.stem for path in write.FOLDER.glob("*.pickle")} == names


def test_the_files_are_frozen():
    lines = (write.FOLDER / "SHA256SUMS").read_text().splitlines()
    digests = {name: digest for digest, name in map(str.split, lines)}
    paths = [path for path in write.FOLDER.iterdir() if path.suffix in (".pickle", ".json")]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    assert found == digests


# --- what a saved state holds ---


def types_within(value):
    """The types of all values in nested dicts, lists and tuples."""
    yield type(value)
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        yield from chain.from_iterable(map(types_within, value))


PLAIN = {bool, int, float, str, type(None), dict, list, tuple, np.ndarray, np.bool_, np.float64}


@every_model
def test_a_state_is_plain(name):
    state = FITTED[name].__getstate__()
    assert state["format"] == FITTED[name]._format
    assert set(types_within(state)) <= PLAIN


@every_model
def test_a_pickle_names_no_private_module(name):
    content = pickle.dumps(FITTED[name])
    assert re.findall(rb"sklstm[\w.]*\._\w+", content) == []
    assert type(FITTED[name]).__name__.encode() in content


@every_model
def test_skops_asks_to_trust_the_public_class_alone(name, tmp_path):
    skops = pytest.importorskip("skops.io")
    model = FITTED[name]
    public = f"{type(model).__module__}.{type(model).__name__}"
    content = skops.dumps(model)
    assert skops.get_untrusted_types(data=content) == [public]
    loaded = skops.loads(content, trusted=[public])
    assert write.results(name, loaded) == write.results(name, model)


def test_skops_saves_a_pipeline():
    skops = pytest.importorskip("skops.io")
    X, y = write.SEQUENCES, write.LEVELS
    pipeline = make_pipeline(SequenceScaler(), LSTMRegressor(**write.SMALL)).fit(X, y)
    content = skops.dumps(pipeline)
    trusted = ["sklstm.LSTMRegressor", "sklstm.preprocessing.SequenceScaler"]
    assert skops.get_untrusted_types(data=content) == trusted
    loaded = skops.loads(content, trusted=trusted)
    np.testing.assert_array_equal(loaded.predict(X), pipeline.predict(X))


def test_skops_saves_a_stream():
    skops = pytest.importorskip("skops.io")
    stream = write.fitted_stream()
    content = skops.dumps(stream)
    trusted = ["sklstm.LSTMRegressor", "sklstm.streaming.SequenceStream"]
    assert skops.get_untrusted_types(data=content) == trusted
    assert write.next_step(skops.loads(content, trusted=trusted)) == write.next_step(stream)


# --- formats ---


def restore(model, state):
    loaded = object.__new__(type(model))
    loaded.__setstate__(state)
    return loaded


SAVED = {"classifier": "two classes", "scaler": "scaler", "token encoder": "token encoder"}


@pytest.mark.parametrize("name", SAVED.values(), ids=SAVED)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "has format 9, and this version of sklstm reads formats up to "),
        ({"format": 0}, "reads no saved model of format 0"),
        ({"format": None}, "expected a saved state with a format number, got none"),
    ],
)
def test_a_format_that_cannot_be_read_is_refused(name, change, message):
    model = FITTED[name]
    with pytest.raises(ValueError, match=f"{type(model).__name__}: .*{message}"):
        restore(model, model.__getstate__() | change)


@pytest.mark.parametrize("name", SAVED.values(), ids=SAVED)
def test_a_state_without_a_parameter_is_refused(name):
    model = FITTED[name]
    for parameter in model.get_params():
        state = model.__getstate__()
        del state[parameter]
        with pytest.raises(ValueError, match=f"{type(model).__name__}: .*lacks {parameter}"):
            restore(model, state)


@pytest.mark.parametrize("path", ["form", "network", "state", "form.targets", "state.parameters"])
def test_a_model_without_a_part_is_refused(path):
    state = pickle.loads(pickle.dumps(FITTED["two classes"].__getstate__()))
    *outer, last = path.split(".")
    part = state["model"]
    for key in outer:
        part = part[key]
    del part[last]
    with pytest.raises(ValueError, match=f"the saved model lacks {last}"):
        restore(FITTED["two classes"], state)


def test_an_older_format_is_upgraded_step_by_step():
    upgrades = {
        1: lambda state: {**state, "alpha": 0.5},
        2: lambda state: {**state, "beta": state["alpha"] * 2},
    }
    state = {"format": 1, "name": "x"}
    found = checked(state, 3, ("name", "alpha", "beta"), "Model", upgrades)
    assert found == {"name": "x", "alpha": 0.5, "beta": 1.0}


def test_an_unfitted_estimator_has_no_model():
    state = LSTMClassifier(alpha=3.0).__getstate__()
    assert "model" not in state
    loaded = restore(LSTMClassifier(), state)
    assert loaded.get_params() == clone(loaded).get_params()
    assert loaded.alpha == 3.0
