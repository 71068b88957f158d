"""The built-in step `features`: row-wise preparation of a table before training.

It computes nothing: features that a model computes from a row belong to `derive` of the step `train`, which also runs in serving.

"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.roles.host import Host

ColumnKind = Literal["number", "integer", "boolean", "string", "date", "datetime"]


class FeaturesParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.features]`. The options apply in this order.

    Args:
        rename: Old name → new name.
        types: Column → new type. A value that cannot be converted is an error.
        drop_missing: Drop rows with a missing value in any of these columns.
        keep: Columns to keep, in this order; by default all.
        drop: Columns to drop.
    """

    rename: dict[str, str] = {}
    types: dict[str, ColumnKind] = {}
    drop_missing: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


def _run(params: FeaturesParams, context: StepContext) -> Mapping[str, Any]:
    import polars as pl

    rows: pl.LazyFrame = context.load("rows", pl.LazyFrame)
    made = features(rows, params)
    names = made.collect_schema().names()
    before, after = (int(side.select(pl.len()).collect(engine="streaming").item()) for side in (rows, made))
    context.log(f"{after:,} of {before:,} rows, {len(names)} columns: {', '.join(names)}")
    return {"rows": made}


def features(rows: pl.LazyFrame, params: FeaturesParams) -> pl.LazyFrame:
    """Return `rows` prepared. Raise `DataError` if a column is missing or a value cannot be converted."""
    _need(rows, params.rename)
    rows = rows.rename(params.rename)
    _need(rows, [*params.types, *params.drop_missing])
    rows = rows.with_columns(_typed(rows, name, kind) for name, kind in params.types.items())
    if params.drop_missing:
        rows = rows.drop_nulls(params.drop_missing)
    _need(rows, [*params.keep, *params.drop])
    return (rows.select(params.keep) if params.keep else rows).drop(params.drop)


def _need(rows: pl.LazyFrame, names: Iterable[str]) -> None:
    there = rows.collect_schema()
    for name in names:
        if name not in there:
            raise DataError(f"the rows have no column {name!r}", hint=nearest(name, there))


def _typed(rows: pl.LazyFrame, name: str, kind: ColumnKind) -> pl.Expr:
    """Return a column in another type, after trying the conversion on all rows."""
    import polars as pl

    dtypes: dict[str, Any] = {
        "number": pl.Float64, "integer": pl.Int64, "boolean": pl.Boolean, "string": pl.String, "date": pl.Date,
        "datetime": pl.Datetime("us", "UTC"),
    }  # fmt: skip
    column, dtype = pl.col(name), rows.collect_schema()[name]
    if dtype == pl.String and kind == "date":
        turned = column.str.to_date("%Y-%m-%d")
    elif dtype == pl.String and kind == "datetime":
        turned = column.str.to_datetime(time_unit="us", time_zone="UTC")
    else:
        turned = column.cast(dtypes[kind])
    try:
        rows.select(turned.is_null().sum()).collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"column {name!r} ({dtype}) cannot become {kind}: {error}") from None
    return turned


def build(params: FeaturesParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        inputs=("rows",),
        outputs=("rows",),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `features`."""
    yield Provider("features", FeaturesParams, build, "Rename, cast, drop and select columns")
