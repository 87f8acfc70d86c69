"""Integrals of gradients along the straight line from a baseline to each sequence.

Position 0 is the baseline, and position 1 the sequence. A *panel* is a part of the line of one
sequence, over which a Gauss-Legendre rule integrates. The output is a smooth function of the
position, except where the step of a maximum changes (pooling "max" and "mean_max").

Shapes: ``n`` sequences, ``S`` their time steps, ``D`` inputs, ``p`` panels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklstm._network.network import SequenceNetwork
from sklstm._threads import ParallelMap
from sklstm._training.prediction import input_gradients, raw_predictions, working_memory
from sklstm.inspection._outputs import Output
from sklstm.sequences import Sequences

Array = NDArray[np.floating]
Indices = NDArray[np.intp]

#: Points of a panel, panels of a line at first, and how often a panel may be bisected.
N_POINTS = 8
FIRST_PANELS = 8
MAX_BISECTIONS = 48

#: The errors of a line before the correction may sum to this number of tolerances.
SLACK = 10

#: Share of the working memory for inputs and gradients at all points of a block of panels.
BLOCK_SHARE = 0.25

_ALL = slice(None)


class Panels(NamedTuple):
    """Parts of lines, each with the sequence, the positions, and the outputs at these (p,)."""

    sample: Indices
    lower: Array
    upper: Array
    at_lower: Array
    at_upper: Array

    def take(self, which: slice | NDArray[np.bool_]) -> Panels:
        """Return some of the panels."""
        return Panels(self.sample[which], *(array[which] for array in self[1:]))

    @classmethod
    def join(cls, parts: list[Panels]) -> Panels:
        """Return all panels of the parts."""
        sample, *others = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return cls(sample, *others)

    def halves(self, at_middle: Array) -> Panels:
        """Return two panels in place of each; ``at_middle`` (p,) are the outputs between them."""
        sample, lower, upper, at_lower, at_upper = self
        middle = (lower + upper) / 2
        first = sample, lower, middle, at_lower, at_middle
        second = sample, middle, upper, at_middle, at_upper
        return Panels.join([Panels(*first), Panels(*second)])


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines of some sequences, and the output of the network along them.

    ``baselines`` (S, D) are stacked like ``sequences.values``.
    """

    network: SequenceNetwork
    parameters: Array
    sequences: Sequences
    baselines: Array
    output: Output
    parallel_map: ParallelMap

    @property
    def differences(self) -> Array:
        """The sequences minus their baselines (S, D)."""
        return self.sequences.values - self.baselines

    def points(self, sample: Indices, position: Array) -> Sequences:
        """Return the sequence at each of these points (p,)."""
        rows, lengths = self.sequences.rows(sample), self.sequences.lengths[sample]
        position = np.repeat(position, lengths)[:, None]
        values = self.baselines[rows] * (1 - position) + self.sequences.values[rows] * position
        return Sequences(values, lengths, "list")

    def output_rows(self, sample: Indices) -> Indices:
        """Return the rows of the raw predictions of these sequences."""
        return self.sequences.rows(sample) if self.output.per_step else sample

    def outputs(self, sample: Indices, position: Array) -> Array:
        """Return the output at each of these points (p,)."""
        found: list[Array] = [np.empty(0)]
        for block in self._blocks(sample, 1):
            points = self.points(sample[block], position[block])
            raw = raw_predictions(self.network, self.parameters, points, self.parallel_map)
            rows = self.output_rows(sample[block])
            found.append(self.output.values(raw, rows, points.lengths))
        return np.concatenate(found)

    def gradients(self, sample: Indices, position: Array) -> Array:
        """Return the gradients at these points, stacked."""
        points, output_rows = self.points(sample, position), self.output_rows(sample)
        result = np.empty_like(points.values)

        def gradient(raw: Array, places: Indices) -> Array:
            return self.output.gradient(raw, output_rows[places])

        def write(rows: Indices, values: Array, columns: slice = _ALL, add: bool = False) -> None:
            result[rows, columns] = result[rows, columns] + values if add else values

        arguments = self.network, self.parameters, points, self.parallel_map
        input_gradients(*arguments, gradient, write)
        return result

    def integrals(self, panels: Panels, n_points: int) -> Iterator[tuple[slice, Integrals]]:
        """Yield the integrals over the panels, block by block."""
        nodes, weights = np.polynomial.legendre.leggauss(n_points)
        for block in self._blocks(panels.sample, n_points):
            part = panels.take(block)
            yield block, self._integrals(part, (nodes + 1) / 2, weights / 2)

    def _integrals(self, panels: Panels, nodes: Array, weights: Array) -> Integrals:
        """Return the integrals of one block; the nodes are between 0 and 1."""
        sample, width = panels.sample, panels.upper - panels.lower
        rows, lengths = self.sequences.rows(sample), self.sequences.lengths[sample]
        mean, product = np.zeros((2, len(rows), self.baselines.shape[1]))
        slopes = np.empty((len(nodes), len(sample)))
        n_together = max(1, int(self._limit / len(rows)))
        for first in range(0, len(nodes), n_together):
            part = slice(first, first + n_together)
            positions = panels.lower + nodes[part, None] * width
            gradients = self.gradients(np.tile(sample, len(positions)), positions.ravel())
            terms = gradients.reshape(len(positions), *mean.shape) * self.differences[rows]
            starts = np.cumsum(lengths) - lengths
            slopes[part] = np.add.reduceat(terms.sum(axis=2), starts, axis=1)
            mean += np.tensordot(weights[part], terms, 1)
            by_step = weights[part, None] * np.repeat(slopes[part], lengths, axis=1)
            product += np.einsum("ks,ksd->sd", by_step, terms)
        return Integrals.of(panels, lengths, mean, product, slopes, weights)

    @property
    def _limit(self) -> float:
        """Number of steps of all points together: inputs, gradients, and copies of both."""
        bytes_per_step = 4 * 8 * self.baselines.shape[1]
        return working_memory() * BLOCK_SHARE / bytes_per_step

    def _blocks(self, sample: Indices, n_points: int) -> Iterator[slice]:
        """Yield blocks of panels whose points fit into the memory, at least one panel each."""
        steps = np.cumsum(self.sequences.lengths[sample] * n_points)
        first = 0
        while first < len(sample):
            before = steps[first - 1] if first else 0
            stop = int(np.searchsorted(steps, before + self._limit, side="right"))
            stop = max(stop, first + 1)
            yield slice(first, stop)
            first = stop


@dataclass(frozen=True, eq=False)
class Integrals:
    """The integrals of gradient times difference over panels, stacked, and their errors (p,).

    Their sum over a panel should be the difference between the outputs at its ends. ``errors`` are
    those of the Gauss-Legendre rule. ``covariances`` are the integrals of the same terms times the
    deviation of their sum, the slope of the output, from its ``average`` over the panel;
    ``variance`` is that of the squared deviation, which is at most ``deviation`` in size.
    """

    lengths: Indices
    width: Array
    values: Array
    covariances: Array
    average: Array
    variance: Array
    deviation: Array
    errors: Array

    @classmethod
    def of(
        cls,
        panels: Panels,
        lengths: Indices,
        mean: Array,
        product: Array,
        slopes: Array,
        weights: Array,
    ) -> Integrals:
        """Return them from weighted means: of the terms, and of the terms times their sums.

        ``slopes`` (points, p) are the sums of the terms of a panel, the derivatives of the output.
        """
        width = panels.upper - panels.lower
        average = weights @ slopes
        deviations = slopes - average
        by_step = [np.repeat(array, lengths)[:, None] for array in (width, average)]
        return cls(
            lengths,
            width,
            values=mean * by_step[0],
            covariances=by_step[0] * (product - by_step[1] * mean),
            average=average,
            variance=weights @ deviations**2 * width,
            deviation=np.abs(deviations).max(axis=0),
            errors=average * width - (panels.at_upper - panels.at_lower),
        )

    def factors(self, largest_change: float = 1.0) -> Array:
        """Return by how much of its deviation the weight of a point changes.

        These are the least changes that make the sum of a panel exact. Zero if the weight of a
        point would change by more than ``largest_change`` of it: up to 1, none becomes negative.
        """
        factors = -self.errors / np.where(self.variance > 0, self.variance, np.inf)
        return np.where(np.abs(factors) * self.deviation <= largest_change, factors, 0)

    def changed(self, factors: Array) -> Array:
        """Return the integrals with changed weights."""
        return self.values + np.repeat(factors, self.lengths)[:, None] * self.covariances

    @cached_property
    def corrected(self) -> Array:
        """The integrals with changed weights, but no negative ones."""
        return self.changed(self.factors())

    @cached_property
    def remaining(self) -> Array:
        """The errors of ``corrected``."""
        return self.errors + self.factors() * self.variance


def integrate_adaptively(
    lines: Lines, at_baselines: Array, at_sequences: Array, tolerance: Array
) -> tuple[Array, Array]:
    """Return the integrated gradients (S, D), and the error of the sum of each sequence (n,).

    Panels with a larger error are bisected, until the errors of a line sum to its ``tolerance``
    (n,) at most, and those of the rule before its correction to a few times that.
    """
    n = len(tolerance)
    accepted = _Totals.zero(lines)
    result, remaining = np.zeros_like(accepted.values), np.zeros(n)
    panels = _first_panels(lines, at_baselines, at_sequences)
    for bisection in range(MAX_BISECTIONS + 1):
        whole, rejected = _refine(lines, panels, accepted, tolerance)
        done = (whole.remaining <= tolerance) & (whole.errors <= SLACK * tolerance)
        done |= bisection == MAX_BISECTIONS
        finished = np.unique(panels.sample)
        finished = finished[done[finished]]
        rows = lines.sequences.rows(finished)
        result[rows], remaining[finished] = whole.values[rows], whole.remaining[finished]
        panels = rejected.take(~done[rejected.sample])
        if len(panels.sample) == 0:
            break
        middle = (panels.lower + panels.upper) / 2
        panels = panels.halves(lines.outputs(panels.sample, middle))
    return result, remaining


def _first_panels(lines: Lines, at_baselines: Array, at_sequences: Array) -> Panels:
    """Divide each line into equal panels."""
    n, positions = len(at_baselines), np.linspace(0, 1, FIRST_PANELS + 1)
    sample = np.tile(np.arange(n), FIRST_PANELS)
    inner = lines.outputs(sample[n:], np.repeat(positions[1:-1], n))
    lower, upper = np.repeat(positions[:-1], n), np.repeat(positions[1:], n)
    at_lower, at_upper = (
        np.concatenate(parts) for parts in ((at_baselines, inner), (inner, at_sequences))
    )
    return Panels(sample, lower, upper, at_lower, at_upper)


class _Totals(NamedTuple):
    """Sums over panels: integrals (S, D), and the absolute values of their errors (n,)."""

    values: Array
    errors: Array
    remaining: Array

    @classmethod
    def zero(cls, lines: Lines) -> _Totals:
        n = len(lines.sequences)
        return cls(np.zeros_like(lines.baselines, order="C"), np.zeros(n), np.zeros(n))

    def copy(self) -> _Totals:
        return _Totals(*(array.copy() for array in self))

    def add(self, lines: Lines, panels: Panels, found: Integrals, which: NDArray[np.bool_]) -> None:
        """Add some of the panels."""
        sample = panels.sample[which]
        steps = np.repeat(which, lines.sequences.lengths[panels.sample])
        np.add.at(self.values, lines.sequences.rows(sample), found.corrected[steps])
        np.add.at(self.errors, sample, np.abs(found.errors[which]))
        np.add.at(self.remaining, sample, np.abs(found.remaining[which]))


def _refine(
    lines: Lines, panels: Panels, accepted: _Totals, tolerance: Array
) -> tuple[_Totals, Panels]:
    """Add the panels with small errors to ``accepted``.

    Returns the totals with all panels, and the panels that are not accepted.
    """
    whole, rejected = accepted.copy(), []
    n_panels = np.maximum(np.bincount(panels.sample, minlength=len(tolerance)), 1)
    allowed = (SLACK * tolerance - accepted.errors) / n_panels
    may_remain = (tolerance - accepted.remaining) / n_panels
    for block, found in lines.integrals(panels, N_POINTS):
        part = panels.take(block)
        small = np.abs(found.errors) <= allowed[part.sample]
        small &= np.abs(found.remaining) <= may_remain[part.sample]
        whole.add(lines, part, found, np.ones_like(small))
        accepted.add(lines, part, found, small)
        rejected.append(part.take(~small))
    return whole, Panels.join(rejected)
