"""The gallery: every example has a figure, which is its thumbnail, and code that fits the page."""

import ast
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def test_there_are_at_least_twelve_examples():
    assert len(EXAMPLES) >= 12


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_shows_a_figure(path):
    assert path.name.startswith("plot_")  # sphinx-gallery runs no others
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert any(ast.unparse(call.func) == "plt.show" for call in calls)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_code_fits_the_page(path):
    text = path.read_text()
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith('"""\n')
    assert len(text.splitlines()[1]) <= 50  # the title, which is shown below the thumbnail
