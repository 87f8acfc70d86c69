"""Rules that import-linter and ruff cannot check; pyproject.toml holds the others."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXTS = {path: path.read_text("utf-8") for path in (ROOT / "sklstm").rglob("*.py")}
NODES = [(path, node) for path, text in TEXTS.items() for node in ast.walk(ast.parse(text))]


def test_files_are_shorter_than_500_lines():
    assert [path for path, text in TEXTS.items() if len(text.splitlines()) >= 500] == []


def test_function_bodies_have_at_most_60_lines():
    for path, node in NODES:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[ast.get_docstring(node) is not None :] or node.body
            assert body[-1].end_lineno - body[0].lineno < 60, f"{path}: {node.name}"


def test_no_module_imports_a_package_that_contains_it():
    for path, node in NODES:
        packages = {".".join(f.parts): ROOT / f for f in path.relative_to(ROOT).parents if f.name}
        if isinstance(node, ast.Import):
            assert packages.keys().isdisjoint(a.name for a in node.names), f"{path}:{node.lineno}"
        elif isinstance(node, ast.ImportFrom) and node.module in packages:
            submodules = {file.stem for file in packages[node.module].iterdir()}
            assert submodules.issuperset(a.name for a in node.names), f"{path}:{node.lineno}"


def test_importing_sklstm_loads_no_slow_module():
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    slow = ruff["flake8-tidy-imports"]["banned-module-level-imports"]
    code = "import sys, sklearn.base; old = set(sys.modules); import sklstm; "
    code += f"print(*(set(sys.modules) - old).intersection({[*slow, 'sklstm.preprocessing']}))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == ""


def test_no_test_depends_on_numba():
    """The compiled kernels need llvmlite alone; such a test would be skipped without Numba."""
    skipping = "importorskip(" + '"numba"'
    tests = (ROOT / "tests").rglob("*.py")
    assert [path for path in tests if skipping in path.read_text("utf-8")] == []
