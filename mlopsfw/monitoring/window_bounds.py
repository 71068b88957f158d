"""Where windows begin and end: the texts that say so, and the arithmetic of windows of one length in one time zone.

Pure: what was captured is `mlopsfw.monitoring.windows`', what a length of time may be `mlopsfw.kernel.base.spans`'.
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
    """Return the length of a window. Raise `UsageError` unless it is longer than nothing."""
    if every <= timedelta(0):
        raise UsageError("a window must be longer than 0 seconds", hint="Write a length such as 6h, 7d or 1d 12h.")
    return every


def stamp(moment: datetime) -> str:
    """Return a moment as reports carry it: RFC 3339, UTC, with what it has below a second, so that it names the same rows again."""
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
    """Return an RFC 3339 stamp, or a date (its midnight in `zone`), as a moment. Raise `DataError`, also before 1678 and after 2261."""
    is_date = re.fullmatch(r"\d{4}-\d\d-\d\d", text)
    micros = event_micros(spans.instant(text).replace(tzinfo=zone) if is_date else text)
    return datetime.fromtimestamp(micros / 1e6, UTC).astimezone(zone)


def opening(first: datetime, zone: tzinfo) -> datetime:
    """Return where windows that are to hold `first` begin: at midnight, whatever their length."""
    return first.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


def later(start: datetime, every: timedelta, zone: tzinfo) -> datetime:
    """Return the moment `every` after `start`: whole days by the calendar of `zone`, all else by the clock."""
    if every % _DAY:
        return start.astimezone(UTC) + every
    return start.astimezone(zone) + every  # wall time: a day may have 23 or 25 hours


def holding(moment: datetime, start: datetime, every: timedelta, zone: tzinfo) -> datetime:
    """Return where the window that holds `moment` begins, of those of length `every` that follow each other from `start`."""
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
