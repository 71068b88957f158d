"""Where windows begin and end: parse and format their bounds, and compute windows of one length in one time zone.

Pure: `mlopsfw.monitoring.windows` reads the predictions, `mlopsfw.kernel.base.spans` parses lengths of time.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from mlopsfw.capturelog.times import event_micros
from mlopsfw.kernel.base import spans
from mlopsfw.kernel.base.errors import UsageError

_DAY = timedelta(days=1)


def check_length(every: timedelta) -> timedelta:
    """Return the length of a window. Raise `UsageError` unless it is positive."""
    if every <= timedelta(0):
        raise UsageError("a window must be longer than 0 seconds", hint="Write a length such as 6h, 7d or 1d 12h.")
    return every


def stamp(moment: datetime) -> str:
    """Return a moment as reports write it: RFC 3339 in UTC, with its fraction of a second, so that it selects the same rows again."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def time_zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name, such as `America/New_York`. Raise `UsageError`."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found; not a name; a folder of names
        raise UsageError(
            f"there is no time zone {name!r}", hint="Write UTC, or a name such as Europe/Berlin."
        ) from None


def moment(text: str, zone: tzinfo = UTC) -> datetime:
    """Return an RFC 3339 stamp, or a date (its midnight in `zone`), as a moment. Raise `DataError` if it is neither, or lies before 1678 or after 2261."""
    is_date = re.fullmatch(r"\d{4}-\d\d-\d\d", text)
    micros = event_micros(spans.instant(text).replace(tzinfo=zone) if is_date else text)
    return datetime.fromtimestamp(micros / 1e6, UTC).astimezone(zone)


def opening(first: datetime, zone: tzinfo) -> datetime:
    """Return the start of windows whose first one holds `first`: midnight, whatever their length."""
    return first.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


def later(start: datetime, every: timedelta, zone: tzinfo) -> datetime:
    """Return the moment `every` after `start`: whole days by the calendar of `zone`, other lengths by the clock."""
    if every % _DAY:
        return start.astimezone(UTC) + every
    return start.astimezone(zone) + every  # wall time: a day may have 23 or 25 hours


def holding(moment: datetime, start: datetime, every: timedelta, zone: tzinfo) -> datetime:
    """Return the start of the window that holds `moment`, where windows of length `every` follow each other from `start`."""
    if every % _DAY:
        return start.astimezone(UTC) + max((moment - start) // every, 0) * every
    local, wall = start.astimezone(zone), moment.astimezone(zone).replace(tzinfo=None)
    return local + max((wall - local.replace(tzinfo=None)) // every, 0) * every


def tiles(
    minutes: Sequence[datetime], start: datetime, end: datetime, *, every: timedelta, zone: tzinfo = UTC
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the spans of length `every` that lie wholly within [start, end] and hold one of the sorted `minutes`, in order."""
    place, last = 0, end.astimezone(UTC)
    while (place := bisect_left(minutes, start.astimezone(UTC).replace(second=0, microsecond=0), place)) < len(minutes):
        start = holding(max(minutes[place], start), start, every, zone)
        after = later(start, every, zone)
        if after.astimezone(UTC) > last:
            return
        yield start, after
        start = after
