"""Parts of a flat vector, for problems whose samples use only some of the parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating[Any]]


class Part(NamedTuple):
    """The first elements of a flat vector, and some rows of the matrix that follows them."""

    n_first: int
    rows: NDArray[np.intp]  # without duplicates
    width: int  # of the matrix

    def take(self, flat: Vector) -> Vector:
        """Return a copy of the part, a flat vector."""
        part = np.empty(self.n_first + len(self.rows) * self.width, flat.dtype)
        part[: self.n_first] = flat[: self.n_first]
        # Without mode="clip", NumPy copies to a buffer first; no row is out of bounds.
        np.take(self._matrix(flat), self.rows, axis=0, out=self._matrix(part), mode="clip")
        return part

    def put(self, flat: Vector, part: Vector) -> None:
        """Write the part to a flat vector."""
        flat[: self.n_first] = part[: self.n_first]
        self._matrix(flat)[self.rows] = self._matrix(part)

    def _matrix(self, flat: Vector) -> Vector:
        return flat[self.n_first :].reshape(-1, self.width)


class PartialGradient(NamedTuple):
    """The gradient of a batch that depends on a part of the parameters alone."""

    values: Vector
    part: Part
    parameters: Vector  # of the part, at which the gradient was computed
