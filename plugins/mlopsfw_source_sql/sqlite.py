"""The rows of a SQLite query, every value looked at: SQLite keeps any kind of value in any column, whatever is declared.

A column has the type that the dataset knows, else the declared one, else that of most of the first rows' values.
"""

from __future__ import annotations

import contextlib
import sqlite3
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Reject = Callable[[int, str, Mapping[str, Any]], None]
"""Told a row's number (from 1), what is wrong with it, and its values."""

_ROWS, _SIZE = 1 << 14, 8 << 20  # of a batch at the most; the first one tells the types that nobody declared
_FETCHED, _MEASURED = 1 << 8, 1 << 4  # rows at a time, of which every 16th is measured
_EXACT = 1 << 53  # beyond it a float64 has not every whole number
_KINDS: dict[str, type] = {"int64": int, "double": float, "string": str, "binary": bytes}
_AFFINITIES = (
    ("INT", "int64"),
    ("CHAR", "string"),
    ("CLOB", "string"),
    ("TEXT", "string"),
    ("BLOB", ""),
    ("REAL", "double"),
    ("FLOA", "double"),
    ("DOUB", "double"),
)
"""What a declared type contains → what it means, the first that fits (sqlite.org/datatype3.html, 3.1)."""


class _Garbled(bytes):
    """A text that is no UTF-8."""


def read(path: str, query: str, expected: Mapping[str, str], reject: Reject) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query less those with a value that its column cannot hold.

    Args:
        path: The database's file.
        query: What to read.
        expected: Column → type in the dataset.
        reject: Told of each row that is left out; may raise.

    Raises:
        DataError: The query gives no rows at all, such as a statement that is no SELECT.
        sqlite3.Error: SQLite refuses it.
    """
    url = f"file:{urllib.parse.quote(path)}?mode=ro"  # reading makes no file
    with contextlib.closing(sqlite3.connect(url, uri=True, isolation_level=None)) as connection:
        connection.text_factory = _text
        declared = _declared(connection, query)
        cursor = connection.execute(query)
        if cursor.description is None:
            raise DataError("the query returns no columns", hint="Write a SELECT.")
        names = [column[0] for column in cursor.description]
        chunks = _chunks(cursor)
        rows, before = next(chunks, []), 0
        known = [(expected.get(name, ""), declared.get(name, "")) for name in names]
        kinds = [_chosen(types, column) for types, column in zip(known, _columns(rows, len(names)), strict=True)]
        yield _batch([], 0, names, kinds, reject)  # without rows there are no batches
        while rows:
            yield _batch(rows, before, names, kinds, reject)
            before += len(rows)
            rows = next(chunks, [])


def _chunks(cursor: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
    """Yield rows by up to `_ROWS`, fewer where their texts and blobs are long, of which a few are measured."""
    rows: list[tuple[Any, ...]] = []
    size = 0
    while some := cursor.fetchmany(_FETCHED):
        rows += some
        size += _MEASURED * sum(
            len(value) for row in some[::_MEASURED] for value in row if isinstance(value, str | bytes)
        )
        if len(rows) >= _ROWS or size >= _SIZE:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _Garbled(raw)


def _declared(connection: sqlite3.Connection, query: str) -> dict[str, str]:
    """Return the types that the columns of a query are declared with; a view of it, in memory, tells them."""
    try:
        connection.execute(f"CREATE TEMP VIEW mlopsfw_rows AS {query}")
        found = connection.execute("PRAGMA table_info(mlopsfw_rows)").fetchall()
        connection.execute("DROP VIEW temp.mlopsfw_rows")
    except sqlite3.Error:  # the query itself will tell, or is one of which no view can be made
        return {}
    return {name: _affinity(str(kind).upper()) for _, name, kind, *_ in found}


def _affinity(kind: str) -> str:
    return next((ours for part, ours in _AFFINITIES if part in kind), "")


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> Sequence[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * count


def _chosen(known: Sequence[str], values: Sequence[Any]) -> str:
    """Return the first of `known` that is one of ours and holds any of `values`, else the kind of most of them."""
    counts = Counter(type(value) for value in values if value is not None)
    for kind in known:
        if kind in _KINDS and (not counts or any(value is not None and _holds(kind, value) for value in values)):
            return kind
    if not counts:
        return "string"
    most = counts.most_common(1)[0][0]
    if most is int and float in counts:
        return "double"
    return next((kind for kind, ours in _KINDS.items() if ours is most), "string")


def _batch(
    rows: Sequence[tuple[Any, ...]], before: int, names: Sequence[str], kinds: Sequence[str], reject: Reject
) -> pa.RecordBatch:
    import pyarrow as pa

    columns = _columns(rows, len(names))
    odd = [
        bool(set(map(type, column)) - {_KINDS[kind], type(None)}) for column, kind in zip(columns, kinds, strict=True)
    ]
    bad: dict[int, str] = {}
    for name, kind, column, look in zip(names, kinds, columns, odd, strict=True):
        for row in (
            (n for n, value in enumerate(column) if value is not None and not _holds(kind, value)) if look else ()
        ):
            bad.setdefault(row, _reason(name, kind, column[row]))
    for row in sorted(bad):
        reject(before + row + 1, bad[row], dict(zip(names, rows[row], strict=True)))
    if bad:
        columns = _columns([values for row, values in enumerate(rows) if row not in bad], len(names))
    made = [
        pa.array([_held(kind, value) for value in column] if look else column, pa.type_for_alias(kind))
        for kind, column, look in zip(kinds, columns, odd, strict=True)
    ]
    return pa.RecordBatch.from_arrays(made, names=list(names))


def _holds(kind: str, value: Any) -> bool:
    """Return whether a column of `kind` holds a value without losing any of it; a text holds numbers too."""
    match kind:
        case "int64":
            return isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < _EXACT)
        case "double":
            return isinstance(value, float) or (isinstance(value, int) and abs(value) <= _EXACT)
        case "string":
            return isinstance(value, str | int | float)
    return type(value) is bytes


def _held(kind: str, value: Any) -> Any:
    return value if value is None or isinstance(value, _KINDS[kind]) else _KINDS[kind](value)


def _reason(name: str, kind: str, value: Any) -> str:
    if isinstance(value, _Garbled):
        return f"{name} is text that is not UTF-8"
    described = {int: "a whole number", float: "a real number", str: "a text"}.get(type(value), "a blob")
    return f"{name} is {described}, which a column of {kind} cannot hold"
