"""Public objects are known by their public path, so that pickles name no private module."""

import importlib
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from sklstm import LSTMRegressor, metrics, preprocessing, sequences

MODULES = [
    "",
    "functional",
    "inspection",
    "interop.dask",
    "interop.keras",
    "interop.onnx",
    "interop.torch",
    "metrics",
    "plotting",
    "preprocessing",
    "sequences",
]
NAMES = [
    (module, name)
    for module in (".".join(filter(None, ["sklstm", part])) for part in MODULES)
    for name in importlib.import_module(module).__all__
    if name != "__version__"
]
NAMES += [("sklstm.streaming", "SequenceStream")]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_the_module_of_a_public_object_is_public(module, name):
    found = getattr(importlib.import_module(module), name)
    assert found.__module__ == module
    assert found.__qualname__ == name
    assert pickle.loads(pickle.dumps(found)) is found


X = [np.array([[1.0, 2.0], [4.0, 3.0]]), np.array([[0.0, 1.0]])]
OBJECTS = {
    "sequences": sequences.check_sequences(X),
    "packed": sequences.check_sequences(X).pack(),
    **{name: metrics.get_scorer(name) for name in metrics.get_scorer_names()},
    "own metric": metrics.make_scorer(np.allclose),
    "own probability metric": metrics.make_scorer(np.allclose, response_method="predict_proba"),
    "scaler": preprocessing.SequenceScaler().fit(X),
    "imputer": preprocessing.SequenceImputer().fit(X),
    "differences": preprocessing.SequenceDifferences().fit(X),
    "convolutions": preprocessing.RandomConvolutions(2).fit(X),
    "windows": preprocessing.SlidingWindow().fit(X),
    "tables": preprocessing.ToSequences(2).fit(X),
    "static": preprocessing.AppendStatic().fit(pd.DataFrame({"series": [[1.0]], "age": [40]})),
    "steps": preprocessing.StepTransformer(StandardScaler()).fit(X),
    "window scaling": preprocessing.WindowScaledRegressor(LSTMRegressor(4, random_state=0)).fit(
        *sequences.make_windows(np.sin(np.arange(40.0)), width=4)
    ),
    "tokens": preprocessing.TokenEncoder().fit(["a b"]),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_pickles_name_no_private_module(name):
    stored = pickle.dumps(OBJECTS[name])
    assert b"sklstm." in stored
    assert b"sklstm._" not in stored
    for module in MODULES[1:]:
        assert f"sklstm.{module}._".encode() not in stored
    assert type(pickle.loads(stored)) is type(OBJECTS[name])
