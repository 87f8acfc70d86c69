"""The house: who may import whom, and how long files and functions may be.

The first half reads a source tree and returns breaches as lines of text. The second half demands
that sklstm has none, and that small trees with one breach each are told of it.

Imports under ``if TYPE_CHECKING:`` are exempt from floors, circles and import cost: they never
run, so nothing can come to depend on their order. The rules on other packages hold there too.
"""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "sklstm"

# A module imports only from floors below its own; a new module needs a row. -1 is the cellar of
# floor 0: what floor 0 itself stands on. Halves are landings. Rows without a module are to come.
# "" is sklstm/__init__.py, and a package's row is its __init__.py.
FLOORS = {
    "": 7,
    # public leaves
    "interop": 6,
    "inspection": 6,
    "metrics": 6,
    "metrics._scorers": 5.9,
    "metrics._step_metrics": 5.8,
    "plotting": 6,
    "preprocessing": 6,
    "preprocessing._differences": 6,
    "preprocessing._imputer": 6,
    "preprocessing._scaler": 6,
    "preprocessing._tables": 6,
    "preprocessing._tokens": 6,
    "preprocessing._windows": 6,
    "preprocessing._base": 5.5,  # a landing: what those six stand on
    "streaming": 6,
    # estimators
    "_estimators": 4,
    "_estimators.classifier": 5,
    "_estimators.regressor": 5,
    "_estimators.base": 4,
    "_estimators.introspection": 3.5,
    "_training.train": 3.5,  # a landing between the two: trains an objective for _base
    "_estimators.callbacks": 3,
    "_estimators.parameters": 2,
    "sequences._step_values": -0.4,
    "metrics._flattening": 5.5,
    "_training": 3,
    "_training.objective": 3,
    "_training.prediction": 2.8,
    "_training.samples": 2.8,
    "functional": 3,
    # the network
    "_network": 2,
    "_network.network": 2,
    "_network.segments": 2.5,
    "_network.costs": 2.5,
    "_network.dense": 1,
    "_network.dropout": 1,
    "_network.embedding": 1,
    "_network.lstm": 1,
    "_network.pooling": 1,
    "_network.hidden": 0,
    "_network.initializers": 0,
    "_network.losses": 0,
    "_network.parameters": 0,
    "_network.kernels": 0,
    "_network.kernels.compiled.compiled_kernels": 0,
    "_network.kernels.numpy_kernels": 0,
    "_network.kernels.weights": -0.5,  # a landing: what the two take
    "_network.kernels.compiled.loading": -0.2,
    "_network.kernels.compiled.compiling": -0.3,
    "_network.kernels.compiled.disk_cache": -0.3,
    "_network.kernels.compiled.single_step": -0.4,
    "_network.kernels.compiled": 0,
    "_network.kernels.compiled.recurrence": -0.5,
    "_network.kernels.compiled.panels": -0.55,
    "_network.kernels.compiled.intrinsics": -0.6,
    "_network.kernels.compiled.vectors": -0.7,
    "_network.kernels.compiled.cpu": -0.8,
    "_network.kernels.arenas": -1,
    "_network.kernels.slots": -1,
    "_network.kernels.runs": -0.5,
    # the solvers
    "_solvers": 1,
    "_solvers.lbfgs": 1,
    "_solvers.stochastic": 1,
    "_solvers.observers": 0,
    "_solvers.schedules": 0,
    "_solvers.updates": 0,
    # what everything stands on
    "sequences": 0,
    "sequences._reading": -0.9,
    "sequences._weights": -0.7,
    "_estimators.targets": 0,
    "_threads": 0,
    "_compat": -1,
    "sequences._converters": -0.5,
    "sequences._packing": -1,
    "sequences._long_frames": -0.5,
    "sequences._ragged": -0.8,
    "_config": -1,
}
LEAVES = {"interop", "inspection", "metrics", "plotting", "preprocessing", "streaming"}

# What a folder may not import at all. _compat counts as scikit-learn.
FORBIDDEN = {
    "_network": ("sklearn", "joblib", "scipy", "sklstm._compat"),
    "_solvers": ("sklearn", "sklstm._compat", "sklstm._network"),
}
PRIVATE_SKLEARN = ("sklearn.utils._param_validation", "sklearn.base._fit_context")
SLOW_TO_IMPORT = ("sklearn.preprocessing", "sklearn.model_selection", "numba", "llvmlite")
# Imported within functions, and so free to import what is slow.
LATE = (
    "_network.kernels.compiled.loading",
    "_network.kernels.compiled.compiling",
    "_network.kernels.compiled.single_step",
    "_network.kernels.compiled.recurrence",
    "_network.kernels.compiled.panels",
    "_network.kernels.compiled.intrinsics",
    "_network.kernels.compiled.vectors",
    "_network.kernels.compiled.cpu",
)

LONGEST_FILE = 499
LONGEST_FUNCTION = 60
SHORT_FUNCTION, SHARE_OF_SHORT_FUNCTIONS = 15, 0.6


class Module(NamedTuple):
    name: str  # dotted, within the package; "" is its __init__.py
    is_package: bool
    tree: ast.Module
    n_lines: int


class Import(NamedTuple):
    target: str  # absolute dotted name: a module, or a name in a module
    line: int
    at_top: bool  # runs when the module is imported
    for_types: bool  # stands under `if TYPE_CHECKING:`


def read_modules(package):
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, filename=str(path))
        modules[name] = Module(name, is_package, tree, len(text.splitlines()))
    return modules


# --- imports ---


def imports_of(module):
    """Every import statement, wherever it stands, and import_module with a literal name."""
    return list(_walk_imports(module, module.tree, at_top=True, for_types=False))


def _walk_imports(module, node, at_top, for_types):
    for target in _targets(module, node):
        yield Import(target, node.lineno, at_top and not for_types, for_types)
    at_top = at_top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    type_checking = isinstance(node, ast.If) and _is_type_checking(node.test)
    only_types = set(map(id, node.body)) if type_checking else set()
    for child in ast.iter_child_nodes(node):
        yield from _walk_imports(module, child, at_top, for_types or id(child) in only_types)


def _is_type_checking(test):
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


def _targets(module, node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _absolute(module, node)
        return [base if alias.name == "*" else f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and _name_of(node.func) in ("import_module", "__import__"):
        return [a.value for a in node.args[:1] if isinstance(getattr(a, "value", None), str)]
    return []


def _absolute(module, node):
    if not node.level:
        return node.module
    here = ["sklstm", *filter(None, module.name.split("."))]
    up = node.level - module.is_package
    return ".".join(here[: len(here) - up] + ([node.module] if node.module else []))


def _name_of(function):
    return getattr(function, "attr", getattr(function, "id", None))


def module_within(target, known):
    """The module of sklstm that a dotted name lies in, or None for other packages."""
    parts = target.split(".")
    if parts[0] != "sklstm":
        return None
    for end in range(len(parts), 0, -1):
        name = ".".join(parts[1:end])
        if name in known:
            return name
    return ""


def lies_in(target, prefix):
    return target == prefix or target.startswith(prefix + ".")


# --- rules on imports: each yields (line, what is wrong) for one module ---


def floor_breaches(module, modules, floors):
    if module.name not in floors:
        yield 1, "has no floor; add a row to FLOORS"
        return
    for found in imports_of(module):
        name = module_within(found.target, modules.keys() | floors.keys())
        if name is None or found.for_types or _own_reexport(module, name):
            continue
        if name in floors and floors[name] >= floors[module.name]:
            yield (
                found.line,
                f"floor {floors[module.name]} imports {found.target} from floor {floors[name]}",
            )


def _own_reexport(module, name):
    """A package's __init__.py may show what the package holds; but it may not import itself."""
    if not module.is_package or name == module.name:
        return False
    return not module.name or lies_in(name, module.name)


def forbidden_breaches(module, modules, floors):
    forbidden = FORBIDDEN.get(module.name.split(".")[0], ())
    for found in imports_of(module):
        for prefix in forbidden:
            if lies_in(found.target, prefix):
                yield found.line, f"imports {found.target}, and may not import {prefix}"


def private_sklearn_breaches(module, modules, floors):
    allowed = PRIVATE_SKLEARN if module.name == "_compat" else ()
    for found in imports_of(module):
        parts = found.target.split(".")
        private = any(part.startswith("_") and not part.startswith("__") for part in parts)
        allowed_here = any(lies_in(found.target, prefix) for prefix in allowed)
        if parts[0] == "sklearn" and private and not allowed_here:
            yield found.line, f"imports the private {found.target}"


def slow_import_breaches(module, modules, floors):
    if module.name in LATE:
        return
    for found in imports_of(module):
        if found.at_top and any(lies_in(found.target, prefix) for prefix in SLOW_TO_IMPORT):
            yield found.line, f"imports {found.target} at module level"


def import_breaches(package, floors=FLOORS):
    modules = read_modules(package)
    rules = (
        floor_breaches,
        forbidden_breaches,
        private_sklearn_breaches,
        slow_import_breaches,
    )
    return [
        f"{name or '__init__'}:{line}: {what}"
        for name, module in modules.items()
        for rule in rules
        for line, what in rule(module, modules, floors)
    ]


def circles(package):
    """The circle that is found first, as module names, or an empty list."""
    modules = read_modules(package)
    graph = {
        name: {
            module_within(found.target, modules)
            for found in imports_of(module)
            if not found.for_types and module_within(found.target, modules) is not None
        }
        for name, module in modules.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


# --- lengths ---


def function_lengths(module):
    """(name, line, lines of the body) of every function, its docstring and signature left out."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            has_docstring = ast.get_docstring(node, clean=False) is not None
            start = first.end_lineno + 1 if has_docstring else first.lineno
            n_lines = node.end_lineno - start + 1
            yield node.name, node.lineno, n_lines


def length_breaches(package):
    breaches, lengths = [], []
    for name, module in read_modules(package).items():
        if module.n_lines > LONGEST_FILE:
            breaches.append(f"{name or '__init__'}: {module.n_lines} lines in one file")
        for function, line, n_lines in function_lengths(module):
            lengths.append(n_lines)
            if n_lines > LONGEST_FUNCTION:
                breaches.append(f"{name or '__init__'}:{line}: {function} has {n_lines} lines")
    share = sum(n <= SHORT_FUNCTION for n in lengths) / max(len(lengths), 1)
    if lengths and share < SHARE_OF_SHORT_FUNCTIONS:
        breaches.append(f"only {share:.0%} of the functions have at most {SHORT_FUNCTION} lines")
    return breaches


# --- sklstm keeps the rules ---


def test_sklstm_is_where_this_test_looks():
    assert {"", "_estimators.classifier", "functional"} <= set(read_modules(PACKAGE))


def test_imports_keep_the_floors():
    assert import_breaches(PACKAGE) == []


def test_public_leaves_stand_above_all_that_could_import_them():
    leaves = {name for name in FLOORS if name.split(".")[0] in LEAVES}
    others = FLOORS.keys() - leaves - {""}
    assert min(FLOORS[name] for name in leaves) > max(FLOORS[name] for name in others)


def test_imports_make_no_circle():
    assert circles(PACKAGE) == []


def test_files_and_functions_are_short():
    assert length_breaches(PACKAGE) == []


def test_importing_sklstm_does_not_import_slow_modules():
    """What the sources cannot show: slow modules that come along with others."""
    code = f"import sys, sklstm; print([m for m in {SLOW_TO_IMPORT!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the checks find what they are there to find ---


@pytest.fixture
def make_tree(tmp_path):
    def make(files):
        package = tmp_path / "sklstm"
        for name, text in files.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return package

    return make


SOUND = {
    "__init__.py": "from sklstm._classifier import LSTMClassifier\nfrom sklstm import metrics\n",
    "_compat.py": "from sklearn.base import _fit_context\n"
    "from sklearn.utils._param_validation import Interval\n",
    "_config.py": "import threading\n",
    "sequences.py": "from sklstm._compat import Interval\nfrom sklearn.utils import check_array\n",
    "_network/__init__.py": "from sklstm._network.network import SequenceNetwork\n",
    "_network/network.py": "from . import lstm\nfrom .kernels import with_numpy\n",
    "_network/lstm.py": "from ..sequences import PackedSequences\n"
    "from sklstm._network.kernels import forward\n",
    "_network/kernels/__init__.py": "from sklstm import _config\nfrom .with_numpy import forward\n",
    "_network/kernels/with_numpy.py": "import numpy as np\n",
    "_solvers/lbfgs.py": "import scipy.optimize\n",
    "_objective.py": "from typing import TYPE_CHECKING\n"
    "from sklstm._network import SequenceNetwork\n"
    "if TYPE_CHECKING:\n    from sklstm._base import BaseLSTM\n",
    "_base.py": "import joblib\nfrom sklstm._objective import Objective\n"
    "from sklstm._solvers.lbfgs import minimise\n"
    "def f():\n    from sklearn.preprocessing import LabelBinarizer\n",
    "_classifier.py": "from sklstm._base import BaseLSTM\n",
    "metrics.py": "from sklstm.sequences import Sequences\n",
    "interop/__init__.py": "from sklstm.interop.pytorch import to_pytorch\n",
    "interop/pytorch.py": "from sklstm._base import BaseLSTM\n",
}
SOUND_FLOORS = FLOORS | {
    "interop.pytorch": 6, "_classifier": 5, "_base": 4, "_objective": 3, "metrics": 6,
    "_network.kernels.with_numpy": 0, "sequences": 0,
}  # fmt: skip


def test_a_sound_tree_has_no_breach(make_tree):
    package = make_tree(SOUND)
    assert import_breaches(package, SOUND_FLOORS) == []
    assert circles(package) == []
    assert length_breaches(package) == []


# A file of the sound tree, the text put in its place, and how the report of it begins.
OBJECTIVE, LSTM, SOLVER = "_objective.py", "_network/lstm.py", "_solvers/lbfgs.py"
WITH_NUMPY, KERNELS = "_network/kernels/with_numpy.py", "_network/kernels/__init__.py"
UP = "_objective:2: floor 3 imports sklstm._base"
FLOOR_BREACHES = [
    (OBJECTIVE, "\nimport sklstm._base", UP),
    (OBJECTIVE, "\nfrom sklstm import _base", UP),
    (OBJECTIVE, "\nfrom sklstm._base import *", UP),
    (OBJECTIVE, "\nfrom . import _base", UP),
    (OBJECTIVE, "import importlib\nx = importlib.import_module('sklstm._base')", UP),
    (OBJECTIVE, "def f():\n  import sklstm._base", UP),
    (
        OBJECTIVE,
        "class A:\n async def f(self):\n  try:\n   import sklstm._base\n  finally: f()",
        "_objective:4: floor 3",
    ),
    (
        OBJECTIVE,
        "if typing.TYPE_CHECKING:\n  pass\nelse:\n  import sklstm._base",
        "_objective:4: floor 3",
    ),
    (
        OBJECTIVE,
        "from sklstm import LSTMClassifier",
        "_objective:1: floor 3 imports sklstm.LSTMClassifier from floor 7",
    ),
    (
        LSTM,
        "from sklstm._network.network import A",
        "_network.lstm:1: floor 1 imports sklstm._network.network.A from floor 2",
    ),
    (LSTM, "from . import network", "_network.lstm:1: floor 1"),
    (LSTM, "from .. import _base", "_network.lstm:1: floor 1"),
    (KERNELS, "from ..lstm import LSTM", "_network.kernels:1: floor 0"),
    # the same floor, and a module that is still to come
    (WITH_NUMPY, "from sklstm import sequences", "_network.kernels.with_numpy:1: floor 0"),
    (WITH_NUMPY, "from sklstm._network.losses import x", "_network.kernels.with_numpy:1: floor 0"),
    # public leaves
    ("_base.py", "def f():\n  from sklstm.metrics import x", "_base:2: floor 4"),
    ("metrics.py", "from sklstm.interop import pytorch", "metrics:1: floor 6"),
    # no row in the table
    ("_new.py", "", "_new:1: has no floor"),
    ("_network/conv.py", "", "_network.conv:1: has no floor"),
]
OTHER_BREACHES = [
    (LSTM, "def f():\n  import sklearn.utils", "_network.lstm:2: imports sklearn.utils, and may"),
    (LSTM, "if TYPE_CHECKING:\n  from sklearn.base import A", "_network.lstm:2: imports sklearn.b"),
    (LSTM, "from sklstm import _compat", "_network.lstm:1: imports sklstm._compat"),
    (WITH_NUMPY, "from joblib import A", "_network.kernels.with_numpy:1: imports joblib.A"),
    (WITH_NUMPY, "import scipy", "_network.kernels.with_numpy:1: imports scipy"),
    (SOLVER, "import sklearn.exceptions", "_solvers.lbfgs:1: imports sklearn.exceptions"),
    (SOLVER, "from .. import _compat", "_solvers.lbfgs:1: imports sklstm._compat, and may not"),
    (
        SOLVER,
        "from sklstm._network import parameters",
        "_solvers.lbfgs:1: imports sklstm._network.parameters, and may not",
    ),
    # what scikit-learn keeps private
    ("_base.py", "from sklearn.utils._param_validation import A", "_base:1: imports the private"),
    ("_base.py", "from sklearn.base import _fit_context", "_base:1: imports the private"),
    ("_compat.py", "import sklearn.utils._tags", "_compat:1: imports the private sklearn.utils._t"),
    ("_compat.py", "from sklearn.base import _x", "_compat:1: imports the private sklearn.base._x"),
    # what takes long to import
    ("_base.py", "from sklearn.preprocessing import A", "_base:1: imports sklearn.preprocessing.A"),
    ("_base.py", "class A:\n  from sklearn import model_selection", "_base:2: imports sklearn.mo"),
]


@pytest.mark.parametrize(("file", "text", "expected"), FLOOR_BREACHES + OTHER_BREACHES)
def test_a_breach_is_reported(make_tree, file, text, expected):
    found = import_breaches(make_tree(SOUND | {file: text}), SOUND_FLOORS)
    assert [line for line in found if line.startswith(expected)], found


def test_a_circle_is_reported(make_tree):
    files = {"__init__.py": "", "a.py": "from sklstm import b\n", "b.py": "from . import c\n"}
    assert circles(make_tree(files | {"c.py": ""})) == []
    found = circles(make_tree(files | {"c.py": "def f():\n    import sklstm.a\n"}))
    assert set(found) == {"a", "b", "c"}


def test_a_package_that_is_imported_from_its_inside_is_a_circle(make_tree):
    files = {
        "_network/__init__.py": "from .network import A\n",
        "_network/network.py": "from sklstm._network import A\n",
    }
    assert set(circles(make_tree(files))) == {"_network", "_network.network"}


def function_of(n_lines, name="f", docstring=""):
    return f"def {name}(\n    a,\n    b,\n):\n{docstring}" + "    a = b\n" * n_lines


@pytest.mark.parametrize("docstring", ["", '    """One.\n\n    Two.\n    """\n'])
def test_a_long_function_is_reported(make_tree, docstring):
    short = "".join(function_of(1, f"g{i}") for i in range(3))
    longest = function_of(LONGEST_FUNCTION, docstring=docstring)
    assert length_breaches(make_tree({"a.py": short + longest})) == []
    too_long = function_of(LONGEST_FUNCTION + 1, docstring=docstring)
    (found,) = length_breaches(make_tree({"a.py": short + too_long}))
    assert found.endswith(f"f has {LONGEST_FUNCTION + 1} lines")


def test_a_long_method_within_a_class_is_reported(make_tree):
    method = "class A:\n" + "".join(
        "    " + line + "\n" for line in function_of(LONGEST_FUNCTION + 1).splitlines()
    )
    short = "".join(function_of(1, f"g{i}") for i in range(3))
    assert len(length_breaches(make_tree({"a.py": short + method}))) == 1


def test_too_few_short_functions_are_reported(make_tree):
    short = "".join(function_of(SHORT_FUNCTION, f"f{i}") for i in range(3))
    middling = "".join(function_of(SHORT_FUNCTION + 1, f"g{i}") for i in range(2))
    assert length_breaches(make_tree({"a.py": short + middling})) == []
    (found,) = length_breaches(make_tree({"a.py": short + middling + function_of(16, "h")}))
    assert found.startswith("only 50%")


def test_a_long_file_is_reported(make_tree):
    assert length_breaches(make_tree({"a.py": "x = 1\n" * LONGEST_FILE})) == []
    assert len(length_breaches(make_tree({"a.py": "x = 1\n" * (LONGEST_FILE + 1)}))) == 1
