"""The built-in step `join`: to each row what another table said at that row's time, and nothing that came to be known later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.errors import DataError
from mlopsfw.ids import nearest
from mlopsfw.moments import duration
from mlopsfw.pipeline.step import BuiltinStep, StepContext

if TYPE_CHECKING:
    import polars as pl

_ROW, _AT, _FOUND = "\1row", "\1at", "\1found"  # no column of a user's is called so, nor begins with "\0"


class JoinParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.join]`.

    Args:
        at: The rows' column with the time at which they are asked about.
        other_at: The other table's column with the time that its rows are of; empty where it is called as `at`.
        by: Columns that must be equal: their names, or the rows' name → the other table's.
        columns: The other table's columns to take; empty takes all but those joined on.
        prefix: Put before the names of the columns taken.
        known_after: How long after its time a row of the other table is known: `30m`, `1d 2h`.
        tolerance: The greatest age, at the row's time, of what is taken; empty for any.
    """

    at: str
    other_at: str = ""
    by: tuple[str, ...] | dict[str, str] = ()
    columns: tuple[str, ...] = ()
    prefix: str = ""
    known_after: str = "0s"
    tolerance: str = ""

    def keys(self) -> dict[str, str]:
        """Return the rows' key columns, each with the other table's."""
        return dict(self.by) if isinstance(self.by, dict) else {name: name for name in self.by}


def _run(context: StepContext, params: JoinParams) -> Mapping[str, Any]:
    import polars as pl

    rows = context.load("rows", pl.DataFrame)
    joined, found = as_of(rows, context.load("other", pl.LazyFrame), params)
    share = found / rows.height if rows.height else 0.0
    context.log(f"{found:,} of {rows.height:,} rows found something ({share:.1%})")
    context.log_metric("matched", share)
    return {"rows": joined}


def as_of(rows: pl.DataFrame, other: pl.LazyFrame, params: JoinParams) -> tuple[pl.DataFrame, int]:
    """Join each row with the newest one of `other` that was known at its time.

    Args:
        rows: In any order, which they keep.
        other: In any order; of several of one time the last counts.
        params: On what, and what to take.

    Returns:
        The rows with the columns taken, null where nothing fits, and how many found something. A row without a time, or
        without one of its keys, finds nothing.

    Raises:
        DataError: A column is not there, would be there twice, or is of another type on the other side.
    """
    import polars as pl

    lag, age = duration(params.known_after), duration(params.tolerance) if params.tolerance else None
    keys, other_at = params.keys(), params.other_at or params.at
    schema = other.collect_schema()
    taken = list(params.columns) or [name for name in schema if name not in (other_at, *keys.values())]
    _check(rows, schema, params, taken)
    left = rows.select(
        pl.int_range(pl.len()).alias(_ROW), *keys, _time(params.at, rows.schema[params.at]).alias(_AT)
    ).drop_nulls()
    right = other.select(
        (_time(other_at, rows.schema[params.at]) + lag).alias(_AT),
        *(pl.col(theirs).alias(ours) for ours, theirs in keys.items()),
        *(pl.col(name).alias("\0" + params.prefix + name) for name in taken),
        pl.lit(value=True).alias(_FOUND),
    ).drop_nulls([_AT, *keys])
    matched = left.lazy().sort(_AT).join_asof(
        right.sort(_AT, maintain_order=True), on=_AT, by=list(keys) or None, strategy="backward",
        tolerance=None if age is None else max(age - lag, timedelta(0)), check_sortedness=not keys,
    )  # fmt: skip
    if age is not None and age < lag:
        matched = matched.with_columns(pl.lit(None).cast(kind).alias(name) for name, kind in _nothing(matched))
    found = left.lazy().select(_ROW).join(matched.drop(_AT, *keys), on=_ROW, how="left").collect(engine="streaming")
    placed = rows.with_columns(pl.int_range(pl.len()).alias(_ROW)).join(
        found, on=_ROW, how="left", maintain_order="left"
    )
    count = int(placed[_FOUND].sum() or 0)
    return placed.drop(_ROW, _FOUND).rename(lambda name: name.removeprefix("\0")), count


def _time(name: str, kind: Any) -> pl.Expr:
    """Return a column of times in the rows' zone, all in one unit."""
    import polars as pl

    return pl.col(name) if kind == pl.Date else pl.col(name).cast(pl.Datetime("us", kind.time_zone))


def _nothing(matched: pl.LazyFrame) -> list[tuple[str, Any]]:
    """Return the columns taken, with their types: what is known only when it is too old is never found."""
    return [
        (name, kind) for name, kind in matched.collect_schema().items() if name[0] == "\0" and name not in (_ROW, _AT)
    ]


def _check(rows: pl.DataFrame, other: Mapping[str, Any], params: JoinParams, taken: Sequence[str]) -> None:
    keys, other_at = params.keys(), params.other_at or params.at
    for name, there, whose in (
        *((name, rows.columns, "the rows") for name in (params.at, *keys)),
        *((name, list(other), "the other table") for name in (other_at, *keys.values(), *taken)),
    ):
        if name not in there:
            raise DataError(
                f"{whose} have no column {name!r}".replace("table have", "table has"), hint=nearest(name, there)
            )
    for ours, theirs in keys.items():
        if rows.schema[ours] != other[theirs]:
            raise DataError(f"column {ours!r} is {rows.schema[ours]}, the other table's {theirs!r} is {other[theirs]}")
    times = rows.schema[params.at], other[other_at]
    if not all(kind.is_temporal() for kind in times) or _zone(times[0]) != _zone(times[1]):
        raise DataError(
            f"column {params.at!r} is {times[0]}, the other table's {other_at!r} is {times[1]}",
            hint="Both must be dates, or datetimes that both have a zone or both have none.",
        )
    clash = sorted({params.prefix + name for name in taken} & set(rows.columns))
    if clash:
        raise DataError(
            f"the rows have a column {clash[0]!r} already", hint='Set prefix = "weather_", or name columns.'
        )


def _zone(kind: Any) -> object:
    import polars as pl

    return "date" if kind == pl.Date else getattr(kind, "time_zone", None) is not None


STEP = BuiltinStep(
    name="join",
    run=_run,
    params=JoinParams,
    inputs=("rows", "other"),
    each=("rows",),
    outputs=("rows",),
    summary="Join each row with what another table said at its time (as-of, by key, with a tolerance)",
)
