"""Leaves out the doctests that need an optional package which is not installed."""

from importlib.util import find_spec

#: The files whose doctests need a package.
NEEDED = {
    "distributed": ["sklstm/interop/dask.py", "docs/user_guide/beyond_one_machine.rst"],
    "onnxruntime": ["sklstm/interop/onnx/__init__.py", "docs/user_guide/onnx.rst"],
    "rich": ["docs/user_guide/watching.rst"],
    "sklearn.callback": ["docs/user_guide/watching.rst"],
}

collect_ignore = [
    file for package in NEEDED if find_spec(package) is None for file in NEEDED[package]
]
