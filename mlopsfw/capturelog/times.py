"""When something happened: RFC 3339 with a zone in, microseconds of UTC out, and how far from now that may be.

Every event time, label time and bound of a window comes through here, so that none enters that a monitor cannot place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.spans import duration, in_zone, instant

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import CaptureConfig

# An offset without its colon is ISO 8601's: so do Polars and others write CSV, and it leaves no doubt.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:?\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

EARLIEST = (datetime(1678, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
LATEST = (datetime(2262, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""What happens, happens from `EARLIEST` to before `LATEST`: the years that 64 bits of nanoseconds hold, as most readers have it."""


def micros(stamp: str | datetime) -> int:
    """Return `stamp` as microseconds since the epoch, UTC.

    Raises:
        DataError: It is not RFC 3339, carries no zone (which moment it means would be a guess), or is in no year from 1 to 9999 in UTC.
    """
    moment = stamp if isinstance(stamp, datetime) else _parse(stamp)
    if moment.tzinfo is None:
        raise DataError(f"the time {moment.isoformat()} has no zone", hint="Write it in UTC, or with its offset.")
    return (in_zone(moment) - _EPOCH) // _MICROSECOND


def event_micros(stamp: str | datetime) -> int:
    """Return when an event was, as `micros` does. Raise `DataError` also where that is before 1678 or after 2261."""
    epoch_micros = micros(stamp)
    if not EARLIEST <= epoch_micros < LATEST:
        raise DataError(f"the time {stamp} is outside the years 1678 to 2261", hint="Correct the year.")
    return epoch_micros


@dataclass(frozen=True)
class Bounds:
    """How far from the clock's time an event time or a label time may lie when it enters.

    Args:
        age: How long ago it may be.
        lead: How far ahead it may be: a client's clock or zone may be wrong by hours.
    """

    age: timedelta = timedelta(days=36_500)
    lead: timedelta = timedelta(days=1)

    @classmethod
    def of(cls, config: CaptureConfig) -> Bounds:
        """Return the bounds that `[capture]` sets. Raise `UsageError` where a length of time there cannot be read."""
        return cls(duration(config.max_event_age), duration(config.max_event_lead))

    def micros(self, stamp: str | datetime, now: int) -> int:
        """Return `stamp` as microseconds since the epoch, UTC.

        Args:
            stamp: RFC 3339 with a zone, or an aware `datetime`.
            now: The clock's time, in microseconds since the epoch.

        Raises:
            DataError: It cannot be read, or lies outside the bounds.
        """
        epoch_micros = event_micros(stamp)
        if epoch_micros > now + self.lead // _MICROSECOND:
            raise DataError(
                f"the time {stamp} is more than {_said(self.lead)} ahead of the clock ({_shown(now)})",
                hint="Correct it, or raise [capture] max_event_lead.",
            )
        if epoch_micros < now - self.age // _MICROSECOND:
            raise DataError(
                f"the time {stamp} is more than {_said(self.age)} before the clock ({_shown(now)})",
                hint="Correct it, or raise [capture] max_event_age.",
            )
        return epoch_micros


def now_micros(seconds: float) -> int:
    """Return a clock's seconds since the epoch as microseconds."""
    return int(seconds * 1_000_000)


def _parse(stamp: str) -> datetime:
    if _RFC3339.fullmatch(stamp):
        return instant(stamp.upper())
    excerpt = stamp if len(stamp) <= 40 else f"{stamp[:40]}…"  # noqa: PLR2004 - enough to recognise it
    raise DataError(
        f"{excerpt!r} is not a time with a zone",
        hint="Write RFC 3339, such as 2013-04-01T06:30:00Z or …T06:30:00-05:00.",
    )


def _said(length: timedelta) -> str:
    return f"{length.days:,} days" if length >= timedelta(days=2) else f"{length / timedelta(hours=1):g} hours"


def _shown(now: int) -> str:
    return (_EPOCH + now * _MICROSECOND).isoformat(timespec="seconds")
