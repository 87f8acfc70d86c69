"""Stacked sequences, and batches of them that are packed, not padded.

Shapes: ``n`` sequences, ``S`` steps of all sequences together, ``D`` features (channels).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[np.floating]
Form = Literal["2d", "3d", "list"]

MANY_STEPS = 10_000


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences of any lengths, one below the other.

    Parameters
    ----------
    values : ndarray of shape (n_total_steps, n_features)
        The steps of the first sequence, then those of the second, and so on.
    lengths : ndarray of shape (n_sequences,)
        Steps of each sequence, at least one.
    form : {"2d", "3d", "list"}
        What they were given as.
    frame : dataframe or None
        The input, or the first of a list of frames, if its columns have names to be remembered.
    n_timesteps : int or None
        Steps of an array, padding included.
    flat : bool
        Whether each was given as a row or 1-D array, without an axis for features.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import check_sequences
    >>> sequences = check_sequences([np.zeros((3, 2)), np.ones((5, 2))])
    >>> sequences.values.shape, sequences.lengths.tolist(), sequences.form
    ((8, 2), [3, 5], 'list')
    """

    values: Array
    lengths: NDArray[np.intp]
    form: Form
    frame: Any = None
    n_timesteps: int | None = None
    flat: bool = False

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Array]:
        """Each sequence as a view of shape (n_steps, n_features)."""
        for start, length in zip(self.starts, self.lengths, strict=True):
            yield self.values[start : start + length]

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """The row at which each sequence begins, shape (n_sequences,)."""
        return np.cumsum(self.lengths) - self.lengths

    def where(self, row: int) -> tuple[int, int]:
        """Find the sample and the time step of a row.

        Parameters
        ----------
        row : int
            A row of ``values``.

        Returns
        -------
        sample, step : int
            Both counted from zero.
        """
        sample = int(np.searchsorted(self.starts, row, side="right")) - 1
        return sample, int(row - self.starts[sample])

    def take(self, indices: NDArray[np.intp]) -> Sequences:
        """Copy some of the sequences.

        Parameters
        ----------
        indices : ndarray of int
            Which, in this order.

        Returns
        -------
        Sequences
            Theirs alone.
        """
        return replace(self, values=self.values[self.rows(indices)], lengths=self.lengths[indices])

    def rows(self, indices: NDArray[np.intp]) -> NDArray[np.intp]:
        """Find the rows of some of the sequences.

        Parameters
        ----------
        indices : ndarray of int
            Which, in this order.

        Returns
        -------
        ndarray of int
            Rows of ``values``.
        """
        lengths = self.lengths[indices]
        shift = self.starts[indices] - (np.cumsum(lengths) - lengths)
        return np.arange(lengths.sum()) + np.repeat(shift, lengths)

    def astype(self, dtype: DTypeLike) -> Sequences:
        """Convert the values.

        Parameters
        ----------
        dtype : dtype
            Of the new values; tokens, which are integers, stay as they are.

        Returns
        -------
        Sequences
            The same sequences; not copied where they have that dtype.
        """
        return replace(self, values=_cast(self.values, dtype))

    def like_input(self, steps: NDArray[Any]) -> NDArray[Any] | list[NDArray[Any]]:
        """One row a step, in the form that the sequences were given in.

        Parameters
        ----------
        steps : ndarray of shape (n_total_steps, ...)
            The rows of the first sequence, then those of the second, and so on.

        Returns
        -------
        ndarray of shape (n_sequences, n_timesteps, ...) or list of ndarray
            A list of (n_timesteps_i, ...) arrays for a list; for an array, an array, in which NaN
            (for what is no number, None) stands where the input was padded.
        """
        if self.form == "list":
            return np.split(steps, self.starts[1:])
        shape = (len(self), self.n_timesteps, *steps.shape[1:])
        if len(steps) == shape[0] * shape[1]:
            return steps.reshape(shape)
        if steps.dtype.kind in "fiub":
            padded = np.full(shape, np.nan, np.result_type(steps.dtype, np.float32))
        else:
            padded = np.full(shape, None, object)
        padded[np.arange(shape[1]) < self.lengths[:, None]] = steps
        return padded

    def pack(
        self, indices: NDArray[np.intp] | None = None, dtype: DTypeLike | None = None
    ) -> PackedSequences:
        """A batch for the network: longest first, time-major, without padding.

        Parameters
        ----------
        indices : ndarray of int, optional
            Which sequences; all by default.
        dtype : dtype, optional
            That of the packed values; by default as they are.

        Returns
        -------
        PackedSequences
            A copy of their steps.
        """
        return self.packing(indices, dtype).segment()

    def packing(
        self, indices: NDArray[np.intp] | None = None, dtype: DTypeLike | None = None
    ) -> Packing:
        """Plan a batch without copying anything yet.

        Parameters
        ----------
        indices : ndarray of int, optional
            Which sequences; all by default.
        dtype : dtype, optional
            That of the packed values; by default as they are.

        Returns
        -------
        Packing
            Which hands out all of its steps, or some.
        """
        lengths = self.lengths if indices is None else self.lengths[indices]
        starts = self.starts if indices is None else self.starts[indices]
        order = np.argsort(-lengths, kind="stable")
        lengths, starts = lengths[order], starts[order]
        batch_sizes = _batch_sizes(lengths)
        dtype = self.values.dtype if dtype is None else np.dtype(dtype)
        return Packing(self.values, dtype, starts, batch_sizes, lengths, order)


class _Sorted:
    """What a batch knows of the order of its rows."""

    batch_sizes: NDArray[np.intp]
    lengths: NDArray[np.intp]
    order: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def blocks(self) -> list[slice]:
        """The packed rows of each step."""
        ends = np.cumsum(self.batch_sizes)
        return list(map(slice, (ends - self.batch_sizes).tolist(), ends.tolist()))

    @cached_property
    def step_of(self) -> NDArray[np.intp]:
        """The time step of each packed row, shape (n_packed,)."""
        return _steps_and_rows(self.batch_sizes)[0]

    @cached_property
    def row_of(self) -> NDArray[np.intp]:
        """The sequence of each packed row, counted as sorted, shape (n_packed,)."""
        return _steps_and_rows(self.batch_sizes)[1]

    def restore(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Sort rows of sequences back.

        Parameters
        ----------
        rows : ndarray of shape (n_sequences, ...)
            One row a sequence, longest first.

        Returns
        -------
        ndarray
            The same in the order from before sorting.
        """
        restored = np.empty_like(rows)
        restored[self.order] = rows
        return restored

    def unpack(self, steps: NDArray[Any]) -> NDArray[Any]:
        """Stack packed rows again.

        Parameters
        ----------
        steps : ndarray of shape (n_packed, ...)
            One row a step, packed.

        Returns
        -------
        ndarray
            The same, sequence after sequence in the order from before sorting.
        """
        lengths = self.restore(self.lengths)
        starts = (np.cumsum(lengths) - lengths)[self.order]
        stacked = np.empty_like(steps)
        stacked[starts[self.row_of] + self.step_of] = steps
        return stacked


@dataclass(frozen=True, eq=False)
class Packing(_Sorted):
    """Where the steps of a batch come from, and in what order they will lie.

    Parameters
    ----------
    values : ndarray of shape (n_total_steps, n_features)
        Stacked steps, those of other sequences among them.
    dtype : dtype
        Of the packed values.
    starts : ndarray of shape (n_sequences,)
        The first of these rows of each sequence.
    batch_sizes, lengths, order : ndarray
        As in :class:`PackedSequences`.
    """

    values: Array
    dtype: np.dtype[Any]
    starts: NDArray[np.intp]
    batch_sizes: NDArray[np.intp]
    lengths: NDArray[np.intp]
    order: NDArray[np.intp]

    @property
    def n_steps(self) -> int:
        """Steps of the longest sequence."""
        return len(self.batch_sizes)

    @property
    def rows(self) -> NDArray[np.intp]:
        """Where each packed row stands among the stacked ones, shape (n_packed,)."""
        return self.starts[self.row_of] + self.step_of

    def segment(self, first: int = 0, stop: int | None = None) -> PackedSequences:
        """Copy the steps from ``first`` to before ``stop`` of the sequences that run so long.

        Parameters
        ----------
        first, stop : int
            Steps of each sequence; by default all.

        Returns
        -------
        PackedSequences
            A batch of its own; a sequence that goes on after ``stop`` looks as if it ended there.
        """
        batch_sizes = self.batch_sizes[first:stop]
        n = batch_sizes[0]
        if n == batch_sizes[-1]:
            rows = np.add.outer(np.arange(first, first + len(batch_sizes)), self.starts[:n]).ravel()
        else:
            step_of, row_of = _steps_and_rows(batch_sizes)
            rows = (self.starts + first)[row_of] + step_of
        lengths = np.minimum(self.lengths[:n] - first, len(batch_sizes))
        values = _cast(self.values[rows], self.dtype)
        return PackedSequences(values, batch_sizes, lengths, self.order[:n], rows)


@dataclass(frozen=True, eq=False)
class PackedSequences(_Sorted):
    """A batch, time-major: the first step of all sequences, then the second of those that have one.

    Sorted by falling length, the sequences that run at a step are always the first so many, one
    contiguous block, and padding costs nothing.

    Parameters
    ----------
    values : ndarray of shape (n_packed, n_features)
        The rows of each step, one step after the other.
    batch_sizes : ndarray of shape (n_steps,)
        How many sequences run at each step, never rising.
    lengths : ndarray of shape (n_sequences,)
        Steps of each sequence, falling.
    order : ndarray of shape (n_sequences,)
        Where each of them stood before sorting.
    rows : ndarray of shape (n_packed,)
        Where each packed row stood among the stacked ones.
    """

    values: Array
    batch_sizes: NDArray[np.intp]
    lengths: NDArray[np.intp]
    order: NDArray[np.intp]
    rows: NDArray[np.intp]


def _steps_and_rows(
    batch_sizes: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The time step and the sequence of each packed row."""
    steps = np.repeat(np.arange(len(batch_sizes)), batch_sizes)
    starts = np.cumsum(batch_sizes) - batch_sizes
    return steps, np.arange(len(steps)) - starts[steps]


def _batch_sizes(lengths: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many sequences of falling ``lengths`` run at each step."""
    if lengths[0] == lengths[-1]:
        if lengths[0] < MANY_STEPS:
            return np.full(lengths[0], len(lengths))
        return np.broadcast_to(np.intp(len(lengths)), lengths[0])  # slower, but takes no memory
    return np.searchsorted(-lengths, -np.arange(lengths[0]), side="left")


def _cast(values: Array, dtype: DTypeLike) -> Array:
    """To another dtype; but tokens stay integers."""
    return values if values.dtype.kind == "i" else values.astype(dtype, copy=False)
