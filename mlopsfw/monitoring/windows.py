"""Windows: captured predictions of a span of event time, with the labels that have come, one window for each model version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from mlopsfw import moments
from mlopsfw.capture.times import event_micros
from mlopsfw.contracts.monitoring import Window
from mlopsfw.errors import NotFound, UsageError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.project import Project

_DAY = timedelta(days=1)
_DURATION = re.compile(r"[1-9]\d{0,5}[mhdw]")


def duration(text: str) -> timedelta:
    """Return `15m`, `6h`, `7d` or `2w` as a span. Raise `UsageError`."""
    if _DURATION.fullmatch(text) is None:
        raise UsageError(f"{text!r} is not a span of time", hint="Write a number and m, h, d or w, such as 7d.")
    return moments.duration(text)


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
            f"there is no time zone {name!r}", hint="Write a name such as Europe/Berlin, or UTC."
        ) from None


def moment(text: str, zone: tzinfo = UTC) -> datetime:
    """Return an RFC 3339 stamp, or a date (its midnight in `zone`), as a moment. Raise `DataError`, also before 1678 and after 2261."""
    found = moments.instant(text).replace(tzinfo=zone) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text
    return datetime.fromtimestamp(event_micros(found) / 1e6, UTC).astimezone(zone)


def opening(first: datetime, every: timedelta, zone: tzinfo) -> datetime:
    """Return where windows that are to hold `first` begin: at midnight where they are of whole days."""
    local = first.astimezone(zone)
    return local if every % _DAY else local.replace(hour=0, minute=0, second=0, microsecond=0)


def later(start: datetime, every: timedelta, zone: tzinfo) -> datetime:
    """Return the moment `every` after `start`: whole days by the calendar of `zone`, all else by the clock."""
    if every % _DAY:
        return start.astimezone(UTC) + every
    return start.astimezone(zone) + every  # wall time: a day may have 23 or 25 hours


def span(project: Project, endpoint: str) -> tuple[datetime, datetime]:
    """Return the event times of the first and last captured prediction. Raise `NotFound` where there is none."""
    import polars as pl

    times = (
        project.captures.scan(endpoint)
        .select(low=pl.col("event_time").min(), high=pl.col("event_time").max())
        .collect()
    )
    low, high = times.row(0)
    if low is None:
        raise NotFound(
            f"the endpoint {endpoint!r} has captured no prediction",
            hint="`mlopsfw endpoints list` shows what is served.",
        )
    return low, high


def tiles(start: datetime, end: datetime, every: timedelta, zone: tzinfo = UTC) -> Iterator[tuple[datetime, datetime]]:
    """Yield the spans of length `every` that lie wholly within [start, end], in order."""
    end = end.astimezone(UTC)
    while (after := later(start, every, zone)).astimezone(UTC) <= end:
        yield start, after
        start = after


def windows(project: Project, endpoint: str, start: datetime, end: datetime) -> list[Window]:
    """Return the window [start, end) of each model version that answered in it, oldest version first."""
    rows = project.captures.scan(endpoint, start, end).collect()
    cut = rows.partition_by("model", "version", as_dict=True, include_key=True)
    made = []
    for (model, version), part in sorted(cut.items(), key=lambda item: item[0]):
        made.append(
            Window(
                endpoint=endpoint, model=model, version=version, start=stamp(start), end=stamp(end),
                rows=part.to_arrow(), labels=_labels(project, model, part),
            )
        )  # fmt: skip
    return made


def _labels(project: Project, model: str, rows: pl.DataFrame) -> pa.Table | None:
    known = project.labels.scan(model).select("prediction_id", "label", "label_time")
    joined = known.join(rows.lazy().select("prediction_id"), on="prediction_id", how="semi").collect()
    return joined.to_arrow() if joined.height else None
