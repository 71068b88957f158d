"""`profile`: a table, batch by batch, into a `TableProfile`; `profile_column` for one column."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlopsfw_core._buffers import (
    Column,
    arrow_column,
    column_kind,
    numeric_rows,
    speaks_arrow,
    table_batches,
    table_columns,
)
from mlopsfw_core._text import text_segments
from mlopsfw_core._threads import map_columns

from .codec import TABLE, ProfileError, read_column, seal, unseal
from .column import ColumnProfile, Kind
from .streams import DAY, ListStream, NumberStream, TextStream, TimeStream

MANY_ROWS = 20_000
"""Batches of fewer rows are profiled in one thread."""

_UNITS = {"s": 1.0, "m": 1e3, "u": 1e6, "n": 1e9}
_LISTS = ("+l", "+L", "+vl", "+vL")
_NUMERIC = "cCsSiIlLefg"


def kind_of(column: Column) -> Kind:  # noqa: PLR0911 - a table of types, one line each
    """Tell a column's kind by its Arrow type; "other" is counted, no more."""
    form = column.format
    if form in ("u", "U", "vu"):
        return "text"
    if form in ("z", "Z", "vz"):
        return "binary"
    if form == "b":
        return "boolean"
    if form in _NUMERIC or (form.startswith("d:") and not form.endswith(",256")):
        return "number"
    if form[:2] in ("td", "tt", "ts", "tD"):
        return "time"
    if form in _LISTS or form.startswith("+w:"):
        floating = all(chunk.children[0].format in ("e", "f", "g") for chunk in column.chunks)
        return "vector" if floating else "list"
    return "other"


class ColumnStream:
    """One column, taken in batch by batch, whatever its type; `finish` returns its profile."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[Kind, Any] = {}
        self._others = np.zeros(2, np.int64)

    def add(self, values: Any) -> None:
        """Take in rows."""
        column = arrow_column(values, nested=True) if isinstance(values, Column) or speaks_arrow(values) else None
        if column is None:
            self._add_plain(values)
            return
        kind = kind_of(column)
        if not column.chunks:
            return
        if kind in ("text", "binary"):
            self._add_texts(kind, column)
        for chunk in column.chunks if kind not in ("text", "binary") else ():
            valid = chunk.valid() if not column.encoded else chunk.codes() >= 0
            self._add_chunk(kind, column.format, chunk, valid)

    def _stream(self, kind: Kind) -> Any:
        if kind not in self._streams:
            makers = {"text": TextStream, "binary": TextStream, "list": ListStream, "vector": ListStream}
            stream = TimeStream(self._seed) if kind == "time" else makers.get(kind, NumberStream)(kind, self._seed)
            self._streams[kind] = stream
        return self._streams[kind]

    def _add_texts(self, kind: Kind, values: Any) -> None:
        for segment in text_segments(values):
            self._stream(kind).add(segment)

    def _add_plain(self, values: Any) -> None:
        """Take in a NumPy array or a sequence."""
        array = np.asarray(values) if isinstance(values, np.ndarray) else None
        if array is not None and array.dtype.kind in "mM":
            self._add_datetimes(array.ravel())
        elif column_kind(values) == "numeric":
            self._stream("number").add(*numeric_rows(values))
        elif array is not None and array.dtype.kind == "b":
            self._stream("boolean").add(*numeric_rows(values))
        else:
            self._add_texts("text", values)

    def _add_datetimes(self, array: np.ndarray) -> None:
        valid, dated = ~np.isnat(array), array.dtype.kind == "M"
        whole = array.astype("M8[us]" if dated else "m8[us]").view(np.int64)
        self._stream("time").add(whole, 1e6, None if valid.all() else valid, clock=dated, of_day=False)

    def _add_chunk(self, kind: Kind, form: str, chunk: Any, valid: Any) -> None:
        if kind == "other":
            valid = None if form.startswith("+u") else valid
            self._others += len(chunk), 0 if valid is None else int((~valid).sum())
        elif kind == "time":
            per_second = 1 / DAY if form == "tdD" else _UNITS[form[2]]
            clock, of_day = form[:2] != "tD", form[:2] == "tt"
            self._stream(kind).add(chunk.numbers(), per_second, valid, clock=clock, of_day=of_day)
        elif kind in ("list", "vector"):
            self._stream(kind).add(*chunk.lists(), valid, _contents(chunk.children[0]) if kind == "vector" else None)
        else:
            self._stream(kind).add(chunk.numbers(), valid)

    def finish(self) -> ColumnProfile:
        """Return the column's profile."""
        rows, nulls = self._others.tolist()
        whole = ColumnProfile("other", rows, nulls)
        for stream in self._streams.values():
            part = stream.finish()
            whole = whole.merge(part) if whole.rows else part
        return whole


def _contents(child: Any) -> np.ndarray:
    values, valid = child.numbers(), child.valid()
    return values if valid is None else np.where(valid, values, np.nan)


@dataclass(frozen=True)
class TableProfile:
    """The profiles of a table's columns, by name."""

    columns: Mapping[str, ColumnProfile]

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return max((column.rows for column in self.columns.values()), default=0)

    def __getitem__(self, name: str) -> ColumnProfile:
        return self.columns[name]

    def merge(self, other: TableProfile) -> TableProfile:
        """Return the profile of both tables' rows together.

        Raises:
            ValueError: they have different columns, or one of a different kind.
        """
        if self.columns.keys() != other.columns.keys():
            unmatched = ", ".join(sorted(self.columns.keys() ^ other.columns.keys()))
            raise ValueError(f"profiles of tables with different columns do not merge: only one has {unmatched}")
        return TableProfile({name: column.merge(other.columns[name]) for name, column in self.columns.items()})

    def to_bytes(self) -> bytes:
        """Write every column's profile, in order, after its name."""
        body = [struct.pack("<I", len(self.columns))]
        for name, column in self.columns.items():
            text, data = name.encode(), column.to_bytes()
            body.append(struct.pack("<II", len(text), len(data)) + text + data)
        return seal(TABLE, b"".join(body))

    @staticmethod
    def from_bytes(data: bytes) -> TableProfile:
        """Read what `to_bytes` wrote.

        Raises:
            ProfileError: the bytes are damaged, or of a later version.
        """
        reader, columns = unseal(TABLE, data), {}
        for _ in range(reader.unpack("I")[0]):
            text, size = reader.unpack("II")
            try:
                name = reader.take(text).decode()
            except UnicodeDecodeError as error:
                raise ProfileError("a stored profile is damaged: a column's name is no UTF-8") from error
            columns[name] = read_column(reader.take(size))
        if reader.at != len(reader.data):
            raise ProfileError("a stored profile is damaged: it goes on after its last column")
        return TableProfile(columns)


def _batches(table: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(table, Mapping):
        yield table
    elif hasattr(table, "__arrow_c_stream__"):
        yield from table_batches(table)
    elif speaks_arrow(table):
        yield table_columns(table)
    elif isinstance(table, Iterable):
        for part in table:
            yield from _batches(part)
    else:
        raise TypeError(
            f"a table is columns by name, Arrow data, or an iterable of those; {type(table).__name__} is neither"
        )


def profile(table: Any, *, seed: int = 0) -> TableProfile:
    """Profile a table in one pass, holding one batch at a time.

    Args:
        table: columns by name, anything that exports Arrow record batches (a Polars frame, a PyArrow table or reader, ...), or an
            iterable of those (`LazyFrame.collect_batches()`, `Dataset.to_batches()`).
        seed: of the sketches' coins. Give parts of a table with equal rows different seeds; for others the data is enough.

    Returns:
        One profile for each column; the same for any number of threads and any cut into chunks, but for `frequent`'s `lost` and the
        last digits of vectors' sums.
    """
    streams: dict[str, ColumnStream] = {}
    for batch in _batches(table):
        for name in batch:
            streams.setdefault(name, ColumnStream(seed))
        rows = max((len(column) for column in batch.values() if hasattr(column, "__len__")), default=0)
        work = list(batch.items())
        map_columns(lambda item: streams[item[0]].add(item[1]), work, worthwhile=rows >= MANY_ROWS)
    return TableProfile({name: stream.finish() for name, stream in streams.items()})


def profile_column(column: Any, *, seed: int = 0) -> ColumnProfile:
    """Profile one column: NumPy, Arrow, Polars or a sequence; `seed` as for `profile`."""
    stream = ColumnStream(seed)
    stream.add(column)
    return stream.finish()
