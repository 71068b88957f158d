"""Dates, times and lengths of time as people and programs write them: the one place where a text becomes a moment.

What an event's or a label's time may be is `mlopsfw.capture.times`'; this module only keeps out what has no place in a calendar.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from mlopsfw.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = r"(\d+(?:\.\d+)?)\s*([smhdw])"
_LENGTH = re.compile(rf"(?:{_PART}\s*)+")

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
