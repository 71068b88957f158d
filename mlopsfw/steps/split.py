"""The built-in step `split`: split rows into train, validation and test, by time, by share or by a column's values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from mlopsfw.data.tables.digest import computed
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import StepContext
from mlopsfw.steps.dealing import deal
from mlopsfw.steps.split_params import PARTS, SplitParams

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.roles.host import Host


def _run(params: SplitParams, context: StepContext) -> Mapping[str, Any]:
    import polars as pl

    rows: pl.LazyFrame = context.load("rows", pl.LazyFrame)
    there = rows.collect_schema()
    for name in (params.column, params.stratify, *params.key):
        if name and name not in there:
            raise DataError(f"step {context.step}: there is no column {name!r}", hint=nearest(name, there))
    if params.by == "fraction" and not params.shuffle_time:
        _check_untimed(there, context.step)
    labels = deal(rows, params)
    counts = {name: int((labels == name).sum()) for name in PARTS}
    context.log(", ".join(f"{name} {count:,}" for name, count in counts.items()) + f" of {len(labels):,} rows")
    empty = [name for name in PARTS if name in params.asked and not counts[name]]
    if empty:
        raise DataError(f"step {context.step} leaves no rows for {' and '.join(empty)}", hint=_limits(rows, params))
    return {name: context.values.store_frames(part) for name, part in split(rows, labels).items()}


def _check_untimed(columns: Mapping[str, pl.DataType], step: str) -> None:
    """Raise `DataError` where rows may have an event time, so that a draw would put later rows into train than into test."""
    import polars as pl

    times = [name for name, kind in columns.items() if kind in (pl.Date, pl.Datetime)]
    if times:
        hint = f'Write by = "time", column = "{times[0]}"; or shuffle_time = true if no order in time matters.'
        message = (
            f"column {times[0]!r} holds times, and by fraction a model learns from rows later than those that judge it"
        )
        raise DataError(f"step {step}: {message}", hint=hint)


def _limits(rows: pl.LazyFrame, params: SplitParams) -> str:
    """Return a hint that shows what the limits are to be compared with."""
    import polars as pl

    if params.by == "fraction":
        return "Raise its share, or add rows."
    column = pl.col(params.column)
    if params.by == "column":
        seen = rows.select(column.cast(pl.String).unique().sort().head(10)).collect(engine="streaming").to_series()
        return f"The values of {params.column!r} are {', '.join(map(str, seen))}."
    least, most = rows.select(least=column.min(), most=column.max()).collect(engine="streaming").row(0)
    return f"{params.column!r} goes from {least} to {most}."


def split(rows: pl.LazyFrame, labels: pl.Series) -> dict[str, Iterator[pl.DataFrame]]:
    """Return train, validation and test rows, part by part, each in the order of `rows`. No row is in two of them."""
    return {name: _those(rows, labels == name) for name in PARTS}


def _those(rows: pl.LazyFrame, chosen: pl.Series) -> Iterator[pl.DataFrame]:
    start = 0
    for part in computed(rows):
        yield part.filter(chosen.slice(start, part.height))
        start += part.height


def build(params: SplitParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        inputs=("rows",),
        outputs=PARTS,
        version=2,
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `split`."""
    yield Provider(
        "split", SplitParams, build, "Split rows into train, validation and test, by time, share or a column"
    )
