"""The position of each parameter in the flat vector that the solvers use."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from math import prod

import numpy as np
from numpy.typing import NDArray

#: Arrays by the name of the parameter: views of a flat vector of parameters or gradients.
Views = dict[str, NDArray[np.floating]]


class ParameterLayout:
    """Names, shapes and positions of parameters that are stored one after the other."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        ends = np.cumsum([prod(shape) for shape in self.shapes.values()]).tolist()
        self.slices = {
            name: slice(start, stop)
            for name, start, stop in zip(self.shapes, [0, *ends[:-1]], ends, strict=True)
        }
        self.size: int = ends[-1]
        self._prepare()

    def _prepare(self) -> None:
        """List what is needed for each batch."""
        self._items = [(name, part, self.shapes[name]) for name, part in self.slices.items()]
        #: The slices with a penalty: all parameters but the biases.
        self.weight_slices = [
            part for name, part in self.slices.items() if not name.endswith("bias")
        ]

    def with_rows(self, n: int) -> ParameterLayout:
        """Return the layout with ``n`` rows of the last parameter."""
        name = list(self.shapes)[-1]
        layout, shape = copy(self), (n, *self.shapes[name][1:])
        start = self.slices[name].start
        layout.size = start + prod(shape)
        layout.shapes = {**self.shapes, name: shape}
        layout.slices = {**self.slices, name: slice(start, layout.size)}
        layout._prepare()
        return layout

    def views(self, flat: NDArray[np.floating]) -> Views:
        """Return each parameter as a view of the flat vector, in its shape."""
        if flat.shape != (self.size,):
            raise ValueError(f"expected a vector of {self.size} parameters, got {flat.shape}")
        return {name: flat[part].reshape(shape) for name, part, shape in self._items}
