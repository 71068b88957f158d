"""How Sphinx makes the site: `sphinx-build -W docs build/site`."""

from __future__ import annotations

import re
from importlib.metadata import version as _version

from sphinx.application import Sphinx

project = "mlopsfw"
author = "the mlopsfw developers"
release = _version("mlopsfw")
version = release

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["myst.header"]

html_theme = "furo"
html_title = "mlopsfw"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False

_OUTSIDE = re.compile(
    r"\[([^\]]+)\]\((?:\.\./)+(?:benchmarks|examples|mlopsfw|plugins|CONTRIBUTING|CHANGELOG|README)[^)]*\)"
)


def setup(app: Sphinx) -> None:
    """Links to files beside docs/ are for readers of the repository: the site keeps their words."""
    app.connect("source-read", _without_outside_links)


def _without_outside_links(_app: Sphinx, _name: str, source: list[str]) -> None:
    source[0] = _OUTSIDE.sub(r"\1", source[0])
