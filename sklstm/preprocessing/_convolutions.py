"""Convolutions of sequences with random kernels.

Shapes: ``n`` sequences, ``S`` steps of all sequences together, ``D`` channels, ``K`` kernels of
``L`` time steps.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklstm._compat import Interval
from sklstm._threads import with_single_blas_thread
from sklstm.preprocessing._base import SequenceTransformer, distinct
from sklstm.sequences import Sequences
from sklstm.sequences._moments import is_constant, moments, standardize

Array = NDArray[np.floating]


class RandomConvolutions(SequenceTransformer):
    """Replace the channels by their convolutions with random kernels.

    A kernel compares a time step with the steps around it. Its dilation, the distance between the
    steps that it reads, is random too. So the channels of the result show the shapes in a sequence,
    short and long ones, wherever they are. This helps if there are few sequences and their classes
    differ in shape. Kernels are not learned.

    Parameters
    ----------
    n_kernels : int, default=32
        Number of kernels. Each gives one channel of the result.

    kernel_size : int, default=9
        Number of time steps that a kernel reads, at least 2.

    append : bool, default=False
        Whether to append the convolutions to the channels of ``X`` instead of replacing them.

    random_state : int, RandomState instance or None, default=None
        Determines the kernels. Pass an int for the same kernels in each call of `fit`.

    Attributes
    ----------
    kernels_ : ndarray of shape (n_kernels, kernel_size, n_channels)
        The weights, sorted by dilation. Those of a channel that a kernel does not read are 0.

    dilations_ : ndarray of shape (n_kernels,), dtype=int
        The distance between the time steps that a kernel reads.

    center_, scale_ : ndarray of shape (n_channels,)
        Mean and standard deviation of each channel in the training data. A channel is scaled by
        them before the convolution. If it is constant, ``scale_`` is 1.

    n_features_in_ : int
        Number of channels. If ``X`` is 2-D, number of columns, which are time steps.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of ``X``, or of the frames in a list, if all are strings.

    See Also
    --------
    SequenceDifferences : The change since the previous time step.
    SlidingWindow : All values of a window as channels.

    Notes
    -----
    Kernels are drawn much as for ROCKET [1]_. Weights have a standard normal distribution and are
    centered: away from the ends of a sequence, the convolution of a constant is 0. A dilation is
    ``2 ** e`` without its fraction, with ``e`` uniform between 0 and the logarithm at which a
    kernel is as long as a sequence of median length. The number of channels that a kernel reads is
    drawn in the same way, up to ``kernel_size``. Channels are taken in turns, in random order, so
    that all are read if the kernels read as many together. With more channels, use more kernels.

    In contrast to ROCKET, the result has all time steps of a sequence instead of two features of
    each kernel. All kernels have the same size and no bias, and weights are divided by the square
    root of their number. A kernel is centered at its time step; if its size is even, it may reach
    one step further after it than before it. It reads later steps, so a stream cannot be
    transformed. Steps before and after a sequence count as the mean of their channel.

    A 2-D array becomes a 3-D array (n_samples, n_timesteps, n_kernels), with one more channel if
    ``append`` is True. `transform` raises an error if a result is not finite, because values are
    many times as large as those of the training data.

    References
    ----------
    .. [1] Dempster, Petitjean and Webb (2020). ROCKET: exceptionally fast and accurate time series
       classification using random convolutional kernels. Data Mining and Knowledge Discovery 34.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstm.preprocessing import RandomConvolutions
    >>> X = [np.sin(np.arange(30) / 3), np.cos(np.arange(20) / 2)]
    >>> convolutions = RandomConvolutions(n_kernels=4, random_state=0).fit(X)
    >>> convolutions.dilations_
    array([1, 1, 1, 2])
    >>> [x.shape for x in convolutions.transform(X)]
    [(30, 4), (20, 4)]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_kernels": [Interval(Integral, 1, None, closed="left")],
        "kernel_size": [Interval(Integral, 2, None, closed="left")],
        "append": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_kernels: int = 32,
        kernel_size: int = 9,
        *,
        append: bool = False,
        random_state: Any = None,
    ) -> None:
        self.n_kernels = n_kernels
        self.kernel_size = kernel_size
        self.append = append
        self.random_state = random_state

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the channels that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns or channels of ``X``. If None, the names seen in `fit`, or "x0",
            "x1" and so on.

        Returns
        -------
        ndarray of str
            "convolution0", "convolution1" and so on. If ``append`` is True, the names of ``X`` come
            first, or "value" if ``X`` was 2-D, and a name that occurs already gets a number.

        Examples
        --------
        >>> import pandas as pd
        >>> from sklstm.preprocessing import RandomConvolutions
        >>> X = [pd.DataFrame({"pulse": [80.0, 82.0, 81.0]})]
        >>> RandomConvolutions(2, append=True).fit(X).get_feature_names_out().tolist()
        ['pulse', 'convolution0', 'convolution1']
        """
        names = super().get_feature_names_out(input_features)
        convolutions = np.array([f"convolution{k}" for k in range(len(self.kernels_))], object)
        if not self.append:
            return convolutions
        first = np.array(["value"], object) if self._table else names
        return distinct(np.concatenate([first, convolutions]))

    def _learn(self, sequences: Sequences) -> None:
        rng = check_random_state(self.random_state)
        _, self.center_, deviation = moments(sequences.values)
        self.scale_ = np.where(is_constant(self.center_, deviation), 1.0, deviation)
        longest = max(1.0, (np.median(sequences.lengths) - 1) / (self.kernel_size - 1))
        self.dilations_ = np.sort(_powers_of_two(rng, longest, self.n_kernels))
        n_channels = sequences.values.shape[1]
        n_read = _powers_of_two(rng, min(n_channels, self.kernel_size) + 1, self.n_kernels)
        self.kernels_ = np.zeros((self.n_kernels, self.kernel_size, n_channels))
        order: list[int] = []
        for kernel, number in zip(self.kernels_, n_read, strict=True):
            read, order = _next_channels(rng, order, number, n_channels)
            weights = rng.standard_normal((self.kernel_size, number))
            kernel[:, read] = (weights - weights.mean(axis=0)) / np.sqrt(weights.size)

    def _apply(self, sequences: Sequences) -> Sequences:
        values = sequences.values
        n_first = values.shape[1] if self.append else 0
        result = np.empty((len(values), n_first + len(self.kernels_)), values.dtype)
        if self.append:
            result[:, :n_first] = values
        with np.errstate(over="ignore", invalid="ignore"):
            with_single_blas_thread(self._convolve, sequences, result[:, n_first:])
        self._refuse_overflow(sequences, result)
        form = "3d" if sequences.form == "2d" else sequences.form
        return replace(sequences, values=result, form=form)

    def _convolve(self, sequences: Sequences, out: Array) -> None:
        """Write the convolutions of all steps to ``out`` (S, K)."""
        scaled = standardize(sequences.values, self.center_, self.scale_ / 2)
        scaled = scaled.astype(out.dtype, copy=False)
        n_earlier, n_later = _steps_around(sequences.lengths)
        for dilation in np.unique(self.dilations_).tolist():
            chosen = self.dilations_ == dilation
            kernels = self.kernels_[chosen].astype(out.dtype)
            out[:, chosen] = _convolution(scaled, n_earlier, n_later, kernels, dilation)

    def _refuse_overflow(self, sequences: Sequences, result: Array) -> None:
        finite = np.isfinite(result).all(axis=1)
        if not finite.all():
            sample, _ = sequences.where(int(np.argmin(finite)))
            raise ValueError(
                f"X[{sample}]: expected values whose convolutions are finite in {result.dtype}; "
                "some are too large beside those of the training data"
            )


def _powers_of_two(rng: np.random.RandomState, largest: float, size: int) -> NDArray[np.intp]:
    """Draw powers of two up to ``largest``, without their fractions; exponents are uniform."""
    return (2 ** rng.uniform(0, np.log2(largest), size)).astype(np.intp)


def _next_channels(
    rng: np.random.RandomState, order: list[int], number: int, n_channels: int
) -> tuple[list[int], list[int]]:
    """Return different channels, and the order of those that are taken next.

    When the order is used up, another one follows, in which those just taken are the last.
    """
    taken, rest = order[:number], order[number:]
    n_missing = number - len(taken)
    if n_missing > 0:
        others = [k for k in rng.permutation(n_channels).tolist() if k not in taken]
        taken, rest = taken + others[:n_missing], others[n_missing:] + taken
    return taken, rest


def _steps_around(lengths: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the numbers of earlier and of later steps of each step (S,) in its sequence."""
    ends = np.cumsum(lengths)
    rows = np.arange(ends[-1])
    n_earlier = rows - np.repeat(ends - lengths, lengths)
    return n_earlier, np.repeat(ends, lengths) - rows - 1


def _convolution(
    values: Array,
    n_earlier: NDArray[np.intp],
    n_later: NDArray[np.intp],
    kernels: Array,
    dilation: int,
) -> Array:
    """Return the convolutions (S, K) of steps (S, D) with kernels (K, L, D) of one dilation.

    Each step of the kernels is one product for all sequences. It is zero where the kernel reaches
    beyond its sequence.
    """
    n_rows, size, longest = len(values), kernels.shape[1], n_earlier.max()
    total = np.zeros((n_rows, len(kernels)), values.dtype)
    for k in range(size):
        offset = k * dilation - (size - 1) * dilation // 2
        if abs(offset) > longest:
            continue
        first, stop = max(0, -offset), n_rows - max(0, offset)
        product = values[first + offset : stop + offset] @ kernels[:, k].T
        reach = n_later[first:stop] if offset > 0 else n_earlier[first:stop]
        product[reach < abs(offset)] = 0
        total[first:stop] += product
    return total
