"""Integrals along lines by a given number of points.

The line of each sequence is divided into panels, each with the same Gauss-Legendre rule. They are
short where the output changes abruptly, which the outputs alone tell: they cost less than
gradients.

Shapes: ``n`` sequences, ``S`` their time steps, ``D`` inputs, ``p`` panels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sklstm.inspection._paths import N_POINTS, Integrals, Lines, Panels

Array = NDArray[np.floating]

#: Equal intervals of a panel, at whose ends the output is computed.
INTERVALS = 8

#: The weights of the points of several panels may change by at most this number of times.
LARGEST_CHANGE = 10.0

#: Relative error of outputs, from rounding.
ROUNDING = 1e-12


def integrate(lines: Lines, n_points: int) -> tuple[Array, Array]:
    """Return the integrated gradients (S, D), and the error of the sum of each sequence (n,).

    Gradients are computed at no more than ``n_points`` points of a line. The errors of panels that
    cannot be corrected without negative weights are corrected together. If this would change the
    weights too much, all panels of the line are corrected together.
    """
    n_panels = max(1, n_points // N_POINTS)
    panels = divide(lines, n_panels)
    result = np.zeros_like(lines.baselines, order="C")
    others, everything = _Union(lines), _Union(lines)
    for block, found in lines.integrals(panels, n_points // n_panels):
        part, correctable = panels.take(block), found.factors() != 0
        rows = lines.sequences.rows(part.sample[correctable])
        np.add.at(result, rows, found.corrected[np.repeat(correctable, found.lengths)])
        others.add(part, found, ~correctable)
        everything.add(part, found, np.ones_like(correctable))
    rest, whole = others.integrals(), everything.integrals()
    result += rest.changed(rest.factors(LARGEST_CHANGE))
    difference, size = np.zeros((2, len(lines.sequences)))
    np.add.at(difference, panels.sample, panels.at_upper - panels.at_lower)
    np.maximum.at(size, panels.sample, np.abs(panels.at_upper))
    poor = (rest.factors(LARGEST_CHANGE) == 0) & (np.abs(rest.errors) > ROUNDING * size)
    steps = np.repeat(poor, whole.lengths)
    result[steps] = whole.changed(whole.factors(LARGEST_CHANGE))[steps]
    sums = np.add.reduceat(result.sum(axis=1), lines.sequences.starts)
    return result, np.abs(sums - difference)


def divide(lines: Lines, n_panels: int) -> Panels:
    """Divide each line into ``n_panels``, by bisecting the roughest of its panels repeatedly."""
    n = len(lines.sequences)
    samples, grid = np.arange(n), np.linspace(0, 1, INTERVALS + 1)
    lower, width = np.zeros((1, n)), np.ones((1, n))
    outputs = lines.outputs(np.repeat(samples, len(grid)), np.tile(grid, n))
    outputs = outputs.reshape(1, n, len(grid))
    for _ in range(n_panels - 1):
        worst = _roughness(outputs).argmax(axis=0)
        width[worst, samples] /= 2
        start, half = lower[worst, samples], width[worst, samples]
        between = start[:, None] + 2 * half[:, None] * (np.arange(INTERVALS) + 0.5) / INTERVALS
        finer = np.empty((n, 2 * INTERVALS + 1))
        finer[:, ::2] = outputs[worst, samples]
        finer[:, 1::2] = lines.outputs(np.repeat(samples, INTERVALS), between.ravel()).reshape(
            n, -1
        )
        outputs[worst, samples] = finer[:, : INTERVALS + 1]
        outputs = np.concatenate([outputs, finer[None, :, INTERVALS:]])
        lower, width = (np.vstack(pair) for pair in ((lower, start + half), (width, half)))
    ends = outputs[..., 0].ravel(), outputs[..., -1].ravel()
    return Panels(np.tile(samples, n_panels), lower.ravel(), (lower + width).ravel(), *ends)


def _roughness(outputs: Array) -> Array:
    """Return what a polynomial does not describe of the outputs (..., INTERVALS + 1).

    The difference of order ``INTERVALS`` would not see a rise in the middle, an odd function.
    """
    return np.abs(np.diff(outputs, n=INTERVALS - 1, axis=-1)).max(axis=-1)


class _Union:
    """Sums over some panels of each line, as if they were one panel."""

    def __init__(self, lines: Lines) -> None:
        n = len(lines.sequences)
        self.sequences = lines.sequences
        self.values, self.products = np.zeros((2, *lines.baselines.shape))
        self.width, self.slopes, self.squares, self.errors = np.zeros((4, n))
        self.lowest, self.highest = np.full(n, np.inf), np.full(n, -np.inf)

    def add(self, panels: Panels, found: Integrals, which: NDArray[np.bool_]) -> None:
        """Add some of the panels."""
        sample, steps = panels.sample[which], np.repeat(which, found.lengths)
        rows = self.sequences.rows(sample)
        average = np.repeat(found.average, found.lengths)[:, None]
        np.add.at(self.values, rows, found.values[steps])
        np.add.at(self.products, rows, (found.covariances + average * found.values)[steps])
        squares = found.variance + found.width * found.average**2
        for total, of_panels in (
            (self.width, found.width),
            (self.slopes, found.width * found.average),
            (self.squares, squares),
            (self.errors, found.errors),
        ):
            np.add.at(total, sample, of_panels[which])
        np.minimum.at(self.lowest, sample, (found.average - found.deviation)[which])
        np.maximum.at(self.highest, sample, (found.average + found.deviation)[which])

    def integrals(self) -> Integrals:
        """Return the integrals over these panels of each line."""
        lengths, empty = self.sequences.lengths, self.width == 0
        average = self.slopes / np.where(empty, 1, self.width)
        deviation = np.maximum(self.highest - average, average - self.lowest)
        return Integrals(
            lengths,
            self.width,
            self.values,
            covariances=self.products - np.repeat(average, lengths)[:, None] * self.values,
            average=average,
            variance=np.maximum(self.squares - average * self.slopes, 0),
            deviation=np.where(empty, 0, deviation),
            errors=self.errors,
        )
