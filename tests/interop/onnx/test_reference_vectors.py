"""The LSTM of sklstm computes what the examples of the ONNX standard expect."""

import numpy as np
import pytest
from onnx_models import onnx

from sklstm.functional import lstm_forward
from sklstm.interop import _gates

lstm = pytest.importorskip("onnx.backend.test.case.node.lstm")


def examples():
    """The examples of the LSTM operator by name: its node, inputs and outputs."""
    found = {}

    def record(node, inputs, outputs, name):
        found[name] = node, inputs, outputs

    exports = [name for name in dir(lstm.LSTM) if name.startswith("export")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lstm, "expect", record)
        for name in exports:
            getattr(lstm.LSTM, name)()
    return found


EXAMPLES = examples()
# sklstm has no peepholes: connections from the cell state to the gates.
WITHOUT_PEEPHOLES = {name: k for name, k in EXAMPLES.items() if "P" not in k[0].input}


def parameters(w, r, b):
    """The parameters of one direction, in sklstm's layout."""
    bias = np.zeros(len(w)) if b is None else b[: len(w)] + b[len(w) :]
    return {
        "weight_ih": _gates.from_order(w.T.astype(float), _gates.ONNX),
        "weight_hh": _gates.from_order(r.T.astype(float), _gates.ONNX),
        "bias": _gates.from_order(bias.astype(float), _gates.ONNX),
    }


def computed(node, inputs):
    """The outputs of the node by name: states of all steps and the last ones, in its layout."""
    given = dict(zip(node.input, inputs, strict=False))
    settings = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    x = given["X"].astype(float)
    x = x.swapaxes(0, 1) if settings.get("layout") else x
    names = {b"reverse": [True], b"bidirectional": [False, True]}
    steps, last, cells = [], [], []
    for k, reverse in enumerate(names.get(settings.get("direction"), [False])):
        bias = given["B"][k] if "B" in given else None
        weights = parameters(given["W"][k], given["R"][k], bias)
        h, c, _ = lstm_forward(x[::-1] if reverse else x, weights)
        steps.append(h[::-1] if reverse else h)
        last.append(h[-1])
        cells.append(c[-1])
    outputs = {"Y": np.stack(steps, axis=1), "Y_h": np.stack(last), "Y_c": np.stack(cells)}
    if settings.get("layout"):
        return {k: np.moveaxis(v, -2, 0) for k, v in outputs.items()}
    return outputs


@pytest.mark.parametrize("name", WITHOUT_PEEPHOLES)
def test_examples(name):
    node, inputs, outputs = WITHOUT_PEEPHOLES[name]
    found = computed(node, inputs)
    results = [output for output in node.output if output]
    assert len(results) == len(outputs) > 0
    for output, expected in zip(results, outputs, strict=True):
        np.testing.assert_allclose(found[output], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
def test_random_weights(bias, rng):
    """The weights of the examples are constant, and do not tell the gates apart."""
    from onnx.reference import ReferenceEvaluator

    shapes = {"X": (5, 3, 2), "W": (1, 16, 2), "R": (1, 16, 4), **({"B": (1, 32)} if bias else {})}
    inputs = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    node = onnx.helper.make_node("LSTM", list(inputs), ["Y", "Y_h", "Y_c"], hidden_size=4)
    expected = ReferenceEvaluator(node).run(None, inputs)
    found = computed(node, inputs.values())
    for name, values in zip(node.output, expected, strict=True):
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)


def test_there_are_examples():
    assert "test_lstm_defaults" in WITHOUT_PEEPHOLES
    assert any("P" in node.input for node, _, _ in EXAMPLES.values())
