"""Files of any size as tables that are read a block at a time, again as often as is asked; nothing here holds a whole table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mlopsfw.errors import DataError, UnknownName
from mlopsfw.ids import nearest

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv

Read = TypeVar("Read")

BLOCK_ROWS = 1 << 18
"""Rows of a Parquet block; a row group is decoded this many at a time."""

BLOCK_BYTES = 1 << 24
"""Bytes of a CSV block."""

STREAMED = (".parquet", ".csv", ".arrow", ".ipc", ".feather")
_ARROW = STREAMED[2:]
_CONFLICT = re.compile(r"In CSV column #(\d+)")


class Blocks(Protocol):
    """A file whose blocks can be read again and again."""

    names: tuple[str, ...]

    def read(self, columns: tuple[str, ...]) -> Iterator[Any]:
        """Read the columns from the first block to the last, as Arrow record batches."""
        ...


def open_blocks(file: Path) -> Blocks:
    """Open a Parquet, CSV or Arrow IPC file. Raise `DataError` if it is none, or cannot be read."""
    kinds: dict[str, Callable[[Path], Blocks]] = {
        ".parquet": ParquetBlocks,
        ".csv": CsvBlocks,
        **dict.fromkeys(_ARROW, ArrowBlocks),
    }
    chosen = kinds.get(file.suffix.lower())
    if chosen is None:
        raise DataError(
            f"{file}: files are streamed as {', '.join(STREAMED)}", hint="Convert the file, or leave --stream out."
        )
    return _readable(file, lambda: chosen(file))


def known_columns(file: Path, names: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that were asked for, all where none was. Raise `UnknownName` for one that the file lacks."""
    for name in asked:
        if name not in names:
            raise UnknownName(f"{file} has no column {name!r}", hint=nearest(name, names))
    return asked or names


def _readable(file: Path, work: Callable[[], Read]) -> Read:
    """Do the work; what Arrow cannot read is a `DataError` that names the file."""
    import pyarrow as pa

    try:
        return work()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None


def _guarded(file: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    while (batch := _readable(file, lambda: next(batches, None))) is not None:
        yield batch


class ParquetBlocks:
    """A Parquet file, row group by row group."""

    def __init__(self, file: Path) -> None:
        from pyarrow import parquet

        self._file = file
        with parquet.ParquetFile(file) as opened:
            self.names = tuple(opened.schema_arrow.names)

    def read(self, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Read the columns; at most one row group is buffered."""
        from pyarrow import parquet

        with parquet.ParquetFile(self._file, pre_buffer=False) as opened:
            yield from _guarded(self._file, opened.iter_batches(batch_size=BLOCK_ROWS, columns=list(columns)))


class ArrowBlocks:
    """An Arrow IPC file, record batch by record batch."""

    def __init__(self, file: Path) -> None:
        from pyarrow import ipc

        self._file = file
        with ipc.open_file(file) as opened:
            self.names = tuple(opened.schema.names)

    def read(self, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Read the columns."""
        from pyarrow import OSFile, ipc

        with OSFile(str(self._file)) as handle:
            options = ipc.IpcReadOptions(included_fields=sorted(self.names.index(name) for name in columns))
            opened = ipc.open_file(handle, options=options)
            yield from _guarded(self._file, (opened.get_batch(number) for number in range(opened.num_record_batches)))


class CsvBlocks:
    """A CSV file, block by block. Numbers are float64; a column in which something else is met is text from then on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._types: dict[str, Any] = {}
        schema = self._open(()).schema
        self.names = tuple(schema.names)
        self._types = {field.name: _type_of(field.type) for field in schema}
        self._settle()

    def _settle(self) -> None:
        """Read the file once to know each column's type: a column's first block may look like numbers, and a later one not."""
        while True:
            try:
                for _ in self._open(self.names):
                    pass
            except ValueError as error:  # Arrow's conversion errors are
                self._learn(error)
            else:
                return

    def read(self, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Read the columns."""
        yield from _guarded(self._file, iter(_readable(self._file, lambda: self._open(columns))))

    def _learn(self, error: ValueError) -> None:
        import pyarrow as pa

        found = _CONFLICT.search(str(error))
        name = self.names[int(found[1])] if found else ""
        if not name or self._types[name] == pa.string():
            raise DataError(f"{self._file} cannot be read: {error}") from None
        self._types[name] = pa.string()

    def _open(self, columns: tuple[str, ...]) -> csv.CSVStreamingReader:
        from pyarrow import csv

        return csv.open_csv(
            self._file,
            read_options=csv.ReadOptions(block_size=BLOCK_BYTES),
            convert_options=csv.ConvertOptions(
                column_types=self._types,
                include_columns=list(columns),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )


def _type_of(seen: pa.DataType) -> pa.DataType:
    """Return how to read a column whose first block looked like this; nothing but nulls may be numbers."""
    import pyarrow as pa

    number = pa.types.is_integer(seen) or pa.types.is_floating(seen) or pa.types.is_null(seen)
    return pa.float64() if number else pa.string()
