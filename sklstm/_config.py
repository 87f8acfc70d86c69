"""Configuration of the process or of a ``with`` block: which kernels compute the recurrence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

KERNELS = ("auto", "compiled", "numpy")
#: Another name of "compiled", as the extra has two names, too.
ALIAS = "numba"
VARIABLE = "SKLSTM_KERNELS"

_of_process: dict[str, str] = {}
#: A context variable, so that a block in one thread does not affect other threads. ``_threads``
#: copies it to the workers of a call.
_of_block: ContextVar[str | None] = ContextVar("kernels", default=None)


def get_config() -> dict[str, str]:
    """Return the current configuration.

    Returns
    -------
    dict of str to str
        The value of the option "kernels": "auto", "compiled" or "numpy".

    Raises
    ------
    ValueError
        If the environment variable SKLSTM_KERNELS has another value.

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
    """Set the configuration of the process, for all its threads.

    Parameters
    ----------
    kernels : {"auto", "compiled", "numpy"}, default=None
        What computes the recurrence: compiled code, which needs llvmlite, or NumPy. "auto" uses
        compiled code if llvmlite is installed; if it raises an error, "auto" warns once and uses
        NumPy. "numba" is accepted in place of "compiled". If None, the option does not change.

    Raises
    ------
    ValueError
        If ``kernels`` has another value.

    See Also
    --------
    config_context : Set the configuration of a block of code.

    Notes
    -----
    If this function has not been called, the environment variable SKLSTM_KERNELS sets the option.
    Processes of a parallel search inherit the variable.

    Examples
    --------
    >>> import sklstm
    >>> sklstm.set_config(kernels="auto")
    """
    if kernels is not None:
        _of_process["kernels"] = _checked(kernels, "kernels")


@contextmanager
def config_context(*, kernels: str | None = None) -> Iterator[None]:
    """Set the configuration of a block of code.

    It holds in the current thread and in the threads that estimators start in the block, and takes
    precedence over :func:`set_config`. In free-threaded Python, it holds in all threads that are
    started in the block.

    Parameters
    ----------
    kernels : {"auto", "compiled", "numpy"}, default=None
        As for :func:`set_config`. If None, the option does not change.

    Yields
    ------
    None

    Raises
    ------
    ValueError
        If ``kernels`` has another value.

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
    if kernels == ALIAS:
        return "compiled"
    if kernels not in KERNELS:
        raise ValueError(f"{name}: expected one of {', '.join(KERNELS)}, got {kernels!r}")
    return kernels
