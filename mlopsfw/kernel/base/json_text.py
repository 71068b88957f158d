"""JSON that others wrote: how deeply it may be nested, and what keeps a parser from reading it.

Parsers recurse, and one that recurses too far ends the process. So every reader of such text asks here before it
parses.
"""

from __future__ import annotations

import re

MOST_NESTED = 100
"""Levels of arrays and objects."""

TOO_DEEP = f"arrays and objects nested more than {MOST_NESTED} levels deep"

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u(?P<code>[dD][89a-fA-F]..)|.)", re.DOTALL)
"""An escape in a text. It has a `code` if it is half of a surrogate pair without the other half."""

_OTHERS = bytes(set(range(256)) - set(b'"[]{}'))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def is_too_deep(text: bytes) -> bool:
    """Return whether JSON is nested more than `MOST_NESTED` levels deep. Brackets in texts do not count.

    Text that is no JSON can count as too deep where brackets stay open. No step here recurses, and each runs in C.
    """
    if text.count(b"[") + text.count(b"{") <= MOST_NESTED:
        return False
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = text.translate(_ONE_KIND, _OTHERS).replace(b'""', b"")  # two quotes leave what is inside a text as it is
    marks = b"".join(marks.split(b'"')[::2])
    levels = 0
    while b"[]" in marks and levels <= MOST_NESTED:
        marks = marks.replace(b"[]", b"")
        levels += 1
    return levels + marks.count(b"[") > MOST_NESTED


def json_fault(text: bytes, error: Exception) -> str:
    """Return why JSON cannot be read: half a character by its code, else the words of the parser's `error`."""
    half = next((match["code"] for match in _ESCAPE.finditer(text) if match["code"]), None)
    if half is None:
        return str(error)
    code = half.decode("ascii", "replace").lower()
    return f"\\u{code} is half of a surrogate pair, and the other half is missing: the text was cut within a character"
