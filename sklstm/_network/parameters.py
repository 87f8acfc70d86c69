"""Where each parameter lies in the one flat vector that solvers see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

Views = dict[str, NDArray[np.floating]]


class ParameterLayout:
    """Named, shaped parameters laid end to end in one flat vector."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        ends = np.cumsum([prod(shape) for shape in self.shapes.values()]).tolist()
        self.slices = {
            name: slice(start, stop)
            for name, start, stop in zip(self.shapes, [0, *ends[:-1]], ends, strict=True)
        }
        self.size: int = ends[-1]

    def views(self, flat: NDArray[np.floating]) -> Views:
        """Reshaped slices of ``flat``: writing to a view writes to the vector."""
        if flat.shape != (self.size,):
            raise ValueError(f"expected a vector of {self.size} parameters, got {flat.shape}")
        return {name: flat[part].reshape(self.shapes[name]) for name, part in self.slices.items()}

    def weights(self, flat: NDArray[np.floating]) -> Iterator[NDArray[np.floating]]:
        """The parts of ``flat`` that a penalty acts on: weights, never biases."""
        return (flat[part] for name, part in self.slices.items() if not name.endswith("bias"))
