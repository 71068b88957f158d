"""Files of any size as tables that can be read block by block, any number of times. No function holds a whole table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from mlopsfw.data.intake.inferred import InferredFile, check_names, doubts, is_typed
from mlopsfw.data.tables.batches import read_ipc, sound
from mlopsfw.kernel.base.errors import DataError, UnknownName
from mlopsfw.kernel.base.ids import nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.kernel.roles.reading import ReadOptions

Read = TypeVar("Read")

BLOCK_ROWS = 1 << 18
"""Rows of a Parquet block: a row group is decoded in pieces of this size."""

STREAMED = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
}
"""Suffix → format, for streamed files."""


class Blocks(Protocol):
    """A file whose blocks can be read any number of times."""

    schema: pa.Schema
    notes: list[str]

    def read(self, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Read the columns from the first block to the last."""
        ...


def open_blocks(formats: Formats, file: Path, options: ReadOptions, sheet: str = "", *, stream: bool) -> Blocks:
    """Open a file of rows.

    Args:
        formats: The formats that read files without blocks.
        file: The file.
        options: The format of the file.
        sheet: The sheet of a workbook.
        stream: Whether to read it block by block, again in each pass.

    Raises:
        DataError: It cannot be read, or not in blocks.
        UsageError: Its suffix names no known format.
    """
    kind = STREAMED.get(formats.check(file), "")
    if stream and not kind:
        raise DataError(
            f"{file}: files are streamed as {', '.join(STREAMED)}", hint="Convert the file, or omit --stream."
        )
    typed: dict[str, Callable[[Path], Blocks]] = {"parquet": ParquetBlocks, "ipc": ArrowBlocks}
    if kind in typed:
        blocks = _readable(file, lambda: typed[kind](file))
    else:
        blocks = InferredBlocks(formats, file, options, sheet, keep=not stream)
    check_names(file, blocks.schema)
    return blocks


def known_columns(file: Path, names: tuple[str, ...], requested: tuple[str, ...]) -> tuple[str, ...]:
    """Return `requested`, or all `names` if it is empty. Raise `UnknownName` for a column that the file lacks."""
    for name in requested:
        if name not in names:
            raise UnknownName(f"{file} has no column {name!r}", hint=nearest(name, names))
    return requested or names


def _readable(file: Path, work: Callable[[], Read]) -> Read:
    """Call `work`. Turn an error of Arrow's into a `DataError` that names the file."""
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
        with parquet.ParquetFile(file) as parquet_file:
            self.schema: pa.Schema = parquet_file.schema_arrow
        self.notes: list[str] = []

    def read(self, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Read the columns; at most one row group is buffered."""
        from pyarrow import parquet

        with parquet.ParquetFile(self._file, pre_buffer=False) as parquet_file:
            yield from _guarded(self._file, parquet_file.iter_batches(batch_size=BLOCK_ROWS, columns=list(columns)))


class ArrowBlocks:
    """An Arrow IPC file or stream, record batch by record batch."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.schema: pa.Schema = next(read_ipc(file)).schema
        self.notes: list[str] = []

    def read(self, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Read the columns."""
        yield from _guarded(self._file, (sound(batch).select(list(columns)) for batch in read_ipc(self._file)))


class InferredBlocks:
    """A file with inferred types, read as `data add` reads it.

    Args:
        formats: The formats that read files.
        file: The file.
        options: The format of the file.
        sheet: The sheet of a workbook.
        keep: Whether to hold the rows, so that they are read once.
    """

    def __init__(self, formats: Formats, file: Path, options: ReadOptions, sheet: str, *, keep: bool) -> None:
        self._rows, self._keep = InferredFile(formats, file, options, sheet), keep
        self.notes, self._file, self._typed = self._rows.notes, file, is_typed(formats, file)
        self._settle()

    def _settle(self) -> None:
        """Read the file once to learn each column's type: the first block of a column may look like numbers, and a later one not."""

        def taken(batches: Iterator[pa.RecordBatch]) -> list[pa.RecordBatch]:
            first, some = next(batches), next(batches, None)
            doubtful = doubts(self._file, some) if some is not None and not self._typed else ()
            self.notes.extend(note for note in doubtful if note not in self.notes)
            remaining = [batch for batch in batches if self._keep]
            return [first, *remaining] if some is None or not self._keep else [first, some, *remaining]

        self._kept = self._rows.take(taken)
        self.schema = self._kept[0].schema

    def as_text(self, columns: list[str]) -> None:
        """Read these columns of a file of texts as text. Other formats have types of their own."""
        if columns and not self._typed:
            self._rows.as_text(columns)
            self._settle()

    def read(self, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Read the columns."""
        for batch in self._kept if self._keep else self._rows.batches():
            yield batch.select(list(columns))
