"""What keeps a line of JSON from being a row: it is no JSON or no object, is nested too deeply, or has a field twice. And what kinds its fields have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from mlopsfw.formats import TOO_DEEP, is_too_deep, json_fault


class _Twice(ValueError):
    """An object has a field twice; JSON leaves open which of them counts."""


def flaw_of(line: bytes) -> str:
    """Return what is wrong with a line that is not blank, empty if it is one object without a field twice."""
    if is_too_deep(line):
        return TOO_DEEP
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"not a line of JSON: {json_fault(line, error)}"
    if not isinstance(row, dict):
        return f"a {type(row).__name__}, not an object"
    try:
        json.loads(line, object_pairs_hook=_once)
    except _Twice as error:
        return str(error)
    except ValueError:  # digits that Python does not read, which are for the columns' types to judge
        return ""
    return ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of the pairs. Raise `_Twice` for a name that comes twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(f"field {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return row


def kinds_of(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and the kind of a value and of all values within it; null has no kind."""
    if value is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    yield field, "number" if number else type(value).__name__
    if isinstance(value, dict):
        for name, item in value.items():
            yield from kinds_of(item, f"{field}/{name}")
    elif isinstance(value, list):
        for item in value:
            yield from kinds_of(item, f"{field}[]")
