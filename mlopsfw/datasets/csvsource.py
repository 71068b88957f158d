"""CSV files as record batches, strictly: a row that cannot be read is an error that names file, line and column."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from mlopsfw.datasets.bounds import MAX_RATIO
from mlopsfw.datasets.csvquotes import Watched, check_end
from mlopsfw.datasets.opened import open_bytes
from mlopsfw.errors import DataError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 4 << 20  # bytes; types are guessed from the first block
_BAD_CELL = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to ([^:]+): (.*)", re.DOTALL)
_BAD_ROW = re.compile(r"CSV parse error: (?:Row #(\d+): )?(Expected \d+ columns, got \d+)", re.DOTALL)
_NEXT_GUESS = {"null": "int64", "int64": "double"}
"""What to take a column for when the type guessed from the first block fails further on."""


class CsvOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a CSV file is written.

    Args:
        separator: Between fields; empty for `,`, or a tab in `.tsv` files.
        null: Texts that mean "no value", besides the empty one; in columns of numbers the usual ones (NA, NaN, null, …) always do.
        encoding: The file's encoding.
        types: Column → type (`int64`, `double`, `string`, `bool`, `date32[day]`, `timestamp[us]`), instead of guessing.
        expected: The same of columns that the dataset has already; a file need not have them.
        max_ratio: How many times its own size an archive may have unpacked.
    """

    separator: str = ""
    null: tuple[str, ...] = ()
    encoding: str = "utf-8"
    types: dict[str, str] = {}
    expected: dict[str, str] = {}
    max_ratio: float = MAX_RATIO


class WrongGuess(DataError):
    """A column's type, guessed from the first rows, does not hold further on; reading anew with another may do.

    Args:
        message: What was met.
        column: The column.
        type: What to take it for.
    """

    def __init__(self, message: str, column: str, type: str) -> None:  # noqa: A002 - the column's type
        super().__init__(message)
        self.column, self.type = column, type


def read_csv(path: Path, options: CsvOptions, guesses: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a CSV file; `guesses` are types learnt from an earlier `WrongGuess`.

    Raises:
        WrongGuess: Read it again, with the error's type for its column.
        DataError: A row has too few or too many fields, a value is not of its column's type, or the encoding is wrong.
    """
    import pyarrow as pa

    check(path, options)
    known = options.expected | dict(guesses) | options.types
    try:
        with open_bytes(path, options.max_ratio) as raw:
            watched, batch = Watched(raw), None
            reader = _open(watched, path, options, known)
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)  # a header alone makes a table too
            for batch in filter(len, reader):
                yield _text_nulls(batch, options.null)
            if watched.suspicious(batch):
                check_end(path, options)
    except pa.ArrowInvalid as error:
        raise explain(path, options, known, str(error)) from None


def check(path: Path, options: CsvOptions) -> None:
    """Raise `UsageError` where an option cannot be, `DataError` where the file is UTF-16 and nobody said so."""
    import pyarrow as pa

    for column, kind in options.types.items():
        try:
            pa.type_for_alias(kind)
        except ValueError:
            hint = "Types are int64, double, string, bool, date32[day], timestamp[us] and the like."
            raise UsageError(f"column {column!r}: there is no type {kind!r}", hint=hint) from None
    if len(options.separator) > 1:
        raise UsageError(f"the separator {options.separator!r} is not one character", hint="Such as ; or \\t.")
    try:
        codecs.lookup(options.encoding)
    except LookupError:
        raise UsageError(f"there is no encoding {options.encoding!r}", hint="Such as utf-8, latin-1, cp1252.") from None
    _refuse_utf16(path, options)


def _open(raw: Any, path: Path, options: CsvOptions, known: Mapping[str, str]) -> Any:
    import pyarrow as pa
    import pyarrow.csv as pc

    reading = pc.ReadOptions(use_threads=False, block_size=_BLOCK, encoding=options.encoding)  # serial: it counts rows
    parsing = pc.ParseOptions(delimiter=separator(path, options), newlines_in_values=True)
    types = {name: pa.type_for_alias(kind) for name, kind in known.items()}
    nulls = [*pc.ConvertOptions().null_values, *options.null]
    converting = pc.ConvertOptions(column_types=types, null_values=nulls, strings_can_be_null=False)
    reader = pc.open_csv(raw, reading, parsing, converting)
    for field in reader.schema:
        if pa.types.is_binary(field.type):
            _raise_encoding(path, options)
        if pa.types.is_time(field.type):  # tables have no type for a time of day
            raise WrongGuess(f"{path}: column {field.name!r} holds times of day", field.name, "string")
    unknown = sorted(set(options.types) - set(reader.schema.names))
    if unknown:
        raise DataError(f"{path} has no column {unknown[0]!r}", hint=f"It has: {', '.join(reader.schema.names)}.")
    return reader


def type_of(kind: str) -> pa.DataType:
    """Return the Arrow type of that name."""
    import pyarrow as pa

    return pa.timestamp("us", "UTC") if kind == "timestamp[us, tz=UTC]" else pa.type_for_alias(kind)


def null_texts() -> list[str]:
    """Return the texts that mean "no value" in columns of no text."""
    import pyarrow.csv as pc

    return list(pc.ConvertOptions().null_values)


def open_raw(raw: Any, path: Path, options: CsvOptions, ragged: Callable[[Any], str]) -> Any:
    """Return a reader of all columns as bytes, which asks `ragged` about rows of too few or too many fields."""
    import pyarrow as pa
    import pyarrow.csv as pc

    _, names = _locate(path, options, 1)
    unknown = sorted(set(options.types) - set(names))
    if unknown:
        raise DataError(f"{path} has no column {unknown[0]!r}", hint=f"It has: {', '.join(names)}.")
    reading = pc.ReadOptions(use_threads=False, block_size=_BLOCK, encoding=options.encoding)
    delimiter = separator(path, options)
    parsing = pc.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=ragged)
    return pc.open_csv(raw, reading, parsing, pc.ConvertOptions(column_types=dict.fromkeys(names, pa.binary())))


def lines_of(path: Path, options: CsvOptions, records: AbstractSet[int]) -> dict[int, int]:
    """Return the line on which each of `records` (from 1, blank lines not counted) begins."""
    csv.field_size_limit(1 << 30)
    found: dict[int, int] = {}
    with open_bytes(path, options.max_ratio) as raw, text_of(raw, options) as text:
        reader = csv.reader(text, delimiter=separator(path, options))
        record, line = 0, 1
        for fields in reader:
            record += bool(fields)
            if fields and record in records:
                found[record] = line
            line = reader.line_num + 1
    return found


def separator(path: Path, options: CsvOptions) -> str:
    """Return what stands between the fields of a file."""
    return options.separator or ("\t" if ".tsv" in path.suffixes else ",")


def _text_nulls(batch: pa.RecordBatch, null: tuple[str, ...]) -> pa.RecordBatch:
    """Make null of empty texts, and of those that `null` names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = pa.array(["", *null])
    columns = [
        pc.if_else(pc.is_in(values, empty), pa.scalar(None, values.type), values)
        if pa.types.is_string(values.type)
        else values
        for values in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


# -- what was wrong, and where -----------------------------------------------------------------------------------------------


class _BadCell(msgspec.Struct, frozen=True):
    """A value that is not of its column's type, as Arrow tells it: column from 0, row from 1 with the header, 0 if untold."""

    index: int
    row: int
    kind: str
    what: str


def explain(path: Path, options: CsvOptions, known: Mapping[str, str], message: str) -> DataError:
    """Return the error that Arrow's `message` means, with line and column."""
    if match := _BAD_CELL.match(message):
        cell = _BadCell(int(match[1]), int(match[2] or 0), match[3], match[4].strip())
        if "UTF8" in cell.what:
            _raise_encoding(path, options)
        return _explain_cell(path, options, known, cell)
    if ragged := _BAD_ROW.match(message):
        line, _ = _locate(path, options, int(ragged[1] or 0))
        what = ragged[2].replace("Expected", "expected").replace("columns", "fields")
        hint = "Quote fields that hold the separator, or set the separator."
        return DataError(f"{path}:{line}: the row cannot be read: {what}", hint=hint)
    if "straddles two block" in message:
        what = f"a row is longer than {_BLOCK >> 20} MiB"
        return DataError(f"{path}: {what}", hint="Look for a quote that is never closed, or split the field.")
    return DataError(f"{path}: {message.removeprefix('CSV parse error: ')}")


def _explain_cell(path: Path, options: CsvOptions, known: Mapping[str, str], cell: _BadCell) -> DataError:
    line, names = _locate(path, options, cell.row)
    column = names[cell.index] if cell.index < len(names) else f"#{cell.index + 1}"
    where = f"{path}:{line}: column {column!r}"
    following = _NEXT_GUESS.get(cell.kind)
    if following and column not in options.types and (cell.kind == "null" or _is_number(cell.what)):
        return WrongGuess(f"{where} is not all {cell.kind}", column, following)
    if cell.kind == "int64" and known.get(column) == "int64" and column not in options.types:
        return WrongGuess(f"{where} began with nulls and holds no numbers", column, "string")
    hint = (
        f"Mend the row, name the text that means no value (--null TEXT), or read it as text (--type {column}=string)."
    )
    return DataError(f"{where}: {cell.what} for {cell.kind}", hint=hint)


def _is_number(what: str) -> bool:
    """Whether the value in Arrow's message is a number: whole numbers may go on as fractions, but not as words."""
    value = re.search(r"'(.*)'", what, re.DOTALL)
    try:
        float(value[1] if value else "")
    except ValueError:
        return False
    return True


def text_of(raw: Any, options: CsvOptions) -> TextIO:
    """Return a file of bytes as text, its line ends as they are."""
    encoding = "utf-8-sig" if codecs.lookup(options.encoding).name == "utf-8" else options.encoding
    return io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="")


def _locate(path: Path, options: CsvOptions, row: int) -> tuple[int, list[str]]:
    """Return the line on which record `row` (from 1, blank lines not counted) begins, and the header's names."""
    csv.field_size_limit(1 << 30)
    with open_bytes(path, options.max_ratio) as raw, text_of(raw, options) as text:
        reader = csv.reader(text, delimiter=separator(path, options))
        names: list[str] = []
        record, line = 0, 1
        for fields in reader:
            if fields:
                record += 1
                names = names or fields
            if record >= row and fields:
                return line, names
            line = reader.line_num + 1
    return line, names


def _raise_encoding(path: Path, options: CsvOptions) -> None:
    with open_bytes(path, options.max_ratio) as raw:
        for line, data in enumerate(raw, 1):
            try:
                data.decode(options.encoding)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}:{line}: not {options.encoding}: byte {data[error.start]:#04x} at position {error.start + 1}",
                    hint="Say how it is encoded (--encoding latin-1, cp1252, …), or mend the row.",
                ) from None
    raise DataError(f"{path}: not {options.encoding}", hint="Say how it is encoded: --encoding latin-1, cp1252, ….")


def _refuse_utf16(path: Path, options: CsvOptions) -> None:
    with open_bytes(path, options.max_ratio) as raw:
        begin = raw.read(256)
    if "16" in options.encoding or "32" in options.encoding:
        return
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}:1: this is UTF-16", hint="Say so: --encoding utf-16.")
    if begin.count(0) * 3 > len(begin):  # text of Latin letters has a NUL in every second byte then
        raise DataError(
            f"{path}:1: this is no text, or UTF-16 without its mark", hint="Say so: --encoding utf-16-le or utf-16-be."
        )
