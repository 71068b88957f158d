"""The frame of every HTML page: head, policy, palette, title, footer. A page is one file: no script, nothing loaded.

Texts are escaped, and the frame's policy forbids whatever might slip through. A page keeps its own `page.html` and
`page.css` in its package, written with the frame's colours.
"""

from __future__ import annotations

from html import escape
from string import Template

__all__ = ["escape", "framed"]


def framed(package: str, title: str, footer: str, /, **parts: str) -> str:
    """Return a page: the package's `page.html` with its `page.css`, in the frame.

    Args:
        package: Which package, such as `mlopsfw.lineage`.
        title: What the page is about, as text.
        footer: How to read it, as text.
        parts: What each `$name` of `page.html` stands for, as markup; every text in it went through `escape`.
    """
    body = Template(_read(package, "page.html")).substitute(parts)
    style = _read(__name__, "frame.css") + _read(package, "page.css")
    frame = Template(_read(__name__, "frame.html"))
    return frame.substitute(title=escape(title), style=style, body=body, footer=escape(footer))


def _read(package: str, name: str) -> str:
    from importlib.resources import files

    return files(package).joinpath(name).read_text(encoding="utf-8")
