"""How the site is built: ``sphinx-build -W -E docs docs/_build``, with the extra ``docs``."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "bayesglmm"
author = copyright = "The bayesglmm developers"
version = release = import_module("bayesglmm").__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "mathml",
    "output",
]
exclude_patterns = ["_build", "_figures", "_extensions"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

# The docstrings say types and defaults in words.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False
default_role = "py:obj"
toc_object_entries_show_parents = "hide"

html_theme = "furo"
pygments_dark_style = "monokai"
html_title = f"bayesglmm {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False


def setup(app: Any) -> None:
    """Leave out the arguments of classes that nobody makes by hand."""
    app.connect("autodoc-process-signature", _signature)


def _signature(app: Any, what: str, name: str, obj: Any, *rest: Any) -> tuple[str, str] | None:
    made_by_hand = what != "class" or "priors" in obj.__module__
    return None if made_by_hand else ("", "")
