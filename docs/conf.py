"""Build with: python -m sphinx -W docs docs/_build"""

import os
import sys
from pathlib import Path

import sklstm

here = Path(__file__).parent
sys.path[:0] = [str(here / "_extensions"), str(here.parent / "benchmarks")]

project = "sklstm"
author = "the sklstm developers"
copyright = f"2026, {author}"
version = release = sklstm.__version__

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "myst_parser",  # for the changelog
    "checks",
    "offline_mathml",
    "speed_results",  # docs/performance.rst
    "accuracy_results",  # docs/accuracy.rst
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "measurements"]
templates_path = ["_templates"]
default_role = "py:obj"  # a link, if this is the name of an object
rst_prolog = ".. currentmodule:: sklstm\n"
suppress_warnings = ["ref.ref", "ref.term"]  # docstrings of scikit-learn link to its pages

# Links to other projects need to download their inventories.
if os.environ.get("SKLSTM_DOCS_ONLINE"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc shows the types in the lists of parameters
numpydoc_show_class_members = False
# An extended summary, See Also and Examples are optional, and a single returned value may have a
# name, as in scikit-learn. SS05 rejects every first word that ends in s.
numpydoc_validation_checks = {"all", "ES01", "EX01", "SA01", "GL01", "GL08", "RT02", "SS05", "YD01"}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # its pages load scripts from other sites
    "within_subsection_order": "FileNameSortKey",
}

html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["sklstm.css"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"sklstm {version}"
html_sidebars = {"get_started": []}
html_theme_options = {"show_prev_next": False}
