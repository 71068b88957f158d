"""Files of labels: each row's label as the model's classes are, and ids as they stand in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.data.intake.decompress import MAX_RATIO
from mlopsfw.data.intake.inferred import header_of, is_csv
from mlopsfw.data.intake.open_file import open_bytes
from mlopsfw.data.tables.calendar import outside_calendar
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.intake.csv.options import CsvOptions
    from mlopsfw.kernel.roles.bundle import Manifest

_NEEDED = ("prediction_id", "label")
_NUMBER = re.compile(r"-?(?:(?:0|[1-9]\d{0,39})(\.\d+)?|(\.\d+))(e[+-]?\d{1,4})?")
_PADDED = re.compile(r"^(-?)0*(?=\d)")
_SHOWN = 10


def label_rows(
    file: Path, manifest: Manifest, options: CsvOptions | None = None, sheet: str = ""
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file of labels.

    Args:
        file: CSV, JSON lines, Excel, Parquet or Arrow IPC. A CSV file has no types: ids stay text, with their leading zeros.
        manifest: Says how a label of a CSV file is to be read.
        options: How a CSV file is written.
        sheet: Of a workbook.

    Raises:
        DataError: The file cannot be read, or lacks a column.
    """
    suffix = file.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(file)
    rows = _rows(file, options, sheet)
    return _as_classes(rows, manifest) if is_csv(file) else rows.iter_rows(named=True)


def _json_lines(file: Path) -> Iterator[Mapping[str, Any]]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with open_bytes(file, MAX_RATIO) as lines:
        for number, line in enumerate(lines):
            if line.strip():
                try:
                    row = decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    raise DataError(f"{file} cannot be read: line {number + 1} is no JSON object: {error}") from None
                yield row


def _rows(file: Path, options: CsvOptions | None, sheet: str) -> pl.DataFrame:
    """Return the rows of a file that holds tables; of CSV all values are texts."""
    from mlopsfw.data.intake.csv.options import CsvOptions
    from mlopsfw.models.bundle.scoring import as_declared, read_rows

    declared = options or CsvOptions()
    names = header_of(file, declared) if is_csv(file) else list(_NEEDED)
    rows = read_rows(file, as_declared(file, declared, dict.fromkeys(names, "string")), sheet)
    _check_columns(file, rows.columns)
    _check_calendar(rows)
    return rows


def _as_classes(rows: pl.DataFrame, manifest: Manifest) -> Iterator[Mapping[str, Any]]:
    for row in rows.iter_rows(named=True):
        yield row if row["label"] is None else {**row, "label": _from_text(row["label"], manifest)}


def _check_calendar(rows: pl.DataFrame) -> None:
    """Raise `DataError` with the row where a date or time has no year that Python has."""
    for name, kind in rows.schema.items():
        stray = outside_calendar(name, kind)
        wrong = [] if stray is None else rows.select(stray.arg_true()).to_series().to_list()
        if wrong:
            raise DataError(f"row {wrong[0]}: `{name}` is outside the years 1 to 9999", hint="Correct the year.")


def _check_columns(file: Path, columns: list[str]) -> None:
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        there = ", ".join(map(repr, columns[:_SHOWN])) or "none"
        hint = "The values of a CSV file are separated by commas." if len(columns) == 1 else ""
        raise DataError(
            f"{file}: there is no column {' or '.join(map(repr, missing))}; the columns are {there}", hint=hint
        )


def _from_text(text: str, manifest: Manifest) -> Any:
    """Return a label of a CSV file as the model's labels are; text that cannot be one of them as it is, to be named and refused."""
    if any(isinstance(each, str) for each in manifest.classes):
        return text
    word = text.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    if manifest.task == "regression":
        return _number(_PADDED.sub(r"\1", word.removeprefix("+")), text)
    return _number(word, text)


def _number(word: str, text: str) -> Any:
    match = _NUMBER.fullmatch(word)
    if match is None:
        return text
    return float(word) if any(match.groups()) else int(word)
