"""Adapters for the rivals; each module imports its library, so they are loaded by name."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

#: Rival to its adapter, and to the libraries that it takes.
MODULES = {
    "torch": ("torch_lstm", ["torch"]),
    "onnxruntime": ("onnx_lstm", ["onnx", "onnxruntime"]),
}


def available(names: list[str]) -> tuple[list[str], list[str]]:
    """Those whose libraries are installed, and a line about each of the others."""
    missing = {name: missing_libraries(MODULES[name][1]) for name in names}
    lines = [f"{name} is left out: {why}" for name, why in missing.items() if why]
    return [name for name in names if not missing[name]], lines


def missing_libraries(libraries: list[str]) -> str:
    """Says which of them are not installed; empty if all are."""
    absent = [library for library in libraries if find_spec(library) is None]
    return f"{', '.join(absent)} not installed" if absent else ""


def load(name: str) -> ModuleType:
    return import_module(f"rivals.{MODULES[name][0]}")
