"""The LSTM of ONNX in onnxruntime, for inference only, with inputs in its layout (T, N, D)."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from problem import Problem, Results

#: From sklstm's gate order i, f, o, g to i, o, f, c of ONNX.
GATES = [0, 2, 1, 3]

#: An opset that older versions of onnxruntime support; LSTM did not change between 14 and 22.
OPSET, IR_VERSION = 17, 9


class OnnxLSTM:
    """One LSTM node with the weights of a problem, for sequences of equal lengths."""

    name = "onnxruntime"

    def __init__(self, problem: Problem, threads: int) -> None:
        self._session = _session(problem, threads, streamed=False)
        self._inputs = {"x": np.ascontiguousarray(problem.x.swapaxes(0, 1))}

    def infer(self) -> list[np.ndarray]:
        return self._session.run(None, self._inputs)

    def results(self) -> Results:
        y, h = self.infer()
        return {"inference outputs": y[:, 0].swapaxes(0, 1), "inference final state": h[0]}


class OnnxCell:
    """The same node for one step at a time, with its states as inputs and outputs."""

    name = "onnxruntime"

    def __init__(self, problem: Problem) -> None:
        self._session = _session(problem, threads=1, streamed=True)
        self._state = [np.zeros((1, 1, problem.shape.hidden), np.float32) for _ in "hc"]

    def step(self, x: np.ndarray) -> np.ndarray:
        """Return the hidden state (1, H) after the next step (1, D)."""
        h, c = self._state
        self._state = self._session.run(None, {"x": x[None], "h0": h, "c0": c})
        return self._state[0][0]


layer = OnnxLSTM
cell = OnnxCell


def version() -> str:
    return str(onnxruntime.__version__)


def _session(problem: Problem, threads: int, streamed: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    model = _model(problem, streamed).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _model(problem: Problem, streamed: bool) -> onnx.ModelProto:
    """Build a model; outputs are h and c if streamed, otherwise y of all steps and the last h."""
    states = ["h0", "c0"] if streamed else []
    outputs = ["h", "c"] if streamed else ["y", "h"]
    node = helper.make_node(
        "LSTM",
        ["x", "w", "r", "b", *(["", *states] if streamed else [])],
        ["", "h", "c"] if streamed else ["y", "h"],
        hidden_size=problem.shape.hidden,
    )
    graph = helper.make_graph(
        [node],
        "lstm",
        [_floats(name) for name in ["x", *states]],
        [_floats(name, 4 if name == "y" else 3) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in _weights(problem).items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _floats(name: str, dimensions: int = 3) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * dimensions)


def _weights(problem: Problem) -> dict[str, np.ndarray]:
    bias = _by_gate(problem.bias[None])[:, 0]
    return {
        "w": _by_gate(problem.weight_ih)[None],
        "r": _by_gate(problem.weight_hh)[None],
        "b": np.concatenate([bias, np.zeros_like(bias)])[None],
    }


def _by_gate(weights: np.ndarray) -> np.ndarray:
    """Convert (K, 4H) to (4H, K)."""
    by_gate = weights.reshape(len(weights), 4, -1)[:, GATES]
    return np.ascontiguousarray(by_gate.reshape(len(weights), -1).T)
