"""Translated functions give the results that Python gives; other Python code is an error."""

from __future__ import annotations  # the annotations of compiled functions are names

import gc
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import llvmlite.binding as llvm

from sklstm._network.kernels.compiled import compiling, loading, translation
from sklstm._network.kernels.compiled.compiling import compile_function
from sklstm._network.kernels.compiled.intrinsics import is_finite, lanes
from sklstm._network.kernels.compiled.recurrence import Integers, Reals
from sklstm._network.kernels.compiled.translation import translated_once

CONSTANT = 7


def compiled(function, dtype=np.float32):
    """Return a function of arrays and integers that calls the translated one."""
    call = loading.link(compile_function(function, np.dtype(dtype), "function"), "function")

    def call_with_addresses(*arguments):
        numbers = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
        return call(np.array(numbers, np.int64).ctypes.data)

    return call_with_addresses


# --- functions that can be translated ---


def arithmetic(out: Integers, a: int, b: int) -> int:
    out[0] = a + 2 * b - CONSTANT
    out[1] = -a
    out[2], out[3] = abs_of(a) // 3, abs_of(a) % 3
    out[4] = out[5] = min(a, b) + max(a, b) * max(3, b)
    out[6] += a
    out[a - a + 7] -= 32 if a > b else 1
    return 8


def abs_of(a):
    if a < 0:
        return -a
    return a


def loops(out: Integers, a: int, b: int) -> int:
    at = 0
    for _ in range(3):
        for k in range(a, b):
            out[at] = k
            at += 1
        for k in range(b, a, -2):
            out[at] = 100 * k
            at += 1
        for k in range(a, b, 3):
            out[at] = 10 * k
            k = 1000  # does not change the next index
            at += 1
    while at < 40 and out[at] == 0:
        at += 1
    return at


def conditions(out: Integers, a: int, b: int) -> int:
    at = 0
    if a:
        out[at] = 1
        at += 1
    if not a or (a < b and b <= 5):
        out[at] = 2
        at += 1
    elif a >= b or not (a < b):
        out[at] = 3
        at += 1
    else:
        return at
    out[at] = out[1] if a > 0 and b > a else 17
    if a == b:
        return 50
    return at


def tuples(out: Integers, a: int, b: int) -> int:
    a_too, b_too = a, b
    a_too, b_too = b_too, a_too
    pair = (0, a_too)
    for k in range(4):
        first, (second, third) = nested(pair, k)
        out[k] = first + 10 * second + 100 * third
        pair = (second, pair[0])
    return pair[1]


def nested(pair, k):
    return k, (pair[0] + 1, pair[1])


FUNCTIONS = [arithmetic, loops, conditions, tuples]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_integers(function):
    translated = compiled(function)
    for a in (-3, 0, 1, 5):
        for b in (-2, 0, 1, 5, 6):
            expected, found = np.zeros((2, 80), np.int64)
            assert translated(found, a, b) == function(expected, a, b), (a, b)
            np.testing.assert_array_equal(found, expected, err_msg=f"{a}, {b}")


def floats(x: Reals, out: Reals, n: int) -> int:
    total = x[0]
    for k in range(n):
        total += x[k] * x[k] - 2 * x[k] + 0.25
        out[k] = total
    out[n] = 3
    return n


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats(dtype, rng):
    x = (rng.integers(-8, 9, 20) / 4).astype(dtype)  # all results are exact
    expected, found = np.zeros((2, 21), dtype)
    assert compiled(floats, dtype)(x, found, 20) == floats(x, expected, 20)
    np.testing.assert_array_equal(found, expected)


def count_finite(x: Reals, n: int) -> int:
    count = 0
    for k in range(n):
        if is_finite(x[k]):
            count += 1
    return count


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_is_finite(dtype):
    info = np.finfo(dtype)
    x = np.array([0, -1, info.max, info.min, np.nan, np.inf, -np.inf, info.tiny], dtype)
    assert compiled(count_finite, dtype)(x, len(x)) == 5


def test_a_function_of_an_enclosing_function():
    summand = 5

    def add(a):
        return a + summand

    def function(a: int) -> int:
        return add(a)

    assert compiled(function)(3) == 8


# --- errors ---


def assign_a_parameter(a: int) -> int:
    a = a + 1
    return a


def leave_a_loop(a: int) -> int:
    while a < 3:
        break
    return a


def loop_with_else(a: int) -> int:
    for _ in range(a):
        a + 1
    else:
        return 1
    return 2


def divide(a: int) -> int:
    return a / 2


def iterate(a: int) -> int:
    for k in (a, a):
        k + 1
    return a


def call_with_a_keyword(a: int) -> int:
    return nested(a, k=1)


def compare_twice(a: int) -> int:
    if 0 < a < 3:
        return 1
    return 0


def return_nothing(a: int) -> int:
    return


def unknown_name(a: int) -> int:
    return missing  # noqa: F821


REFUSED = {
    assign_a_parameter: "'a' in function assign_a_parameter",
    leave_a_loop: "'break' in function leave_a_loop",
    loop_with_else: "'for _ in range",
    divide: "'a / 2' in function divide",
    iterate: r"'\(a, a\)' in",
    call_with_a_keyword: r"'nested\(a, k=1\)' in",
    compare_twice: "'0 < a < 3' in",
    return_nothing: "'return' in",
    unknown_name: "'missing' in",
}


@pytest.mark.parametrize(("function", "code"), REFUSED.items(), ids=lambda f: str(f)[:20])
def test_other_code_is_an_error(function, code):
    with pytest.raises(NotImplementedError, match=f"cannot translate {code}"):
        compile_function(function, np.dtype(np.float32), "name")


@pytest.mark.parametrize("function", [arithmetic, divide])
@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_restored(enabled, function, monkeypatch):
    """Also after an error; no garbage is collected in between."""
    states = []
    definition = translation.definition

    def recorded(function):
        states.append(gc.isenabled())
        return definition(function)

    monkeypatch.setattr(translation, "definition", recorded)
    try:
        if not enabled:
            gc.disable()
        with suppress(NotImplementedError):
            compile_function(function, np.dtype(np.float32), "name")
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert set(states) == {False}


def test_the_passes_of_old_llvmlite(monkeypatch):
    """Before 0.44, llvmlite has other functions to optimise a module."""
    populated, run = [], []
    builder = SimpleNamespace(populate=populated.append)
    passes = SimpleNamespace(run=run.append)
    monkeypatch.delattr(llvm, "create_pass_builder", raising=False)
    monkeypatch.setattr(llvm, "create_pass_manager_builder", lambda: builder, raising=False)
    monkeypatch.setattr(llvm, "create_module_pass_manager", lambda: passes, raising=False)
    compile_function(arithmetic, np.dtype(np.float32), "name")
    assert (populated, len(run)) == ([passes], 1)
    assert (builder.opt_level, builder.disable_unroll_loops) == (1, True)


@translated_once
def fill(out, begin, end, value):
    for k in range(begin, end):
        out[k] = value


def fill_twice(out: Integers, a: int, b: int) -> int:
    fill(out, 0, 4, a)
    fill(out, 2, 2 + b, 3 * b)
    return a + b


def test_a_function_that_is_translated_once():
    out, expected = np.zeros(8, np.int64), np.zeros(8, np.int64)
    assert compiled(fill_twice)(out, 7, 5) == fill_twice(expected, 7, 5) == 12
    np.testing.assert_array_equal(out, expected)
    lines = compiling._instructions(fill_twice, np.dtype(np.float32), "name").splitlines()
    assert sum(line.startswith("define internal") for line in lines) == 1
    assert sum("call void" in line for line in lines) == 2


@translated_once
def return_a_value(a):
    return a


def call_return_a_value(a: int) -> int:
    return_a_value(a)
    return a


def test_a_function_that_is_translated_once_returns_nothing():
    with pytest.raises(NotImplementedError, match="return_a_value must not return a value"):
        compile_function(call_return_a_value, np.dtype(np.float32), "name")


def call_print(a: int) -> int:
    return print(a)


def test_a_call_of_another_function_is_an_error():
    with pytest.raises(TypeError, match="cannot translate a call of <built-in function print>"):
        compile_function(call_print, np.dtype(np.float32), "name")


def test_an_intrinsic_cannot_be_called_in_python():
    with pytest.raises(TypeError, match="in compiled functions only"):
        lanes(None)


def test_without_source_files_there_is_an_import_error():
    names = {}
    # Python 3.13 knows the source of "<string>" if the process was started with -c.
    code = compile("def function(a: 'int') -> 'int':\n    return a", "no such file.py", "exec")
    exec(code, names)
    with pytest.raises(ImportError, match="the sources of sklstm are needed to compile it"):
        compile_function(names["function"], np.dtype(np.float32), "name")
