"""What the pages of the documentation show: references and examples of every public name."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
from test_public_names import NAMES

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for folder, pattern in (("sklstm", "*.py"), ("docs", "*.rst"))
    for path in sorted((ROOT / folder).rglob(pattern))
    if not {"generated", "auto_examples", "_build", "_templates"} & set(path.parts)
]

#: reStructuredText reads "A. Author" at the begin of a paragraph as an item of a lettered list.
INITIAL = re.compile(r"^\s*\.\. \[\w+\] [A-Z]\. ", re.MULTILINE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_reference_begins_with_an_initial(path):
    assert not INITIAL.search(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_the_first_line_of_a_docstring_cites_nothing(module, name):
    """The lists of docs/api.rst show this line, where a citation has no target."""
    found = getattr(importlib.import_module(module), name)
    assert "]_" not in inspect.getdoc(found).splitlines()[0]


#: Methods that scikit-learn defines, which link to its documentation.
OF_SCIKIT_LEARN = re.compile(r"get_params|set_\w+|get_metadata_routing")


def documented(module, name):
    """Yield a public object, and its methods that are defined in sklstm."""
    found = getattr(importlib.import_module(module), name)
    yield name, found
    for method in dir(found) if inspect.isclass(found) else ():
        function = inspect.unwrap(getattr(found, method))
        own = inspect.isfunction(function) or inspect.ismethod(function)
        own = own and function.__module__.startswith("sklstm") and not method.startswith("_")
        if own and not OF_SCIKIT_LEARN.fullmatch(method):
            yield f"{name}.{method}", function


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_public_name_and_method_has_an_example(module, name):
    """The doctests of the modules run them."""
    missing = [path for path, found in documented(module, name) if ">>>" not in found.__doc__]
    assert not missing


METHODS = {
    f"{module}.{path}": function
    for module, name in NAMES
    for path, function in documented(module, name)
    if path.partition(".")[2] in vars(getattr(importlib.import_module(module), name))
}


@pytest.mark.parametrize("path", METHODS)
def test_the_examples_of_a_method_run(path):
    """`pytest --doctest-modules` does not find them, since their classes have a public path."""
    if path.startswith("sklstm.plotting"):
        pyplot = pytest.importorskip("matplotlib.pyplot")
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    [example] = doctest.DocTestFinder(recurse=False).find(METHODS[path], path, globs={})
    assert example.examples
    doctest.DebugRunner(optionflags=flags).run(example)
    if path.startswith("sklstm.plotting"):
        pyplot.close("all")
