from types import SimpleNamespace

import pytest

from sklstm import _blas

SKYLAKE = ("openblas", "SkylakeX")


@pytest.mark.parametrize(
    ("libraries", "fast"),
    [
        ([SKYLAKE], True),
        ([SKYLAKE, SKYLAKE], True),
        ([("openblas", "Haswell")], False),
        ([SKYLAKE, ("mkl", None)], False),
        ([], False),
    ],
)
def test_products_are_divided_if_each_library_has_kernels_for_small_ones(
    libraries, fast, monkeypatch
):
    found = [
        SimpleNamespace(internal_api=name, architecture=architecture)
        for name, architecture in libraries
    ]
    monkeypatch.setattr(_blas, "controller", lambda: SimpleNamespace(lib_controllers=found))
    assert _blas.is_fast_for_small_products.__wrapped__() is fast
