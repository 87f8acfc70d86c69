"""What the pages of the documentation show: references and examples of every public name."""

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
