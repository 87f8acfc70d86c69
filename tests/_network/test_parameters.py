import numpy as np
import pytest

from sklstm._network.parameters import ParameterLayout

SHAPES = {"a.weight": (2, 3), "a.bias": (3,), "b.weight": (3, 1), "b.bias": (1,)}


def test_parameters_are_stored_one_after_the_other():
    layout = ParameterLayout(SHAPES)
    views = layout.views(np.arange(13.0))
    assert layout.size == 13
    assert {name: view.shape for name, view in views.items()} == SHAPES
    assert list(views) == list(SHAPES)
    np.testing.assert_array_equal(np.concatenate([*map(np.ravel, views.values())]), np.arange(13))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_writing_to_a_view_writes_to_the_vector(dtype):
    layout, flat = ParameterLayout(SHAPES), np.zeros(13, dtype)
    views = layout.views(flat)
    for k, view in enumerate(views.values()):
        assert np.shares_memory(view, flat)
        assert view.dtype == dtype
        view += k + 1
    np.testing.assert_array_equal(flat, np.repeat([1, 2, 3, 4], [6, 3, 3, 1]))


def test_weights_are_all_parameters_but_biases():
    layout, flat = ParameterLayout(SHAPES), np.zeros(13)
    for part in layout.weight_slices:
        flat[part] += 1
    views = layout.views(flat)
    assert {name for name, view in views.items() if view.all()} == {"a.weight", "b.weight"}
    assert flat.sum() == 9


@pytest.mark.parametrize("shape", [(12,), (14,), (13, 1), ()])
def test_a_vector_of_another_size_is_refused(shape):
    with pytest.raises(ValueError, match="expected a vector of 13 parameters, got"):
        ParameterLayout(SHAPES).views(np.zeros(shape))


def test_a_single_parameter():
    layout = ParameterLayout({"only.weight": (2, 2)})
    assert layout.views(np.arange(4.0))["only.weight"].tolist() == [[0, 1], [2, 3]]
