"""A graph of ONNX operators as plain values: built without the onnx package.

Shapes of tensors: ``n`` sequences, ``T`` time steps, ``D`` features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: The numbers of the element types in ``onnx.TensorProto``.
FLOAT, INT32, INT64, STRING, BOOL, DOUBLE = 1, 6, 7, 8, 9, 11

#: From this opset on, the axes of ReduceMax and ReduceMin are an input.
AXES_AS_INPUT = 18


class Node(NamedTuple):
    """An operator, with the names of its inputs and outputs."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


class Tensors(NamedTuple):
    """Sequences in a graph.

    ``values`` are (n, T, D), or (n, T) if ``table``. Without ``lengths`` (n,) int64, every sequence
    has T steps. Values after the end of a sequence are arbitrary.
    """

    values: str
    lengths: str | None
    table: bool


class Graph:
    """Nodes and constants in the order in which they were added.

    Parameters
    ----------
    opset : int
        Version of the operators.
    unique : callable or None
        From a name to one that no other tensor has.
    """

    def __init__(self, opset: int, unique: Callable[[str], str] | None = None) -> None:
        self.opset = opset
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._counts: Counter[str] = Counter()
        self._unique = unique or self._numbered
        self._masks: dict[tuple[str, str, bool], str] = {}

    def _numbered(self, name: str) -> str:
        self._counts[name] += 1
        return f"{name}_{self._counts[name]}"

    def constant(self, value: Any, dtype: Any = None, name: str = "constant") -> str:
        """Add an array, and return its name."""
        name = self._unique(name)
        self.constants[name] = np.asarray(value, dtype)
        return name

    def ints(self, *values: int) -> str:
        """Add a vector of integers, such as axes or a shape."""
        return self.constant(values, np.int64, "ints")

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator with one output, and return the name of the output."""
        return self.add_many(operator, *inputs, n_outputs=1, **attributes)[0]

    def add_many(self, operator: str, *inputs: str, n_outputs: int, **attributes: Any) -> list[str]:
        """Add an operator with several outputs, and return their names."""
        outputs = [self._unique(operator.lower()) for _ in range(n_outputs)]
        self.nodes.append(Node(operator, list(inputs), outputs, attributes))
        return outputs

    def copy_to(self, value: str, name: str) -> None:
        """Give a tensor a second name."""
        self.nodes.append(Node("Identity", [value], [name], {}))

    def remove_unused(self, results: set[str]) -> None:
        """Remove the operators and constants that no result needs."""
        needed, kept = set(results), []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        self.nodes = kept[::-1]
        self.constants = {name: v for name, v in self.constants.items() if name in needed}

    def cast(self, value: str, element_type: int) -> str:
        """Convert a tensor to another element type."""
        return self.add("Cast", value, to=element_type)

    def reduce(self, operator: str, value: str, axis: int, keepdims: bool = False) -> str:
        """Reduce one axis, with ReduceSum, ReduceMax or ReduceMin."""
        if operator == "ReduceSum" or self.opset >= AXES_AS_INPUT:
            return self.add(operator, value, self.ints(axis), keepdims=int(keepdims))
        return self.add(operator, value, axes=[axis], keepdims=int(keepdims))

    def n_steps(self, values: str) -> str:
        """The number of time steps of a tensor (n, T, ...), a scalar of type int64."""
        return self.add("Gather", self.add("Shape", values), self.constant(1, np.int64), axis=0)

    def range(self, stop: str) -> str:
        """The integers from zero up to, but not including, a scalar."""
        zero, one = (self.constant(k, np.int64) for k in (0, 1))
        return self.add("Range", zero, stop, one)

    def mask(self, tensors: Tensors, time_major: bool = False) -> str | None:
        """Which steps are part of a sequence, (n, T, 1) or (T, n, 1); None if all are."""
        if tensors.lengths is None:
            return None
        key = (tensors.values, tensors.lengths, time_major)
        if key not in self._masks:
            steps = self.range(self.n_steps(tensors.values))
            of_steps, of_lengths = (1, 0) if time_major else (0, 1)
            steps = self.add("Unsqueeze", steps, self.ints(of_steps))
            lengths = self.add("Unsqueeze", tensors.lengths, self.ints(of_lengths))
            inside = self.add("Less", steps, lengths)
            self._masks[key] = self.add("Unsqueeze", inside, self.ints(2))
        return self._masks[key]

    def fill(self, mask: str | None, values: str, other: float, dtype: Any = np.float32) -> str:
        """Replace the values after the end of the sequences."""
        if mask is None:
            return values
        return self.add("Where", mask, values, self.constant(other, dtype))
