"""The watermark of incremental loads: the greatest committed value, recorded in the version's event, and the rows above it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from mlopsfw.data.tables.calendar import check_calendar
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.datasets.versions import DatasetVersion


def check_type(schema: pa.Schema, column: str) -> None:
    """Raise `DataError` for a column that cannot be a watermark: texts may be personal values, which no event may hold."""
    import pyarrow.types as t

    kind = schema.field(column).type
    if not (t.is_integer(kind) or t.is_floating(kind) or t.is_date(kind) or t.is_timestamp(kind)):
        raise DataError(
            f"column {column!r} is {kind}, which cannot be a watermark", hint="Use a number, a date or a time."
        )


def greatest(base: DatasetVersion | None, rows: pl.LazyFrame | None, column: str) -> Any:
    """Return the greatest value of a version, from its event or else from `rows`. None if there is none."""
    if base is None or rows is None:
        return None
    previous = base.watermark
    if previous.get("column") == column:
        return _parsed(previous["value"], previous["type"])
    check_calendar(rows.select(column), base.ref)
    return rows.select(column).max().collect(engine="streaming").item()


def kept(column: str, value: Any) -> dict[str, Any]:
    """Return the value as a version's event holds it."""
    if value is None:
        return {}
    text = value.isoformat() if isinstance(value, dt.date) else value
    return {"column": column, "value": text, "type": type(value).__name__}


def _parsed(value: Any, kind: str) -> Any:
    if kind == "datetime":
        return dt.datetime.fromisoformat(value)
    return dt.date.fromisoformat(value) if kind == "date" else value


def bound(value: Any, lookback: float) -> Any:
    """Return the value above which rows are taken, or None for all: a lookback may reach before the calendar.

    A date goes back by whole days, rounded up from the seconds.
    """
    if value is None or not lookback:
        return value
    try:
        if isinstance(value, dt.datetime):
            return value - dt.timedelta(seconds=lookback)
        if isinstance(value, dt.date):
            return value - dt.timedelta(days=-(-lookback // 86_400))
    except OverflowError:
        return None
    return value - (int(lookback) if isinstance(value, int) and lookback == int(lookback) else lookback)


def above(batch: pa.RecordBatch, column: str, limit: Any) -> pa.RecordBatch:
    """Return the rows of `batch` above `limit` (all for None). Raise `DataError` if a row has no value to compare."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = batch.column(batch.schema.get_field_index(column))
    unknown = values.null_count
    if pa.types.is_floating(values.type):
        unknown += pc.sum(pc.is_nan(values)).as_py() or 0
    if unknown:
        raise DataError(
            f"{unknown} rows have no value in the watermark column {column!r}",
            hint="Correct the rows, or leave them out.",
        )
    if limit is None:
        return batch
    exact = pa.scalar(limit) if isinstance(limit, float) else pa.scalar(limit, values.type)
    return batch.filter(pc.greater(values, exact))


def greater(batch: pa.RecordBatch, column: str, value: Any) -> Any:
    """Return the greatest of `value` (None for none) and the column's values."""
    import pyarrow.compute as pc

    try:
        top = pc.max(batch.column(batch.schema.get_field_index(column))).as_py()
    except (ValueError, OverflowError):  # Python does not support its year
        raise DataError(
            f"the watermark {column!r} holds a date or time outside the years 1 to 9999",
            hint="Correct it, since no later row could be greater.",
        ) from None
    return value if top is None else top if value is None else max(value, top)
