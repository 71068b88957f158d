"""Write scored rows to a file, frame by frame: Parquet, CSV or JSON lines. The file appears whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.lineage.canonical import finite, not_finite

if TYPE_CHECKING:
    import polars as pl

_FORMULA = r"^(?:[=@\t\r]|[+-](?:[^0-9.]|$))"  # a number may have a sign


def check_writable(columns: Mapping[str, pl.DataType], file: Path | None) -> None:
    """Raise `DataError` unless rows with these columns can be written to `file`, or as JSON lines to the terminal if it is None."""
    suffix = _suffix(file) if file else ".jsonl"
    for name, kind in columns.items():
        if not _WRITERS[suffix].holds(kind):
            where = "the terminal" if file is None else str(file)
            raise DataError(
                f"column {name!r} holds {kind}, which cannot be written to {where}",
                hint=f"Pass --out FILE with {' or '.join(end for end in _WRITERS if _WRITERS[end].holds(kind))}.",
            )


def _suffix(file: Path) -> str:
    suffix = file.suffix.lower()
    if suffix not in _WRITERS:
        raise DataError(f"{file}: rows can be written as {', '.join(_WRITERS)}", hint="Use one of these suffixes.")
    return suffix


def write_rows(frames: Iterable[pl.DataFrame], file: Path) -> int:
    """Write frames of one schema, at least one, in the format of the suffix of `file`; return how many rows that were.

    The file appears when all is written. If anything fails, what was there before is there still.

    Raises:
        DataError: As `check_writable`; nothing has been written then.
    """
    rows, writer = 0, _WRITERS[_suffix(file)].open
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as out, contextlib.ExitStack() as stack:
            write = None
            for frame in frames:
                if write is None:
                    check_writable(frame.schema, file)
                    write = stack.enter_context(writer(out, frame))
                write(frame)
                rows += frame.height
            stack.close()
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return rows


class _Writer(NamedTuple):
    """How frames are written one after the other, and which types of columns a file holds."""

    open: Callable[[BinaryIO, pl.DataFrame], AbstractContextManager[Callable[[pl.DataFrame], object]]]
    holds: Callable[[pl.DataType], bool]


@contextlib.contextmanager
def _parquet(out: BinaryIO, first: pl.DataFrame) -> Iterator[Callable[[pl.DataFrame], object]]:
    import pyarrow.parquet as pq

    schema = first.clear().to_arrow().schema
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        yield lambda frame: writer.write_table(frame.to_arrow().cast(schema)) if frame.height else None


@contextlib.contextmanager
def _csv(out: BinaryIO, first: pl.DataFrame) -> Iterator[Callable[[pl.DataFrame], object]]:
    first.clear().write_csv(out)
    yield lambda frame: _without_formulas(frame).write_csv(out, include_header=False)


def _without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with a ' before each text that a spreadsheet would compute: it may come from a client."""
    import polars as pl
    from polars import selectors

    text = selectors.string(include_categorical=True).cast(pl.String)
    return frame.with_columns(text.str.replace(_FORMULA, "'${0}"))


@contextlib.contextmanager
def _json_lines(out: BinaryIO, _first: pl.DataFrame) -> Iterator[Callable[[pl.DataFrame], object]]:
    yield lambda frame: out.write(json_lines(frame).encode())


def json_lines(frame: pl.DataFrame) -> str:
    """Return rows as JSON lines. Infinity and NaN are texts such as "inf": JSON has no such numbers, and null means a missing value."""
    text = frame.write_ndjson()
    odd = {column.name: rows for column in frame if (rows := _not_finite(column))}
    if not odd:
        return text
    lines = text.removesuffix("\n").split("\n")  # a text may hold other ends of lines, such as U+2028
    for row in sorted({row for rows in odd.values() for row in rows}):
        values = {name: finite(frame[name].slice(row, 1).to_list()[0]) for name, rows in odd.items() if row in rows}
        lines[row] = json.dumps(json.loads(lines[row]) | values, ensure_ascii=False, separators=(",", ":"))
    return "\n".join(lines) + "\n"


def _not_finite(column: pl.Series) -> set[int]:
    """Return the rows of a column of numbers, or of lists of them, that hold infinity or NaN."""
    flat = column
    while getattr(flat.dtype, "inner", None) is not None:
        flat = flat.explode()
    if not flat.dtype.is_float() or flat.is_finite().all():
        return set()
    if flat is column:
        return set(column.is_finite().not_().arg_true())
    return {row for row, value in enumerate(column.to_list()) if not_finite(value, "row")}


def _fits_parquet(kind: pl.DataType) -> bool:
    import polars as pl

    if isinstance(kind, pl.Struct):
        return bool(kind.fields) and all(_fits_parquet(field.dtype) for field in kind.fields)  # type: ignore[arg-type]  # a type, as those of a file
    inner = getattr(kind, "inner", None)
    return _fits_parquet(inner) if inner is not None else not isinstance(kind, pl.Object)


def _fits_csv(kind: pl.DataType) -> bool:
    import polars as pl

    return not (kind.is_nested() or isinstance(kind, pl.Binary | pl.Duration | pl.Object))


def _fits_json(kind: pl.DataType) -> bool:
    import polars as pl

    if isinstance(kind, pl.Struct):
        return all(_fits_json(field.dtype) for field in kind.fields)  # type: ignore[arg-type]  # a type, as those of a file
    inner = getattr(kind, "inner", None)
    return _fits_json(inner) if inner is not None else not isinstance(kind, pl.Binary | pl.Object)


_JSON = _Writer(_json_lines, _fits_json)
_WRITERS = {
    ".parquet": _Writer(_parquet, _fits_parquet),
    ".csv": _Writer(_csv, _fits_csv),
    ".jsonl": _JSON,
    ".ndjson": _JSON,
}
