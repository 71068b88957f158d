"""Files as a lazy frame, read as `data add` reads them: again at each collection, and only in the columns that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING

from mlopsfw.data.intake.type_inference import Guesses
from mlopsfw.data.tables.columns import fit, stored_schema
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.data.intake.paths import SourceFile
    from mlopsfw.kernel.roles.reading import ReadOptions

Opened = Callable[[], AbstractContextManager[Sequence["SourceFile"]]]
"""Brings the files to hand for one reading."""


def scan_files(formats: Formats, opened: Opened, options: ReadOptions) -> pl.LazyFrame:
    """Return the rows of files with the same columns. They are read once for their types.

    Raises:
        DataError: A file cannot be read, or two have different columns.
        UsageError: An option is wrong.
    """
    from polars.io.plugins import register_io_source

    guesses = Guesses()

    def batches(columns: tuple[str, ...] = ()) -> Iterator[pa.RecordBatch]:
        with opened() as files, closing(formats.read(files, options, guesses, columns=columns)) as read:
            yield from _alike(read)

    def frames(
        names: list[str] | None, predicate: pl.Expr | None, rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        for batch in batches(tuple(names or ())):
            frame = _frame(batch)
            if rows is not None:
                frame, rows = frame.head(rows), rows - min(rows, len(frame))
            yield frame if predicate is None else frame.filter(predicate)
            if rows == 0:
                return

    first = guesses.retry(lambda: _first(batches()))
    return register_io_source(frames, schema=_frame(first).schema)


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    """Return a batch as a frame, in the types in which a dataset stores them."""
    import polars as pl

    return pl.DataFrame(fit(batch, stored_schema(batch.schema), "the file"))


def _first(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch:
    """Return the first batch, once all are read."""
    first = next(batches)
    for _ in batches:
        pass
    return first


def _alike(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    schema = None
    for batch in batches:
        schema = schema or batch.schema
        if not batch.schema.equals(schema):
            was, now = (", ".join(f"{field.name} {field.type}" for field in each) for each in (schema, batch.schema))
            raise DataError(f"the files do not form one table: they have the columns {was}, and {now}")
        yield batch
