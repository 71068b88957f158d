"""The built-in step `features`: row-wise preparation of a table, before anything is learned from it.

What a model makes of its inputs by itself is its feature plan; this step is for what should be a column of the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlopsfw.errors import DataError
from mlopsfw.ids import nearest
from mlopsfw.pipeline.step import BuiltinStep, StepContext

if TYPE_CHECKING:
    import polars as pl

ColumnKind = Literal["number", "integer", "boolean", "string", "date", "datetime"]
Part = Literal["minute", "hour", "weekday", "day", "month", "year"]


class FeaturesParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.features]`, done in this order.

    Args:
        rename: Old name → new name.
        types: Column → type it is turned into; a value that cannot be is an error.
        parts: Date or datetime column → parts of it that become columns, named `column_part`: `minute` (of the day), `hour`,
            `weekday` (1 for Monday), `day`, `month`, `year`.
        zone: The time zone in which parts are taken, such as `America/New_York`; UTC where it is empty.
        drop_missing: Rows without a value in any of these are dropped.
        keep: Columns to keep, in this order; all where it is empty.
        drop: Columns to drop.
    """

    rename: dict[str, str] = {}
    types: dict[str, ColumnKind] = {}
    parts: dict[str, tuple[Part, ...]] = {}
    zone: str = ""
    drop_missing: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


def _run(context: StepContext, params: FeaturesParams) -> Mapping[str, Any]:
    import polars as pl

    rows: pl.DataFrame = context.load("rows", pl.DataFrame)
    made = features(rows, params)
    context.log(f"{made.height:,} of {rows.height:,} rows, {made.width} columns: {', '.join(made.columns)}")
    return {"rows": made}


def features(rows: pl.DataFrame, params: FeaturesParams) -> pl.DataFrame:
    """Return `rows` prepared. Raise `DataError` where a column is missing or a value cannot be turned into its type."""
    _need(rows, params.rename)
    rows = rows.rename(params.rename)
    _need(rows, [*params.types, *params.parts, *params.drop_missing])
    rows = rows.with_columns(_typed(rows, name, kind) for name, kind in params.types.items())
    rows = rows.with_columns(
        _part(rows, name, part, params.zone) for name, parts in params.parts.items() for part in parts
    )
    if params.drop_missing:
        rows = rows.drop_nulls(params.drop_missing)
    _need(rows, [*params.keep, *params.drop])
    return (rows.select(params.keep) if params.keep else rows).drop(params.drop)


def _need(rows: pl.DataFrame, names: Iterable[str]) -> None:
    for name in names:
        if name not in rows.columns:
            raise DataError(f"the rows have no column {name!r}", hint=nearest(name, rows.columns))


def _typed(rows: pl.DataFrame, name: str, kind: ColumnKind) -> pl.Series:
    import polars as pl

    dtypes: dict[str, Any] = {
        "number": pl.Float64, "integer": pl.Int64, "boolean": pl.Boolean, "string": pl.String, "date": pl.Date,
        "datetime": pl.Datetime("us", "UTC"),
    }  # fmt: skip
    series = rows[name]
    try:
        if series.dtype == pl.String and kind == "date":
            return series.str.to_date("%Y-%m-%d")
        if series.dtype == pl.String and kind == "datetime":
            return series.str.to_datetime(time_unit="us", time_zone="UTC")
        return series.cast(dtypes[kind])
    except pl.exceptions.PolarsError as error:
        raise DataError(f"column {name!r} ({series.dtype}) cannot become {kind}: {error}") from None


def _part(rows: pl.DataFrame, name: str, part: Part, zone: str) -> pl.Expr:
    import polars as pl

    dtype = rows.schema[name]
    if not isinstance(dtype, pl.Datetime) and (dtype != pl.Date or part in ("minute", "hour")):
        raise DataError(f"column {name!r} is {dtype} and has no {part}", hint="Give its type in `types`.")
    time = pl.col(name)
    if isinstance(dtype, pl.Datetime) and zone:
        aware = time if dtype.time_zone else time.dt.replace_time_zone("UTC")
        time = aware.dt.convert_time_zone(zone)
    found = {
        "minute": lambda: time.dt.hour().cast(pl.Int64) * 60 + time.dt.minute(),
        "hour": time.dt.hour,
        "weekday": time.dt.weekday,
        "day": time.dt.day,
        "month": time.dt.month,
        "year": time.dt.year,
    }[part]()
    return found.cast(pl.Int64).alias(f"{name}_{part}")


STEP = BuiltinStep(
    name="features",
    run=_run,
    params=FeaturesParams,
    inputs=("rows",),
    outputs=("rows",),
    summary="Rename, retype, split dates, drop and select columns",
)
