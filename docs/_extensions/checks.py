"""Warn about pages that have no links to the API, and about references that became lists.

With ``-W``, a warning ends the build.
"""

from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)


def check(app, doctree, docname):
    for citation in doctree.findall(lambda n: isinstance(n, nodes.citation | nodes.footnote)):
        if any(citation.findall(nodes.enumerated_list)):
            logger.warning("a reference is read as a list", location=citation)
    targets = [node.get("refuri", "") for node in doctree.findall(nodes.reference)]
    if docname.startswith("user_guide/") and not any("generated/" in uri for uri in targets):
        logger.warning("a page of the user guide has no link to the API", location=docname)


def setup(app):
    app.connect("doctree-resolved", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
