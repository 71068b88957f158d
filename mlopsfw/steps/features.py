"""The built-in step `features`: row-wise preparation of a table, before anything is learned from it.

Nothing is computed here: what a model computes of a row is `derive` of the step `train`, and so runs where the model is served.
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


class FeaturesParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.features]`, done in this order.

    Args:
        rename: Old name → new name.
        types: Column → type it is turned into; a value that cannot be is an error.
        drop_missing: Rows without a value in any of these are dropped.
        keep: Columns to keep, in this order; all where it is empty.
        drop: Columns to drop.
    """

    rename: dict[str, str] = {}
    types: dict[str, ColumnKind] = {}
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
    _need(rows, [*params.types, *params.drop_missing])
    rows = rows.with_columns(_typed(rows, name, kind) for name, kind in params.types.items())
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


STEP = BuiltinStep(
    name="features",
    run=_run,
    params=FeaturesParams,
    inputs=("rows",),
    outputs=("rows",),
    summary="Rename, retype, drop and select columns",
)
