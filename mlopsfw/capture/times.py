"""Time stamps of requests and tables: RFC 3339 with a zone in, microseconds of UTC out. What has no zone is refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mlopsfw.errors import DataError

# An offset without its colon is ISO 8601's: so do Polars and others write CSV, and it leaves no doubt.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:?\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(stamp: str | datetime) -> int:
    """Return `stamp` as microseconds since the epoch, UTC.

    Raises:
        DataError: It is not RFC 3339, or carries no zone: which moment it means would be a guess.
    """
    moment = stamp if isinstance(stamp, datetime) else _parse(stamp)
    if moment.tzinfo is None:
        raise DataError(f"the time {moment.isoformat()} carries no zone", hint="Write it in UTC, or with its offset.")
    return (moment - _EPOCH) // _MICROSECOND


def _parse(stamp: str) -> datetime:
    try:
        if _RFC3339.fullmatch(stamp):
            return datetime.fromisoformat(stamp.upper())
    except ValueError:
        pass  # such as month 13: the same complaint as for any other text
    shown = stamp if len(stamp) <= 40 else f"{stamp[:40]}…"  # noqa: PLR2004 - enough to recognise it
    raise DataError(
        f"{shown!r} is not a time with a zone", hint="Write RFC 3339, such as 2013-04-01T06:30:00Z or …T06:30:00-05:00."
    )


def now_micros(seconds: float) -> int:
    """Return a clock's seconds since the epoch as microseconds."""
    return int(seconds * 1_000_000)
