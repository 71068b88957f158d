"""The frame of every HTML page: head, policy, palette, title, footer. A page is one file, and loads nothing.

Texts are escaped, and the frame's policy forbids whatever might slip through. A page keeps its own `page.html` and
`page.css` in its package, written with the frame's colours. A page that has to be sorted and filtered keeps a `page.js`, too: the policy
allows that script by its digest, and no other.
"""

from __future__ import annotations

from html import escape
from string import Template
from typing import Any

__all__ = ["escape", "framed"]


def framed(
    package: str, title: str, footer: str, /, *, data: Any = None, images: bool = False, reload: int = 0, **parts: str
) -> str:
    """Return a page: the package's `page.html` with its `page.css`, in the frame.

    Args:
        package: Which package, such as `mlopsfw.lineage`.
        title: What the page is about, as text.
        footer: How to read it, as text.
        data: What the package's `page.js` reads, as JSON values; None for a page without a script.
        images: Whether the parts have images as `data:` addresses, which the policy then allows.
        reload: Seconds after which a browser reads the file again; 0 for never.
        parts: What each `$name` of `page.html` stands for, as markup; every text in it went through `escape`.
    """
    body = Template(_read(package, "page.html")).substitute(parts)
    style = _read(__name__, "frame.css") + _read(package, "page.css")
    frame = Template(_read(__name__, "frame.html"))
    policy, script = ("", "") if data is None else _script(_read(package, "page.js"), data)
    policy += "; img-src data:" if images else ""
    refresh = f'<meta http-equiv="refresh" content="{reload}">\n' if reload else ""
    return frame.substitute(
        title=escape(title),
        style=style,
        body=body,
        footer=escape(footer),
        policy=policy,
        script=script,
        refresh=refresh,
    )


def _script(code: str, data: Any) -> tuple[str, str]:
    """Return what the policy says of a script, and the script with its data. No text in the data can end its element."""
    from base64 import b64encode
    from hashlib import sha256

    import msgspec

    digest = b64encode(sha256(code.encode()).digest()).decode()
    values = msgspec.json.encode(data).decode().replace("<", "\\u003c")
    element = f'<script type="application/json" id="data">{values}</script>\n<script>{code}</script>\n'
    return f"; script-src 'sha256-{digest}'", element


def _read(package: str, name: str) -> str:
    from importlib.resources import files

    return files(package).joinpath(name).read_text(encoding="utf-8")
