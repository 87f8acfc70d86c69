"""Rules with a given number of points, on lines whose outputs are known functions."""

import numpy as np
import pytest

from sklstm.inspection import _composite, _paths
from sklstm.sequences import Sequences


class Lines:
    """Lines whose outputs are a function of the sample and the position."""

    def __init__(self, function, n):
        self.function, self.sequences = function, range(n)

    def outputs(self, sample, position):
        return self.function(sample, position)


class Stacked:
    """Lines with one channel, without outputs."""

    def __init__(self, lengths):
        values = np.zeros((sum(lengths), 1))
        self.sequences, self.baselines = Sequences(values, np.array(lengths), "list"), values


def steep(sample, position):
    """A steep rise at a different position for each sample."""
    return np.tanh((position - sample / 4) * 1e4)


@pytest.mark.parametrize("n_panels", [1, 2, 32])
def test_panels_divide_each_line(n_panels):
    panels = _composite.divide(Lines(steep, 4), n_panels)
    assert np.bincount(panels.sample).tolist() == [n_panels] * 4
    for k in range(4):
        which = panels.sample == k
        order = panels.lower[which].argsort()
        edges = panels.lower[which][order], panels.upper[which][order]
        np.testing.assert_array_equal(edges[0], [0, *edges[1][:-1]])
        assert edges[1][-1] == 1
    for ends in ((panels.lower, panels.at_lower), (panels.upper, panels.at_upper)):
        np.testing.assert_array_equal(ends[1], steep(panels.sample, ends[0]))


def test_panels_are_short_where_the_output_rises():
    panels = _composite.divide(Lines(steep, 4), 32)
    for k in range(4):
        which = panels.sample == k
        lower, upper = panels.lower[which], panels.upper[which]
        distance = np.maximum(np.maximum(lower - k / 4, k / 4 - upper), 0)
        assert (upper - lower <= np.maximum(distance, 1e-4) * 2).all()


def test_a_smooth_line_has_panels_of_similar_width():
    panels = _composite.divide(Lines(lambda sample, position: np.sin(9 * position), 1), 16)
    width = panels.upper - panels.lower
    assert width.max() <= 4 * width.min()


def test_a_union_equals_one_panel_with_the_points_of_both(rng):
    """A line with 2 steps; the points of two panels of equal width."""
    weights, terms = np.array([0.25, 0.5, 0.25]), rng.normal(size=(2, 3, 2, 1))
    ends = rng.normal(size=3)
    union = _composite._Union(Stacked([2]))
    union.add(*panels_of(terms, weights, [0, 0.5], [0.5, 1], ends[:2], ends[1:]), np.ones(2, bool))
    both = terms.reshape(1, 6, 2, 1)
    halves = np.concatenate([weights, weights]) / 2
    _, expected = panels_of(both, halves, [0], [1], ends[:1], ends[2:])
    found = union.integrals()
    for name in ("width", "values", "covariances", "average", "variance", "errors"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-13, err_msg=name
        )
    assert (found.deviation >= expected.deviation * (1 - 1e-12)).all()


def test_an_empty_union_changes_nothing():
    union = _composite._Union(Stacked([2, 3]))
    found = union.integrals()
    np.testing.assert_array_equal(found.changed(found.factors(10)), 0)


def panels_of(terms, weights, lower, upper, at_lower, at_upper):
    """Return panels of one sequence, and their integrals; ``terms`` (panels, points, steps, 1)."""
    n_panels, _, n_steps, _ = terms.shape
    sample, lengths = np.zeros(n_panels, int), np.full(n_panels, n_steps)
    panels = _paths.Panels(sample, *map(np.asarray, (lower, upper, at_lower, at_upper)))
    slopes = terms.sum(axis=(2, 3)).T
    mean = np.einsum("k,pksd->psd", weights, terms).reshape(-1, 1)
    product = np.einsum("k,kp,pksd->psd", weights, slopes, terms).reshape(-1, 1)
    return panels, _paths.Integrals.of(panels, lengths, mean, product, slopes, weights)
