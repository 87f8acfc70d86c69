"""Today's numbers are those of the golden results: to the last bit where they were recorded."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from golden import record

GOLDEN = json.loads(record.RESULTS.read_text())
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}


@pytest.fixture(scope="module")
def same_machine():
    return find_spec("llvmlite") is not None and record.machine() == GOLDEN["machine"]


def test_every_fit_is_recorded():
    assert list(GOLDEN["results"]) == record.names()


@pytest.mark.parametrize("name", record.names())
def test_the_numbers_are_those_of_before(name, same_machine):
    if ", numba, " in name:
        pytest.importorskip("llvmlite")
    expected, found = GOLDEN["results"][name], record.result(name)
    if same_machine:
        assert found == expected
        return
    tolerance = TOLERANCES[name.rsplit(", ")[-1]]
    for key in ("loss_curve", "predictions"):
        np.testing.assert_allclose(found[key], expected[key], tolerance, tolerance, err_msg=key)
