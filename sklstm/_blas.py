"""The BLAS libraries of this process; one of them computes NumPy's products."""

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

    OpenBLAS has special kernels for them, which do not pack the factors. This was measured where it
    uses those for Skylake-X, one of its sets for AVX-512; with those for AVX2, a product takes
    longer if it is divided.
    """
    libraries = controller().lib_controllers
    return bool(libraries) and all(
        library.internal_api == "openblas" and library.architecture == "SkylakeX"
        for library in libraries
    )
