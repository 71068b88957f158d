"""The flights of New York, 2013: what is known before departure, and whether the flight arrived late."""

from __future__ import annotations

import polars as pl

LATE_MINUTES = 15
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


def labelled(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose outcome is known."""
    return rows.drop_nulls("late")
