"""Windows: captured predictions of a span of event time, with the labels that have come, one window for each model version.

A prediction whose event time is further from when it was answered than `[capture]` allows is set aside: it is in no window, and it never
decides where windows begin or end.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from mlopsfw.capturelog.times import EARLIEST, LATEST, Bounds, event_micros
from mlopsfw.kernel.base import spans
from mlopsfw.kernel.base.errors import NotFound, UsageError
from mlopsfw.kernel.roles.monitoring import Window

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.project.facade import Project
    from mlopsfw.serving.label_join import JoinedLabels

MOST_BEFORE = 1000
"""Windows begin at most so many of them before the median prediction, unless somebody says where."""

_DAY = timedelta(days=1)
_DURATION = re.compile(r"[1-9]\d{0,5}[mhdw]")


def duration(text: str) -> timedelta:
    """Return `15m`, `6h`, `7d` or `2w` as a span. Raise `UsageError`."""
    if _DURATION.fullmatch(text) is None:
        raise UsageError(f"{text!r} is not a span of time", hint="Write a number and m, h, d or w, such as 7d.")
    return spans.duration(text)


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
    found = spans.instant(text).replace(tzinfo=zone) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text
    return datetime.fromtimestamp(event_micros(found) / 1e6, UTC).astimezone(zone)


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


def events(project: Project, endpoint: str, start: datetime | None = None, end: datetime | None = None) -> pl.LazyFrame:
    """Return the predictions with event time in [start, end), without those that are set aside."""
    return project.captures.scan(endpoint, start, end).filter(_placed(project))


def set_aside(project: Project, endpoint: str) -> int:
    """Return how many predictions are in no window, since their event time is too far from when they were answered."""
    import polars as pl

    strays = project.captures.scan(endpoint).filter(~_placed(project))
    return int(strays.select(pl.len()).collect().item())


def aside_sentence(rows: int) -> str:
    """Return what to say of so many predictions that are set aside; nothing of none."""
    if not rows:
        return ""
    who = "One captured prediction is" if rows == 1 else f"{rows:,} captured predictions are"
    return f"{who} set aside: the event time is further from the moment of the answer than [capture] allows."


def _placed(project: Project) -> pl.Expr:
    import polars as pl

    bounds = Bounds.of(project.config.capture)
    event, answered = (pl.col(name).cast(pl.Int64) for name in ("event_time", "processed_time"))
    age, lead = (length // timedelta(microseconds=1) for length in (bounds.age, bounds.lead))
    return event.is_between(EARLIEST, LATEST, closed="left") & event.is_between(answered - age, answered + lead)


def span(project: Project, endpoint: str) -> tuple[datetime, datetime]:
    """Return the event times of the first and last captured prediction. Raise `NotFound` where there is none."""
    import polars as pl

    times = events(project, endpoint).select(low=pl.col("event_time").min(), high=pl.col("event_time").max()).collect()
    low, high = times.row(0)
    if low is None:
        raise NotFound(
            f"the endpoint {endpoint!r} has captured no prediction",
            hint="`mlopsfw endpoints list` shows what is served.",
        )
    return low, high


def beginning(project: Project, endpoint: str, every: timedelta, zone: tzinfo, now: datetime) -> datetime | None:
    """Return where the first of many windows begins; None where no prediction is as old as `now`.

    That is the day of the first prediction, whatever few rows say: of a hundred rows the earliest is passed over, and windows begin at most
    `MOST_BEFORE` of them before the median row.
    """
    import polars as pl

    time = pl.col("event_time")
    rows = events(project, endpoint).filter(time <= now)
    early, median = rows.select(early=time.quantile(0.01, "lower"), half=time.quantile(0.5, "lower")).collect().row(0)
    return None if early is None else opening(max(early, median - MOST_BEFORE * every), zone)


def occupied(
    project: Project, endpoint: str, start: datetime, end: datetime, *, every: timedelta, zone: tzinfo
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the spans of length `every` that lie wholly within [start, end] and hold a prediction, in order."""
    import polars as pl

    rows = events(project, endpoint, start, end).select(pl.col("event_time").dt.truncate("1m"))
    return tiles(rows.unique().collect().to_series().sort().to_list(), start, end, every=every, zone=zone)


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


def windows(
    project: Project, endpoint: str, start: datetime, end: datetime, *, look: int = 1, looks: int = 1
) -> list[Window]:
    """Return the window [start, end) of each model version that answered in it, oldest version first."""
    return [
        Window(
            endpoint=endpoint, model=model, version=version, start=stamp(start), end=stamp(end), rows=part.to_arrow(),
            labels=told.labels.to_arrow() if told.labels.height else None, labels_aside=told.aside, look=look, looks=looks,
        )
        for (model, version), part, told in by_version(project, endpoint, start, end)
    ]  # fmt: skip


def by_version(
    project: Project, endpoint: str, start: datetime, end: datetime, columns: Sequence[str] = ()
) -> Iterator[tuple[tuple[str, int], pl.DataFrame, JoinedLabels]]:
    """Yield each model version that answered in [start, end), oldest first, with its rows (all columns, or these) and their labels."""
    import polars as pl

    rows = events(project, endpoint, start, end)
    chosen = (rows.select("prediction_id", "model", "version", *columns) if columns else rows).collect()
    names = project.captures.names(endpoint, start, end).collect()
    cut = chosen.partition_by("model", "version", as_dict=True, include_key=True)
    for (model, version), part in sorted(cut.items(), key=lambda item: item[0]):
        asked = names.filter(pl.col("model") == model, pl.col("version") == version)
        asked = asked.join(part, on="prediction_id", how="semi")
        registered = project.registry.resolve(f"models:/{model}@{version}")
        yield (model, version), part, project.labels.of(endpoint, registered, asked)
