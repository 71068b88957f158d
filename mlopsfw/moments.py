"""Dates, times and lengths of time as people write them in a pipeline file or a contract."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from mlopsfw.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, kind: Any) -> pl.Expr:
    """Return `text` (ISO 8601) as a literal for a date or datetime column of Polars type `kind`.

    Without an offset it is meant in the column's zone; a date is its first moment.

    Raises:
        UsageError: It is no date or time, or has an offset where the column has no zone.
    """
    import polars as pl

    zone = getattr(kind, "time_zone", None)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date or time", hint="Write 2013-03-01 or 2013-03-01T05:00:00Z.") from None
    if found.tzinfo and not zone:
        raise UsageError(f"{text!r} has an offset, but the column has no zone", hint="Leave the offset out.")
    if zone:
        found = found.astimezone(ZoneInfo(zone)) if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))
    return pl.lit(found)


def duration(text: str) -> timedelta:
    """Return a length of time such as `90s`, `15m`, `2h`, `1d 12h` or `1w`. Raise `UsageError`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)(?![a-z])", text)
    if not parts or re.sub(r"[\d.smhdw\s]", "", text) or "".join(a + b for a, b in parts) != re.sub(r"\s", "", text):
        raise UsageError(f"{text!r} is no length of time", hint="Write 90s, 15m, 2h, 1d 12h or 1w.")
    return sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), timedelta(0))
