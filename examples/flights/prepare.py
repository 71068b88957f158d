"""The flights of New York, 2013: what is known before departure, and whether the flight arrived late."""

from __future__ import annotations

import polars as pl

LATE_MINUTES = 15
LONGEST = 180  # minutes: one very late flight is not to hide how the others do
STEP = "15m"
HOME = "America/New_York"


def known_before_departure(flights: pl.LazyFrame, start: str, end: str) -> pl.DataFrame:
    """Return the flights scheduled in [start, end) (local dates), one row each, in order of departure.

    Nothing in a row is known only after departure but the label. A flight that was cancelled or diverted has no arrival, so no label.
    """
    first, last = (pl.lit(day).str.to_datetime().dt.replace_time_zone(HOME) for day in (start, end))
    return (
        flights.with_columns(scheduled=scheduled_departure())
        .filter(pl.col("scheduled") >= first, pl.col("scheduled") < last)
        .sort("scheduled", "carrier", "flight", "origin")
        .select(
            flight_id=flight_id(),
            scheduled=pl.col("scheduled").dt.convert_time_zone("UTC"),
            day=pl.col("scheduled").dt.date(),
            weekday=pl.col("scheduled").dt.weekday().cast(pl.Int64),
            departs=minute_of_day("sched_dep_time"),
            arrives=minute_of_day("sched_arr_time"),
            carrier="carrier",
            origin="origin",
            dest="dest",
            tailnum="tailnum",
            distance=pl.col("distance").cast(pl.Float64),
            late=(pl.col("arr_delay") > LATE_MINUTES),
        )
        .collect()
    )


def observed(weather: pl.LazyFrame) -> pl.LazyFrame:
    """Return the weather by hour and airport; a missing reading is filled with the instrument's last one."""
    filled = pl.col("precip", "visib", "wind_speed", "humid").forward_fill().over("origin", order_by="time_hour")
    return weather.with_columns(filled)


def departures(flights: pl.LazyFrame) -> dict[str, pl.DataFrame]:
    """Return what was known at each quarter of an hour (`at`) about the flights that had left by then.

    `airports` has the mean delay of the last hour and how many flights are `waiting`: due in the last three hours and not gone. `carriers` has
    the mean delay of the last two hours by airport and carrier. `planes` has, for each departure of a plane, its delay and when it can be back.
    """
    due = flights.select(
        "carrier", "origin", "tailnum", delay="dep_delay", distance="distance", scheduled=scheduled_departure()
    ).with_columns(pl.col("scheduled").dt.convert_time_zone("UTC"))
    due = due.with_columns(at=pl.col("scheduled") + pl.duration(minutes="delay")).collect()
    gone = due.drop_nulls("at").sort("at")
    airports = mean_delay(gone, "1h", "origin", name="airport_delay")
    airports = airports.join_asof(waiting(due), on="at", by="origin", check_sortedness=False)
    carriers = mean_delay(gone, "2h", "origin", "carrier", name="carrier_delay")
    return {"airports": airports, "carriers": carriers, "planes": returns(gone)}


def mean_delay(gone: pl.DataFrame, period: str, *by: str, name: str) -> pl.DataFrame:
    """Return the mean delay, in minutes, of the flights that left in the `period` before each quarter of an hour."""
    windows = gone.group_by_dynamic("at", every=STEP, period=period, group_by=by, label="right", closed="left")
    return windows.agg(pl.col("delay").clip(upper_bound=LONGEST).mean().alias(name))


def waiting(due: pl.DataFrame) -> pl.DataFrame:
    """Return how many flights wait at each airport whenever that changes. Whether a flight was cancelled is not known: it waits three hours."""
    until = pl.min_horizontal("at", pl.col("scheduled").dt.offset_by("3h"))
    come = due.select("origin", at="scheduled", waiting=1)
    leave = due.select("origin", at=pl.max_horizontal(until, "scheduled"), waiting=-1)
    changes = pl.concat([come, leave]).group_by("origin", "at").agg(pl.col("waiting").sum()).sort("at")
    return changes.with_columns(pl.col("waiting").cum_sum().over("origin").cast(pl.Float64))


def returns(gone: pl.DataFrame) -> pl.DataFrame:
    """Return each departure of a plane, with when it can leave again: there and back at 450 miles an hour, and two hours on the ground."""
    minutes = 2 * pl.col("distance") / 450 * 60 + 120
    back = pl.col("at") + pl.duration(minutes=minutes.cast(pl.Int64))
    return gone.drop_nulls("tailnum").select("tailnum", "at", plane_delay=pl.col("delay").cast(pl.Float64), back=back)


def with_spare_time(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the minutes that their plane has to spare after its last flight; below 0, it is not expected in time."""
    spare = (pl.col("scheduled") - pl.col("back")).dt.total_minutes().cast(pl.Float64)
    return rows.with_columns(spare=spare).drop("back")


def scheduled_departure() -> pl.Expr:
    """Return the scheduled departure in local time."""
    return pl.datetime("year", "month", "day", "hour", "minute", time_zone=HOME)


def flight_id() -> pl.Expr:
    """Return what names one flight: date, carrier, number, origin and destination, scheduled minute."""
    return pl.format(
        "{}-{}-{}-{}-{}-{}-{}",
        *(pl.col(c) for c in ("month", "day", "carrier", "flight", "origin", "dest", "sched_dep_time")),
    )


def minute_of_day(column: str) -> pl.Expr:
    """Return minutes since midnight of a clock time written as HHMM."""
    time = pl.col(column).cast(pl.Int64)
    return (time // 100 * 60 + time % 100).cast(pl.Float64)
