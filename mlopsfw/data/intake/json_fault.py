"""What keeps a parser from reading JSON that others wrote."""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u(?P<code>[dD][89a-fA-F]..)|.)", re.DOTALL)
"""An escape in a text. It has a `code` if it is half of a surrogate pair without the other half."""


def json_fault(text: bytes, error: Exception) -> str:
    """Return why JSON cannot be read: another encoding, half a character by its code, else the words of the parser's `error`."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in text[:2]:
        return "it is UTF-16 or UTF-32: write it as UTF-8"
    half = next((match["code"] for match in _ESCAPE.finditer(text) if match["code"]), None)
    if half is None:
        return str(error)
    code = half.decode("ascii", "replace").lower()
    return f"\\u{code} is half of a surrogate pair, and the other half is missing: the text was cut within a character"
