"""Dates and times in columns: texts of a configuration as literals of a column's type, and values outside the calendar."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.spans import in_zone, instant

if TYPE_CHECKING:
    import polars as pl

_EPOCH = date(1970, 1, 1)
_UNITS = {"d": timedelta(days=1), "ms": timedelta(milliseconds=1), "us": timedelta(microseconds=1)}
_DAYS = (date.min - _EPOCH).days, (date.max - _EPOCH).days + 1
"""The days of the years 1 to 9999, the last one not in it, counted from 1970."""


def outside_calendar(name: str, kind: Any) -> pl.Expr | None:
    """Return which values of a Polars column lie outside the years 1 to 9999, which Python needs; None if the type excludes them.

    Args:
        name: The column.
        kind: Its type. Nanoseconds reach from 1677 to 2262.
    """
    import polars as pl

    unit = "d" if kind == pl.Date else getattr(kind, "time_unit", "ns") if kind == pl.Datetime else "ns"
    if unit == "ns":
        return None
    first, end = (days * (timedelta(days=1) // _UNITS[unit]) for days in _DAYS)
    return ~pl.col(name).to_physical().cast(pl.Int64).is_between(first, end, closed="left")


def check_calendar(rows: pl.LazyFrame, subject: str) -> None:
    """Raise `DataError` if a date or time of `rows` lies outside the years 1 to 9999: a Parquet file may hold year 0 or 29349."""
    strays = {
        name: stray
        for name, kind in rows.collect_schema().items()
        if (stray := outside_calendar(name, kind)) is not None
    }
    if not strays:
        return
    strays_by_column = rows.select(stray.any().alias(name) for name, stray in strays.items()).collect(
        engine="streaming"
    )
    for name, has_stray in strays_by_column.row(0, named=True).items():
        if has_stray:
            raise DataError(
                f"{subject}: column {name!r} holds a date or time outside the years 1 to 9999",
                hint="Correct it, or write null if it means a missing value.",
            )


def instant_literal(text: str, kind: Any) -> pl.Expr:
    """Return `text` (ISO 8601) as a literal for a date or datetime column of Polars type `kind`.

    Without an offset it is in the column's zone; a date means its first moment.

    Raises:
        UsageError: It is no date or time, or has an offset although the column has no zone.
    """
    import polars as pl

    zone = getattr(kind, "time_zone", None)
    try:
        moment = instant(text)
        if moment.tzinfo and not zone:
            raise UsageError(f"{text!r} has an offset, but the column has no zone", hint="Omit the offset.")
        if zone:
            moment = in_zone(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)), ZoneInfo(zone))
    except DataError as error:
        raise UsageError(error.message, hint=error.hint) from None
    return pl.lit(moment)
