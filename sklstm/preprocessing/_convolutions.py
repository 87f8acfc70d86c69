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
from sklstm.preprocessing._base import SequenceTransformer
from sklstm.sequences import Sequences
from sklstm.sequences._moments import is_constant, moments

Array = NDArray[np.floating]


class RandomConvolutions(SequenceTransformer):
    """Replace the channels by their convolutions with random kernels.

    A kernel compares a time step with the steps around it. Its dilation, the distance between the
    steps that it reads, is random too. So the channels of the result show the shapes in a sequence,
    short and long ones, in whichever place they are. This helps if the classes of a few sequences
    differ in such shapes. Kernels are not learned: ensembles use other kernels in each member.

    Parameters
    ----------
    n_kernels : int, default=32
        Number of kernels, which is the number of channels of the result.

    kernel_size : int, default=9
        Number of time steps that a kernel reads, at least 2.

    append : bool, default=False
        Whether to append the convolutions to the channels of ``X`` instead of replacing them.

    random_state : int, RandomState instance or None, default=None
        Determines the kernels. Pass an int for the same kernels in each call of `fit`.

    Attributes
    ----------
    kernels_ : ndarray of shape (n_kernels, kernel_size, n_channels)
        The weights, by ascending dilation. Those of a channel that a kernel does not read are 0.

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
    SequenceDifferences : The simplest kernel, the change since the previous time step.
    SlidingWindow : All values of a window as channels.

    Notes
    -----
    Kernels are drawn as for ROCKET [1]_. Weights have a standard normal distribution and are
    centered, so that the convolution of a constant is 0. They are divided by the square root of
    their number. A dilation is ``2 ** e`` without its fraction, with ``e`` uniform between 0 and
    the logarithm at which a kernel is as long as a sequence of median length. The number of
    channels that a kernel reads is ``2 ** e`` as well, at most ``kernel_size``.

    In contrast to ROCKET, sequences keep their time steps, and kernels have no bias. A kernel is
    centered at its time step, so it also reads later ones: a stream cannot be transformed. Steps
    before and after a sequence count as the mean of their channel. A 2-D array becomes a 3-D array
    (n_samples, n_timesteps, n_kernels).

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
            first, or "value" if ``X`` was 2-D.

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
        return np.concatenate([first, convolutions])

    def _learn(self, sequences: Sequences) -> None:
        rng = check_random_state(self.random_state)
        _, self.center_, deviation = moments(sequences.values)
        self.scale_ = np.where(is_constant(self.center_, deviation), 1.0, deviation)
        longest = max(1.0, (np.median(sequences.lengths) - 1) / (self.kernel_size - 1))
        self.dilations_ = np.sort(_powers_of_two(rng, longest, self.n_kernels))
        n_channels = sequences.values.shape[1]
        most = min(n_channels, self.kernel_size)
        self.kernels_ = np.zeros((self.n_kernels, self.kernel_size, n_channels))
        numbers = _powers_of_two(rng, most + 1, self.n_kernels)
        for kernel, n_read in zip(self.kernels_, numbers, strict=True):
            read = rng.permutation(n_channels)[:n_read]
            weights = rng.standard_normal((self.kernel_size, n_read))
            kernel[:, read] = (weights - weights.mean(axis=0)) / np.sqrt(weights.size)

    def _apply(self, sequences: Sequences) -> Sequences:
        values = sequences.values
        scaled = ((values - self.center_) / self.scale_).astype(values.dtype)
        parts = [values] if self.append else []
        for dilation in np.unique(self.dilations_):
            kernels = self.kernels_[self.dilations_ == dilation].astype(values.dtype)
            parts.append(_convolve(scaled, sequences.lengths, kernels, int(dilation)))
        form = "3d" if sequences.form == "2d" else sequences.form
        return replace(sequences, values=np.concatenate(parts, axis=1), form=form)


def _powers_of_two(rng: np.random.RandomState, largest: float, size: int) -> NDArray[np.intp]:
    """Draw powers of two up to ``largest``, without their fractions; exponents are uniform."""
    return (2 ** rng.uniform(0, np.log2(largest), size)).astype(np.intp)


def _convolve(values: Array, lengths: NDArray[np.intp], kernels: Array, dilation: int) -> Array:
    """Return the convolutions (S, K) of steps (S, D) with kernels (K, L, D) of one dilation.

    Sequences are stored with zeros before and after them, so that each step of a kernel is one
    product for all of them.
    """
    n_sequences, (_, size, n_channels) = len(lengths), kernels.shape
    span = (size - 1) * dilation
    rows = np.arange(len(values)) + np.repeat(span * np.arange(n_sequences), lengths)
    padded = np.zeros((len(values) + n_sequences * span, n_channels), values.dtype)
    padded[rows + span // 2] = values
    n_rows = len(padded) - span
    total = np.zeros((n_rows, len(kernels)), values.dtype)
    for k in range(size):
        total += padded[k * dilation : k * dilation + n_rows] @ kernels[:, k].T
    return total[rows]
