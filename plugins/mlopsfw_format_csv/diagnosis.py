"""What is wrong with a CSV file, and where: Arrow's messages, which count records, told with the file's line and column's name."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.errors import DataError
from mlopsfw.formats import BadValue, WrongType, exact, is_finer, open_bytes, truncation_hint
from mlopsfw_format_csv.blocks import Left, line_at
from mlopsfw_format_csv.options import separator, text_of, utf8_of

if TYPE_CHECKING:
    from mlopsfw.roles import ReadOptions

_BAD_CELL = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to ([^:]+): (.*)", re.DOTALL)
_BAD_ROW = re.compile(r"CSV parse error: (?:Row #(\d+): )?(Expected \d+ columns, got \d+)", re.DOTALL)
_NUMBERS = ("int64", "double")
_NEXT_GUESS = {"null": "int64", "int64": "double"}
"""What to take a column for when the type guessed from the first block fails further on."""


class _BadCell(msgspec.Struct, frozen=True):
    """A value that is not of its column's type, as Arrow tells it: column from 0, row from 1 with the header, 0 if untold."""

    index: int
    row: int
    kind: str
    what: str


def explain(path: Path, options: ReadOptions, known: Mapping[str, str], message: str, passed: int = 0) -> DataError:
    """Return the error that Arrow's `message` means, with line and column.

    Args:
        path: The file.
        options: How it is written.
        known: Types that were not guessed, or learnt from earlier guesses.
        message: Arrow's words about one block.
        passed: Records before that block, the header too.
    """
    if match := _BAD_CELL.match(message):
        cell = _BadCell(int(match[1]), int(match[2] or 0) + passed, match[3], match[4].strip())
        if "UTF8" in cell.what:
            raise_encoding(path, options)
        return _explain_cell(path, options, known, cell)
    if ragged := _BAD_ROW.match(message):
        line, _ = locate(path, options, int(ragged[1] or 0) + passed)
        what = ragged[2].replace("Expected", "expected").replace("columns", "fields")
        hint = "Quote fields that hold the separator, or set the separator."
        return DataError(f"{path}:{line}: the row cannot be read: {what}", hint=hint)
    return DataError(f"{path}: {message.removeprefix('CSV parse error: ')}")


def _explain_cell(path: Path, options: ReadOptions, known: Mapping[str, str], cell: _BadCell) -> DataError:
    line, names = locate(path, options, cell.row)
    column = names[cell.index] if cell.index < len(names) else f"#{cell.index + 1}"
    where = f"{path}:{line}: column {column!r}"
    following = _NEXT_GUESS.get(cell.kind)
    has_type = column in options.types or column in options.expected
    if not has_type and cell.kind in _NUMBERS and exact.is_code(_value(cell.what)):
        return WrongType(f"{where} holds codes", column, "string")
    if following and not has_type and (cell.kind == "null" or _is_number(cell.what)):
        return WrongType(f"{where} is not all {cell.kind}", column, following)
    if cell.kind == "int64" and known.get(column) == "int64" and not has_type:
        return WrongType(f"{where} began with nulls and holds no numbers", column, "string")
    hint = f"Correct the row, name the text that means a missing value (--null TEXT), or read the column as text (--type {column}=string)."
    if column in options.expected and cell.kind == "int64" and _value(cell.what).strip().lstrip("+-").isdigit():
        hint = f"Replace the dataset with the column as text (--type {column}=string), or correct the row."
    if column not in options.types and cell.kind.startswith("timestamp[us") and is_finer(_value(cell.what)):
        hint = truncation_hint(column, cell.kind)
    return BadValue(f"{where}: {cell.what} for {cell.kind}", column, hint)


def explain_lossy(
    path: Path, options: ReadOptions, columns: Mapping[str, tuple[int, str]], passed: int = 0
) -> DataError:
    """Return the error of texts that their columns' types would not keep: a wrong guess, unless the dataset has the type.

    Args:
        path: The file.
        options: How it is written.
        columns: Column → the record in its block, from 1 with the header, and why.
        passed: Records before that block, the header too.
    """
    guessed = {name: "string" for name in columns if name not in options.expected}
    if len(guessed) == len(columns):
        name = next(iter(columns))
        return WrongType(f"{path}: column {name!r}: {columns[name][1]}", name, "string", guessed)
    name = next(name for name in columns if name in options.expected)
    row, reason = columns[name]
    line, _ = locate(path, options, row + passed)
    return DataError(f"{path}:{line}: column {name!r}: {reason}", hint=keep_hint(name, options.expected[name]))


def keep_hint(column: str, kind: str) -> str:
    """Return what to do where a column of numbers meets a text that it does not keep."""
    return (
        f"Replace the dataset with the column as text (--type {column}=string), or declare a number here too "
        f"(--type {column}={kind})."
    )


def _is_number(what: str) -> bool:
    """Whether the value in Arrow's message is a number: whole numbers may go on as fractions, but not as words."""
    try:
        float(_value(what))
    except ValueError:
        return False
    return True


def _value(what: str) -> str:
    """Return the value in Arrow's message."""
    value = re.search(r"'(.*)'", what, re.DOTALL)
    return value[1] if value else ""


def explain_left(path: Path, options: ReadOptions, left: Left, most: int) -> DataError:
    """Return the error of a record that is never closed, or longer than `most` bytes."""
    line = left_line(path, options, left)
    if left.open:
        return DataError(
            f"{path}:{line}: the row has a quote that is never closed, so that all following text would be one field",
            hint="Close the quote, or double it if it belongs to the text.",
        )
    what = f"a row is longer than {most >> 20} MiB"
    return DataError(f"{path}:{line}: {what}", hint="Look for a quote that closes too late, or split the field.")


def left_line(path: Path, options: ReadOptions, left: Left) -> int:
    """Return the line on which a record that was left begins."""
    with open_bytes(path, options.max_ratio) as raw:
        return line_at(utf8_of(raw, options), left.start)


def raise_encoding(path: Path, options: ReadOptions) -> None:
    """Raise `DataError` naming the first byte that is not of the file's encoding."""
    with open_bytes(path, options.max_ratio) as raw:
        for line, data in enumerate(raw, 1):
            try:
                data.decode(options.encoding)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}:{line}: not {options.encoding}: byte {data[error.start]:#04x} at position {error.start + 1}",
                    hint="Name its encoding (--encoding latin-1, cp1252, …), or correct the row.",
                ) from None
    raise DataError(f"{path}: not {options.encoding}", hint="Name its encoding: --encoding latin-1, cp1252, ….")


def lines_of(path: Path, options: ReadOptions, records: AbstractSet[int]) -> dict[int, int]:
    """Return the line on which each of `records` (from 1, blank lines not counted) begins."""
    last = max(records)
    return {record: line for record, line, _ in itertools.islice(_records(path, options), last) if record in records}


def locate(path: Path, options: ReadOptions, row: int) -> tuple[int, list[str]]:
    """Return the line on which record `row` (from 1, blank lines not counted) begins, and the header's names."""
    names: list[str] = []
    line = 1
    for record, line, fields in _records(path, options):  # noqa: B007 - the last one is wanted
        names = names or fields
        if record >= row:
            break
    return line, names


def _records(path: Path, options: ReadOptions) -> Iterator[tuple[int, int, list[str]]]:
    """Yield each record that is not blank: its number and the line on which it begins, both from 1, and its fields."""
    csv.field_size_limit(1 << 30)
    with open_bytes(path, options.max_ratio) as raw, text_of(raw, options) as text:
        reader = csv.reader(text, delimiter=separator(path, options))
        record, line = 0, 1
        for fields in reader:
            if fields:
                record += 1
                yield record, line, fields
            line = reader.line_num + 1
