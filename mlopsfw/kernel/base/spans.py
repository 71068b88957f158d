"""Dates, times and lengths of time as people and programs write them: the one place where a text becomes a moment.

What the time of an event or a label may be says `mlopsfw.capturelog.times`; here the calendar is the only limit.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from mlopsfw.kernel.base.errors import DataError, UsageError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = r"(\d+(?:\.\d+)?)\s*([smhdw])"
_LENGTH = re.compile(rf"(?:{_PART}\s*)+")
LONGEST = timedelta(days=73_050)
"""The greatest length of time, 200 years: no sum of it and a time of our day leaves the calendar."""


def instant(text: str) -> datetime:
    """Return an ISO 8601 text as a date and time, aware where it has an offset; a date is its first moment.

    Raise `DataError`.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        shown = repr(text if len(text) <= 40 else f"{text[:40]}…")  # noqa: PLR2004 - enough to recognise it
        why = "" if "isoformat" in str(error) else f": {error}"  # such as: day is out of range for month
        raise DataError(
            f"{shown} is not a date or time{why}", hint="Write 2013-03-01 or 2013-03-01T05:00:00Z."
        ) from None


def in_zone(moment: datetime, zone: tzinfo = UTC) -> datetime:
    """Return an aware `moment` as the clocks of `zone` show it.

    Raise `DataError` where the year is then not 1 to 9999.
    """
    try:
        return moment.astimezone(UTC).astimezone(zone)
    except OverflowError:
        raise DataError(
            f"the time {moment.isoformat()} is outside the years 1 to 9999 in {zone}", hint="Correct the year."
        ) from None


def duration(text: str) -> timedelta:
    """Return a length of time such as `90s`, `15m`, `2h`, `1d 12h` or `1w`. Raise `UsageError`, also past `LONGEST`."""
    if _LENGTH.fullmatch(text.strip()) is None:
        raise UsageError(f"{text!r} is not a length of time", hint="Write 90s, 15m, 2h, 1d 12h or 1w.")
    try:
        length = sum((timedelta(**{_UNITS[unit]: float(n)}) for n, unit in re.findall(_PART, text)), timedelta(0))
    except OverflowError:
        length = timedelta.max
    if length > LONGEST:
        raise UsageError(f"{text!r} is longer than 200 years", hint=f"The longest is {LONGEST.days}d.")
    return length
