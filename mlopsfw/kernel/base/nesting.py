"""How deeply JSON that others wrote may be nested. Parsers recurse, and one that recurses too far ends the process.

So every reader of such text asks here before it parses.
"""

from __future__ import annotations

MOST_NESTED = 100
"""Levels of arrays and objects."""

TOO_DEEP = f"arrays and objects nested more than {MOST_NESTED} levels deep"

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
