"""Accepted and rejected forms of X; stacked sequences and packed batches."""

import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from numerics import RAGGED, draw_sequences

from sklstm.sequences import check_sequences

EQUAL = (4, 4, 4)


def objects(elements):
    """A 1-D object array, also where the elements have equal shapes."""
    array = np.empty(len(elements), dtype=object)
    for k, element in enumerate(elements):
        array[k] = element
    return array


def draw(rng, lengths=RAGGED, n_features=2, dtype=np.float64):
    return [rng.standard_normal((k, n_features)).astype(dtype) for k in lengths]


def assert_holds(sequences, parts, form):
    assert sequences.form == form
    assert sequences.lengths.tolist() == [len(part) for part in parts]
    assert sequences.values.flags.c_contiguous
    np.testing.assert_array_equal(sequences.values, np.concatenate(parts), strict=True)


# --- accepted forms of X ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (3, 4, 2), (1, 1, 1)])
@pytest.mark.parametrize("how", ["plain", "read-only", "memory-mapped"])
def test_contiguous_float_arrays_are_not_copied(how, shape, dtype, rng, tmp_path):
    X = rng.standard_normal(shape).astype(dtype)
    if how == "memory-mapped":
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    X.flags.writeable = how == "plain"
    sequences = check_sequences(X)
    assert np.shares_memory(sequences.values, X)
    parts = [x.reshape(shape[1], -1) for x in np.array(X)]
    assert_holds(sequences, parts, "2d" if len(shape) == 2 else "3d")
    assert sequences.n_timesteps == shape[1]


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float16, object])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2)])
def test_other_numbers_become_float64(shape, dtype, rng):
    X = rng.integers(0, 2, shape).astype(dtype)
    expected = check_sequences(X.astype(np.float64))
    found = check_sequences(X)
    assert_holds(found, list(expected), expected.form)
    assert_holds(check_sequences([*X]), list(expected), "list")


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2)])
def test_any_memory_order_is_accepted(shape, rng):
    X = rng.standard_normal(shape)
    expected = list(check_sequences(X))
    for other in (np.asfortranarray(X), np.stack([X, X])[:, ::-1][:, ::-1][0], X[::-1][::-1]):
        assert_holds(check_sequences(other), expected, "2d" if X.ndim == 2 else "3d")


@pytest.mark.parametrize("container", [list, tuple, objects])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths", [RAGGED, EQUAL, (1,)], ids=str)
def test_lists_of_arrays_are_lists_even_if_lengths_are_equal(lengths, dtype, container, rng):
    parts = draw(rng, lengths, 2, dtype)
    sequences = check_sequences(container(parts))
    assert_holds(sequences, parts, "list")
    assert sequences.n_timesteps is None


@pytest.mark.parametrize("container", [list, tuple, objects])
@pytest.mark.parametrize("lengths", [RAGGED, EQUAL], ids=str)
def test_one_dimensional_elements_have_one_feature(lengths, container, rng):
    parts = draw(rng, lengths, 1)
    assert_holds(check_sequences(container([part[:, 0] for part in parts])), parts, "list")
    mixed = [part if k % 2 else part[:, 0] for k, part in enumerate(parts)]
    assert_holds(check_sequences(container(mixed)), parts, "list")


@pytest.mark.parametrize("outer", [list, tuple])
@pytest.mark.parametrize("inner", [list, tuple])
def test_regular_nested_lists_are_an_array(inner, outer):
    flat, deep = outer([inner([1, 2]), inner([3, 4])]), outer([[inner([1, 2])], [inner([3, 4])]])
    assert_holds(check_sequences(flat), [np.array([[1.0], [2]]), np.array([[3.0], [4]])], "2d")
    assert_holds(check_sequences(deep), [np.array([[1.0, 2]]), np.array([[3.0, 4]])], "3d")


def test_ragged_nested_lists_are_a_list():
    assert_holds(
        check_sequences([[1, 2], [3]]), [np.array([[1.0], [2]]), np.array([[3.0]])], "list"
    )
    deep = [[[1, 2], [3, 4]], [[5, 6]]]
    assert_holds(check_sequences(deep), [*map(np.array, [[[1.0, 2], [3, 4]], [[5.0, 6]]])], "list")


def test_nested_lists_with_an_array_are_a_list_of_sequences():
    expected = [np.array([[1.0], [2]]), np.array([[3.0], [4]])]
    assert_holds(check_sequences([[1, 2], np.array([3, 4])]), expected, "list")
    assert_holds(check_sequences(objects([[1, 2], [3, 4]])), expected, "list")


def test_a_list_is_float32_only_if_all_elements_are(rng):
    single, double = draw(rng, (2, 3), dtype=np.float32), draw(rng, (2, 3))
    assert check_sequences(single).values.dtype == np.float32
    assert check_sequences([single[0], double[0]]).values.dtype == np.float64
    assert check_sequences([single[0], np.ones((2, 2), int)]).values.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths", [(3, 1, 6, 2), (6, 6), (2, 2), (1,)], ids=str)
def test_nan_steps_at_the_end_are_padding(lengths, dtype, rng):
    parts = draw(rng, lengths, 2, dtype)
    padded = np.full((len(lengths), 6, 2), np.nan, dtype)
    for sample, part in zip(padded, parts, strict=True):
        sample[: len(part)] = part
    sequences = check_sequences(padded)
    assert_holds(sequences, parts, "3d")
    assert sequences.n_timesteps == 6
    np.testing.assert_array_equal(sequences.like_input(sequences.values), padded, strict=True)


def test_huge_values_are_finite():
    """The sum of these values is infinite."""
    assert check_sequences(np.full((2, 3, 2), 3e38, np.float32)).lengths.tolist() == [3, 3]


# --- frames ---


@pytest.fixture(params=["pandas", "polars"])
def frames(request):
    return pytest.importorskip(request.param).DataFrame


def test_each_row_of_a_frame_is_a_series(frames):
    X = frames({"a": [1.0, 2.0], "b": [3, 4]})
    sequences = check_sequences(X)
    assert_holds(sequences, [np.array([[1.0], [3]]), np.array([[2.0], [4]])], "2d")
    assert sequences.frame is X


@pytest.mark.parametrize("container", [list, tuple, objects])
def test_a_list_of_frames_keeps_the_first_frame(container, frames):
    X = container([frames({"a": [1, 2], "b": [3.5, 4]}), frames({"a": [5.0], "b": [6]})])
    sequences = check_sequences(X)
    assert_holds(sequences, [np.array([[1, 3.5], [2, 4]]), np.array([[5.0, 6]])], "list")
    assert sequences.frame is X[0]


def test_lists_may_mix_arrays_with_series_or_frames(frames):
    frame = frames({"a": [1.0, 2.0]})
    for element in (frame["a"], frame):
        sequences = check_sequences([element, np.array([3.0])])
        assert_holds(sequences, [np.array([[1.0], [2]]), np.array([[3.0]])], "list")
        assert sequences.frame is None


@pytest.mark.parametrize("columns", [["b", "a"], ["a", "c"]], ids=str)
def test_frames_with_different_columns_are_an_error(columns, frames):
    X = [frames({"a": [1.0], "b": [2.0]})] * 2 + [frames({name: [1.0] for name in columns})]
    message = f"X[12]: expected the columns ['a', 'b'] as in X[10], got {columns}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_sequences(X, first_sample=10)


# --- rejected forms of X ---

ONES = np.ones((3, 2))
NUMBERS = r"expected numbers of shape \(n_timesteps, n_features\) or \(n_timesteps,\), got"
SHAPE = r"expected shape \(n_timesteps, n_features\) or \(n_timesteps,\), got"


def with_value(value, *where, shape=(3, 4, 2)):
    X = np.ones(shape)
    X[where] = value
    return X


MALFORMED = {
    "empty sequence": ([ONES, ONES[:0]], r"X\[1\]: an empty sequence; expected at least one time"),
    "empty plain list": ([[1.0, 2.0], []], r"X\[1\]: an empty sequence"),
    "empty 1-D": ([np.ones(2), np.ones(0)], r"X\[1\]: an empty sequence"),
    "channels": ([ONES, ONES[:, :1]], r"X\[1\]: expected 2 feature\(s\) as in X\[0\], got 1"),
    "channels, 1-D": ([ONES[:, 0], ONES], r"X\[1\]: expected 1 feature\(s\) as in X\[0\], got 2"),
    "no channels": ([ONES, ONES[:, :0]], rf"X\[1\]: {SHAPE} \(3, 0\)"),
    "3-D element": ([ONES, ONES[None]], rf"X\[1\]: {SHAPE} \(1, 3, 2\)"),
    "scalar element": ([ONES, 5.0], rf"X\[1\]: {SHAPE} \(\)"),
    "None element": ([ONES, None], r"X\[1\]: expected (shape|numbers)"),
    "scalar in objects": (objects([ONES, 5.0]), rf"X\[1\]: {SHAPE} \(\)"),
    "ragged element": ([ONES, [[1, 2], [3]]], rf"X\[1\]: {NUMBERS} list"),
    "string element": ([ONES, "ab"], rf"X\[1\]: {NUMBERS} str"),
    "array of strings": ([ONES[:, 0], np.array(["a", "b"])], rf"X\[1\]: {NUMBERS} ndarray"),
    "complex element": ([ONES, ONES * 1j], rf"X\[1\]: {NUMBERS} ndarray: Complex data not supp"),
    "NaN, 2-D": (with_value(np.nan, 1, 3, shape=(3, 4)), "NaN at sample 1, time step 3, feature 0"),
    "infinity, 2-D": (with_value(-np.inf, 2, 0, shape=(3, 4)), "infinity at sample 2, time step 0"),
    "NaN, 3-D": (with_value(np.nan, 1, 2, 1), "NaN at sample 1, time step 2, feature 1"),
    "NaN, last step": (with_value(np.nan, 1, 3, 0), "NaN at sample 1, time step 3, feature 0"),
    "NaN in all features": (with_value(np.nan, 2, 1), "NaN at sample 2, time step 1, feature 0"),
    "infinity, 3-D": (with_value(np.inf, 0, 3), "infinity at sample 0, time step 3, feature 0"),
    "NaN in a list": ([ONES, with_value(np.nan, 2, 1, shape=(3, 2))],
                      "NaN at sample 1, time step 2, feature 1"),
    "NaN tail in a list": ([ONES, with_value(np.nan, 2, shape=(3, 2))],
                           "NaN at sample 1, time step 2, feature 0"),
    "all NaN": (with_value(np.nan, 1), r"X\[1\]: expected at least one time step that is not NaN"),
}  # fmt: skip

MALFORMED_WHOLE = {
    "1-D": (np.ones(3), "Expected 2D array, got 1D array"),
    "0-D": (np.float64(3), "Expected 2D array, got scalar array"),
    "4-D": (np.ones((1, 2, 3, 4)), r"expected a 2-D array .* got an array of shape \(1, 2, 3, 4\)"),
    "nested 4-D": ([[[[1.0]]]], r"expected a 2-D array .* got an array of shape \(1, 1, 1, 1\)"),
    "scalars": ([1.0, 2.0], "Expected 2D array, got 1D array"),
    "scalar objects": (objects([1.0, 2.0]), "Expected 2D array, got 1D array"),
    "strings": (["ab", "c"], "could not convert string to float: 'ab'"),
    "2-D strings": (np.array([["a", "b"]]), "could not convert string to float"),
    "complex": (ONES * 1j, "Complex data not supported"),
    "empty list": ([], "expected at least one sequence, got none"),
    "empty tuple": ((), "expected at least one sequence, got none"),
    "empty objects": (objects([]), "expected at least one sequence, got none"),
    "list of empty lists": ([[], []], r"0 feature\(s\) \(shape=\(2, 0\)\)"),
    "no samples": (np.ones((0, 3)), r"0 sample\(s\) \(shape=\(0, 3\)\)"),
    "no steps": (np.ones((3, 0)), r"0 feature\(s\) \(shape=\(3, 0\)\)"),
    "no samples, 3-D": (np.ones((0, 3, 2)), r"0 sample\(s\) \(shape=\(0, 3, 2\)\)"),
    "no steps, 3-D": (np.ones((3, 0, 2)), r"0 time step\(s\) \(shape=\(3, 0, 2\)\)"),
    "no features, 3-D": (np.ones((3, 2, 0)), r"0 feature\(s\) \(shape=\(3, 2, 0\)\)"),
}


@pytest.mark.parametrize(("X", "message"), MALFORMED.values(), ids=MALFORMED)
def test_error_messages_name_the_sample(X, message):
    with pytest.raises(ValueError, match=message):
        check_sequences(X)


@pytest.mark.parametrize("name", ["channels", "scalar element", "NaN in a list", "all NaN"])
def test_error_messages_count_from_first_sample(name):
    X, _ = MALFORMED[name]
    with pytest.raises(ValueError, match=r"X\[101\]|at sample 101"):
        check_sequences(X, first_sample=100)


@pytest.mark.parametrize(("X", "message"), MALFORMED_WHOLE.values(), ids=MALFORMED_WHOLE)
def test_error_messages_about_all_of_X(X, message):
    with pytest.raises(ValueError, match=message):
        check_sequences(X)


def test_dates_are_an_error():
    dates = np.array(["2020-01-01", "2020-01-02"], dtype="M8[D]")
    with pytest.raises((TypeError, ValueError), match=rf"X\[1\]: {NUMBERS}"):
        check_sequences([ONES[:, 0], dates])


def test_error_messages_name_the_estimator():
    class Model:
        pass

    with pytest.raises(ValueError, match="Model expects finite numbers; impute missing values"):
        check_sequences(with_value(np.nan, 0, 0), estimator=Model())


@pytest.mark.parametrize("where", [(1, 1, 0), (1, 1), (2, 3, 1)], ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_ensure_all_finite_false_keeps_all_values(value, where):
    X = with_value(value, *where)
    sequences = check_sequences(X, ensure_all_finite=False)
    np.testing.assert_array_equal(sequences.values, X.reshape(-1, 2))


# --- stacked sequences ---


@pytest.mark.parametrize(
    ("X", "flat"),
    [
        (ONES, True),
        (ONES[None], False),
        ([ONES[0], ONES[:, 0]], True),
        ([ONES, ONES[:1]], False),
        ([ONES[:, :1], ONES[0]], False),
        ([[1, 2], [3]], True),
        ([[[1], [2]], [[3]]], False),
    ],
    ids=["2-D", "3-D", "1-D arrays", "2-D arrays", "both", "numbers", "rows"],
)
def test_flat_means_without_an_axis_of_features(X, flat):
    assert check_sequences(X).flat is flat


def test_iteration_yields_views(rng):
    parts = draw(rng)
    sequences = check_sequences(parts)
    assert len(sequences) == len(parts)
    for found, expected in zip(sequences, parts, strict=True):
        assert np.shares_memory(found, sequences.values)
        np.testing.assert_array_equal(found, expected)


def test_sequences_are_immutable(rng):
    with pytest.raises(FrozenInstanceError):
        draw_sequences(rng).form = "3d"


@pytest.mark.parametrize("indices", [[2], [5, 0, 0, 3], [0, 1, 2, 3, 4, 5], []], ids=str)
def test_take_copies_in_the_order_of_the_indices(indices, rng):
    parts = draw(rng)
    sequences = check_sequences(parts)
    taken = sequences.take(np.array(indices, dtype=np.intp))
    assert taken.lengths.tolist() == [RAGGED[k] for k in indices]
    assert taken.form == "list"
    for found, k in zip(taken, indices, strict=True):
        np.testing.assert_array_equal(found, parts[k])
    assert not np.shares_memory(taken.values, sequences.values)


def test_astype_copies_only_if_the_dtype_changes(rng):
    sequences = draw_sequences(rng)
    assert sequences.astype(np.float64).values is sequences.values
    single = sequences.astype(np.float32)
    np.testing.assert_array_equal(single.values, sequences.values.astype(np.float32), strict=True)
    assert single.lengths is sequences.lengths


@pytest.mark.parametrize("tail", [(), (3,)], ids=str)
def test_like_input_returns_the_form_of_the_input(tail, rng):
    parts, array = draw(rng), rng.standard_normal((3, 4, 2))
    steps = rng.standard_normal((sum(RAGGED), *tail))
    found = check_sequences(parts).like_input(steps)
    assert [len(part) for part in found] == list(RAGGED)
    np.testing.assert_array_equal(np.concatenate(found), steps)
    steps = rng.standard_normal((12, *tail))
    for X in (array, array[:, :, 0]):
        np.testing.assert_array_equal(
            check_sequences(X).like_input(steps), steps.reshape(3, 4, *tail)
        )
    array[1, 2:] = np.nan
    found = check_sequences(array).like_input(steps[:10])
    assert found.shape == (3, 4, *tail)
    np.testing.assert_array_equal(found[1, :2], steps[4:6])
    np.testing.assert_array_equal(found[2], steps[6:10])
    assert np.isnan(found[1, 2:]).all()


def test_like_input_returns_floats_if_integers_are_padded():
    X = with_value(np.nan, 1, slice(2, None), shape=(2, 3, 1))
    found = check_sequences(X).like_input(np.arange(5))
    np.testing.assert_array_equal(found, [[0, 1, 2], [3, 4, np.nan]])


# --- packed batches ---


def test_a_batch_is_sorted_and_time_major():
    """Sequences of 2, 3 and 1 steps; the digit before the point is the sequence."""
    sequences = check_sequences([[0.0, 0.1], [1.0, 1.1, 1.2], [2.0]])
    batch = sequences.pack()
    assert batch.values[:, 0].tolist() == [1.0, 0.0, 2.0, 1.1, 0.1, 1.2]
    assert batch.batch_sizes.tolist() == [3, 2, 1]
    assert batch.lengths.tolist() == [3, 2, 1]
    assert batch.order.tolist() == [1, 0, 2]
    assert batch.blocks == [slice(0, 3), slice(3, 5), slice(5, 6)]
    assert batch.step_of.tolist() == [0, 0, 0, 1, 1, 2]
    assert batch.row_of.tolist() == [0, 1, 2, 0, 1, 0]
    assert len(batch) == 3


def test_sequences_of_one_length_keep_their_order(rng):
    batch = check_sequences(draw(rng, (2, 3, 2, 3, 2))).pack()
    assert batch.order.tolist() == [1, 3, 0, 2, 4]


@pytest.mark.parametrize("lengths", [[4, 4], [4, 2]], ids=["equal", "ragged"])
@pytest.mark.parametrize("indices", [[0, 1, 1], [1], [1, 0, 1, 0, 0]], ids=str)
def test_pack_takes_sequences_several_times(lengths, indices, rng):
    sequences = draw_sequences(rng, lengths)
    packed = sequences.pack(np.array(indices))
    expected = sequences.take(np.array(indices)).pack()
    for name in ("values", "batch_sizes", "lengths", "order"):
        np.testing.assert_array_equal(getattr(packed, name), getattr(expected, name))


def test_a_packed_batch_has_lengths_of_its_own(rng):
    sequences = draw_sequences(rng, [3, 3])
    packed = sequences.pack()
    packed.lengths[0] = 7
    assert sequences.lengths.tolist() == sequences.pack().lengths.tolist() == [3, 3]


@pytest.mark.parametrize("n", [9_999, 10_000])
def test_many_equal_sequences_or_steps(n, rng):
    """Small arrays of indices are kept for other batches, large ones are not."""
    for shape in ((n, 2, 1), (2, n, 1)):
        x = rng.normal(size=shape)
        packed = check_sequences(x).pack()
        np.testing.assert_array_equal(packed.values[:, 0], x[:, :, 0].T.ravel())
        np.testing.assert_array_equal(packed.order, np.arange(shape[0]))


@pytest.mark.parametrize("dtype", [None, np.float32, np.float64])
def test_unpack_is_the_inverse_of_pack(dtype, rng):
    for _ in range(20):
        sequences = check_sequences(draw(rng, rng.integers(1, 9, rng.integers(1, 12))))
        indices = rng.integers(0, len(sequences), rng.integers(1, 15))
        batch, taken = sequences.pack(indices, dtype), sequences.take(indices)
        assert batch.values.dtype == (dtype or np.float64)
        expected = taken.values.astype(batch.values.dtype)
        np.testing.assert_array_equal(batch.unpack(batch.values), expected)
        np.testing.assert_array_equal(batch.restore(batch.lengths), taken.lengths)
        np.testing.assert_array_equal(batch.restore(taken.lengths[batch.order]), taken.lengths)
        assert (np.diff(batch.lengths) <= 0).all()
        for t, block in enumerate(batch.blocks):
            running = [k for k in batch.order if taken.lengths[k] > t]
            rows = np.stack([list(taken)[k][t] for k in running]).astype(batch.values.dtype)
            np.testing.assert_array_equal(batch.values[block], rows)


def test_restore_and_unpack_take_rows_of_any_shape(rng):
    batch = check_sequences(draw(rng)).pack()
    for tail in ((), (2,), (2, 3)):
        rows = rng.standard_normal((len(RAGGED), *tail))
        np.testing.assert_array_equal(batch.restore(rows)[batch.order], rows)
        steps = rng.standard_normal((sum(RAGGED), *tail))
        assert batch.unpack(steps).shape == steps.shape


def test_the_lengths_of_a_segment_are_those_within_it():
    lengths = [7, 2, 5, 4]
    packing = check_sequences([np.zeros((n, 1)) for n in lengths]).packing()
    for first, stop in ((0, 3), (2, 5), (4, 7), (3, 4)):
        within = [min(n, stop) - first for n in sorted(lengths, reverse=True) if n > first]
        assert packing.segment(first, stop).lengths.tolist() == within
