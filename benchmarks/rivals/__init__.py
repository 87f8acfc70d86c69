"""Adapters for other libraries; each module imports its library, so it is loaded by name."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

#: For each rival, its adapter and the libraries that it needs.
MODULES = {
    "torch": ("torch_lstm", ["torch"]),
    "onnxruntime": ("onnx_lstm", ["onnx", "onnxruntime"]),
}


def available(names: list[str]) -> tuple[list[str], list[str]]:
    """Return the rivals whose libraries are installed, and a line about each of the others."""
    missing = {name: missing_libraries(MODULES[name][1]) for name in names}
    lines = [f"{name} is skipped: {why}" for name, why in missing.items() if why]
    return [name for name in names if not missing[name]], lines


def missing_libraries(libraries: list[str]) -> str:
    """Name the libraries that are not installed; return an empty string if there are none."""
    absent = [library for library in libraries if find_spec(library) is None]
    return f"{', '.join(absent)} not installed" if absent else ""


def load(name: str) -> ModuleType:
    return import_module(f"rivals.{MODULES[name][0]}")
