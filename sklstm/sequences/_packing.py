"""Stacked sequences, and batches that are packed instead of padded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklstm.sequences._batch_sizes import first_integers, sizes_of_steps, steps_and_rows
from sklstm.sequences._cached_property import cached_property
from sklstm.sequences._scaling import Scaling

Array = NDArray[np.floating]
Form = Literal["2d", "3d", "list"]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences of any lengths, stacked in one array.

    Parameters
    ----------
    values : ndarray of shape (n_total_steps, n_features)
        The time steps of the first sequence, followed by those of the second, and so on.
    lengths : ndarray of shape (n_sequences,)
        Number of time steps of each sequence, at least one.
    form : {"2d", "3d", "list"}
        The form of the input.
    frame : dataframe or None
        The input if it is a frame, or the first element if it is a list of frames. The names of
        its columns are the feature names.
    n_timesteps : int or None
        Number of time steps in an input array, including padding.
    flat : bool
        Whether each sequence was a row or a 1-D array, without an axis for features.
    scaling : Scaling or None
        Mean and scale of the channels, which are applied when the sequences are packed. ``values``
        are not scaled.

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
    scaling: Scaling | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Array]:
        """Yield each sequence as a view of shape (n_timesteps_i, n_features)."""
        for start, length in zip(self.starts, self.lengths, strict=True):
            yield self.values[start : start + length]

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """The row at which each sequence starts, shape (n_sequences,)."""
        if self.equal_lengths:
            return np.arange(len(self)) * self.longest
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def longest(self) -> int:
        """The length of the longest sequence."""
        return int(self.lengths.max(initial=0))

    @property
    def equal_lengths(self) -> bool:
        """Whether all sequences have the same length."""
        return len(self.lengths) * self.longest == len(self.values)

    def where(self, row: int) -> tuple[int, int]:
        """Return the sample and the time step of a row.

        Parameters
        ----------
        row : int
            A row of ``values``.

        Returns
        -------
        sample, step : int
            Both start at zero.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.sequences import check_sequences
        >>> sequences = check_sequences([np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])])
        >>> sequences.where(3)  # the value 4, in the second sequence
        (1, 1)
        """
        sample = int(np.searchsorted(self.starts, row, side="right")) - 1
        return sample, int(row - self.starts[sample])

    def take(self, indices: NDArray[np.intp]) -> Sequences:
        """Return a copy of some of the sequences.

        Parameters
        ----------
        indices : ndarray of int
            Indices of the sequences.

        Returns
        -------
        Sequences
            The sequences in the order of ``indices``.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.sequences import check_sequences
        >>> sequences = check_sequences([np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])])
        >>> sequences.take(np.array([1])).values.ravel()
        array([3., 4., 5.])
        """
        values = self.values.take(self.rows(indices), axis=0)
        return replace(self, values=values, lengths=self.lengths[indices])

    def rows(self, indices: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows of some of the sequences.

        Parameters
        ----------
        indices : ndarray of int
            Indices of the sequences.

        Returns
        -------
        ndarray of int
            Rows of ``values``, in the order of ``indices``.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.sequences import check_sequences
        >>> sequences = check_sequences([np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])])
        >>> sequences.rows(np.array([1, 0]))
        array([2, 3, 4, 0, 1])
        """
        lengths = self.lengths[indices]
        shift = self.starts[indices] - (np.cumsum(lengths) - lengths)
        return np.arange(lengths.sum()) + np.repeat(shift, lengths)

    def astype(self, dtype: DTypeLike) -> Sequences:
        """Convert the values.

        Parameters
        ----------
        dtype : dtype
            The new dtype. Integers, which are tokens, are not converted.

        Returns
        -------
        Sequences
            The same sequences. The values are copied only if their dtype changes.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.sequences import check_sequences
        >>> sequences = check_sequences([np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])])
        >>> sequences.astype("float32").values.dtype
        dtype('float32')
        """
        return replace(self, values=_cast(self.values, dtype))

    def like_input(self, steps: NDArray[Any]) -> NDArray[Any] | list[NDArray[Any]]:
        """Return stacked rows in the form of the input.

        Parameters
        ----------
        steps : ndarray of shape (n_total_steps, ...)
            One row for each time step, stacked like ``values``.

        Returns
        -------
        ndarray of shape (n_sequences, n_timesteps, ...) or list of ndarray
            A list of arrays (n_timesteps_i, ...) if the input was a list, and an array otherwise.
            Padded steps are NaN, or None if the rows are not numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.sequences import check_sequences
        >>> sequences = check_sequences([np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])])
        >>> sequences.like_input(np.arange(5))
        [array([0, 1]), array([2, 3, 4])]
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
        """Return a packed batch: time-major, sorted by decreasing length, without padding.

        Parameters
        ----------
        indices : ndarray of int, default=None
            Indices of the sequences. If None, all sequences.
        dtype : dtype, default=None
            The dtype of the packed values. If None, it does not change.

        Returns
        -------
        PackedSequences
            A copy of the sequences.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.sequences import check_sequences
        >>> sequences = check_sequences([np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])])
        >>> packed = sequences.pack()  # both first steps, both second steps, the third step
        >>> packed.values.ravel(), packed.batch_sizes
        (array([3., 1., 4., 2., 5.]), array([2, 2, 1]))
        """
        return self.packing(indices, dtype).segment()

    def packing(
        self, indices: NDArray[np.intp] | None = None, dtype: DTypeLike | None = None
    ) -> Packing:
        """Prepare a packed batch without copying values.

        Parameters
        ----------
        indices : ndarray of int, default=None
            Indices of the sequences. If None, all sequences.
        dtype : dtype, default=None
            The dtype of the packed values. If None, it does not change.

        Returns
        -------
        Packing
            An object whose method ``segment`` copies consecutive time steps of the batch.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.sequences import check_sequences
        >>> sequences = check_sequences([np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])])
        >>> sequences.packing().segment(1, 3).values.ravel()  # the second and the third step
        array([4., 2., 5.])
        """
        lengths = self.lengths if indices is None else self.lengths[indices]
        starts = self.starts if indices is None else self.starts[indices]
        if self.equal_lengths:
            order = first_integers(len(lengths))
        else:
            order = np.argsort(-lengths, kind="stable")
            lengths, starts = lengths[order], starts[order]
        batch_sizes = sizes_of_steps(lengths)
        dtype = self.values.dtype if dtype is None else np.dtype(dtype)
        return Packing(self.values, dtype, starts, batch_sizes, lengths, order, self.scaling)


class _Sorted:
    """The order of the rows of a packed batch."""

    batch_sizes: NDArray[np.intp]
    lengths: NDArray[np.intp]
    order: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def blocks(self) -> list[slice]:
        """The packed rows of each time step."""
        ends = np.cumsum(self.batch_sizes)
        return list(map(slice, (ends - self.batch_sizes).tolist(), ends.tolist()))

    @cached_property
    def step_of(self) -> NDArray[np.intp]:
        """The time step of each packed row, shape (n_packed,)."""
        return steps_and_rows(self.batch_sizes)[0]

    @cached_property
    def row_of(self) -> NDArray[np.intp]:
        """The sequence of each packed row, in sorted order, shape (n_packed,)."""
        return steps_and_rows(self.batch_sizes)[1]

    def restore(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return one row for each sequence in the order before sorting.

        Parameters
        ----------
        rows : ndarray of shape (n_sequences, ...)
            One row for each sequence, sorted by decreasing length.

        Returns
        -------
        ndarray of shape (n_sequences, ...)
            The rows in the order before sorting.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.sequences import check_sequences
        >>> packed = check_sequences([np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])]).pack()
        >>> packed.lengths, packed.restore(packed.lengths)
        (array([3, 2]), array([2, 3]))
        """
        restored = np.empty_like(rows)
        restored[self.order] = rows
        return restored

    def unpack(self, steps: NDArray[Any]) -> NDArray[Any]:
        """Return packed rows stacked sequence by sequence.

        Parameters
        ----------
        steps : ndarray of shape (n_packed, ...)
            One packed row for each time step of each sequence.

        Returns
        -------
        ndarray of shape (n_packed, ...)
            The rows of the first sequence, followed by those of the second, and so on, in the
            order before sorting.

        Examples
        --------
        >>> import numpy as np
        >>> from sklstm.sequences import check_sequences
        >>> packed = check_sequences([np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])]).pack()
        >>> packed.unpack(packed.values).ravel()
        array([1., 2., 3., 4., 5.])
        """
        lengths = self.restore(self.lengths)
        starts = (np.cumsum(lengths) - lengths)[self.order]
        stacked = np.empty_like(steps)
        stacked[starts[self.row_of] + self.step_of] = steps
        return stacked


@dataclass(eq=False)  # frozen instances take twice the time to be made, once per batch
class Packing(_Sorted):
    """A batch whose values have not been copied yet.

    Parameters
    ----------
    values : ndarray of shape (n_total_steps, n_features)
        Stacked time steps, possibly with sequences that are not in the batch.
    dtype : dtype
        The dtype of the packed values.
    starts : ndarray of shape (n_sequences,)
        The row at which each sequence of the batch starts.
    batch_sizes, lengths, order : ndarray
        As in :class:`PackedSequences`.
    scaling : Scaling or None
        Mean and scale of the channels, which are applied in float64 before the values get their
        dtype.
    factors : ndarray of shape (n_sequences, n_features) or None
        By what the packed values of each sequence are multiplied.
    added : ndarray of shape (n_packed, n_features) or None
        What is then added to the packed values.
    """

    values: Array
    dtype: np.dtype[Any]
    starts: NDArray[np.intp]
    batch_sizes: NDArray[np.intp]
    lengths: NDArray[np.intp]
    order: NDArray[np.intp]
    scaling: Scaling | None = None
    factors: Array | None = None
    added: Array | None = None

    @property
    def n_steps(self) -> int:
        """Number of time steps of the longest sequence."""
        return len(self.batch_sizes)

    @property
    def rows(self) -> NDArray[np.intp]:
        """The stacked row of each packed row, shape (n_packed,)."""
        return self.starts[self.row_of] + self.step_of

    def segment(self, first: int = 0, stop: int | None = None) -> PackedSequences:
        """Return a packed copy of consecutive time steps.

        Parameters
        ----------
        first, stop : int
            The time steps from ``first`` up to, but not including, ``stop``. By default all.

        Returns
        -------
        PackedSequences
            The sequences that are longer than ``first``, cut to these time steps.
        """
        batch_sizes = self.batch_sizes[first:stop]
        n = batch_sizes[0]
        if n == batch_sizes[-1]:
            starts = self.starts[:n] + first if first > 0 else self.starts[:n]
            rows = (first_integers(len(batch_sizes))[:, None] + starts).reshape(-1)
        else:
            step_of, row_of = steps_and_rows(batch_sizes)
            rows = (self.starts + first)[row_of] + step_of
        lengths = self.lengths.copy()
        if len(batch_sizes) < self.n_steps:
            lengths = np.minimum(lengths[:n] - first, len(batch_sizes))
        values = self._take(rows)
        if self.factors is not None:
            values *= self.factors[steps_and_rows(batch_sizes)[1]]
        if self.added is not None:
            n_before = int(self.batch_sizes[:first].sum())
            values += self.added[n_before : n_before + len(rows)]
        return PackedSequences(values, batch_sizes, lengths, self.order[:n], rows)

    def _take(self, rows: NDArray[np.intp]) -> Array:
        """Return a scaled copy of these rows in the dtype of the batch."""
        if self.scaling is not None:
            return self.scaling.take(self.values, rows, self.dtype)
        return _cast(self.values.take(rows, axis=0, mode="clip"), self.dtype)  # clip is faster


@dataclass(frozen=True, eq=False)
class PackedSequences(_Sorted):
    """A time-major batch of sequences without padding.

    The sequences are sorted by decreasing length. The values hold the first time step of all
    sequences, followed by the second time step of all sequences that have one, and so on. The rows
    of a time step are one contiguous block. Batches of equal lengths share their batch sizes and
    their order, which are read-only.

    Parameters
    ----------
    values : ndarray of shape (n_packed, n_features)
        One row for each time step of each sequence.
    batch_sizes : ndarray of shape (n_timesteps,)
        Number of sequences that have each time step; it never increases.
    lengths : ndarray of shape (n_sequences,)
        Number of time steps of each sequence, sorted in decreasing order.
    order : ndarray of shape (n_sequences,)
        The position of each sequence before sorting.
    rows : ndarray of shape (n_packed,)
        The stacked row of each packed row.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.sequences import check_sequences
    >>> packed = check_sequences([np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])]).pack()
    >>> packed.values.ravel(), packed.batch_sizes, packed.order
    (array([3., 1., 4., 2., 5.]), array([2, 2, 1]), array([1, 0]))
    """

    values: Array
    batch_sizes: NDArray[np.intp]
    lengths: NDArray[np.intp]
    order: NDArray[np.intp]
    rows: NDArray[np.intp]


def _cast(values: Array, dtype: DTypeLike) -> Array:
    """Convert to another dtype, except tokens, which remain integers."""
    return values if values.dtype.kind == "i" else values.astype(dtype, copy=False)
