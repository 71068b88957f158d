"""Add files of labels to a model: each label with the type of the model's classes, and ids exactly as in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.data.intake.inferred import header_of, is_typed
from mlopsfw.data.intake.json_fault import json_fault
from mlopsfw.data.intake.open_file import inner_suffix, open_bytes
from mlopsfw.data.tables.calendar import outside_calendar
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.base.nesting import TOO_DEEP, is_too_deep
from mlopsfw.kernel.roles.reading import ReadOptions

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.kernel.roles.bundle import Manifest
    from mlopsfw.kernel.services import Services
    from mlopsfw.models.registry import Registry
    from mlopsfw.serving.labels import Labels

_NEEDED = ("prediction_id", "label")
_FIELDS = (*_NEEDED, "label_time")
_NUMBER = re.compile(r"-?(?:(?:0|[1-9]\d{0,39})(\.\d+)?|(\.\d+))(e[+-]?\d{1,4})?")
_PADDED = re.compile(r"^(-?)0*(?=\d)")
_SHOWN = 10


class LabelFiles:
    """Adds files of labels.

    Args:
        services: The kernel's services.
        labels: The labels there are.
        models: The registered models.
        formats: The formats that read files.
    """

    def __init__(self, services: Services, labels: Labels, models: Registry, formats: Formats) -> None:
        self._services = services
        self._labels, self._models, self._formats = labels, models, formats

    def add(self, model: str, file: Path, options: ReadOptions | None = None, sheet: str = "") -> int:
        """Add the labels of a file, read as `data add` reads it, with the columns of `Labels.add`; return how many.

        What a CSV file holds is text, and each label is read as the model's classes are: `1` is 1, `true` or `"1"`, `01` is `"01"` or none.

        Raises:
            DataError: The file cannot be read, or as `Labels.add`.
        """
        from mlopsfw.models.bundle.stored import stored_manifest

        check_name(model, "model")
        manifest = stored_manifest(self._services.blobs, self._models.model(model).current.bundle)
        try:
            return self._labels.add(model, label_rows(self._formats, file, manifest, options, sheet))
        except DataError as error:
            message = error.message if str(file) in error.message else f"{file}: {error.message}; nothing was added"
            raise DataError(message, hint=error.hint) from None


def label_rows(
    formats: Formats, file: Path, manifest: Manifest, options: ReadOptions | None = None, sheet: str = ""
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file of labels.

    Args:
        formats: The formats that read files.
        file: The file. One of CSV has no types: ids stay text, with their leading zeros.
        manifest: Says how a label of a CSV file is to be read.
        options: The format of a CSV file.
        sheet: The sheet of a workbook.

    Raises:
        DataError: The file cannot be read, or lacks a column.
    """
    if inner_suffix(file) in (".jsonl", ".ndjson"):
        return _json_lines(formats, file, options or ReadOptions(), sheet)
    rows = _rows(formats, file, options, sheet)
    return rows.iter_rows(named=True) if is_typed(formats, file) else _as_classes(rows, manifest)


def _json_lines(formats: Formats, file: Path, options: ReadOptions, sheet: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of JSON lines: there each label has a type of its own, and a table would give all of them one."""
    formats.check_options([file], options, sheet)
    if options.types or options.null:
        raise UsageError(
            f"{file}: labels in JSON lines are what they are: a type of each, and null", hint="Omit --type and --null."
        )
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with open_bytes(file, options.max_ratio) as lines:
        for number, line in enumerate(lines, 1):
            if is_too_deep(line):
                raise DataError(f"{file} cannot be read: line {number} has {TOO_DEEP}")
            if line.strip():
                try:
                    row = decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    fault = json_fault(line, error)
                    raise DataError(f"{file} cannot be read: line {number} is not a JSON object: {fault}") from None
                if twice := next((name for name in _FIELDS if line.count(b'"%s"' % name.encode()) > 1), ""):
                    _check_once(file, number, line, twice)
                yield row


def _check_once(file: Path, number: int, line: bytes, name: str) -> None:
    """Raise `DataError` where a line has a field twice."""
    pairs = json.loads(line, object_pairs_hook=lambda pairs: [key for key, _ in pairs])
    if pairs.count(name) > 1:
        raise DataError(f"{file} cannot be read: line {number} has the field {name!r} twice")


def _rows(formats: Formats, file: Path, options: ReadOptions | None, sheet: str) -> pl.DataFrame:
    """Return the rows of a tabular file; for CSV all values are texts."""
    from mlopsfw.models.bundle.scoring import as_declared, read_rows

    declared = options or ReadOptions()
    names = list(_NEEDED) if is_typed(formats, file) else header_of(formats, file, declared)
    rows = read_rows(formats, file, as_declared(formats, file, declared, dict.fromkeys(names, "string")), sheet)
    _check_columns(file, rows.columns)
    _check_calendar(rows)
    return rows


def _as_classes(rows: pl.DataFrame, manifest: Manifest) -> Iterator[Mapping[str, Any]]:
    for row in rows.iter_rows(named=True):
        yield row if row["label"] is None else {**row, "label": _from_text(row["label"], manifest)}


def _check_calendar(rows: pl.DataFrame) -> None:
    """Raise `DataError` with the row if a date or time is in a year that Python does not support."""
    for name, kind in rows.schema.items():
        stray = outside_calendar(name, kind)
        wrong = [] if stray is None else rows.select(stray.arg_true()).to_series().to_list()
        if wrong:
            raise DataError(f"row {wrong[0]}: `{name}` is outside the years 1 to 9999", hint="Correct the year.")


def _check_columns(file: Path, columns: list[str]) -> None:
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        there = ", ".join(map(repr, columns[:_SHOWN])) or "none"
        hint = "Separate the values of a CSV file by commas, or pass --separator." if len(columns) == 1 else ""
        raise DataError(
            f"{file}: there is no column {' or '.join(map(repr, missing))}; the columns are {there}", hint=hint
        )


def _from_text(text: str, manifest: Manifest) -> Any:
    """Return a label of a CSV file with the type of the model's labels. Returns other texts unchanged, to be refused by name."""
    if any(isinstance(each, str) for each in manifest.classes):
        return text
    word = text.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    if not manifest.classes:
        return _number(_PADDED.sub(r"\1", word.removeprefix("+")), text)
    return _number(word, text)


def _number(word: str, text: str) -> Any:
    match = _NUMBER.fullmatch(word)
    if match is None:
        return text
    return float(word) if any(match.groups()) else int(word)
