"""The bikes of Washington, 2011: what is known at the beginning of an hour, and how many were rented in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

NUMBERS = ["temp", "hum", "windspeed"]
CATEGORIES = ["time_of_day", "weekday", "weathersit", "workingday"]


def hours(rentals: pl.LazyFrame) -> pl.LazyFrame:
    """Return an hour in each row. What members and guests rented apart is left out: their sum is the label."""
    hour = pl.col("hr").cast(pl.Int64)
    start = pl.datetime(2011, 1, 1) + pl.duration(days=pl.col("day").cast(pl.Int64) - 1, hours=hour)
    return rentals.select(
        hour=start,
        date=start.dt.date(),
        time_of_day=hour.cast(pl.String),
        clock=hour.cast(pl.Float64),
        weekday=pl.col("weekday").cast(pl.String),
        workingday=pl.col("workingday").cast(pl.Int64) == 1,
        weathersit="weathersit",
        temp=pl.col("temp").cast(pl.Float64),
        hum=pl.col("hum").cast(pl.Float64),
        windspeed=pl.col("windspeed").cast(pl.Float64),
        bikers=pl.col("bikers").cast(pl.Float64),
    ).sort("hour")


def line() -> Pipeline:
    """Return a ridge regression of numbers and categories."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    categories = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("numbers", StandardScaler(), NUMBERS), ("categories", categories, CATEGORIES)])
    return make_pipeline(columns, Ridge())
