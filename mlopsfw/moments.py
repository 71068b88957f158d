"""Dates, times and lengths of time as people and programs write them: the one place where a text becomes a moment.

What an event's or a label's time may be is `mlopsfw.capture.times`'; this module only keeps out what has no place in a calendar.
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from mlopsfw.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = r"(\d+(?:\.\d+)?)\s*([smhdw])"
_LENGTH = re.compile(rf"(?:{_PART}\s*)+")

_EPOCH, _FIRST, _LAST = datetime(1970, 1, 1), datetime(MINYEAR, 1, 1), datetime(MAXYEAR, 12, 31, 23, 59, 59, 999_999)  # noqa: DTZ001 - what a column counts from

LONGEST = timedelta(days=73_050)
"""The greatest length of time that anything takes, 200 years: no sum of it and a time of our day leaves the calendar."""


def instant(text: str) -> datetime:
    """Return an ISO 8601 text as a date and time, aware where it has an offset; a date is its first moment. Raise `DataError`."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        shown = text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004 - enough to recognise it
        raise DataError(f"{shown!r} is no date or time", hint="Write 2013-03-01 or 2013-03-01T05:00:00Z.") from None


def in_zone(moment: datetime, zone: tzinfo = UTC) -> datetime:
    """Return an aware `moment` as the clocks of `zone` show it. Raise `DataError` where the year is then not 1 to 9999."""
    try:
        return moment.astimezone(UTC).astimezone(zone)
    except OverflowError:
        raise DataError(
            f"the time {moment.isoformat()} is outside the years 1 to 9999 in {zone}", hint="Correct the year."
        ) from None


def calendar(unit: str) -> tuple[int, int]:
    """Return the first and last moment of the years 1 to 9999, counted from 1970 in `d`, `s`, `ms` or `us`."""
    scale = {
        "d": timedelta(days=1),
        "s": timedelta(seconds=1),
        "ms": timedelta(milliseconds=1),
        "us": timedelta(microseconds=1),
    }[unit]
    return (_FIRST - _EPOCH) // scale, (_LAST - _EPOCH) // scale


def outside_calendar(name: str, kind: Any) -> pl.Expr | None:
    """Return which values of a Polars column have no year from 1 to 9999, so that Python cannot hold them; None where any value has.

    Args:
        name: The column.
        kind: Its type. Nanoseconds reach from 1677 to 2262.
    """
    import polars as pl

    unit = "d" if kind == pl.Date else getattr(kind, "time_unit", "ns") if kind == pl.Datetime else "ns"
    return None if unit == "ns" else ~pl.col(name).to_physical().cast(pl.Int64).is_between(*calendar(unit))


def check_calendar(rows: pl.LazyFrame, subject: str) -> None:
    """Raise `DataError` where a date or time of `rows` has no year from 1 to 9999: a Parquet file may hold year 0 or 29349."""
    strays = {
        name: stray
        for name, kind in rows.collect_schema().items()
        if (stray := outside_calendar(name, kind)) is not None
    }
    if not strays:
        return
    found = rows.select(stray.any().alias(name) for name, stray in strays.items()).collect(engine="streaming")
    for name, there in found.row(0, named=True).items():
        if there:
            raise DataError(
                f"{subject}: column {name!r} holds a date or time outside the years 1 to 9999",
                hint="Correct it, or make it null where it stands for none.",
            )


def moment(text: str, kind: Any) -> pl.Expr:
    """Return `text` (ISO 8601) as a literal for a date or datetime column of Polars type `kind`.

    Without an offset it is meant in the column's zone; a date is its first moment.

    Raises:
        UsageError: It is no date or time, or has an offset where the column has no zone.
    """
    import polars as pl

    zone = getattr(kind, "time_zone", None)
    try:
        found = instant(text)
        if found.tzinfo and not zone:
            raise UsageError(f"{text!r} has an offset, but the column has no zone", hint="Leave the offset out.")
        if zone:
            found = in_zone(found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone)), ZoneInfo(zone))
    except DataError as error:
        raise UsageError(error.message, hint=error.hint) from None
    return pl.lit(found)


def duration(text: str) -> timedelta:
    """Return a length of time such as `90s`, `15m`, `2h`, `1d 12h` or `1w`. Raise `UsageError`, also past `LONGEST`."""
    if _LENGTH.fullmatch(text.strip()) is None:
        raise UsageError(f"{text!r} is no length of time", hint="Write 90s, 15m, 2h, 1d 12h or 1w.")
    try:
        length = sum((timedelta(**{_UNITS[unit]: float(n)}) for n, unit in re.findall(_PART, text)), timedelta(0))
    except OverflowError:
        length = timedelta.max
    if length > LONGEST:
        raise UsageError(f"{text!r} is longer than 200 years", hint=f"The longest is {LONGEST.days}d.")
    return length
