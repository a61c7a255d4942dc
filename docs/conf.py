"""Configuration of the documentation; build with ``nox -s docs``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "_ext"), str(Path(__file__).parent.parent)]

project = "asyncendpoints"
author = "The asyncendpoints authors"
copyright = author  # noqa: A001 - the name that Sphinx reads
version = release = "0.1.0"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "kinds", "commands", "references"]
exclude_patterns = ["_build", "examples"]
# Single backquotes are references to Python objects, in docstrings too.
default_role = "py:obj"
nitpicky = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# An attribute in a docstring is not a description that others can link to: the class has it already.
napoleon_use_ivar = True
add_module_names = False
toc_object_entries = False

html_theme = "alabaster"
html_title = "asyncendpoints"
html_static_path = ["_static"]
html_css_files = ["asyncendpoints.css"]
html_theme_options = {
    "description": "Endpoints for asyncio",
    "fixed_sidebar": True,
    "page_width": "74rem",
    "sidebar_width": "15rem",
    "font_family": "system-ui, sans-serif",
    "head_font_family": "system-ui, sans-serif",
    "show_powered_by": False,
}
html_show_copyright = False
html_show_sourcelink = False
pygments_style = "default"
