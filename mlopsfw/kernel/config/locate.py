"""Find the line on which each key of a TOML text stands, so that an error can point at it.

`tomllib` keeps no positions. This scanner reads headers and keys alone; a text that it misreads costs a line number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*(\]\]?)\s*(?:#.*)?")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=(.*)""")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*')


def _parts(dotted: str) -> str:
    return ".".join(a or b or c for a, b, c in _PART.findall(dotted))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines on which a header or an assignment can begin: not those inside a multi-line value."""
    fence, depth = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if fence:
            fence = "" if fence in line else fence
            continue
        if depth <= 0:
            yield number, line
        for mark in ('"""', "'''"):
            if line.count(mark) % 2:
                fence = mark
        bare = _QUOTED.sub("", line)
        if depth > 0 or "=" in bare:
            depth += sum(map(bare.count, "[{")) - sum(map(bare.count, "]}"))


def key_lines(text: str) -> dict[str, int]:
    """Return dotted key → 1-based line. Elements of arrays of tables are numbered: `monitor.0.use`."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in _logical_lines(text):
        if header := _HEADER.fullmatch(line):
            table = _table_name(_parts(header[2]), header[1] == "[[", counts)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(f"{table}.{_parts(key[1])}" if table else _parts(key[1]), number)
    return lines


def _table_name(name: str, is_array: bool, counts: dict[str, int]) -> str:  # noqa: FBT001 - the two kinds of header
    if is_array:
        counts[name] = counts.get(name, -1) + 1
        return f"{name}.{counts[name]}"
    for array, last in counts.items():
        if name.startswith(f"{array}."):
            return f"{array}.{last}{name[len(array) :]}"
    return name
