"""The BLAS library that NumPy's products use."""

from __future__ import annotations

from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def controller() -> ThreadpoolController:
    """Return the controller of BLAS.

    It is cached: finding the loaded libraries takes milliseconds, setting a limit does not.
    """
    return ThreadpoolController().select(user_api="blas")


@cache
def is_fast_for_small_products() -> bool:
    """Return whether small products are faster than the same rows of a larger one.

    OpenBLAS has special kernels for them, which do not pack the factors, on processors with
    AVX-512. On others, a product takes longer if it is divided.
    """
    return any(
        library.internal_api == "openblas" and library.architecture == "SkylakeX"
        for library in controller().lib_controllers
    )
