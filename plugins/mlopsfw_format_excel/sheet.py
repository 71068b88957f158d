"""A sheet of an Excel workbook (`.xlsx`) as one record batch: its first row has the columns' names, formulas have their last values.

Excel knows one kind of number and one of time. Here a column of whole numbers is int64, one of nothing but midnights dates, one of
times of day or durations texts, and one of several kinds texts. Empty rows are left out, and so are empty columns without a name.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import DataError, MissingExtra, UnknownName, UsageError
from mlopsfw.formats import Allowance
from mlopsfw.roles import FileFacts, nearest
from mlopsfw_format_excel.times import loaded
from mlopsfw_format_excel.workbook import unpacked

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.roles import ReadOptions, ReadRequest

_EXACT = 1 << 53  # beyond it a float64 has not every whole number
_DAY = 86_400_000  # milliseconds


class Workbook:
    """Reads workbooks."""

    typed = True
    options = ("sheet",)
    media_types = ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",)

    def describe(self, request: ReadRequest) -> FileFacts:  # noqa: ARG002 - a sheet has no types for columns
        """Return nothing: only the cells tell."""
        return FileFacts()

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the sheet that is asked for, as `mlopsfw.roles.Format` has it."""
        return read_excel(request.path, request.sheet, request.options)


def read_excel(path: Path, sheet: str, options: ReadOptions) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a sheet; `options` say which columns are texts.

    Raises:
        DataError: It is no workbook, unpacks to too much, or its header is none; it names the column by its letter.
        UsageError: It has several sheets, and none was named.
        MissingExtra: The reader is not installed.
    """
    with unpacked(path, Allowance(path, options.max_ratio)) as plain, _blamed(path) as reader:
        book = reader.read_excel(plain)
        name = _sheet(book.sheet_names, sheet, path)
        header = _header(book, name)
        load = partial(book.load_sheet, name, schema_sample_rows=None)
        batch = loaded(load, reader.UnsupportedColumnTypeCombinationError, _texts(options, header))
    if not batch.num_columns:
        raise DataError(f"{path}: the sheet {name!r} is empty")
    rows = _typed(_tidy(batch, header, f"{path}: sheet {name!r}"), options, path)
    yield rows[:0]
    yield rows


def _texts(options: ReadOptions, header: list[str]) -> set[int]:
    """Return the positions of the columns that are to be read as texts: a cast from a number would come too late for them."""
    declared = options.expected | options.types
    return {index for index, name in enumerate(header) if declared.get(name) == "string"}


@contextlib.contextmanager
def _blamed(path: Path) -> Iterator[Any]:
    """Give the reader; what it cannot read is an error that names the file."""
    try:
        import fastexcel
    except ImportError:
        raise MissingExtra("reading Excel workbooks", "excel") from None
    logging.getLogger("fastexcel").setLevel(logging.ERROR)  # it tells of every empty column
    try:
        yield fastexcel
    except fastexcel.FastExcelError as error:
        said = str(error).strip().splitlines()[0]
        raise DataError(f"{path} cannot be read as an Excel workbook: {said}") from None


def _sheet(names: list[str], wanted: str, path: Path) -> str:
    if wanted and wanted not in names:
        raise UnknownName(f"{path} has no sheet {wanted!r}", hint=nearest(wanted, names))
    if not wanted and len(names) != 1:
        raise UsageError(f"{path} has the sheets {', '.join(map(repr, names))}", hint="Choose one: --sheet NAME.")
    return wanted or names[0]


def _header(book: Any, name: str) -> list[str]:
    """Return the first row's texts without blanks around them, empty where there is none."""
    import pyarrow as pa

    first = pa.record_batch(book.load_sheet(name, header_row=None, n_rows=1, dtypes="string"))
    return [(column[0].as_py() or "").strip() for column in first.columns] if first.num_rows else []


def _tidy(batch: pa.RecordBatch, header: list[str], where: str) -> pa.RecordBatch:
    """Return the batch without empty rows, and without empty columns that have no name."""
    import pyarrow as pa

    full = [
        index for index, values in enumerate(batch.columns) if values.null_count < len(values) or _at(header, index)
    ]
    for index in full:
        name = _at(header, index)
        if not name:
            raise DataError(
                f"{where}: column {_letter(index)} holds values and has no name in the first row",
                hint="Give each column its own name; a merged header names only its first. Delete rows above the header.",
            )
        if header.index(name) != index:
            raise DataError(
                f"{where}: columns {_letter(header.index(name))} and {_letter(index)} are both called {name!r}"
            )
    kept = pa.RecordBatch.from_arrays([batch.column(i) for i in full], names=[header[i] for i in full])
    empty = [values.is_null().to_numpy(zero_copy_only=False) for values in kept.columns]
    return kept.filter(pa.array(~_all(empty))) if kept.num_rows else kept


def _at(header: list[str], index: int) -> str:
    return header[index] if index < len(header) else ""


def _all(masks: list[Any]) -> Any:
    import numpy as np

    return np.logical_and.reduce(masks)


def _letter(index: int) -> str:
    """Return a column's letters: A for 0, AA for 26."""
    letters = ""
    while index >= 0:
        letters, index = chr(ord("A") + index % 26) + letters, index // 26 - 1
    return letters


def _typed(batch: pa.RecordBatch, options: ReadOptions, path: Path) -> pa.RecordBatch:
    import pyarrow as pa

    columns = [_plain(values) for values in batch.columns]
    for name, values in zip(batch.schema.names, columns, strict=True):
        if name not in options.types:
            _check_kept(name, values, path)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _plain(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_string(values.type) or t.is_large_string(values.type):
        return pc.if_else(pc.is_in(values, pa.array([""], values.type)), pa.scalar(None, values.type), values)
    if t.is_floating(values.type):
        whole = pc.all(pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), _EXACT))).as_py()
        return values.cast(pa.int64()) if whole else values
    return _moments(values) if t.is_timestamp(values.type) else values


def _check_kept(name: str, values: pa.Array, path: Path) -> None:
    """Raise `DataError` where a cell's number is so great that it may have been another one with more digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(values.type):
        return
    great = pc.and_(pc.greater_equal(pc.abs(values), float(_EXACT)), pc.is_finite(values))
    if (place := pc.index(great, True).as_py()) >= 0:
        raise DataError(
            f"{path}: column {name!r} holds {values[place].as_py()!r}, but a number cell keeps only 15 digits",
            hint=f"Store its cells as text, or accept the number: --type {name}=double.",
        )


def _moments(values: pa.Array) -> pa.Array:
    """Return times as dates where all are midnights, as texts where all are of Excel's day 0: times of day, which tables lack."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = values.drop_null().cast(pa.timestamp("ms")).cast(pa.int64())
    if not len(present):
        return values
    if pc.max(present).as_py() < _ZERO + _DAY and pc.min(present).as_py() >= _ZERO:
        return pc.strftime(values.cast(pa.timestamp("s")), "%H:%M:%S")
    midnight = pc.all(pc.equal(pc.multiply(pc.divide(present, _DAY), _DAY), present)).as_py()
    return values.cast(pa.date32()) if midnight else values


_ZERO = -2_209_075_200_000  # 1899-12-31, in milliseconds since 1970: what a time of day without a date is read as
