"""`Format`: how rows come out of a file, and where rows go that cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")

MAX_RATIO = 200.0
"""How many times its own size a file may have unpacked; repetitive CSV files reach 50."""


class ReadOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a file is written. An option that no file of a load takes is an error: see `Format.options`.

    Args:
        separator: Between fields of text; empty for the format's own.
        null: Texts that mean "no value", besides those of the format.
        encoding: The encoding of text.
        types: Column → Arrow type (`int64`, `double`, `string`, `bool`, `date32[day]`, `timestamp[us]`), instead of a
            guess.
        expected: The same of columns that the dataset has already; a file need not have them, and they must keep its
            values.
        key: Columns that identify a row. Where no type is known they are whole numbers, or no numbers: two texts are
            two keys.
        max_ratio: How many times its own size a file may have unpacked.
    """

    separator: str = ""
    null: tuple[str, ...] = ()
    encoding: str = "utf-8"
    types: dict[str, str] = {}
    expected: dict[str, str] = {}
    key: tuple[str, ...] = ()
    max_ratio: float = MAX_RATIO


class RejectSink(Protocol):
    """Where bad rows go."""

    @property
    def share(self) -> float:
        """Return the greatest share of bad rows that the load may have."""

    def add(self, source: str, line: int, reason: str, raw: str, *, rows: int = 1) -> None:
        """Set a row aside. Raise `DataError` where there are too many.

        Args:
            source: The file's name.
            line: Where the row begins, from 1; in files without lines, the row's number.
            reason: What is wrong with it.
            raw: The row as it stood.
            rows: How many rows it counts as for the share: all those that it swallowed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """One reading of one file.

    Args:
        path: The file, at hand.
        options: How it is written.
        sheet: Of a workbook, the sheet; empty for the only one.
        columns: The columns that are wanted; empty for all. A format may leave others out, to be faster.
        learned: Column → type, as earlier readings of the file had it in a `WrongType`.
        schema: The file's columns, as an earlier reading had them in a `WrongSchema`.
        rejects: Where bad rows go; without it a bad row is a `DataError`.
    """

    path: Path
    options: ReadOptions = field(default_factory=ReadOptions)
    sheet: str = ""
    columns: tuple[str, ...] = ()
    learned: Mapping[str, str] = field(default_factory=dict)
    schema: pa.Schema | None = None
    rejects: RejectSink | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What a file says of itself before its rows are read.

    Args:
        schema: Its columns; None where only the rows tell.
        rows: How many rows it has; None where only reading tells.
    """

    schema: pa.Schema | None = None
    rows: int | None = None


class Format(Protocol):
    """Reads files of one kind. It holds no file open between two readings."""

    @property
    def typed(self) -> bool:
        """Return whether values have types of their own, so that none is guessed from text.

        mlopsfw then applies `ReadOptions.types` and `null` to the batches itself; else the format does.
        """

    @property
    def options(self) -> Collection[str]:
        """Return which of `separator`, `encoding` and `sheet` it takes. Others are errors."""

    @property
    def media_types(self) -> Sequence[str]:
        """Return the media types of such files (`text/csv`), for a URL whose path has no suffix; none for none."""

    def describe(self, request: ReadRequest) -> FileFacts:
        """Return what the file says of itself; `FileFacts()` where it says nothing. Raise `DataError` as `read`."""

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches of bounded size and of one schema. The first batch has no rows: it has the columns.

        Closing the iterator closes the file.

        Raises:
            DataError: The file cannot be read, with the line where it has lines; or it unpacks to more than
                `options.max_ratio` times its size.
            WrongType, WrongSchema: What was inferred does not hold further on. The file is read again with what the
                error says.
        """


class TextFormat(Format, Protocol):
    """A format whose values are texts (`typed` is False): types are guessed, and the header can be read by itself."""

    def header(self, path: Path, options: ReadOptions) -> Sequence[str]:
        """Return the columns' names, none for an empty file. Raise `DataError`."""
