"""Which kernels compute the recurrence: an option of the process, or of a ``with`` block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

KERNELS = ("auto", "numba", "numpy")
VARIABLE = "SKLSTM_KERNELS"

_of_process: dict[str, str] = {}
#: A context variable, so that a block in one thread does not reach into another; ``_threads`` hands
#: it on to the workers of a call.
_of_block: ContextVar[str | None] = ContextVar("kernels", default=None)


def get_config() -> dict[str, str]:
    """The options in force here.

    Returns
    -------
    dict of str to str
        ``{"kernels": "auto"}``, or what was chosen instead.

    Raises
    ------
    ValueError
        If the environment variable SKLSTM_KERNELS has another value than the options have.

    Examples
    --------
    >>> import sklstm
    >>> with sklstm.config_context(kernels="numpy"):
    ...     sklstm.get_config()
    {'kernels': 'numpy'}
    """
    chosen = _of_block.get() or _of_process.get("kernels")
    return {"kernels": chosen or _checked(os.environ.get(VARIABLE) or "auto", VARIABLE)}


def set_config(*, kernels: str | None = None) -> None:
    """Set options for the whole process, all its threads included.

    Parameters
    ----------
    kernels : {"auto", "numba", "numpy"}, default=None
        What computes the recurrence: code compiled by Numba, or NumPy. "auto" takes Numba where it
        is installed. None leaves the option as it is. Before the first call, the environment
        variable SKLSTM_KERNELS counts, which also reaches the processes of a parallel search.

    Raises
    ------
    ValueError
        If ``kernels`` is none of these.

    See Also
    --------
    config_context : Options for a block of code.

    Examples
    --------
    >>> import sklstm
    >>> sklstm.set_config(kernels="auto")
    """
    if kernels is not None:
        _of_process["kernels"] = _checked(kernels, "kernels")


@contextmanager
def config_context(*, kernels: str | None = None) -> Iterator[None]:
    """Options for a block of code, in this thread and in those that its calls start.

    Parameters
    ----------
    kernels : {"auto", "numba", "numpy"}, default=None
        As for :func:`set_config`. Within the block it counts more than that.

    Yields
    ------
    None

    Raises
    ------
    ValueError
        If ``kernels`` is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> import sklstm
    >>> X, y = np.random.default_rng(0).normal(size=(40, 9, 2)), np.arange(40) % 2
    >>> with sklstm.config_context(kernels="numpy"):
    ...     model = sklstm.LSTMClassifier(8, random_state=0).fit(X, y)
    """
    chosen = _of_block.get() if kernels is None else _checked(kernels, "kernels")
    token = _of_block.set(chosen)
    try:
        yield
    finally:
        _of_block.reset(token)


def _checked(kernels: str, name: str) -> str:
    if kernels not in KERNELS:
        raise ValueError(f"{name}: expected one of {', '.join(KERNELS)}, got {kernels!r}")
    return kernels
