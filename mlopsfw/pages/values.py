"""Values as people read them, in pages, tables and lines of a terminal alike."""

from __future__ import annotations

from typing import Any


def number_text(value: float, digits: int = 4) -> str:
    """Return a number to so many significant digits; a whole one has all of its digits, up to 15."""
    return f"{value:{'.15g' if float(value).is_integer() else f'.{digits}g'}}"


def text_of_value(value: Any, digits: int = 6) -> str:
    """Return any value of JSON as a cell shows it: a fraction to so many digits, nothing for None. The `page.js` of runs does the same."""
    import msgspec

    if value is None:
        return ""
    if isinstance(value, float):
        return number_text(value, digits)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
