import numpy as np
import pytest

from sklstm._network.initializers import (
    INPUT_GAIN,
    glorot_uniform,
    input_uniform,
    lstm_bias,
    orthogonal,
)


@pytest.mark.parametrize(("n_in", "n_out"), [(200, 100), (100, 200), (1, 5000)])
def test_glorot_weights_are_uniform_within_the_bound(n_in, n_out, seed):
    """Glorot & Bengio 2010, eq. 16."""
    bound = np.sqrt(6 / (n_in + n_out))
    draw = glorot_uniform(np.random.RandomState(seed), n_in, n_out)
    assert draw.shape == (n_in, n_out)
    assert np.abs(draw).max() <= bound
    assert draw.max() > 0.95 * bound
    assert draw.min() < -0.95 * bound
    assert draw.std() == pytest.approx(bound / np.sqrt(3), rel=0.06)  # from 5000 draws or more


@pytest.mark.parametrize(("n_in", "n_out"), [(1, 5000), (50, 200)])
def test_the_spread_at_a_gate_does_not_depend_on_the_number_of_inputs(n_in, n_out, seed):
    rng = np.random.RandomState(seed)
    weights = input_uniform(rng, n_in, n_out)
    assert weights.shape == (n_in, n_out)
    spread = (rng.standard_normal((5000, n_in)) @ weights).std()
    assert spread == pytest.approx(INPUT_GAIN, rel=0.1)


@pytest.mark.parametrize("n", [1, 2, 17, 64])
def test_orthogonal_is_the_q_factor_of_a_normal_draw(n, seed):
    """Q is Haar distributed only with the signs that make R's diagonal positive (Mezzadri 2007)."""
    normal = np.random.RandomState(seed).standard_normal((3, n, n))
    for q, draw in zip(orthogonal(normal), normal, strict=True):
        r = q.T @ draw
        np.testing.assert_allclose(q.T @ q, np.eye(n), atol=1e-13)
        np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-12)
        assert (np.diag(r) > 0).all()


def test_only_the_forget_gate_has_a_bias():
    """The order of the gates is i, f, o, g."""
    np.testing.assert_array_equal(lstm_bias(2, 1.5), [0, 0, 1.5, 1.5, 0, 0, 0, 0])
    np.testing.assert_array_equal(lstm_bias(1, -2.0), [0, -2, 0, 0])
